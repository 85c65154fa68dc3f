import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Arbitrary from "effect/Arbitrary"
import { noticeOf, promptOf, unexplained } from "../../../plugins/chat-files/fileWords.ts"
import { ownNames, safeName, uploadName } from "../../../plugins/chat-files/inboxNames.ts"
import { maxLineCharacters } from "../../../plugins/chat-files/limits.ts"
import { neutralise } from "../../../runtime/domain/text/PromptText.ts"

describe("names of people's files", () => {
  it("keep what means nothing anywhere, and nothing else", () => {
    const cases: ReadonlyArray<readonly [string, string]> = [
      ["plan.pdf", "plan.pdf"],
      ["Müller Übersicht (2).xlsx", "Müller_Übersicht_2_.xlsx"],
      ["日本語.txt", "日本語.txt"],
      ["../../etc/passwd", "passwd"],
      ["..\\..\\boot.ini", "boot.ini"],
      [".bashrc", "bashrc"],
      ["-rf", "rf"],
      ["$(touch x)`id`.sh", "touch_x_id_.sh"],
      ["a\u0000b\nc.txt", "ab_c.txt"],
      ["[km] @notes.md", "km_notes.md"],
      ["photo\u202egnp.exe", "photognp.exe"],
      ["", "file"],
      ["///", "file"],
      ["...", "file"]
    ]
    for (const [given, safe] of cases) assert.strictEqual(safeName(given), safe, JSON.stringify(given))
    const long = safeName(`${"ä".repeat(300)}.tar.gz`)
    assert.isAtMost(Buffer.byteLength(long), 120)
    assert.isTrue(long.endsWith(".gz"))
  })

  it("of one message are told apart, also where upper and lower case are one", () => {
    assert.deepStrictEqual(ownNames(["a.png", "A.png", "a.png", "2-a.png", "b"]), [
      "a.png",
      "2-A.png",
      "3-a.png",
      "2-2-a.png",
      "b"
    ])
  })

  it.effect.prop(
    "are one plain path segment, whatever they were",
    [Arbitrary.array(Arbitrary.schema(Schema.String))],
    ([given]) =>
      Effect.sync(() => {
        const names = ownNames(given)
        assert.strictEqual(new Set(names).size, given.length)
        for (const name of names) {
          assert.match(name, /^[\p{L}\p{M}\p{N}][\p{L}\p{M}\p{N}._-]*$/u)
          assert.isAtMost(Buffer.byteLength(name), 130)
          assert.strictEqual(neutralise(name), name)
        }
        for (const name of given) assert.match(uploadName(name), /^[A-Za-z0-9._-]{1,200}$/)
      })
  )
})

const there = (n: number) => ({
  _tag: "There" as const,
  name: `${n}.txt`,
  path: `/run/km/inbox/1700000000-000100/${n}-${"x".repeat(100)}.txt`,
  mimeType: "text/plain",
  size: 2_000 * n
})

describe("what is told of files", () => {
  it("names every path in lines that the prompt takes", () => {
    const files = Array.from({ length: 25 }, (_, n) => there(n))
    const lines = promptOf(files)
    assert.isAtMost(lines.length, 20)
    assert.isTrue(lines.every((line) => line.length <= maxLineCharacters + 200))
    for (const { path } of files) assert.isTrue(lines.some((line) => line.includes(`${path} (text/plain`)), path)
  })

  it("says what is missing and why, to both, with nothing in it that could be taken for more", () => {
    const arrived = [there(1), unexplained(safeName("<!channel> `x`.bin"), "the bridge refused it, forbidden")]
    assert.strictEqual(
      noticeOf(arrived),
      "📎 `channel_x_.bin` did not reach the agent: the bridge refused it, forbidden. (KM-SLK-311)"
    )
    assert.strictEqual(promptOf(arrived).length, 2)
    assert.isUndefined(noticeOf([there(1)]))
    assert.deepStrictEqual(promptOf([]), [])
  })
})
