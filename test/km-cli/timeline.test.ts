import { assert, describe, it } from "@effect/vitest"
import {
  type Followed,
  isOver,
  missing,
  newLines,
  nothingObserved,
  observe,
  type Observed,
  timelineLines
} from "../../km-cli/demo/Timeline.ts"
import type { RemoteChange } from "../../km-cli/local/workspace/WorkspaceClient.ts"

const followed: Followed = { channel: "C1", ts: "1.000001", threadTs: "1.000001", botUserId: "UBOT" }

const change = (at: number, kind: string, more: Partial<RemoteChange>): RemoteChange => ({
  seq: at,
  at,
  kind,
  channel: "C1",
  data: {},
  ...more
})
const delivery = (at: number, data: Record<string, unknown>) => {
  const { channel: _, ...rest } = change(at, "delivery", { data })
  return rest
}
const reaction = (at: number, name: string, user = "UBOT", ts = "1.000001") =>
  change(at, "reaction_added", { ts, data: { name, user } })
const reply = (at: number, kind: string, text: string, more: Record<string, unknown> = {}) =>
  change(at, kind, { ts: "1.000002", threadTs: "1.000001", data: { message: { user: "UBOT", text, ...more } } })

/** One whole turn, as the workspace tells of it. */
const turn: ReadonlyArray<RemoteChange> = [
  change(1_000, "message", { ts: "1.000001", data: { message: { user: "UADA", text: "hello" } } }),
  delivery(1_030, { event_message_ts: "1.000001", channel: "C1", ok: true, status: 200, millis: 20, attempt: 0 }),
  reaction(1_040, "eyes"),
  reaction(1_050, "hourglass_flowing_sand"),
  reply(1_300, "message", "I look."),
  reply(1_500, "message_changed", "I look.\n🔧 Bash: ls"),
  reply(1_900, "message_changed", "I look.\n🔧 Bash: ls\nDone &amp; dusted."),
  change(2_000, "message", {
    ts: "1.000003",
    threadTs: "1.000001",
    data: { message: { user: "UBOT", text: "", files: [{ name: "claude-transcript-x.jsonl.gz" }] } }
  }),
  reaction(2_100, "white_check_mark")
]

const after = (changes: ReadonlyArray<RemoteChange>): Observed =>
  changes.reduce((observed, next) => observe(observed, followed, next), nothingObserved)

describe("Timeline", () => {
  it("finds every stage that the workspace shows, at its time", () => {
    assert.deepStrictEqual(after(turn).at, {
      "event received": 1_010,
      "200": 1_030,
      "👀": 1_040,
      "first text visible": 1_300,
      "answer settled": 1_900,
      "transcript uploaded": 2_000,
      "✅": 2_100
    })
    assert.deepStrictEqual(missing(after(turn)), ["stored", "agent started"])
    assert.deepStrictEqual(after(turn).files, ["claude-transcript-x.jsonl.gz"])
  })

  it("counts nothing that belongs to somebody else", () => {
    const others = [
      delivery(1, { event_message_ts: "9.000001", channel: "C1", ok: true, status: 200, millis: 1 }),
      delivery(2, { event_message_ts: "1.000001", channel: "C1", ok: false, status: 503, millis: 1 }),
      reaction(3, "eyes", "UADA"),
      reaction(4, "white_check_mark", "UBOT", "9.000001"),
      { ...reply(5, "message", "hello"), channel: "C2" },
      { ...reply(6, "message", "hello"), threadTs: "9.000001" },
      change(7, "message", { ts: "1.000009", threadTs: "1.000001", data: { message: { user: "UADA", text: "me" } } })
    ]
    assert.deepStrictEqual(after(others), nothingObserved)
  })

  it("a stage that is missing is named, whatever came after it", () => {
    const withoutEyes = turn.filter(({ data }) => data["name"] !== "eyes")
    assert.include(missing(after(withoutEyes)), "👀")
    const lines = timelineLines(after(withoutEyes), 1_000)
    assert.strictEqual(lines[3], "  👀                    not observed")
    assert.strictEqual(lines[2], "  200                       30 ms      +20")
  })

  it("a failed turn is over without a transcript; an answered one only with it", () => {
    const failed = after([...turn.slice(0, 7), reaction(2_000, "x")])
    assert.strictEqual(failed.end, "❌")
    assert.isTrue(isOver(failed, true))
    assert.include(missing(failed), "✅")
    const early = after([...turn.slice(0, 7), reaction(2_000, "white_check_mark")])
    assert.isFalse(isOver(early, true))
    assert.isTrue(isOver(early, false))
    assert.isFalse(isOver(after(turn.slice(0, 7)), false))
  })

  it("takes a message as it was written, not what a notification would show of it", () => {
    const blocks = [{ type: "markdown", text: "long, **whole**" }]
    const seen = after([...turn.slice(0, 7), reply(1_950, "message_changed", "long…", { blocks })])
    assert.deepStrictEqual([...seen.texts.values()], ["long, **whole**"])
  })

  it("what is edited after the mark is no part of the answer", () => {
    const later = observe(after(turn), followed, reply(3_000, "message_changed", "later"))
    assert.strictEqual(later.at["answer settled"], 1_900)
  })

  it("shows only what is new in the thread, as a person would read it", () => {
    const shown: Array<string> = []
    turn.reduce((before, next) => {
      const now = observe(before, followed, next)
      shown.push(...newLines(before, now))
      return now
    }, nothingObserved)
    assert.deepStrictEqual(shown, [
      "  │ 👀",
      "  │ I look.",
      "  │ 🔧 Bash: ls",
      "  │ Done & dusted.",
      "  │ 📎 claude-transcript-x.jsonl.gz",
      "  │ ✅"
    ])
  })
})
