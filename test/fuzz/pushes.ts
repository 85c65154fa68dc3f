/**
 * `make fuzz`: the parser of a push's command list, fed with good and bent bodies until it has been run so many times or for
 * so long, whichever comes first. `EXECUTIONS` (10⁷), `SECONDS` (no end), `SEED` (1: where to begin). What it finds it prints
 * with the seed, which is all that is needed to see it again.
 *
 * One execution is one body fed to one parser. Each body is fed whole, in pieces, up to where its prelude ends, and with
 * single bytes changed, so that nine of ten are a byte away from another one.
 */
import { deepStrictEqual, ok } from "node:assert/strict"
import process from "node:process"
import { joined } from "../../runtime/domain/github/PktLine.ts"
import { pushReader, type PushReading } from "../../runtime/domain/github/ReceivePack.ts"
import { gitReadsPush } from "../support/gitReadsPush.ts"
import { inPieces, pushBody, type Random, randomFrom } from "../support/PushInputs.ts"

const world = {
  ids: ["1".repeat(40), "a".repeat(40)],
  refs: ["refs/heads/main", "refs/heads/feature/x", "refs/tags/v1", "HEAD", "refs/heads/../x"]
}

/** Bytes that stand for something in a command list, and any other. */
const meaningful = Buffer.from("\0\n\r\t 0123456789abcdefABCDEF=/.-")
const changesOfEach = 16

interface Counts {
  executions: number
  accepted: number
  refused: number
  unfinished: number
}

const feed = (counts: Counts, pieces: ReadonlyArray<Uint8Array>): PushReading => {
  counts.executions++
  const reader = pushReader()
  let reading: PushReading = { _tag: "More" }
  const behind: Array<Uint8Array> = []
  for (const piece of pieces) {
    if (reading._tag === "More") reading = reader.feed(piece)
    else if (piece.length === 0) continue
    // As its caller does: behind what needs no pack comes nothing.
    else if (reading._tag === "Prelude" && !reading.prelude.pack) reading = reader.feed(piece)
    else behind.push(piece)
  }
  if (reading._tag === "More") counts.unfinished++
  else if (reading._tag === "Malformed") counts.refused++
  else {
    counts.accepted++
    return { ...reading, rest: joined([reading.rest, ...behind]) }
  }
  return reading
}

/** What holds for every body: git acts on nothing that was not read, and not one byte is lost. */
const holds = (body: Uint8Array, reading: PushReading): void => {
  if (reading._tag !== "Prelude") return
  const git = gitReadsPush(body)
  const { prelude } = reading
  deepStrictEqual(prelude.commands, git.commands)
  deepStrictEqual(prelude.options, git.options)
  deepStrictEqual(prelude.consumed, git.pack)
  deepStrictEqual(reading.bytes.length, prelude.consumed)
  ok(Buffer.from(joined([reading.bytes, reading.rest])).equals(body))
  for (const { new: next, old, ref } of prelude.commands) {
    ok(/^(?:[0-9a-f]{80}|[0-9a-f]{128}) refs\/./u.test(`${old}${next} ${ref}`))
  }
  deepStrictEqual(new Set(prelude.commands.map(({ ref }) => ref)).size, prelude.commands.length)
}

const changed = (random: Random, body: Uint8Array, length: number): Uint8Array => {
  const copy = body.slice()
  const at = Math.floor(random() * length)
  const byte = random() < 0.7 ? meaningful[Math.floor(random() * meaningful.length)] : Math.floor(random() * 256)
  copy[at] = byte ?? 0
  return copy
}

const round = (counts: Counts, seed: number): void => {
  const random = randomFrom(seed)
  const body = pushBody(random, world, seed % 2 === 0 ? 0 : 0.7)
  const whole = feed(counts, [body])
  holds(body, whole)
  const cut = feed(counts, inPieces(random, body))
  deepStrictEqual(cut._tag, whole._tag)
  holds(body, cut)
  if (body.length === 0) return
  const prelude = whole._tag === "Prelude" ? whole.prelude.consumed : body.length
  // A push that is not whole is never taken for one.
  if (whole._tag === "Prelude" && whole.prelude.commands.length > 0) {
    const part = feed(counts, [body.subarray(0, Math.floor(random() * prelude))])
    deepStrictEqual(part._tag, "More")
  }
  for (let turn = 0; turn < changesOfEach; turn++) {
    const other = changed(random, body, prelude)
    holds(other, feed(counts, [other]))
  }
}

const number = (name: string, otherwise: number): number => {
  const given = Number(process.env[name] ?? "")
  return Number.isSafeInteger(given) && given > 0 ? given : otherwise
}

const executions = number("EXECUTIONS", 10_000_000)
const until = performance.now() + number("SECONDS", Number.MAX_SAFE_INTEGER) * 1_000
const counts: Counts = { executions: 0, accepted: 0, refused: 0, unfinished: 0 }
const begun = performance.now()
let seed = number("SEED", 1)
try {
  for (; counts.executions < executions && performance.now() < until; seed++) round(counts, seed)
} catch (error) {
  process.stderr.write(`SEED=${seed} finds it again\n`)
  throw error
}
// An input that is always refused proves nothing.
ok(counts.accepted > counts.executions / 50)
ok(counts.refused > counts.executions / 50)
const seconds = (performance.now() - begun) / 1_000
process.stdout.write(
  `${counts.executions} executions in ${seconds.toFixed(0)} s (${
    Math.round(counts.executions / seconds)
  }/s), up to seed ${seed - 1}: ` +
    `${counts.accepted} taken, ${counts.refused} refused, ${counts.unfinished} not whole; nothing found\n`
)
