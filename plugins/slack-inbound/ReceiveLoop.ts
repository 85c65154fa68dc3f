/** From the queue into the turn pipeline: one receive per free slot, and a message stays hidden until it is settled. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SandboxId, TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import { TurnRequest } from "../../runtime/domain/turn/Turn.ts"
import { backoffSchedule, pauseAfter } from "../../runtime/ports/Backoff.ts"
import type { Bridge } from "../../runtime/ports/Bridge.ts"
import { PluginError, PluginId } from "../../runtime/ports/Plugin.ts"
import type { QueueMissing } from "../../runtime/ports/QueueRules.ts"
import type { RuntimeStatus } from "../../runtime/ports/RuntimeStatus.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"
import { spanOfTraceparent } from "../../runtime/ports/TraceParent.ts"
import type { ReceivedEntry, TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import type { Turns } from "../../runtime/ports/Turns.ts"
import { unending } from "../../runtime/ports/Unending.ts"
import { threadOfGroup } from "./SlackOrigin.ts"
import type { StopRequests } from "./StopRequests.ts"

/** How long a received message stays hidden, and how often that is renewed (docs/architecture.md). */
export const visibility = Duration.seconds(120)
export const renewEvery = Duration.seconds(30)

/** Longest wait of one receive; SQS allows 20 s. */
const pollWait = Duration.seconds(20)

/** 1 s, 2 s, … 30 s, for as long as it takes. */
const patience = { firstMillis: 1_000, longestMillis: 30_000 }
const patiently = backoffSchedule(patience)

const decodeRequest = Schema.decodeUnknownOption(Schema.fromJsonString(TurnRequest))

export interface ReceiveLoopDeps {
  readonly sandbox: SandboxId
  readonly queue: TurnQueue["Service"]
  readonly turns: Turns["Service"]
  readonly bridge: Bridge["Service"]
  readonly status: RuntimeStatus["Service"]
  readonly stops: StopRequests
  /** The disk is full since then (Unix milliseconds): says so in the channel, once for each `since`. */
  readonly full: (since: number) => Effect.Effect<void>
}

const crashed = (error: StoreError | QueueMissing) =>
  new PluginError({
    plugin: PluginId.make("slack-inbound"),
    operation: "receive",
    reason: "Unavailable",
    detail: error._tag === "QueueMissing" ? `KM-SLK-302: ${error.message}` : `KM-SLK-304: ${error.message}`
  })

/** Never ends; fails only where waiting cannot help. `open` are the turns of an earlier process with their receipts. */
export const runReceiveLoop = Effect.fnUntraced(function*(
  deps: ReceiveLoopDeps,
  open: ReadonlyArray<{ readonly key: TurnKey; readonly receipt: string }>
) {
  const { bridge, full, queue, sandbox, status, stops, turns } = deps
  const scope = yield* Effect.scope
  const failed = yield* Deferred.make<never, PluginError>()

  /** The newest receipt of each message that is being handled; a repeated delivery renews it. */
  const receipts = new Map<TurnKey, string>()
  const renewals = yield* FiberMap.make<TurnKey>()
  let polled = false

  const renew = Effect.fnUntraced(function*(key: TurnKey) {
    while (true) {
      yield* Effect.sleep(renewEvery)
      const receipt = receipts.get(key)
      if (receipt === undefined) continue
      yield* queue.extend(sandbox, receipt, visibility).pipe(
        Effect.catchTags({
          ReceiptExpired: () =>
            Effect.sync(() => {
              // The next delivery brings another one; until then there is nothing to extend.
              if (receipts.get(key) === receipt) receipts.delete(key)
            }),
          StoreError: (error) => Effect.logWarning("receipt cannot be renewed yet", error.message)
        })
      )
    }
  })

  /** Keeps the message hidden from now on; for one that is tended already only the receipt changes. */
  const tend = (key: TurnKey, receipt: string) =>
    Effect.suspend(() => {
      receipts.set(key, receipt)
      return Effect.asVoid(FiberMap.run(renewals, key, renew(key), { onlyIfMissing: true }))
    })

  const release = (key: TurnKey) =>
    Effect.suspend(() => {
      receipts.delete(key)
      return FiberMap.remove(renewals, key)
    })

  /** For a turn that needs no slot of ours: its row is in the ledger and the pipeline has it. */
  const tendUntilSettled = (key: TurnKey, receipt: string) =>
    tend(key, receipt).pipe(
      Effect.andThen(turns.settled(key)),
      Effect.andThen(release(key)),
      Effect.forkIn(scope),
      Effect.asVoid
    )

  const drop = (entry: ReceivedEntry) =>
    queue.delete(sandbox, entry.receipt).pipe(
      Effect.catch((error) => Effect.logInfo("delivery is left to expire", error.message))
    )

  /** Nothing can be run, but the person is told, and the thread goes on behind it. */
  const refuse = Effect.fnUntraced(function*(entry: ReceivedEntry) {
    yield* Effect.logError("queue message does not decode and is taken out of the queue").pipe(
      Effect.annotateLogs({ code: "KM-SLK-301", bytes: entry.body.length })
    )
    const thread = threadOfGroup(entry.group)
    if (Option.isSome(thread)) {
      yield* Effect.ignore(bridge.call({
        key: `${entry.key}/notice/0`,
        action: {
          action: "post",
          channel: thread.value.channel,
          threadTs: thread.value.threadTs,
          markdown: "**Failed.** A message here could not be read by this version of the runtime, and nothing was " +
            "started for it. Send it again. (KM-SLK-301)"
        }
      }))
    }
    yield* drop(entry)
  })

  const submit = (request: TurnRequest, receipt: string) =>
    turns.submit(request, receipt).pipe(
      Effect.tapError((error) =>
        Effect.andThen(
          Effect.logWarning("message waits: the ledger cannot take it", error.message),
          error.reason === "Full" ? Effect.flatMap(Clock.currentTimeMillis, full) : Effect.void
        )
      ),
      Effect.retry({ schedule: patiently, while: (error) => error.reason !== "TooLarge" })
    )

  /** Returns when the slot is free again. */
  const handle = Effect.fn("SlackInbound.handle")(function*(
    entry: ReceivedEntry,
    decoded: Option.Option<TurnRequest>
  ) {
    yield* Effect.annotateCurrentSpan({ "km.turn": entry.key, "km.receives": entry.receiveCount })
    yield* tend(entry.key, entry.receipt)
    const verdict = Option.isNone(decoded) ? undefined : yield* Effect.option(submit(decoded.value, entry.receipt))
    if (Option.isNone(decoded) || verdict === undefined || Option.isNone(verdict)) {
      yield* refuse(entry)
      return yield* release(entry.key)
    }
    yield* Effect.logInfo("message received").pipe(Effect.annotateLogs({ verdict: verdict.value }))
    switch (verdict.value) {
      case "open":
        return yield* tendUntilSettled(entry.key, entry.receipt)
      case "settled":
        yield* drop(entry)
        return yield* release(entry.key)
      case "accepted": {
        const stoppedBy = yield* stops.stoppedBy(entry)
        if (stoppedBy !== undefined) yield* Effect.ignore(turns.stop({ turn: entry.key }, stoppedBy))
        yield* turns.settled(entry.key)
        return yield* release(entry.key)
      }
    }
  }, (effect, entry) => Effect.annotateLogs(effect, { turn: entry.key, group: entry.group }))

  const receiveOnce = Effect.suspend(() =>
    queue.receive(sandbox, { wait: polled ? pollWait : Duration.zero, visibility })
  ).pipe(
    Effect.tap(() => {
      polled = true
      return status.polled
    })
  )

  /** The next message; waits out what passes by itself. */
  const next: Effect.Effect<ReceivedEntry, StoreError | QueueMissing> = Effect.gen(function*() {
    let failures = 0
    let since: number | undefined
    while (true) {
      const outcome = yield* Effect.result(receiveOnce)
      if (outcome._tag === "Success") {
        failures = 0
        since = undefined
        if (Option.isSome(outcome.success)) return outcome.success.value
        continue
      }
      const error = outcome.failure
      yield* status.pollFailed
      if (error._tag === "QueueMissing" || error.reason === "Corrupt" || error.reason === "Denied") {
        return yield* error
      }
      failures += 1
      if (error.reason === "Full") {
        since ??= yield* Clock.currentTimeMillis
        yield* full(since)
      }
      yield* Effect.logWarning("queue cannot be read yet", error.message)
      yield* Effect.sleep(pauseAfter(patience, failures))
    }
  })

  /** Holds a slot from before the receive until the turn is settled. */
  const worker = (received: Deferred.Deferred<void>) =>
    Effect.scoped(Effect.gen(function*() {
      yield* turns.slot
      const entry = yield* next
      yield* Deferred.succeed(received, undefined)
      const decoded = decodeRequest(entry.body)
      const parent = spanOfTraceparent(Option.getOrUndefined(decoded)?.traceparent)
      const handled = handle(entry, decoded)
      yield* parent === undefined ? handled : Effect.withParentSpan(handled, parent)
    })).pipe(
      Effect.catch((error) => Deferred.fail(failed, crashed(error))),
      Effect.catchDefect((defect) =>
        // One message must not end the loop for the others; its delivery comes again and is dead-lettered in the end.
        Effect.logError("handling a message crashed", defect).pipe(
          Effect.andThen(Effect.sleep("1 second")),
          Effect.andThen(Deferred.succeed(received, undefined))
        )
      )
    )

  yield* Effect.forEach(open, ({ key, receipt }) => tendUntilSettled(key, receipt), { discard: true })

  const loop = unending(
    "receiving messages ended in a defect; it goes on",
    "1 second",
    Effect.gen(function*() {
      const received = Deferred.makeUnsafe<void>()
      yield* Effect.forkIn(worker(received), scope)
      yield* Deferred.await(received)
    })
  )

  return yield* Effect.raceFirst(loop, Deferred.await(failed))
})
