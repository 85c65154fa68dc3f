/**
 * What was decided about a received message, as it is kept: sealed by a key that is not in the store, so that who can
 * write the store cannot make a message look verified.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { createHmac, timingSafeEqual } from "node:crypto"
import type { SenderId } from "./Ids.ts"

/** What is sealed beside the decision itself. */
export interface SealedMail {
  readonly id: string
  readonly folder: "inbox" | "quarantine"
  readonly content: string
}

export const Judged = Schema.Struct({
  /** A word of the mail protocol's vocabulary. */
  status: Schema.String,
  /** Why it has its status, or why it is in quarantine; empty for what is in the inbox and verified. */
  reason: Schema.String,
  id: Schema.NullOr(Schema.String),
  /** Proven, or empty. */
  sender: Schema.String,
  from: Schema.String,
  to: Schema.Array(Schema.String),
  cc: Schema.Array(Schema.String),
  replyTo: Schema.NullOr(Schema.String),
  subject: Schema.String,
  inReplyTo: Schema.NullOr(Schema.String),
  references: Schema.Array(Schema.String),
  /** ISO 8601; `null` when no signature vouches for it. */
  date: Schema.NullOr(Schema.String),
  hop: Schema.Int,
  encrypted: Schema.Boolean,
  body: Schema.String,
  attachments: Schema.Array(Schema.Struct({
    name: Schema.String,
    type: Schema.String,
    size: Schema.Int,
    sha256: Schema.String
  }))
})
export type Judged = typeof Judged.Type

const JudgedJson = Schema.fromJsonString(Judged)
const encode = Schema.encodeSync(JudgedJson)
const decode = Schema.decodeUnknownOption(JudgedJson)

const sealOf = (key: Uint8Array, owner: SenderId, id: string, folder: SealedMail["folder"], json: string): Buffer =>
  createHmac("sha256", key).update(`km-mailbox-v1\n${owner}\n${id}\n${folder}\n${json}`).digest()

/** The content to file: the seal in hex, a line end, the JSON. */
export const sealed = (
  key: Uint8Array,
  owner: SenderId,
  id: string,
  folder: SealedMail["folder"],
  judged: Judged
): string => {
  const json = encode(judged)
  return `${sealOf(key, owner, id, folder, json).toString("hex")}\n${json}`
}

const changed: Judged = {
  status: "invalid",
  reason: "changed-in-store",
  id: null,
  sender: "",
  from: "",
  to: [],
  cc: [],
  replyTo: null,
  subject: "",
  inReplyTo: null,
  references: [],
  date: null,
  hop: 0,
  encrypted: false,
  body: "",
  attachments: []
}

/** What was filed; nothing of it, and `invalid`, when it is not as it was filed. */
export const unsealed = (key: Uint8Array, owner: SenderId, filed: SealedMail): Judged => {
  const at = filed.content.indexOf("\n")
  const seal = Buffer.from(filed.content.slice(0, Math.max(at, 0)), "hex")
  const json = filed.content.slice(at + 1)
  const right = sealOf(key, owner, filed.id, filed.folder, json)
  if (seal.length !== right.length || !timingSafeEqual(seal, right)) return changed
  return Option.getOrElse(decode(json), () => changed)
}
