/**
 * `reactions.*`, with the names and the refusals that Slack has and the emulator lacks.
 */
import * as Effect from "effect/Effect"
import type { Call, Method } from "../Call.ts"
import { isEmojiName } from "../Emoji.ts"
import { type Json, textOf } from "../Json.ts"
import { type EmulatorFailure, refusal, type SlackRefusal } from "../WorkspaceError.ts"
import {
  emit,
  eventTs,
  memberChannel,
  shownMessage,
  storedMessage,
  visibleChannel,
  type WorkspaceState
} from "../WorkspaceState.ts"

const change = (state: WorkspaceState, type: "reaction_added" | "reaction_removed") =>
  Effect.fnUntraced(function*(call: Call): Effect.fn.Return<Json, SlackRefusal | EmulatorFailure> {
    const name = textOf(call.args, "name") ?? ""
    if (!isEmojiName(name, state.emoji)) return yield* refusal("invalid_name")
    const ts = textOf(call.args, "timestamp")
    if (textOf(call.args, "channel") === undefined || ts === undefined) return yield* refusal("no_item_specified")
    if (!/^\d+\.\d+$/.test(ts)) return yield* refusal("bad_timestamp")
    const channel = yield* memberChannel(state, call.caller, textOf(call.args, "channel"))
    if (channel.isArchived) return yield* refusal("is_archived")
    const work = Effect.gen(function*() {
      const entry = state.messages.find(channel.id, ts)
      if (entry === undefined || entry.tombstone) return yield* refusal("message_not_found")
      const answer = yield* state.emulator.call(call.caller, call.method, { channel: channel.id, timestamp: ts, name })
      state.watch.tell(
        type,
        { channel: channel.id, ts, ...(entry.root === undefined ? {} : { threadTs: entry.root }) },
        { name, user: call.caller.userId }
      )
      emit(state, call, channel, {
        type,
        user: call.caller.userId,
        reaction: name,
        item: { type: "message", channel: channel.id, ts },
        item_user: entry.userId,
        event_ts: eventTs(state)
      })
      return answer
    })
    return yield* state.writing(channel.id).withPermit(work)
  })

const get = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Effect.fn.Return<Json, SlackRefusal | EmulatorFailure> {
    const ts = textOf(call.args, "timestamp")
    if (textOf(call.args, "channel") === undefined || ts === undefined) return yield* refusal("no_item_specified")
    const channel = yield* visibleChannel(state, call.caller, textOf(call.args, "channel"), false)
    if (state.messages.find(channel.id, ts) === undefined) return yield* refusal("message_not_found")
    const message = shownMessage(state, channel, yield* storedMessage(state, channel, ts), false)
    return { type: "message", channel: channel.id, message }
  })

/** The methods of this file by name. */
export const reactionMethods = (state: WorkspaceState): Record<string, Method> => ({
  "reactions.add": { tier: 3, scopes: ["reactions:write"], run: change(state, "reaction_added") },
  "reactions.remove": { tier: 2, scopes: ["reactions:write"], run: change(state, "reaction_removed") },
  "reactions.get": { tier: 3, scopes: ["reactions:read"], run: get(state) }
})
