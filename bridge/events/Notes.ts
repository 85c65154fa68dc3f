/** Sentences of the bridge's own in a thread: each posted once, as an errand, so that no event waits for Slack. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ChannelId, MessageTs } from "../../runtime/domain/sandbox/Ids.ts"
import { sha256Base64Url, sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { type ErrandOf, Errands } from "../../runtime/ports/Errands.ts"
import { Once } from "../actions/Once.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { Poster } from "../slack/Poster.ts"
import { refusalOfSlack } from "../slack/SlackErrors.ts"
import { Progress } from "./Progress.ts"

export interface NotePlace {
  readonly channel: ChannelId
  readonly threadTs?: MessageTs
}

export class Notes extends Context.Service<Notes, {
  /** Returns at once. The same key twice is one note; what Slack will not take is logged. */
  readonly put: (key: string, place: NotePlace, markdown: string) => Effect.Effect<void>
}>()("km/bridge/events/Notes") {
  static readonly layer = Layer.effect(
    Notes,
    Effect.gen(function*() {
      const once = yield* Once
      const poster = yield* Poster
      const settings = yield* BridgeSettings
      const progress = yield* Progress
      const errands = yield* Errands
      const post = ({ key: noteKey, markdown, ...place }: Omit<ErrandOf<"Note">, "_tag">): Effect.Effect<void> => {
        const key = sha256Base64Url(`note/${noteKey}`)
        return once.run(
          { scope: `${settings.install}/bridge`, key, bodyHash: sha256Hex(markdown) },
          (uncertainSince) =>
            poster.post({ key, ...place, markdown, uncertainSince }).pipe(
              Effect.map((ts) => ({ ok: true as const, parts: [{ ts }] })),
              Effect.mapError(refusalOfSlack)
            )
        ).pipe(
          Effect.asVoid,
          Effect.catch((refusal) =>
            Effect.logWarning("a note could not be posted").pipe(
              Effect.annotateLogs({ channel: place.channel, code: refusal.code, detail: refusal.detail })
            )
          )
        )
      }
      yield* errands.handle("Note", {
        run: ({ _tag, ...note }) => post(note),
        // Whoever was to be told wrote a message: the catch-up gives it the same verdict, and the same note.
        dropped: progress.missed
      })
      return Notes.of({
        put: (key, place, markdown) => Effect.sync(() => errands.give({ _tag: "Note", key, ...place, markdown }))
      })
    })
  )
}
