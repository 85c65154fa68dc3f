/** A word to one person, which the others do not see: as an errand, so that no click waits for Slack. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type { ChannelId, MessageTs, UserId } from "../../runtime/domain/sandbox/Ids.ts"
import { backoffSchedule } from "../../runtime/ports/Backoff.ts"
import { Errands } from "../../runtime/ports/Errands.ts"
import { Notes } from "../events/Notes.ts"
import { SlackApi } from "../slack/SlackApi.ts"

/** Eight more tries, 0.5 s apart and doubling up to 10 s: about a minute, besides what Slack's Retry-After asks for. */
const patience = backoffSchedule({ firstMillis: 500, longestMillis: 10_000 }).pipe(Schedule.upTo({ times: 8 }))

export interface Whisper {
  /** Of the gesture that is answered; where the word has to be said aloud, it is said once for each key. */
  readonly key: string
  readonly channel: ChannelId
  readonly threadTs?: MessageTs
  readonly user: UserId
  /** Words of ours alone. */
  readonly text: string
}

export class Whispers extends Context.Service<Whispers, {
  /** Returns at once. Where Slack cannot show it to one person alone, it stands in the thread for all. */
  readonly tell: (whisper: Whisper) => Effect.Effect<void>
}>()("km/bridge/questions/Whispers") {
  static readonly layer = Layer.effect(
    Whispers,
    Effect.gen(function*() {
      const slack = yield* SlackApi
      const notes = yield* Notes
      const errands = yield* Errands

      const send = (whisper: Whisper) => {
        const { channel, key, text, threadTs, user } = whisper
        const place = { channel, ...(threadTs === undefined ? {} : { threadTs }) }
        return slack.call("chat.postEphemeral", {
          channel,
          user,
          ...(threadTs === undefined ? {} : { thread_ts: threadTs }),
          text,
          blocks: [{ type: "section", text: { type: "plain_text", text, emoji: false } }],
          parse: "none",
          link_names: false
        }, { purpose: "question" }).pipe(
          Effect.tapError((failure) => Effect.sleep(failure.kind === "RateLimited" ? failure.retryAfterMillis : 0)),
          Effect.retry({ schedule: patience, while: (failure) => failure.kind !== "Refused" }),
          Effect.asVoid,
          // Such as `user_not_in_channel`: who reads along in a channel may click without being in it.
          Effect.catch((failure) =>
            Effect.andThen(
              Effect.logInfo("a person cannot be told alone").pipe(Effect.annotateLogs({ error: failure.error })),
              notes.put(`whisper/${key}`, place, text)
            )
          )
        )
      }

      yield* errands.handle("Whisper", {
        run: ({ _tag, ...whisper }) => send(whisper),
        // The process ends, or ten thousand errands wait; who clicked sees that nothing came of it and clicks again.
        dropped: () => undefined
      })
      return Whispers.of({
        tell: (whisper) => Effect.sync(() => errands.give({ _tag: "Whisper", ...whisper }))
      })
    })
  )
}
