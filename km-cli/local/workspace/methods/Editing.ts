/**
 * `chat.update`, `chat.delete` and the small change of `chat.*`.
 */
import * as Effect from "effect/Effect"
import type { Call, Method } from "../Call.ts"
import type { Channel } from "../Channels.ts"
import { type Json, objectOf, textOf, without } from "../Json.ts"
import { maxUpdateBytes, richText, updateBytes } from "../Text.ts"
import { type EmulatorFailure, refusal, type SlackRefusal } from "../WorkspaceError.ts"
import {
  channelType,
  emit,
  eventTs,
  memberChannel,
  shownMessage,
  storedMessage,
  visibleChannel,
  type WorkspaceState
} from "../WorkspaceState.ts"
import { isEmpty, readContent } from "./Posting.ts"

const place = (channel: Channel, ts: string, message: Json): { channel: string; ts: string; threadTs?: string } => {
  const threadTs = textOf(message, "thread_ts")
  return { channel: channel.id, ts, ...(threadTs === undefined ? {} : { threadTs }) }
}

const changed = (state: WorkspaceState, call: Call, channel: Channel, before: Json, after: Json): void => {
  const ts = textOf(after, "ts") ?? ""
  state.watch.tell("message_changed", place(channel, ts, after), { message: after })
  const at = eventTs(state)
  emit(state, call, channel, {
    type: "message",
    subtype: "message_changed",
    message: without(after, ["metadata"]),
    previous_message: without(before, ["metadata"]),
    channel: channel.id,
    hidden: true,
    ts: at,
    event_ts: at,
    channel_type: channelType(channel)
  })
}

/**
 * `chat.update`: own messages only. Text longer than 4,000 is `msg_too_long`, an archived channel `is_inactive`. Text
 * without blocks removes old blocks; blocks alone keep the text, and a change by blocks shows no `edited`; metadata
 * stays unless given, `{}` removes it (docs.slack.dev/reference/methods/chat.update). The previous text is read before the change, under the channel's lock, so
 * two edits at once give two `message_changed` whose `previous_message` is true.
 */
const update = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Effect.fn.Return<Json, SlackRefusal | EmulatorFailure> {
    const channel = yield* memberChannel(state, call.caller, textOf(call.args, "channel"))
    if (channel.isArchived) return yield* refusal("is_inactive")
    const ts = textOf(call.args, "ts") ?? ""
    const raw = textOf(call.args, "text") ?? textOf(call.args, "markdown_text") ?? ""
    const content = yield* readContent(call)
    const hasText = textOf(call.args, "text") !== undefined || textOf(call.args, "markdown_text") !== undefined
    if (textOf(call.args, "text") !== undefined && updateBytes(raw) > maxUpdateBytes) {
      return yield* refusal("msg_too_long")
    }
    const hasAttachments = content.attachments !== undefined
    if (!hasText && content.blocks === undefined && !hasAttachments && content.metadata === undefined) {
      return yield* refusal("no_text")
    }
    if (hasText && raw.trim() === "" && content.blocks === undefined && !hasAttachments) {
      return yield* refusal("no_text")
    }
    const work = Effect.gen(function*() {
      const entry = state.messages.find(channel.id, ts)
      if (entry === undefined || entry.tombstone) return yield* refusal("message_not_found")
      if (entry.userId !== call.caller.userId) return yield* refusal("cant_update_message")
      const before = shownMessage(state, channel, yield* storedMessage(state, channel, ts), true)
      const answer = yield* state.emulator.call(call.caller, "chat.update", {
        channel: channel.id,
        ts,
        ...(hasText ? { text: content.text, blocks: content.blocks ?? [richText(content.text)] } : {}),
        ...(!hasText && content.blocks !== undefined ? { blocks: content.blocks } : {}),
        ...(hasAttachments ? { attachments: content.attachments } : {}),
        ...(content.metadata === undefined ? {} : { metadata: content.metadata })
      })
      entry.editedByText = content.blocks === undefined || textOf(call.args, "markdown_text") !== undefined
      const after = shownMessage(state, channel, objectOf(answer, "message"), true)
      changed(state, call, channel, before, after)
      return { ...answer, channel: channel.id, ts, message: after }
    })
    return yield* state.writing(channel.id).withPermit(work)
  })

/**
 * `chat.delete`: own messages only. A root with replies stays as a tombstone, told as `message_changed`, because its
 * thread lives on (the emulator leaves orphans).
 */
const remove = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Effect.fn.Return<Json, SlackRefusal | EmulatorFailure> {
    const channel = yield* memberChannel(state, call.caller, textOf(call.args, "channel"))
    const ts = textOf(call.args, "ts") ?? ""
    const work = Effect.gen(function*() {
      const entry = state.messages.find(channel.id, ts)
      if (entry === undefined || entry.tombstone) return yield* refusal("message_not_found")
      if (entry.userId !== call.caller.userId) return yield* refusal("cant_delete_message")
      const before = shownMessage(state, channel, yield* storedMessage(state, channel, ts), true)
      if (state.messages.replies(channel.id, ts).length > 0) {
        yield* state.emulator.call(call.caller, "chat.update", {
          channel: channel.id,
          ts,
          text: "This message was deleted.",
          blocks: []
        })
        state.messages.remove(channel.id, ts)
        changed(state, call, channel, before, shownMessage(state, channel, { ts }, false))
        return { channel: channel.id, ts }
      }
      yield* state.emulator.call(call.caller, "chat.delete", { channel: channel.id, ts })
      state.messages.remove(channel.id, ts)
      state.watch.tell("message_deleted", place(channel, ts, before), {})
      const at = eventTs(state)
      emit(state, call, channel, {
        type: "message",
        subtype: "message_deleted",
        previous_message: without(before, ["metadata"]),
        channel: channel.id,
        hidden: true,
        deleted_ts: ts,
        ts: at,
        event_ts: at,
        channel_type: channelType(channel)
      })
      return { channel: channel.id, ts }
    })
    return yield* state.writing(channel.id).withPermit(work)
  })

/** `chat.getPermalink`: the link leads to the workspace's inspector, where the real one leads to `*.slack.com`. */
const permalink = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Effect.fn.Return<Json, SlackRefusal> {
    const channel = yield* visibleChannel(state, call.caller, textOf(call.args, "channel"), false)
    const ts = textOf(call.args, "message_ts") ?? ""
    const entry = state.messages.find(channel.id, ts)
    if (entry === undefined) return yield* refusal("message_not_found")
    const link = `${state.team.url}archives/${channel.id}/p${ts.replace(".", "")}`
    return {
      channel: channel.id,
      permalink: entry.root === undefined ? link : `${link}?thread_ts=${entry.root}&cid=${channel.id}`
    }
  })

/**
 * `chat.postEphemeral`: shown to one person, never in the history; who is not in the channel is `user_not_in_channel`
 * (docs.slack.dev/reference/methods/chat.postEphemeral).
 */
const ephemeral = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Effect.fn.Return<Json, SlackRefusal | EmulatorFailure> {
    const channel = yield* memberChannel(state, call.caller, textOf(call.args, "channel"), true)
    if (channel.isArchived) return yield* refusal("is_archived")
    const content = yield* readContent(call)
    if (isEmpty(content)) return yield* refusal("no_text")
    const userId = textOf(call.args, "user") ?? ""
    if (state.people.find(userId) === undefined) return yield* refusal("user_not_found")
    if (!channel.members.has(userId)) return yield* refusal("user_not_in_channel")
    const threadTs = textOf(call.args, "thread_ts")
    const whispered = {
      at: state.now(),
      channel: channel.id,
      userId,
      ...(threadTs === undefined ? {} : { threadTs }),
      text: content.text
    }
    state.whispered.push(whispered)
    state.watch.tell("ephemeral", { channel: channel.id, ...(threadTs === undefined ? {} : { threadTs }) }, {
      user: userId,
      text: content.text
    })
    return { message_ts: eventTs(state) }
  })

/** The methods of this file by name. */
export const editingMethods = (state: WorkspaceState): Record<string, Method> => ({
  "chat.update": { tier: 3, scopes: ["chat:write"], run: update(state) },
  "chat.delete": { tier: 3, scopes: ["chat:write"], run: remove(state) },
  "chat.getPermalink": { tier: "special", scopes: [], run: permalink(state) },
  "chat.postEphemeral": { tier: 4, scopes: ["chat:write"], run: ephemeral(state) }
})
