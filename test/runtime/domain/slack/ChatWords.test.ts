import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Arbitrary from "effect/Arbitrary"
import * as fs from "node:fs"
import {
  type ChatWordName,
  chatWords,
  helpText,
  hintOf,
  readSpoken
} from "../../../../runtime/domain/slack/ChatWords.ts"
import { withWords } from "../../../docs/chatWords.ts"
import { slackDocument } from "../../../docs/slackNeeds.ts"

const names = Object.keys(chatWords) as ReadonlyArray<ChatWordName>
const read = (text: string): string => {
  const spoken = readSpoken(text)
  return "word" in spoken ? `${spoken._tag} ${spoken.word}` : spoken._tag
}

describe("words in chat", () => {
  it("are read with the mark of either width, blanks, capitals and courtesy", () => {
    for (const text of ["!help", " !HELP ", "\uff01help", "! help", "!help please", "!help?", "!help!\n"]) {
      assert.strictEqual(read(text), "Word help", JSON.stringify(text))
    }
    for (const name of names) assert.strictEqual(read(`!${name}`), name === "aside" ? "Aside" : `Word ${name}`)
  })

  it("with words after them are hints, never tasks, and an aside is one whatever follows", () => {
    assert.strictEqual(read("!stop the server and start it again"), "Hint stop")
    assert.strictEqual(read("!new fix the build"), "Hint new")
    assert.strictEqual(read("!model opus"), "Hint model")
    assert.strictEqual(read("!status\nof the build"), "Hint status")
    assert.strictEqual(read("!aside should we stop it?"), "Aside")
    assert.strictEqual(read("!ASIDE"), "Aside")
  })

  it("misspelt and alone are hints", () => {
    for (const text of ["!sotp", "!stopp", "!stp", "!stops"]) assert.strictEqual(read(text), "Hint stop", text)
    assert.strictEqual(read("!hlep"), "Hint help")
    assert.strictEqual(read("!asid"), "Hint aside")
    assert.strictEqual(read("!sotp the server"), "Message")
  })

  it("leave everything else to the agent", () => {
    const texts = [
      "help",
      "please !help",
      "!important: fix it",
      "!stopwatch",
      "!stop-the-press",
      "!help_me",
      "!",
      "",
      "!!",
      "!= x"
    ]
    for (const text of texts) assert.strictEqual(read(text), "Message", text)
  })

  it.effect.prop(
    "never give a message to the agent that begins with one of them",
    [Arbitrary.schema(Schema.String), Arbitrary.schema(Schema.Literals(names))],
    ([rest, name]) => Effect.sync(() => assert.notStrictEqual(readSpoken(`!${name} ${rest}`)._tag, "Message"))
  )

  it.effect.prop("are read from any text", [Arbitrary.schema(Schema.String)], ([text]) =>
    Effect.sync(() => {
      assert.include(["Message", "Aside", "Word", "Hint"], readSpoken(text)._tag)
      if (!/^\s*[!\uff01]/.test(text)) assert.strictEqual(readSpoken(text)._tag, "Message")
    }))

  it("have one table, from which help, hints and the document are made", () => {
    for (const name of names) {
      assert.include(helpText(), `\`!${name}`)
      assert.include(helpText(), chatWords[name].does)
      assert.include(hintOf(name), `!${name}`)
    }
    const document = fs.readFileSync(slackDocument, "utf8")
    assert.strictEqual(withWords(document), document, "run: node test/docs/chatWords.ts")
  })
})
