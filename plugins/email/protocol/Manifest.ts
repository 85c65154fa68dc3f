/**
 * The v2 manifest: everything that a verified message says about itself, in one canonical JSON text under one
 * signature. `docs/email-protocol.md` states the same in words.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SigningKey } from "../../../runtime/domain/identity/Ed25519.ts"
import { signText } from "../../../runtime/domain/identity/Ed25519.ts"
import { InstallName, KeyId, SenderId } from "../../../runtime/domain/sandbox/Ids.ts"
import { sha256Hex } from "../../../runtime/domain/text/Digest.ts"
import { canonicalJson, type CanonicalValue } from "./CanonicalJson.ts"
import { DisplayName, MailAddress, MessageId } from "./MailAddress.ts"
import { fromBase64Url, toBase64Url } from "./strictBase64.ts"
import { placeholder } from "./wire.ts"

/** First line of what is signed. */
export const manifestContext = "km-mail-v2"

/** Recipients in To, Cc and Bcc together; SES takes 50 a message, other transports split. */
export const maxRecipients = 100

export const maxAttachments = 200

/** A manifest lives at most 30 days, like the certificate that vouches for it; seven days unless the caller says. */
export const maxLifeSeconds = 30 * 24 * 3600
export const defaultLifeSeconds = 7 * 24 * 3600

/** UTF-8 bytes of the canonical JSON: enough for 100 recipients with boxes, and for 200 attachments with usual names. */
export const maxManifestBytes = 128 * 1024

/** Seconds by which a sender's clock may run ahead of the reader's. */
export const maxSkewSeconds = 300

const Sha256 = Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/))
const Seconds = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 32_503_680_000 }))

/**
 * Text on one line: no control characters, no line or paragraph separators, no byte order mark (which decoders of
 * encoded words drop), at most 998 UTF-16 code units, well formed.
 */
export const HeaderText = Schema.String.check(
  Schema.isMaxLength(998),
  Schema.isPattern(/^[^\p{Cc}\p{Cs}\u2028\u2029\ufeff]*$/u)
)

/**
 * One path segment: no separators, no control or format characters, nothing like an encoded word (`=?`), not `.` or
 * `..`, no space at either end; at most 200 characters.
 */
export const AttachmentName = Schema.String.check(
  Schema.isMaxLength(200),
  Schema.isPattern(/^(?!\.{1,2}$)(?! )(?!.* $)(?!.*=\?)[^\p{Cc}\p{Cf}\p{Cs}\u2028\u2029/\\]+$/u)
)

/** Lower-case `type/subtype` without parameters; never a container, which a hop may rewrite inside. */
export const AttachmentType = Schema.String.check(
  Schema.isMaxLength(127),
  Schema.isPattern(/^(?!multipart\/|message\/)[a-z0-9][a-z0-9!#$&^_.+-]*\/[a-z0-9][a-z0-9!#$&^_.+-]*$/)
)

export const ManifestAttachment = Schema.Struct({
  name: AttachmentName,
  type: AttachmentType,
  /** Bytes, decoded. */
  size: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  sha256: Sha256
})
export type ManifestAttachment = typeof ManifestAttachment.Type

export const ManifestEncryption = Schema.Struct({
  scheme: Schema.Literal("km-box-1"),
  /** Key id of the sender's certified X25519 key. */
  key: KeyId,
  recipients: Schema.Array(Schema.Struct({
    /** Key id of the recipient's certified X25519 key. */
    key: KeyId,
    /** 24 bytes, base64url. */
    nonce: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{32}$/)),
    /** The 32-byte content key in a box: 48 bytes, base64url. */
    box: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{64}$/))
  })).check(Schema.isMinLength(1), Schema.isMaxLength(maxRecipients))
})
export type ManifestEncryption = typeof ManifestEncryption.Type

const Addresses = Schema.Array(MailAddress).check(Schema.isMaxLength(maxRecipients))

export const Manifest = Schema.Struct({
  version: Schema.Literal(2),
  install: InstallName,
  sender: SenderId,
  /** Key id of the sender's certified mail key. */
  key: KeyId,
  created: Seconds,
  /** Exclusive; at most 30 days after `created`. */
  expires: Seconds,
  /** 16 random bytes, base64url: with the sender, the identity of this one copy. */
  nonce: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{21}[AQgw]$/)),
  /** The message's own id, the same in every copy; what a reply's `inReplyTo` names. */
  id: MessageId,
  from: Schema.Struct({ address: MailAddress, name: DisplayName }),
  to: Addresses.check(Schema.isMinLength(1)),
  cc: Addresses,
  /** Only the one blind recipient whose copy this is; empty in everybody else's. */
  bcc: Addresses.check(Schema.isMaxLength(1)),
  replyTo: Schema.NullOr(MailAddress),
  subject: HeaderText,
  inReplyTo: Schema.NullOr(MessageId),
  references: Schema.Array(MessageId).check(Schema.isMaxLength(50)),
  /** How many agents in a row answered automatically; raised by the runtime. */
  hop: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 })),
  /** Lower-case hex of the SHA-256 of the canonical body. */
  bodySha256: Sha256,
  attachments: Schema.Array(ManifestAttachment).check(Schema.isMaxLength(maxAttachments)),
  encryption: Schema.NullOr(ManifestEncryption),
  /** The value of `X-KM-Signature`, when the message carries one for v1 readers. */
  v1Signature: Schema.NullOr(Schema.String.check(Schema.isPattern(/^[A-Za-z0-9+/]{85}[AQgw]==$/)))
})
export type Manifest = typeof Manifest.Type

/** A manifest as it travels. */
export interface SignedManifest {
  /** The exact canonical JSON text. */
  readonly json: string
  /** Standard base64, 88 characters. */
  readonly signature: string
}

/** An encrypted message carries its ciphertext and nothing else, and nothing that v1's readers could take for content. */
const isConsistent = ({ attachments: [first, ...others], bcc, cc, encryption, to, v1Signature }: Manifest): boolean =>
  to.length + cc.length + bcc.length <= maxRecipients &&
  new Set([...to, ...cc, ...bcc]).size === to.length + cc.length + bcc.length
  && (encryption === null || v1Signature === null && others.length === 0
      && first?.name === placeholder.attachmentName && first.type === placeholder.attachmentType)

const decode = Schema.decodeUnknownOption(Manifest, { onExcessProperty: "error" })

const asCanonical = (value: unknown): CanonicalValue => {
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
    return value
  }
  if (Array.isArray(value)) return value.map(asCanonical)
  return Object.fromEntries(Object.entries(Object(value)).map(([key, member]) => [key, asCanonical(member)]))
}

export const manifestJson = (manifest: Manifest): string => canonicalJson(asCanonical(manifest))

/** The text under the signature. */
export const manifestSignedText = (json: string): string => `${manifestContext}\n${json}`

export const signManifest = (key: SigningKey, manifest: Manifest): SignedManifest => {
  const json = manifestJson(manifest)
  return { json, signature: signText(key, manifestSignedText(json)) }
}

/** Lower-case hex: what the seen-set remembers a copy by. */
export const manifestSha256 = (json: string): string => sha256Hex(json)

/** The value of `X-KM-Manifest` before folding. */
export const encodeManifest = (json: string): string => toBase64Url(Buffer.from(json, "utf8"))

/**
 * Reads the value of `X-KM-Manifest`, from which white space (folding) has been taken. `undefined` unless it is
 * exactly the canonical text of a valid manifest: another order, spelling or member is refused, signed or not.
 */
export const decodeManifest = (text: string): { readonly json: string; readonly manifest: Manifest } | undefined => {
  if (text.length > Math.ceil(maxManifestBytes * 4 / 3)) return undefined
  const bytes = fromBase64Url(text)
  if (bytes === undefined || bytes.length > maxManifestBytes) return undefined
  try {
    const json = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
    const value: unknown = JSON.parse(json)
    if (canonicalJson(asCanonical(value)) !== json) return undefined
    const manifest = decode(value)
    return Option.isSome(manifest) && isConsistent(manifest.value) ? { json, manifest: manifest.value } : undefined
  } catch {
    // Bytes that are not UTF-8, text that is not JSON, a number or string that is not canonical: all the same refusal.
    return undefined
  }
}
