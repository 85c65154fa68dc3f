/** The names on the wire, the words for outcomes, and the limits: what both ends of the protocol must agree on. */
import * as Schema from "effect/Schema"

/** As written; readers compare without case. The first three are the reference's (v1). */
export const headerNames = {
  sender: "X-KM-Sender-ID",
  signature: "X-KM-Signature",
  encrypted: "X-KM-Encrypted",
  manifest: "X-KM-Manifest",
  manifestSignature: "X-KM-Manifest-Signature"
} as const

/** What a verified and encrypted message shows to those who cannot open it. */
export const placeholder = {
  subject: "Encrypted message",
  text: "This message is encrypted. Its recipients read it with km-recv.",
  attachmentName: "message.km",
  attachmentType: "application/octet-stream"
} as const

/** The one vocabulary for a message's standing: in codec, mailbox, `km-recv`, `km email` and documents alike. */
export const MailStatus = Schema.Literals([
  "verified",
  "verified-v1",
  "unsigned",
  "invalid",
  "replayed",
  "unknown-sender",
  "expired",
  "revoked",
  "encrypted-unreadable"
])
export type MailStatus = typeof MailStatus.Type

/** Why a message has its status; empty for `verified`. For people and quarantine, never for decisions. */
export const MailReason = Schema.Literals([
  "",
  "malformed",
  "structure",
  "header-missing",
  "header-duplicated",
  "header-unknown",
  "manifest-unreadable",
  "other-install",
  "sender-unknown",
  "key-unknown",
  "key-revoked",
  "key-not-valid-then",
  "signature-wrong",
  "created-in-future",
  "expired",
  "from-not-senders",
  "not-a-recipient",
  "header-changed",
  "body-changed",
  "attachments-changed",
  "v1-signature-changed",
  "forbidden-body",
  "downgraded",
  "legacy-form",
  "no-signature",
  "seen-with-other-content",
  "no-key-for-reader",
  "cannot-decrypt",
  "inner-differs"
])
export type MailReason = typeof MailReason.Type

/** What the reader takes; exceeding one refuses the whole message before its content is looked at. */
export interface ReadLimits {
  /** Raw bytes; by default what a mailbox takes, so that whatever arrives can be read. */
  readonly maxBytes: number
  /** Header bytes of the message and all its parts together. */
  readonly maxHeaderBytes: number
  /** Levels of multipart below the root. */
  readonly maxDepth: number
  readonly maxParts: number
  /** Of the raw message: 96 MiB in lines of 76 characters are 1.3 million. Each costs memory and time of its own. */
  readonly maxLines: number
  /** Bytes of HTML: it is only converted to text, which is slow. */
  readonly maxHtmlBytes: number
  /** Wall-clock milliseconds for parsing one message. */
  readonly maxMillis: number
}

export const defaultReadLimits: ReadLimits = {
  maxBytes: 96 * 1024 * 1024,
  maxHeaderBytes: 512 * 1024,
  maxDepth: 8,
  maxParts: 256,
  maxLines: 2_000_000,
  maxHtmlBytes: 1024 * 1024,
  maxMillis: 30_000
}
