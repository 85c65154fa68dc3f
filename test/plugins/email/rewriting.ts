/** Changes to raw messages, as hops and forgers make them. Works on text: our messages are valid UTF-8. */
import { canonicalJson, type CanonicalValue } from "../../../plugins/email/protocol/CanonicalJson.ts"
import {
  decodeManifest,
  encodeManifest,
  type Manifest,
  signManifest
} from "../../../plugins/email/protocol/Manifest.ts"
import { type BoxKey, openSecretBox, secretBox, sharedKey } from "../../../plugins/email/protocol/naclBox.ts"
import type { SigningKey } from "../../../runtime/domain/identity/Ed25519.ts"
import { signText } from "../../../runtime/domain/identity/Ed25519.ts"

export interface Pieces {
  /** Each with its folded lines, without the last line end. */
  readonly headers: ReadonlyArray<string>
  readonly body: string
}

export const split = (raw: string): Pieces => {
  const end = raw.indexOf("\r\n\r\n")
  return { headers: raw.slice(0, end).split(/\r\n(?![ \t])/), body: raw.slice(end + 4) }
}

export const join = ({ body, headers }: Pieces): string => `${headers.join("\r\n")}\r\n\r\n${body}`

export const nameOf = (header: string): string => header.slice(0, header.indexOf(":")).toLowerCase()

const isNamed = (name: string) => (header: string): boolean => nameOf(header) === name.toLowerCase()

export const headerOf = (raw: string, name: string): string | undefined => {
  const found = split(raw).headers.find(isNamed(name))
  return found?.slice(found.indexOf(":") + 1).replaceAll(/\r\n/g, "").trim()
}

export const withoutHeader = (raw: string, name: string): string => {
  const { body, headers } = split(raw)
  return join({ headers: headers.filter((header) => !isNamed(name)(header)), body })
}

export const addHeader = (raw: string, header: string, where: "first" | "last" = "last"): string => {
  const { body, headers } = split(raw)
  return join({ headers: where === "first" ? [header, ...headers] : [...headers, header], body })
}

/** Replaces the value in place; the header stays where it was. */
export const setHeader = (raw: string, name: string, value: string): string => {
  const { body, headers } = split(raw)
  return join({
    headers: headers.map((header) =>
      isNamed(name)(header) ? `${header.slice(0, header.indexOf(":"))}: ${value}` : header
    ),
    body
  })
}

export const duplicateHeader = (raw: string, name: string): string => {
  const { body, headers } = split(raw)
  return join({ headers: headers.flatMap((header) => isNamed(name)(header) ? [header, header] : [header]), body })
}

export const boundaryOf = (raw: string): string => /boundary="([^"]+)"/.exec(raw)?.[1] ?? ""

/** The parts between the delimiters, each with its headers. */
export const partsOf = (raw: string): ReadonlyArray<string> => {
  const boundary = boundaryOf(raw)
  return split(raw).body.split(`--${boundary}`).slice(1, -1).map((part) =>
    part.replace(/^\r\n/, "").replace(/\r\n$/, "")
  )
}

export const withParts = (raw: string, parts: ReadonlyArray<string>): string => {
  const boundary = boundaryOf(raw)
  const body = parts.map((part) => `--${boundary}\r\n${part}\r\n`).join("")
  return join({ headers: split(raw).headers, body: `${body}--${boundary}--\r\n` })
}

export const manifestIn = (raw: string): Manifest => {
  const found = decodeManifest((headerOf(raw, "X-KM-Manifest") ?? "").replaceAll(/\s/g, ""))
  if (found === undefined) throw new Error("the message has no readable manifest")
  return found.manifest
}

const fold = (value: string): string => value.match(/.{1,64}/g)?.join("\r\n ") ?? ""

/** The message with a manifest that its owner changed and signed again. */
export const resign = (raw: string, key: SigningKey, change: Partial<Manifest>): string => {
  const signed = signManifest(key, { ...manifestIn(raw), ...change })
  return setHeader(
    setHeader(raw, "X-KM-Manifest", fold(encodeManifest(signed.json))),
    "X-KM-Manifest-Signature",
    signed.signature
  )
}

/** Any JSON in the manifest's place, signed. */
export const resignJson = (raw: string, key: SigningKey, json: string): string =>
  setHeader(
    setHeader(raw, "X-KM-Manifest", fold(encodeManifest(json))),
    "X-KM-Manifest-Signature",
    signText(key, `km-mail-v2\n${json}`)
  )

export const canonical = (value: CanonicalValue): string => canonicalJson(value)

const quotedPrintable = (text: string): string =>
  text.split("\r\n").map((line) => {
    const encoded = [...Buffer.from(line, "utf8")].map((byte, n, all) => {
      const last = n === all.length - 1
      const plain = byte >= 33 && byte <= 126 && byte !== 61 || (byte === 32 && !last)
      return plain ? String.fromCharCode(byte) : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`
    })
    const lines: Array<string> = []
    let current = ""
    for (const piece of encoded) {
      if (current.length + piece.length > 75) {
        lines.push(`${current}=`)
        current = ""
      }
      current += piece
    }
    return [...lines, current].join("\r\n")
  }).join("\r\n")

/** A part in another transfer encoding: decoded to bytes and encoded again, as gateways do. */
const reencode = (part: string, to: "quoted-printable" | "base64"): string => {
  const { body, headers } = split(part)
  const was = headerOf(part, "Content-Transfer-Encoding")?.toLowerCase()
  const bytes = was === "base64" ? Buffer.from(body, "base64") : Buffer.from(body, "utf8")
  const text = to === "base64" ? bytes.toString("base64").match(/.{1,60}/g)?.join("\r\n") ?? "" : quotedPrintable(body)
  if (to === "quoted-printable" && was === "base64") return part
  return join({
    headers: [
      ...headers.filter((header) => !isNamed("Content-Transfer-Encoding")(header)),
      `content-transfer-encoding: ${to}`
    ],
    body: text
  })
}

/** What SES does to a message on its way: new Date and Message-ID, trace headers, a footer header, another boundary. */
export const likeSes = (
  raw: string,
  encoding: "quoted-printable" | "base64" | "kept",
  lineEnds: "\r\n" | "\n" = "\r\n"
): string => {
  const parts = encoding === "kept" ? partsOf(raw) : partsOf(raw).map((part) => reencode(part, encoding))
  const other = withParts(raw, parts).replaceAll(boundaryOf(raw), "----=_Part_7_1234.5678")
  let sent = withoutHeader(withoutHeader(other, "Date"), "Message-ID")
  for (
    const header of [
      "Message-ID: <0100018f-1111-2222@eu-west-1.amazonses.com>",
      "Date: Mon, 23 Nov 2026 12:34:56 +0000",
      "Received: from a8-50.smtp-out.amazonses.com by inbound-smtp.eu-west-1.amazonaws.com\r\n with SMTP id abc for x;\r\n Mon, 23 Nov 2026 12:34:57 +0000 (UTC)",
      "DKIM-Signature: v=1; a=rsa-sha256; q=dns/txt; c=relaxed/simple; s=abc; d=mail.example;\r\n h=From:To:Subject; bh=47DEQpj8HBSa; b=AAAA",
      "Return-Path: <0100018f@eu-west-1.amazonses.com>"
    ]
  ) sent = addHeader(sent, header, "first")
  sent = addHeader(sent, "Feedback-ID: 1.eu-west-1.abc=:AmazonSES")
  sent = addHeader(sent, "X-SES-Outgoing: 2026.11.23-54.240.8.50")
  return `${sent}\r\n`.replaceAll("\r\n", lineEnds)
}

/**
 * What a recipient can do who wants to pass on the first author's sealed content as its own words: open the content key,
 * box it to somebody else, and sign a manifest of its own around the same ciphertext.
 */
export const passedOn = (
  raw: string,
  thief: {
    readonly key: SigningKey
    readonly box: BoxKey
    readonly sender: Manifest["sender"]
    readonly address: Manifest["to"][number]
  },
  author: BoxKey,
  victim: { readonly box: BoxKey; readonly address: Manifest["to"][number] }
): string => {
  const { encryption } = manifestIn(raw)
  const [boxed] = encryption?.recipients ?? []
  const opened = sharedKey(thief.box.privateKey, author.publicKey)
  const shared = sharedKey(thief.box.privateKey, victim.box.publicKey)
  if (boxed === undefined || opened === undefined || shared === undefined) throw new Error("nothing to pass on")
  const nonce = Buffer.from(boxed.nonce, "base64url")
  const content = openSecretBox(Buffer.from(boxed.box, "base64url"), nonce, opened)
  if (content === undefined) throw new Error("the content key does not open")
  const box = Buffer.from(secretBox(content, nonce, shared)).toString("base64url")
  const signed = resign(raw, thief.key, {
    sender: thief.sender,
    key: thief.key.keyId,
    from: { address: thief.address, name: "" },
    to: [victim.address],
    cc: [],
    encryption: {
      scheme: "km-box-1",
      key: thief.box.keyId,
      recipients: [{ key: victim.box.keyId, nonce: boxed.nonce, box }]
    }
  })
  const addressed = setHeader(setHeader(signed, "From", thief.address), "To", victim.address)
  return setHeader(withoutHeader(addressed, "Cc"), "X-KM-Sender-ID", thief.sender)
}
