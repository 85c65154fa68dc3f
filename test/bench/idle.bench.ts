/**
 * What an install costs while nobody writes: the memory of a runtime with one sandbox, from `dist/` and from the source
 * tree, and the processor time of a whole `km up` with 50 sandboxes. All figures are the kernel's (`/proc`).
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { readCredentials } from "../../km-cli/local/workspace/Credentials.ts"
import * as UpFile from "../../km-cli/up/UpFile.ts"
import * as EmbeddedEngine from "../../runtime/adapters/embedded/EmbeddedEngine.ts"
import * as FileSecrets from "../../runtime/adapters/embedded/FileSecrets.ts"
import { readInstall, statePaths } from "../../runtime/adapters/embedded/StateDirectory.ts"
import * as EmbeddedHost from "../../runtime/adapters/host/EmbeddedHost.ts"
import { ChannelId, SandboxId } from "../../runtime/domain/Ids.ts"
import { Provisioning } from "../../runtime/kernel/Provisioning.ts"
import { Teardown } from "../../runtime/kernel/Teardown.ts"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import { slackProfile } from "../support/profiles.ts"
import { claudeCommand } from "../support/ScriptedModel.ts"
import { makeStack } from "../support/Stack.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const dist = (name: string) => path.join(root, "dist", name)
const sandboxes = 50
/** From the last start to the first look: leases, channels and the first collections of garbage are over. */
const calmMillis = 10_000
const cpuMillis = 30_000
const memoryLooks = 5
/** Clock ticks a second in /proc. */
const ticksPerSecond = 100

const wait = (millis: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, millis))

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

const Answer = Schema.Struct({
  ok: Schema.Boolean,
  error: Schema.optionalKey(Schema.String),
  channel: Schema.optionalKey(Schema.Struct({ id: Schema.String }))
})

/** Calls a method of the local workspace; Slack's limits hold for it as for everybody. */
const slack = async (apiUrl: string, token: string, method: string, args: Record<string, string>) => {
  const response = await fetch(`${apiUrl}${method}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    body: new URLSearchParams(args)
  })
  const answer = Schema.decodeUnknownSync(Answer)(await response.json())
  if (!answer.ok) throw new Error(`${method} was refused: ${response.status} ${answer.error}`)
  return answer
}

/**
 * Channels with the bot in them. Slack lets one user make 20 a minute, so that everybody makes some: what is measured is
 * the idle time after it.
 */
const makeChannels = async (run: string) => {
  const credentials = await Effect.runPromise(
    Effect.provide(
      readCredentials(path.join(run, "workspace.json")),
      NodeServices.layer
    )
  )
  const makers = [credentials.botToken, ...Object.values(credentials.people).map(({ token }) => token)]
  const made: Array<ChannelId> = []
  for (let n = 0; n < sandboxes; n++) {
    const token = makers[n % makers.length] ?? credentials.botToken
    const { channel } = await slack(credentials.apiUrl, token, "conversations.create", { name: `sb-idle-${n}` })
    if (channel === undefined) throw new Error("a channel without an id")
    if (token !== credentials.botToken) {
      await slack(credentials.apiUrl, token, "conversations.invite", {
        channel: channel.id,
        users: credentials.botUserId
      })
    }
    made.push(ChannelId.make(channel.id))
  }
  return made
}

/** The real provisioning, but for the channels, which are there already. */
const createAll = (state: string, channels: ReadonlyArray<ChannelId>) => {
  const given = new Map(channels.map((channel, n) => [`sb-0000${String(n).padStart(4, "0")}`, channel]))
  const bridge = Layer.succeed(
    Bridge,
    Bridge.of({
      call: ({ action }) =>
        Effect.succeed({
          ok: true as const,
          ...(action.action === "channel.ensure"
            ? {
              channel: {
                id: given.get(action.sandbox) ?? ChannelId.make("C00000000"),
                name: action.name,
                created: true,
                warnings: []
              }
            }
            : {})
        })
    })
  )
  const ports = Layer.merge(
    EmbeddedEngine.layer(state, { check: false }),
    FileSecrets.layer(statePaths(state).secrets)
  )
  const control = Provisioning.layer.pipe(
    Layer.provideMerge(Teardown.layer),
    Layer.provideMerge(Layer.merge(bridge, EmbeddedHost.layer(state))),
    Layer.provideMerge(ports)
  )
  return Effect.gen(function*() {
    const provisioning = yield* Provisioning
    const { install } = yield* readInstall(state)
    yield* Effect.forEach([...given.keys()], (id) =>
      provisioning.create({
        id: SandboxId.make(id),
        install,
        alias: undefined,
        profile: slackProfile,
        unconfined: true,
        readyWithin: Duration.seconds(90)
      }), { concurrency: 10, discard: true })
  }).pipe(Effect.provide(control))
}

/** Returns once `km up` says that everything is healthy. */
const startUp = async (state: string): Promise<ChildProcess> => {
  const child = spawn(process.execPath, [dist("km.mjs"), "up", "--scripted", "--json"], {
    env: {
      PATH: process.env["PATH"],
      HOME: path.dirname(state),
      KM_STATE: state,
      KM_CLAUDE: claudeCommand
    },
    stdio: ["ignore", "pipe", "ignore"]
  })
  await Promise.race([
    once(child.stdout, "data"),
    once(child, "exit").then(() => Promise.reject(new Error("km up did not start")))
  ])
  return child
}

interface Idle {
  /** Percent of one core, by part; `km up` is the supervisor with the control plane. */
  readonly percent: ReadonlyMap<string, number>
  readonly runtimeMemory: number
}

const idleUp = async (): Promise<Idle> => {
  const directory = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "km-bench-")))
  const state = path.join(directory, "state")
  const { run } = statePaths(state)
  const child = await startUp(state)
  try {
    await Effect.runPromise(createAll(state, await makeChannels(run)))
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
    child.kill("SIGTERM")
    await once(child, "exit")
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
    row("of that the supervisor with the control plane", "%", part("km up"), ""),
    row("beside it the local workspace (no part of an install with Slack)", "%", part("workspace"), "")
  ]
}
