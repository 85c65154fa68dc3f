/**
 * One identity's mail: writes for it and reads what arrived, with the keys that never leave the runtime. Its parts share
 * one view of the install's senders, and one memory of how much each peer wrote.
 */
import * as Effect from "effect/Effect"
import { PeerLimits } from "./PeerLimits.ts"
import { makeRoomArchive } from "./RoomArchive.ts"
import { type MailRoomOptions, makeRoomDirectory } from "./RoomDirectory.ts"
import { makeRoomJudge } from "./RoomJudge.ts"
import { makeRoomWriter } from "./RoomWriter.ts"

export const makeMailRoom = Effect.fnUntraced(function*(options: MailRoomOptions) {
  const limits = new PeerLimits()
  const directory = yield* makeRoomDirectory(options)
  const archive = yield* makeRoomArchive(options.owner, directory)
  const { attachments, judge } = yield* makeRoomJudge(options, directory, archive, limits)
  const { send } = yield* makeRoomWriter(options, directory, archive, limits)
  const { byId, get, list, opened, raw, replies, sentBy } = archive
  return { attachments, byId, get, judge, list, opened, raw, replies, send, sent: sentBy }
})
export type MailRoom = Effect.Success<ReturnType<typeof makeMailRoom>>
