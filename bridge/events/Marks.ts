/**
 * Reactions that tell a person what became of a message (👀 stored, 🚫 refused, 🛑 stop taken): set after the 200, by a
 * consumer of its own, so that Slack's API never delays Slack's event. What a crash takes away is set again by the
 * catch-up at start or by Slack's repetition of the event.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Tracer from "effect/Tracer"
import type { ChannelId, MessageTs } from "../../runtime/domain/Ids.ts"
import { SlackApi } from "../slack/SlackApi.ts"
import { isMarkMoot } from "../slack/SlackErrors.ts"
import { Progress } from "./Progress.ts"

export interface Mark {
  readonly channel: ChannelId
  readonly ts: MessageTs
  readonly emoji: "eyes" | "no_entry_sign" | "octagonal_sign"
}

/** Marks remembered as set or being set, so that four deliveries of one event make one call. */
const maxRemembered = 20_000
/** Calls at the same time; Slack's own limit is per minute and kept by the buckets. */
const workers = 4

/** Eight more tries, 0.5 s apart and doubling up to 10 s: about a minute, besides what Slack's Retry-After asks for. */
const patience = Schedule.min([Schedule.exponential("500 millis"), Schedule.spaced("10 seconds")]).pipe(
  Schedule.upTo({ times: 8 })
)

/** The span of who asks for a mark, so that 👀 is in the trace of its message. */
const callersSpan = (): Tracer.AnySpan | undefined => {
  const fiber = Fiber.getCurrent()
  return fiber === undefined ? undefined : Context.getOrUndefined(fiber.context, Tracer.ParentSpan)
}

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
      const queue = yield* Queue.unbounded<{ readonly mark: Mark; readonly span: Tracer.AnySpan | undefined }>()
      const remembered = new Set<string>()
      let open = 0
      const waiting = new Set<() => void>()
      const keyOf = (mark: Mark) => `${mark.channel}/${mark.ts}/${mark.emoji}`

      const apply = Effect.fn("Marks.apply")(function*(mark: Mark) {
        yield* slack.call(
          "reactions.add",
          { channel: mark.channel, timestamp: mark.ts, name: mark.emoji },
          { maxWaitMillis: 600_000 }
        ).pipe(
          Effect.catchIf((failure) => failure.kind === "Refused" && isMarkMoot(failure.error), () => Effect.void),
          Effect.tapError((failure) => Effect.sleep(failure.kind === "RateLimited" ? failure.retryAfterMillis : 0)),
          Effect.retry({ schedule: patience, while: (failure) => failure.kind !== "Refused" }),
          Effect.catchDefect((defect) =>
            Effect.as(Effect.logError("a mark ended in a defect; the others go on", defect), undefined)
          ),
          Effect.catch((failure) => {
            remembered.delete(keyOf(mark))
            // Slack is away for longer: the catch-up that this asks for comes past this message again.
            if (failure.kind !== "Refused") progress.missed()
            return Effect.logWarning("a mark could not be set").pipe(
              Effect.annotateLogs({ channel: mark.channel, ts: mark.ts, emoji: mark.emoji, error: failure.error })
            )
          })
        )
      })

      const worker = Queue.take(queue).pipe(
        Effect.flatMap(({ mark, span }) =>
          Effect.ensuring(
            span === undefined ? apply(mark) : Effect.withParentSpan(apply(mark), span),
            Effect.sync(() => {
              open -= 1
              if (open === 0) {
                // Who is woken may go on at once, and wait again for what it sets.
                const woken = [...waiting]
                waiting.clear()
                for (const wake of woken) wake()
              }
            })
          )
        ),
        Effect.forever
      )
      for (let index = 0; index < workers; index++) yield* Effect.forkScoped(worker)

      const drain = Effect.callback<void>((resume) => {
        if (open === 0) return resume(Effect.void)
        waiting.add(() => resume(Effect.void))
      })
      return Marks.of({
        set: (mark) => {
          const key = keyOf(mark)
          if (remembered.has(key)) return
          if (remembered.size >= maxRemembered) remembered.clear()
          remembered.add(key)
          open += 1
          Queue.offerUnsafe(queue, { mark, span: callersSpan() })
        },
        drain
      })
    })
  )
}
