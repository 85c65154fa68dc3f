/**
 * Writes the published vectors: `node test/vectors/email/generate.ts`. The same input gives the same files, byte for
 * byte; `test/plugins/email/vectors.test.ts` fails when they differ from what is committed.
 */
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { canonicalBody } from "../../../plugins/email/protocol/bodyText.ts"
import { canonicalJson } from "../../../plugins/email/protocol/CanonicalJson.ts"
import {
  encodeManifest,
  manifestJson,
  manifestSha256,
  manifestSignedText
} from "../../../plugins/email/protocol/Manifest.ts"
import { boxKeyFromPrivate, sealBox, secretBox, sharedKey } from "../../../plugins/email/protocol/naclBox.ts"
import { writeV1 } from "../../../plugins/email/protocol/writeMail.ts"
import { signingKeyFromSeed, signText } from "../../../runtime/domain/identity/Ed25519.ts"
import { InstallName } from "../../../runtime/domain/sandbox/Ids.ts"
import {
  duplicateHeader,
  likeSes,
  manifestIn,
  passedOn,
  resign,
  setHeader,
  withoutHeader
} from "../../plugins/email/rewriting.ts"
import { tamperings } from "../../plugins/email/tampering.ts"
import {
  alice,
  bob,
  carol,
  certificate,
  certifier,
  counting,
  install,
  now,
  veteran
} from "../../plugins/email/world.ts"
import { hardV1Cases, hardV2Cases } from "./hardCases.ts"
import { dora, erin, frank, grace, mallory, revocationLists, revocations } from "./parties.ts"
import { sealedCases } from "./sealedCases.ts"
import { bad, bare, base64, type Case, good, rawOf, signedV1, stream, writeFull } from "./writing.ts"

const day = 24 * 3600
const context = {
  about: "Everything that a reader knows in all cases of v1.json and v2.json. Byte strings are standard base64.",
  install,
  now,
  certifierPublicKey: base64(certifier.publicKey),
  senders: [
    ...[alice, bob, carol].map((one) => ({
      sender: one.sender,
      addresses: one.addresses,
      mail: [certificate(one.sender, one.addresses, "mail", one.key)],
      boxes: [certificate(one.sender, [], "mail-box", one.box)]
    })),
    ...[dora, grace].map((one) => ({
      sender: one.sender,
      addresses: [one.address],
      mail: [certificate(one.sender, [one.address], "mail", one.key)],
      boxes: []
    })),
    {
      sender: erin.sender,
      addresses: [erin.address],
      mail: [
        certificate(erin.sender, [erin.address], "mail", erin.key, { notBefore: now - 20 * day, notAfter: now - day })
      ],
      boxes: []
    },
    { sender: frank.sender, addresses: frank.addresses, mail: frank.mail, boxes: frank.boxes },
    { sender: mallory.sender, addresses: [mallory.address], mail: mallory.mail, boxes: [] },
    { sender: "operator", addresses: ["operator@mail.example"], mail: mallory.operatorsMail, boxes: [] }
  ],
  v1Senders: [{ sender: veteran.sender, publicKey: base64(veteran.key.publicKey), addresses: [veteran.address] }],
  revocations,
  readers: {
    bob: { addresses: bob.addresses, boxPrivateKeys: [base64(counting(96)), base64(counting(32))] },
    carol: { addresses: carol.addresses, boxPrivateKeys: [] },
    alice: { addresses: alice.addresses, boxPrivateKeys: [base64(counting(32))] }
  },
  signingSeeds: {
    about: "To write the positive cases again. The certifier's is not needed to read anything.",
    certifier: base64(counting(200)),
    [alice.sender]: base64(counting(0)),
    [veteran.sender]: base64(counting(0))
  }
}

const certified = (one: typeof dora) => ({ install, sender: one.sender, key: one.key })
const from = (one: typeof dora) => ({ ...bare, from: { address: one.address, name: "" } })

const v2Cases = Effect.gen(function*() {
  const base = rawOf((yield* writeFull("base"))[0])
  const sealedMails = yield* writeFull("sealed", { to: [bob.address], cc: [], bcc: [alice.address] }, {
    encryption: "required"
  })
  const sealed = rawOf(sealedMails[0])
  const umlauts = yield* writeFull("umlauts", {
    ...bare,
    subject: "Grüße: ✅ =?utf-8?Q?x?=",
    text: "Zeile ü \n\n\ttab\n.\n"
  })
  const manifest = manifestIn(base)
  const recorded = {
    sender: manifest.sender,
    nonce: manifest.nonce,
    manifestSha256: manifestSha256(manifestJson(manifest))
  }
  const blind = yield* writeFull("blind", { ...bare, bcc: [carol.address] })
  const strange = { ...alice.signer, install: InstallName.make("other") }
  const anyKey = signingKeyFromSeed(counting(99))
  const cases: ReadonlyArray<Case> = [
    { name: "plain message with two attachments", reader: "bob", raw: base, expect: good },
    { name: "the same, read by the Cc recipient", reader: "carol", raw: base, expect: good },
    ...(["kept", "quoted-printable", "base64"] as const).map((encoding): Case => ({
      name: `rewritten as by SES, parts ${encoding}`,
      reader: "bob",
      raw: likeSes(base, encoding),
      expect: good
    })),
    { name: "rewritten as by SES, with LF line ends", reader: "bob", raw: likeSes(base, "kept", "\n"), expect: good },
    {
      name: "text and subject beyond ASCII",
      reader: "bob",
      raw: rawOf(umlauts[0]),
      expect: { ...good, subject: "Grüße: ✅ =?utf-8?Q?x?=", text: "Zeile ü \n\n\ttab\n.", attachments: [] }
    },
    {
      name: "a body that must not be v1-signed has no X-KM-Signature",
      reader: "bob",
      raw: rawOf((yield* writeFull("context", { ...bare, text: "km-bridge-v2\nx" }))[0]),
      expect: { ...good, text: "km-bridge-v2\nx", attachments: [] }
    },
    {
      name: "blind copy, read by the blind recipient",
      reader: "carol",
      raw: rawOf(blind[1]),
      expect: { ...good, attachments: [] }
    },
    {
      name: "open copy, read by the blind recipient",
      reader: "carol",
      raw: rawOf(blind[0]),
      expect: { status: "invalid", reason: "not-a-recipient" }
    },
    { name: "encrypted message", reader: "bob", raw: sealed, expect: good },
    {
      name: "encrypted message, rewritten as by SES",
      reader: "bob",
      raw: likeSes(sealed, "quoted-printable"),
      expect: good
    },
    { name: "encrypted message, blind copy", reader: "alice", raw: rawOf(sealedMails[1]), expect: good },
    {
      name: "encrypted for Bob, and a copy of it boxed to somebody else",
      reader: "bob",
      raw: rawOf(
        (yield* writeFull("sealed-carol", { ...bare, to: [carol.address], cc: [bob.address] }, {
          encryption: "required",
          boxOf: () => ({ keyId: carol.box.keyId, publicKey: carol.box.publicKey })
        }))[0]
      ),
      expect: { status: "encrypted-unreadable", reason: "no-key-for-reader" }
    },
    {
      name: "encrypted with a key that the sender's directory entry does not have",
      reader: "bob",
      raw: rawOf(
        (yield* writeFull("sealed-strange", bare, { encryption: "required" }, {
          ...alice.signer,
          box: boxKeyFromPrivate(counting(9))
        }))[0]
      ),
      expect: { status: "unknown-sender", reason: "key-unknown" }
    },
    {
      name: "somebody's sealed content, boxed and signed anew by its recipient",
      reader: "alice",
      raw: passedOn(
        rawOf((yield* writeFull("sealed-carol-bob", bare, { encryption: "required" }, carol.signer, carol))[0]),
        bob,
        carol.box,
        alice
      ),
      expect: { status: "invalid", reason: "inner-differs" }
    },
    {
      name: "expired",
      reader: "bob",
      raw: rawOf((yield* writeFull("expired", bare, { createdSeconds: now - 3600, lifeSeconds: 3600 }))[0]),
      expect: { status: "expired", reason: "expired" }
    },
    {
      name: "in its last second",
      reader: "bob",
      raw: rawOf((yield* writeFull("last", bare, { createdSeconds: now - 3600, lifeSeconds: 3601 }))[0]),
      expect: { ...good, attachments: [] }
    },
    {
      name: "written six minutes in the future",
      reader: "bob",
      raw: rawOf((yield* writeFull("future", bare, { createdSeconds: now + 360 }))[0]),
      expect: { status: "invalid", reason: "created-in-future" }
    },
    {
      name: "lives too long",
      reader: "bob",
      raw: resign(base, alice.key, { expires: now + 31 * day }),
      expect: { status: "invalid", reason: "manifest-unreadable" }
    },
    {
      name: "signed by a revoked key",
      reader: "bob",
      raw: rawOf((yield* writeFull("revoked", from(dora), {}, certified(dora)))[0]),
      expect: { status: "revoked", reason: "key-revoked" }
    },
    {
      name: "signed after the key's certificate ended",
      reader: "bob",
      raw: rawOf((yield* writeFull("ended", from(erin), {}, certified(erin)))[0]),
      expect: { status: "expired", reason: "key-not-valid-then" }
    },
    {
      name: "signed while the certificate was valid, read later",
      reader: "bob",
      raw: rawOf((yield* writeFull("then", from(erin), { createdSeconds: now - 2 * day }, certified(erin)))[0]),
      expect: { ...good, sender: erin.sender, attachments: [] }
    },
    {
      name: "signed by a key that nobody certified",
      reader: "bob",
      raw: rawOf((yield* writeFull("stranger", bare, {}, { ...alice.signer, key: anyKey }))[0]),
      expect: { status: "invalid", reason: "downgraded" }
    },
    {
      name: "signed by a key that nobody certified, from an address that nobody here has",
      reader: "bob",
      raw: rawOf(
        (yield* writeFull("stranger", { ...bare, from: { address: "mallory@evil.example" } }, {}, {
          ...alice.signer,
          key: anyKey
        }))[0]
      ),
      expect: { status: "unknown-sender", reason: "key-unknown" }
    },
    {
      name: "of another install, from an address that nobody here has",
      reader: "bob",
      raw: rawOf(
        (yield* writeFull("elsewhere", { ...bare, from: { address: "sb-aaaa1111@elsewhere.example" } }, {}, strange))[0]
      ),
      expect: { status: "unknown-sender", reason: "other-install" }
    },
    {
      name: "of another install, from an address of this one",
      reader: "bob",
      raw: rawOf((yield* writeFull("elsewhere", bare, {}, strange))[0]),
      expect: { status: "invalid", reason: "downgraded" }
    },
    {
      name: "from an address that the key may not use",
      reader: "bob",
      raw: rawOf((yield* writeFull("other-from", { ...bare, from: { address: carol.address } }))[0]),
      expect: { status: "invalid", reason: "from-not-senders" }
    },
    { name: "the same copy again", reader: "bob", seen: [recorded], raw: base, expect: { ...good, duplicate: true } },
    {
      name: "the nonce of another message",
      reader: "bob",
      seen: [{ ...recorded, manifestSha256: "0".repeat(64) }],
      raw: base,
      expect: { status: "replayed", reason: "seen-with-other-content" }
    },
    // Three ways to spoil each manifest field are tested; published is one, which needs the reader to check the signature.
    ...tamperings.filter(({ name }) =>
      !/(removed|twice|wrong type), signed by the sender/.test(name) || /manifest\.to /.test(name)
    )
      .map(({ apply, name, reason, status }): Case => ({
        name,
        reader: "bob",
        raw: apply(base),
        expect: { status: status.includes("|") ? "" : status, reason: reason.includes("|") ? "" : reason }
      })),
    ...(yield* hardV2Cases(base)),
    ...(yield* sealedCases)
  ]
  return cases
})

const v1Cases = Effect.gen(function*() {
  const draft = { from: { address: veteran.address }, to: [bob.address], subject: "v1", text: "one\n\n two  \nthree\n" }
  const write = (label: string, more: { readonly text?: string; readonly seal?: boolean } = {}) =>
    Effect.map(
      writeV1({ ...draft, text: more.text ?? draft.text }, veteran, {
        createdSeconds: now,
        random: stream(label),
        ...(more.seal === true ? { sealFor: bob.box.publicKey } : {})
      }),
      rawOf
    )
  const base = yield* write("v1")
  const sealed = yield* write("v1 sealed", { seal: true })
  const goodV1 = { status: "verified-v1", reason: "", sender: veteran.sender, text: "one\n\n two  \nthree" }
  const cases: ReadonlyArray<Case> = [
    { name: "as we write it", reader: "bob", raw: base, expect: goodV1 },
    {
      name: "as the reference's library writes it",
      reader: "bob",
      raw: signedV1("hello\r\n", "hello"),
      expect: { ...goodV1, text: "hello" }
    },
    {
      name: "as the reference's shell tool signs it: with the file's last line feed",
      reader: "bob",
      raw: signedV1("hello\r\n", "hello\n"),
      expect: { ...goodV1, text: "hello", reason: "legacy-form" }
    },
    { name: "empty body", reader: "bob", raw: signedV1("", ""), expect: { ...goodV1, text: "" } },
    { name: "line ends changed on the way", reader: "bob", raw: base.replaceAll("\r\n", "\n"), expect: goodV1 },
    { name: "sealed box", reader: "bob", raw: sealed, expect: goodV1 },
    {
      name: "sealed box for somebody else",
      reader: "alice",
      raw: sealed,
      expect: { status: "encrypted-unreadable", reason: "cannot-decrypt" }
    },
    {
      name: "sealed box, reader without a key",
      reader: "carol",
      raw: sealed,
      expect: { status: "encrypted-unreadable", reason: "no-key-for-reader" }
    },
    bad("body changed", base.replace("three", "four"), "signature-wrong"),
    bad("trailing spaces removed", base.replace(" two  ", " two"), "signature-wrong"),
    bad("signature removed", withoutHeader(base, "X-KM-Signature"), "header-missing"),
    bad("sender removed", withoutHeader(base, "X-KM-Sender-ID"), "header-missing"),
    bad("signature twice", duplicateHeader(base, "X-KM-Signature"), "header-duplicated"),
    bad("sender unknown, author known", setHeader(base, "X-KM-Sender-ID", "sb-0badc0de"), "downgraded"),
    bad("From of another", setHeader(base, "From", "mallory@evil.example"), "from-not-senders"),
    bad(
      "From with two authors",
      setHeader(base, "From", `${veteran.address}, mallory@evil.example`),
      "from-not-senders"
    ),
    bad(
      "both headers removed from a sender's mail who always signs",
      ["X-KM-Signature", "X-KM-Sender-ID"].reduce(withoutHeader, base),
      "downgraded"
    ),
    bad(
      "v1 from a sender who promises v2",
      signedV1("hi", "hi").replace(veteran.address, alice.address).replace(veteran.sender, alice.sender),
      "downgraded"
    ),
    bad("body begins with a context name", signedV1("km-mail-v2\r\n{}", "km-mail-v2\n{}"), "forbidden-body"),
    bad(
      "body is a Slack envelope of the reference",
      signedV1(
        JSON.stringify({ action: "post", nonce: "n", sender_id: veteran.sender, timestamp: now, version: 1 }),
        JSON.stringify({ action: "post", nonce: "n", sender_id: veteran.sender, timestamp: now, version: 1 })
      ),
      "forbidden-body"
    ),
    bad(
      "a stranger's mail",
      `From: person@elsewhere.example\r\nTo: ${bob.address}\r\nSubject: hi\r\n\r\nhello`,
      "no-signature",
      "unsigned"
    ),
    bad("no mail at all", "", "malformed"),
    ...hardV1Cases(base, sealed)
  ]
  return cases
})

const primitives = () => {
  const recipient = boxKeyFromPrivate(counting(0x20))
  const ephemeral = boxKeyFromPrivate(counting(0x40))
  const shared = sharedKey(alice.box.privateKey, bob.box.publicKey) ?? new Uint8Array()
  const nonce = Uint8Array.from({ length: 24 }, (_, n) => n)
  const json = { "\u20ac": [1, true, null], "a\n": "ü\u0007\"\\/", "A": {} }
  return {
    canonicalBody: ["hello", "hello\n", "hello\r\n", "a\r\nb\r\n\r\n", " trailing \n", "", "\n\n", "a\rb\r", "\tx \n y"]
      .map((body) => ({
        body,
        canonical: canonicalBody(body),
        v1Signature: signText(alice.key, canonicalBody(body))
      })),
    v1SigningSeed: base64(counting(0)),
    canonicalJson: { value: json, text: canonicalJson(json) },
    sealedBox: {
      recipientPrivate: base64(counting(0x20)),
      recipientPublic: base64(recipient.publicKey),
      ephemeralPrivate: base64(counting(0x40)),
      plain: "hello box",
      sealed: base64(sealBox(Buffer.from("hello box"), recipient.publicKey, ephemeral) ?? new Uint8Array())
    },
    box: {
      senderPrivate: base64(counting(32)),
      recipientPublic: base64(bob.box.publicKey),
      sharedKey: base64(shared),
      nonce: base64(nonce),
      plain: base64(counting(1)),
      box: base64(secretBox(counting(1), nonce, shared))
    }
  }
}

/** File name to content. */
export const vectors = Effect.gen(function*() {
  const v2 = yield* v2Cases
  const first = manifestIn(v2[0]?.raw ?? "")
  const json = manifestJson(first)
  return {
    "context.json": context,
    "directory.json": {
      about: "Lists of revocations. Whoever has seen `highest` before refuses all mail while a list is not taken.",
      certifierPublicKey: context.certifierPublicKey,
      install,
      cases: revocationLists
    },
    "primitives.json": {
      about: "The parts on their own. Byte strings are standard base64.",
      ...primitives(),
      manifest: {
        about:
          "Of the first case of v2.json: the canonical text, the signed text, what X-KM-Manifest carries, its SHA-256.",
        json,
        signedText: manifestSignedText(json),
        header: encodeManifest(json),
        sha256: manifestSha256(json),
        signature: signText(alice.key, manifestSignedText(json))
      }
    },
    "v1.json": {
      about: "What a reader makes of v1 messages. `reason` is informative; empty where several fit.",
      cases: yield* v1Cases
    },
    "v2.json": { about: "What a reader makes of v2 messages. An empty `status` means: any but verified.", cases: v2 }
  }
})

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const here = fileURLToPath(new URL(".", import.meta.url))
  const files = await Effect.runPromise(vectors)
  for (const [file, content] of Object.entries(files)) {
    writeFileSync(`${here}${file}`, `${JSON.stringify(content, null, 1)}\n`)
  }
}
