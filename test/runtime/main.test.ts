import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted, Schedule } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as ScriptedModel from "../../km-cli/local/model/ScriptedModel.ts"
import * as EmbeddedEngine from "../../runtime/adapters/embedded/EmbeddedEngine.ts"
import * as FileSecrets from "../../runtime/adapters/embedded/FileSecrets.ts"
import { statePaths, writeInstall } from "../../runtime/adapters/embedded/StateDirectory.ts"
import { generateSeed } from "../../runtime/domain/Ed25519.ts"
import { InstallName } from "../../runtime/domain/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/Sandbox.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { ok, type Reply, scriptedBridge } from "../support/ScriptedBridge.ts"
import { claudeCommand, temporaryDirectory } from "../support/ScriptedModel.ts"
import { channel, queueEntry, sandbox, slackProfile, slackRequest } from "../support/turnRows.ts"

const program = fileURLToPath(new URL("../../runtime/main.ts", import.meta.url))

const row: SandboxRow = {
  id: sandbox,
  install: InstallName.make("km"),
  profile: slackProfile,
  desired: "running",
  status: "starting",
  channel,
  unconfined: false,
  createdAt: 0,
  ready: false,
  plugins: [],
  inventory: []
}

/** Looks every 50 ms, for at most 40 s: the real agent takes seconds to start on a busy machine. */
const until = <E, R>(what: string, look: Effect.Effect<boolean, E, R>) =>
  look.pipe(
    Effect.flatMap((holds) => holds ? Effect.void : Effect.fail("pending" as const)),
    Effect.retry({
      schedule: Schedule.spaced("50 millis").pipe(Schedule.upTo({ times: 800 })),
      while: (error) => error === "pending"
    }),
    Effect.catch((error) => Effect.die(error === "pending" ? new Error(`never came: ${what}`) : error))
  )

interface Running {
  readonly child: ChildProcess
  readonly log: Array<string>
  /** Exit code, or the signal's name. */
  readonly exit: Effect.Effect<number | string>
}

const startRuntime = (args: ReadonlyArray<string>, env: Record<string, string>): Effect.Effect<Running, never, never> =>
  Effect.sync(() => {
    const log: Array<string> = []
    const child = spawn(process.execPath, [program, ...args], {
      env: { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent", ...env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => log.push(data.toString()))
    const ended = new Promise<number | string>((resolve) =>
      child.on("exit", (code, signal) => resolve(code ?? signal ?? "unknown"))
    )
    return { child, log, exit: Effect.promise(() => ended) }
  })

const runtime = (args: ReadonlyArray<string>, env: Record<string, string>) =>
  Effect.acquireRelease(startRuntime(args, env), ({ child, exit }) =>
    Effect.suspend(() => {
      child.kill("SIGKILL")
      return exit
    }))

/** An install with one sandbox, a bridge that answers, a scripted model: everything but the runtime. */
const world = Effect.fnUntraced(
  function*(script: (action: Record<string, unknown>) => Reply | undefined = () => undefined) {
    const state = Path.join(yield* temporaryDirectory, "state")
    const model = yield* ScriptedModel.start()
    let posted = 0
    const bridge = yield* scriptedBridge(({ action }) => {
      const given = script(action)
      if (given !== undefined) return given
      posted += 1
      return action["action"] === "post"
        ? { status: 200, body: { ok: true, parts: [{ ts: `1800000000.${String(posted).padStart(6, "0")}` }] } }
        : ok
    })
    const engine = yield* Layer.build(
      Layer.merge(EmbeddedEngine.layer(state), FileSecrets.layer(statePaths(state).secrets))
    )
    const seed = Redacted.make(Buffer.from(generateSeed()).toString("base64"))
    yield* Effect.gen(function*() {
      yield* writeInstall(state, {
        version: 1,
        install: InstallName.make("km"),
        certifierPublicKey: Buffer.alloc(32).toString("base64"),
        bridgeUrl: bridge.url,
        bridgeHost: bridge.host,
        slackApiUrl: "http://127.0.0.1:1/",
        local: true
      })
      yield* (yield* Secrets).put(`sandbox/${sandbox}/signing-key`, seed)
      yield* (yield* TurnQueue).create(sandbox)
      yield* (yield* Sandboxes).insert(row)
    }).pipe(Effect.provide(engine))
    const sandboxes = yield* Effect.provide(Sandboxes, engine)
    const queue = yield* Effect.provide(TurnQueue, engine)
    const env = { KM_STATE: state, KM_MODEL_URL: model.url, KM_MODEL_SCRIPTED: "true", KM_CLAUDE: claudeCommand }
    const ready = Effect.map(sandboxes.get(sandbox), (found) => Option.isSome(found) && found.value.ready)
    const actions = (name: string) =>
      bridge.arrived.map(({ action }) => action).filter((action) => action["action"] === name)
    return { actions, bridge, env, queue, ready, sandboxes, state }
  }
)

describe("km-runtime", () => {
  it.live("answers a message in its thread, marks it, and ends well on SIGTERM", () =>
    Effect.gen(function*() {
      const { actions, env, queue, ready } = yield* world()
      const process = yield* runtime(["--sandbox", sandbox], env)
      yield* until("readiness", ready).pipe(Effect.onError(() => Effect.logError(process.log.join(""))))
      const request = { ...slackRequest(1), text: "greet the team script:text" }
      yield* queue.send(sandbox, queueEntry(request))
      yield* until(
        "the final mark",
        Effect.sync(() => actions("unreact").length > 0)
      ).pipe(Effect.onError(() => Effect.logError(process.log.join(""))))
      const answers = actions("post").filter((action) => action["threadTs"] === request.origin.threadTs)
      assert.strictEqual(answers.length, 1)
      assert.include(String(answers[0]?.["markdown"]), "greet the team")
      assert.deepStrictEqual(actions("react").map(({ emoji }) => emoji), ["hourglass_flowing_sand", "white_check_mark"])
      assert.deepStrictEqual(actions("thread.put").map(({ threadTs }) => threadTs), [request.origin.threadTs])
      yield* until("the delete", Effect.map(queue.depth(sandbox), ({ inFlight }) => inFlight === 0))
      process.child.kill("SIGTERM")
      assert.strictEqual(yield* process.exit, 0, process.log.join(""))
      assert.isFalse(yield* ready)
    }))
})
