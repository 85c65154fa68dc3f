import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { makeSeenMemory } from "../../../plugins/email/protocol/SeenMail.ts"
import { writeV2 } from "../../../plugins/email/protocol/writeMail.ts"
import { likeSes, manifestIn, resign } from "./rewriting.ts"
import { fullDraft, tamperings } from "./tampering.ts"
import { alice, bob, carol, encrypted, plain, read, text } from "./world.ts"

const written = Effect.map(writeV2(fullDraft, alice.signer, plain), (mails) => text(mails[0]?.raw ?? new Uint8Array()))
const sealed = Effect.map(
  writeV2({ ...fullDraft, to: [bob.address] }, alice.signer, encrypted),
  (mails) => text(mails[0]?.raw ?? new Uint8Array())
)

/** Whatever was done to it: either it is not verified, or it shows exactly what was signed. */
const isHarmless = Effect.fnUntraced(function*(changed: Uint8Array, original: unknown, what: string) {
  const verdict = yield* read(changed)
  if (verdict.status === "verified") assert.deepStrictEqual(verdict.mail, original, what)
  return verdict.status === "verified"
})

describe("changes anywhere", () => {
  for (const [kind, message] of [["plain", written], ["encrypted", sealed]] as const) {
    it.effect(`flips each byte of a ${kind} message and never shows anything else`, () =>
      Effect.gen(function*() {
        const raw = Buffer.from(yield* message)
        const original = (yield* read(raw)).mail
        assert.isDefined(original)
        let unnoticed = 0
        for (let n = 0; n < raw.length; n++) {
          const changed = Buffer.from(raw)
          changed[n] = (changed[n] ?? 0) ^ (n % 3 === 0 ? 0x20 : 0x01)
          if (yield* isHarmless(changed, original, `byte ${n}`)) unnoticed++
        }
        // Date, Message-ID, letter case of header names, padding: what says nothing that is shown.
        assert.isBelow(unnoticed, raw.length / 4)
      }))

    it.effect(`drops, doubles and moves each line of a ${kind} message`, () =>
      Effect.gen(function*() {
        const raw = yield* message
        const lines = raw.split("\r\n")
        const original = (yield* read(raw)).mail
        for (const [n, line] of lines.entries()) {
          for (
            const other of [
              lines.toSpliced(n, 1),
              lines.toSpliced(n, 0, line),
              [line, ...lines.toSpliced(n, 1)],
              [...lines.toSpliced(n, 1), line],
              lines.slice(0, n)
            ]
          ) yield* isHarmless(Buffer.from(other.join("\r\n")), original, `line ${n}: ${line}`)
        }
      }))
  }
})

describe("a hop that rewrites as SES does", () => {
  for (const encoding of ["kept", "quoted-printable", "base64"] as const) {
    for (const lineEnds of ["\r\n", "\n"] as const) {
      it.effect(`verifies: parts ${encoding}, line ends ${JSON.stringify(lineEnds)}`, () =>
        Effect.gen(function*() {
          const draft = { ...fullDraft, subject: "Grüße: ✅", text: "Zeile eins: ü  \n\n\ttab \n.\nend=\n" }
          const [mail] = yield* writeV2(draft, alice.signer, plain)
          const [hidden] = yield* writeV2({ ...draft, to: [bob.address] }, alice.signer, encrypted)
          for (const raw of [mail?.raw, hidden?.raw]) {
            assert.isDefined(raw)
            const before = yield* read(raw)
            const sent = likeSes(text(raw), encoding, lineEnds)
            assert.notInclude(sent, "=_km")
            const after = yield* read(sent)
            assert.strictEqual(after.status, "verified", after.reason)
            assert.deepStrictEqual(after.mail, before.mail)
            assert.strictEqual(after.mail?.text, "Zeile eins: ü  \n\n\ttab \n.\nend=")
          }
        }))
    }
  }

  it.effect("still catches every change afterwards", () =>
    Effect.gen(function*() {
      const sent = likeSes(yield* written, "kept")
      for (const { apply, name } of tamperings) {
        assert.notStrictEqual((yield* read(apply(sent))).status, "verified", name)
      }
    }))
})

describe("replays", () => {
  it.effect("tells the same delivery, the same copy and another copy apart", () =>
    Effect.gen(function*() {
      const seen = makeSeenMemory()
      const raw = yield* written
      assert.deepInclude(yield* read(raw, bob, { seen, delivery: "1" }), { status: "verified", duplicate: false })
      assert.deepInclude(yield* read(raw, bob, { seen, delivery: "1" }), { status: "verified", duplicate: false })
      assert.deepInclude(yield* read(raw, bob, { seen, delivery: "2" }), { status: "verified", duplicate: true })
      const reused = resign(raw, alice.key, { hop: 2 })
      assert.strictEqual(manifestIn(reused).nonce, manifestIn(raw).nonce)
      assert.deepInclude(yield* read(reused, bob, { seen, delivery: "3" }), {
        status: "replayed",
        reason: "seen-with-other-content"
      })
      // Another reader's memory is its own; a forgery with the nonce must not burn it.
      const fresh = makeSeenMemory()
      const forged = resign(raw, carol.key, { hop: 3 })
      assert.strictEqual((yield* read(forged, bob, { seen: fresh })).status, "invalid")
      assert.deepInclude(yield* read(raw, bob, { seen: fresh }), { status: "verified", duplicate: false })
    }))
})
