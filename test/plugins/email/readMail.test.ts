/** Which form a message has, who is asked about it, and what a promise or a memory makes of its verdict. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { makeSeenMemory } from "../../../plugins/email/protocol/SeenMail.ts"
import type { KnownSender } from "../../../plugins/email/protocol/SenderDirectory.ts"
import { writeV1, writeV2 } from "../../../plugins/email/protocol/writeMail.ts"
import { addHeader, manifestIn, resign, setHeader, withoutHeader } from "./rewriting.ts"
import { fullDraft } from "./tampering.ts"
import { alice, bob, carol, directory, directoryOf, now, plain, read, text, veteran } from "./world.ts"

const written = Effect.map(writeV2(fullDraft, alice.signer, plain), (mails) => text(mails[0]?.raw ?? new Uint8Array()))
const old = Effect.map(
  writeV1(
    { from: { address: veteran.address }, to: [bob.address], subject: "s", text: "hello" },
    veteran,
    { createdSeconds: now }
  ),
  ({ raw }) => text(raw)
)
const promising = (promises: KnownSender["promises"]): KnownSender => ({ ...alice.known, promises })
const said = Effect.fnUntraced(function*(raw: string, known = directory) {
  const { form, promised, reason, status } = yield* read(raw, bob, { directory: known })
  return [status, reason, form, promised]
})

const many = (count: number) => Array.from({ length: count }, (_, n) => `a${n}@x.example`).join(",\r\n ")

const long = (length: number) => `From: ${"x".repeat(length)}\r\n\r\nx`

const hidden = (value: string) => said(`Subject: ${value}\r\nX: y\r\n\r\nx`)

describe("the author of mail that proves nothing", () => {
  it.effect("is refused where somebody of that address always signs, by the strongest promise of all who are named", () =>
    Effect.gen(function*() {
      const known = directoryOf([
        [promising("unsigned"), ["never@x.example"]],
        [promising("v1"), ["old@x.example"]],
        [promising("v2"), ["new@x.example"]]
      ])
      const cases = [
        ["stranger@x.example", "unsigned", "no-signature", undefined],
        ["never@x.example", "unsigned", "no-signature", "unsigned"],
        ["old@x.example", "invalid", "downgraded", "v1"],
        ["new@x.example", "invalid", "downgraded", "v2"],
        ["never@x.example, new@x.example", "invalid", "downgraded", "v2"],
        ["new@x.example, never@x.example", "invalid", "downgraded", "v2"],
        ["never@x.example, old@x.example", "invalid", "downgraded", "v1"],
        ["stranger@x.example, never@x.example", "unsigned", "no-signature", "unsigned"]
      ] as const
      for (const [from, status, reason, promised] of cases) {
        assert.deepStrictEqual(yield* said(`From: ${from}\r\n\r\nx`, known), [status, reason, "none", promised], from)
      }
    }))

  it.effect("is one of a hundred at most, in 64 KiB", () =>
    Effect.gen(function*() {
      const fine = ["unsigned", "no-signature", "none", undefined]
      const over = ["invalid", "downgraded", "none", undefined]
      assert.deepStrictEqual(yield* said(`From: ${many(100)}\r\n\r\nx`), fine)
      assert.deepStrictEqual(yield* said(`From: ${many(101)}\r\n\r\nx`), over)
      assert.deepStrictEqual(yield* said(long(64 * 1024)), fine)
      assert.deepStrictEqual(yield* said(long(64 * 1024 + 1)), over)
    }))

  it.effect("is looked for within other headers only where the head is not plain", () =>
    Effect.gen(function*() {
      for (
        const value of [
          "a\rFrom: ",
          "a\rSender: ",
          "a\0from\u0001: ",
          "a\rFrom: x@y.example\rSender:",
          "a\rFrom:x@y.example.Sender:"
        ]
      ) {
        assert.deepStrictEqual(
          (yield* hidden(`${value}${alice.address}`)).slice(0, 2),
          ["invalid", "downgraded"],
          value
        )
      }
      for (const value of ["a From: ", "a\rTo: ", "a\rXFrom: ", "a\rFromX: "]) {
        assert.deepStrictEqual(
          (yield* hidden(`${value}${alice.address}`)).slice(0, 2),
          ["unsigned", "no-signature"],
          value
        )
      }
    }))
})

const stranger = (raw: string) => setHeader(raw, "From", "x@y.example")

describe("the form of a message", () => {
  it.effect("is told by its headers, each of which must come with the other", () =>
    Effect.gen(function*() {
      const [v2, v1] = [yield* written, yield* old]
      const missing = ["invalid", "header-missing"]
      assert.deepStrictEqual(yield* said(v2), ["verified", "", "v2", "v2"])
      assert.deepStrictEqual(yield* said(v1), ["verified-v1", "", "v1", "v1"])
      assert.deepStrictEqual(yield* said(withoutHeader(v1, "X-KM-Sender-ID")), [...missing, "v1", undefined])
      assert.deepStrictEqual(yield* said(withoutHeader(v1, "X-KM-Signature")), [...missing, "v1", undefined])
      assert.deepStrictEqual(yield* said("From: x@y.example\r\nX-KM-Encrypted: true\r\n\r\nx"), [
        ...missing,
        "v1",
        undefined
      ])
      assert.deepStrictEqual(yield* said("From: x@y.example\r\nX-KM-Manifest: x\r\n\r\nx"), [
        ...missing,
        "v2",
        undefined
      ])
      assert.deepStrictEqual(yield* said(""), ["invalid", "malformed", "none", undefined])
      assert.isUndefined((yield* read("")).mail)
      assert.deepStrictEqual((yield* said(addHeader(v2, "no header"))).slice(0, 3), ["invalid", "malformed", "v2"])
      assert.deepStrictEqual((yield* said(addHeader(v1, "no header"))).slice(0, 3), ["invalid", "malformed", "v1"])
      assert.deepStrictEqual(yield* said("From: x@y.example\r\nno header\r\n\r\nx"), [
        "unsigned",
        "no-signature",
        "none",
        undefined
      ])
    }))

  it.effect("has each header of ours once, and none that is not known where all are signed", () =>
    Effect.gen(function*() {
      const [v2, v1] = [yield* written, yield* old]
      assert.deepStrictEqual((yield* said(addHeader(v1, "X-KM-Custom: 1"))).slice(0, 2), ["verified-v1", ""])
      assert.deepStrictEqual((yield* said(addHeader(v1, "X-KM-Custom: 1\r\nX-KM-Custom: 2"))).slice(0, 2), [
        "verified-v1",
        ""
      ])
      assert.deepStrictEqual((yield* said(addHeader(v2, "X-KM-Custom: 1"))).slice(0, 2), ["invalid", "header-unknown"])
      for (const name of ["X-KM-Sender-ID", "X-KM-Signature"]) {
        assert.deepStrictEqual((yield* said(addHeader(v1, `${name}: x`))).slice(0, 2), ["invalid", "header-duplicated"])
      }
      assert.deepStrictEqual((yield* said(addHeader(v1, "X-KM-Encrypted: no\r\nX-KM-Encrypted: no"))).slice(0, 2), [
        "invalid",
        "header-duplicated"
      ])
    }))

  it.effect("names a sender: one that is nobody, or of another install, is a stranger unless the author always signs", () =>
    Effect.gen(function*() {
      const [v2, v1] = [yield* written, yield* old]
      for (const sender of ["sb-0000dead", "nobody at all", "SB-0001D0D0"]) {
        const named = setHeader(v1, "X-KM-Sender-ID", sender)
        assert.deepStrictEqual(yield* said(named), ["invalid", "downgraded", "v1", "v1"], sender)
        assert.deepStrictEqual(
          yield* said(stranger(named)),
          ["unknown-sender", "sender-unknown", "v1", undefined],
          sender
        )
      }
      const elsewhere = resign(v2, alice.key, { install: "other" as never })
      assert.deepStrictEqual(yield* said(elsewhere), ["invalid", "downgraded", "v2", "v2"])
      assert.deepStrictEqual(yield* said(stranger(elsewhere)), ["unknown-sender", "other-install", "v2", undefined])
      const none = directoryOf([])
      assert.deepStrictEqual(yield* said(v2, none), ["unknown-sender", "sender-unknown", "v2", undefined])
      const keyless = directoryOf([[{ ...alice.known, keys: carol.known.keys }, []]])
      assert.deepStrictEqual(yield* said(v2, keyless), ["unknown-sender", "key-unknown", "v2", undefined])
    }))
})

describe("the memory of what was verified", () => {
  it.effect("tells the same delivery, the same copy and another copy apart, a day longer than the message lives", () =>
    Effect.gen(function*() {
      const raw = yield* written
      const seen = makeSeenMemory()
      const kept: Array<unknown> = []
      const noting = {
        record: (entry: Parameters<typeof seen.record>[0]) => {
          kept.push(entry)
          return seen.record(entry)
        }
      }
      const verdict = (given: string, delivery: string) =>
        Effect.map(read(given, bob, { seen: noting, delivery }), ({ duplicate, reason, sender, status }) => [
          status,
          reason,
          duplicate,
          sender
        ])
      assert.deepStrictEqual(yield* verdict(raw, "1"), ["verified", "", false, alice.sender])
      assert.deepStrictEqual(yield* verdict(raw, "1"), ["verified", "", false, alice.sender])
      assert.deepStrictEqual(yield* verdict(raw, "2"), ["verified", "", true, alice.sender])
      const other = resign(raw, alice.key, { hop: 2 })
      assert.deepStrictEqual(yield* verdict(other, "3"), ["replayed", "seen-with-other-content", false, alice.sender])
      const { expires, nonce } = manifestIn(raw)
      assert.deepInclude(kept[0], {
        sender: alice.sender,
        nonce,
        delivery: "1",
        keepUntilSeconds: expires + 24 * 3600
      })
      // What is not verified is not remembered.
      yield* verdict(raw.replace("second line", "another"), "4")
      assert.lengthOf(kept, 4)
    }))
})
