/** Bytes to a verdict: the one place in which a message's status is decided. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { SenderId } from "../../../runtime/domain/sandbox/Ids.ts"
import { claimed } from "./claimedMail.ts"
import { type ParsedMail, parseMail, tokenIn } from "./MimeReader.ts"
import { addressesNamed } from "./namedAddresses.ts"
import type { MailDirectory, Reader } from "./Reader.ts"
import { readV1 } from "./readV1.ts"
import { manifestOf, readV2 } from "./readV2.ts"
import { seenGraceSeconds, type SeenMail } from "./SeenMail.ts"
import type { Verdict } from "./Verdict.ts"
import { defaultReadLimits, headerNames, type MailReason, type MailStatus } from "./wire.ts"

const isSenderId = Schema.is(SenderId)

const verdict = (
  status: MailStatus,
  reason: MailReason,
  form: Verdict["form"],
  mail: ParsedMail | undefined,
  promised?: Verdict["promised"]
): Verdict => ({
  status,
  reason,
  form,
  sender: undefined,
  promised,
  encrypted: false,
  duplicate: false,
  mail: mail === undefined ? undefined : claimed(mail)
})

const names = {
  sender: headerNames.sender.toLowerCase(),
  signature: headerNames.signature.toLowerCase(),
  encrypted: headerNames.encrypted.toLowerCase(),
  manifest: headerNames.manifest.toLowerCase(),
  manifestSignature: headerNames.manifestSignature.toLowerCase()
}

const known: ReadonlySet<string> = new Set(Object.values(names))

/** What is wrong with our own headers before any of them is believed. */
const headerFault = (mail: ParsedMail, form: Verdict["form"]): MailReason | undefined => {
  const ours = mail.headers.filter(({ name }) => name.startsWith("x-km-")).map(({ name }) => name)
  // Agents of the reference add headers of their own making, which nobody reads; v2 signs all that it carries.
  if (form === "v2" && ours.some((name) => !known.has(name))) return "header-unknown"
  const checked = ours.filter((name) => known.has(name))
  return new Set(checked).size === checked.length ? undefined : "header-duplicated"
}

/** The strongest promise of anybody who may write from an address that a reader could take for the author's. */
const promiseOfAny = Effect.fnUntraced(function*<E>(addresses: ReadonlySet<string>, directory: MailDirectory<E>) {
  let promised: Verdict["promised"]
  for (const address of addresses) {
    const entry = yield* directory.byAddress(address)
    if (entry !== undefined && (promised === undefined || promised === "unsigned")) promised = entry.promises
  }
  return promised
})

/** Each costs a look at the directory, and nobody has so many authors. */
const maxAuthors = 100
/** UTF-16 units of all that names authors: the same reason. */
const maxAuthorText = 64 * 1024

/**
 * The values in which a mail program could find the author. Where the head is not plain, some end a line or a header's name
 * elsewhere than we do.
 */
const authorTexts = (mail: ParsedMail): ReadonlyArray<string> => {
  const named = mail.headers.filter(({ name }) => /^(?:from|sender)$/.test(name.replaceAll(/[^!-~]/g, "")))
  const within = mail.plainHead ? [] : mail.headers.flatMap(({ value }) => {
    const at = value.search(/(?<![!-~])(?:from|sender)[^!-~]*:/i)
    return at < 0 ? [] : [value.slice(at).replaceAll(/(?:from|sender)[^!-~]*:/gi, " ")]
  })
  return [...named.map(({ value }) => value), ...within]
}

/**
 * Mail that proves nothing. Who always signs did not write it: taking a signature off, or naming another signer, must
 * not make a forgery look like a stranger's mail.
 */
const readStrangers = Effect.fnUntraced(function*<E>(
  mail: ParsedMail,
  directory: MailDirectory<E>,
  status: MailStatus,
  reason: MailReason,
  form: Verdict["form"]
) {
  const texts = authorTexts(mail)
  const length = texts.reduce((sum, text) => sum + text.length, 0)
  const named = new Set(length > maxAuthorText ? [] : texts.flatMap((text) => [...addressesNamed(text)]))
  if (length > maxAuthorText || named.size > maxAuthors) return verdict("invalid", "downgraded", form, mail)
  const promised = yield* promiseOfAny(named, directory)
  return promised === undefined || promised === "unsigned"
    ? verdict(status, reason, form, mail, promised)
    : verdict("invalid", "downgraded", form, mail, promised)
})

const readSignedV2 = Effect.fnUntraced(function*<E, S>(
  mail: ParsedMail,
  reader: Reader,
  directory: MailDirectory<E>,
  seen: SeenMail<S>,
  delivery: string
) {
  const read = manifestOf(mail)
  if (typeof read === "string") return verdict("invalid", read, "v2", mail)
  const { manifest, sha256 } = read
  if (manifest.install !== reader.install) {
    return yield* readStrangers(mail, directory, "unknown-sender", "other-install", "v2")
  }
  const entry = yield* directory.bySender(manifest.sender, manifest.key)
  if (entry === undefined) return yield* readStrangers(mail, directory, "unknown-sender", "sender-unknown", "v2")
  // As a signer that nobody knows: else a key of the forger's own would do what a missing signature does not.
  if (!entry.keys.some(({ keyId }) => keyId === manifest.key)) {
    return yield* readStrangers(mail, directory, "unknown-sender", "key-unknown", "v2")
  }
  const checked = yield* readV2(mail, read, entry, reader)
  if (checked.status !== "verified") return checked
  const answer = yield* seen.record({
    sender: manifest.sender,
    nonce: manifest.nonce,
    manifestSha256: sha256,
    delivery,
    keepUntilSeconds: manifest.expires + seenGraceSeconds
  })
  if (answer === "replayed") {
    return { ...checked, status: "replayed", reason: "seen-with-other-content" } satisfies Verdict
  }
  return { ...checked, duplicate: answer === "duplicate" } satisfies Verdict
})

/**
 * Reads one delivery. Fails only when directory or seen-set fail; whatever is wrong with the message itself is its
 * verdict. `delivery` is the transport's name of this delivery, the same after a crash.
 */
export const readMail = Effect.fn("readMail")(function*<E, S>(
  raw: Uint8Array,
  reader: Reader,
  directory: MailDirectory<E>,
  seen: SeenMail<S>,
  delivery: string
) {
  const parsed = yield* Effect.result(parseMail(raw, reader.limits ?? defaultReadLimits))
  if (Result.isFailure(parsed)) return verdict("invalid", "malformed", "none", undefined)
  const mail = parsed.success
  const has = (name: string) => mail.headers.some((header) => header.name === name)
  const isV2 = has(names.manifest) || has(names.manifestSignature)
  const isV1 = has(names.signature) || has(names.sender) || has(names.encrypted)
  const form = isV2 ? "v2" : isV1 ? "v1" : "none"
  // Two mail programs could disagree about which headers there are; nobody who signs writes such a message.
  if (form !== "none" && !mail.plainHead) return verdict("invalid", "malformed", form, mail)
  const fault = headerFault(mail, form)
  if (fault !== undefined) return verdict("invalid", fault, form, mail)
  if (isV2) return yield* readSignedV2(mail, reader, directory, seen, delivery)
  if (!isV1) return yield* readStrangers(mail, directory, "unsigned", "no-signature", "none")
  const sender = tokenIn(mail, names.sender)
  const signature = tokenIn(mail, names.signature)
  // One header of the pair without the other: somebody took it off.
  if (sender === undefined || signature === undefined) return verdict("invalid", "header-missing", "v1", mail)
  const entry = isSenderId(sender) ? yield* directory.bySender(sender) : undefined
  if (entry === undefined) return yield* readStrangers(mail, directory, "unknown-sender", "sender-unknown", "v1")
  return readV1(mail, signature, entry, reader)
})
