/**
 * `conversations.history` and `conversations.replies`: windows, pages and membership, which the emulator ignores.
 */
import * as Effect from "effect/Effect"
import type { Call, Method } from "../Call.ts"
import type { Channel } from "../Channels.ts"
import { flagOf, type Json, numberOf, objectsOf, textOf } from "../Json.ts"
import type { Window } from "../MessageIndex.ts"
import { type EmulatorFailure, refusal, type SlackRefusal } from "../WorkspaceError.ts"
import {
  readerOf,
  requireScope,
  shownMessage,
  storedMessage,
  visibleChannel,
  type WorkspaceState
} from "../WorkspaceState.ts"

/** Default and most per page. Source: docs.slack.dev/reference/methods/conversations.history (100 and 999). */
const defaultLimit = 100
const maxLimit = 999
/** Source: docs.slack.dev/reference/methods/conversations.replies (default 1000). */
const defaultReplies = 1000

const timestamp = /^\d{1,12}(\.\d{1,6})?$/

const readWindow = Effect.fnUntraced(function*(call: Call): Effect.fn.Return<Window, SlackRefusal> {
  const oldest = call.args["oldest"] === undefined ? undefined : String(call.args["oldest"])
  const latest = call.args["latest"] === undefined ? undefined : String(call.args["latest"])
  if (oldest !== undefined && oldest !== "" && !timestamp.test(oldest)) return yield* refusal("invalid_ts_oldest")
  if (latest !== undefined && latest !== "" && latest !== "now" && !timestamp.test(latest)) {
    return yield* refusal("invalid_ts_latest")
  }
  return {
    oldest: oldest === "" || oldest === "0" ? undefined : oldest,
    latest: latest === "" || latest === "now" ? undefined : latest,
    inclusive: flagOf(call.args, "inclusive")
  }
})

const cursorPrefix = "next_ts:"

/** Slack's cursors are opaque base64; a wrong one is `invalid_cursor` (the emulator starts again at page 1). */
const readCursor = Effect.fnUntraced(function*(call: Call): Effect.fn.Return<string | undefined, SlackRefusal> {
  const cursor = textOf(call.args, "cursor")
  if (cursor === undefined || cursor === "") return undefined
  const text = Buffer.from(cursor, "base64").toString("utf8")
  const ts = text.startsWith(cursorPrefix) ? text.slice(cursorPrefix.length) : ""
  return timestamp.test(ts) ? ts : yield* refusal("invalid_cursor")
})

/** The cursor that goes on at `ts`. */
const cursorAt = (ts: string): string => Buffer.from(cursorPrefix + ts).toString("base64")

const readLimit = Effect.fnUntraced(function*(call: Call, fallback: number): Effect.fn.Return<number, SlackRefusal> {
  if (call.args["limit"] === undefined || call.args["limit"] === "" || call.args["limit"] === 0) return fallback
  const limit = numberOf(call.args, "limit")
  if (limit === undefined || limit < 1 || limit > Math.max(maxLimit, fallback)) return yield* refusal("invalid_limit")
  return Math.floor(limit)
})

const historyScope = (channel: Channel): ReadonlyArray<string> =>
  channel.kind === "im" ? ["im:history"] : channel.isPrivate ? ["groups:history"] : ["channels:history"]

/** Bots read only where they are members; people also read public channels they are not in. */
const readable = Effect.fnUntraced(function*(
  state: WorkspaceState,
  call: Call
): Effect.fn.Return<Channel, SlackRefusal> {
  const channel = yield* visibleChannel(state, call.caller, textOf(call.args, "channel"), false)
  yield* requireScope(call.caller, historyScope(channel))
  if (call.caller.kind === "bot" && !channel.members.has(call.caller.userId)) return yield* refusal("not_in_channel")
  return channel
})

/** Metadata is for apps that ask, with `include_all_metadata`. */
const wantsMetadata = (call: Call): boolean => flagOf(call.args, "include_all_metadata")

/** The stored messages of one page, read in one go where they lie together. */
const storedPage = Effect.fnUntraced(function*(
  state: WorkspaceState,
  channel: Channel,
  page: ReadonlyArray<string>
): Effect.fn.Return<ReadonlyArray<Json>, SlackRefusal | EmulatorFailure> {
  const first = page.find((ts) => state.messages.find(channel.id, ts)?.root === undefined)
  const reader = readerOf(state, channel)
  const stored = new Map<string, Json>()
  if (first !== undefined && reader !== undefined) {
    const answer = yield* state.emulator.call(reader, "conversations.history", {
      channel: channel.id,
      cursor: first,
      limit: page.length
    })
    for (const message of objectsOf(answer, "messages")) stored.set(textOf(message, "ts") ?? "", message)
  }
  const result: Array<Json> = []
  for (const ts of page) result.push(stored.get(ts) ?? (yield* storedMessage(state, channel, ts)))
  return result
})

/** Newest first, top-level messages and broadcast replies; `pin_count` is always 0 here. */
const history = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Effect.fn.Return<Json, SlackRefusal | EmulatorFailure> {
    const channel = yield* readable(state, call)
    const window = yield* readWindow(call)
    const limit = yield* readLimit(call, defaultLimit)
    const from = yield* readCursor(call)
    // Reading under the channel's lock: a page never shows half of a change.
    const work = Effect.gen(function*() {
      const all = state.messages.history(channel.id, window)
      const rest = from === undefined ? all : all.filter((ts) => Number(ts) <= Number(from))
      const page = rest.slice(0, limit)
      const next = rest[limit]
      const stored = yield* storedPage(state, channel, page)
      return {
        messages: stored.map((message) => shownMessage(state, channel, message, wantsMetadata(call))),
        has_more: next !== undefined,
        pin_count: 0,
        channel_actions_ts: null,
        channel_actions_count: 0,
        ...(next === undefined ? {} : { response_metadata: { next_cursor: cursorAt(next) } })
      }
    })
    return yield* state.writing(channel.id).withPermit(work)
  })

/** The root first, then replies oldest first; the root comes with every page. `ts` may be any message of the thread. */
const replies = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Effect.fn.Return<Json, SlackRefusal | EmulatorFailure> {
    const channel = yield* readable(state, call)
    const ts = textOf(call.args, "ts") ?? ""
    const window = yield* readWindow(call)
    const limit = yield* readLimit(call, defaultReplies)
    const from = yield* readCursor(call)
    const work = Effect.gen(function*() {
      const root = state.messages.rootOf(channel.id, ts)
      const reader = readerOf(state, channel)
      if (root === undefined || reader === undefined) return yield* refusal("thread_not_found")
      const all = state.messages.thread(channel.id, root, window)
      const rest = from === undefined ? all : all.filter((reply) => Number(reply) >= Number(from))
      // The root counts towards the limit.
      const page = rest.slice(0, Math.max(1, limit - 1))
      const next = rest[page.length]
      const answer = yield* state.emulator.call(reader, "conversations.replies", { channel: channel.id, ts: root })
      const stored = new Map(objectsOf(answer, "messages").map((message) => [textOf(message, "ts") ?? "", message]))
      const shown = [root, ...page].flatMap((each) => {
        const message = stored.get(each)
        return message === undefined ? [] : [shownMessage(state, channel, message, wantsMetadata(call))]
      })
      return {
        messages: shown,
        has_more: next !== undefined,
        ...(next === undefined ? {} : { response_metadata: { next_cursor: cursorAt(next) } })
      }
    })
    return yield* state.writing(channel.id).withPermit(work)
  })

/** The methods of this file by name. */
export const readingMethods = (state: WorkspaceState): Record<string, Method> => {
  const scopes = ["channels:history", "groups:history", "im:history", "mpim:history"]
  return {
    "conversations.history": { tier: 3, scopes, run: history(state) },
    "conversations.replies": { tier: 3, scopes, run: replies(state) }
  }
}
