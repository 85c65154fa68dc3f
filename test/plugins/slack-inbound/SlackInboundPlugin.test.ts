import { assert, describe, it } from "@effect/vitest"
import {
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  PubSub,
  Schema,
  Scope,
  Semaphore,
  Stream
} from "effect"
import { TestClock } from "effect/testing"
import { SlackInboundPlugin } from "../../../plugins/slack-inbound/SlackInboundPlugin.ts"
import { Profile } from "../../../runtime/domain/profile/Profile.ts"
import type { TurnKey } from "../../../runtime/domain/sandbox/Ids.ts"
import type { TurnRequest, TurnRow } from "../../../runtime/domain/turn/Turn.ts"
import { Controls } from "../../../runtime/ports/Controls.ts"
import * as MemoryControls from "../../../runtime/ports/memory/MemoryControls.ts"
import { makeMemoryControlsState } from "../../../runtime/ports/memory/MemoryControls.ts"
import * as MemoryLedger from "../../../runtime/ports/memory/MemoryLedger.ts"
import { makeMemoryLedgerState } from "../../../runtime/ports/memory/MemoryLedger.ts"
import * as MemoryTurnQueue from "../../../runtime/ports/memory/MemoryTurnQueue.ts"
import { makeMemoryTurnQueueState } from "../../../runtime/ports/memory/MemoryTurnQueue.ts"
import * as MemoryTurnRecords from "../../../runtime/ports/memory/MemoryTurnRecords.ts"
import { Redaction } from "../../../runtime/ports/Redaction.ts"
import { RuntimeStatus } from "../../../runtime/ports/RuntimeStatus.ts"
import { SandboxInfo } from "../../../runtime/ports/SandboxInfo.ts"
import { StoreError } from "../../../runtime/ports/StoreError.ts"
import { TurnQueue } from "../../../runtime/ports/TurnQueue.ts"
import { Turns, type TurnsHealth } from "../../../runtime/ports/Turns.ts"
import { atRest, eventually } from "../../support/eventually.ts"
import { recordingBridge } from "../../support/RecordingBridge.ts"
import { queueEntry, sandbox, sandboxInfo, slackProfile, slackRequest, turnRow } from "../../support/turnRows.ts"

/** The pipeline's promises to the plugin, with turns that end when the test says so. */
const makePipeline = (slots: number) => {
  const semaphore = Semaphore.makeUnsafe(slots)
  const open = new Map<TurnKey, Deferred.Deferred<void>>()
  const settled = new Set<TurnKey>()
  const state = {
    submitted: [] as Array<{ readonly key: TurnKey; readonly verdict: string; readonly receipt: string | undefined }>,
    stopped: [] as Array<readonly [string | undefined, string]>,
    health: { state: "ok", since: 0, detail: "", open: 0, running: 0 } as TurnsHealth,
    fail: undefined as StoreError | undefined
  }
  const layer = Layer.effect(
    Turns,
    Effect.gen(function*() {
      const changes = yield* PubSub.unbounded<TurnRow>()
      return Turns.of({
        slot: Effect.asVoid(
          Effect.acquireRelease(semaphore.take(1), () => semaphore.release(1), { interruptible: true })
        ),
        submit: (request: TurnRequest, receipt) =>
          Effect.suspend(() => {
            if (state.fail !== undefined) return Effect.fail(state.fail)
            const verdict = settled.has(request.key) ? "settled" : open.has(request.key) ? "open" : "accepted"
            if (verdict === "accepted") open.set(request.key, Deferred.makeUnsafe())
            state.submitted.push({ key: request.key, verdict, receipt })
            return Effect.succeed(verdict)
          }),
        join: () => Effect.succeed("late"),
        settled: (key) => {
          const waiting = open.get(key)
          return waiting === undefined ? Effect.void : Deferred.await(waiting)
        },
        stop: ({ group, turn }, by) =>
          Effect.sync(() => {
            state.stopped.push([turn ?? group, by])
            return turn !== undefined && open.has(turn)
          }),
        health: Effect.sync(() => state.health),
        changes: PubSub.subscribe(changes)
      })
    })
  )
  const settle = (key: TurnKey) =>
    Effect.suspend(() => {
      const waiting = open.get(key)
      open.delete(key)
      settled.add(key)
      return waiting === undefined ? Effect.void : Deferred.succeed(waiting, undefined)
    })
  return { state, layer, open, settle }
}

const setUp = (options: { readonly slots?: number; readonly queue?: Layer.Layer<TurnQueue> } = {}) => {
  const pipeline = makePipeline(options.slots ?? 2)
  const bridge = recordingBridge()
  const ledger = makeMemoryLedgerState()
  const controlsState = makeMemoryControlsState()
  const queueState = makeMemoryTurnQueueState()
  const ports = Layer.mergeAll(
    pipeline.layer,
    bridge.layer,
    options.queue ?? MemoryTurnQueue.layerOver(queueState),
    MemoryLedger.layerOver(ledger),
    MemoryTurnRecords.layer,
    MemoryControls.layerOver(controlsState),
    Redaction.layer,
    Layer.succeed(SandboxInfo)(SandboxInfo.of(sandboxInfo)),
    RuntimeStatus.memory({ ready: false, lastActiveAt: 0, plugins: [], confined: true, confinement: "" })
  )
  return { pipeline, bridge, ledger, controlsState, queueState, ports }
}

const running = Effect.flatMap(SlackInboundPlugin.start({}), ({ run }) => run ?? Effect.die("no run"))
const visibility = Duration.seconds(120)

describe("slack-inbound", () => {
  it.effect("receives one message per free slot and holds the slot until the turn is settled", () => {
    const { pipeline, ports } = setUp({ slots: 2 })
    return Effect.gen(function*() {
      const queue = yield* TurnQueue
      yield* queue.create(sandbox)
      for (const n of [1, 2, 3]) yield* queue.send(sandbox, queueEntry(slackRequest(n)))
      yield* Effect.forkScoped(running)
      yield* atRest
      assert.deepStrictEqual(pipeline.state.submitted.map(({ key }) => key), [slackRequest(1).key, slackRequest(2).key])
      assert.strictEqual((yield* queue.depth(sandbox)).waiting, 1)
      yield* pipeline.settle(slackRequest(1).key)
      yield* eventually("the third message", () => pipeline.state.submitted.length === 3)
    }).pipe(Effect.provide(ports))
  })

  it.effect("a message stays hidden for as long as its turn is open, and is visible again soon after a crash", () => {
    const { pipeline, ports } = setUp()
    return Effect.gen(function*() {
      const queue = yield* TurnQueue
      yield* queue.create(sandbox)
      yield* queue.send(sandbox, queueEntry(slackRequest(1)))
      const plugin = yield* Effect.forkChild(Effect.scoped(running))
      yield* eventually("the message", () => pipeline.state.submitted.length === 1)
      yield* TestClock.adjust("30 minutes")
      assert.strictEqual(pipeline.state.submitted.length, 1)
      assert.deepStrictEqual(yield* queue.depth(sandbox), { waiting: 0, inFlight: 1, dead: 0 })
      yield* Fiber.interrupt(plugin)
      yield* TestClock.adjust("120 seconds")
      assert.strictEqual((yield* queue.depth(sandbox)).waiting, 1)
    }).pipe(Effect.provide(ports))
  })

  it.effect("a delivery of a settled turn is deleted; one of an open turn frees its slot and is tended", () => {
    const { pipeline, ports } = setUp({ slots: 1 })
    return Effect.gen(function*() {
      const queue = yield* TurnQueue
      yield* queue.create(sandbox)
      yield* queue.send(sandbox, queueEntry(slackRequest(1)))
      yield* queue.send(sandbox, queueEntry(slackRequest(2)))
      pipeline.open.set(slackRequest(1).key, Deferred.makeUnsafe())
      yield* pipeline.settle(slackRequest(2).key)
      yield* Effect.forkScoped(running)
      yield* eventually("both deliveries", () => pipeline.state.submitted.length === 2)
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(pipeline.state.submitted.map(({ verdict }) => verdict), ["open", "settled"])
      assert.deepStrictEqual(yield* queue.depth(sandbox), { waiting: 0, inFlight: 1, dead: 0 })
    }).pipe(Effect.provide(ports))
  })

  it.effect("takes care of the receipts of turns that an earlier process left open", () => {
    const { ledger, pipeline, ports } = setUp()
    return Effect.gen(function*() {
      const queue = yield* TurnQueue
      yield* queue.create(sandbox)
      yield* queue.send(sandbox, queueEntry(slackRequest(1)))
      const entry = Option.getOrThrow(yield* queue.receive(sandbox, { wait: Duration.zero, visibility }))
      ledger.rows.set(entry.key, turnRow(slackRequest(1), { state: "running", receipt: entry.receipt }))
      pipeline.open.set(entry.key, Deferred.makeUnsafe())
      yield* Effect.forkScoped(running)
      yield* atRest
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(yield* queue.depth(sandbox), { waiting: 0, inFlight: 1, dead: 0 })
      assert.strictEqual(pipeline.state.submitted.length, 0)
    }).pipe(Effect.provide(ports))
  })

  it.effect("a body that does not decode is answered in its thread and does not block what is behind it", () => {
    const { bridge, pipeline, ports } = setUp({ slots: 1 })
    return Effect.gen(function*() {
      const queue = yield* TurnQueue
      yield* queue.create(sandbox)
      yield* queue.send(sandbox, { ...queueEntry(slackRequest(1)), body: "{\"not\":\"ours\"}" })
      yield* queue.send(sandbox, queueEntry(slackRequest(2, { thread: 1 })))
      yield* Effect.forkScoped(running)
      yield* eventually("the message behind it", () => pipeline.state.submitted.length === 1)
      assert.deepStrictEqual(pipeline.state.submitted.map(({ key }) => key), [slackRequest(2).key])
      const [notice] = bridge.effects()
      assert.strictEqual(notice?.key, `${slackRequest(1).key}/notice/0`)
      assert.include(JSON.stringify(notice?.action), "KM-SLK-301")
    }).pipe(Effect.provide(ports))
  })

  it.effect("a full disk: no new receives, one notice, and it goes on by itself", () => {
    const { bridge, pipeline, ports } = setUp()
    return Effect.gen(function*() {
      const queue = yield* TurnQueue
      yield* queue.create(sandbox)
      yield* queue.send(sandbox, queueEntry(slackRequest(1)))
      pipeline.state.fail = new StoreError({
        port: "Ledger",
        operation: "insert",
        reason: "Full",
        detail: "no space",
        cause: undefined
      })
      yield* Effect.forkScoped(running)
      yield* eventually("the notice", () => bridge.effects().length === 1)
      pipeline.state.health = { state: "full", since: 500, detail: "disk full", open: 0, running: 0 }
      yield* TestClock.adjust("20 minutes")
      assert.strictEqual(bridge.effects().filter(({ action }) => action.action === "post").length, 1)
      assert.strictEqual(pipeline.state.submitted.length, 0)
      pipeline.state.fail = undefined
      pipeline.state.health = { state: "ok", since: 0, detail: "", open: 0, running: 0 }
      yield* TestClock.adjust("31 seconds")
      yield* eventually("the message", () => pipeline.state.submitted.length === 1)
    }).pipe(Effect.provide(ports))
  })

  it.effect("a queue that fails for a while is not ready and is asked again; one that is gone ends the plugin", () => {
    let failures = 0
    const flaky = Layer.mock(TurnQueue, {
      receive: () =>
        Effect.suspend(() => {
          failures += 1
          return failures < 4
            ? Effect.fail(
              new StoreError({
                port: "TurnQueue",
                operation: "receive",
                reason: failures === 3 ? "Corrupt" : "Unavailable",
                detail: "",
                cause: undefined
              })
            )
            : Effect.never
        })
    })
    const { ports } = setUp({ queue: flaky, slots: 1 })
    return Effect.gen(function*() {
      const exit = yield* Effect.forkChild(Effect.exit(Effect.scoped(running)))
      yield* atRest
      yield* TestClock.adjust("999 millis")
      yield* atRest
      assert.strictEqual(failures, 1)
      assert.isFalse((yield* (yield* RuntimeStatus).report).ready)
      yield* TestClock.adjust("1 millis")
      yield* eventually("the second failure", () => failures === 2)
      yield* atRest
      yield* TestClock.adjust("2 seconds")
      const ended = yield* Fiber.join(exit)
      assert.isTrue(Exit.isFailure(ended))
      assert.include(JSON.stringify(ended), "KM-SLK-304")
    }).pipe(Effect.provide(ports))
  })

  it.effect("waits longer after each failure of the queue in a row, and a second again once it was read", () => {
    let asked = 0
    // `true`: it can be read then.
    const answers = [false, false, false, true, false, true]
    const broken = Layer.effect(
      TurnQueue,
      Effect.map(TurnQueue, (inner) =>
        TurnQueue.of({
          ...inner,
          receive: (id, options) =>
            Effect.suspend(() => {
              const good = answers[asked++]
              if (good === undefined) return Effect.never
              return good ? inner.receive(id, { ...options, wait: Duration.zero }) : Effect.fail(
                new StoreError({
                  port: "TurnQueue",
                  operation: "receive",
                  reason: "Unavailable",
                  detail: "busy",
                  cause: undefined
                })
              )
            })
        }))
    ).pipe(Layer.provide(MemoryTurnQueue.layerOver(makeMemoryTurnQueueState())))
    const { ports } = setUp({ slots: 1, queue: broken })
    return Effect.gen(function*() {
      yield* (yield* TurnQueue).create(sandbox)
      yield* Effect.forkScoped(running)
      yield* atRest
      for (const [millis, next] of [[1_000, 2], [2_000, 3], [4_000, 5], [1_000, 7]] as const) {
        yield* TestClock.adjust(millis - 1)
        yield* atRest
        assert.isBelow(asked, next, `${millis} ms are not over`)
        yield* TestClock.adjust(1)
        yield* atRest
        assert.strictEqual(asked, next)
      }
    }).pipe(Effect.provide(ports))
  })

  it.effect("is ready once a poll has come back, before any message", () => {
    const { ports } = setUp()
    return Effect.gen(function*() {
      yield* (yield* TurnQueue).create(sandbox)
      const status = yield* RuntimeStatus
      assert.isFalse((yield* status.report).ready)
      yield* Effect.forkScoped(running)
      const ready = yield* Stream.runHead(Stream.filter(status.changes, (report) => report.ready))
      assert.isTrue(Option.isSome(ready))
    }).pipe(Effect.provide(ports))
  })

  it.effect("a stop reaches the pipeline at once, also what still waits in the queue, and not what comes later", () => {
    const { controlsState, pipeline, ports } = setUp({ slots: 1 })
    return Effect.gen(function*() {
      const queue = yield* TurnQueue
      const controls = yield* Controls
      yield* queue.create(sandbox)
      const [first, second] = [slackRequest(1), slackRequest(2, { thread: 1 })]
      yield* queue.send(sandbox, queueEntry(first))
      yield* queue.send(sandbox, queueEntry(second))
      yield* Effect.forkScoped(running)
      yield* eventually("the first message", () => pipeline.state.submitted.length === 1)
      yield* controls.send(sandbox, { kind: "stop", id: "stop-1", group: first.group, by: "anna" })
      yield* eventually("the stop", () => pipeline.state.stopped.length === 1)
      assert.deepStrictEqual(pipeline.state.stopped, [[first.group, "anna"]])
      yield* eventually("its acknowledgement", () => controlsState.requests.get(sandbox)?.size === 0)
      // The message behind it in the thread was written before the stop, the last one after it.
      yield* TestClock.adjust("1 millis")
      const later = slackRequest(3, { thread: 1 })
      yield* queue.send(sandbox, queueEntry(later))
      yield* queue.delete(sandbox, pipeline.state.submitted[0]?.receipt ?? "")
      yield* pipeline.settle(first.key)
      yield* eventually("the second stop", () => pipeline.state.stopped.length === 2)
      assert.deepStrictEqual(pipeline.state.stopped.at(-1), [second.key, "anna"])
      yield* queue.delete(sandbox, pipeline.state.submitted[1]?.receipt ?? "")
      yield* pipeline.settle(second.key)
      yield* eventually("the last message", () => pipeline.state.submitted.at(-1)?.key === later.key)
      yield* atRest
      assert.strictEqual(pipeline.state.stopped.length, 2)
    }).pipe(Effect.provide(ports))
  })

  it.effect("a stop that is served late spares what was written after it", () => {
    const { pipeline, ports } = setUp({ slots: 2 })
    return Effect.gen(function*() {
      const queue = yield* TurnQueue
      yield* queue.create(sandbox)
      const [before, after] = [slackRequest(1), slackRequest(2)]
      yield* queue.send(sandbox, queueEntry(before))
      yield* (yield* Controls).send(sandbox, { kind: "stop", id: "stop-1", by: "anna", at: 10 })
      yield* TestClock.adjust("1 second")
      yield* queue.send(sandbox, queueEntry(after))
      yield* TestClock.adjust("1 minute")
      yield* Effect.forkScoped(running)
      yield* eventually("both messages", () => pipeline.state.submitted.length === 2)
      yield* atRest
      assert.deepStrictEqual(pipeline.state.stopped.filter(([what]) => what !== undefined), [[before.key, "anna"]])
    }).pipe(Effect.provide(ports))
  })

  it.effect("a stop that finds nothing is answered in its thread", () => {
    const { bridge, ports } = setUp()
    return Effect.gen(function*() {
      yield* (yield* TurnQueue).create(sandbox)
      yield* Effect.forkScoped(running)
      yield* (yield* Controls).send(sandbox, { kind: "stop", id: "stop-1", group: slackRequest(1).group, by: "anna" })
      yield* eventually("the note", () => bridge.effects().length === 1)
      assert.include(JSON.stringify(bridge.effects()), "nothing to stop")
    }).pipe(Effect.provide(ports))
  })

  it.effect("ends with its scope and leaves nothing running", () => {
    const { ports, queueState } = setUp()
    return Effect.gen(function*() {
      const queue = yield* TurnQueue
      yield* queue.create(sandbox)
      const scope = yield* Scope.make()
      yield* Effect.forkIn(Scope.provide(running, scope), scope)
      yield* atRest
      yield* Scope.close(scope, Exit.void)
      yield* queue.send(sandbox, queueEntry(slackRequest(1)))
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual(queueState.queues.get(sandbox)?.messages[0]?.receiveCount, 0)
    }).pipe(Effect.provide(ports))
  })

  it("is enabled by the two Slack flags together", () => {
    assert.isTrue(SlackInboundPlugin.enabled(slackProfile))
    const { spec } = slackProfile
    const without = (change: Partial<typeof spec.cli>) => ({
      ...slackProfile,
      spec: { ...spec, cli: { ...spec.cli, ...change } }
    })
    assert.isFalse(SlackInboundPlugin.enabled(without({ notifySlackEnabled: false })))
    assert.isFalse(SlackInboundPlugin.enabled(without({ notifySlackInboundEnabled: false })))
    assert.isTrue(Schema.is(Profile)(slackProfile))
  })
})
