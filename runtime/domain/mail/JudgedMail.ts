/**
 * What was decided about a received message, as it is kept: sealed by a key that is not in the store, so that who can
 * write the store cannot make a message look verified.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { createHmac, timingSafeEqual } from "node:crypto"
import type { SenderId } from "../sandbox/Ids.ts"
import { sha256Base64Url } from "../text/Digest.ts"

/** What is sealed beside the decision itself. */
export interface SealedMail {
  readonly id: string
  readonly folder: "inbox" | "quarantine"
  readonly content: string
}

export const Judged = Schema.Struct({
  /** A word of the mail protocol's vocabulary. */
  status: Schema.String,
  /**
   * Why it has its status, or why it is in quarantine; empty for what is in the inbox and verified. After `released: ` why
   * it was in quarantine, until the operator let it into the inbox.
   */
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

/** What of a decision is listed; texts of others are cut, and `cut` says that one of them was. */
export const MailSummary = Schema.Struct({
  status: Schema.String,
  reason: Schema.String,
  id: Schema.NullOr(Schema.String),
  sender: Schema.String,
  from: Schema.String,
  subject: Schema.String,
  inReplyTo: Schema.NullOr(Schema.String),
  date: Schema.NullOr(Schema.String),
  hop: Schema.Int,
  encrypted: Schema.Boolean,
  cut: Schema.Boolean
})
export type MailSummary = typeof MailSummary.Type

/** Bytes of JSON that each text may take: all of them, the names and the seal stay below 4 KiB. */
const summaryBytes = { short: 120, id: 700, from: 700, subject: 1_300 } as const

const jsonBytes = (text: string): number => Buffer.byteLength(JSON.stringify(text))

const cutTo = (text: string, most: number): string => {
  // No character takes less than a byte.
  let cut = text.slice(0, most).toWellFormed()
  while (jsonBytes(cut) > most) cut = cut.slice(0, Math.floor(cut.length * 0.9)).toWellFormed()
  return cut
}

export const summaryOf = (judged: Judged): MailSummary => {
  const id = judged.id === null ? null : cutTo(judged.id, summaryBytes.id)
  const inReplyTo = judged.inReplyTo === null ? null : cutTo(judged.inReplyTo, summaryBytes.id)
  const from = cutTo(judged.from, summaryBytes.from)
  const subject = cutTo(judged.subject, summaryBytes.subject)
  return {
    status: cutTo(judged.status, summaryBytes.short),
    reason: cutTo(judged.reason, summaryBytes.short),
    id,
    sender: cutTo(judged.sender, summaryBytes.short),
    from,
    subject,
    inReplyTo,
    date: judged.date === null ? null : cutTo(judged.date, summaryBytes.short),
    hop: judged.hop,
    encrypted: judged.encrypted,
    cut: id !== judged.id || inReplyTo !== judged.inReplyTo || from !== judged.from || subject !== judged.subject
  }
}

const SummaryJson = Schema.fromJsonString(MailSummary)
const encodeSummary = Schema.encodeSync(SummaryJson)
const decodeSummary = Schema.decodeUnknownOption(SummaryJson)

const JudgedJson = Schema.fromJsonString(Judged)
const encode = Schema.encodeSync(JudgedJson)
const decode = Schema.decodeUnknownOption(JudgedJson)

/** Each form has its own, so that none passes for another. */
type Form = "km-mailbox-v1" | "km-mailbox-summary-v1" | "km-mailbox-release-v1"

const sealOf = (
  form: Form,
  key: Uint8Array,
  owner: SenderId,
  { folder, id }: Pick<SealedMail, "folder" | "id">,
  json: string
): Buffer => createHmac("sha256", key).update(`${form}\n${owner}\n${id}\n${folder}\n${json}`).digest()

/** The JSON below a right seal, or nothing. */
const opened = (
  form: Form,
  key: Uint8Array,
  owner: SenderId,
  mail: Pick<SealedMail, "folder" | "id">,
  text: string
): string | undefined => {
  const at = text.indexOf("\n")
  const seal = Buffer.from(text.slice(0, Math.max(at, 0)), "hex")
  const json = text.slice(at + 1)
  const right = sealOf(form, key, owner, mail, json)
  return seal.length === right.length && timingSafeEqual(seal, right) ? json : undefined
}

/** The content to file: the seal in hex, a line end, the JSON. */
export const sealed = (
  key: Uint8Array,
  owner: SenderId,
  id: string,
  folder: SealedMail["folder"],
  judged: Judged
): string => {
  const json = encode(judged)
  return `${sealOf("km-mailbox-v1", key, owner, { folder, id }, json).toString("hex")}\n${json}`
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
  const json = opened("km-mailbox-v1", key, owner, filed, filed.content)
  return json === undefined ? changed : Option.getOrElse(decode(json), () => changed)
}

const Release = Schema.fromJsonString(Schema.Struct({
  reason: Schema.String,
  /** SHA-256 of what was released. */
  digest: Schema.String
}))
const encodeRelease = Schema.encodeSync(Release)
const decodeRelease = Schema.decodeUnknownOption(Release)

const digestOf = (judged: Judged): string => sha256Base64Url(encode({ ...judged, reason: "" }))

/** Lets a message of quarantine into the inbox, as it is now: by whoever holds the key, so not by the store. */
export const sealedRelease = (key: Uint8Array, owner: SenderId, id: string, judged: Judged): string => {
  const json = encodeRelease({ reason: judged.reason, digest: digestOf(judged) })
  return `${sealOf("km-mailbox-release-v1", key, owner, { folder: "quarantine", id }, json).toString("hex")}\n${json}`
}

/** Why it was in quarantine, when this releases it; undefined also when it reads or is judged otherwise than it did. */
export const releasedFrom = (
  key: Uint8Array,
  owner: SenderId,
  id: string,
  judged: Judged,
  release: string
): string | undefined => {
  const json = opened("km-mailbox-release-v1", key, owner, { folder: "quarantine", id }, release)
  const kept = json === undefined ? undefined : Option.getOrUndefined(decodeRelease(json))
  return kept?.digest === digestOf(judged) ? kept.reason : undefined
}

/** The summary to file, in the same form. */
export const sealedSummary = (
  key: Uint8Array,
  owner: SenderId,
  id: string,
  folder: SealedMail["folder"],
  summary: MailSummary
): string => {
  const json = encodeSummary(summary)
  return `${sealOf("km-mailbox-summary-v1", key, owner, { folder, id }, json).toString("hex")}\n${json}`
}

/** As `unsealed`. */
export const unsealedSummary = (
  key: Uint8Array,
  owner: SenderId,
  filed: Pick<SealedMail, "folder" | "id"> & { readonly summary: string }
): MailSummary => {
  const json = opened("km-mailbox-summary-v1", key, owner, filed, filed.summary)
  return json === undefined ? summaryOf(changed) : Option.getOrElse(decodeSummary(json), () => summaryOf(changed))
}
