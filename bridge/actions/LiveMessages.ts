/**
 * Live messages: set to their whole text again and again. A draft is answered at once and shown when the workspace's budget
 * has room for it, in the words that are newest then; what is no draft is shown before it is answered, ahead of all drafts.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import type { ChannelId, MessageTs, SenderId } from "../../runtime/domain/sandbox/Ids.ts"
import type { BridgeResult, LiveSetAction } from "../../runtime/domain/slack/BridgeProtocol.ts"
import type { CallPurpose } from "../../runtime/domain/slack/CallBudget.ts"
import { sha256Base64Url, sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { type LiveRow, Posts } from "../../runtime/ports/Posts.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { neutralise } from "../render/neutralise.ts"
import { maxLiveCharacters, splitMarkdown } from "../render/splitMarkdown.ts"
import { CallQueue, type Place } from "../slack/CallQueue.ts"
import { Poster, type PosterMessage } from "../slack/Poster.ts"
import { SlackApi } from "../slack/SlackApi.ts"
import { refusalOfSlack } from "../slack/SlackErrors.ts"
import type { Caller } from "./Authenticator.ts"
import { Messages } from "./Messages.ts"
import { Once } from "./Once.ts"

interface Live {
  readonly turn: Semaphore.Semaphore
  /** What was asked for with the highest `seq` so far, and the highest that is no draft. */
  newest: typeof LiveSetAction.Type
  settled: number
  /** Drafts are being shown. */
  showing: boolean
  /** Why the last draft could not be shown: told to whoever sends the next. */
  failure: BridgeRefusal | undefined
  users: number
}

/** Whose calls a change makes: its first one, and those that a long text needs besides. */
interface Purposes {
  readonly first: CallPurpose
  readonly others: CallPurpose
  readonly place?: Place
}
const settling: Purposes = { first: "outcome", others: "outcome" }
const opening: Purposes = { first: "first", others: "first" }

const answer = (row: LiveRow | undefined): BridgeResult => ({
  ok: true,
  parts: (row?.parts ?? []).map((ts) => ({ ts }))
})

export class LiveMessages extends Context.Service<LiveMessages, {
  readonly set: (caller: Caller, action: typeof LiveSetAction.Type) => Effect.Effect<BridgeResult, BridgeRefusal>
}>()("km/bridge/actions/LiveMessages") {
  static readonly layer = Layer.effect(
    LiveMessages,
    Effect.gen(function*() {
      const slack = yield* SlackApi
      const poster = yield* Poster
      const posts = yield* Posts
      const once = yield* Once
      const messages = yield* Messages
      const settings = yield* BridgeSettings
      const queue = yield* CallQueue
      const scope = yield* Effect.scope
      const lives = new Map<string, Live>()

      /** A new part, once per place in the live message; `instead` names a part that vanished. */
      const postPart = Effect.fnUntraced(function*(
        sender: SenderId,
        action: typeof LiveSetAction.Type,
        index: number,
        markdown: string,
        instead: MessageTs | undefined,
        purpose: CallPurpose
      ) {
        const readable = `live/${action.live}/${index}${instead === undefined ? "" : `/${instead}`}`
        const key = sha256Base64Url(`${settings.install}/${sender}/${readable}`)
        let mayBeOlder = false
        const result = yield* once.run(
          { scope: `${settings.install}/${sender}/live`, key: readable, bodyHash: "" },
          (uncertainSince) => {
            mayBeOlder = uncertainSince !== undefined
            return Effect.map(
              messages.put(sender, {
                key,
                channel: action.channel,
                ...(action.threadTs === undefined ? {} : { threadTs: action.threadTs }),
                markdown,
                uncertainSince,
                purpose
              }),
              (ts): BridgeResult => ({ ok: true, parts: [{ ts }] })
            )
          }
        )
        const ts = result.parts?.[0]?.ts
        if (ts === undefined) {
          return yield* new BridgeRefusal({ code: "unavailable", detail: "a part has no ts", retryAfterMillis: 2_000 })
        }
        // A replayed record, or a message found in the thread after a crash, may show an older text.
        return { ts, sha256: mayBeOlder || result.replayed === true ? "" : sha256Hex(markdown) }
      })

      const editPart = (
        channel: ChannelId,
        ts: MessageTs,
        markdown: string,
        how: Pick<PosterMessage, "purpose" | "place">
      ) =>
        poster.update({ channel, ts, markdown, ...how }).pipe(
          Effect.as(true),
          // Somebody deleted it, or Slack's edit window has closed: the caller posts it anew.
          Effect.catchIf(
            (failure) => ["message_not_found", "cant_update_message", "edit_window_closed"].includes(failure.error),
            () => Effect.succeed(false)
          ),
          Effect.mapError(refusalOfSlack)
        )

      const show = Effect.fnUntraced(function*(
        sender: SenderId,
        action: typeof LiveSetAction.Type,
        known: LiveRow | undefined,
        { first, others, place }: Purposes
      ) {
        let calls = 0
        /** The place that is held is for the first call. */
        const how = () =>
          calls++ === 0 ? { purpose: first, ...(place === undefined ? {} : { place }) } : { purpose: others }
        const texts = splitMarkdown(neutralise(action.markdown), maxLiveCharacters).map((part) => part.text)
        const parts = [...known?.parts ?? []]
        const hashes = [...known?.hashes ?? []]
        for (let index = 0; index < texts.length; index++) {
          const text = texts[index] ?? ""
          const sha256 = sha256Hex(text)
          if (hashes[index] === sha256) continue
          const shown = parts[index]
          if (shown !== undefined && (yield* editPart(action.channel, shown, text, how()))) hashes[index] = sha256
          else {
            let part = yield* postPart(sender, action, index, text, shown, how().purpose)
            // What is recorded for this place shows an older text, or was deleted since: then it is posted anew.
            while (part.sha256 !== sha256 && !(yield* editPart(action.channel, part.ts, text, how()))) {
              part = yield* postPart(sender, action, index, text, part.ts, how().purpose)
            }
            parts[index] = part.ts
            hashes[index] = sha256
          }
        }
        while (parts.length > Math.max(texts.length, 1)) {
          const surplus = parts[parts.length - 1]
          yield* slack.call("chat.delete", { channel: action.channel, ts: surplus }, how()).pipe(
            Effect.catchIf((failure) => failure.error === "message_not_found", () => Effect.void),
            Effect.mapError(refusalOfSlack)
          )
          parts.pop()
          hashes.length = parts.length
        }
        // Until here a crash loses nothing: the parts' own records know their messages.
        const row = { sender, live: action.live, channel: action.channel, seq: action.seq, parts, hashes }
        yield* Effect.mapError(posts.putLive(row), refusalOfStore)
        return row
      })

      const rowOf = (sender: SenderId, live: string) =>
        Effect.map(Effect.mapError(posts.live(sender, live), refusalOfStore), Option.getOrUndefined)

      /** The row as it is, while a newer draft than that waits to be shown. */
      const outdated = Effect.fnUntraced(function*(sender: SenderId, live: Live) {
        const row = yield* rowOf(sender, live.newest.live)
        return row !== undefined && Math.max(row.seq, live.settled) < live.newest.seq ? Option.some(row) : Option.none()
      })

      /** One change to the newest draft; the place is used for it or given back. */
      const change = (sender: SenderId, live: Live, place: Place) =>
        live.turn.withPermits(1)(Effect.gen(function*() {
          const row = yield* outdated(sender, live)
          if (Option.isNone(row)) return
          yield* show(sender, live.newest, row.value, { first: "live", others: "first", place })
        }))

      /** Shows drafts for as long as there are newer ones. What waits for its place waits without holding the message. */
      const showDrafts = Effect.fnUntraced(function*(sender: SenderId, live: Live) {
        const call = { method: "chat.update", channel: live.newest.channel, purpose: "live" } as const
        while (Option.isSome(yield* outdated(sender, live))) {
          yield* queue.within(call, (place) => change(sender, live, place))
        }
      })

      const settled = Effect.fnUntraced(function*(sender: SenderId, live: Live, action: typeof LiveSetAction.Type) {
        live.settled = Math.max(live.settled, action.seq)
        return yield* live.turn.withPermits(1)(Effect.gen(function*() {
          const row = yield* rowOf(sender, action.live)
          if (action.seq < live.settled || (row !== undefined && row.seq >= action.seq)) return row
          return yield* show(sender, action, row, settling)
        }))
      })

      const drafted = Effect.fnUntraced(function*(
        sender: SenderId,
        live: Live,
        action: typeof LiveSetAction.Type,
        release: Effect.Effect<void>
      ) {
        const opened = yield* live.turn.withPermits(1)(Effect.gen(function*() {
          const row = yield* rowOf(sender, action.live)
          return row === undefined && live.settled < action.seq
            ? yield* show(sender, live.newest, row, opening)
            : row
        })).pipe(Effect.when(Effect.map(rowOf(sender, action.live), (row) => row === undefined)))
        if (Option.isSome(opened)) return opened.value
        const { failure } = live
        live.failure = undefined
        if (failure !== undefined) return yield* failure
        if (!live.showing) {
          live.showing = true
          live.users += 1
          yield* showDrafts(sender, live).pipe(
            Effect.catch((refusal) => Effect.sync(() => void (live.failure = refusal))),
            Effect.ensuring(Effect.andThen(Effect.sync(() => void (live.showing = false)), release)),
            Effect.forkIn(scope)
          )
        }
        return yield* rowOf(sender, action.live)
      })

      const set = Effect.fn("LiveMessages.set")(function*(caller: Caller, action: typeof LiveSetAction.Type) {
        const { sender } = caller
        const name = `${sender}/${action.live}`
        const row = yield* rowOf(sender, action.live)
        if (row !== undefined && row.channel !== action.channel) {
          return yield* new BridgeRefusal({ code: "forbidden", detail: "a live message stays in its channel" })
        }
        if (row !== undefined && row.seq >= action.seq) return answer(row)
        const live = lives.get(name) ?? {
          turn: Semaphore.makeUnsafe(1),
          newest: action,
          settled: -1,
          showing: false,
          failure: undefined,
          users: 0
        }
        lives.set(name, live)
        live.users += 1
        if (action.seq > live.newest.seq) live.newest = action
        const release = Effect.sync(() => {
          live.users -= 1
          // A failure waits for whoever sends the next draft.
          if (live.users === 0 && live.failure === undefined) lives.delete(name)
        })
        const shown = action.draft === true ? drafted(sender, live, action, release) : settled(sender, live, action)
        return answer(yield* Effect.ensuring(shown, release))
      })

      return LiveMessages.of({ set })
    })
  )
}
