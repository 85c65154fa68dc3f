import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { canonicalBody, signedForms } from "../../../plugins/email/protocol/bodyText.ts"
import { boxKeyFromPrivate, openSealedBox, sealBox } from "../../../plugins/email/protocol/naclBox.ts"
import { readMail } from "../../../plugins/email/protocol/readMail.ts"
import { makeSeenMemory } from "../../../plugins/email/protocol/SeenMail.ts"
import { writeV1, writeV2 } from "../../../plugins/email/protocol/writeMail.ts"
import { signingKeyFromSeed, signText } from "../../../runtime/domain/identity/Ed25519.ts"
import { headerOf, partsOf, split } from "./rewriting.ts"
import { bob, carol, counting, directory, install, now, plain, read, readerOf, text, veteran } from "./world.ts"

const bodies = [
  {
    forms: ["hello", "hello\n", "hello\r\n"],
    canonical: "hello",
    signature: "4af8qUqDUSeIW5ni66cz1u5b9dxGPtg4Xrbx3KoRF8DxUXUKEPRvWzeWqRIDV49wLIXGfDNLVomlFihNSZ9xDw=="
  },
  {
    forms: ["a\r\nb\r\n\r\n", "a\nb"],
    canonical: "a\nb",
    signature: "iN2HIoq82ZEw5g/zaDEb8YhiPqSjyc2EmfAvXUe6MpmgQn78EhapEvVjNwJ2bxXS4MyD9Qx5AhtL/RPYlk6iDw=="
  },
  {
    forms: [" trailing \n"],
    canonical: " trailing ",
    signature: "Qpg+cZIWcwqjShZHvEMcwNg4i+d/G2xcD9TIum4xPRld9TzVRbvuxP7+ZqahiUEXMfpUs4CoCGqDGv//0YIlAQ=="
  },
  {
    forms: ["", "\n", "\r\n\r\n"],
    canonical: "",
    signature: "nKU1eVMGVNXD33cInvRe2mE+L+32cOlr7axGOVBOWEXvS5XVeTB3Iz3RaBeyUy6cVSWHKnOkrXS3WTaangXBAg=="
  }
]

const sealedText = "eaYx7t4b+cmPEgMs3q3Q56B5OY/HhriMyEbsia+FpRrDK/8Q1RPwtw0pSNsLopvV5ST42dbaqEdR"
const sealedSignature = "pUZ5I8WlnrVmDgjScGiN+SZzlbIzn7jC0np45YRGN5A3cJeqg9wBLPdjufUziszZZNgYAVtLiRwnpXH2KY3eBw=="

const message = (body: string, signature: string, more = "") =>
  `From: ${veteran.address}\r\nTo: ${bob.address}\r\nSubject: s\r\nX-KM-Sender-ID: ${veteran.sender}\r\n`
  + `X-KM-Signature: ${signature}\r\n${more}MIME-Version: 1.0\r\nContent-Type: text/plain; charset="UTF-8"\r\n\r\n${body}`

describe("the reference's vectors", () => {
  const key = signingKeyFromSeed(counting(0))

  it("has the reference's public key", () => {
    assert.strictEqual(Buffer.from(key.publicKey).toString("base64"), "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=")
  })

  for (const { canonical, forms, signature } of bodies) {
    for (const form of forms) {
      it.effect(`signs and reads ${JSON.stringify(form)}`, () =>
        Effect.gen(function*() {
          assert.strictEqual(canonicalBody(form), canonical)
          assert.strictEqual(signText(key, canonicalBody(form)), signature)
          const verdict = yield* read(message(form, signature))
          assert.deepInclude(verdict, { status: "verified-v1", reason: "" })
          assert.strictEqual(verdict.mail?.text, canonical)
          const draft = { from: { address: veteran.address }, to: [bob.address], subject: "s", text: form }
          const written = text((yield* writeV1(draft, veteran, { createdSeconds: now })).raw)
          assert.strictEqual(headerOf(written, "X-KM-Signature"), signature)
          assert.strictEqual(headerOf(written, "X-KM-Sender-ID"), veteran.sender)
        }))
    }
  }

  it("seals and opens as libsodium does", () => {
    const recipient = boxKeyFromPrivate(counting(0x20))
    assert.strictEqual(
      Buffer.from(recipient.publicKey).toString("base64"),
      "NYBy1jZYgNGu6jKa35EhODhR7SGijjt16WXQ0s0WYlQ="
    )
    const sealed = sealBox(Buffer.from("hello box"), recipient.publicKey, boxKeyFromPrivate(counting(0x40)))
    assert.isDefined(sealed)
    assert.strictEqual(Buffer.from(sealed).toString("base64"), sealedText)
    const opened = openSealedBox(sealed, recipient)
    assert.isDefined(opened)
    assert.strictEqual(Buffer.from(opened).toString(), "hello box")
    for (let n = 0; n < sealed.length; n++) {
      const changed = Uint8Array.from(sealed)
      changed[n] = (changed[n] ?? 0) ^ 1
      assert.isUndefined(openSealedBox(changed, recipient), `byte ${n}`)
    }
    assert.isUndefined(openSealedBox(sealed, bob.box))
    assert.isUndefined(openSealedBox(sealed.subarray(0, 47), recipient))
    assert.strictEqual(signText(key, sealedText), sealedSignature)
  })

  it.effect("reads the reference's encrypted body, wrapped or not", () =>
    Effect.gen(function*() {
      const reader = { ...readerOf(bob), boxes: [bob.box, boxKeyFromPrivate(counting(0x20))] }
      const raw = message(`${sealedText}\r\n`, sealedSignature, "X-KM-Encrypted: true\r\n")
      const verdict = yield* readMail(Buffer.from(raw), reader, directory, makeSeenMemory(), "d")
      assert.deepInclude(verdict, { status: "verified-v1", encrypted: true })
      assert.strictEqual(verdict.mail?.text, "hello box")
      const wrapped = `${sealedText.slice(0, 40)}\n${sealedText.slice(40)}`
      const other = message(wrapped.replaceAll("\n", "\r\n"), signText(key, wrapped), "X-KM-Encrypted: true\r\n")
      const again = yield* readMail(Buffer.from(other), reader, directory, makeSeenMemory(), "d")
      assert.strictEqual(again.mail?.text, "hello box")
      assert.deepInclude(yield* read(raw, carol), { status: "encrypted-unreadable", reason: "cannot-decrypt" })
    }))

  it.effect("verifies what the reference's shell tool signs: its input file as it is", () =>
    Effect.gen(function*() {
      for (const file of ["a\nb\n", "a\r\nb\r\n", "a\nb\n\n"]) {
        const verdict = yield* read(message(file.replaceAll(/\r?\n/g, "\r\n"), signText(key, file)))
        assert.deepInclude(verdict, { status: "verified-v1", reason: "legacy-form" }, JSON.stringify(file))
        assert.strictEqual(verdict.mail?.text, "a\nb")
      }
      assert.deepInclude(yield* read(message("a\r\nb\r\n", signText(key, "a\nb  "))), { status: "invalid" })
      assert.strictEqual(signedForms("x\r\n")[0], "x")
    }))

  it.effect("travels so that a reader without any decoding verifies it", () =>
    Effect.gen(function*() {
      const draft = {
        from: { address: veteran.address },
        to: [bob.address],
        subject: "s",
        text: `Grüße\n  two\ttabs \n${"long ".repeat(60)}\n.\nFrom here\n`
      }
      const raw = text((yield* writeV1(draft, veteran, { createdSeconds: now })).raw)
      const [part = ""] = partsOf(raw)
      const body = split(part).body
      assert.strictEqual(canonicalBody(body), canonicalBody(draft.text))
      assert.strictEqual(signText(key, canonicalBody(body)), headerOf(raw, "X-KM-Signature"))
      assert.include(raw, "Content-Transfer-Encoding: 8bit")
      // The reference's shell reader looks for the value on the header's own line.
      assert.match(raw, /^X-KM-Signature: \S{88}\r$/m)
      assert.isBelow(Math.max(...raw.split("\r\n").map((line) => Buffer.byteLength(line))), 999)
    }))
})

describe("our v2 mail for the older readers", () => {
  it.effect("carries the v1 signature of the vectors over a body that needs no decoding", () =>
    Effect.gen(function*() {
      const signer = { install, sender: veteran.sender, key: veteran.key }
      for (const { canonical, forms: [form = ""], signature } of bodies) {
        const draft = { from: { address: veteran.address }, to: [bob.address], subject: "s", text: form }
        const [mail] = yield* writeV2(draft, signer, plain)
        const raw = text(mail?.raw ?? new Uint8Array())
        assert.strictEqual(headerOf(raw, "X-KM-Sender-ID"), veteran.sender)
        assert.strictEqual(headerOf(raw, "X-KM-Signature"), signature)
        assert.match(raw, /^X-KM-Signature: \S{88}\r$/m)
        assert.strictEqual(canonicalBody(split(partsOf(raw)[0] ?? "").body), canonical)
      }
      // What cannot be said in v1 is not signed in it either.
      for (
        const body of ["km-bridge-v2\nx", "{\"version\":1,\"action\":1,\"nonce\":1,\"sender_id\":1,\"timestamp\":1}"]
      ) {
        const draft = { from: { address: veteran.address }, to: [bob.address], subject: "s", text: body }
        const [mail] = yield* writeV2(draft, signer, plain)
        assert.notInclude(text(mail?.raw ?? new Uint8Array()), "X-KM-Signature:")
      }
    }))
})

describe("what v1 must not sign and not believe", () => {
  const bodiesRefused = [
    "km-mail-v2\n{}",
    "km-bridge-v2\nx",
    "km-certificate-v1\n{}",
    "km-something-new-v7\n",
    JSON.stringify({
      action: "post",
      blocks: "",
      body: "",
      channel: "C1",
      nonce: "n",
      sender_id: "sb-1",
      timestamp: 1,
      version: 1
    })
  ]
  it.effect("refuses bodies that are something else under the same key", () =>
    Effect.gen(function*() {
      for (const body of bodiesRefused) {
        const draft = { from: { address: veteran.address }, to: [bob.address], subject: "s", text: body }
        const refused = yield* Effect.flip(writeV1(draft, veteran, { createdSeconds: now }))
        assert.strictEqual(refused.reason, "forbidden-body")
        const verdict = yield* read(message(body, signText(veteran.key, canonicalBody(body))))
        assert.deepInclude(verdict, { status: "invalid", reason: "forbidden-body" }, body)
      }
      const harmless = yield* read(message("{\"action\":1}", signText(veteran.key, "{\"action\":1}")))
      assert.strictEqual(harmless.status, "verified-v1")
    }))

  it.effect("refuses them inside a sealed box too", () =>
    Effect.gen(function*() {
      for (
        const [body, status] of [
          ...bodiesRefused.map((one) => [one, "invalid"] as const),
          ["fine", "verified-v1"] as const
        ]
      ) {
        const sealed = sealBox(Buffer.from(body), bob.box.publicKey, boxKeyFromPrivate(counting(3)))
        const wire = Buffer.from(sealed ?? []).toString("base64")
        const verdict = yield* read(message(wire, signText(veteran.key, wire), "X-KM-Encrypted: true\r\n"))
        assert.strictEqual(verdict.status, status, body)
      }
    }))

  it.effect("binds From to the signer", () =>
    Effect.gen(function*() {
      const good = message("hello", signText(veteran.key, "hello"))
      for (
        const from of [
          bob.address,
          `"${veteran.address}" <${bob.address}>`,
          `${veteran.address}, ${bob.address}`,
          `Group: ${veteran.address};`
        ]
      ) {
        const verdict = yield* read(good.replace(`From: ${veteran.address}`, `From: ${from}`))
        assert.deepInclude(verdict, { status: "invalid", reason: "from-not-senders" }, from)
      }
      assert.strictEqual(
        (yield* read(good.replace("From:", "From: \"Some One\" <").replace("example\r\n", "example>\r\n"))).status,
        "verified-v1"
      )
    }))

  it.effect("takes half a signature for a changed message, not for a stranger's", () =>
    Effect.gen(function*() {
      const good = message("hello", signText(veteran.key, "hello"))
      for (const line of [/X-KM-Sender-ID: .*\r\n/, /X-KM-Signature: .*\r\n/]) {
        assert.deepInclude(yield* read(good.replace(line, "")), { status: "invalid", reason: "header-missing" })
      }
      const bare = good.replaceAll(/X-KM-.*\r\n/g, "")
      assert.deepInclude(yield* read(bare), { status: "invalid", reason: "downgraded" })
      assert.deepInclude(yield* read(bare.replace(veteran.address, "person@elsewhere.example")), { status: "unsigned" })
    }))
})
