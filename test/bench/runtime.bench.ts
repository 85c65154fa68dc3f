/**
 * What runtimes cost while nobody writes: the memory of a bundled one with one sandbox, beside a bare Node in the same
 * run, and the processor time of a whole `km up` (supervisor, workspace, model, bridge, runtime) with fifty sandboxes.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { build } from "esbuild"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as UpFile from "../../km-cli/up/UpFile.ts"
import * as EmbeddedEngine from "../../runtime/adapters/embedded/EmbeddedEngine.ts"
import * as FileSecrets from "../../runtime/adapters/embedded/FileSecrets.ts"
import { readInstall, statePaths, writeInstall } from "../../runtime/adapters/embedded/StateDirectory.ts"
import { generateSeed, signingKeyFromSeed } from "../../runtime/domain/Ed25519.ts"
import { ChannelId, InstallName, SandboxId } from "../../runtime/domain/Ids.ts"
import {
  bridgeCertificate,
  certifierKeyPath,
  signingKeyFromText,
  signingKeyPath
} from "../../runtime/kernel/Provisioning.ts"
import { Identities } from "../../runtime/ports/Identities.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { kmUp } from "../support/KmProcess.ts"
import { slackProfile } from "../support/profiles.ts"
import { ok, scriptedBridge } from "../support/ScriptedBridge.ts"
import { claudeCommand } from "../support/ScriptedModel.ts"
import { untilReal } from "../support/untilReal.ts"
import { type BenchRow, meets } from "./BenchRow.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const many = 50
/** After everything is ready: greetings are posted, code that ran once is let go. */
const restMillis = 15_000
const measureMillis = 30_000
/** Clock ticks a second in /proc. */
const ticksPerSecond = 100
const install = InstallName.make("km")

const residentMiB = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1_024

/** Processor time of a process, user and system, in milliseconds. */
const spentMillis = (pid: number): number => {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) * 1_000 / ticksPerSecond
}

const temporary = Effect.flatMap(
  FileSystem.FileSystem,
  (files) => files.makeTempDirectoryScoped({ prefix: "km-bench-" })
)

const row = (values: Omit<BenchRow, "area" | "ok">): BenchRow => ({
  area: "runtime",
  ...values,
  ok: meets(values.value, values.target)
})

/** A process of ours until the scope closes. */
const running = (program: ReadonlyArray<string>, env: Record<string, string>) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, program, { env: { PATH: process.env["PATH"] ?? "", ...env }, stdio: "ignore" })
    ),
    (child) =>
      Effect.promise(() =>
        new Promise<void>((ended) => {
          child.once("exit", () => ended())
          child.kill("SIGTERM")
        })
      )
  )

/** The sandboxes as create would have left them, but for Slack: keys, certificates where given, queues and rows. */
const furnish = Effect.fnUntraced(function*(count: number, certifierText: string | undefined) {
  const certifier = certifierText === undefined ? undefined : signingKeyFromText(certifierText)
  const ids = Array.from({ length: count }, (_, n) => SandboxId.make(`sb-${String(n).padStart(8, "0")}`))
  for (const [n, id] of ids.entries()) {
    const seed = generateSeed()
    const key = signingKeyFromSeed(seed)
    yield* (yield* Secrets).put(signingKeyPath(id), Redacted.make(Buffer.from(seed).toString("base64")))
    if (certifier !== undefined) {
      const certificate = bridgeCertificate(certifier, install, id, key, Date.now())
      yield* (yield* Identities).put(id, "bridge", key.keyId, certificate)
    }
    yield* (yield* TurnQueue).create(id)
    yield* (yield* Sandboxes).insert({
      id,
      install,
      profile: slackProfile,
      desired: "running",
      status: "running",
      channel: ChannelId.make(`C0IDLE${n}`),
      unconfined: true,
      createdAt: Date.now(),
      ready: false,
      plugins: [],
      inventory: []
    })
  }
})

const allReady = (count: number) =>
  Effect.gen(function*() {
    const sandboxes = yield* Sandboxes
    const look = Effect.map(Effect.orDie(sandboxes.list), (rows) => rows.filter(({ ready }) => ready).length === count)
    yield* untilReal(`${count} sandboxes are ready`, look)
    yield* Effect.sleep(restMillis)
  })

const engineOf = (state: string) =>
  Layer.merge(EmbeddedEngine.layer(state), FileSecrets.layer(statePaths(state).secrets))

const memory = Effect.gen(function*() {
  const directory = yield* temporary
  const state = path.join(directory, "state")
  const bundle = path.join(directory, "km-runtime.mjs")
  yield* Effect.promise(() =>
    build({
      entryPoints: [path.join(root, "runtime/main.ts")],
      outfile: bundle,
      bundle: true,
      format: "esm",
      platform: "node",
      target: "node24",
      minify: true,
      logLevel: "error",
      banner: { js: "import{createRequire as kmRequire}from'node:module';const require=kmRequire(import.meta.url);" }
    })
  )
  const bridge = yield* scriptedBridge(() => ok)
  return yield* Effect.gen(function*() {
    yield* writeInstall(state, {
      version: 1,
      install,
      certifierPublicKey: Buffer.alloc(32).toString("base64"),
      bridgeUrl: bridge.url,
      bridgeHost: bridge.host,
      slackApiUrl: "http://127.0.0.1:1/",
      local: true
    })
    yield* furnish(1, undefined)
    const bare = yield* running(["-e", "setInterval(() => {}, 60000)"], {})
    const runtime = yield* running([bundle, "--all"], {
      KM_STATE: state,
      KM_MODEL_URL: "http://127.0.0.1:1",
      KM_MODEL_SCRIPTED: "true",
      KM_CLAUDE: claudeCommand,
      KM_HOOK: path.join(root, "hooks/main.ts")
    })
    yield* allReady(1)
    return { runtime: residentMiB(runtime.pid ?? 0), bare: residentMiB(bare.pid ?? 0) }
  }).pipe(Effect.provide(engineOf(state)))
})

const idle = Effect.gen(function*() {
  const state = path.join(yield* temporary, "state")
  const up = yield* kmUp(state)
  return yield* Effect.gen(function*() {
    yield* readInstall(state)
    const certifier = yield* (yield* Secrets).get(certifierKeyPath)
    yield* furnish(many, Option.isSome(certifier) ? Redacted.value(certifier.value) : undefined)
    yield* allReady(many)
    const file = Option.getOrThrow(yield* UpFile.read(statePaths(state).run))
    const pids = [up.child.pid ?? 0, ...file.children.map(({ process: { pid } }) => pid)]
    const before = pids.map(spentMillis)
    yield* Effect.sleep(measureMillis)
    const spent = pids.map((pid, n) => spentMillis(pid) - (before[n] ?? 0))
    const names = ["supervisor", ...file.children.map(({ name }) => name)]
    return {
      percent: spent.reduce((sum, millis) => sum + millis, 0) / measureMillis * 100,
      runtimePercent: (spent[names.indexOf("runtime")] ?? Number.NaN) / measureMillis * 100,
      runtimeMiB: residentMiB(pids[names.indexOf("runtime")] ?? 0)
    }
  }).pipe(Effect.provide(engineOf(state)))
})

export const run = (): Promise<ReadonlyArray<BenchRow>> =>
  Effect.runPromise(
    Effect.gen(function*() {
      const one = yield* Effect.scoped(memory)
      const all = yield* Effect.scoped(idle)
      return [
        row({
          name: "resident memory of a bundled runtime, one idle sandbox (baseline: a bare Node)",
          unit: "MiB",
          value: one.runtime,
          target: "<= 110",
          baseline: one.bare,
          ratio: one.runtime / one.bare
        }),
        row({
          name: `processor of a km up with ${many} idle sandboxes, of one core`,
          unit: "%",
          value: all.percent,
          target: "<= 3"
        }),
        row({
          name: `processor of its runtime alone, of one core`,
          unit: "%",
          value: all.runtimePercent,
          target: ""
        }),
        row({
          name: `resident memory of its runtime with ${many} idle sandboxes, unbundled`,
          unit: "MiB",
          value: all.runtimeMiB,
          target: ""
        })
      ]
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )
