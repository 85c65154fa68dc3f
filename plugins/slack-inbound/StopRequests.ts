/** Stops overtake the queue: what runs is stopped at once, what still waits when a stop is asked for is stopped too. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import type { Bridge } from "../../runtime/ports/Bridge.ts"
import { type Controls, isStopRequest, type StopRequest } from "../../runtime/ports/Controls.ts"
import type { Ledger } from "../../runtime/ports/Ledger.ts"
import type { QueueEntry, TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import type { Turns } from "../../runtime/ports/Turns.ts"
import { unending } from "../../runtime/ports/Unending.ts"
import { threadOfGroup } from "./SlackOrigin.ts"

export interface StopRequests {
  /** Who asked to stop this message while it waited in the queue; undefined when nobody did. */
  readonly stoppedBy: (entry: QueueEntry & { readonly sentAt: number }) => Effect.Effect<string | undefined>
  /** Serves stop requests until it is interrupted. */
  readonly run: Effect.Effect<never>
}

export interface StopRequestsDeps {
  readonly sandbox: SandboxId
  readonly controls: Controls["Service"]
  readonly turns: Turns["Service"]
  readonly queue: TurnQueue["Service"]
  readonly ledger: Ledger["Service"]
  readonly bridge: Bridge["Service"]
  /** Runs an effect in the plugin's own scope. */
  readonly background: (effect: Effect.Effect<void>) => Effect.Effect<void>
}

/** What the ledger keeps of a stop: it concerns messages put into the queue until `at` (Unix milliseconds). */
const Stop = Schema.fromJsonString(Schema.Struct({ at: Schema.Int, by: Schema.String }))
const encodeStop = Schema.encodeSync(Stop)
const decodeStop = Schema.decodeUnknownOption(Stop)

const factOf = (target: { readonly turn?: string; readonly group?: string }): string =>
  target.turn !== undefined
    ? `stop:turn:${target.turn}`
    : target.group !== undefined
    ? `stop:group:${target.group}`
    : "stop:all"

const lookAgain = "5 seconds"

export const makeStopRequests = (deps: StopRequestsDeps): StopRequests => {
  const { background, bridge, controls, ledger, queue, sandbox, turns } = deps

  /** A stop that finds nothing is answered, so that nobody waits for an effect of it. */
  const nothingToStop = Effect.fnUntraced(function*(request: StopRequest) {
    const thread = request.group === undefined ? Option.none() : threadOfGroup(request.group)
    if (Option.isNone(thread)) return
    yield* Effect.ignore(bridge.call({
      key: `${sandbox}/stop/${request.id}/0`,
      action: {
        action: "post",
        channel: thread.value.channel,
        threadTs: thread.value.threadTs,
        markdown: "Nothing runs or waits in this thread, so there was nothing to stop."
      }
    }))
  })

  /** Whether anything that the stop means has not begun. */
  const waits = Effect.fnUntraced(function*({ group, turn }: StopRequest) {
    if (turn !== undefined) return Option.exists(yield* queue.get(sandbox, turn), ({ state }) => state === "waiting")
    if (group === undefined) return (yield* queue.depth(sandbox)).waiting > 0
    return (yield* queue.keys(sandbox, group)).some(({ state }) => state === "waiting")
  })

  const serve = Effect.fn("StopRequests.serve")(function*(request: StopRequest) {
    const at = request.at ?? (yield* Clock.currentTimeMillis)
    const target = {
      ...(request.turn === undefined ? {} : { turn: request.turn }),
      ...(request.group === undefined ? {} : { group: request.group })
    }
    // Before anything is stopped: the next message of the thread may be received the moment this one ends.
    yield* ledger.remember(factOf(request), encodeStop({ at, by: request.by }))
    const stopped = yield* turns.stop(target, request.by)
    const concerned = yield* waits(request)
    yield* Effect.logInfo("stop requested").pipe(Effect.annotateLogs({ ...target, stopped, concerned }))
    if (!stopped && !concerned) yield* background(nothingToStop(request))
    yield* controls.acknowledge(sandbox, request.id)
  })

  return {
    stoppedBy: ({ group, key, sentAt }) =>
      Effect.gen(function*() {
        for (const target of [{ turn: key }, { group }, {}]) {
          const fact = yield* ledger.recall(factOf(target))
          const stop = Option.flatMap(fact, decodeStop)
          // A stop that names the turn holds whatever the clocks of bridge and runtime say.
          if (Option.isSome(stop) && ("turn" in target || sentAt <= stop.value.at)) return stop.value.by
        }
        return undefined
      }).pipe(
        Effect.catch((error) => Effect.as(Effect.logWarning("stops cannot be looked up", error.message), undefined))
      ),
    // Delivered at least once: an unacknowledged request comes again with the next watch.
    // Nobody could stop an agent any more if one request ended this.
    run: unending(
      "serving a stop request ended in a defect; it is tried again",
      lookAgain,
      controls.watch(sandbox).pipe(
        Stream.filter(isStopRequest),
        Stream.runForEach(serve),
        Effect.catch((error) => Effect.logWarning("stop requests cannot be read yet", error.message)),
        Effect.andThen(Effect.sleep(lookAgain))
      )
    )
  }
}
