/**
 * `files.*`: the upload in three steps and what follows from it. `files.upload` is retired, as at Slack.
 */
import * as Effect from "effect/Effect"
import { checkBlocks } from "../Blocks.ts"
import type { Call, Method } from "../Call.ts"
import type { Channel } from "../Channels.ts"
import { isJson, type Json, objectOf, objectsOf, parseJson, textOf } from "../Json.ts"
import { normaliseText } from "../Text.ts"
import { type EmulatorFailure, refusal, type SlackRefusal } from "../WorkspaceError.ts"
import {
  emit,
  eventTs,
  isExtShared,
  memberChannel,
  requireScope,
  shownMessage,
  storedMessage,
  type WorkspaceState
} from "../WorkspaceState.ts"
import { announce, threadRoot } from "./Posting.ts"

type Answer = Effect.fn.Return<Json, SlackRefusal | EmulatorFailure>

/** Where a file was shared: channel to message. The message's `ts` is found nowhere else (measured, 0.12.2). */
const shareTs = (file: Json, channel: string): string | undefined => {
  const shares = objectOf(file, "shares")
  for (const kind of ["public", "private"]) {
    const share = objectsOf(objectOf(shares, kind), channel).at(-1)
    if (share !== undefined) return textOf(share, "ts")
  }
  return undefined
}

/** In a Slack Connect channel an event carries no file, only the hint to ask (docs.slack.dev/apis/slack-connect). */
const connectFile = (file: Json): Json => ({ id: file["id"], mode: "file_access", file_access: "check_file_info" })

const tellShared = Effect.fnUntraced(function*(
  state: WorkspaceState,
  call: Call,
  channel: Channel,
  ts: string,
  root: string | undefined,
  files: ReadonlyArray<Json>
): Effect.fn.Return<void, SlackRefusal | EmulatorFailure> {
  state.messages.add(channel.id, { ts, userId: call.caller.userId, root, broadcast: false })
  for (const file of files) {
    emit(state, call, channel, {
      type: "file_shared",
      channel_id: channel.id,
      file_id: file["id"],
      user_id: call.caller.userId,
      file: { id: file["id"] },
      event_ts: eventTs(state)
    })
  }
  const stored = yield* storedMessage(state, channel, ts)
  const shown = shownMessage(state, channel, stored, false)
  const seen = objectsOf(shown, "files")
  announce(state, call, channel, {
    ...shown,
    subtype: "file_share",
    upload: false,
    display_as_bot: false,
    files: isExtShared(channel) ? seen.map(connectFile) : seen
  })
})

const uploadUrl = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    return yield* state.emulator.call(call.caller, call.method, call.args)
  })

/**
 * `files.completeUploadExternal`. One message per channel however many files; without a channel the files stay
 * private to the uploader. The declared length is not compared with the bytes (the emulator keeps no record).
 */
const complete = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const given = call.args["files"]
    const files = typeof given === "string" ? parseJson(given) : given
    if (!Array.isArray(files) || files.length === 0 || !files.every(isJson)) return yield* refusal("invalid_arguments")
    const comment = textOf(call.args, "initial_comment")
    const blocks = yield* checkBlocks(call.args["blocks"])
    const reference = textOf(call.args, "channel_id") ?? textOf(call.args, "channels")?.split(",")[0]
    if (reference === undefined || reference === "") {
      return yield* state.emulator.call(call.caller, call.method, { files })
    }
    const channel = yield* memberChannel(state, call.caller, reference)
    if (channel.isArchived) return yield* refusal("is_archived")
    const work = Effect.gen(function*() {
      const root = yield* threadRoot(state, channel, textOf(call.args, "thread_ts"))
      const answer = yield* state.emulator.call(call.caller, call.method, {
        files,
        channel_id: channel.id,
        ...(root === undefined ? {} : { thread_ts: root }),
        ...(comment === undefined ? {} : { initial_comment: normaliseText(comment) }),
        ...(blocks === undefined ? {} : { blocks })
      })
      const done = objectsOf(answer, "files")
      for (const file of done) {
        emit(state, call, undefined, {
          type: "file_created",
          file_id: file["id"],
          user_id: call.caller.userId,
          file: { id: file["id"] },
          event_ts: eventTs(state)
        })
      }
      const ts = done[0] === undefined ? undefined : shareTs(done[0], channel.id)
      if (ts !== undefined) yield* tellShared(state, call, channel, ts, root, done)
      return answer
    })
    return yield* state.writing(channel.id).withPermit(work)
  })

/** Deleting leaves a tombstone in the messages that showed the file (`mode: "tombstone"`). */
const remove = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    const id = textOf(call.args, "file") ?? ""
    yield* requireScope(call.caller, ["files:write"])
    const seen = yield* state.emulator.call(call.caller, "files.info", { file: id })
    const shares = objectOf(objectOf(seen, "file"), "shares")
    const answer = yield* state.emulator.call(call.caller, call.method, { file: id })
    for (const kind of ["public", "private"]) {
      const places = objectOf(shares, kind)
      for (const channelId of Object.keys(places)) {
        for (const share of objectsOf(places, channelId)) {
          const ts = textOf(share, "ts") ?? ""
          const entry = state.messages.find(channelId, ts)
          entry?.deletedFiles.add(id)
          state.watch.tell(
            "message_changed",
            { channel: channelId, ts, ...(entry?.root === undefined ? {} : { threadTs: entry.root }) },
            { deletedFile: id }
          )
        }
      }
    }
    emit(state, call, undefined, { type: "file_deleted", file_id: id, event_ts: eventTs(state) })
    return answer
  })

const passed = (state: WorkspaceState) =>
  Effect.fnUntraced(function*(call: Call): Answer {
    return yield* state.emulator.call(call.caller, call.method, call.args)
  })

/** The methods of this file by name. */
export const fileMethods = (state: WorkspaceState): Record<string, Method> => ({
  "files.getUploadURLExternal": { tier: 4, scopes: ["files:write"], run: uploadUrl(state) },
  "files.completeUploadExternal": { tier: 4, scopes: ["files:write"], run: complete(state) },
  "files.info": { tier: 4, scopes: ["files:read"], run: passed(state) },
  "files.list": { tier: 3, scopes: ["files:read"], run: passed(state) },
  "files.delete": { tier: 3, scopes: ["files:write"], run: remove(state) }
})
