/**
 * Reactions that tell a person what became of a message (👀 stored, 🚫 refused, 🛑 stop taken): set after the 200, as an
 * errand, so that Slack's API never delays Slack's event. What a crash takes away is set again by the
 * catch-up at start or by Slack's repetition of the event.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Tracer from "effect/Tracer"
import type { ChannelId, MessageTs } from "../../runtime/domain/sandbox/Ids.ts"
import { backoffSchedule } from "../../runtime/ports/Backoff.ts"
import { Errands } from "../../runtime/ports/Errands.ts"
import { spanOfTraceparent, traceparentOf } from "../../runtime/ports/TraceParent.ts"
import { SlackApi } from "../slack/SlackApi.ts"
import { isMarkMoot } from "../slack/SlackErrors.ts"
import { Progress } from "./Progress.ts"

export interface Mark {
  readonly channel: ChannelId
  readonly ts: MessageTs
  readonly emoji: "eyes" | "no_entry_sign" | "octagonal_sign" | "shushing_face"
}

/** Marks remembered as set or being set, so that four deliveries of one event make one call. */
const maxRemembered = 20_000

/** Eight more tries, 0.5 s apart and doubling up to 10 s: about a minute, besides what Slack's Retry-After asks for. */
const patience = backoffSchedule({ firstMillis: 500, longestMillis: 10_000 }).pipe(
  Schedule.upTo({ times: 8 })
)

/** Of who asks for a mark, so that 👀 is in the trace of its message. */
const callersTraceparent = (): string | undefined => {
  const fiber = Fiber.getCurrent()
  const span = fiber === undefined ? undefined : Context.getOrUndefined(fiber.context, Tracer.ParentSpan)
  return span === undefined ? undefined : traceparentOf(span)
}

const keyOf = (mark: Mark) => `${mark.channel}/${mark.ts}/${mark.emoji}`

export class Marks extends Context.Service<Marks, {
  /** Returns at once. The same mark twice is one call. */
  readonly set: (mark: Mark) => void
  /** Waits until everything set before is done or given up. */
  readonly drain: Effect.Effect<void>
}>()("km/bridge/events/Marks") {
  static readonly layer = Layer.effect(
    Marks,
    Effect.gen(function*() {
      const slack = yield* SlackApi
      const progress = yield* Progress
      const errands = yield* Errands
      const remembered = new Set<string>()

      /** Slack is away for longer, or too much waits: the catch-up that this asks for comes past this message again. */
      const lost = (mark: Mark): void => {
        remembered.delete(keyOf(mark))
        progress.missed()
      }

      const apply = Effect.fn("Marks.apply")(function*(mark: Mark) {
        yield* slack.call(
          "reactions.add",
          { channel: mark.channel, timestamp: mark.ts, name: mark.emoji },
          { purpose: mark.emoji === "eyes" ? "seen" : "mark" }
        ).pipe(
          Effect.catchIf((failure) => failure.kind === "Refused" && isMarkMoot(failure.error), () => Effect.void),
          Effect.tapError((failure) => Effect.sleep(failure.kind === "RateLimited" ? failure.retryAfterMillis : 0)),
          Effect.retry({ schedule: patience, while: (failure) => failure.kind !== "Refused" }),
          Effect.catch((failure) => {
            if (failure.kind === "Refused") remembered.delete(keyOf(mark))
            else lost(mark)
            return Effect.logWarning("a mark could not be set").pipe(
              Effect.annotateLogs({ channel: mark.channel, ts: mark.ts, emoji: mark.emoji, error: failure.error })
            )
          })
        )
      })

      yield* errands.handle("Mark", {
        run: ({ channel, emoji, traceparent, ts }) => {
          const span = spanOfTraceparent(traceparent)
          const setting = apply({ channel, ts, emoji })
          return span === undefined ? setting : Effect.withParentSpan(setting, span)
        },
        dropped: lost
      })
      return Marks.of({
        set: (mark) => {
          const key = keyOf(mark)
          if (remembered.has(key)) return
          if (remembered.size >= maxRemembered) remembered.clear()
          remembered.add(key)
          const traceparent = callersTraceparent()
          errands.give({ _tag: "Mark", ...mark, ...(traceparent === undefined ? {} : { traceparent }) })
        },
        drain: errands.drain("Mark")
      })
    })
  )
}
