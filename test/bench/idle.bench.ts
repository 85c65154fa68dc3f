/**
 * What an install costs while nobody writes: the memory of a runtime with one sandbox, from `dist/` and from the source
 * tree, and the processor time of a whole `km up` with 50 sandboxes. All figures are the kernel's (`/proc`).
 */
import * as Effect from "effect/Effect"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as UpFile from "../../km-cli/up/UpFile.ts"
import { statePaths } from "../../runtime/adapters/disk/StateDirectory.ts"
import { makeStack } from "../support/Stack.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"
import { calmMillis, createAll, makeChannels, startUp, stopUp, wait } from "./idleInstall.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const dist = (name: string) => path.join(root, "dist", name)
const sandboxes = 50
const cpuMillis = 30_000
const memoryLooks = 5
/** Clock ticks a second in /proc. */
const ticksPerSecond = 100

/** Resident mebibytes. */
const residentOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1_024

/** Milliseconds of processor time, user and system, since the process began. */
const spentOf = (pid: number): number => {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) * (1_000 / ticksPerSecond)
}

/** The median of the looks, one a second. */
const residentOver = async (pid: number): Promise<number> => {
  const looks: Array<number> = []
  for (let n = 0; n < memoryLooks; n++) {
    await wait(1_000)
    looks.push(residentOf(pid))
  }
  return percentile(looks, 50)
}

/** A runtime with one idle sandbox. */
const idleRuntime = (runtimeRoot: string | undefined) =>
  Effect.scoped(Effect.gen(function*() {
    const stack = yield* makeStack(runtimeRoot === undefined ? {} : { runtimeRoot })
    yield* stack.startBridge
    const runtime = yield* stack.startRuntime
    yield* stack.sandbox()
    yield* Effect.sleep(calmMillis)
    return yield* Effect.promise(() => residentOver(runtime.pid))
  }))

/** Beside it: a Node that does nothing. */
const idleNode = async (): Promise<number> => {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 60000)"], { stdio: "ignore" })
  try {
    return await residentOver(child.pid ?? 0)
  } finally {
    child.kill("SIGTERM")
    await once(child, "exit")
  }
}

interface Idle {
  /** Percent of one core, by part; `km up` is the supervisor. */
  readonly percent: ReadonlyMap<string, number>
  readonly runtimeMemory: number
}

const idleUp = async (): Promise<Idle> => {
  const directory = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "km-bench-")))
  const state = path.join(directory, "state")
  const { run } = statePaths(state)
  const child = await startUp(state, path.join(root, "dist"))
  try {
    await Effect.runPromise(createAll(state, await makeChannels(run, sandboxes)))
    const up = UpFile.read(run).pipe(Effect.runSync)
    if (up._tag === "None") throw new Error("km up left no file")
    const parts = new Map([
      ["km up", up.value.supervisor.pid],
      ...up.value.children.map((part) => [part.name, part.process.pid] as const)
    ])
    await wait(calmMillis)
    const before = new Map([...parts].map(([name, pid]) => [name, spentOf(pid)]))
    const begun = performance.now()
    await wait(cpuMillis)
    const elapsed = performance.now() - begun
    const percent = new Map(
      [...parts].map(([name, pid]) => [name, (spentOf(pid) - (before.get(name) ?? 0)) / elapsed * 100])
    )
    return { percent, runtimeMemory: residentOf(parts.get("runtime") ?? 0) }
  } finally {
    await stopUp(child)
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

const row = (name: string, unit: BenchRow["unit"], value: number, target: string): BenchRow => ({
  area: "idle",
  name,
  unit,
  value,
  target,
  ok: meets(value, target)
})

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const built = spawnSync(process.execPath, [path.join(root, "km-cli/build/bundle.ts")], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"]
  })
  if (built.status !== 0) throw new Error("the bundles could not be built")
  const bundled = await Effect.runPromise(idleRuntime(dist("km-runtime.mjs")))
  const unbundled = await Effect.runPromise(idleRuntime(undefined))
  const bare = await idleNode()
  const { percent, runtimeMemory } = await idleUp()
  const part = (name: string) => percent.get(name) ?? 0
  const all = [...percent].filter(([name]) => name !== "workspace").reduce((sum, [, value]) => sum + value, 0)
  return [
    {
      ...row("runtime resident memory, one idle sandbox, bundled, against a bare Node", "MiB", bundled, "<= 110"),
      baseline: bare,
      ratio: bundled / bare
    },
    row("runtime resident memory, one idle sandbox, unbundled (development only)", "MiB", unbundled, ""),
    row(`runtime resident memory, ${sandboxes} idle sandboxes, bundled`, "MiB", runtimeMemory, ""),
    row(`${sandboxes} idle sandboxes in one km up, of one core, the local workspace not counted`, "%", all, "<= 3"),
    row("of that the runtime", "%", part("runtime"), ""),
    row("of that the bridge", "%", part("bridge"), ""),
    row("of that the control plane", "%", part("control"), ""),
    row("of that the supervisor", "%", part("km up"), ""),
    row("beside it the local workspace (no part of an install with Slack)", "%", part("workspace"), "")
  ]
}
