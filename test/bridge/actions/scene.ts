/** What the tests of the bridge's actions share: one message of Ada's, an upload, an operator. */
import { Effect } from "effect"
import { sha256Hex } from "../../../runtime/domain/text/Digest.ts"
import { type Answer, callV2, room, sandbox, say } from "../world.ts"

/** The messages of an answer. */
export const partsOf = (answer: Answer): ReadonlyArray<string> => {
  const parts = answer.json["parts"]
  return Array.isArray(parts) ? parts.map((part: { ts: string }) => part.ts) : []
}

/** A file's content, and the action that uploads it. */
export const bytes = Buffer.from("a session".repeat(1_000))
export const upload = (channel: string, threadTs: string, changes: object = {}) => ({
  action: "upload",
  channel,
  threadTs,
  object: "sessions/s1.jsonl.gz",
  filename: "claude-transcript-s1.jsonl.gz",
  title: "Session s1",
  contentType: "application/gzip",
  size: bytes.length,
  sha256: sha256Hex(bytes),
  ...changes
})

/** The files that the replies of a thread show. */
export const filesIn = (
  thread: { readonly replies: ReadonlyArray<{ readonly message: Record<string, unknown> }> } | undefined
) => (thread?.replies ?? []).flatMap(({ message }) => Array.isArray(message["files"]) ? message["files"] : [])

/** Calls as the operator. */
export const operate = (key: string, action: object) => callV2(key, action, { sender: "operator" })

/** A furnished bridge over a workspace with Ada's first message. */
export const scene = room().pipe(
  Effect.flatMap((made) => Effect.map(say(made.ada, made.channel, "hello"), (ts) => ({ ...made, ts })))
)

/** Asks for a channel of this name, without topic and people. */
export const ensureNamed = (key: string, name: string) =>
  operate(key, { action: "channel.ensure", sandbox, name, private: false, topic: "", inviteEmails: [] })

/** The channel in an answer. */
export const channelIn = (answer: Answer): { id: string; name: string; created: boolean } =>
  Object(answer.json["channel"])
