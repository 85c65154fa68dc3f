/** v2: the manifest is the authority. Each thing that it names is compared with what came; nothing else is shown. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { decodeWords } from "postal-mime"
import { sha256Hex } from "../../../runtime/domain/text/Digest.ts"
import { canonicalBody } from "./bodyText.ts"
import { claimed, described } from "./claimedMail.ts"
import { authorOf, bareAddresses, comparableText, onOneLine } from "./headerText.ts"
import {
  AttachmentName,
  AttachmentType,
  decodeManifest,
  HeaderText,
  type Manifest,
  manifestSha256,
  manifestSignedText,
  maxAttachments,
  maxLifeSeconds,
  maxSkewSeconds
} from "./Manifest.ts"
import { headerValues, type ParsedMail, parseMail, tokenIn } from "./MimeReader.ts"
import { boxNonceBytes, openSecretBox, sharedKey } from "./naclBox.ts"
import type { Reader } from "./Reader.ts"
import { keyValidAt, type KnownSender } from "./SenderDirectory.ts"
import { fromBase64 } from "./strictBase64.ts"
import type { ReadMail, Verdict } from "./Verdict.ts"
import { defaultReadLimits, headerNames, type MailReason, type MailStatus } from "./wire.ts"

/** A manifest as it came, readable but not yet believed. */
export interface ReadManifest {
  readonly manifest: Manifest
  readonly json: string
  readonly sha256: string
  readonly signature: string
}

/** The manifest of a message whose own headers are each there at most once. */
export const manifestOf = (mail: ParsedMail): ReadManifest | MailReason => {
  const value = tokenIn(mail, headerNames.manifest)
  const signature = tokenIn(mail, headerNames.manifestSignature)
  if (value === undefined || signature === undefined) return "header-missing"
  const decoded = decodeManifest(value)
  return decoded === undefined
    ? "manifest-unreadable"
    : { ...decoded, sha256: manifestSha256(decoded.json), signature }
}

const sameAddresses = (mail: ParsedMail, name: string, signed: ReadonlyArray<string>): boolean => {
  const values = headerValues(mail, name)
  if (signed.length === 0) return values.length === 0
  const [value] = values
  const found = value === undefined || values.length > 1 ? undefined : bareAddresses(value)
  return found !== undefined && found.length === signed.length && found.every((address, n) => address === signed[n])
}

const sameText = (mail: ParsedMail, name: string, signed: string): boolean => {
  const values = headerValues(mail, name)
  return values.length <= 1 && comparableText(values[0] ?? "") === onOneLine(signed)
}

/** The headers that mail programs show, as far as they name what is signed. */
const addressedAsSigned = (mail: ParsedMail, manifest: Manifest): boolean => {
  const [from, ...others] = headerValues(mail, "from")
  const author = from === undefined ? undefined : authorOf(from)
  return others.length === 0 && author?.address === manifest.from.address && author.name === manifest.from.name
    && headerValues(mail, "sender").length === 0 && headerValues(mail, "bcc").length === 0
    && sameAddresses(mail, "to", manifest.to) && sameAddresses(mail, "cc", manifest.cc)
    && sameAddresses(mail, "reply-to", manifest.replyTo === null ? [] : [manifest.replyTo])
    && sameText(mail, "in-reply-to", manifest.inReplyTo ?? "")
    && sameText(mail, "references", manifest.references.join(" "))
}

const sameAttachments = (mail: ParsedMail, manifest: Manifest): boolean =>
  mail.attachments.length === manifest.attachments.length
  && mail.attachments.every((part, n) => {
    const signed = manifest.attachments[n]
    return signed !== undefined && part.name === signed.name && part.type === signed.type
      && part.bytes.length === signed.size && sha256Hex(part.bytes) === signed.sha256
  })

const shown = (mail: ParsedMail, manifest: Manifest, subject: string): ReadMail => ({
  id: manifest.id,
  from: manifest.from,
  to: manifest.to,
  cc: manifest.cc,
  replyTo: manifest.replyTo,
  subject,
  inReplyTo: manifest.inReplyTo,
  references: manifest.references,
  created: manifest.created,
  hop: manifest.hop,
  text: canonicalBody(mail.text ?? ""),
  attachments: mail.attachments.map(described)
})

/** Everything that does not need decryption, in the order of the document. `undefined`: nothing is wrong. */
const faultOf = (
  mail: ParsedMail,
  { json, manifest, signature }: ReadManifest,
  entry: KnownSender,
  reader: Reader
): readonly [MailStatus, MailReason] | undefined => {
  // One key may have several certificates, each with its own time and addresses.
  const keys = entry.keys.filter(({ keyId }) => keyId === manifest.key)
  const [key] = keys
  if (key === undefined) return ["unknown-sender", "key-unknown"]
  if (fromBase64(signature)?.length !== 64 || !key.verify(manifestSignedText(json), signature)) {
    return ["invalid", "signature-wrong"]
  }
  if (key.revoked) return ["revoked", "key-revoked"]
  const valid = keys.filter((one) => keyValidAt(one, manifest.created))
  if (valid.length === 0) return ["expired", "key-not-valid-then"]
  if (manifest.expires <= manifest.created || manifest.expires > manifest.created + maxLifeSeconds) {
    return ["invalid", "manifest-unreadable"]
  }
  if (manifest.created > reader.nowSeconds + maxSkewSeconds) return ["invalid", "created-in-future"]
  if (manifest.expires <= reader.nowSeconds) return ["expired", "expired"]
  if (!valid.some(({ addresses }) => addresses.includes(manifest.from.address))) return ["invalid", "from-not-senders"]
  const signed = [...manifest.to, ...manifest.cc, ...manifest.bcc]
  if (!reader.addresses.some((own) => signed.includes(own))) return ["invalid", "not-a-recipient"]
  if (!mail.plainShape) return ["invalid", "structure"]
  if (
    tokenIn(mail, headerNames.sender) !== manifest.sender ||
    headerValues(mail, headerNames.encrypted.toLowerCase()).length > 0
    || !addressedAsSigned(mail, manifest) || !sameText(mail, "subject", manifest.subject)
  ) return ["invalid", "header-changed"]
  if ((tokenIn(mail, headerNames.signature) ?? null) !== manifest.v1Signature) {
    return ["invalid", "v1-signature-changed"]
  }
  if (sha256Hex(canonicalBody(mail.text ?? "")) !== manifest.bodySha256) return ["invalid", "body-changed"]
  return sameAttachments(mail, manifest) ? undefined : ["invalid", "attachments-changed"]
}

/** The content key, opened by whichever of the reader's keys it was boxed to. */
const contentKey = (
  encryption: NonNullable<Manifest["encryption"]>,
  entry: KnownSender,
  created: number,
  reader: Reader
): Uint8Array | MailReason => {
  const senderBoxes = entry.boxes.filter(({ keyId }) => keyId === encryption.key)
  const [senderBox] = senderBoxes
  if (senderBox === undefined) return "key-unknown"
  if (senderBox.revoked) return "key-revoked"
  if (!senderBoxes.some((one) => keyValidAt(one, created))) return "key-not-valid-then"
  let mine = false
  for (const { box, key, nonce } of encryption.recipients) {
    const own = reader.boxes.find(({ keyId }) => keyId === key)
    const shared = own === undefined ? undefined : sharedKey(own.privateKey, senderBox.publicKey)
    mine = mine || own !== undefined
    if (shared === undefined) continue
    // A manifest that is read has both in the one spelling of their lengths.
    const found = openSecretBox(Buffer.from(box, "base64url"), Buffer.from(nonce, "base64url"), shared)
    if (found !== undefined) return found
  }
  return mine ? "cannot-decrypt" : "no-key-for-reader"
}

const isHeaderText = Schema.is(HeaderText)
const isAttachmentName = Schema.is(AttachmentName)
const isAttachmentType = Schema.is(AttachmentType)

/** What is inside, when it has the shape of a message of ours and holds nothing that a manifest could not name. */
const innerOf = (mail: ParsedMail, manifest: Manifest) => {
  const [id, ...ids] = headerValues(mail, "message-id")
  const [written = "", ...subjects] = headerValues(mail, "subject")
  const subject = decodeWords(written)
  const ours = mail.headers.some(({ name }) => name.startsWith("x-km-"))
  return mail.plainShape && mail.plainHead && !ours && addressedAsSigned(mail, manifest)
      && id !== undefined && ids.length === 0 && onOneLine(id) === manifest.id
      && subjects.length === 0 && isHeaderText(subject) && mail.attachments.length <= maxAttachments
      && mail.attachments.every(({ name, type }) => isAttachmentName(name) && isAttachmentType(type))
    ? { mail, subject }
    : undefined
}

const decrypt = Effect.fnUntraced(function*(mail: ParsedMail, manifest: Manifest, entry: KnownSender, reader: Reader) {
  const { encryption } = manifest
  const [sealed] = mail.attachments
  if (encryption === null || sealed === undefined) return "cannot-decrypt" as const
  const key = contentKey(encryption, entry, manifest.created, reader)
  if (typeof key === "string") return key
  const nonce = sealed.bytes.subarray(0, boxNonceBytes)
  if (nonce.length < boxNonceBytes) return "cannot-decrypt" as const
  const inner = openSecretBox(sealed.bytes.subarray(boxNonceBytes), nonce, key)
  if (inner === undefined) return "cannot-decrypt" as const
  const parsed = yield* Effect.result(parseMail(inner, reader.limits ?? defaultReadLimits))
  if (Result.isFailure(parsed)) return "inner-differs" as const
  // Who wrote to whom is signed outside and said again inside: a recipient cannot pass the inside on as another's.
  const content = innerOf(parsed.success, manifest)
  return content ?? "inner-differs" as const
})

/** All but the replay check, which is the caller's. */
export const readV2 = Effect.fnUntraced(function*(
  mail: ParsedMail,
  read: ReadManifest,
  entry: KnownSender,
  reader: Reader
) {
  const { manifest } = read
  const end = (status: MailStatus, reason: MailReason, content: ReadMail): Verdict => ({
    status,
    reason,
    form: "v2",
    sender: status === "verified" || status === "encrypted-unreadable" ? entry.sender : undefined,
    promised: entry.promises,
    encrypted: manifest.encryption !== null,
    duplicate: false,
    mail: content
  })
  const fault = faultOf(mail, read, entry, reader)
  if (fault !== undefined) return end(...fault, claimed(mail))
  if (manifest.encryption === null) return end("verified", "", shown(mail, manifest, manifest.subject))
  const inner = yield* decrypt(mail, manifest, entry, reader)
  if (typeof inner !== "string") return end("verified", "", shown(inner.mail, manifest, inner.subject))
  if (inner === "key-revoked") return end("revoked", inner, claimed(mail))
  if (inner === "key-not-valid-then") return end("expired", inner, claimed(mail))
  if (inner === "key-unknown") return end("unknown-sender", inner, claimed(mail))
  if (inner === "inner-differs") return end("invalid", inner, claimed(mail))
  return end("encrypted-unreadable", inner, shown(mail, manifest, manifest.subject))
})
