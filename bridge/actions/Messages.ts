/** Posting, editing and marking: the actions that put an agent's words into a thread. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { MessageTs, RequestId, SenderId } from "../../runtime/domain/sandbox/Ids.ts"
import type {
  BridgeResult,
  PostAction,
  ReactAction,
  UnreactAction,
  UpdateAction
} from "../../runtime/domain/slack/BridgeProtocol.ts"
import { sha256Base64Url, sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { Posts } from "../../runtime/ports/Posts.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { neutralise } from "../render/neutralise.ts"
import { maxMessageCharacters, splitMarkdown } from "../render/splitMarkdown.ts"
import { Poster, type PosterMessage } from "../slack/Poster.ts"
import { SlackApi } from "../slack/SlackApi.ts"
import { isMarkMoot, refusalOfSlack } from "../slack/SlackErrors.ts"
import type { Caller } from "./Authenticator.ts"
import { Once } from "./Once.ts"

/** A Markdown block counts its source; room is left for what closes and opens fences. */
const partCharacters = maxMessageCharacters - 200

export class Messages extends Context.Service<Messages, {
  readonly post: (
    caller: Caller,
    action: typeof PostAction.Type,
    uncertainSince: number | undefined
  ) => Effect.Effect<BridgeResult, BridgeRefusal>
  readonly update: (action: typeof UpdateAction.Type) => Effect.Effect<BridgeResult, BridgeRefusal>
  readonly mark: (
    action: typeof ReactAction.Type | typeof UnreactAction.Type
  ) => Effect.Effect<BridgeResult, BridgeRefusal>
  /** One message with its own key, remembered as the sender's. */
  readonly put: (
    sender: SenderId,
    message: PosterMessage
  ) => Effect.Effect<MessageTs, BridgeRefusal>
}>()("km/bridge/actions/Messages") {
  static readonly layer = Layer.effect(
    Messages,
    Effect.gen(function*() {
      const slack = yield* SlackApi
      const poster = yield* Poster
      const posts = yield* Posts
      const once = yield* Once
      const settings = yield* BridgeSettings

      const put = Effect.fnUntraced(function*(sender: SenderId, message: PosterMessage) {
        const ts = yield* Effect.mapError(poster.post(message), refusalOfSlack)
        yield* posts.record({
          sender,
          channel: message.channel,
          ts,
          ...(message.threadTs === undefined ? {} : { threadTs: message.threadTs })
        }).pipe(
          // It is in Slack but not in our books: only looking again can bring the two together.
          Effect.mapError((error) => new BridgeRefusal({ ...refusalOfStore(error), uncertain: true }))
        )
        return ts
      })

      const keyOf = (sender: SenderId, id: RequestId, part: number): string =>
        sha256Base64Url(`${settings.install}/${sender}/${id}/${part}`)

      const post = Effect.fn("Messages.post")(function*(
        caller: Caller,
        action: typeof PostAction.Type,
        uncertainSince: number | undefined
      ) {
        const parts = splitMarkdown(neutralise(action.markdown), partCharacters)
        if (parts.length === 0) return yield* new BridgeRefusal({ code: "bad_request", detail: "markdown is blank" })
        const messageOf = (index: number, since: number | undefined): PosterMessage => ({
          key: keyOf(caller.sender, caller.id, index),
          channel: action.channel,
          ...(action.threadTs === undefined ? {} : { threadTs: action.threadTs }),
          markdown: parts[index]?.text ?? "",
          ...(action.broadcast === undefined ? {} : { broadcast: action.broadcast && index === 0 }),
          uncertainSince: since
        })
        const posted: Array<{ readonly ts: MessageTs }> = []
        if (parts.length === 1) {
          posted.push({ ts: yield* put(caller.sender, messageOf(0, uncertainSince)) })
          return { ok: true as const, parts: posted }
        }
        for (let index = 0; index < parts.length; index++) {
          const part = yield* once.run(
            {
              scope: `${settings.install}/${caller.sender}/part`,
              key: `${caller.id}/${index}`,
              bodyHash: sha256Hex(parts[index]?.text ?? "")
            },
            (since) =>
              Effect.map(put(caller.sender, messageOf(index, since ?? uncertainSince)), (ts): BridgeResult => ({
                ok: true,
                parts: [{ ts }]
              }))
          ).pipe(
            // The part was posted from another body under this id: posting it again would double it.
            Effect.catchIf(
              (refusal) => refusal.code === "already_done" && refusal.recorded !== undefined,
              (refusal) => Effect.succeed(refusal.recorded ?? { ok: true as const })
            )
          )
          posted.push(...part.parts ?? [])
        }
        return { ok: true as const, parts: posted }
      })

      const update = Effect.fn("Messages.update")(function*(action: typeof UpdateAction.Type) {
        const markdown = neutralise(action.markdown)
        const parts = splitMarkdown(markdown, partCharacters)
        if (parts.length !== 1) {
          return yield* new BridgeRefusal({
            code: "bad_request",
            detail: parts.length === 0 ? "markdown is blank" : "the text does not fit one message; use live.set or post"
          })
        }
        yield* Effect.mapError(
          poster.update({ channel: action.channel, ts: action.ts, markdown: parts[0]?.text ?? markdown }),
          refusalOfSlack
        )
        return { ok: true as const, parts: [{ ts: action.ts }] }
      })

      const mark = Effect.fn("Messages.mark")(function*(
        action: typeof ReactAction.Type | typeof UnreactAction.Type
      ) {
        yield* slack.call(action.action === "react" ? "reactions.add" : "reactions.remove", {
          channel: action.channel,
          timestamp: action.ts,
          name: action.emoji
        }).pipe(
          Effect.catchIf((failure) => failure.kind === "Refused" && isMarkMoot(failure.error), () => Effect.void),
          Effect.mapError(refusalOfSlack)
        )
        return { ok: true as const }
      })

      return Messages.of({ post, update, mark, put })
    })
  )
}
