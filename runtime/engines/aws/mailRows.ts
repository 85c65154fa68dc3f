/**
 * Mail as items (docs/aws.md). Of a mailbox, in its owner's partition: `mail-box` counts, `mail#{hash}` is what became of a
 * message, by its id; `mail-new#{seq}` waits to be judged, `mail-inbox#{seq}` and `mail-quarantine#{seq}` are listed. What is
 * on its way is in partitions of its own. Bytes are objects below `mail/`.
 */
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import { SenderId } from "../../domain/sandbox/Ids.ts"
import { sha256Hex } from "../../domain/text/Digest.ts"
import type { MailFolder, MailNote } from "../../ports/Mail.ts"
import type { Attributes } from "./attributes.ts"
import { absent, is } from "./conditions.ts"
import type { Write } from "./Dynamo.ts"
import { reader, ttlOf } from "./rows.ts"
import { stateTable } from "./tables.ts"

/** The partition of what is sent and not delivered yet. */
export const outboxPartition = "mail-outbox"
/** The partition of what a relay has not taken yet, or has. */
export const spoolPartition = "mail-spool"

/** A number that only rises, as text that sorts like it. */
const seqText = (seq: number): string => String(seq).padStart(16, "0")
export const seqOf = (item: string): number => Number(item.slice(item.lastIndexOf("#") + 1))

const inBox = (owner: SenderId, item: string): Attributes => ({ sandbox_id: owner, item })
export const boxKey = (owner: SenderId): Attributes => inBox(owner, "mail-box")
export const mailKey = (owner: SenderId, id: string): Attributes => inBox(owner, `mail#${sha256Hex(id)}`)
export const newPrefix = "mail-new#"
export const newKey = (owner: SenderId, seq: number): Attributes => inBox(owner, `${newPrefix}${seqText(seq)}`)
export const filedPrefix = (folder: MailFolder): string => `mail-${folder}#`
export const filedKey = (owner: SenderId, folder: MailFolder, seq: number): Attributes =>
  inBox(owner, `${filedPrefix(folder)}${seqText(seq)}`)
export const noteKey = (owner: SenderId, key: string): Attributes => inBox(owner, `mail-note#${sha256Hex(key)}`)
export const seenKey = (owner: SenderId, sender: string, nonce: string): Attributes =>
  inBox(owner, `mail-seen#${sha256Hex(JSON.stringify([sender, nonce]))}`)
/** Messages that have this id, or answer it, by `seq`. */
export const pointerPrefix = (kind: "id" | "reply", messageId: string): string =>
  `mail-${kind}#${sha256Hex(messageId)}#`
export const pointerKey = (owner: SenderId, kind: "id" | "reply", messageId: string, seq: number): Attributes =>
  inBox(owner, `${pointerPrefix(kind, messageId)}${seqText(seq)}`)
/** What lies behind a prefix from one number to another, both included. */
export const seqRange = (prefix: string, low: number, high: number): readonly [string, string] => [
  `${prefix}${seqText(low)}`,
  `${prefix}${seqText(high)}`
]

/** A new place for bytes that belong to a mailbox; they go with it. */
export const ownObject = (owner: SenderId): string => `mail/${owner}/${randomUUID()}`
export const ownObjects = (owner: SenderId): string => `mail/${owner}/`
/** A new place for what is being sent. No owner is called so. */
export const outgoingObject = (): string => `mail/outgoing/${randomUUID()}`

const Box = Schema.Struct({ seq: Schema.Finite, revision: Schema.Finite })
export const readBox = reader("mailbox", Box)

/** What became of a message: `arrived`, in a folder, or `dropped`, which only keeps its id known. */
export const readMail = reader(
  "message",
  Schema.Struct({
    mail_id: Schema.String,
    state: Schema.Literals(["arrived", "inbox", "quarantine", "dropped"]),
    seq: Schema.Finite,
    object: Schema.optionalKey(Schema.String),
    content: Schema.optionalKey(Schema.String),
    size: Schema.Finite,
    received_at: Schema.Finite,
    was_read: Schema.optionalKey(Schema.Boolean)
  })
)
export const readNew = reader(
  "arrival",
  Schema.Struct({
    item: Schema.String,
    mail_id: Schema.String,
    received_at: Schema.Finite,
    size: Schema.Finite,
    visible_at: Schema.Finite,
    receipt: Schema.optionalKey(Schema.String)
  })
)
export const readFiled = reader(
  "message that was filed",
  Schema.Struct({
    item: Schema.String,
    mail_id: Schema.String,
    received_at: Schema.Finite,
    size: Schema.Finite,
    content_size: Schema.Finite,
    unread: Schema.Boolean,
    summary: Schema.String,
    message_id: Schema.optionalKey(Schema.String),
    in_reply_to: Schema.optionalKey(Schema.String)
  })
)

/** A message as it comes into a mailbox. */
export interface Arrival {
  readonly id: string
  readonly object: string
  readonly size: number
}

/** Arrivals that are part of a step; it fails where the mailbox has one of them, or has got another one meanwhile. */
export const arrivalWrites = (
  owner: SenderId,
  mails: ReadonlyArray<Arrival>,
  box: { readonly seq: number } | undefined,
  now: number
): ReadonlyArray<Write> => {
  if (mails.length === 0) return []
  const last = box?.seq ?? 0
  return [
    {
      _tag: "Update",
      table: stateTable,
      key: boxKey(owner),
      changes: { set: { seq: last + mails.length }, add: { revision: mails.length } },
      when: box === undefined ? absent("item") : is("seq", box.seq)
    },
    ...mails.flatMap(({ id, object, size }, index): ReadonlyArray<Write> => {
      const seq = last + 1 + index
      const about = { mail_id: id, size, received_at: now }
      return [
        {
          _tag: "Put",
          table: stateTable,
          item: { ...mailKey(owner, id), ...about, state: "arrived", seq, object },
          when: absent("item")
        },
        { _tag: "Put", table: stateTable, item: { ...newKey(owner, seq), ...about, visible_at: 0 } }
      ]
    })
  ]
}

export const noteWrite = ({ keepUntilSeconds, key, owner, value }: MailNote): Write => ({
  _tag: "Put",
  table: stateTable,
  item: {
    ...noteKey(owner, key),
    value,
    keep_until: keepUntilSeconds * 1_000,
    ttl_expiry: ttlOf(keepUntilSeconds * 1_000)
  }
})

/** Recipients outside of the install, as a message that waits carries them. */
const Outside = Schema.Struct({ owner: SenderId, from: Schema.String, to: Schema.Array(Schema.String) })
export const readOutgoing = reader(
  "message on its way",
  Schema.Struct({
    item: Schema.String,
    mail_id: Schema.String,
    created_at: Schema.Finite,
    visible_at: Schema.Finite,
    attempts: Schema.Finite,
    size: Schema.Finite,
    object: Schema.String,
    also_known_as: Schema.Array(Schema.String),
    to: Schema.Record(Schema.String, Schema.Boolean),
    outside: Schema.optionalKey(Outside),
    receipt: Schema.optionalKey(Schema.String)
  })
)

const Recipient = Schema.Struct({
  state: Schema.Literals(["waiting", "sent", "failed"]),
  attempts: Schema.Finite,
  next_at: Schema.Finite,
  reply: Schema.String
})
export type Recipient = typeof Recipient.Type
/** One row for all recipients of a message: their outcomes are written in one step. */
const Spooled = Schema.Struct({
  owner: SenderId,
  mail_id: Schema.String,
  mail_from: Schema.String,
  created_at: Schema.Finite,
  object: Schema.String,
  recipients: Schema.Record(Schema.String, Recipient),
  version: Schema.Finite
})
export type Spooled = typeof Spooled.Type
export const readSpooled = reader("message for the relay", Spooled)

export const spoolPrefix = (owner: SenderId): string => `${owner}#`
export const waitingKey = (owner: SenderId, id: string): Attributes => ({
  sandbox_id: spoolPartition,
  item: `wait#${spoolPrefix(owner)}${sha256Hex(id)}`
})
/** Keeps the id known once nobody waits any more. */
export const doneKey = (owner: SenderId, id: string): Attributes => ({
  sandbox_id: spoolPartition,
  item: `done#${spoolPrefix(owner)}${sha256Hex(id)}`
})
