/** A message's own words about itself, for those that no manifest speaks for: everything here is somebody's claim. */
import { decodeWords } from "postal-mime"
import { sha256Hex } from "../../../runtime/domain/text/Digest.ts"
import { comparableText, mailboxesOf } from "./headerText.ts"
import { headerValues, type ParsedMail, type ParsedPart } from "./MimeReader.ts"
import type { ReadAttachment, ReadMail } from "./Verdict.ts"

const addressesIn = (mail: ParsedMail, name: string): ReadonlyArray<string> =>
  headerValues(mail, name).flatMap((value) => mailboxesOf(value)).flatMap((box) => box?.address ?? [])

export const described = ({ bytes, name, type }: ParsedPart): ReadAttachment => ({
  name,
  type,
  size: bytes.length,
  sha256: sha256Hex(bytes),
  bytes
})

/** White space in ids is folding. */
const idsIn = (mail: ParsedMail, name: string): ReadonlyArray<string> =>
  headerValues(mail, name).flatMap((value) => value.match(/<[^<>\s]+>/g) ?? [])

export const claimed = (mail: ParsedMail): ReadMail => {
  const from = headerValues(mail, "from").flatMap((value) => mailboxesOf(value))[0]
  return {
    id: idsIn(mail, "message-id")[0] ?? null,
    from: from ?? { address: "", name: decodeWords(headerValues(mail, "from")[0] ?? "") },
    to: addressesIn(mail, "to"),
    cc: addressesIn(mail, "cc"),
    replyTo: addressesIn(mail, "reply-to")[0] ?? null,
    subject: comparableText(headerValues(mail, "subject")[0] ?? ""),
    inReplyTo: idsIn(mail, "in-reply-to")[0] ?? null,
    references: idsIn(mail, "references"),
    created: null,
    hop: 0,
    text: mail.shownText.replaceAll(/\r\n?/g, "\n"),
    attachments: mail.attachments.map(described)
  }
}
