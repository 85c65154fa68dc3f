/** Encrypted v2 messages whose inside, boxes or ciphertext are not what the manifest around them says. */
import * as Effect from "effect/Effect"
import { type Manifest, manifestJson } from "../../../plugins/email/protocol/Manifest.ts"
import { type BoxKey, openSecretBox, secretBox, sharedKey } from "../../../plugins/email/protocol/naclBox.ts"
import type { SigningKey } from "../../../runtime/domain/identity/Ed25519.ts"
import { sha256Hex } from "../../../runtime/domain/text/Digest.ts"
import {
  addHeader,
  canonical,
  duplicateHeader,
  manifestIn,
  partsOf,
  resign,
  resignJson,
  setHeader,
  split,
  withoutHeader,
  withParts
} from "../../plugins/email/rewriting.ts"
import { alice, bob, carol, install } from "../../plugins/email/world.ts"
import { frank, sharedWithLowOrder } from "./parties.ts"
import { bad, type Case, good, rawOf, stream, writeAs, writeFull } from "./writing.ts"

const empty = new Uint8Array()
const ciphertextIn = (raw: string) => Buffer.from(split(partsOf(raw)[1] ?? "").body, "base64")

/** The message with another ciphertext in its place, described and signed by whoever wrote it. */
const withCiphertext = (
  raw: string,
  ciphertext: Uint8Array,
  key: SigningKey,
  change: Partial<Manifest> = {}
): string => {
  const [text = "", sealed = ""] = partsOf(raw)
  const body = Buffer.from(ciphertext).toString("base64").match(/.{1,76}/g)?.join("\r\n") ?? ""
  const [described] = manifestIn(raw).attachments
  const attachments = described === undefined
    ? []
    : [{ ...described, size: ciphertext.length, sha256: sha256Hex(ciphertext) }]
  const headers = split(sealed).headers.join("\r\n")
  return resign(withParts(raw, [text, `${headers}\r\n\r\n${body}`]), key, { attachments, ...change })
}

/** The content key, as the first recipient opens it. */
const contentKeyIn = (raw: string, from: BoxKey, to: BoxKey): Uint8Array => {
  const [boxed] = manifestIn(raw).encryption?.recipients ?? []
  const shared = sharedKey(to.privateKey, from.publicKey) ?? empty
  const opened = boxed &&
    openSecretBox(Buffer.from(boxed.box, "base64url"), Buffer.from(boxed.nonce, "base64url"), shared)
  if (opened === undefined) throw new Error("the message's own box does not open")
  return opened
}

/** The message with another inside, by the author himself. */
const withInner = (raw: string, change: (inner: string) => string): string => {
  const key = contentKeyIn(raw, alice.box, bob.box)
  const ciphertext = ciphertextIn(raw)
  const inner = openSecretBox(ciphertext.subarray(24), ciphertext.subarray(0, 24), key) ?? empty
  const nonce = stream("another inside")(24)
  const other = secretBox(Buffer.from(change(Buffer.from(inner).toString("utf8"))), nonce, key)
  return withCiphertext(raw, Buffer.concat([nonce, other]), alice.key)
}

const renamed = (name: string, type = "text/plain") => (inner: string) =>
  withParts(
    inner,
    partsOf(inner).map((part, n) =>
      n === 1
        ? `Content-Type: ${type}\r\nContent-Disposition: attachment; filename="${name}"\r\nContent-Transfer-Encoding: base64\r\n\r\neA==`
        : part
    )
  )

const innerCases = (raw: string): ReadonlyArray<Case> => {
  const differs: ReadonlyArray<readonly [name: string, change: (inner: string) => string]> = [
    ["another From", (inner) => setHeader(inner, "From", carol.address)],
    ["another To", (inner) => setHeader(inner, "To", carol.address)],
    ["a Cc", (inner) => addHeader(inner, `Cc: ${carol.address}`)],
    ["another Reply-To", (inner) => setHeader(inner, "Reply-To", "mallory@evil.example")],
    ["no In-Reply-To", (inner) => withoutHeader(inner, "In-Reply-To")],
    ["other References", (inner) => setHeader(inner, "References", "<other@mail.example>")],
    ["another Message-ID", (inner) => setHeader(inner, "Message-ID", "<other@mail.example>")],
    ["two Message-IDs", (inner) => duplicateHeader(inner, "Message-ID")],
    ["two Subjects", (inner) => duplicateHeader(inner, "Subject")],
    ["a Sender", (inner) => addHeader(inner, `Sender: ${alice.address}`)],
    ["a line end in its subject", (inner) => setHeader(inner, "Subject", "=?utf-8?Q?a=0D=0AFrom:_b?=")],
    ["a header of ours", (inner) => addHeader(inner, `X-KM-Sender-ID: ${carol.sender}`)],
    ["a path as an attachment's name", renamed("../../x")],
    ["an attachment without a name", renamed("")],
    ["an attached message", renamed("x.eml", "message/rfc822")],
    [
      "a part that is no attachment",
      (inner) => withParts(inner, [...partsOf(inner), "Content-Type: text/html\r\n\r\n<p>x</p>"])
    ],
    ["a line among the headers that is none", (inner) => inner.replace("Date:", "Date")],
    ["nothing", () => ""]
  ]
  return differs.map(([name, change]) => bad(`encrypted, inside it ${name}`, withInner(raw, change), "inner-differs"))
}

const textOf = (raw: string) => manifestJson(manifestIn(raw))

export const sealedCases = Effect.gen(function*() {
  const bobOnly = { to: [bob.address], cc: [] }
  const raw = rawOf((yield* writeFull("sealed hard", bobOnly, { encryption: "required" }))[0])
  const manifest = manifestIn(raw)
  const { encryption } = manifest
  const [boxed] = encryption?.recipients ?? []
  if (encryption === null || boxed === undefined) throw new Error("the message is not encrypted")
  const again = (change: Partial<typeof encryption>) =>
    resign(raw, alice.key, { encryption: { ...encryption, ...change } })
  const spoilt = { ...boxed, box: `${boxed.box.startsWith("A") ? "B" : "A"}${boxed.box.slice(1)}` }
  const asFrank = { install, sender: frank.sender, key: frank.key, box: frank.box }
  const toFrank = { ...bobOnly, from: { address: frank.address } }
  const franks = yield* writeAs("sealed frank", toFrank, { encryption: "required" }, asFrank)
  const byFrank = { ...good, sender: frank.sender, attachments: [] }
  // Carol has never seen the content; she puts its ciphertext and its boxes under a manifest of her own.
  const taken = (key: string) =>
    setHeader(
      setHeader(
        resign(raw, carol.key, {
          sender: carol.sender,
          key: carol.key.keyId,
          from: { address: carol.address, name: "" },
          encryption: { ...encryption, key: key === carol.box.keyId ? carol.box.keyId : encryption.key }
        }),
        "From",
        carol.address
      ),
      "X-KM-Sender-ID",
      carol.sender
    )
  // With a key of low order the shared secret is zero: a careless reader opens this, and so does everybody.
  const zero = Buffer.from(
    secretBox(contentKeyIn(franks, frank.box, bob.box), Buffer.from(boxed.nonce, "base64url"), sharedWithLowOrder)
  ).toString("base64url")
  const cases: ReadonlyArray<Case> = [
    ...innerCases(raw),
    {
      name: "encrypted, the reader's first box spoilt, the second good",
      reader: "bob",
      raw: again({ recipients: [spoilt, boxed] }),
      expect: good
    },
    { name: "encrypted, under the second certificates of both keys", reader: "bob", raw: franks, expect: byFrank },
    bad(
      "encrypted, the reader's box spoilt",
      again({ recipients: [spoilt] }),
      "cannot-decrypt",
      "encrypted-unreadable"
    ),
    bad(
      "encrypted, the ciphertext cut to its nonce",
      withCiphertext(raw, ciphertextIn(raw).subarray(0, 24), alice.key),
      "cannot-decrypt",
      "encrypted-unreadable"
    ),
    bad(
      "encrypted, the ciphertext shorter than a nonce",
      withCiphertext(raw, new Uint8Array(5), alice.key),
      "cannot-decrypt",
      "encrypted-unreadable"
    ),
    bad(
      "encrypted, one byte of the ciphertext changed, signed again",
      withCiphertext(raw, ciphertextIn(raw).map((byte, n) => n === 30 ? byte ^ 1 : byte), alice.key),
      "cannot-decrypt",
      "encrypted-unreadable"
    ),
    bad(
      "encrypted, with a key that is certified for signing",
      yield* writeAs("sealed purpose", toFrank, { encryption: "required" }, { ...asFrank, box: frank.mailAsBox }),
      "key-unknown",
      "unknown-sender"
    ),
    bad(
      "encrypted, boxes under a key of low order",
      resign(franks, frank.key, {
        encryption: { scheme: "km-box-1", key: frank.lowOrder.keyId, recipients: [{ ...boxed, box: zero }] }
      }),
      "cannot-decrypt",
      "encrypted-unreadable"
    ),
    bad(
      "another's ciphertext and boxes under one's own manifest",
      taken(encryption.key),
      "key-unknown",
      "unknown-sender"
    ),
    bad(
      "another's ciphertext and boxes under one's own manifest and key",
      taken(carol.box.keyId),
      "cannot-decrypt",
      "encrypted-unreadable"
    ),
    bad(
      "encrypted, with a v1 signature",
      resign(raw, alice.key, { v1Signature: `${"A".repeat(86)}==` }),
      "manifest-unreadable"
    ),
    bad("encrypted, for nobody", again({ recipients: [] }), "manifest-unreadable"),
    bad(
      "encrypted by a scheme of another name",
      resignJson(raw, alice.key, textOf(raw).replace("km-box-1", "km-box-2")),
      "manifest-unreadable"
    ),
    bad(
      "encrypted, the ciphertext under another name",
      resignJson(raw, alice.key, textOf(raw).replace("message.km", "message.xx")),
      "manifest-unreadable"
    ),
    bad(
      "encrypted, with a further member",
      resignJson(raw, alice.key, canonical(JSON.parse(textOf(raw).replace("\"scheme\"", "\"note\":1,\"scheme\"")))),
      "manifest-unreadable"
    )
  ]
  return cases
})
