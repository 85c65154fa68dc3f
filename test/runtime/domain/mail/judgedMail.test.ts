/** Summaries of judged mail: never more than a row holds, sealed on their own, and honest about what they leave out. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import {
  Judged,
  releasedFrom,
  sealed,
  sealedRelease,
  sealedSummary,
  summaryOf,
  unsealedSummary
} from "../../../../runtime/domain/mail/JudgedMail.ts"
import { SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { maxSummaryBytes } from "../../../../runtime/ports/Mail.ts"

const key = new Uint8Array(32).fill(7)
const owner = SandboxId.make("sb-00000001")
/** What makes JSON or UTF-8 long, in lengths around every bound. */
const units = ["x", "\u0001", "\"", "é", "😀", "\ud800", "\u2028"]
const lengths = [0, 1, 40, 119, 120, 121, 650, 700, 1_299, 1_300, 1_301, 4_000, 40_000]
const texts = units.flatMap((unit) => lengths.map((length) => unit.repeat(length)))

/** Each field walks through the texts at a pace of its own, so that they meet in many ways. */
const judgedMail = (n: number): Judged => {
  const text = (pace: number): string => (texts[(n * pace) % texts.length] ?? "").toWellFormed()
  return {
    status: text(1),
    reason: text(2),
    id: n % 11 === 0 ? null : text(3),
    sender: text(5),
    from: text(7),
    to: [text(1)],
    cc: [],
    replyTo: null,
    subject: text(11),
    inReplyTo: n % 13 === 0 ? null : text(13),
    references: [],
    date: n % 17 === 0 ? null : text(17),
    hop: n,
    encrypted: n % 2 === 0,
    body: text(19),
    attachments: []
  }
}

const reasonOf = (...given: Parameters<typeof unsealedSummary>) => unsealedSummary(...given).reason

const filed = Schema.decodeSync(Judged)({
  ...summaryOf({
    status: "verified",
    reason: "",
    id: "<1@x>",
    sender: owner,
    from: "a@x",
    to: [],
    cc: [],
    replyTo: null,
    subject: "s",
    inReplyTo: null,
    references: [],
    date: null,
    hop: 0,
    encrypted: true,
    body: "b",
    attachments: []
  }),
  to: [],
  cc: [],
  replyTo: null,
  references: [],
  body: "b",
  attachments: []
})

describe("a summary of a judged message", () => {
  it("fits into a row whatever was written, and says when a text is not whole", () => {
    for (let n = 0; n < 20 * texts.length; n++) {
      const judged = judgedMail(n)
      const summary = summaryOf(judged)
      const stored = sealedSummary(key, owner, "d", "inbox", summary)
      assert.isAtMost(Buffer.byteLength(stored), maxSummaryBytes)
      const read = unsealedSummary(key, owner, { id: "d", folder: "inbox", summary: stored })
      assert.deepStrictEqual(read, summary)
      const whole = (["id", "inReplyTo", "from", "subject"] as const).every((name) => summary[name] === judged[name])
      assert.strictEqual(summary.cut, !whole)
    }
  })

  it("passes for nothing else: another message, folder, owner or key, or a whole decision", () => {
    const summary = sealedSummary(key, owner, "d", "inbox", summaryOf(filed))
    assert.strictEqual(reasonOf(key, owner, { id: "d", folder: "inbox", summary }), "")
    const wrong = [
      reasonOf(key, owner, { id: "e", folder: "inbox", summary }),
      reasonOf(key, owner, { id: "d", folder: "quarantine", summary }),
      reasonOf(key, "operator", { id: "d", folder: "inbox", summary }),
      reasonOf(new Uint8Array(32), owner, { id: "d", folder: "inbox", summary }),
      reasonOf(key, owner, { id: "d", folder: "inbox", summary: sealed(key, owner, "d", "inbox", filed) }),
      reasonOf(key, owner, { id: "d", folder: "inbox", summary: "" })
    ]
    assert.deepStrictEqual(new Set(wrong), new Set(["changed-in-store"]))
  })

  it("a release is for one delivery of one owner as it was, and holds only by the owner's key", () => {
    const release = sealedRelease(key, owner, "d", { ...filed, reason: "sender-not-allowed" })
    assert.strictEqual(releasedFrom(key, owner, "d", filed, release), "sender-not-allowed")
    const [seal = "", json = ""] = release.split("\n")
    const wrong = [
      releasedFrom(key, owner, "e", filed, release),
      releasedFrom(key, "operator", "d", filed, release),
      releasedFrom(new Uint8Array(32), owner, "d", filed, release),
      releasedFrom(key, owner, "d", { ...filed, body: "another" }, release),
      releasedFrom(key, owner, "d", { ...filed, status: "invalid" }, release),
      releasedFrom(key, owner, "d", filed, `${seal}\n${json.replace("sender-not-allowed", "")}`),
      releasedFrom(key, owner, "d", filed, sealed(key, owner, "d", "quarantine", filed)),
      releasedFrom(key, owner, "d", filed, "")
    ]
    assert.deepStrictEqual(new Set(wrong), new Set([undefined]))
  })
})
