/** How a message is put into lines: what travels as it is, what is encoded, what is folded. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { parseMail, tokenIn } from "../../../plugins/email/protocol/MimeReader.ts"
import { foldable, type OutgoingMime, writeMime } from "../../../plugins/email/protocol/MimeWriter.ts"

const mail: OutgoingMime = {
  from: { address: "a@km.example" as never, name: "Ada" },
  to: ["b@km.example" as never],
  cc: [],
  replyTo: null,
  subject: "hello",
  inReplyTo: null,
  references: [],
  id: "<1@km.example>",
  dateSeconds: 1_700_000_000,
  extra: [],
  text: "hello",
  attachments: [],
  boundary: new Uint8Array(8).fill(1)
}
const written = (changes: Partial<OutgoingMime> = {}) =>
  Effect.map(writeMime({ ...mail, ...changes }), (raw) => Buffer.from(raw).toString("utf8"))
const headOf = (raw: string) => raw.slice(0, raw.indexOf("\r\n\r\n"))
const encodingOf = (text: string) =>
  Effect.map(written({ text }), (raw) => /Content-Transfer-Encoding: (\w+)/.exec(raw)?.[1])

describe("a message's head", () => {
  it.effect("has what there is, and nothing for what there is not", () =>
    Effect.gen(function*() {
      const bare = headOf(yield* written())
      for (const name of ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"]) {
        assert.lengthOf(bare.match(new RegExp(`^${name}: `, "gmi")) ?? [], 1, name)
      }
      for (const name of ["Cc", "Reply-To", "In-Reply-To", "References"]) {
        assert.notMatch(bare, new RegExp(`^${name}:`, "mi"))
      }
      assert.include(bare, "Content-Type: multipart/mixed; boundary=\"=_km-0101010101010101-Part_1\"")
      assert.match(bare, /^Date: Tue, 14 Nov 2023 22:13:20 \+0000\r?$/m)
      assert.match(bare, /^From: Ada <a@km\.example>\r?$/m)
      const full = headOf(
        yield* written({
          cc: ["c@km.example", "d@km.example"] as never,
          replyTo: "r@km.example" as never,
          inReplyTo: "<0@km.example>",
          references: ["<x@km.example>", "<0@km.example>"],
          extra: [["X-KM-Sender-ID", "sb-1"], ["X-KM-Manifest", foldable("m".repeat(200))], [
            "X-KM-Signature",
            "s".repeat(88)
          ]]
        })
      )
      for (
        const line of [
          "Cc: c@km.example, d@km.example",
          "Reply-To: r@km.example",
          "In-Reply-To: <0@km.example>",
          "References: <x@km.example> <0@km.example>",
          "X-KM-Sender-ID: sb-1",
          // Without a space it is on one line.
          `X-KM-Signature: ${"s".repeat(88)}`
        ]
      ) {
        assert.include(full.split("\r\n"), line)
      }
      assert.match(full, /^X-KM-Manifest: m{48}\r\n m{48}\r\n m{48}\r\n m{48} m{8}\r?$/m)
    }))

  it.effect("carries every subject so that it is read as it was written, in words of 75 octets at most", () =>
    Effect.gen(function*() {
      const open = ["", "hello", "a b", "x".repeat(399)]
      const words = [" a", "a ", "a  b", "=?utf-8?Q?a?=", "a =? b", "x".repeat(400), "grüße", "é".repeat(300), "\u00a0"]
      for (const subject of [...open, ...words]) {
        const raw = yield* written({ subject })
        const head = headOf(raw)
        assert.strictEqual(/^Subject:.*=\?UTF-8\?/im.test(head), words.includes(subject), subject)
        for (const [word] of head.matchAll(/=\?UTF-8\?[^?]*\?[^?]*\?=/gi)) assert.isAtMost(word.length, 75)
        for (const line of head.split("\r\n")) assert.isAtMost(line.length, 998)
      }
    }))

  it("is folded where it has spaces, every 48 characters", () => {
    assert.strictEqual(foldable(""), "")
    for (const [length, pieces] of [[1, [1]], [48, [48]], [49, [48, 1]], [96, [48, 48]], [97, [48, 48, 1]]] as const) {
      assert.deepStrictEqual(foldable("x".repeat(length)).split(" ").map((piece) => piece.length), [...pieces])
    }
  })
})

const named = (count: number) => ({
  attachments: Array.from(
    { length: count },
    (_, n) => ({ name: `${n}${"文".repeat(190)}`, type: "text/plain", bytes: new Uint8Array(1) })
  )
})

describe("a message's text", () => {
  it.effect("travels as it is where every line may, else in base64", () =>
    Effect.gen(function*() {
      const cases = [
        ["", "7bit"],
        ["a\n\tb", "7bit"],
        ["é", "8bit"],
        ["a\u0000b", "base64"],
        ["a\u0008b", "base64"],
        ["a\u000bb", "base64"],
        ["a\u001fb", "base64"],
        ["a\u007fb", "base64"],
        ["x".repeat(998), "7bit"],
        ["x".repeat(999), "base64"],
        [`short\n${"é".repeat(499)}`, "8bit"],
        [`short\n${"é".repeat(500)}`, "base64"],
        ["\n".repeat(999_999), "7bit"],
        ["\n".repeat(1_000_000), "base64"]
      ] as const
      for (const [text, encoding] of cases) {
        assert.strictEqual(yield* encodingOf(text), encoding, JSON.stringify(text.slice(0, 40)))
      }
    }))

  it.effect("and its files are read as they were written", () =>
    Effect.gen(function*() {
      const bytes = Uint8Array.from({ length: 1_000 }, (_, n) => n & 255)
      for (const text of ["", "a\nb", "é\n\nb ", "a\u0000b", `${"x".repeat(1_000)}\nend`]) {
        const attachments = [{ name: "größe =.bin", type: "application/octet-stream", bytes }, {
          name: "b",
          type: "text/plain",
          bytes: new Uint8Array(0)
        }]
        const found = yield* parseMail(
          Buffer.from(yield* written({ text, attachments, extra: [["X-KM-Manifest", foldable("y".repeat(500))]] }))
        )
        assert.isTrue(found.plainHead && found.plainShape)
        assert.strictEqual(found.text?.replaceAll("\r\n", "\n").replace(/\n$/, ""), text.replace(/\n$/, ""))
        assert.deepStrictEqual(found.attachments.map(({ name, type }) => [name, type]), [
          ["größe =.bin", "application/octet-stream"],
          ["b", "text/plain"]
        ])
        assert.deepStrictEqual(found.attachments.map((each) => Buffer.from(each.bytes)), [
          Buffer.from(bytes),
          Buffer.alloc(0)
        ])
        assert.strictEqual(tokenIn(found, "x-km-manifest"), "y".repeat(500))
      }
    }))

  it.effect("is refused where its files' names fill the heads that readers take", () =>
    Effect.gen(function*() {
      assert.include(yield* written(named(100)), "text/plain")
      const refusal = yield* Effect.flip(writeMime({ ...mail, ...named(400) }))
      assert.strictEqual(refusal.reason, "too-large")
      assert.include(refusal.detail, "shorten them or send fewer")
    }))
})
