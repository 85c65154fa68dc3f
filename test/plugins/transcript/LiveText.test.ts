import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { LiveInput } from "../../../plugins/transcript/LiveInput.ts"
import { emptyModel, fold } from "../../../plugins/transcript/LiveModel.ts"
import { liveText, maxLiveCharacters, maxToolLine, quoted, toolLine } from "../../../plugins/transcript/LiveText.ts"
import { makeRedactor, redactedMark } from "../../../runtime/domain/text/Redactor.ts"

const plain = makeRedactor([]).text
const model = (...inputs: ReadonlyArray<LiveInput>) => inputs.reduce(fold, emptyModel)
const text = (words: string): LiveInput => ({ _tag: "Text", by: "stdout", text: words })
const bash = (id: string, command: string): LiveInput => ({
  _tag: "Tool",
  by: "stdout",
  id,
  name: "Bash",
  input: { command }
})

describe("LiveText", () => {
  it("shows texts as paragraphs and tools as lines", () => {
    const turn = model(
      text("I look.\n"),
      bash("a", "ls -la"),
      bash("b", "cat `x`\n| wc"),
      { _tag: "ToolEnd", id: "b", failed: true },
      { _tag: "Tool", by: "stdout", id: "c", name: "TodoWrite", input: { todos: ["secret plan"] } },
      text("Done."),
      { _tag: "Status", text: "the model's API is busy" }
    )
    assert.strictEqual(
      liveText(turn, plain, "> hello"),
      [
        "> hello",
        "",
        "I look.",
        "",
        "🔧 Bash: `ls -la`",
        "🔧 Bash: `cat 'x' | wc` — failed",
        "🔧 TodoWrite",
        "",
        "Done.",
        "",
        "_⏳ the model's API is busy_"
      ].join("\n")
    )
    assert.strictEqual(liveText(emptyModel, plain), "")
  })

  it("cuts a token out before it cuts the line", () => {
    const token = `ghp_${"a1B2".repeat(10)}`
    const line = toolLine({ name: "Bash", input: { command: `${"x".repeat(90)} ${token}` }, state: "done" }, plain)
    assert.notInclude(line, "ghp_")
    assert.isAtMost(line.length, maxToolLine)
    assert.include(liveText(model(text(`use ${token}`)), plain), redactedMark)
    assert.notInclude(quoted(`${"y ".repeat(140)}${token}`, plain), "ghp_")
  })

  it.prop(
    "a tool line is one line of at most 120 characters, whatever the agent sends",
    [Schema.String, Schema.String, Schema.Boolean],
    ([name, command, failed]) => {
      for (const about of [command, command.repeat(50)]) {
        const state = failed ? "failed" as const : "running" as const
        const line = toolLine({ name, input: { command: about }, state }, plain)
        const known = toolLine({ name: "Bash", input: { command: about }, state }, plain)
        for (const one of [line, known]) {
          assert.isAtMost(one.length, maxToolLine)
          assert.notInclude(one, "\n")
          assert.strictEqual(one.includes("failed"), failed || /failed/.test(name + about))
        }
      }
    }
  )

  it("never holds half a character, which the bridge would refuse for the rest of the turn", () => {
    for (const words of ["half \ud83d of one", "\ude00".repeat(3), "😀".repeat(maxLiveCharacters)]) {
      for (const shift of ["", "a"]) {
        const shown = liveText(model(text(shift + words), bash("a", words.slice(0, 9))), plain)
        assert.isTrue(shown.isWellFormed())
        assert.notStrictEqual(shown, "")
      }
    }
  })

  it("keeps the end of a turn that is too long, because the answer is there", () => {
    const shown = liveText(model(text("a".repeat(maxLiveCharacters)), text("The answer.")), plain)
    assert.isAtMost(shown.length, maxLiveCharacters + 100)
    assert.isTrue(shown.endsWith("The answer."))
    assert.include(shown, "in the attached session")
  })
})
