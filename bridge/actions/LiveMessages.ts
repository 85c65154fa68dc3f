/**
 * Live messages: set to their whole text again and again, shown at most once a second per channel. Whoever is overtaken
 * by a newer text while waiting answers without sending: the latest wins.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import type { ChannelId, MessageTs, SenderId } from "../../runtime/domain/sandbox/Ids.ts"
import type { BridgeResult, LiveSetAction } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { sha256Base64Url, sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { type LiveRow, Posts } from "../../runtime/ports/Posts.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { neutralise } from "../render/neutralise.ts"
import { maxLiveCharacters, splitMarkdown } from "../render/splitMarkdown.ts"
import { Poster } from "../slack/Poster.ts"
import { SlackApi } from "../slack/SlackApi.ts"
import { refusalOfSlack } from "../slack/SlackErrors.ts"
import type { Caller } from "./Authenticator.ts"
import { Messages } from "./Messages.ts"
import { Once } from "./Once.ts"

/** Least time between two changes of live messages in one channel. */
export const liveIntervalMillis = 1_000

interface Live {
  readonly turn: Semaphore.Semaphore
  /** Highest `seq` asked for so far. */
  wanted: number
  users: number
}

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
      const lives = new Map<string, Live>()
      const nextAt = new Map<ChannelId, number>()

      /** The channel's next free second, taken. */
      const slot = Effect.fnUntraced(function*(channel: ChannelId) {
        const now = yield* Clock.currentTimeMillis
        const at = Math.max(now, nextAt.get(channel) ?? 0)
        if (nextAt.size > 5_000) { for (const [key, value] of nextAt) if (value < now) nextAt.delete(key) }
        nextAt.set(channel, at + liveIntervalMillis)
        if (at > now) yield* Effect.sleep(at - now)
      })

      /** A new part, once per place in the live message; `instead` names a part that vanished. */
      const postPart = Effect.fnUntraced(function*(
        sender: SenderId,
        action: typeof LiveSetAction.Type,
        index: number,
        markdown: string,
        instead: MessageTs | undefined
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
                uncertainSince
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

      const editPart = (channel: ChannelId, ts: MessageTs, markdown: string) =>
        poster.update({ channel, ts, markdown }).pipe(
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
        known: LiveRow | undefined
      ) {
        const texts = splitMarkdown(neutralise(action.markdown), maxLiveCharacters).map((part) => part.text)
        const parts = [...known?.parts ?? []]
        const hashes = [...known?.hashes ?? []]
        for (let index = 0; index < texts.length; index++) {
          const text = texts[index] ?? ""
          const sha256 = sha256Hex(text)
          if (hashes[index] === sha256) continue
          const shown = parts[index]
          if (shown !== undefined && (yield* editPart(action.channel, shown, text))) hashes[index] = sha256
          else {
            let part = yield* postPart(sender, action, index, text, shown)
            // What is recorded for this place shows an older text, or was deleted since: then it is posted anew.
            while (part.sha256 !== sha256 && !(yield* editPart(action.channel, part.ts, text))) {
              part = yield* postPart(sender, action, index, text, part.ts)
            }
            parts[index] = part.ts
            hashes[index] = sha256
          }
        }
        while (parts.length > Math.max(texts.length, 1)) {
          const surplus = parts[parts.length - 1]
          yield* slack.call("chat.delete", { channel: action.channel, ts: surplus }).pipe(
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

      const set = Effect.fn("LiveMessages.set")(function*(caller: Caller, action: typeof LiveSetAction.Type) {
        const name = `${caller.sender}/${action.live}`
        const live = lives.get(name) ?? { turn: Semaphore.makeUnsafe(1), wanted: -1, users: 0 }
        lives.set(name, live)
        live.users += 1
        live.wanted = Math.max(live.wanted, action.seq)
        const current = Effect.map(
          Effect.mapError(posts.live(caller.sender, action.live), refusalOfStore),
          Option.getOrUndefined
        )
        const overtaken = (row: LiveRow | undefined): boolean =>
          action.seq < live.wanted || (row !== undefined && row.seq >= action.seq)
        const shown = Effect.gen(function*() {
          const before = yield* current
          if (before !== undefined && before.channel !== action.channel) {
            return yield* new BridgeRefusal({ code: "forbidden", detail: "a live message stays in its channel" })
          }
          if (overtaken(before)) return answer(before)
          yield* slot(action.channel)
          if (overtaken(before)) return answer(before)
          return answer(yield* show(caller.sender, action, before))
        })
        return yield* Effect.ensuring(
          live.turn.withPermits(1)(shown),
          Effect.sync(() => {
            live.users -= 1
            if (live.users === 0) lives.delete(name)
          })
        )
      })

      return LiveMessages.of({ set })
    })
  )
}
