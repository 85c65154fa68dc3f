/** The tampering matrix: each header, part and manifest field changed, added, removed and duplicated. */
import { headerNames } from "../../../plugins/email/protocol/wire.ts"
import {
  addHeader,
  boundaryOf,
  canonical,
  duplicateHeader,
  headerOf,
  manifestIn,
  partsOf,
  resign,
  resignJson,
  setHeader,
  withoutHeader,
  withParts
} from "./rewriting.ts"
import { alice, bob, carol } from "./world.ts"

export interface Tampering {
  readonly name: string
  readonly apply: (raw: string) => string
  readonly status: string
  readonly reason: string
}

/** The message that is tampered with has all of these headers, two attachments and a text of two lines. */
export const fullDraft = {
  from: { address: alice.address, name: "build.alice" },
  to: [bob.address, "person@elsewhere.example"],
  cc: [carol.address],
  replyTo: "build.alice@mail.example",
  subject: "deploy 7: ready for you",
  text: "first line\nsecond line",
  inReplyTo: "<first@mail.example>",
  references: ["<zeroth@mail.example>", "<first@mail.example>"],
  attachments: [
    { name: "a.txt", type: "text/plain", bytes: Buffer.from("attachment one") },
    { name: "b.json", type: "application/json", bytes: Buffer.from("{\"two\":2}") }
  ]
}

const shownHeaders = ["From", "To", "Cc", "Reply-To", "Subject", "In-Reply-To", "References"]

const headerChanges: ReadonlyArray<Tampering> = [
  ...shownHeaders.flatMap((name): ReadonlyArray<Tampering> => [
    {
      name: `${name} changed`,
      apply: (raw) => setHeader(raw, name, (headerOf(raw, name) ?? "").replace(/mail|deploy/, "evil")),
      status: "invalid",
      reason: "header-changed"
    },
    { name: `${name} removed`, apply: (raw) => withoutHeader(raw, name), status: "invalid", reason: "header-changed" },
    {
      name: `${name} duplicated`,
      apply: (raw) => duplicateHeader(raw, name),
      status: "invalid",
      reason: "header-changed"
    },
    {
      name: `${name} added before with another value`,
      apply: (raw) => addHeader(raw, `${name.toUpperCase()}: mallory@evil.example`, "first"),
      status: "invalid",
      reason: "header-changed"
    }
  ]),
  ...["Sender: mallory@evil.example", "Bcc: mallory@evil.example", "X-KM-Encrypted: true"].map((header) => ({
    name: `${header.slice(0, header.indexOf(":"))} added`,
    apply: (raw: string) => addHeader(raw, header),
    status: "invalid",
    reason: "header-changed"
  })),
  {
    name: "From gets a second author",
    apply: (raw) => setHeader(raw, "From", `${headerOf(raw, "From")}, mallory@evil.example`),
    status: "invalid",
    reason: "header-changed"
  },
  {
    name: "From gets another name",
    apply: (raw) => setHeader(raw, "From", `"the operator" <${alice.address}>`),
    status: "invalid",
    reason: "header-changed"
  },
  {
    name: "a recipient gets a name",
    apply: (raw) => setHeader(raw, "Cc", `"mallory@evil.example" <${carol.address}>`),
    status: "invalid",
    reason: "header-changed"
  },
  {
    name: "To gets a further recipient",
    apply: (raw) => setHeader(raw, "To", `${headerOf(raw, "To")}, mallory@evil.example`),
    status: "invalid",
    reason: "header-changed"
  },
  {
    name: "an unknown header of ours added",
    apply: (raw) => addHeader(raw, "X-KM-Action: destroy"),
    status: "invalid",
    reason: "header-unknown"
  }
]

const last = (text: string): string => text.slice(0, -3) + (text.at(-3) === "A" ? "B" : "A") + text.slice(-2)

const ownHeaderChanges: ReadonlyArray<Tampering> = [
  ...Object.values(headerNames).filter((name) => name !== headerNames.encrypted).map((name) => ({
    name: `${name} duplicated`,
    apply: (raw: string) => duplicateHeader(raw, name),
    status: "invalid",
    reason: "header-duplicated"
  })),
  {
    name: "X-KM-Sender-ID changed",
    apply: (raw) => setHeader(raw, headerNames.sender, carol.sender),
    status: "invalid",
    reason: "header-changed"
  },
  {
    name: "X-KM-Sender-ID removed",
    apply: (raw) => withoutHeader(raw, headerNames.sender),
    status: "invalid",
    reason: "header-changed"
  },
  {
    name: "X-KM-Signature changed",
    apply: (raw) => setHeader(raw, headerNames.signature, last(headerOf(raw, headerNames.signature) ?? "")),
    status: "invalid",
    reason: "v1-signature-changed"
  },
  {
    name: "X-KM-Signature removed",
    apply: (raw) => withoutHeader(raw, headerNames.signature),
    status: "invalid",
    reason: "v1-signature-changed"
  },
  {
    name: "X-KM-Manifest removed",
    apply: (raw) => withoutHeader(raw, headerNames.manifest),
    status: "invalid",
    reason: "header-missing"
  },
  {
    name: "X-KM-Manifest-Signature removed",
    apply: (raw) => withoutHeader(raw, headerNames.manifestSignature),
    status: "invalid",
    reason: "header-missing"
  },
  {
    name: "X-KM-Manifest-Signature in another spelling of the same bytes",
    apply: (raw) =>
      setHeader(raw, headerNames.manifestSignature, last(headerOf(raw, headerNames.manifestSignature) ?? "")),
    status: "invalid",
    reason: "signature-wrong"
  },
  {
    name: "X-KM-Manifest is the manifest of nothing",
    apply: (raw) => setHeader(raw, headerNames.manifest, "e30"),
    status: "invalid",
    reason: "manifest-unreadable"
  },
  {
    name: "both v2 headers removed: a downgrade to v1",
    apply: (raw) => withoutHeader(withoutHeader(raw, headerNames.manifest), headerNames.manifestSignature),
    status: "invalid",
    reason: "downgraded"
  },
  {
    name: "all our headers removed: a downgrade to unsigned",
    apply: (raw) => Object.values(headerNames).reduce(withoutHeader, raw),
    status: "invalid",
    reason: "downgraded"
  }
]

const part = (raw: string, n: number): string => partsOf(raw)[n] ?? ""
const withPart = (raw: string, n: number, changed: string): string =>
  withParts(raw, partsOf(raw).map((old, m) => m === n ? changed : old))
const html = "Content-Type: text/html; charset=utf-8\r\n\r\n<p>pay mallory</p>"
const secondText = "Content-Type: text/plain; charset=utf-8\r\n\r\npay mallory"

const partChanges: ReadonlyArray<Tampering> = [
  {
    name: "text changed",
    apply: (raw) => raw.replace("second line", "second  line"),
    status: "invalid",
    reason: "body-changed"
  },
  {
    name: "text line added",
    apply: (raw) => raw.replace("second line", "second line\r\nthird"),
    status: "invalid",
    reason: "body-changed"
  },
  {
    name: "text line removed",
    apply: (raw) => raw.replace("\r\nsecond line", ""),
    status: "invalid",
    reason: "body-changed"
  },
  {
    name: "text declared as another charset",
    apply: (raw) => raw.replace("first line", "f\u00fcrst line").replace("charset=utf-8", "charset=iso-8859-1"),
    status: "invalid",
    reason: "body-changed"
  },
  {
    name: "text part removed",
    apply: (raw) => withParts(raw, partsOf(raw).slice(1)),
    status: "invalid",
    reason: "structure"
  },
  {
    name: "text part duplicated",
    apply: (raw) => withParts(raw, [part(raw, 0), ...partsOf(raw)]),
    status: "invalid",
    reason: "structure"
  },
  {
    name: "a second text part added",
    apply: (raw) => withParts(raw, [...partsOf(raw), secondText]),
    status: "invalid",
    reason: "structure"
  },
  {
    name: "an HTML part added",
    apply: (raw) => withParts(raw, [...partsOf(raw), html]),
    status: "invalid",
    reason: "structure"
  },
  {
    name: "text part becomes HTML",
    apply: (raw) => raw.replace("text/plain; charset", "text/html; charset"),
    status: "invalid",
    reason: "structure"
  },
  {
    name: "multipart/alternative instead of mixed",
    apply: (raw) => raw.replace("multipart/mixed", "multipart/alternative"),
    status: "invalid",
    reason: "structure"
  },
  {
    name: "parts wrapped into a further multipart",
    apply: (raw) =>
      withParts(raw, [
        `Content-Type: multipart/mixed; boundary="inner"\r\n\r\n${
          partsOf(raw).map((p) => `--inner\r\n${p}\r\n`).join("")
        }--inner--`
      ]),
    status: "invalid",
    reason: "structure"
  },
  {
    name: "Content-Type duplicated",
    apply: (raw) => addHeader(raw, "Content-Type: text/plain"),
    status: "invalid",
    reason: "structure"
  },
  {
    name: "Content-Type of a part duplicated",
    apply: (raw) => withPart(raw, 1, `Content-Type: text/html\r\n${part(raw, 1)}`),
    status: "invalid",
    reason: "structure"
  },
  {
    name: "attachment changed",
    apply: (raw) => withPart(raw, 1, part(raw, 1).replace(/\r\n\r\n.*$/s, "\r\n\r\nZXZpbA==")),
    status: "invalid",
    reason: "attachments-changed"
  },
  {
    name: "attachment renamed",
    apply: (raw) => withPart(raw, 1, part(raw, 1).replaceAll("a.txt", "a.exe")),
    status: "invalid",
    reason: "attachments-changed"
  },
  {
    name: "attachment given another type",
    apply: (raw) => withPart(raw, 1, part(raw, 1).replace("text/plain", "text/html")),
    status: "invalid",
    reason: "attachments-changed"
  },
  {
    name: "attachment made inline",
    apply: (raw) => withPart(raw, 1, part(raw, 1).replace("attachment;", "inline;")),
    status: "invalid",
    reason: "structure"
  },
  {
    name: "attachment removed",
    apply: (raw) => withParts(raw, partsOf(raw).slice(0, -1)),
    status: "invalid",
    reason: "attachments-changed"
  },
  {
    name: "attachment duplicated",
    apply: (raw) => withParts(raw, [...partsOf(raw), part(raw, 2)]),
    status: "invalid",
    reason: "attachments-changed"
  },
  {
    name: "attachment added",
    apply: (raw) => withParts(raw, [...partsOf(raw), part(raw, 1).replaceAll("a.txt", "c.txt")]),
    status: "invalid",
    reason: "attachments-changed"
  },
  {
    name: "attachments swapped",
    apply: (raw) => withParts(raw, [part(raw, 0), part(raw, 2), part(raw, 1)]),
    status: "invalid",
    reason: "attachments-changed"
  },
  {
    name: "cut off before the last attachment",
    apply: (raw) => raw.slice(0, raw.lastIndexOf(`--${boundaryOf(raw)}\r\n`)),
    status: "invalid",
    reason: "attachments-changed"
  }
]

/** For each field: a value of the right form that is not the signed one. */
const others = {
  version: 3,
  install: "other",
  sender: carol.sender,
  key: carol.key.keyId,
  created: 1_795_435_000,
  expires: 1_796_000_000,
  nonce: "AAAAAAAAAAAAAAAAAAAAAA",
  id: "<other@mail.example>",
  from: { address: carol.address, name: "" },
  to: ["dave@elsewhere.example"],
  cc: [],
  bcc: ["dave@elsewhere.example"],
  replyTo: "mallory@evil.example",
  subject: "another",
  inReplyTo: null,
  references: [],
  hop: 1,
  bodySha256: "0".repeat(64),
  attachments: [],
  encryption: null,
  v1Signature: null
}

const json = (raw: string): Record<string, never> => JSON.parse(JSON.stringify(manifestIn(raw)))
const withJson = (raw: string, text: string): string =>
  setHeader(raw, headerNames.manifest, Buffer.from(text).toString("base64url"))

const fieldChanges: ReadonlyArray<Tampering> = Object.entries(others).flatMap((
  [field, other]
): ReadonlyArray<Tampering> => [
  ...(field === "encryption" ? [] : [{
    name: `manifest.${field} changed, not signed again`,
    apply: (raw: string) => withJson(raw, canonical({ ...json(raw), [field]: other })),
    status: ["install", "key"].includes(field) || field === "sender" ? "invalid|unknown-sender" : "invalid",
    reason: field === "version" ? "manifest-unreadable" : "signature-wrong|key-unknown|downgraded"
  }]),
  {
    name: `manifest.${field} removed, signed by the sender`,
    apply: (raw) => {
      const { [field]: _, ...rest } = json(raw)
      return resignJson(raw, alice.key, canonical(rest))
    },
    status: "invalid",
    reason: "manifest-unreadable"
  },
  {
    name: `manifest.${field} twice, signed by the sender`,
    apply: (raw) =>
      resignJson(raw, alice.key, `{${JSON.stringify(field)}:${canonical(other)},${canonical(json(raw)).slice(1)}`),
    status: "invalid",
    reason: "manifest-unreadable"
  },
  {
    name: `manifest.${field} of a wrong type, signed by the sender`,
    apply: (raw) => resignJson(raw, alice.key, canonical({ ...json(raw), [field]: true })),
    status: "invalid",
    reason: "manifest-unreadable"
  }
])

const manifestChanges: ReadonlyArray<Tampering> = [
  ...fieldChanges,
  {
    name: "a further manifest field, signed by the sender",
    apply: (raw) => resignJson(raw, alice.key, canonical({ ...json(raw), note: "x" })),
    status: "invalid",
    reason: "manifest-unreadable"
  },
  {
    name: "a manifest with white space, signed by the sender",
    apply: (raw) => resignJson(raw, alice.key, JSON.stringify(json(raw), null, 1)),
    status: "invalid",
    reason: "manifest-unreadable"
  },
  {
    name: "a manifest in another order, signed by the sender",
    apply: (raw) => resignJson(raw, alice.key, JSON.stringify(json(raw))),
    status: "invalid",
    reason: "manifest-unreadable"
  },
  {
    name: "signed by another known sender's key",
    apply: (raw) => resign(raw, carol.key, {}),
    status: "invalid",
    reason: "signature-wrong"
  },
  {
    name: "taken over by another sender, who signs it for itself",
    apply: (raw) =>
      setHeader(
        resign(raw, carol.key, { sender: carol.sender, key: carol.key.keyId }),
        headerNames.sender,
        carol.sender
      ),
    status: "invalid",
    reason: "from-not-senders"
  },
  ...([
    "to",
    "cc",
    "replyTo",
    "subject",
    "inReplyTo",
    "references",
    "bodySha256",
    "attachments",
    "v1Signature"
  ] as const).map((field) => ({
    name: `manifest.${field} differs from the message, signed by the sender`,
    apply: (raw: string) => resign(raw, alice.key, { [field]: field === "to" ? [bob.address] : others[field] }),
    status: "invalid",
    reason: field === "bodySha256"
      ? "body-changed"
      : field === "attachments"
      ? "attachments-changed"
      : field === "v1Signature"
      ? "v1-signature-changed"
      : "header-changed"
  }))
]

export const tamperings: ReadonlyArray<Tampering> = [
  ...headerChanges,
  ...ownHeaderChanges,
  ...partChanges,
  ...manifestChanges
]
