/** Sentences of the bridge's own in a thread: each posted once by a fiber of its own, so that no event waits for Slack. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { sha256Base64Url, sha256Hex } from "../../runtime/domain/Digest.ts"
import type { ChannelId, MessageTs } from "../../runtime/domain/Ids.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { Poster } from "../slack/Poster.ts"
import { refusalOfSlack } from "../slack/SlackErrors.ts"
import { Once } from "../v2/Once.ts"

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
      const scope = yield* Effect.scope
      const put = (noteKey: string, place: NotePlace, markdown: string): Effect.Effect<void> => {
        const key = sha256Base64Url(`note/${noteKey}`)
        return once.run(
          { scope: `${settings.install}/bridge`, key, bodyHash: sha256Hex(markdown) },
          (uncertainSince) =>
            poster.post({ key, ...place, markdown, uncertainSince }).pipe(
              Effect.map((ts) => ({ ok: true as const, parts: [{ ts }] })),
              Effect.mapError(refusalOfSlack)
            )
        ).pipe(
          Effect.catch((refusal) =>
            Effect.logWarning("a note could not be posted").pipe(
              Effect.annotateLogs({ channel: place.channel, code: refusal.code, detail: refusal.detail })
            )
          ),
          Effect.forkIn(scope),
          Effect.asVoid
        )
      }
      return Notes.of({ put })
    })
  )
}
