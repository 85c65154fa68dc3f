/** Drafts to signed messages: v1 as the reference writes it, v2 with its manifest, encrypted where asked. */
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import type { SigningKey } from "../../../runtime/domain/identity/Ed25519.ts"
import { signText } from "../../../runtime/domain/identity/Ed25519.ts"
import type { InstallName, KeyId, SenderId } from "../../../runtime/domain/sandbox/Ids.ts"
import { sha256Hex } from "../../../runtime/domain/text/Digest.ts"
import { canonicalBody, forbiddenBody } from "./bodyText.ts"
import type { CheckedDraft, Draft } from "./Draft.ts"
import { checkDraft } from "./Draft.ts"
import { domainOf, type MailAddress, MessageId } from "./MailAddress.ts"
import { MailRefused } from "./MailErrors.ts"
import {
  defaultLifeSeconds,
  encodeManifest,
  type Manifest,
  type ManifestAttachment,
  type ManifestEncryption,
  manifestSha256,
  maxLifeSeconds,
  maxManifestBytes,
  signManifest
} from "./Manifest.ts"
import { foldable, type OutgoingMime, type OutgoingPart, writeMime } from "./MimeWriter.ts"
import { type BoxKey, boxKeyFromPrivate, boxNonceBytes, sealBox, secretBox, sharedKey } from "./naclBox.ts"
import { toBase64, toBase64Url } from "./strictBase64.ts"
import { headerNames, placeholder } from "./wire.ts"

/** Who signs, with what. `box` is needed to encrypt v2 mail. */
export interface Signer {
  readonly install: InstallName
  readonly sender: SenderId
  readonly key: SigningKey
  readonly box?: BoxKey
}

/** A recipient's certified X25519 key. */
export interface BoxRecipient {
  readonly keyId: KeyId
  /** 32 raw bytes. */
  readonly publicKey: Uint8Array
}

export interface WriteOptions {
  /** Unix seconds; the Date header and `created`. */
  readonly createdSeconds: number
  /** At most 30 days; seven by default. */
  readonly lifeSeconds?: number
  /** Bytes of text and attachments together. 40 MiB by default. */
  readonly maxContentBytes?: number
  /** 16 bytes that name the message in its id; random unless given. */
  readonly idBytes?: Uint8Array
  /** The system's generator by default; vectors give their own. */
  readonly random?: (bytes: number) => Uint8Array
}

export interface WriteV2Options extends WriteOptions {
  /** `required` refuses rather than send plain text; `optional` encrypts when everybody has a key. */
  readonly encryption: "required" | "optional" | "off"
  /** The current key of whoever reads mail at this address. */
  readonly boxOf: (address: MailAddress) => BoxRecipient | undefined
}

/** One copy, ready for a transport. */
export interface WrittenMail {
  readonly raw: Uint8Array
  /** Whom the transport gives this copy to: To and Cc, or one blind recipient. */
  readonly recipients: ReadonlyArray<MailAddress>
  readonly id: MessageId
  readonly encrypted: boolean
  /** Of v2's manifest; `undefined` for v1. */
  readonly manifest: { readonly nonce: string; readonly sha256: string; readonly expires: number } | undefined
}

const systemRandom = (bytes: number): Uint8Array => new Uint8Array(randomBytes(bytes))

const idFor = (draft: CheckedDraft, bytes: Uint8Array): MessageId =>
  MessageId.make(`<${toBase64Url(bytes)}@${domainOf(draft.from.address)}>`)

const forbidden = (why: string) =>
  new MailRefused({
    reason: "forbidden-body",
    detail: `the body begins like or is a ${why}, which is signed with the same key`
  })

const headersOf = (
  draft: CheckedDraft
): Omit<OutgoingMime, "extra" | "text" | "attachments" | "boundary" | "id" | "dateSeconds"> => ({
  from: draft.from,
  to: draft.to,
  cc: draft.cc,
  replyTo: draft.replyTo,
  subject: draft.subject,
  inReplyTo: draft.inReplyTo,
  references: draft.references
})

/**
 * A v1 message, for readers of the reference. Only the body is signed. With `sealFor` (32 raw bytes) the body is a
 * sealed box for one recipient; subject and attachments stay readable, which is v1's way. Blind recipients get the same
 * bytes.
 */
export const writeV1 = Effect.fn("writeV1")(function*(
  draft: Draft,
  signer: Pick<Signer, "sender" | "key">,
  options: WriteOptions & { readonly sealFor?: Uint8Array }
) {
  const checked = yield* checkDraft(draft, options.maxContentBytes)
  const random = options.random ?? systemRandom
  const why = forbiddenBody(checked.text)
  if (why !== undefined) return yield* forbidden(why)
  let text = checked.text
  if (options.sealFor !== undefined) {
    if (checked.to.length + checked.cc.length + checked.bcc.length > 1) {
      return yield* new MailRefused({ reason: "no-encryption-key", detail: "v1 encrypts for one recipient only" })
    }
    const sealed = sealBox(Buffer.from(checked.text, "utf8"), options.sealFor, boxKeyFromPrivate(random(32)))
    if (sealed === undefined) {
      return yield* new MailRefused({
        reason: "no-encryption-key",
        detail: "the recipient's encryption key is not usable"
      })
    }
    // Wrapped text is signed as wrapped; the reference's decoder skips the line feeds.
    text = toBase64(sealed).match(/.{1,76}/g)?.join("\n") ?? ""
  }
  const id = idFor(checked, options.idBytes ?? random(16))
  const raw = yield* writeMime({
    ...headersOf(checked),
    id,
    dateSeconds: options.createdSeconds,
    extra: [
      [headerNames.sender, signer.sender],
      [headerNames.signature, signText(signer.key, text)],
      ...(options.sealFor === undefined ? [] : [[headerNames.encrypted, "true"] as const])
    ],
    text,
    attachments: checked.attachments,
    boundary: random(8)
  })
  return {
    raw,
    recipients: [...checked.to, ...checked.cc, ...checked.bcc],
    id,
    encrypted: options.sealFor !== undefined,
    manifest: undefined
  } satisfies WrittenMail
})

interface Content {
  readonly subject: string
  readonly text: string
  readonly attachments: ReadonlyArray<OutgoingPart>
  readonly described: ReadonlyArray<ManifestAttachment>
  readonly key: Uint8Array | undefined
}

const encryptContent = Effect.fnUntraced(function*(
  draft: CheckedDraft,
  id: MessageId,
  dateSeconds: number,
  random: (bytes: number) => Uint8Array
) {
  const inner = yield* writeMime({
    ...headersOf(draft),
    id,
    dateSeconds,
    extra: [],
    text: draft.text,
    attachments: draft.attachments,
    boundary: random(8)
  })
  const key = random(32)
  const nonce = random(boxNonceBytes)
  const bytes = new Uint8Array(Buffer.concat([nonce, secretBox(inner, nonce, key)]))
  const part = { name: placeholder.attachmentName, type: placeholder.attachmentType, bytes }
  return {
    subject: placeholder.subject,
    text: placeholder.text,
    attachments: [part],
    described: [{ name: part.name, type: part.type, size: bytes.length, sha256: sha256Hex(bytes) }],
    key
  } satisfies Content
})

/** The recipients' keys, or nothing when the message travels in plain text. */
const chooseKeys = Effect.fnUntraced(function*(draft: CheckedDraft, signer: Signer, options: WriteV2Options) {
  if (options.encryption === "off") return undefined
  const keys = new Map<MailAddress, { readonly keyId: KeyId; readonly shared: Uint8Array }>()
  const without: Array<MailAddress> = []
  for (const address of [...draft.to, ...draft.cc, ...draft.bcc]) {
    const recipient = options.boxOf(address)
    const shared = recipient === undefined || signer.box === undefined
      ? undefined
      : sharedKey(signer.box.privateKey, recipient.publicKey)
    if (recipient === undefined || shared === undefined) without.push(address)
    else keys.set(address, { keyId: recipient.keyId, shared })
  }
  if (signer.box !== undefined && without.length === 0) return { sender: signer.box.keyId, keys }
  if (options.encryption === "optional") return undefined
  return yield* new MailRefused({
    reason: "no-encryption-key",
    detail: signer.box === undefined
      ? "encryption is required, and the sender has no encryption key"
      : `encryption is required, and there is no key for ${without.join(", ")}`
  })
})

/**
 * v2 messages: one copy for To and Cc, and one for each blind recipient with a manifest of its own, so that every reader
 * finds itself among the signed recipients and nobody sees who else was written to. The content is encrypted once.
 * Nothing is returned when any copy is refused.
 */
export const writeV2 = Effect.fn("writeV2")(function*(draft: Draft, signer: Signer, options: WriteV2Options) {
  const checked = yield* checkDraft(draft, options.maxContentBytes)
  const random = options.random ?? systemRandom
  const life = options.lifeSeconds ?? defaultLifeSeconds
  if (!Number.isInteger(life) || life < 1 || life > maxLifeSeconds) {
    return yield* new MailRefused({ reason: "bad-lifetime", detail: `a message lives 1 to ${maxLifeSeconds} seconds` })
  }
  const encryption = yield* chooseKeys(checked, signer, options)
  const id = idFor(checked, options.idBytes ?? random(16))
  const content: Content = encryption === undefined
    ? {
      subject: checked.subject,
      text: checked.text,
      attachments: checked.attachments,
      described: checked.described,
      key: undefined
    }
    : yield* encryptContent(checked, id, options.createdSeconds, random)
  const v1Signature = encryption === undefined && forbiddenBody(content.text) === undefined
    ? signText(signer.key, content.text)
    : null
  const boxFor = (address: MailAddress): ManifestEncryption["recipients"] => {
    const found = encryption?.keys.get(address)
    if (found === undefined || content.key === undefined) return []
    const nonce = random(boxNonceBytes)
    const box = secretBox(content.key, nonce, found.shared)
    return [{ key: found.keyId, nonce: toBase64Url(nonce), box: toBase64Url(box) }]
  }
  const copies = [
    { recipients: [...checked.to, ...checked.cc], bcc: [] },
    ...checked.bcc.map((address) => ({ recipients: [address], bcc: [address] }))
  ]
  const bodySha256 = sha256Hex(canonicalBody(content.text))
  return yield* Effect.forEach(
    copies,
    Effect.fnUntraced(function*({ bcc, recipients }: { recipients: Array<MailAddress>; bcc: Array<MailAddress> }) {
      const manifest: Manifest = {
        version: 2,
        install: signer.install,
        sender: signer.sender,
        key: signer.key.keyId,
        created: options.createdSeconds,
        expires: options.createdSeconds + life,
        nonce: toBase64Url(random(16)),
        id,
        from: checked.from,
        to: checked.to,
        cc: checked.cc,
        bcc,
        replyTo: checked.replyTo,
        subject: content.subject,
        inReplyTo: checked.inReplyTo,
        references: checked.references,
        hop: checked.hop,
        bodySha256,
        attachments: content.described,
        encryption: encryption === undefined
          ? null
          : { scheme: "km-box-1", key: encryption.sender, recipients: recipients.flatMap(boxFor) },
        v1Signature
      }
      const signed = signManifest(signer.key, manifest)
      if (Buffer.byteLength(signed.json) > maxManifestBytes) {
        return yield* new MailRefused({
          reason: "too-large",
          detail: "its addresses and attachments are more than a manifest may name; shorten names or send fewer"
        })
      }
      const raw = yield* writeMime({
        ...headersOf(checked),
        subject: content.subject,
        id,
        dateSeconds: options.createdSeconds,
        extra: [
          [headerNames.sender, signer.sender],
          ...(v1Signature === null ? [] : [[headerNames.signature, v1Signature] as const]),
          [headerNames.manifest, foldable(encodeManifest(signed.json))],
          [headerNames.manifestSignature, foldable(signed.signature)]
        ],
        text: content.text,
        attachments: content.attachments,
        boundary: random(8)
      })
      return {
        raw,
        recipients,
        id,
        encrypted: encryption !== undefined,
        manifest: { nonce: manifest.nonce, sha256: manifestSha256(signed.json), expires: manifest.expires }
      } satisfies WrittenMail
    })
  )
})
