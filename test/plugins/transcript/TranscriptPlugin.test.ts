/** The plugin over real files, with hooks, agent output and bridge in the test's hand. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, PubSub, Queue, Redacted, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { gunzipSync } from "node:zlib"
import { TranscriptPlugin } from "../../../plugins/transcript/TranscriptPlugin.ts"
import type { BridgeErrorCode } from "../../../runtime/domain/BridgeProtocol.ts"
import { sha256Hex } from "../../../runtime/domain/Digest.ts"
import type { HookEvent } from "../../../runtime/domain/HookEvent.ts"
import { MessageTs, SessionId } from "../../../runtime/domain/Ids.ts"
import { redactedMark } from "../../../runtime/domain/Redactor.ts"
import { AgentOutcome, type TurnRow } from "../../../runtime/domain/Turn.ts"
import { AgentEvent } from "../../../runtime/ports/Agent.ts"
import { Bridge, type BridgeCall } from "../../../runtime/ports/Bridge.ts"
import { HookEvents, type ReceivedHook } from "../../../runtime/ports/HookEvents.ts"
import { Ledger, makeMemoryLedgerState } from "../../../runtime/ports/Ledger.ts"
import { makeMemoryObjectsState, Objects } from "../../../runtime/ports/Objects.ts"
import { Redaction } from "../../../runtime/ports/Redaction.ts"
import { SandboxInfo } from "../../../runtime/ports/SandboxInfo.ts"
import { recordingBridge } from "../../support/RecordingBridge.ts"
import { temporaryDirectory } from "../../support/temporaryDirectory.ts"
import { channel, sandbox, sandboxInfo, slackRequest, turnRow } from "../../support/turnRows.ts"

const session = SessionId.make("11111111-1111-4111-8111-111111111111")
const otherSession = SessionId.make("22222222-2222-4222-8222-222222222222")
/** Under eight characters it would not be a secret; built from pieces so that no scanner takes it for one. */
const canary = ["canary", "do", "not", "leak"].join("-")
const token = `ghp_${"a1B2c3D4".repeat(5)}`

/** A trip through the pool that does Node's file work, which fibers under test wait for: yielding alone would not do. */
const fileTrip = Effect.andThen(Effect.promise(() => Fs.promises.stat(".")), Effect.yieldNow)
const atRest = Effect.asVoid(Effect.repeat(fileTrip, { times: 60 }))
const eventually = (what: string, holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => {
    let trips = 0
    return Effect.repeat(fileTrip, { until: () => holds() || ++trips > 5_000 }).pipe(
      Effect.andThen(Effect.suspend(() => holds() ? Effect.void : Effect.die(new Error(`never came: ${what}`))))
    )
  })

const line = {
  said: (text: string, promptId = "p1") => ({
    type: "user",
    isSidechain: false,
    promptId,
    message: { role: "user", content: text }
  }),
  text: (text: string) => ({
    type: "assistant",
    isSidechain: false,
    message: { role: "assistant", model: "m", content: [{ type: "text", text }] }
  }),
  tool: (id: string, command: string) => ({
    type: "assistant",
    isSidechain: false,
    message: { role: "assistant", model: "m", content: [{ type: "tool_use", id, name: "Bash", input: { command } }] }
  }),
  result: (id: string, promptId = "p1") => ({
    type: "user",
    isSidechain: false,
    promptId,
    message: { role: "user", content: [{ type: "tool_result", tool_use_id: id, content: "out", is_error: false }] }
  })
}

/** A sandbox on disk whose bridge, ledger and objects outlive the plugin, as they do a restart. */
const makeWorld = Effect.gen(function*() {
  const root = yield* temporaryDirectory
  const home = Path.join(root, "home")
  const workspace = Path.join(root, "workspace")
  const projects = Path.join(home, ".claude", "projects")
  const project = Path.join(projects, workspace.replace(/[^A-Za-z0-9]/g, "-"))
  Fs.mkdirSync(project, { recursive: true })
  Fs.mkdirSync(workspace)
  const state = {
    refuse: undefined as ((call: BridgeCall) => BridgeErrorCode | undefined) | undefined,
    /** The bridge has acted, and its answer never arrives. */
    deaf: undefined as ((call: BridgeCall) => boolean) | undefined
  }
  let files = 0
  const threads = new Map<string, MessageTs>()
  const bridge = recordingBridge({
    refuse: (call) => state.refuse?.(call),
    answer: ({ action }) => {
      if (action.action === "upload") return { file: { id: `F${++files}` } }
      if (action.action === "thread.put") threads.set(action.session, action.threadTs)
      if (action.action !== "thread.lookup") return undefined
      const threadTs = threads.get(action.session ?? "")
      return threadTs === undefined ? {} : { thread: { channel, threadTs } }
    }
  })
  const ledger = makeMemoryLedgerState()
  const objects = makeMemoryObjectsState()
  const hooks = yield* PubSub.unbounded<ReceivedHook>()
  const lossy = Layer.effect(
    Bridge,
    Effect.map(Bridge, ({ call }) =>
      Bridge.of({
        call: (one) => Effect.flatMap(call(one), (result) => state.deaf?.(one) ? Effect.never : Effect.succeed(result))
      }))
  ).pipe(Layer.provide(bridge.layer))
  const ports = Layer.mergeAll(
    lossy,
    Ledger.memory(ledger),
    Objects.memory(objects),
    Redaction.layer,
    Layer.succeed(SandboxInfo)(SandboxInfo.of({
      ...sandboxInfo,
      directories: { ...sandboxInfo.directories, home, workspace }
    })),
    Layer.succeed(HookEvents)(HookEvents.of({
      subscribe: PubSub.subscribe(hooks),
      issue: () => Effect.die("the plugin issues no tokens")
    }))
  )
  const start = Effect.fnUntraced(function*(notifyOnPermission = false) {
    const context = yield* Layer.build(ports)
    const redaction = yield* Effect.provide(Redaction, context)
    yield* redaction.add(Redacted.make(canary))
    const instance = yield* Effect.provide(TranscriptPlugin.start({ notifyOnPermission }), context)
    const { observer } = instance
    if (observer === undefined) return yield* Effect.die("the plugin has no observer")
    return { observer, detail: instance.detail ?? Effect.succeed("") }
  })
  const path = (of = session) => Path.join(project, `${of}.jsonl`)
  const lives = () => {
    const shown = new Map<string, string>()
    for (const { action } of bridge.calls) if (action.action === "live.set") shown.set(action.live, action.markdown)
    return [...shown.values()]
  }
  const actions = <Name extends BridgeCall["action"]["action"]>(name: Name) =>
    bridge.effects().flatMap(({ action }) =>
      action.action === name ? [action as Extract<BridgeCall["action"], { action: Name }>] : []
    )
  return {
    state,
    bridge,
    hooks,
    objects,
    home,
    projects,
    project,
    start,
    path,
    lives,
    actions,
    /** The texts of all live messages, newest state of each. */
    shown: () => lives().join("\n===\n"),
    hear: (event: HookEvent, dispatched = true) => PubSub.publishUnsafe(hooks, { event, at: 0, dispatched }),
    write: (lines: ReadonlyArray<object>, of = session) =>
      Fs.appendFileSync(path(of), lines.map((one) => `${JSON.stringify(one)}\n`).join("")),
    /** The session as it was uploaded last. */
    uploaded: () => {
      const last = bridge.calls.findLast(({ action }) => action.action === "upload")?.action
      const bytes = last?.action === "upload" ? objects.objects.get(sandbox)?.get(last.object) : undefined
      return bytes === undefined ? undefined : gunzipSync(bytes).toString("utf8")
    }
  }
})
type World = Effect.Success<typeof makeWorld>

const rowOf = (n: number, changes: Partial<TurnRow> = {}): TurnRow =>
  turnRow(slackRequest(n), { attempt: 1, session, state: "running", ...changes })

const answered = (row: TurnRow, text: string): TurnRow => ({
  ...row,
  state: "answered",
  result: "answered",
  outcome: AgentOutcome.cases.Answered.make({ text })
})

/** A running agent whose output the test writes. */
const agentProcess = Effect.gen(function*() {
  const events = yield* Queue.unbounded<AgentEvent, never>()
  const done = yield* Deferred.make<void>()
  return {
    say: (...said: ReadonlyArray<AgentEvent>) => Queue.offerAll(events, said),
    exit: Deferred.succeed(done, undefined),
    process: {
      mark: { pid: 1, startTime: "", bootId: "" },
      events: Stream.fromQueue(events).pipe(Stream.interruptWhen(Deferred.await(done))),
      outcome: Effect.never,
      interrupt: () => Effect.void,
      timeOut: () => Effect.void
    }
  }
})

const display = (text: string, message: string, more: Partial<HookEvent> = {}): HookEvent => ({
  session_id: session,
  prompt_id: "p1",
  ...more,
  hook_event_name: "MessageDisplay",
  message_id: message,
  index: 0,
  final: true,
  delta: text
})

/** One whole turn: texts on standard output, lines in the file, then the end. */
const runTurn = Effect.fnUntraced(function*(
  world: World,
  observer: Effect.Success<ReturnType<World["start"]>>["observer"],
  row: TurnRow,
  texts: ReadonlyArray<string>,
  lines: ReadonlyArray<object>
) {
  const scope = yield* Scope.make()
  yield* observer.starting(row).pipe(Scope.provide(scope))
  const agent = yield* agentProcess
  yield* observer.started(row, agent.process).pipe(Scope.provide(scope))
  yield* agent.say(...texts.map((text, ordinal) => AgentEvent.Text({ ordinal, text })))
  yield* atRest
  if (lines.length > 0) world.write(lines, row.session)
  yield* agent.exit
  const shown = yield* observer.exited(answered(row, texts.at(-1) ?? ""))
  yield* Scope.close(scope, Exit.void)
  yield* observer.posted(answered(row, texts.at(-1) ?? ""))
  return shown
})

const elsewhere = (world: World) => {
  const file = Path.join(world.home, "elsewhere.jsonl")
  Fs.writeFileSync(file, `${JSON.stringify(line.text("NOT YOURS"))}\n`)
  return file
}

const uploads = (world: World) => world.actions("upload").map(({ filename, replaces }) => ({ filename, replaces }))

const said = (prompt: string, promptId = "p1", more: Partial<HookEvent> = {}): HookEvent => ({
  session_id: session,
  prompt_id: promptId,
  ...more,
  hook_event_name: "UserPromptSubmit",
  prompt
})
const stop = (text: string, promptId = "p1"): HookEvent => ({
  session_id: session,
  prompt_id: promptId,
  hook_event_name: "Stop",
  last_assistant_message: text
})
const headers = (world: World) => world.actions("post").filter((post) => post.threadTs === undefined)

describe("transcript: turns of the pipeline", () => {
  it.effect("shows text and tools as they come, and the whole answer at the end, which is then the answer", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { detail, observer } = yield* world.start()
      const row = rowOf(1)
      const scope = yield* Scope.make()
      yield* observer.starting(row).pipe(Scope.provide(scope))
      const agent = yield* agentProcess
      yield* observer.started(row, agent.process).pipe(Scope.provide(scope))
      world.hear(display("I look around.", "m1"))
      yield* atRest
      assert.deepStrictEqual(world.lives(), ["I look around."])
      yield* agent.say(
        AgentEvent.Text({ ordinal: 0, text: "I look around." }),
        AgentEvent.ToolUsed({ id: "t1", name: "Bash", input: { command: `curl -H ${canary}` } }),
        AgentEvent.Text({ ordinal: 1, text: "It is done." })
      )
      yield* atRest
      yield* TestClock.adjust("1 second")
      yield* atRest
      const whole = `I look around.\n\n🔧 Bash: \`curl -H ${redactedMark}\`\n\nIt is done.`
      assert.deepStrictEqual(world.lives(), [whole])
      world.write([
        line.said("hello"),
        line.text("I look around."),
        line.tool("t1", "curl"),
        line.result("t1"),
        line.text("It is done.")
      ])
      yield* agent.exit
      const shown = yield* observer.exited(answered(row, "It is done."))
      assert.deepStrictEqual(world.lives(), [whole])
      assert.deepStrictEqual(shown.map(({ sha256 }) => sha256), [sha256Hex("It is done.")])
      assert.strictEqual(world.bridge.calls.at(-1)?.patience, "durable")
      assert.deepStrictEqual(
        world.bridge.calls.map(({ action }) => "threadTs" in action ? action.threadTs : undefined),
        world.bridge.calls.map(() => slackRequest(1).origin.threadTs)
      )
      assert.notInclude(yield* detail, "hooks are off")
      yield* Scope.close(scope, Exit.void)
    }))

  it.effect("takes what no hook and no output told from the file, and a missing answer from the outcome", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { observer } = yield* world.start()
      world.write([line.said("earlier"), line.text("Of an earlier turn.")])
      const row = rowOf(1, { resumed: true })
      yield* Effect.scoped(observer.starting(row))
      world.write([line.said("now", "p2"), line.text("From the file."), line.tool("t", "ls")])
      Fs.appendFileSync(world.path(), "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"te")
      const shown = yield* observer.exited(answered(row, "From the outcome."))
      assert.strictEqual(world.shown(), "From the file.\n\n🔧 Bash: `ls`\n\nFrom the outcome.")
      assert.strictEqual(shown.length, 1)
    }))

  it.effect("shows nothing as the answer when the turn failed, keeps what was said, and says when hooks are off", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { detail, observer } = yield* world.start()
      const row = rowOf(1)
      const scope = yield* Scope.make()
      yield* observer.starting(row).pipe(Scope.provide(scope))
      const agent = yield* agentProcess
      yield* observer.started(row, agent.process).pipe(Scope.provide(scope))
      yield* agent.say(
        AgentEvent.Text({ ordinal: 0, text: "Half a sen" }),
        AgentEvent.ApiRetry({ attempt: 1, maxRetries: 4, status: 529, error: "overloaded" })
      )
      yield* atRest
      yield* TestClock.adjust("1 second")
      yield* atRest
      assert.include(world.shown(), "retry 1 of 4")
      yield* agent.exit
      const shown = yield* observer.exited({
        ...row,
        state: "answered",
        result: "cancelled",
        outcome: AgentOutcome.cases.Cancelled.make({ by: "anna" })
      })
      assert.deepStrictEqual(shown, [])
      assert.strictEqual(world.shown(), "Half a sen")
      assert.include(yield* detail, "KM-AGT-093")
      yield* Scope.close(scope, Exit.void)
    }))

  it.effect("after a restart shows an exited turn whole, in the same message", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const first = yield* Scope.make()
      const row = rowOf(1)
      const { observer } = yield* world.start().pipe(Scope.provide(first))
      yield* Effect.scoped(observer.starting(row))
      world.hear(display("One.", "m1"))
      yield* atRest
      yield* Scope.close(first, Exit.void)
      world.write([line.said("x"), line.text("One."), line.text("Two.")])
      yield* TestClock.adjust("1 second")
      const second = yield* world.start()
      const shown = yield* second.observer.exited(answered(row, "Two."))
      assert.deepStrictEqual(world.lives(), ["One.\n\nTwo."])
      const again = yield* second.observer.exited(answered(row, "Two."))
      assert.deepStrictEqual(again.map(({ sha256 }) => sha256), shown.map(({ sha256 }) => sha256))
    }))

  it.effect("goes on in the same message when the agent is started a second time", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { observer } = yield* world.start()
      const row = rowOf(1)
      yield* Effect.scoped(observer.starting(row))
      world.write([line.said("x"), line.text("Before the crash.")])
      yield* TestClock.adjust("1 second")
      const restarted = yield* world.start()
      yield* runTurn(world, restarted.observer, rowOf(1, { attempt: 2, resumed: true }), ["After it."], [
        line.said("continue", "p2"),
        line.text("After it.")
      ])
      assert.deepStrictEqual(world.lives(), ["Before the crash.\n\nAfter it."])
    }))

  it.effect("does not hold a turn up when the bridge refuses", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { observer } = yield* world.start()
      world.state.refuse = () => "is_archived"
      assert.deepStrictEqual(yield* runTurn(world, observer, rowOf(1), ["Hi."], [line.text("Hi.")]), [])
    }))
})

describe("transcript: hostile files", () => {
  const cases: ReadonlyArray<readonly [string, (world: World) => void]> = [
    ["a missing file", () => {}],
    ["a symbolic link", (world) => Fs.symlinkSync(elsewhere(world), world.path())],
    ["a hard link", (world) => Fs.linkSync(elsewhere(world), world.path())],
    ["a FIFO", (world) => void execFileSync("mkfifo", [world.path()])],
    ["a directory", (world) => Fs.mkdirSync(world.path())],
    ["a huge file", (world) => {
      Fs.writeFileSync(world.path(), `${JSON.stringify(line.text("NOT YOURS"))}\n`)
      Fs.truncateSync(world.path(), 300 * 1024 * 1024)
    }],
    ["a linked project directory", (world) => {
      const real = Path.join(world.home, "real")
      Fs.mkdirSync(real)
      Fs.writeFileSync(Path.join(real, `${session}.jsonl`), `${JSON.stringify(line.text("NOT YOURS"))}\n`)
      Fs.rmdirSync(world.project)
      Fs.symlinkSync(real, world.project)
    }],
    ["a linked configuration directory", (world) => {
      Fs.writeFileSync(world.path(), `${JSON.stringify(line.text("NOT YOURS"))}\n`)
      Fs.renameSync(Path.join(world.home, ".claude"), Path.join(world.home, "moved"))
      Fs.symlinkSync(Path.join(world.home, "moved"), Path.join(world.home, ".claude"))
    }],
    ["a file in the directory's place", (world) => {
      Fs.rmdirSync(world.project)
      Fs.writeFileSync(world.project, "x")
    }]
  ]
  for (const [name, plant] of cases) {
    it.effect(`is neither led astray nor held up by ${name}`, () =>
      Effect.gen(function*() {
        const world = yield* makeWorld
        const { observer } = yield* world.start()
        plant(world)
        const shown = yield* runTurn(world, observer, rowOf(1), ["The answer."], [])
        assert.strictEqual(shown.length, 1)
        assert.deepStrictEqual(world.lives(), ["The answer."])
        assert.deepStrictEqual(world.actions("upload"), [])
        assert.strictEqual(world.objects.objects.get(sandbox)?.size ?? 0, 0)
      }))
  }

  it.effect("reads past garbage, and never the path that a hook names", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { observer } = yield* world.start()
      const row = rowOf(1)
      yield* Effect.scoped(observer.starting(row))
      world.hear(display("Hi.", "m", { transcript_path: elsewhere(world) }))
      Fs.writeFileSync(world.path(), "\0\xff{}\n[[[[\n{\"type\":\"assistant\"}\nnull\n")
      world.write([line.text("Hi."), { ...line.text("of a subagent"), isSidechain: true }])
      yield* observer.exited(answered(row, "Hi."))
      assert.deepStrictEqual(world.lives(), ["Hi."])
    }))
})

describe("transcript: the attached session", () => {
  const filename = `claude-transcript-${session}.jsonl.gz`

  it.effect("is one file for a session and thread: each upload replaces the one before, after a restart too", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const thread = { thread: 1 }
      const first = yield* Scope.make()
      const { observer } = yield* world.start().pipe(Scope.provide(first))
      yield* runTurn(world, observer, rowOf(1), ["One."], [line.said("a"), line.text("One.")])
      yield* Scope.close(first, Exit.void)
      const second = yield* world.start()
      yield* runTurn(
        world,
        second.observer,
        rowOf(2, { request: slackRequest(2, thread), resumed: true }),
        ["Two."],
        [line.said("b", "p2"), line.text("Two.")]
      )
      assert.deepStrictEqual(uploads(world), [{ filename, replaces: undefined }, { filename, replaces: "F1" }])
      assert.strictEqual(world.objects.objects.get(sandbox)?.size, 1)
      assert.strictEqual(world.uploaded(), Fs.readFileSync(world.path(), "utf8"))
      assert.deepStrictEqual(world.lives(), ["One.", "Two."], "the second turn does not repeat the first")
    }))

  it.effect("is not sent again when nothing has changed", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { observer } = yield* world.start()
      const row = answered(rowOf(1), "One.")
      yield* runTurn(world, observer, rowOf(1), ["One."], [line.text("One.")])
      yield* observer.posted(row)
      yield* observer.posted({ ...row, key: slackRequest(9).key })
      assert.strictEqual(uploads(world).length, 1)
      assert.strictEqual(world.objects.objects.get(sandbox)?.size, 1)
    }))

  it.effect("a crash between the upload and its record neither doubles nor forgets a file", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const crashing = yield* Scope.make()
      const dying = yield* world.start().pipe(Scope.provide(crashing))
      world.write([line.text("One.")])
      const row = answered(rowOf(1), "One.")
      world.state.deaf = ({ action }) => action.action === "upload"
      const posting = yield* Effect.forkChild(dying.observer.posted(row))
      yield* eventually("the upload", () => uploads(world).length === 1)
      yield* Fiber.interrupt(posting)
      yield* Scope.close(crashing, Exit.void)
      world.state.deaf = undefined
      const { observer } = yield* world.start()
      yield* observer.posted(row)
      yield* observer.posted(row)
      world.write([line.text("Two.")])
      yield* observer.posted({ ...row, key: slackRequest(2).key })
      assert.deepStrictEqual(uploads(world), [{ filename, replaces: undefined }, { filename, replaces: "F1" }])
    }))

  it.effect("holds no secret, and every line of it is still JSON", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { observer } = yield* world.start()
      const basic = Buffer.from(`x:${canary}`).toString("base64")
      const pem = `-----BEGIN ${"PRIVATE KEY"}-----\nAAAA\n-----END ${"PRIVATE KEY"}-----`
      const secrets = [`say "${canary}"\n${token}`, `Basic ${basic}`, JSON.stringify({ key: canary }), pem]
      const lines = [...secrets.map(line.text), { [canary]: { deep: [token] } }, { type: "plain", n: 1.5 }]
      yield* runTurn(world, observer, rowOf(1), [`${canary} and ${token}`], lines)
      const uploaded = world.uploaded() ?? ""
      for (const secret of [canary, token, basic.slice(4, 16), "AAAA"]) {
        assert.notInclude(uploaded, secret)
        assert.notInclude(JSON.stringify(world.bridge.calls), secret)
      }
      const parsed = uploaded.trimEnd().split("\n").map((text): unknown => JSON.parse(text))
      assert.strictEqual(parsed.length, lines.length)
      assert.deepStrictEqual(parsed.at(-1), { type: "plain", n: 1.5 })
    }))
})

describe("transcript: sessions a person started", () => {
  it.effect("have one thread, also after a restart, one live message a prompt, and one attached file", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const first = yield* Scope.make()
      yield* world.start().pipe(Scope.provide(first))
      world.hear({ session_id: session, hook_event_name: "SessionStart", source: "startup" }, false)
      yield* atRest
      assert.deepStrictEqual(world.bridge.calls, [], "a session without a prompt opens no thread")
      world.hear(said(`what is ${canary}?`), false)
      yield* eventually("the quote", () => world.shown().includes("> what is"))
      world.hear(display("An answer.", "m1"), false)
      yield* atRest
      yield* TestClock.adjust("1 second")
      yield* eventually("the live message", () => world.shown().includes("An answer."))
      assert.strictEqual(world.shown(), `> what is ${redactedMark}?\n\nAn answer.`)
      world.write([line.said("x"), line.text("An answer.")])
      world.hear(stop("An answer."), false)
      yield* eventually("the upload", () => world.actions("upload").length === 1)
      yield* Scope.close(first, Exit.void)

      yield* TestClock.adjust("1 second")
      yield* world.start()
      world.hear(said("and now?", "p2"), false)
      world.hear(display("Another.", "m2", { prompt_id: "p2" }), false)
      world.write([line.said("y", "p2"), line.text("Another.")])
      world.hear(stop("Another.", "p2"), false)
      world.hear({ session_id: session, hook_event_name: "SessionEnd", reason: "other" }, false)
      yield* eventually("the second upload", () => world.actions("upload").length === 2)
      assert.strictEqual(headers(world).length, 1)
      assert.strictEqual(world.actions("thread.put").length, 1)
      assert.deepStrictEqual(world.lives(), [
        `> what is ${redactedMark}?\n\nAn answer.`,
        "> and now?\n\nAnother."
      ])
      assert.deepStrictEqual(world.actions("upload").map(({ replaces }) => replaces), [undefined, "F1"])
      assert.strictEqual(
        new Set(
          world.bridge.calls.flatMap(({ action }) =>
            action.action === "live.set" || action.action === "upload" ? [action.threadTs] : []
          )
        ).size,
        1
      )
    }))

  it.effect("use the thread that a dispatched turn bound to the session", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const bound = MessageTs.make("1699999999.000001")
      yield* world.start()
      yield* Effect.gen(function*() {
        const bridge = yield* Bridge
        yield* bridge.call({ key: "b", action: { action: "thread.put", channel, threadTs: bound, session } })
      }).pipe(Effect.provide(world.bridge.layer))
      world.hear(said("hi"), false)
      yield* eventually("the live message", () => world.shown().includes("hi"))
      assert.deepStrictEqual(headers(world), [])
      assert.strictEqual(world.actions("live.set")[0]?.threadTs, bound)
    }))

  it.effect("never open a thread for a subagent, nor for a dispatched run's hooks", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.start()
      world.hear(said("sub", "p1", { agent_id: "a1" }), false)
      world.hear(display("sub", "m1", { agent_id: "a1" }), false)
      world.hear(said("dispatched", "p1", { session_id: otherSession }), true)
      yield* atRest
      yield* TestClock.adjust("10 seconds")
      yield* atRest
      assert.deepStrictEqual(world.bridge.calls, [])
    }))

  it.effect("show the Stop hook's text when the file does not have it within five seconds, and not before", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.start()
      world.hear(said("hi"), false)
      yield* eventually("the quote", () => world.shown().includes("hi"))
      world.hear(stop("Only the hook knows."), false)
      for (let elapsed = 0; elapsed < 4_900; elapsed += 100) {
        yield* atRest
        yield* TestClock.adjust("100 millis")
      }
      assert.notInclude(world.shown(), "Only the hook")
      for (let elapsed = 0; elapsed < 1_000; elapsed += 100) {
        yield* atRest
        yield* TestClock.adjust("100 millis")
      }
      yield* eventually("the text", () => world.shown().includes("Only the hook knows."))
      assert.notInclude(world.shown(), "working")
    }))

  it.effect("keep what was streamed when a prompt is interrupted and nothing ends it but the session", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.start()
      world.hear(said("write a poem"), false)
      world.hear({ ...display("Roses are red,\n", "m1"), final: false } as HookEvent, false)
      world.hear({ session_id: session, hook_event_name: "SessionEnd" }, false)
      yield* eventually(
        "the end",
        () => world.bridge.calls.some(({ action, patience }) => action.action === "live.set" && patience === "durable")
      )
      assert.strictEqual(world.shown(), "> write a poem\n\nRoses are red,")
    }))

  it.effect("announce a permission request when the profile says so, each one once", () =>
    Effect.gen(function*() {
      for (const notify of [true, false]) {
        const world = yield* makeWorld
        yield* world.start(notify)
        world.hear(said("go"), false)
        world.hear({
          session_id: session,
          hook_event_name: "Notification",
          notification_type: "permission_prompt",
          message: `Claude wants ${canary}`
        }, false)
        world.hear({ session_id: session, hook_event_name: "Notification", notification_type: "idle_prompt" }, false)
        yield* eventually("the thread", () => world.lives().length === 1)
        yield* atRest
        const posts = world.actions("post").filter((post) => post.threadTs !== undefined).map((post) => post.markdown)
        assert.deepStrictEqual(posts, notify ? [`🔐 Claude wants ${redactedMark}`] : [])
      }
    }))

  it.effect("open a bounded number of threads in an hour, whatever the agent forges", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.start()
      for (let n = 0; n < 40; n++) {
        const forged = SessionId.make(`33333333-3333-4333-8333-${String(n).padStart(12, "0")}`)
        world.hear(said("forged", "p", { session_id: forged }), false)
      }
      yield* eventually("the threads", () => headers(world).length >= 30)
      yield* atRest
      assert.strictEqual(headers(world).length, 30)
    }))
})

describe("transcript: the plugin", () => {
  it("is switched by its flag and by Slack's", () => {
    const { profile } = sandboxInfo
    assert.isTrue(TranscriptPlugin.enabled(profile))
    for (const off of [{ notifySlackEnabled: false }, { notifySlackTranscriptEnabled: false }]) {
      const cli = { ...profile.spec.cli, ...off }
      assert.isFalse(TranscriptPlugin.enabled({ ...profile, spec: { ...profile.spec, cli } }))
    }
    assert.deepStrictEqual(TranscriptPlugin.configure(profile), { notifyOnPermission: false })
  })
})
