/** One turn in a worker's hands, step by step: what the agent, the origin and the observers are asked, and in which order. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, FileSystem, Layer, Logger, Option, PubSub, Stream } from "effect"
import type { SessionId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { AgentOutcome, type TurnRow } from "../../../../runtime/domain/turn/Turn.ts"
import { personFrame } from "../../../../runtime/domain/turn/TurnFrame.ts"
import { LedgerHealth } from "../../../../runtime/kernel/turns/LedgerHealth.ts"
import { freshSession, messageUuid, sessionLostNotice } from "../../../../runtime/kernel/turns/Prompt.ts"
import { makeAdvance, makeJob } from "../../../../runtime/kernel/turns/TurnJob.ts"
import { receivedRow, replayRequest } from "../../../../runtime/kernel/turns/TurnMachine.ts"
import { type Addition, TurnParties } from "../../../../runtime/kernel/turns/TurnParties.ts"
import { makeWorker, type WorkerOptions } from "../../../../runtime/kernel/turns/TurnWorker.ts"
import {
  Agent,
  AgentEvent,
  AgentNotStarted,
  type AgentProcess,
  type AgentRun
} from "../../../../runtime/ports/Agent.ts"
import { Ledger } from "../../../../runtime/ports/Ledger.ts"
import * as MemoryLedger from "../../../../runtime/ports/memory/MemoryLedger.ts"
import { makeMemoryLedgerState } from "../../../../runtime/ports/memory/MemoryLedger.ts"
import * as MemoryTurnRecords from "../../../../runtime/ports/memory/MemoryTurnRecords.ts"
import { makeMemoryTurnRecordsState } from "../../../../runtime/ports/memory/MemoryTurnRecords.ts"
import { type OriginHandler, PluginId, type TurnObserver, Undeliverable } from "../../../../runtime/ports/Plugin.ts"
import { Redaction } from "../../../../runtime/ports/Redaction.ts"
import { elapse, message } from "../simulation/Simulation.ts"
import { sandbox } from "../simulation/World.ts"

const request = message(1, 1).request
const received = receivedRow(request, "r1", 0)
const thread = freshSession(sandbox, request.key, 9)
const token = `ghp_${"a1".repeat(18)}`
const answered = AgentOutcome.cases.Answered.make({ text: "done" })
const mark = { pid: 7, startTime: "1", bootId: "b" }

interface Parts {
  readonly addition?: Addition
  readonly row?: TurnRow
  readonly agent?: Partial<Agent["Service"]>
  readonly process?: Partial<AgentProcess>
  readonly origin?: Partial<OriginHandler>
  readonly observer?: Partial<TurnObserver>
  readonly options?: Partial<WorkerOptions>
  readonly makeDirectory?: FileSystem.FileSystem["makeDirectory"]
  readonly ledgerRows?: ReadonlyArray<TurnRow>
}

/** A worker over scripted ports; `said` is the order in which they were asked. */
const worker = Effect.fnUntraced(function*(parts: Parts) {
  const said: Array<string> = []
  const starts: Array<AgentRun> = []
  const say = (text: string) => Effect.sync(() => void said.push(text))
  const row = parts.row ?? received
  const state = makeMemoryLedgerState()
  const records = makeMemoryTurnRecordsState()
  for (const each of [row, ...parts.ledgerRows ?? []]) state.rows.set(each.key, each)
  const process: AgentProcess = {
    mark,
    events: Stream.empty,
    outcome: Effect.succeed(answered),
    interrupt: (by) => say(`interrupt ${by}`),
    timeOut: (after) => say(`timeOut ${after}`),
    ...parts.process
  }
  const agent = Agent.of({
    start: (run) =>
      Effect.sync(() => {
        starts.push(run)
        said.push("start")
        return process
      }),
    recover: () => Effect.as(say("recover"), Option.none()),
    sessionExists: () => Effect.succeed(true),
    confinement: Effect.succeed({ confined: true, detail: "" }),
    ...parts.agent
  })
  const origin: OriginHandler = {
    kind: "slack",
    environment: () => ({ KM_TEST: "1" }),
    frame: ({ request: asked }) => Effect.succeed(personFrame({ sender: "Ada", place: "#x", ...asked })),
    prepare: () => Effect.undefined,
    starting: () => say("⏳"),
    settle: (_, shown) => Effect.as(say(`settle ${shown.length}`), []),
    notice: (_, step, text) => say(`notice ${step} ${text === sessionLostNotice}`),
    replaying: (parked, now) => say(`replaying ${parked.key} ${now.key}`),
    close: (_, session) => say(session === undefined ? "close" : "close, remember"),
    finish: (now) => say(`finish ${now.receipt}`),
    ...parts.origin
  }
  const observer: TurnObserver = {
    starting: () => Effect.andThen(say("watch"), Effect.addFinalizer(() => say("unwatch"))),
    started: () => say("started"),
    exited: () => Effect.as(say("exited"), []),
    posted: () => say("posted"),
    ...parts.observer
  }
  const layer = Layer.mergeAll(
    LedgerHealth.layer.pipe(Layer.provideMerge(MemoryLedger.layerOver(state))),
    TurnParties.layer,
    Redaction.layer,
    MemoryTurnRecords.layerOver(records),
    Layer.succeed(Agent, agent),
    FileSystem.layerNoop({
      makeDirectory: parts.makeDirectory ?? ((path, options) => say(`mkdir ${path} ${options?.mode?.toString(8)}`))
    }),
    Logger.layer([])
  )
  const services = yield* Layer.build(layer)
  return yield* Effect.gen(function*() {
    const parties = yield* TurnParties
    yield* parties.addOrigin(PluginId.make("origin"), origin)
    yield* parties.addObserver(PluginId.make("observer"), observer)
    if (parts.addition !== undefined) yield* parties.addAddition(PluginId.make("adding"), parts.addition)
    const changes = yield* PubSub.unbounded<TurnRow>()
    const advance = makeAdvance(yield* Ledger, yield* LedgerHealth, {
      runDir: (_, attempt) => `/run/${attempt}`,
      freshSession: (key, attempt) => freshSession(sandbox, key, attempt)
    }, changes)
    const running: Array<number> = []
    const work = yield* makeWorker({
      sandbox,
      joined: () => [],
      turnTimeoutMillis: 60_000,
      advance,
      agentRunning: (delta) => void running.push(delta),
      agentPermit: () => Effect.acquireRelease(say("permit"), () => say("permit back")),
      mayStart: () => Effect.void,
      ...parts.options
    })
    const job = makeJob(row)
    const fiber = yield* Effect.forkChild(work(job), { startImmediately: true })
    return { job, fiber, said, starts, running, ledger: state.rows, records }
  }).pipe(Effect.provideContext(services))
})

const whole = Effect.fnUntraced(function*(parts: Parts) {
  const made = yield* worker(parts)
  yield* Fiber.join(made.fiber)
  return made
})

describe("TurnWorker", () => {
  it.effect("goes from the message to the mark in one order", () =>
    Effect.gen(function*() {
      const { job, running, said, starts } = yield* whole({})
      // ⏳ does not hold the agent up: it only has to be there before the mark.
      assert.isBelow(said.indexOf("⏳"), said.indexOf("close, remember"))
      assert.deepStrictEqual(said.filter((each) => each !== "⏳"), [
        "permit",
        "mkdir /run/1 700",
        "watch",
        "start",
        "started",
        "permit back",
        "exited",
        "unwatch",
        "settle 0",
        "close, remember",
        "posted",
        "finish r1"
      ])
      assert.deepStrictEqual(running, [1, -1])
      assert.deepInclude(job.row, { state: "settled", result: "answered", process: mark, finishedAt: 0 })
      assert.lengthOf(starts, 1)
      const { prompt, ...run } = starts[0] as AgentRun
      assert.deepStrictEqual(run, {
        turn: request.key,
        attempt: 1,
        session: freshSession(sandbox, request.key, 1),
        mode: "fresh",
        runDir: "/run/1",
        messageUuid: messageUuid(request.key, 1),
        env: { KM_TEST: "1" },
        contributions: []
      })
      assert.include(prompt, "Message from Ada in #x")
      assert.isTrue(prompt.endsWith(`\n\n${request.text}`))
    }).pipe(Effect.scoped))

  it.effect("gives the agent what plugins add, and tells it their lines with the message, not when it continues", () =>
    Effect.gen(function*() {
      const agent = { env: { KM_ADDED: "1" }, path: ["/programs"] }
      const addition = { agent, promptLines: () => Effect.succeed(["You may push to fix/*."]) }
      const first = yield* whole({ addition })
      assert.deepStrictEqual(first.starts.map(({ contributions }) => contributions), [[{ ...agent, doors: [] }]])
      assert.include(first.starts[0]?.prompt, "\n[km] You may push to fix/*.\n")
      const lives = { crashed: false }
      const again = yield* whole({
        addition,
        process: {
          outcome: Effect.sync(() => {
            if (lives.crashed) return AgentOutcome.cases.Answered.make({ text: "done" })
            lives.crashed = true
            return AgentOutcome.cases.Crashed.make({ detail: "killed" })
          })
        }
      })
      assert.lengthOf(again.starts, 2)
      assert.match(again.starts[1]?.prompt ?? "", /^\[km\] You were interrupted/)
      assert.notInclude(again.starts[1]?.prompt, "You may push")
      assert.lengthOf(again.starts[1]?.contributions ?? [], 1)
    }).pipe(Effect.scoped))

  it.effect("says in the thread what plugins tell of a turn, in one post each, before its outcome", () =>
    Effect.gen(function*() {
      const posts: Array<readonly [step: string, text: string]> = []
      const told = yield* whole({
        addition: { notices: ({ key }) => Effect.succeed([`of ${key}`, "more"]) },
        origin: { notice: (_, step, text) => Effect.sync(() => void posts.push([step, text])) }
      })
      assert.deepStrictEqual(posts.map(([, text]) => text), [`of ${told.job.row.key}\nmore`])
      assert.match(posts[0]?.[0] ?? "", /^told-[a-z-]+$/)
      const silent = yield* whole({ addition: { notices: () => Effect.succeed([]) } })
      assert.notInclude(silent.said.join(), "notice")
      const order = yield* whole({ addition: { notices: () => Effect.succeed(["one"]) } })
      const at = order.said.findIndex((each) => each.startsWith("notice told-"))
      assert.isAbove(at, order.said.indexOf("exited"))
      assert.isBelow(at, order.said.indexOf("settle 0"))
      const unbegun = yield* whole({
        row: { ...received, cancelRequestedBy: "Ada" },
        addition: { notices: () => Effect.succeed(["one"]) }
      })
      assert.notInclude(unbegun.said.join(), "notice", "an agent that never ran did nothing")
    }).pipe(Effect.scoped))

  it.effect("resumes the thread's session; one that is no session's name is none", () =>
    Effect.gen(function*() {
      const known = yield* whole({ origin: { prepare: () => Effect.succeed(thread) } })
      assert.deepInclude(known.starts[0], { session: thread, mode: "resume" })
      const rubbish = yield* whole({ origin: { prepare: () => Effect.succeed("../x") } })
      assert.deepInclude(rubbish.starts[0], { mode: "fresh" })
      const gone = yield* whole({
        origin: { prepare: () => Effect.succeed(thread) },
        agent: { sessionExists: (session) => Effect.succeed(session !== thread) }
      })
      assert.deepInclude(gone.starts[0], { mode: "fresh" })
      assert.strictEqual(gone.said.filter((each) => each.startsWith("notice")).join(), "notice session-lost true")
      assert.isBelow(gone.said.indexOf("⏳"), gone.said.indexOf("notice session-lost true"))
    }).pipe(Effect.scoped))

  it.effect("a turn that was stopped before it began asks for nothing and shows that it was", () =>
    Effect.gen(function*() {
      const { job, said } = yield* whole({ row: { ...received, cancelRequestedBy: "Ada" } })
      assert.strictEqual(job.row.result, "cancelled")
      assert.deepStrictEqual(said, ["permit", "permit back", "settle 0", "close", "finish r1"])
    }).pipe(Effect.scoped))

  it.effect("what is written of an outcome has no secret in it", () =>
    Effect.gen(function*() {
      const cases = [
        AgentOutcome.cases.Answered.make({ text: `see ${token}` }),
        AgentOutcome.cases.Failed.make({ code: "KM-AGT-001", reason: `no ${token}`, remedy: `use ${token}` })
      ]
      for (const outcome of cases) {
        const { job } = yield* whole({ process: { outcome: Effect.succeed(outcome) } })
        assert.notInclude(JSON.stringify(job.row), token)
        assert.strictEqual(job.row.outcome?._tag, outcome._tag)
        assert.deepStrictEqual(Object.keys(job.row.outcome ?? {}), Object.keys(outcome))
      }
      const crash = yield* whole({
        process: { outcome: Effect.succeed(AgentOutcome.cases.Crashed.make({ detail: token })) },
        agent: { sessionExists: () => Effect.succeed(false) }
      })
      assert.deepInclude(crash.job.row.outcome, { code: "KM-TRN-004" })
    }).pipe(Effect.scoped))

  it.effect("recovers a run that nobody watches: what it came to, else what is on disk decides", () =>
    Effect.gen(function*() {
      const row: TurnRow = {
        ...received,
        state: "running",
        attempt: 1,
        session: thread,
        runDir: "/run/1",
        process: mark,
        says: "message"
      }
      let asked: unknown
      const found = yield* whole({
        row,
        agent: { recover: (run) => Effect.sync(() => (asked = run, Option.some(answered))) }
      })
      assert.deepStrictEqual(asked, { runDir: "/run/1", session: thread, process: Option.some(mark) })
      assert.strictEqual(found.job.row.result, "answered")
      assert.notInclude(found.said, "start")
      const continued = yield* whole({ row })
      assert.deepInclude(continued.starts[0], { session: thread, mode: "resume", attempt: 2, runDir: "/run/2" })
      assert.include(continued.starts[0]?.prompt ?? "", "You were interrupted")
      assert.notInclude(continued.starts[0]?.prompt ?? "", request.text)
      let uuid: unknown
      const unsaid = yield* whole({
        row,
        agent: { messageReceived: (run) => Effect.sync(() => (uuid = run, false)) }
      })
      assert.deepStrictEqual(uuid, { session: thread, runDir: "/run/1", messageUuid: messageUuid(request.key, 1) })
      assert.isTrue(unsaid.starts[0]?.prompt.endsWith(request.text))
      const { runDir: _, ...nowhere } = row
      const lost = yield* whole({ row: nowhere, agent: { recover: () => Effect.die("must not be asked") } })
      assert.deepInclude(lost.job.row.outcome, { code: "KM-TRN-004" })
    }).pipe(Effect.scoped))

  it.effect("a question that the agent's adapter dies of is asked again after 1, 2, 4 … at most 60 s", () =>
    Effect.gen(function*() {
      let calls = 0
      const made = yield* worker({
        origin: { prepare: () => Effect.succeed(thread) },
        agent: { sessionExists: () => Effect.suspend(() => ++calls > 8 ? Effect.succeed(true) : Effect.die("bug")) }
      })
      for (const [index, seconds] of [1, 2, 4, 8, 16, 32, 60, 60].entries()) {
        assert.strictEqual(calls, index + 1)
        yield* elapse(`${seconds * 1_000 - 1} millis`)
        assert.strictEqual(calls, index + 1, `before ${seconds} s`)
        yield* elapse("1 millis")
      }
      yield* Fiber.join(made.fiber)
      assert.deepInclude(made.starts[0], { session: thread, mode: "resume" })
    }).pipe(Effect.scoped))

  it.effect("an agent that cannot be started, and a directory that cannot be made, are failures with their code", () =>
    Effect.gen(function*() {
      const refused = yield* whole({
        agent: {
          start: () => Effect.fail(new AgentNotStarted({ code: "KM-AGT-001", reason: "no cli", remedy: "install it" }))
        }
      })
      assert.deepInclude(refused.job.row, { result: "failed" })
      assert.deepInclude(refused.job.row.outcome, { code: "KM-AGT-001", reason: "no cli", remedy: "install it" })
      const full = yield* whole({ makeDirectory: () => Effect.die("disk") })
      assert.deepInclude(full.job.row.outcome, { code: "KM-TRN-001" })
      assert.notInclude(full.said, "start")
      assert.deepStrictEqual(full.running, [])
      const dying = yield* whole({
        agent: { start: () => Effect.die("bug"), sessionExists: () => Effect.succeed(true) }
      })
      // The driver's own crash counts like the agent's: continued once, then parked.
      assert.deepInclude(dying.job.row, { result: "parked", attempt: 2, crashes: 2 })
      assert.deepStrictEqual(dying.running, [1, -1, 1, -1])
    }).pipe(Effect.scoped))

  it.effect("a stop asks the agent to end, and gives it up 30 s later", () =>
    Effect.gen(function*() {
      const made = yield* worker({ process: { outcome: Effect.never } })
      yield* Deferred.succeed(made.job.stop, "Ada")
      yield* elapse("29999 millis")
      assert.include(made.said, "interrupt Ada")
      assert.strictEqual(made.job.row.state, "running")
      yield* elapse("1 millis")
      yield* Fiber.join(made.fiber)
      assert.deepInclude(made.job.row, { result: "cancelled", state: "settled" })
      assert.deepInclude(made.job.row.outcome, { by: "Ada" })
    }).pipe(Effect.scoped))

  it.effect("the wall clock ends an agent, also one whose adapter never returns from being told", () =>
    Effect.gen(function*() {
      const told: Array<number> = []
      const made = yield* worker({
        process: {
          outcome: Effect.never,
          timeOut: (after) => Effect.andThen(Effect.sync(() => void told.push(after)), Effect.never)
        }
      })
      yield* elapse("59999 millis")
      assert.deepStrictEqual(told, [])
      yield* elapse("1 millis")
      assert.deepStrictEqual(told, [60_000])
      yield* elapse("30 seconds")
      yield* Fiber.join(made.fiber)
      assert.strictEqual(made.job.row.result, "expired")
      assert.deepInclude(made.job.row.outcome, { afterMillis: 60_000 })
    }).pipe(Effect.scoped))

  it.effect("a start that waits for ever is ended by a stop", () =>
    Effect.gen(function*() {
      const made = yield* worker({ agent: { start: () => Effect.never } })
      yield* Deferred.succeed(made.job.stop, "Ada")
      yield* Fiber.join(made.fiber)
      assert.strictEqual(made.job.row.result, "cancelled")
    }).pipe(Effect.scoped))

  it.effect("gives each observer all events, and waits at most 5 s for what is read late", () =>
    Effect.gen(function*() {
      const events = [AgentEvent.Text({ ordinal: 0, text: "a" }), AgentEvent.Text({ ordinal: 1, text: "b" })]
      const seen: Array<AgentEvent> = []
      const read = yield* whole({
        process: { events: Stream.fromIterable(events) },
        observer: {
          started: (_, process) =>
            Effect.asVoid(Effect.forkScoped(
              Stream.runForEach(process.events, (event) => Effect.sync(() => void seen.push(event))),
              { startImmediately: true }
            ))
        }
      })
      assert.deepStrictEqual(seen, events)
      assert.strictEqual(read.job.row.state, "settled")
      const slow = yield* worker({
        process: { events: Stream.fromIterable(events) },
        observer: {
          started: (_, process) =>
            Effect.asVoid(
              Effect.forkScoped(Stream.runForEach(process.events, () => Effect.never), { startImmediately: true })
            )
        }
      })
      yield* elapse("4999 millis")
      assert.strictEqual(slow.job.row.state, "running")
      yield* elapse("1 millis")
      yield* Fiber.join(slow.fiber)
      assert.strictEqual(slow.job.row.state, "settled")
      const broken = yield* whole({ process: { events: Stream.die("bug") } })
      assert.strictEqual(broken.job.row.result, "answered")
    }).pipe(Effect.scoped))

  it.effect("what can never be shown is undeliverable: marked, its session kept, nothing told as posted, and the message given back", () =>
    Effect.gen(function*() {
      const gone = yield* whole({
        origin: { settle: () => Effect.fail(new Undeliverable({ code: "is_archived", detail: "archived" })) }
      })
      assert.deepInclude(gone.job.row, { state: "settled", result: "undeliverable" })
      assert.deepStrictEqual(gone.said.slice(-4), ["exited", "unwatch", "close, remember", "finish r1"])
      const dying = yield* worker({ origin: { settle: () => Effect.die("bug") } })
      yield* elapse("10 minutes")
      yield* Fiber.join(dying.fiber)
      assert.deepInclude(dying.job.row, { state: "settled", result: "undeliverable" })
    }).pipe(Effect.scoped))

  it.effect("a session that is not on disk is not remembered", () =>
    Effect.gen(function*() {
      const { said } = yield* whole({ agent: { sessionExists: () => Effect.succeed(false) } })
      assert.notInclude(said, "close, remember")
      assert.include(said, "posted")
    }).pipe(Effect.scoped))

  it.effect("goes on from wherever the row stands, without an agent's permit", () =>
    Effect.gen(function*() {
      const ran = { ...received, attempt: 1, session: thread, runDir: "/run/1", result: "answered" as const }
      const posted = yield* whole({ row: { ...ran, state: "posted" } })
      assert.deepStrictEqual(posted.said, ["close, remember", "posted", "finish r1"])
      const answeredRow = yield* whole({ row: { ...ran, state: "answered", outcome: answered, sessionLost: true } })
      assert.deepStrictEqual(answeredRow.said, [
        "notice session-lost true",
        "exited",
        "settle 0",
        "close, remember",
        "posted",
        "finish r1"
      ])
      const settled = yield* whole({ row: { ...ran, state: "settled" } })
      assert.deepStrictEqual(settled.said, [])
    }).pipe(Effect.scoped))

  it.effect("a replay edits the notice of the turn that was parked, and no other's", () =>
    Effect.gen(function*() {
      const again = receivedRow(replayRequest(received, 2), "r2", 0)
      for (const [result, told] of [["parked", true], ["failed", false]] as const) {
        const { said } = yield* whole({ row: again, ledgerRows: [{ ...received, state: "settled", result }] })
        assert.strictEqual(said.includes(`replaying ${received.key} ${again.key}`), told, result)
      }
      const alone = yield* whole({ row: again })
      assert.isFalse(alone.said.some((each) => each.startsWith("replaying")))
    }).pipe(Effect.scoped))

  it.effect("the mark waits until ⏳ is there", () =>
    Effect.gen(function*() {
      const late = yield* Deferred.make<void>()
      const made = yield* worker({ origin: { starting: () => Deferred.await(late) } })
      yield* elapse("1 minute")
      assert.include(made.said, "settle 0")
      assert.notInclude(made.said, "close, remember")
      assert.notInclude(made.said, "posted")
      yield* Deferred.succeed(late, undefined)
      yield* Fiber.join(made.fiber)
      assert.include(made.said, "close, remember")
    }).pipe(Effect.scoped))

  it.effect("nothing is started once the runtime stops", () =>
    Effect.gen(function*() {
      const made = yield* worker({ options: { mayStart: () => Effect.never } })
      yield* elapse("1 minute")
      assert.strictEqual(made.job.row.state, "received")
      assert.isFalse(made.job.begun)
      yield* Fiber.interrupt(made.fiber)
      const crashed = yield* worker({
        row: { ...received, state: "running", attempt: 1, session: thread as SessionId, runDir: "/run/1" },
        options: { mayStart: () => Effect.never }
      })
      yield* elapse("1 minute")
      assert.strictEqual(crashed.job.row.state, "running")
      assert.deepStrictEqual(crashed.said, ["permit", "recover"])
      yield* Fiber.interrupt(crashed.fiber)
    }).pipe(Effect.scoped))
})
