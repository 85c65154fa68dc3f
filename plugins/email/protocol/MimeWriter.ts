/**
 * Parts to bytes, by nodemailer's composer. Headers, encodings of headers, folding and boundaries are the library's;
 * this module only decides that the text travels as it was signed, so that v1 readers, which decode nothing, verify it.
 */
import * as Effect from "effect/Effect"
import { encodeWord } from "nodemailer/lib/mime-funcs"
import MimeNode from "nodemailer/lib/mime-node"
import type { MailAddress } from "./MailAddress.ts"
import { MailRefused } from "./MailErrors.ts"
import { wrappedBase64 } from "./wrappedBase64.ts"

export interface OutgoingPart {
  readonly name: string
  readonly type: string
  readonly bytes: Uint8Array
}

/** A message as the composer gets it. Every value has been checked: none has a line break or control character. */
export interface OutgoingMime {
  readonly from: { readonly address: MailAddress; readonly name: string }
  readonly to: ReadonlyArray<MailAddress>
  readonly cc: ReadonlyArray<MailAddress>
  readonly replyTo: MailAddress | null
  readonly subject: string
  readonly inReplyTo: string | null
  readonly references: ReadonlyArray<string>
  readonly id: string
  readonly dateSeconds: number
  /** Further headers, ASCII only, written as they are and folded at their spaces; on one line where they have none. */
  readonly extra: ReadonlyArray<readonly [name: string, value: string]>
  /** Canonical: LF line ends, none at the end. */
  readonly text: string
  readonly attachments: ReadonlyArray<OutgoingPart>
  /** 8 bytes for the boundary. */
  readonly boundary: Uint8Array
}

/** The composer writes `X-Km-…`; readers of the reference that look for a line's beginning want it as it is named. */
class RootNode extends MimeNode {
  override buildHeaders(): string {
    return super.buildHeaders().replaceAll(/^X-Km-/gm, "X-KM-")
  }
}

/** Octets of a line without its end (RFC 5322 §2.1.1). */
const maxLineOctets = 998

/** Half of what readers take: more lines, which may all be empty, travel in base64 as fewer. */
const maxPlainLines = 1_000_000

/** What must not travel as it is: control characters but tab and line feed, or lines that are too long or too many. */
const needsEncoding = (text: string): boolean => {
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u0008\u000b-\u001f\u007f]/.test(text)) return true
  const lines = text.split("\n")
  return lines.length > maxPlainLines || lines.some((line) => Buffer.byteLength(line) > maxLineOctets)
}

/**
 * What the composer leaves as it is though it must not travel so: text that looks like an encoded word, which readers
 * would decode, words too long to fold, and spaces that reading a header or folding it takes away.
 */
const mustBeWord = (text: string): boolean => text.includes("=?") || /\S{400}|^\s|\s$|\s{2}/.test(text)

/** Header bytes of the message and its parts. Readers take 512 KiB; hops may add 64 of their own. */
const maxHeaderBytes = 448 * 1024

/** Appends the part and returns the bytes of its headers. */
const appendText = (root: MimeNode, text: string): number => {
  const crlf = text.replaceAll("\n", "\r\n")
  const node = root.createChild("text/plain; charset=utf-8")
  if (needsEncoding(text)) {
    node.setHeader("Content-Transfer-Encoding", "base64")
    const headers = node.buildHeaders()
    node.setRaw(Buffer.concat([Buffer.from(`${headers}\r\n\r\n`), wrappedBase64(Buffer.from(crlf))]))
    return headers.length
  }
  const ascii = Buffer.byteLength(crlf) === crlf.length
  node.setHeader("Content-Transfer-Encoding", ascii ? "7bit" : "8bit")
  const headers = node.buildHeaders()
  node.setRaw(Buffer.from(`${headers}\r\n\r\n${crlf}`))
  return headers.length
}

const appendAttachment = (root: MimeNode, part: OutgoingPart): number => {
  const node = root.createChild(part.type, { filename: part.name })
  node.setHeader("Content-Disposition", "attachment")
  node.setHeader("Content-Transfer-Encoding", "base64")
  const headers = node.buildHeaders()
  node.setRaw(Buffer.concat([Buffer.from(`${headers}\r\n\r\n`), wrappedBase64(part.bytes)]))
  return headers.length
}

/**
 * The message with CRLF line ends: always multipart/mixed with one text/plain part first, which is the shape that most
 * readers of the reference take.
 */
export const writeMime = Effect.fnUntraced(function*(mail: OutgoingMime) {
  const root = new RootNode("multipart/mixed", {
    baseBoundary: Buffer.from(mail.boundary).toString("hex"),
    boundaryPrefix: "=_km",
    disableFileAccess: true,
    disableUrlAccess: true
  })
  root.setHeader("From", { name: mail.from.name, address: mail.from.address })
  root.setHeader("To", mail.to.map((address) => ({ name: "", address })))
  if (mail.cc.length > 0) root.setHeader("Cc", mail.cc.map((address) => ({ name: "", address })))
  if (mail.replyTo !== null) root.setHeader("Reply-To", { name: "", address: mail.replyTo })
  root.setHeader("Subject", mustBeWord(mail.subject) ? encodeWord(mail.subject, "B", 52) : mail.subject)
  root.setHeader("Date", new Date(mail.dateSeconds * 1000))
  root.setHeader("Message-ID", mail.id)
  if (mail.inReplyTo !== null) root.setHeader("In-Reply-To", mail.inReplyTo)
  if (mail.references.length > 0) root.setHeader("References", mail.references.join(" "))
  for (const [name, value] of mail.extra) {
    root.addHeader(name, { prepared: true, foldLines: value.includes(" "), value })
  }
  const headerBytes = root.buildHeaders().length + appendText(root, mail.text)
    + mail.attachments.reduce((sum, part) => sum + appendAttachment(root, part), 0)
  if (headerBytes > maxHeaderBytes) {
    return yield* new MailRefused({
      reason: "too-large",
      detail: "the names of its attachments take more room than readers of mail give them; shorten them or send fewer"
    })
  }
  // The composer reads no file and no address here, so that it cannot fail but by a bug.
  const raw = yield* Effect.promise(() => root.build())
  return new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength)
})

/**
 * `value` in pieces of 48 characters with spaces between, which is where the composer folds: no line is over 76
 * characters, so no hop has a reason to fold it in a way of its own. Readers drop the spaces.
 */
export const foldable = (value: string): string => value.match(/.{1,48}/g)?.join(" ") ?? ""
