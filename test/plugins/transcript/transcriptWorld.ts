/** The transcript plugin over real files, with hooks, agent output and bridge in the test's hand. */
import { Deferred, Effect, Exit, Layer, PubSub, Queue, Redacted, Scope, Stream } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { gunzipSync } from "node:zlib"
import { TranscriptPlugin } from "../../../plugins/transcript/TranscriptPlugin.ts"
import { dueFact } from "../../../plugins/transcript/UploadQueue.ts"
import * as SessionFile from "../../../runtime/adapters/claude/SessionFile.ts"
import { MessageTs, SessionId } from "../../../runtime/domain/sandbox/Ids.ts"
import type { BridgeErrorCode } from "../../../runtime/domain/slack/BridgeProtocol.ts"
import type { HookEvent } from "../../../runtime/domain/turn/HookEvent.ts"
import { AgentOutcome, type TurnRow } from "../../../runtime/domain/turn/Turn.ts"
import { AgentEvent } from "../../../runtime/ports/Agent.ts"
import { Bridge, type BridgeCall } from "../../../runtime/ports/Bridge.ts"
import { HookEvents, type ReceivedHook } from "../../../runtime/ports/HookEvents.ts"
import * as MemoryLedger from "../../../runtime/ports/memory/MemoryLedger.ts"
import { makeMemoryLedgerState } from "../../../runtime/ports/memory/MemoryLedger.ts"
import * as MemoryObjects from "../../../runtime/ports/memory/MemoryObjects.ts"
import { makeMemoryObjectsState } from "../../../runtime/ports/memory/MemoryObjects.ts"
import { Redaction } from "../../../runtime/ports/Redaction.ts"
import { SandboxInfo } from "../../../runtime/ports/SandboxInfo.ts"
import { recordingBridge } from "../../support/RecordingBridge.ts"
import { temporaryDirectory } from "../../support/temporaryDirectory.ts"
import { channel, sandbox, sandboxInfo, slackRequest, turnRow } from "../../support/turnRows.ts"

export const session = SessionId.make("11111111-1111-4111-8111-111111111111")
export const otherSession = SessionId.make("22222222-2222-4222-8222-222222222222")
/** Under eight characters it would not be a secret; built from pieces so that no scanner takes it for one. */
export const canary = ["canary", "do", "not", "leak"].join("-")
export const token = `ghp_${"a1B2c3D4".repeat(5)}`

/** A trip through the pool that does Node's file work, which fibers under test wait for: yielding alone would not do. */
const fileTrip = Effect.andThen(Effect.promise(() => Fs.promises.stat(".")), Effect.yieldNow)
export const atRest = Effect.asVoid(Effect.repeat(fileTrip, { times: 60 }))
export const eventually = (what: string, holds: () => boolean, most = 5_000): Effect.Effect<void> =>
  Effect.suspend(() => {
    let trips = 0
    return Effect.repeat(fileTrip, { until: () => holds() || ++trips > most }).pipe(
      Effect.andThen(Effect.suspend(() => holds() ? Effect.void : Effect.die(new Error(`never came: ${what}`))))
    )
  })

export const line = {
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
export const makeWorld = Effect.gen(function*() {
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
        call: (one) => Effect.tap(call(one), () => state.deaf?.(one) ? Effect.never : Effect.void)
      }))
  ).pipe(Layer.provide(bridge.layer))
  const ports = Layer.mergeAll(
    lossy,
    MemoryLedger.layerOver(ledger),
    MemoryObjects.layerOver(objects),
    Redaction.layer,
    Layer.succeed(SandboxInfo)(SandboxInfo.of({
      ...sandboxInfo,
      directories: { ...sandboxInfo.directories, home, workspace }
    })),
    SessionFile.layer({ home, workspace }),
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
    const [observer] = instance.observers ?? []
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
    ledger,
    /** Waits until no session is to be attached any more. */
    attached: eventually("no session is due", () => (ledger.facts.get(dueFact) ?? "[]") === "[]", 500_000),
    /** The session as it was uploaded last. */
    uploaded: () => {
      const last = bridge.calls.findLast(({ action }) => action.action === "upload")?.action
      const bytes = last?.action === "upload" ? objects.objects.get(sandbox)?.get(last.object) : undefined
      return bytes === undefined ? undefined : gunzipSync(bytes).toString("utf8")
    }
  }
})
export type World = Effect.Success<typeof makeWorld>

export const rowOf = (n: number, changes: Partial<TurnRow> = {}): TurnRow =>
  turnRow(slackRequest(n), { attempt: 1, session, state: "running", ...changes })

export const answered = (row: TurnRow, text: string): TurnRow => ({
  ...row,
  state: "answered",
  result: "answered",
  outcome: AgentOutcome.cases.Answered.make({ text })
})

/** A running agent whose output the test writes. */
export const agentProcess = Effect.gen(function*() {
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

export const display = (text: string, message: string, more: Partial<HookEvent> = {}): HookEvent => ({
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
export const runTurn = Effect.fnUntraced(function*(
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
  yield* world.attached
  return shown
})
