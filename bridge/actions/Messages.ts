/** Posting, editing and marking: the actions that put an agent's words into a thread. */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { MessageTs, RequestId, SenderId } from "../../runtime/domain/sandbox/Ids.ts"
import {
  type BridgeResult,
  type PostAction,
  type ReactAction,
  type UnreactAction,
  type UpdateAction,
  workingEmoji
} from "../../runtime/domain/slack/BridgeProtocol.ts"
import { sha256Base64Url, sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { Posts } from "../../runtime/ports/Posts.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { neutralise } from "../render/neutralise.ts"
import { maxMessageCharacters, splitMarkdown } from "../render/splitMarkdown.ts"
import { AgentSessions } from "../slack/AgentSessions.ts"
import { CallQueue } from "../slack/CallQueue.ts"
import { Poster, type PosterMessage } from "../slack/Poster.ts"
import { SlackApi, type SlackCallOptions } from "../slack/SlackApi.ts"
import { isMarkMoot, refusalOfSlack } from "../slack/SlackErrors.ts"
import type { Caller } from "./Authenticator.ts"
import { Once } from "./Once.ts"

type MarkAction = typeof ReactAction.Type | typeof UnreactAction.Type

interface Working {
  /** `left out`: its turn was over first, and there is nothing to take away. */
  state: "waiting" | "setting" | "left out"
  readonly done: Deferred.Deferred<void>
}
const placeOf = ({ channel, ts }: MarkAction): string => `${channel}/${ts}`
const sessionOf = ({ channel, threadTs, ts }: MarkAction) => ({ channel, threadTs: threadTs ?? ts })
/** ⏳ remembered as left out until their removal is asked for. */
const maxLeftOut = 5_000

/** A Markdown block counts its source; room is left for what closes and opens fences. */
const partCharacters = maxMessageCharacters - 200

export class Messages extends Context.Service<Messages, {
  readonly post: (
    caller: Caller,
    action: typeof PostAction.Type,
    uncertainSince: number | undefined
  ) => Effect.Effect<BridgeResult, BridgeRefusal>
  readonly update: (action: typeof UpdateAction.Type) => Effect.Effect<BridgeResult, BridgeRefusal>
  /** ⏳ is set when there is room for it: the answer does not wait, and it is left out where the turn ends first. */
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
      const queue = yield* CallQueue
      const scope = yield* Effect.scope
      const posts = yield* Posts
      const once = yield* Once
      const settings = yield* BridgeSettings
      const sessions = yield* AgentSessions

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

      const reacted = (action: MarkAction, options: SlackCallOptions) =>
        slack.call(
          action.action === "react" ? "reactions.add" : "reactions.remove",
          { channel: action.channel, timestamp: action.ts, name: action.emoji },
          options
        ).pipe(
          Effect.catchIf((failure) => failure.kind === "Refused" && isMarkMoot(failure.error), () => Effect.void)
        )

      /** ⏳ that wait for their turn, or are being set: nobody waits for one, and a turn that ends first needs none. */
      const working = new Map<string, Working>()

      const startWorking = (action: MarkAction) =>
        Effect.suspend(() => {
          const place = placeOf(action)
          if ((working.get(place)?.state ?? "left out") !== "left out") return Effect.void
          const mine: Working = { state: "waiting", done: Deferred.makeUnsafe() }
          working.set(place, mine)
          const call = { method: "reactions.add", channel: action.channel, purpose: "working" } as const
          return queue.within(call, (held) => {
            if (mine.state === "left out") return Effect.void
            mine.state = "setting"
            return Effect.andThen(
              sessions.set(sessionOf(action), "processing"),
              reacted(action, { purpose: "working", place: held })
            )
          }).pipe(
            Effect.catch((failure) => Effect.logDebug("a passing mark could not be set", failure.message)),
            Effect.ensuring(Effect.sync(() => {
              Deferred.doneUnsafe(mine.done, Effect.void)
              if (mine.state !== "left out") working.delete(place)
            })),
            Effect.forkIn(scope)
          )
        })

      /** The turn is over: ⏳ need not be set any more. True where it is not there, and will not be. */
      const leaveOut = (action: MarkAction): boolean => {
        const mine = working.get(placeOf(action))
        if (mine?.state === "waiting") {
          if (working.size > maxLeftOut) {
            for (const [place, { state }] of working) if (state === "left out") working.delete(place)
          }
          mine.state = "left out"
        }
        return mine?.state === "left out"
      }

      const mark = Effect.fn("Messages.mark")(function*(action: MarkAction) {
        if (action.emoji !== workingEmoji) {
          leaveOut(action)
          yield* Effect.mapError(reacted(action, { purpose: "mark" }), refusalOfSlack)
        } else if (action.action === "react") yield* startWorking(action)
        else if (leaveOut(action)) working.delete(placeOf(action))
        else {
          // What is being set must be there before it can be taken away.
          const setting = working.get(placeOf(action))
          if (setting !== undefined) yield* Deferred.await(setting.done)
          yield* sessions.set(sessionOf(action), "active")
          yield* Effect.mapError(reacted(action, { purpose: "working" }), refusalOfSlack)
        }
        return { ok: true as const }
      })

      return Messages.of({ post, update, mark, put })
    })
  )
}
