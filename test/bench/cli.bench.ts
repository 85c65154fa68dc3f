/** What a person waits for before `km` does anything: `km --help`, bundled, against an empty Node program. */
import { spawnSync } from "node:child_process"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const rounds = 25

const timed = (args: ReadonlyArray<string>): number => {
  const started = performance.now()
  const run = spawnSync(process.execPath, args, { stdio: "ignore" })
  if (run.status !== 0) throw new Error(`node ${args.join(" ")} exited ${run.status}`)
  return performance.now() - started
}

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const built = spawnSync(process.execPath, [path.join(root, "km-cli/build/bundle.ts")], {
    cwd: root,
    stdio: "inherit"
  })
  if (built.status !== 0) throw new Error("the bundles could not be built")
  const help = [path.join(root, "dist/km.mjs"), "--help"]
  const empty = ["-e", "0"]
  const shown = spawnSync(process.execPath, help, { encoding: "utf8" })
  if (!shown.stdout.includes("create")) throw new Error("km --help does not show its commands")
  const helps: Array<number> = []
  const empties: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    helps.push(timed(help))
    empties.push(timed(empty))
  }
  const value = percentile(helps, 50)
  const baseline = percentile(empties, 50)
  const target = "<= 3.5"
  return [{
    area: "cli",
    name: "km --help bundled, against node -e 0",
    unit: "x",
    value: value / baseline,
    p50: value,
    p99: percentile(helps, 99),
    baseline,
    ratio: value / baseline,
    target,
    ok: meets(value / baseline, target)
  }]
}
