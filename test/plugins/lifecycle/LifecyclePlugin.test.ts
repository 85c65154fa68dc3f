import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, PubSub } from "effect"
import { TestClock } from "effect/testing"
import { LifecyclePlugin } from "../../../plugins/lifecycle/LifecyclePlugin.ts"
import { SessionId } from "../../../runtime/domain/sandbox/Ids.ts"
import { decodeNotice } from "../../../runtime/domain/sandbox/Notice.ts"
import type { TurnRow } from "../../../runtime/domain/turn/Turn.ts"
import { HookEvents, type ReceivedHook } from "../../../runtime/ports/HookEvents.ts"
import { makeMemoryFactsState } from "../../../runtime/ports/memory/MemoryFacts.ts"
import * as MemoryFacts from "../../../runtime/ports/memory/MemoryFacts.ts"
import * as MemoryLedger from "../../../runtime/ports/memory/MemoryLedger.ts"
import { makeMemoryLedgerState } from "../../../runtime/ports/memory/MemoryLedger.ts"
import { Redaction } from "../../../runtime/ports/Redaction.ts"
import { RuntimeStatus } from "../../../runtime/ports/RuntimeStatus.ts"
import { SandboxInfo } from "../../../runtime/ports/SandboxInfo.ts"
import { Turns } from "../../../runtime/ports/Turns.ts"
import { atRest, eventually } from "../../support/eventually.ts"
import { profileWith } from "../../support/profiles.ts"
import { recordingBridge } from "../../support/RecordingBridge.ts"
import { sandboxInfo, slackRequest, turnRow } from "../../support/turnRows.ts"

const setUp = (bridge = recordingBridge(), confined = true, network: object = { mode: "none" }) => {
  const facts = makeMemoryFactsState()
  const ledger = makeMemoryLedgerState()
  const changes = Effect.runSync(PubSub.unbounded<TurnRow>())
  const hooks = Effect.runSync(PubSub.unbounded<ReceivedHook>())
  const inHand = { turns: 0 }
  const ports = Layer.mergeAll(
    bridge.layer,
    MemoryFacts.layerOver(facts),
    MemoryLedger.layerOver(ledger),
    Redaction.layer,
    Layer.succeed(SandboxInfo)(SandboxInfo.of({ ...sandboxInfo, profile: profileWith({}, { network }) })),
    RuntimeStatus.memory({ ready: false, lastActiveAt: 0, plugins: [], confined, confinement: "no bwrap" }),
    Layer.mock(HookEvents, { subscribe: PubSub.subscribe(hooks) }),
    Layer.mock(Turns, {
      changes: PubSub.subscribe(changes),
      health: Effect.sync(() => ({ state: "ok" as const, since: 0, detail: "", open: inHand.turns, running: 0 }))
    })
  )
  const reports = () => bridge.effects().flatMap(({ action }) => action.action === "activity" ? [action] : [])
  const posts = () => bridge.effects().flatMap(({ action }) => action.action === "post" ? [action.markdown] : [])
  return { bridge, changes, facts, hooks, inHand, ledger, ports, posts, reports }
}

const running = Effect.flatMap(LifecyclePlugin.start({ slack: true }), ({ run }) => run ?? Effect.die("no run"))

/** What the channel reads first. */
const greetings = (confined: boolean, network: object) => {
  const { ledger, ports, posts } = setUp(recordingBridge(), confined, network)
  return Effect.gen(function*() {
    yield* Effect.forkScoped(running)
    yield* (yield* RuntimeStatus).polled
    yield* eventually("the greeting", () => ledger.facts.size === 1)
    return posts().join("")
  }).pipe(Effect.provide(ports))
}

describe("lifecycle", () => {
  it.effect("reports at once, on a change of readiness, and every 45 s without one", () => {
    const { ports, reports } = setUp()
    return Effect.gen(function*() {
      yield* Effect.forkScoped(running)
      yield* eventually("the first report", () => reports().length === 1)
      yield* TestClock.adjust("44999 millis")
      yield* atRest
      assert.strictEqual(reports().length, 1)
      yield* TestClock.adjust("1 millis")
      yield* eventually("the next report", () => reports().length === 2)
      yield* (yield* RuntimeStatus).polled
      yield* atRest
      yield* TestClock.adjust("1 second")
      yield* eventually("the change", () => reports().length === 3)
      assert.deepStrictEqual(reports().map(({ ready }) => ready), [false, false, true])
    }).pipe(Effect.provide(ports))
  })

  it.effect("a turn is activity", () => {
    const { changes, ports, reports } = setUp()
    return Effect.gen(function*() {
      yield* Effect.forkScoped(running)
      yield* eventually("the first report", () => reports().length === 1)
      yield* TestClock.adjust("40 seconds")
      yield* PubSub.publish(changes, turnRow(slackRequest(1)))
      yield* atRest
      yield* TestClock.adjust("5 seconds")
      yield* eventually("the next report", () => reports().length === 2)
      assert.strictEqual(reports().at(-1)?.lastActiveAt, 40_000)
    }).pipe(Effect.provide(ports))
  })

  it.effect("so is an interactive session, and a turn that works without a change of state", () => {
    const { hooks, inHand, ports, reports } = setUp()
    return Effect.gen(function*() {
      yield* Effect.forkScoped(running)
      yield* eventually("the first report", () => reports().length === 1)
      yield* TestClock.adjust("40 seconds")
      const session_id = SessionId.make("11111111-2222-4333-8444-555555555555")
      const event = { session_id, hook_event_name: "UserPromptSubmit" as const }
      yield* PubSub.publish(hooks, { event, at: 40_000, dispatched: false })
      yield* atRest
      yield* TestClock.adjust("5 seconds")
      yield* eventually("the second report", () => reports().length === 2)
      assert.strictEqual(reports().at(-1)?.lastActiveAt, 40_000)
      inHand.turns = 1
      yield* atRest
      yield* TestClock.adjust("45 seconds")
      yield* eventually("the third report", () => reports().length === 3)
      assert.strictEqual(reports().at(-1)?.lastActiveAt, 90_000)
    }).pipe(Effect.provide(ports))
  })

  it.effect("writes down that an agent which a person works with has stopped, each time, and no dispatched one", () => {
    const { facts, hooks, ports, reports } = setUp()
    return Effect.gen(function*() {
      yield* Effect.forkScoped(running)
      yield* eventually("the first report", () => reports().length === 1)
      const session = SessionId.make("0b0b0b0b-1111-4222-8333-444444444444")
      const stop = { hook_event_name: "Stop", session_id: session, transcript_path: "/t", cwd: "/w" } as const
      for (const dispatched of [false, true, false]) {
        yield* PubSub.publish(hooks, { event: stop, at: 0, dispatched })
        yield* atRest
        yield* TestClock.adjust("1 second")
      }
      const notices = [...facts.facts.values()].map(({ value }) => decodeNotice(value))
      assert.lengthOf(notices, 2)
      for (const notice of notices) assert.include(notice?.text, session)
    }).pipe(Effect.provide(ports))
  })

  it.effect("a report that does not get through is made again soon", () => {
    let down = true
    const { bridge, ports, reports } = setUp(recordingBridge({ refuse: () => down ? "unavailable" : undefined }))
    return Effect.gen(function*() {
      yield* Effect.forkScoped(running)
      yield* eventually("the first try", () => bridge.calls.length === 1)
      down = false
      yield* atRest
      yield* TestClock.adjust("10 seconds")
      yield* eventually("the second try", () => reports().length === 1)
    }).pipe(Effect.provide(ports))
  })

  it.effect("says in its greeting when the machine's network is shared, or the proxy can be gone past", () => {
    return Effect.gen(function*() {
      assert.match(yield* greetings(true, { mode: "none" }), /is ready\.\*\* Write/)
      assert.match(yield* greetings(true, { mode: "proxy" }), /is ready\.\*\* Write/)
      assert.match(
        yield* greetings(true, { mode: "shared" }),
        /is ready, network shared\.\*\* .*reaches what its machine/
      )
      assert.notInclude(yield* greetings(false, { mode: "none" }), "proxy")
      assert.match(
        yield* greetings(false, { mode: "proxy" }),
        /unconfined.*nothing forces its traffic through the proxy/
      )
    })
  })

  it.effect("greets the channel once, over restarts too, and says when the agent is unconfined", () => {
    const { ledger, ports, posts } = setUp(recordingBridge(), false)
    return Effect.gen(function*() {
      yield* Effect.forkChild(Effect.scoped(running))
      yield* atRest
      assert.strictEqual(posts().length, 0)
      yield* (yield* RuntimeStatus).polled
      yield* eventually("the greeting", () => ledger.facts.size === 1)
      assert.include(posts()[0], "unconfined")
      yield* Effect.forkScoped(running)
      yield* atRest
      assert.strictEqual(posts().length, 1)
    }).pipe(Effect.provide(ports))
  })
})
