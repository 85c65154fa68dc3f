/** The long run of `commonEvent.test.ts`: `node test/bench/commonEvents.ts [events] [seed]`. */
import { compareReaders } from "../support/compareReaders.ts"

const [, , count = "1000000", seed = "1"] = process.argv
const { differing, taken, tried } = compareReaders(Number(count), Number(seed))
process.stdout.write(`${tried} events, ${taken} taken by hand, ${differing.length} differ\n`)
for (const json of differing) process.stdout.write(`${json}\n`)
process.exitCode = differing.length === 0 ? 0 : 1
