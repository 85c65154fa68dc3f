/**
 * One identity's mail: writes for it and reads what arrived, with the keys that never leave the runtime. Its parts share
 * one view of the install's senders, and one memory of how much each peer wrote.
 */
import * as Effect from "effect/Effect"
import { type MailAccountOptions, makeAccountDirectory } from "./AccountDirectory.ts"
import { makeMailArchive } from "./MailArchive.ts"
import { makeMailJudge } from "./MailJudge.ts"
import { makeMailWriter } from "./MailWriter.ts"
import { PeerLimits } from "./PeerLimits.ts"

export const makeMailAccount = Effect.fnUntraced(function*(options: MailAccountOptions) {
  const limits = new PeerLimits()
  const directory = yield* makeAccountDirectory(options)
  const archive = yield* makeMailArchive(options.owner, directory)
  const { attachments, judge } = yield* makeMailJudge(options, directory, archive, limits)
  const { send } = yield* makeMailWriter(options, directory, archive, limits)
  const { byId, get, list, opened, raw, release, replies, sentBy } = archive
  return { attachments, byId, get, judge, list, opened, raw, release, replies, send, sent: sentBy }
})
export type MailAccount = Effect.Success<ReturnType<typeof makeMailAccount>>
