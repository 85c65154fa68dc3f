/** What a person or agent wants to say, and its checking: nothing is repaired silently, what cannot be sent is refused. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { sha256Hex } from "../../../runtime/domain/text/Digest.ts"
import { canonicalBody } from "./bodyText.ts"
import { DisplayName, type MailAddress, mailAddress, MessageId } from "./MailAddress.ts"
import { MailRefused, type RefusalReason } from "./MailErrors.ts"
import {
  AttachmentName,
  AttachmentType,
  HeaderText,
  type ManifestAttachment,
  maxAttachments,
  maxRecipients
} from "./Manifest.ts"
import type { OutgoingPart } from "./MimeWriter.ts"

/** As a caller writes it. Addresses are written in full; ids and aliases were resolved before. */
export interface Draft {
  readonly from: { readonly address: string; readonly name?: string }
  readonly to: ReadonlyArray<string>
  readonly cc?: ReadonlyArray<string>
  readonly bcc?: ReadonlyArray<string>
  readonly replyTo?: string
  readonly subject: string
  /** Any line ends; line ends at the end are not part of the message. */
  readonly text: string
  readonly attachments?: ReadonlyArray<OutgoingPart>
  /** Message ids with their angle brackets. */
  readonly inReplyTo?: string
  readonly references?: ReadonlyArray<string>
  /** Set by the runtime alone; 0 for what a person or an agent starts. */
  readonly hop?: number
}

export interface CheckedDraft {
  readonly from: { readonly address: MailAddress; readonly name: string }
  /** Without repetitions: who is in To is not in Cc, and who is in either is not in Bcc. */
  readonly to: ReadonlyArray<MailAddress>
  readonly cc: ReadonlyArray<MailAddress>
  readonly bcc: ReadonlyArray<MailAddress>
  readonly replyTo: MailAddress | null
  readonly subject: string
  /** Canonical. */
  readonly text: string
  readonly attachments: ReadonlyArray<OutgoingPart>
  readonly described: ReadonlyArray<ManifestAttachment>
  readonly inReplyTo: MessageId | null
  readonly references: ReadonlyArray<MessageId>
  readonly hop: number
}

const refuse = (reason: RefusalReason, detail: string) => new MailRefused({ reason, detail })

const isMessageId = Schema.is(MessageId)
const isHeaderText = Schema.is(HeaderText)
const isDisplayName = Schema.is(DisplayName)
const isAttachmentName = Schema.is(AttachmentName)
const isAttachmentType = Schema.is(AttachmentType)

/** Bytes of text and attachments together, unless the caller's transport takes less. */
export const defaultMaxContentBytes = 40 * 1024 * 1024

const checkAddress = Effect.fnUntraced(function*(field: string, text: string) {
  // Line ends and control characters inside are refused by the pattern; around it, they would be trimmed away.
  const address = /^[\x20-\x7e]*$/.test(text) ? mailAddress(text) : undefined
  return address ?? (yield* refuse("bad-address", `${field} is no address that mail can be sent to`))
})

const checkAddresses = (field: string, texts: ReadonlyArray<string>) =>
  Effect.map(Effect.forEach(texts, (text, n) => checkAddress(`${field}[${n}]`, text)), (all) => [...new Set(all)])

const checkId = (field: string, text: string) =>
  isMessageId(text)
    ? Effect.succeed(text)
    : Effect.fail(refuse("bad-header", `${field} is no message id; it is written <left@right>`))

const checkAttachments = Effect.fnUntraced(function*(parts: ReadonlyArray<OutgoingPart>) {
  if (parts.length > maxAttachments) {
    return yield* refuse("bad-attachment", `there are over ${maxAttachments} attachments`)
  }
  for (const [n, part] of parts.entries()) {
    if (!isAttachmentName(part.name)) {
      return yield* refuse("bad-attachment", `the name of attachment ${n + 1} cannot be carried by mail`)
    }
    if (!isAttachmentType(part.type)) {
      return yield* refuse(
        "bad-attachment",
        `the type of attachment ${n + 1} is not one that is sent; use application/octet-stream`
      )
    }
  }
})

/** Refuses with the first thing that is wrong; see `MailRefused` for the ways. */
export const checkDraft = Effect.fn("checkDraft")(function*(draft: Draft, maxContentBytes = defaultMaxContentBytes) {
  const address = yield* checkAddress("from", draft.from.address)
  const name = draft.from.name ?? ""
  if (!isDisplayName(name)) {
    return yield* refuse(
      "bad-header",
      "the sender's name has characters other than letters, digits, `.`, `_`, `-` and single spaces"
    )
  }
  const to = yield* checkAddresses("to", draft.to)
  const cc = (yield* checkAddresses("cc", draft.cc ?? [])).filter((other) => !to.includes(other))
  const bcc = (yield* checkAddresses("bcc", draft.bcc ?? [])).filter((other) =>
    !to.includes(other) && !cc.includes(other)
  )
  if (to.length === 0) return yield* refuse("no-recipient", "the message has no recipient in To")
  if (to.length + cc.length + bcc.length > maxRecipients) {
    return yield* refuse("too-many-recipients", `a message has at most ${maxRecipients} recipients`)
  }
  const replyTo = draft.replyTo === undefined ? null : yield* checkAddress("replyTo", draft.replyTo)
  if (!isHeaderText(draft.subject)) {
    return yield* refuse("bad-header", "the subject has line breaks, control characters or over 998 characters")
  }
  const inReplyTo = draft.inReplyTo === undefined ? null : yield* checkId("inReplyTo", draft.inReplyTo)
  const references = yield* Effect.forEach(draft.references ?? [], (id, n) => checkId(`references[${n}]`, id))
  if (!draft.text.isWellFormed()) {
    return yield* refuse("bad-text", "the body has lone surrogates, so it is no Unicode text")
  }
  const attachments = draft.attachments ?? []
  yield* checkAttachments(attachments)
  const bytes = attachments.reduce((sum, part) => sum + part.bytes.length, Buffer.byteLength(draft.text))
  if (bytes > maxContentBytes) {
    return yield* refuse(
      "too-large",
      `text and attachments have ${bytes} bytes; the transport takes ${maxContentBytes}`
    )
  }
  const hop = draft.hop ?? 0
  if (!Number.isInteger(hop) || hop < 0 || hop > 100) return yield* refuse("bad-header", "hop is not within 0 to 100")
  return {
    from: { address, name },
    to,
    cc,
    bcc,
    replyTo,
    subject: draft.subject,
    text: canonicalBody(draft.text),
    attachments,
    described: attachments.map((part) => ({
      name: part.name,
      type: part.type,
      size: part.bytes.length,
      sha256: sha256Hex(part.bytes)
    })),
    inReplyTo,
    references: references.slice(-50),
    hop
  } satisfies CheckedDraft
})
