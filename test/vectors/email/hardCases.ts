/** Cases at the edges of the rules: what two careful readers of the document could still take differently. */
import { blake2b } from "@noble/hashes/blake2.js"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { manifestJson, manifestSignedText } from "../../../plugins/email/protocol/Manifest.ts"
import { boxKeyFromPrivate, sealBox, secretBox } from "../../../plugins/email/protocol/naclBox.ts"
import { type SigningKey, signText } from "../../../runtime/domain/identity/Ed25519.ts"
import {
  addHeader,
  canonical,
  headerOf,
  manifestIn,
  partsOf,
  resign,
  resignJson,
  setHeader,
  withParts
} from "../../plugins/email/rewriting.ts"
import { fullDraft } from "../../plugins/email/tampering.ts"
import { alice, bob, carol, counting, install, now, veteran } from "../../plugins/email/world.ts"
import { dora, erin, frank, grace, mallory, sharedWithLowOrder } from "./parties.ts"
import { bad, base64, type Case, good, signedV1, writeAs } from "./writing.ts"

const day = 24 * 3600
const order = 2n ** 252n + 27_742_317_777_372_353_535_851_937_790_883_648_493n

const fromLittle = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes.toReversed()).toString("hex")}`)
const toLittle = (value: bigint): Uint8Array => Buffer.from(value.toString(16).padStart(64, "0"), "hex").toReversed()
/** The group's neutral element, as a point. */
const neutral = toLittle(1n)
const sha512 = (...parts: ReadonlyArray<Uint8Array>) => createHash("sha512").update(Buffer.concat(parts)).digest()

/** A signature that only the owner of the seed can make, with a commitment of small order, which proves less. */
const withNeutralR = (seed: Uint8Array, key: SigningKey, message: string): Uint8Array => {
  const scalar = sha512(seed).subarray(0, 32)
  scalar[0] = (scalar[0] ?? 0) & 248
  scalar[31] = (scalar[31] ?? 0) & 63 | 64
  const challenge = fromLittle(sha512(neutral, key.publicKey, Buffer.from(message))) % order
  return Buffer.concat([neutral, toLittle(challenge * fromLittle(scalar) % order)])
}

const manifestSignature = "X-KM-Manifest-Signature"
const withSignature = (raw: string, signature: Uint8Array) => setHeader(raw, manifestSignature, base64(signature))
const signedTextIn = (raw: string) => manifestSignedText(manifestJson(manifestIn(raw)))

const moreBy = (raw: string): string => {
  const signature = Buffer.from((headerOf(raw, manifestSignature) ?? "").replaceAll(/\s/g, ""), "base64")
  return withSignature(
    raw,
    Buffer.concat([signature.subarray(0, 32), toLittle(fromLittle(signature.subarray(32)) + order)])
  )
}

const many = (count: number, name: string) => Array.from({ length: count }, (_, n) => `${name}${n}@x.example`)

/** Manifests that their owner signed and that are none. */
const manifestCases = (base: string): ReadonlyArray<Case> => {
  const json = manifestJson(manifestIn(base))
  const text = (from: string, to: string) => resignJson(base, alice.key, json.replace(from, to))
  const raw = (change: Record<string, unknown>) =>
    resignJson(base, alice.key, canonical(JSON.parse(JSON.stringify({ ...manifestIn(base), ...change }))))
  const unreadable: ReadonlyArray<readonly [name: string, raw: string]> = [
    ["names a recipient twice in To", raw({ to: [bob.address, bob.address] })],
    ["names a recipient in To and in Cc", raw({ cc: [bob.address] })],
    ["has 101 recipients in all", raw({ to: [bob.address, ...many(59, "a")], cc: many(41, "b") })],
    ["has two blind recipients", raw({ bcc: ["a@x.example", "b@x.example"] })],
    ["has an address in capitals", raw({ to: ["Sb-bbbb2222@mail.example"] })],
    ["has an address beyond ASCII", raw({ replyTo: "b\u00fcro@mail.example" })],
    ["has an address with two dots in a row", raw({ replyTo: "a..b@mail.example" })],
    ["has a domain with an underscore", raw({ replyTo: "a@mail_1.example" })],
    ["has a nonce with stray bits", raw({ nonce: "AAAAAAAAAAAAAAAAAAAAAB" })],
    ["has a nonce of 15 bytes", raw({ nonce: "AAAAAAAAAAAAAAAAAAAA" })],
    ["has a byte order mark in its subject", raw({ subject: "\ufeffx" })],
    ["has a line separator in its subject", raw({ subject: "a\u2028b" })],
    ["has a subject of 999 characters", raw({ subject: "x".repeat(999) })],
    ["has a name with two spaces in a row", raw({ from: { address: alice.address, name: "a  b" } })],
    ["has a name with a comma", raw({ from: { address: alice.address, name: "a, b" } })],
    [
      "has a path as an attachment's name",
      raw({ attachments: [{ name: "../x", type: "text/plain", size: 0, sha256: "0".repeat(64) }] })
    ],
    [
      "has an attachment of type multipart",
      raw({ attachments: [{ name: "x", type: "multipart/mixed", size: 0, sha256: "0".repeat(64) }] })
    ],
    ["has a hop of 101", raw({ hop: 101 })],
    ["has a time with a fraction", text("\"hop\":0", "\"hop\":0.5")],
    ["has a number in another spelling", text("\"hop\":0", "\"hop\":0e0")],
    ["has a negative zero", text("\"hop\":0", "\"hop\":-0")],
    ["has a member's name with an escape", text("\"hop\"", "\"\\u0068op\"")],
    ["has a character escaped that need not be", text("deploy 7", "deploy\\u00207")],
    ["has a lone surrogate", text("deploy 7", "deploy \\ud800")],
    ["begins with a byte order mark", resignJson(base, alice.key, `\ufeff${json}`)],
    ["ends in a line feed", resignJson(base, alice.key, `${json}\n`)],
    ["is a list", resignJson(base, alice.key, `[${json}]`)],
    ["has a member __proto__", text("{\"attachments\"", "{\"__proto__\":{},\"attachments\"")],
    ["ends when it begins", raw({ expires: manifestIn(base).created })],
    [
      "is encrypted, but has two attachments",
      raw({
        v1Signature: null,
        encryption: {
          scheme: "km-box-1",
          key: alice.box.keyId,
          recipients: [{ key: bob.box.keyId, nonce: "A".repeat(32), box: "A".repeat(64) }]
        }
      })
    ]
  ]
  return [
    ...unreadable.map(([name, changed]) =>
      bad(`a manifest that ${name}, signed by the sender`, changed, "manifest-unreadable")
    ),
    bad(
      "a manifest that is not UTF-8",
      setHeader(
        base,
        "X-KM-Manifest",
        Buffer.concat([Buffer.from(json.slice(0, -2)), Buffer.from([0xff, 0x7d])]).toString("base64url")
      ),
      "manifest-unreadable"
    ),
    bad(
      "a manifest in base64 with padding",
      setHeader(base, "X-KM-Manifest", Buffer.from(`${json} `).toString("base64")),
      "manifest-unreadable"
    )
  ]
}

const signer = (key: SigningKey) => ({ install, sender: mallory.sender, key })

const asStranger = { from: { address: "mallory@evil.example" } }

const keyCases = (base: string) =>
  Effect.gen(function*() {
    const { keys } = mallory
    const weak = resign(
      yield* writeAs("weak", { from: { address: mallory.address } }, {}, signer(keys.tooLong)),
      keys.tooLong,
      {
        key: mallory.weak.keyId
      }
    )
    const strangers = yield* Effect.forEach(
      [
        ["for another purpose", keys.forBridge],
        ["for encryption", keys.forBoxes],
        ["for another install", keys.elsewhere],
        ["signed by itself", keys.selfMade],
        ["for over 30 days", keys.tooLong],
        ["for another sender", carol.key]
      ] as const,
      ([name, key]) =>
        Effect.map(
          writeAs(name, asStranger, {}, signer(key)),
          (raw) => bad(`by a key whose certificate is ${name}`, raw, "key-unknown", "unknown-sender")
        )
    )
    const asGrace = { install, sender: grace.sender, key: grace.key }
    const asFrank = { install, sender: frank.sender, key: frank.key }
    const renewed = { ...good, sender: frank.sender, attachments: [] }
    const cases: ReadonlyArray<Case> = [
      ...strangers,
      bad(
        "by a sender of whom no row is certified",
        yield* writeAs("operator", asStranger, {}, { install, sender: "operator", key: keys.selfMade }),
        "sender-unknown",
        "unknown-sender"
      ),
      bad(
        "by a certified key of small order, which any signature fits",
        withSignature(weak, Buffer.concat([neutral, new Uint8Array(32)])),
        "signature-wrong"
      ),
      bad(
        "a signature whose R has small order",
        withSignature(base, withNeutralR(counting(0), alice.key, signedTextIn(base))),
        "signature-wrong"
      ),
      bad("a signature whose S has the group's order added", moreBy(base), "signature-wrong"),
      bad(
        "a signature over the manifest without its context",
        setHeader(base, manifestSignature, signText(alice.key, manifestJson(manifestIn(base)))),
        "signature-wrong"
      ),
      {
        name: "under the second certificate of a key",
        reader: "bob",
        raw: yield* writeAs("renewed", { from: { address: frank.address } }, {}, asFrank),
        expect: renewed
      },
      {
        name: "from an address that the second certificate adds",
        reader: "bob",
        raw: yield* writeAs("renewed alias", { from: { address: frank.alias } }, {}, asFrank),
        expect: renewed
      },
      {
        name: "under the first certificate of a key, read later",
        reader: "bob",
        raw: yield* writeAs(
          "renewed before",
          { from: { address: frank.address } },
          { createdSeconds: now - 3 * day },
          asFrank
        ),
        expect: renewed
      },
      bad(
        "from an address that only the second certificate names, under the first",
        yield* writeAs(
          "renewed too early",
          { from: { address: frank.alias } },
          { createdSeconds: now - 3 * day },
          asFrank
        ),
        "from-not-senders"
      ),
      {
        name: "by a key that was replaced later",
        reader: "bob",
        raw: yield* writeAs(
          "before the end",
          { from: { address: grace.address } },
          { createdSeconds: now - 3601 },
          asGrace
        ),
        expect: { ...good, sender: grace.sender, attachments: [] }
      },
      bad(
        "by a key that was replaced in the second before",
        yield* writeAs("at the end", { from: { address: grace.address } }, { createdSeconds: now - 3600 }, asGrace),
        "key-not-valid-then",
        "expired"
      ),
      {
        name: "v2 from a sender who promises v1",
        reader: "bob",
        raw: yield* writeAs("veteran", { from: { address: veteran.address } }, {}, {
          install,
          sender: veteran.sender,
          key: veteran.key
        }),
        expect: { ...good, sender: veteran.sender, attachments: [] }
      }
    ]
    return cases
  })

const inPart = (raw: string, n: number, change: (part: string) => string) =>
  withParts(raw, partsOf(raw).map((part, m) => m === n ? change(part) : part))

const fine = (name: string, raw: string, expect: Partial<Case["expect"]> = {}): Case => ({
  name,
  reader: "bob",
  raw,
  expect: { ...good, ...expect }
})

/** What hops may do, and what looks alike and is not. */
const transportCases = (base: string) =>
  Effect.gen(function*() {
    const subject = (value: string) => setHeader(base, "Subject", value)
    const composed = yield* writeAs("composed", { subject: "Gr\u00fc\u00dfe\u00a0und  mehr" })
    const kim = yield* writeAs("kim", { to: ["kim@elsewhere.example", bob.address] })
    const flowed = yield* writeAs("flowed", { text: "one \ntwo\n-- \nthree" })
    const umlaut = yield* writeAs("umlaut", { text: "f\u00fcr" })
    const cases: ReadonlyArray<Case> = [
      fine(
        "header names and addresses in capitals",
        base.replace("From:", "FROM:").replace(`<${alice.address}>`, `<${alice.address.toUpperCase()}>`).replace(
          "X-KM-Manifest:",
          "x-Km-mANIFEST:"
        )
      ),
      fine("a space before a colon", base.replace("Subject:", "Subject :")),
      fine(
        "our headers without folding",
        ["X-KM-Manifest", manifestSignature].reduce(
          (raw, name) => setHeader(raw, name, (headerOf(raw, name) ?? "").replaceAll(/\s/g, "")),
          base
        )
      ),
      fine("the sender's id as an encoded word", setHeader(base, "X-KM-Sender-ID", `=?utf-8?Q?${alice.sender}?=`)),
      fine(
        "a header of ours within a part",
        inPart(base, 0, (part) => `X-KM-Signature: x\r\nX-KM-Other: x\r\n${part}`)
      ),
      fine(
        "a preamble and an epilogue",
        `${base.replace(/(\r\n\r\n)(--=_km)/, "$1pay mallory\r\n$2")}\r\npay mallory\r\n`
      ),
      fine("the text declared as format=flowed", flowed.replace("charset=utf-8", "charset=utf-8; format=flowed"), {
        text: "one \ntwo\n-- \nthree",
        attachments: []
      }),
      fine(
        "the text in another charset",
        inPart(umlaut, 0, () =>
          "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nf=FCr"),
        { text: "f\u00fcr", attachments: [] }
      ),
      fine(
        "a subject's spaces as others",
        setHeader(composed, "Subject", `=?utf-8?B?${base64(Buffer.from("Gr\u00fc\u00dfe \u2003und mehr"))}?=`),
        { subject: "Gr\u00fc\u00dfe\u00a0und  mehr", attachments: [] }
      ),
      bad(
        "a subject in another normal form",
        setHeader(
          composed,
          "Subject",
          `=?utf-8?B?${base64(Buffer.from("Gr\u00fc\u00dfe\u00a0und  mehr".normalize("NFD")))}?=`
        ),
        "header-changed"
      ),
      bad(
        "a vertical tab in place of a subject's space",
        subject("=?utf-8?Q?deploy=0B7:_ready_for_you?="),
        "header-changed"
      ),
      bad(
        "a letter beyond ASCII whose lower case is ASCII",
        setHeader(kim, "To", `\u212aim@elsewhere.example, ${bob.address}`),
        "header-changed"
      ),
      bad("the recipients as a group", setHeader(base, "To", `team: ${fullDraft.to.join(", ")};`), "header-changed"),
      bad("a comment beside a recipient", setHeader(base, "Cc", `${carol.address} (mallory)`), "header-changed"),
      fine("recipients in angle brackets", setHeader(base, "Cc", `<${carol.address.toUpperCase()}>`)),
      fine(
        "the author's name in encoded words",
        setHeader(base, "From", `=?utf-8?Q?build=2Ealice?= <${alice.address}>`)
      ),
      fine("the author's name without quotes", setHeader(base, "From", `build.alice <${alice.address}>`)),
      bad("a semicolon after a recipient", setHeader(base, "Cc", `${carol.address};`), "header-changed"),
      bad("a comma after a recipient", setHeader(base, "Cc", `${carol.address},`), "header-changed"),
      bad("a route before a recipient", setHeader(base, "Cc", `<@evil.example:${carol.address}>`), "header-changed"),
      bad(
        "a comment after the author",
        setHeader(base, "From", `"build.alice" <${alice.address}> (mallory)`),
        "header-changed"
      ),
      bad("a line of spaces among the headers", base.replace("Date:", " \r\nDate:"), "malformed"),
      bad(
        "an empty group beside the recipients",
        setHeader(base, "Cc", `${carol.address}, hidden:;`),
        "header-changed"
      ),
      bad(
        "a Reply-To with two addresses",
        setHeader(base, "Reply-To", `${headerOf(base, "Reply-To")}, mallory@evil.example`),
        "header-changed"
      ),
      bad("MIME-Version twice", addHeader(base, "MIME-Version: 1.0"), "structure"),
      bad("a carriage return alone within a header", subject(`deploy 7: ready for you\rX-KM-Other: x`), "malformed"),
      bad("a zero byte within a header", setHeader(base, "Date", "Mon, 23 Nov 2026\u0000 11:59:00 +0000"), "malformed"),
      bad("a line among the headers that is none", base.replace("Date:", "Date"), "malformed"),
      bad("a header's name beyond ASCII", addHeader(base, "X-\u00fc: x"), "malformed"),
      bad("a first line that continues none", ` x\r\n${base}`, "malformed")
    ]
    return cases
  })

export const hardV2Cases = (base: string) =>
  Effect.gen(function*() {
    return [...manifestCases(base), ...(yield* keyCases(base)), ...(yield* transportCases(base))]
  })

const ok = (name: string, raw: string, text: string, reason = ""): Case => ({
  name,
  reader: "bob",
  raw,
  expect: { status: "verified-v1", reason, sender: veteran.sender, text }
})

const sealedTo = (content: string | Uint8Array, lowOrder = false): string => {
  const plain = typeof content === "string" ? Buffer.from(content) : content
  const sealed = sealBox(plain, bob.box.publicKey, boxKeyFromPrivate(counting(0x40))) ?? new Uint8Array()
  if (!lowOrder) return base64(sealed)
  // With this ephemeral key the shared secret is zero for every recipient: anybody could have sealed and can open it.
  const { publicKey } = frank.lowOrder
  const nonce = blake2b.create({ dkLen: 24 }).update(publicKey).update(bob.box.publicKey).digest()
  return base64(Buffer.concat([publicKey, secretBox(plain, nonce, sharedWithLowOrder)]))
}

const box = (body: string, flag = "true") =>
  addHeader(signedV1(body, body.replaceAll("\r\n", "\n")), `X-KM-Encrypted: ${flag}`)

const by = (
  raw: string,
  who: { readonly sender: string; readonly address: string; readonly key: SigningKey },
  body: string
) =>
  setHeader(
    setHeader(setHeader(raw, "From", who.address), "X-KM-Sender-ID", who.sender),
    "X-KM-Signature",
    signText(who.key, body)
  )

const stranger = (from: string, more = "") => `From: ${from}\r\n${more}To: ${bob.address}\r\nSubject: hi\r\n\r\nhello`

export const hardV1Cases = (base: string, sealed: string): ReadonlyArray<Case> => {
  const typed = " a\r\n\r\nb\r\n\r\n"
  return [
    ok("signed as typed, with LF line ends", signedV1(typed, " a\n\nb\n\n"), " a\n\nb", "legacy-form"),
    ok("signed as typed, with CRLF line ends", signedV1(typed, typed), " a\n\nb", "legacy-form"),
    ok("signed with CRLF line ends, without the last", signedV1(typed, " a\r\n\r\nb"), " a\n\nb", "legacy-form"),
    ok("signed with CRLF line ends and one at the end", signedV1(typed, " a\r\n\r\nb\r\n"), " a\n\nb", "legacy-form"),
    ok("a body that begins with a byte order mark", signedV1("\ufeffhello\r\n", "\ufeffhello"), "\ufeffhello"),
    ok(
      "a body that only resembles a context name",
      signedV1("km-mail-version 2", "km-mail-version 2"),
      "km-mail-version 2"
    ),
    ok("a further header of the sender's own", addHeader(base, "X-KM-Other: x"), "one\n\n two  \nthree"),
    ok("X-KM-Encrypted with another value", addHeader(base, "X-KM-Encrypted: no"), "one\n\n two  \nthree"),
    ok(
      "X-KM-Encrypted as an encoded word, in capitals",
      setHeader(sealed, "X-KM-Encrypted", "=?utf-8?Q?YES?="),
      "one\n\n two  \nthree"
    ),
    ok("a sealed box in lines", box(sealedTo("hello").replaceAll(/.{20}/g, "$&\r\n")), "hello"),
    ok("a sealed box with other line ends inside", box(sealedTo("a\r\nb\r\n")), "a\nb"),
    ok("a sealed box whose content is not UTF-8", box(sealedTo(Buffer.from([0x61, 0xff, 0x62]))), "a\ufffdb"),
    bad(
      "a sealed box with white space that is not folding",
      box(sealedTo("hello").replace(/^.{20}/, "$&\u00a0")),
      "cannot-decrypt",
      "encrypted-unreadable"
    ),
    bad(
      "a sealed box from a point of low order",
      box(sealedTo("hello", true)),
      "cannot-decrypt",
      "encrypted-unreadable"
    ),
    bad("a sealed box with a context name inside", box(sealedTo("km-mail-v2\n{}")), "forbidden-body"),
    bad("X-KM-Encrypted twice", addHeader(sealed, "x-km-encrypted: true"), "header-duplicated"),
    bad(
      "a signature without padding",
      setHeader(base, "X-KM-Signature", (headerOf(base, "X-KM-Signature") ?? "").slice(0, -2)),
      "signature-wrong"
    ),
    bad("v1 by a revoked key", by(signedV1("hi", "hi"), dora, "hi"), "key-revoked", "revoked"),
    bad("v1 by a certified key whose time has ended", by(signedV1("hi", "hi"), erin, "hi"), "downgraded"),
    bad("From as a group", setHeader(base, "From", `team: ${veteran.address};`), "from-not-senders"),
    bad("unsigned, From as a group", stranger(`team: ${alice.address};`), "downgraded"),
    bad(
      "unsigned, From with the address as a name",
      stranger(`"${alice.address}" <mallory@evil.example>`),
      "downgraded"
    ),
    bad(
      "unsigned, From with the address in a comment",
      stranger(`mallory@evil.example (${alice.address})`),
      "downgraded"
    ),
    bad(
      "unsigned, From twice, the second of a known sender",
      stranger(`mallory@evil.example`, `From: ${alice.address.toUpperCase()}\r\n`),
      "downgraded"
    ),
    bad(
      "unsigned, Sender of a known sender",
      stranger("mallory@evil.example", `Sender: ${alice.address}\r\n`),
      "downgraded"
    ),
    bad(
      "unsigned, From an address that only ends like a known one",
      stranger(`x.${alice.address}`),
      "no-signature",
      "unsigned"
    ),
    bad("unsigned, From with 100 addresses", stranger(many(100, "a").join(",\r\n ")), "no-signature", "unsigned"),
    bad("unsigned, From with 101 addresses", stranger(many(101, "a").join(",\r\n ")), "downgraded"),
    bad(
      "unsigned, with a line among the headers that is none",
      stranger("mallory@evil.example", "hello\r\n"),
      "no-signature",
      "unsigned"
    ),
    bad(
      "unsigned, with a header of another's making",
      stranger("mallory@evil.example", "X-KM-Other: x\r\n"),
      "no-signature",
      "unsigned"
    ),
    bad("v1 with a line among the headers that is none", base.replace("Date:", "Date"), "malformed")
  ]
}
