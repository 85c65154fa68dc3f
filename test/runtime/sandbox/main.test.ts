import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted, Schedule } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as ScriptedModel from "../../../km-cli/local/model/ScriptedModel.ts"
import { statePaths, writeInstall } from "../../../runtime/adapters/disk/StateDirectory.ts"
import { generateSeed } from "../../../runtime/domain/identity/Ed25519.ts"
import { ChannelId, InstallName, SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../../runtime/domain/sandbox/Sandbox.ts"
import * as EmbeddedEngine from "../../../runtime/engines/embedded/EmbeddedEngine.ts"
import * as FileSecrets from "../../../runtime/engines/embedded/FileSecrets.ts"
import { Controls } from "../../../runtime/ports/Controls.ts"
import { Leases } from "../../../runtime/ports/Leases.ts"
import { Reports } from "../../../runtime/ports/Reports.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { TurnQueue } from "../../../runtime/ports/TurnQueue.ts"
import { bundled } from "../../support/bundled.ts"
import { ok, type Reply, scriptedBridge } from "../../support/ScriptedBridge.ts"
import { bashScript, claudeCommand, temporaryDirectory } from "../../support/ScriptedModel.ts"
import { channel, queueEntry, sandbox, slackProfile, slackRequest } from "../../support/turnRows.ts"

/** On Deno the source is what people run. */
const source = fileURLToPath(new URL("../../../runtime/sandbox/main.ts", import.meta.url))

const row: SandboxRow = {
  id: sandbox,
  install: InstallName.make("km"),
  profile: slackProfile,
  desired: "running",
  status: "starting",
  channel,
  unconfined: false,
  createdAt: 0,
  generation: "1",
  inventory: []
}

/** Looks every 50 ms, for at least 5 minutes: the real agent takes long to start on a busy machine. */
const until = <E, R>(what: string, look: Effect.Effect<boolean, E, R>) =>
  look.pipe(
    Effect.flatMap((holds) => holds ? Effect.void : Effect.fail("pending" as const)),
    Effect.retry({
      schedule: Schedule.spaced("50 millis").pipe(Schedule.upTo({ times: 6_000 })),
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

const deno = fileURLToPath(new URL("../../../node_modules/deno/deno", import.meta.url))

/** As `deno.json` lists them. */
const denoPermissions = (state: string): ReadonlyArray<string> => [
  "--no-prompt",
  "--allow-read",
  `--allow-write=${state}`,
  "--allow-net=127.0.0.1",
  "--allow-env",
  "--allow-sys",
  `--allow-run=/usr/bin/bwrap,${Fs.realpathSync(claudeCommand)}`
]

const startRuntime = (
  args: ReadonlyArray<string>,
  env: Record<string, string>,
  [engine, ...flags]: ReadonlyArray<string> = [process.execPath, bundled("km-runtime.mjs")]
): Effect.Effect<Running> =>
  Effect.sync(() => {
    const log: Array<string> = []
    const child = spawn(engine ?? "", [...flags, ...args], {
      env: { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent", ...env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => log.push(data.toString()))
    const ended = new Promise<number | string>((resolve) =>
      child.on("exit", (code, signal) => resolve(code ?? signal ?? "unknown"))
    )
    return { child, log, exit: Effect.promise(() => ended) }
  })

const runtime = (args: ReadonlyArray<string>, env: Record<string, string>, command?: ReadonlyArray<string>) =>
  Effect.acquireRelease(startRuntime(args, env, command), ({ child, exit }) =>
    Effect.suspend(() => {
      child.kill("SIGKILL")
      return exit
    }))

/** A bridge's answer to what a runtime asks: new messages get a `ts`, live ones keep theirs. */
const plainAnswers = () => {
  let made = 0
  const lives = new Map<unknown, string>()
  const threads = new Map<unknown, unknown>()
  return (action: Record<string, unknown>): Reply => {
    made += 1
    const ts = `1800000000.${String(made).padStart(6, "0")}`
    switch (action["action"]) {
      case "post":
        return { status: 200, body: { ok: true, parts: [{ ts }] } }
      case "live.set": {
        const first = lives.get(action["live"]) ?? ts
        lives.set(action["live"], first)
        return { status: 200, body: { ok: true, parts: [{ ts: first }] } }
      }
      case "thread.put":
        threads.set(action["threadTs"], action["session"])
        return ok
      case "thread.lookup": {
        const threadTs = action["threadTs"]
        const thread = { channel, threadTs, session: threads.get(threadTs) }
        return threads.has(threadTs) ? { status: 200, body: { ok: true, thread } } : ok
      }
      case "upload":
        return { status: 200, body: { ok: true, file: { id: `F${made}` } } }
      default:
        return ok
    }
  }
}

/** The actions of a request: its own, or those of its batch. */
const actionsIn = (action: Record<string, unknown>): ReadonlyArray<Record<string, unknown>> =>
  action["action"] === "batch" && Array.isArray(action["actions"])
    ? action["actions"].map((one: { readonly action: Record<string, unknown> }) => one.action)
    : [action]

/** A batch has the answers of its actions, unless one of them is hung up on. */
const answering = (answer: (action: Record<string, unknown>) => Reply) => (action: Record<string, unknown>): Reply => {
  if (action["action"] !== "batch") return answer(action)
  const replies = actionsIn(action).map(answer)
  const cut = replies.find((reply) => typeof reply === "string")
  return cut ??
    { status: 200, body: { ok: true, answers: replies.map((reply) => typeof reply === "string" ? {} : reply.body) } }
}

interface WorldOptions {
  /** Sandboxes beside the first. */
  readonly others?: ReadonlyArray<SandboxRow>
  readonly transcript?: boolean
  readonly script?: (action: Record<string, unknown>) => Reply | undefined
}

/** An install with one sandbox, a bridge that answers, a scripted model: everything but the runtime. */
const world = Effect.fnUntraced(function*({ others = [], script, transcript = false }: WorldOptions = {}) {
  const state = Path.join(yield* temporaryDirectory, "state")
  const model = yield* ScriptedModel.start()
  const answer = plainAnswers()
  const answered = answering((action) => script?.(action) ?? answer(action))
  const bridge = yield* scriptedBridge(({ action }) => answered(action))
  const engine = yield* Layer.build(
    Layer.merge(EmbeddedEngine.layer(state), FileSecrets.layer(statePaths(state).secrets))
  )
  const seed = Redacted.make(Buffer.from(generateSeed()).toString("base64"))
  const { spec } = slackProfile
  const profile = {
    ...slackProfile,
    spec: { ...spec, cli: { ...spec.cli, notifySlackTranscriptEnabled: transcript } }
  }
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
    for (const one of [row, ...others]) {
      yield* (yield* Secrets).put(`sandbox/${one.id}/signing-key`, seed)
      yield* (yield* TurnQueue).create(one.id)
      yield* (yield* Sandboxes).insert({ ...one, profile })
    }
  }).pipe(Effect.provide(engine))
  const sandboxes = yield* Effect.provide(Sandboxes, engine)
  const queue = yield* Effect.provide(TurnQueue, engine)
  const leases = yield* Effect.provide(Leases, engine)
  const controls = yield* Effect.provide(Controls, engine)
  const secrets = yield* Effect.provide(Secrets, engine)
  const env = { KM_STATE: state, KM_MODEL_URL: model.url, KM_MODEL_SCRIPTED: "true", KM_CLAUDE: claudeCommand }
  const reports = yield* Effect.provide(Reports, engine)
  const ready = Effect.map(reports.get(sandbox), (report) => report.ready)
  const actions = (name: string) =>
    bridge.arrived.flatMap(({ action }) => actionsIn(action)).filter((action) => action["action"] === name)
  /** What is said in a thread, in order. */
  const said = (threadTs: string) =>
    actions("post").filter((action) => action["threadTs"] === threadTs).map(({ markdown }) => String(markdown))
  return { actions, bridge, controls, env, leases, model, queue, ready, reports, said, sandboxes, secrets, state }
})

/** The command lines of this machine's processes that belong to a state directory's agents. */
const processesWith = (state: string): ReadonlyArray<string> =>
  Fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const environment = Fs.readFileSync(`/proc/${pid}/environ`, "utf8")
      return environment.includes(state) ? [Fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")] : []
    } catch {
      // Gone meanwhile.
      return []
    }
  })

const marked = (actions: (name: string) => ReadonlyArray<Record<string, unknown>>, count = 1) =>
  until(`${count} final marks`, Effect.sync(() => actions("unreact").length >= count))

describe("km-runtime", () => {
  it.live("answers a message in its thread, marks it, and ends well on SIGTERM", () =>
    Effect.gen(function*() {
      const { actions, env, queue, ready, said } = yield* world()
      const process = yield* runtime(["--sandbox", sandbox], env)
      yield* until("readiness", ready)
      const request = { ...slackRequest(1), text: "greet the team script:text" }
      yield* queue.send(sandbox, queueEntry(request))
      yield* marked(actions)
      const answers = said(request.origin.threadTs)
      assert.strictEqual(answers.length, 1)
      assert.include(answers[0], "greet the team")
      assert.deepStrictEqual(actions("react").map(({ emoji }) => emoji), ["hourglass_flowing_sand", "white_check_mark"])
      assert.deepStrictEqual(actions("thread.put").map(({ threadTs }) => threadTs), [request.origin.threadTs])
      yield* until("the delete", Effect.map(queue.depth(sandbox), ({ inFlight }) => inFlight === 0))
      process.child.kill("SIGTERM")
      assert.strictEqual(yield* process.exit, 0, process.log.join(""))
      assert.isFalse(yield* ready)
    }))

  it.live("with the transcript on, the live message is the answer and the session is attached", () =>
    Effect.gen(function*() {
      const { actions, env, queue, ready, said } = yield* world({ transcript: true })
      yield* runtime(["--sandbox", sandbox], env)
      yield* until("readiness", ready)
      const request = { ...slackRequest(1), text: "please greet the team" }
      yield* queue.send(sandbox, queueEntry(request))
      yield* marked(actions)
      assert.deepStrictEqual(said(request.origin.threadTs), [])
      const live = actions("live.set")
      assert.isAbove(live.length, 1, "it grows")
      assert.include(String(live.at(-1)?.["markdown"]), "please greet the team")
      assert.include(JSON.stringify(live), "Bash")
      yield* until("the upload", Effect.sync(() => actions("upload").length === 1))
      assert.match(String(actions("upload")[0]?.["filename"]), /^claude-transcript-[0-9a-f-]{36}\.jsonl\.gz$/)
    }))

  it.live("goes on with the thread's session, and asks nobody else's", () =>
    Effect.gen(function*() {
      const { actions, env, model, queue, ready } = yield* world()
      yield* runtime(["--sandbox", sandbox], env)
      yield* until("readiness", ready)
      yield* queue.send(sandbox, queueEntry({ ...slackRequest(1), text: "remember blue script:text" }))
      yield* marked(actions)
      yield* queue.send(sandbox, queueEntry({ ...slackRequest(2, { thread: 1 }), text: "and now script:text" }))
      yield* marked(actions, 2)
      yield* queue.send(sandbox, queueEntry({ ...slackRequest(3), text: "another thread script:text" }))
      yield* marked(actions, 3)
      const [first, second, third] = yield* model.requests
      assert.strictEqual(second?.session, first?.session)
      assert.include(second?.body, "remember blue")
      assert.notStrictEqual(third?.session, first?.session)
      assert.notInclude(third?.body, "remember blue")
    }))

  it.live("the model's key goes to the model, and neither to the agent nor into the thread", () =>
    Effect.gen(function*() {
      const { actions, env, model, queue, ready, said, sandboxes, secrets } = yield* world()
      const key = "sk-ant-api03-only-for-the-model-0123456789"
      yield* secrets.put("model/anthropic-api-key", Redacted.make(key))
      yield* sandboxes.update(sandbox, { unconfined: true })
      yield* runtime(["--sandbox", sandbox], { ...env, KM_MODEL_SCRIPTED: "false" })
      yield* until("readiness", ready)
      const look = "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; echo looked"
      const request = { ...slackRequest(1), text: bashScript(look) }
      yield* queue.send(sandbox, queueEntry(request))
      yield* marked(actions)
      const requests = yield* model.requests
      assert.deepStrictEqual([...new Set(requests.map((one) => one.key))], [key])
      const answer = said(request.origin.threadTs).join("\n")
      assert.include(answer, "looked")
      assert.notInclude(answer, key)
      // Not because it was redacted: the agent, whose every word the model hears, never had it.
      for (const { body } of requests) assert.notInclude(body, key)
    }))

  it.live("killed while the agent runs: the agent does not live on, and the turn has one outcome after the restart", () =>
    Effect.gen(function*() {
      const { actions, env, queue, ready, said, state } = yield* world()
      const first = yield* runtime(["--sandbox", sandbox], env)
      yield* until("readiness", ready)
      const pidFile = Path.join(statePaths(state).sandbox(sandbox).workspace, "pid")
      const command = `readlink /proc/self > ${pidFile}; sleep 300`
      const request = { ...slackRequest(1), text: bashScript(command) }
      yield* queue.send(sandbox, queueEntry(request))
      yield* until("the tool", Effect.sync(() => Fs.existsSync(pidFile)))
      first.child.kill("SIGKILL")
      yield* first.exit
      const toolGone = until(
        "the tool's end",
        Effect.sync(() => !processesWith(state).some((line) => line.startsWith("sleep 300")))
      )
      // The jail dies with its runtime; without one, the next start sees to it before it goes on.
      if (first.log.join("").includes("jailed")) yield* toolGone
      const second = yield* runtime(["--sandbox", sandbox], env)
      yield* toolGone
      yield* marked(actions)
      assert.strictEqual(said(request.origin.threadTs).length, 1, second.log.join(""))
      yield* until("the delete", Effect.map(queue.depth(sandbox), ({ inFlight, waiting }) => inFlight + waiting === 0))
    }))

  it.live("SIGTERM lets the turn in hand come to its answer", () =>
    Effect.gen(function*() {
      const { actions, env, queue, ready, said, state } = yield* world()
      const process = yield* runtime(["--sandbox", sandbox], env)
      yield* until("readiness", ready)
      const started = Path.join(statePaths(state).sandbox(sandbox).workspace, "started")
      const request = {
        ...slackRequest(1),
        text: bashScript(`touch ${started}; sleep 2; echo done for $KM_SLACK_THREAD_TS in $KM_SLACK_CHANNEL_ID`)
      }
      yield* queue.send(sandbox, queueEntry(request))
      yield* until("the tool", Effect.sync(() => Fs.existsSync(started)))
      process.child.kill("SIGTERM")
      assert.strictEqual(yield* process.exit, 0, process.log.join(""))
      assert.include(
        said(request.origin.threadTs).join(),
        `done for ${request.origin.threadTs} in ${request.origin.channel}`
      )
      assert.deepInclude(actions("react").at(-1), { emoji: "white_check_mark" })
      assert.deepStrictEqual(yield* queue.depth(sandbox), { waiting: 0, inFlight: 0, dead: 0 })
    }))

  it.live("runs on Deno with explicit permissions, the jail and the transcript included", () =>
    Effect.gen(function*() {
      const { actions, env, queue, ready, state } = yield* world({ transcript: true })
      const process = yield* runtime(["--sandbox", sandbox], env, [deno, "run", ...denoPermissions(state), source])
      yield* until("readiness", ready)
      yield* queue.send(sandbox, queueEntry({ ...slackRequest(1), text: "please greet the team" }))
      yield* marked(actions)
      assert.include(String(actions("live.set").at(-1)?.["markdown"]), "please greet the team")
      assert.deepInclude(actions("react").at(-1), { emoji: "white_check_mark" })
      yield* until("the upload", Effect.sync(() => actions("upload").length === 1))
      process.child.kill("SIGTERM")
      assert.strictEqual(yield* process.exit, 0, process.log.join(""))
    }))

  it.live("a stop overtakes the queue: the running turn and the one behind it end as stopped", () =>
    Effect.gen(function*() {
      const { actions, controls, env, queue, ready, said, state } = yield* world()
      yield* runtime(["--sandbox", sandbox], env)
      yield* until("readiness", ready)
      const started = Path.join(statePaths(state).sandbox(sandbox).workspace, "started")
      const first = { ...slackRequest(1), text: bashScript(`touch ${started}; sleep 300`) }
      yield* queue.send(sandbox, queueEntry(first))
      yield* queue.send(sandbox, queueEntry({ ...slackRequest(2, { thread: 1 }), text: "never run script:text" }))
      yield* until("the tool", Effect.sync(() => Fs.existsSync(started)))
      yield* controls.send(sandbox, { kind: "stop", id: "stop-1", group: first.group, by: "anna" })
      yield* marked(actions, 2)
      const told = said(first.origin.threadTs)
      assert.strictEqual(told.length, 2)
      for (const text of told) assert.include(text, "**Stopped** by anna")
      assert.strictEqual(actions("react").filter(({ emoji }) => emoji === "octagonal_sign").length, 2)
    }))

  it.live("shows a session that a person starts in a thread of its own", () =>
    Effect.gen(function*() {
      const { actions, env, ready, state } = yield* world({ transcript: true })
      yield* runtime(["--sandbox", sandbox], env)
      yield* until("readiness", ready)
      const { home, run, workspace } = statePaths(state).sandbox(sandbox)
      const settings = Path.join(run, "claude-settings.json")
      assert.strictEqual(Fs.statSync(settings).mode & 0o777, 0o600)
      const person = spawn(claudeCommand, ["-p", "--settings", settings, "good morning script:text"], {
        cwd: workspace,
        env: {
          PATH: process.env["PATH"] ?? "",
          HOME: home,
          ANTHROPIC_API_KEY: "none",
          ANTHROPIC_BASE_URL: env.KM_MODEL_URL,
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1"
        },
        stdio: "ignore"
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => void person.kill("SIGKILL")))
      yield* until(
        "the session's text",
        Effect.sync(() => JSON.stringify(actions("live.set")).includes("good morning"))
      )
      yield* until("the upload", Effect.sync(() => actions("upload").length > 0))
    }))

  it.live("of two runtimes for one sandbox exactly one works, and the other one takes over", () =>
    Effect.gen(function*() {
      const { actions, bridge, env, queue, ready, said } = yield* world()
      const first = yield* runtime(["--sandbox", sandbox], env)
      yield* until("readiness", ready)
      const second = yield* runtime(["--sandbox", sandbox], env)
      yield* until("the second one's wait", Effect.sync(() => second.log.join("").includes("another runtime serves")))
      const [one, two] = [1, 2].map((n) => ({ ...slackRequest(n), text: `message ${n} script:text` }))
      if (one === undefined || two === undefined) return assert.fail("two requests")
      yield* queue.send(sandbox, queueEntry(one))
      yield* marked(actions)
      first.child.kill("SIGTERM")
      assert.strictEqual(yield* first.exit, 0)
      yield* queue.send(sandbox, queueEntry(two))
      yield* marked(actions, 2)
      assert.strictEqual(said(one.origin.threadTs).length, 1)
      assert.strictEqual(said(two.origin.threadTs).length, 1)
      assert.deepStrictEqual([...new Set(bridge.arrived.map(({ headers }) => headers["km-epoch"]))], ["1", "2"])
    }))

  it.live("a runtime that has lost its lease ends its agent without draining and says nothing more", () =>
    Effect.gen(function*() {
      const { bridge, env, leases, queue, ready, said, state } = yield* world()
      const process = yield* runtime(["--sandbox", sandbox], env)
      yield* until("readiness", ready)
      const request = { ...slackRequest(1), text: bashScript("sleep 300") }
      yield* queue.send(sandbox, queueEntry(request))
      const toolRuns = () => processesWith(state).some((line) => line.startsWith("sleep 300"))
      yield* until("the tool", Effect.sync(toolRuns))
      const held = yield* leases.current(sandbox)
      if (Option.isNone(held)) return assert.fail("no lease")
      yield* leases.release(held.value)
      yield* leases.acquire(sandbox, "another machine")
      yield* until("the loss", Effect.sync(() => process.log.join("").includes("lease lost")))
      const before = bridge.arrived.length
      yield* until("the tool's end", Effect.sync(() => !toolRuns()))
      yield* until("the end", Effect.map(ready, (still) => !still))
      assert.strictEqual(bridge.arrived.length, before)
      assert.deepStrictEqual(said(request.origin.threadTs), [])
      assert.strictEqual((yield* queue.depth(sandbox)).inFlight, 1)
    }))

  it.live("--all follows the rows: stops what should stop, starts what should run, exits when told to", () =>
    Effect.gen(function*() {
      const { env, leases, ready, sandboxes } = yield* world()
      const process = yield* runtime(["--all"], env)
      yield* until("readiness", ready)
      yield* sandboxes.update(sandbox, { desired: "stopped" })
      yield* until(
        "the stop",
        Effect.map(leases.current(sandbox), (lease) => Option.isSome(lease) && lease.value.expiresAt <= Date.now())
      )
      // Said after the lease is free: whoever asks for readiness looks at both.
      yield* until("what is said of it", Effect.map(ready, (yes) => !yes))
      yield* sandboxes.update(sandbox, { desired: "running" })
      yield* until("readiness again", ready)
      process.child.kill("SIGTERM")
      assert.strictEqual(yield* process.exit, 0)
    }))

  it.live("a sandbox that is destroyed answers what runs and what waits before it goes", () =>
    Effect.gen(function*() {
      const { actions, env, leases, queue, ready, said, sandboxes, state } = yield* world()
      yield* runtime(["--all"], env)
      yield* until("readiness", ready)
      const started = Path.join(statePaths(state).sandbox(sandbox).workspace, "started")
      const first = { ...slackRequest(1), text: bashScript(`touch ${started}; sleep 300`) }
      yield* queue.send(sandbox, queueEntry(first))
      yield* queue.send(sandbox, queueEntry({ ...slackRequest(2, { thread: 1 }), text: "never run script:text" }))
      yield* until("the tool", Effect.sync(() => Fs.existsSync(started)))
      yield* sandboxes.update(sandbox, { desired: "destroyed" })
      yield* until(
        "the free lease",
        Effect.map(leases.current(sandbox), (lease) => Option.isSome(lease) && lease.value.expiresAt <= Date.now())
      )
      assert.strictEqual(said(first.origin.threadTs).length, 2)
      assert.strictEqual(actions("react").filter(({ emoji }) => emoji === "octagonal_sign").length, 2)
      assert.deepStrictEqual(yield* queue.depth(sandbox), { waiting: 0, inFlight: 0, dead: 0 })
    }))

  it.live("--all keeps sandboxes apart: each answers its own messages, in its own name, from its own ledger", () =>
    Effect.gen(function*() {
      const other = { ...row, id: SandboxId.make("sb-00000002"), channel: ChannelId.make("C0OTHER") }
      const { actions, bridge, env, queue, reports } = yield* world({ others: [other] })
      yield* runtime(["--all"], env)
      yield* until(
        "readiness of both",
        Effect.map(
          reports.of([sandbox, other.id]),
          (found) => found.size === 2 && [...found.values()].every((report) => report.ready)
        )
      )
      const first = { ...slackRequest(1), text: "one script:text" }
      // The same turn key in both queues: a ledger in common would take the second for a repetition.
      const second = { ...first, origin: { ...first.origin, channel: other.channel }, text: "two script:text" }
      yield* queue.send(sandbox, queueEntry(first))
      yield* queue.send(other.id, queueEntry(second))
      yield* marked(actions, 2)
      const answers = bridge.arrived.filter(({ action }) =>
        actionsIn(action).some((one) => one["action"] === "post" && "threadTs" in one)
      )
      assert.deepStrictEqual(
        answers.map(({ action, headers }) => [headers["km-sender"], action["channel"]]).toSorted(),
        [[sandbox, channel], [other.id, other.channel]]
      )
    }))

  it.live("a sandbox without its key is not served, and its row says why", () =>
    Effect.gen(function*() {
      const { env, reports, state } = yield* world()
      Fs.rmSync(Path.join(statePaths(state).secrets, "sandbox"), { recursive: true })
      yield* runtime(["--all"], env)
      yield* until(
        "the reason",
        Effect.map(
          reports.get(sandbox),
          ({ failureReason = "" }) => failureReason.includes("KM-SLK-201")
        )
      )
    }))

  it.live("a damaged ledger is reported and left as it is; the message waits", () =>
    Effect.gen(function*() {
      const { actions, env, queue, ready, reports, state } = yield* world()
      const first = yield* runtime(["--sandbox", sandbox], env)
      yield* until("readiness", ready)
      yield* queue.send(sandbox, queueEntry({ ...slackRequest(1), text: "hello script:text" }))
      yield* marked(actions)
      first.child.kill("SIGTERM")
      assert.strictEqual(yield* first.exit, 0)
      const { ledger } = statePaths(state).sandbox(sandbox)
      const damaged = Fs.readFileSync(ledger)
      damaged.fill(0xA5, 4096, damaged.length)
      Fs.writeFileSync(ledger, damaged)
      yield* queue.send(sandbox, queueEntry(slackRequest(2)))
      yield* runtime(["--sandbox", sandbox], env)
      yield* until(
        "the reason",
        Effect.map(
          reports.get(sandbox),
          ({ failureReason = "" }) => /corrupt/.test(failureReason)
        )
      )
      assert.isFalse(yield* ready)
      assert.isTrue(Fs.readFileSync(ledger).equals(damaged))
      assert.strictEqual((yield* queue.depth(sandbox)).waiting, 1)
    }))

  it.live("refuses to start without an install, and with flags that contradict each other", () =>
    Effect.gen(function*() {
      const state = Path.join(yield* temporaryDirectory, "empty")
      const none = yield* runtime(["--all"], { KM_STATE: state })
      assert.strictEqual(yield* none.exit, 1)
      assert.include(none.log.join(""), "KM-ENG-006")
      assert.isFalse(Fs.existsSync(state))
      const both = yield* runtime(["--all", "--sandbox", sandbox], { KM_STATE: state })
      assert.strictEqual(yield* both.exit, 2)
      assert.include(both.log.join(""), "either --sandbox ID or --all")
    }))
})
