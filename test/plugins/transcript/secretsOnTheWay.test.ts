/** No secret leaves on either way out: the live message up to what Slack is sent, and the uploaded session. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema, Scope } from "effect"
import * as Fs from "node:fs"
import { fallbackText, plainText } from "../../../bridge/render/fallbackText.ts"
import { neutralise } from "../../../bridge/render/neutralise.ts"
import { splitMarkdown } from "../../../bridge/render/splitMarkdown.ts"
import type { LiveInput } from "../../../plugins/transcript/LiveInput.ts"
import { emptyModel, fold } from "../../../plugins/transcript/LiveModel.ts"
import { liveText, quoted } from "../../../plugins/transcript/LiveText.ts"
import { makeRedactor, redactedMark } from "../../../runtime/domain/text/Redactor.ts"
import { disguise, Disguised, disguisedTokens, disguises, shows } from "../../support/disguises.ts"
import { line, makeWorld, rowOf, runTurn } from "./transcriptWorld.ts"

const redact = makeRedactor([]).text

/** Everything that Slack is sent of a text: the blocks, the words for notifications, and the plain form. */
const sent = (markdown: string): ReadonlyArray<string> =>
  splitMarkdown(neutralise(markdown), 3_900).flatMap(({ text }) => [text, fallbackText(text), plainText(text)])

const piece = (index: number, delta: string, final: boolean): LiveInput => ({
  _tag: "Piece",
  message: "m1",
  index,
  final,
  delta
})

/** The text in pieces of 1 to 16 characters, as `sizes` says. */
const inPieces = (text: string, sizes: ReadonlyArray<number>): ReadonlyArray<string> => {
  const pieces: Array<string> = []
  for (let at = 0, index = 0; at < text.length; index++) {
    const size = 1 + Math.abs(sizes[index % Math.max(1, sizes.length)] ?? 7) % 16
    pieces.push(text.slice(at, at + size))
    at += size
  }
  return pieces
}

describe("a secret on its way out", () => {
  it.prop("shows in no part of a live message, whoever told of it", [Disguised], ([given]) => {
    const text = disguise(given)
    const inputs: ReadonlyArray<LiveInput> = [
      { _tag: "Text", by: "stdout", text: `I found ${text} there.` },
      { _tag: "Tool", by: "stdout", id: "t", name: "Bash", input: { command: `echo ${text}` } },
      { _tag: "Note", id: "n", text: `not permitted: ${text}` },
      { _tag: "Status", text: `waits for ${text}` }
    ]
    const live = liveText(inputs.reduce(fold, emptyModel), redact, quoted(text, redact))
    for (const part of [live, ...sent(live)]) assert.isFalse(shows(part, given.token), part)
  }, { arbitrary: { runs: 300 } })

  it.prop(
    "shows not even in half while it is streamed, nor when a piece is lost",
    [Disguised, Schema.Array(Schema.Int), Schema.Int],
    ([given, sizes, lost]) => {
      // Half is what has its first sixteen signs: before that there is nothing worth having.
      const half = given.token.slice(0, 28)
      const pieces = inPieces(`Here: ${disguise({ ...given, before: [], behind: [] })} and more.`, sizes)
      const without = Math.abs(lost) % (pieces.length + 1)
      let model = emptyModel
      for (const [index, delta] of pieces.entries()) {
        if (index === without) continue
        model = fold(model, piece(index, delta, index === pieces.length - 1))
        const live = liveText(model, redact)
        for (const part of sent(live)) {
          assert.isFalse(shows(part, given.token), part)
          assert.isFalse(shows(part, half), part)
        }
      }
    },
    { arbitrary: { runs: 300 } }
  )

  it("shows not even in half where the cut goes through or behind what shows as nothing", () => {
    const token = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImExQjJ"
    for (const end of ["\udb40", "\u{e0041}", "\u2064", "\u00ad\ufe0f", "\u3164", "\u{10ffff}"]) {
      for (const rest of [[], [piece(2, "\udc41 and more\n\nnext ", false)]]) {
        const live = liveText([piece(0, `Here: ${token}${end}`, false), ...rest].reduce(fold, emptyModel), redact)
        assert.notInclude(live, token.slice(0, 16), JSON.stringify(end))
      }
    }
  })

  it("shows not even in half wherever the text ends, and wherever a piece is lost behind it", () => {
    const token = "github_pat_11ABCDE_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"
    const half = token.slice(0, 28)
    const hidden = [
      ...disguises,
      "\u001b]0;a title\u0007",
      "\u001b[2 q",
      "<b title=\"a b\">",
      "<i><!-- a --></i>",
      "<!-- a --><!-- b -->"
    ]
    for (const what of hidden) {
      const text = `Here: ${token.slice(0, 30)}${what}${token.slice(30)} and\nmore.`
      for (let end = 1; end < text.length; end++) {
        const shown = [piece(0, text.slice(0, end), false)]
        for (const rest of [[], [piece(2, text.slice(end + 1), false)], [piece(2, text.slice(end + 9), false)]]) {
          const live = liveText([...shown, ...rest].reduce(fold, emptyModel), redact)
          assert.isFalse(shows(live, half), `${JSON.stringify(what)}: ${live}`)
        }
      }
    }
  })

  it("a streamed text shows every word that is finished", () => {
    const model = [piece(0, "One two thr", false)].reduce(fold, emptyModel)
    assert.strictEqual(liveText(model, redact), "One two")
    assert.strictEqual(liveText(fold(model, piece(1, "ee.", true)), redact), "One two three.")
    assert.strictEqual(liveText([piece(0, "今日は世", false)].reduce(fold, emptyModel), redact), "今日は世")
    assert.strictEqual(
      liveText([piece(0, "2 > 1, <b>one two</b> thr", false)].reduce(fold, emptyModel), redact),
      "2 > 1, <b>one two</b>"
    )
    const holed = [piece(0, "One two thr", false), piece(2, "ur five\n\nsix sev", false)].reduce(fold, emptyModel)
    assert.strictEqual(liveText(holed, redact), "One two  … \n\nsix")
  })

  it("is not cut in half by what is looked at of a long input", () => {
    const [, token = ""] = disguisedTokens[0] ?? []
    // Four thousand characters that show nothing, and a token on the edge of what is looked at.
    const long = "\u001b[0m".repeat(1_018) + token
    assert.isFalse(shows(quoted(long, redact), token.slice(0, 20)))
    const live = liveText(
      [{ _tag: "Tool", by: "stdout", id: "t", name: "Bash", input: { command: long } } as const].reduce(
        fold,
        emptyModel
      ),
      redact
    )
    assert.isFalse(shows(live, token.slice(0, 20)), live)
  })

  it.effect("is in neither the thread nor the uploaded session", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const scope = yield* Scope.make()
      const { observer } = yield* world.start().pipe(Scope.provide(scope))
      const disguised = disguisedTokens.map(([, token], index) => {
        const at = token.length >> 1
        const within = ["\u001b[0m", "\u200b", "**", "\\u001b[32m"][index % 4] ?? ""
        return `\u001b[32m${token.slice(0, at)}${within}${token.slice(at)}\u001b[m`
      })
      const text = disguised.join("\n")
      yield* runTurn(world, observer, rowOf(1), [text], [
        line.said("go"),
        line.tool("a", `echo ${text}`),
        { type: "user", toolUseResult: { stdout: JSON.stringify({ text }) }, message: { role: "user", content: text } },
        line.text(text)
      ])
      const uploads = [world.uploaded() ?? ""]
      const threads = world.lives()
      assert.include(uploads.join(), redactedMark)
      assert.isNotEmpty(threads)
      assert.include(threads.join("\n"), redactedMark)
      for (const [shape, token] of disguisedTokens) {
        for (const out of [...threads, ...uploads, JSON.stringify(world.bridge.calls)]) {
          assert.isFalse(shows(out, token), shape)
        }
      }
      assert.isTrue(Fs.readFileSync(world.path(), "utf8").includes("ghp_"), "the agent's own file is as it was")
      yield* Scope.close(scope, Exit.void)
    }).pipe(Effect.scoped))
})
