import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import {
  type MessagesRequest,
  type Plan,
  planOf,
  positionOf,
  quoteOf,
  scriptedBranch,
  scriptedNotice
} from "../../../km-cli/local/model/Scenario.ts"
import * as Wire from "../../../km-cli/local/model/Wire.ts"

type Message = MessagesRequest["messages"][number]

const user = (text: string): Message => ({ role: "user", content: [{ type: "text", text }] })
const used: Message = { role: "assistant", content: [{ type: "tool_use" }] }
const result = (content: unknown): Message => ({ role: "user", content: [{ type: "tool_result", content }] })
const environment: Message = {
  role: "system",
  content: [{
    type: "text",
    text: "# Environment\n - Primary working directory: /work space/x\n - Is a git repository: false"
  }]
}
const request = (...messages: ReadonlyArray<Message>): MessagesRequest => ({ model: "m", messages })

const blocksOf = (plan: Plan) => plan.kind === "reply" ? plan.blocks : []
const textsOf = (plan: Plan) => blocksOf(plan).flatMap((block) => block.kind === "text" ? [block.text] : []).join("\n")
const toolsOf = (plan: Plan) => blocksOf(plan).flatMap((block) => block.kind === "tool" ? [block.name] : [])

/** The last line of the answer to a text, after the script's two tools. */
const last = (text: string) => {
  const spoken = [user(text), used, result("x"), used, result("y")]
  return textsOf(planOf(positionOf(request(...spoken)), 0)).split("\n").at(-1)
}

describe("the demo's script", () => {
  it("ends with the last line that a scheduled prompt asks for, and with the notice otherwise", () => {
    const asked =
      "Run the tests\n\nWhen you are done, end your answer with a last line that is exactly:\nALL PASSED\n" +
      "Otherwise end it with what went wrong."
    assert.strictEqual(last(asked), "ALL PASSED")
    assert.strictEqual(last("Run the tests"), scriptedNotice)
  })
})

describe("position", () => {
  it("is the last thing a person said and how often the model has spoken since", () => {
    const position = positionOf(request(
      user("old script:text"),
      used,
      result("x"),
      user("<system-reminder>not a person</system-reminder>"),
      environment,
      user("From Ada:\nnew"),
      used,
      result("first"),
      used,
      result([{ type: "text", text: "out" }, { type: "text", text: "put" }])
    ))
    assert.deepStrictEqual(position, {
      said: "From Ada:\nnew",
      step: 2,
      toolOutput: "out\nput",
      outputs: ["first", "out\nput"],
      cwd: "/work space/x"
    })
  })

  it("of an empty conversation is nothing", () => {
    assert.deepStrictEqual(positionOf(request()), { said: "", step: 0, toolOutput: "", outputs: [], cwd: "/tmp" })
  })
})

const at = (step: number) =>
  planOf({ said: "[km] Message from Ada.\n\nship *it*\nnow", step, toolOutput: "", outputs: [], cwd: "/w" }, 0)

describe("the demo's script", () => {
  it("runs a command, writes a file in the working directory, and answers", () => {
    assert.deepStrictEqual([0, 1, 2].map((step) => toolsOf(at(step))), [["Bash"], ["Write"], []])
    assert.include(JSON.stringify(at(1)), "\"/w/NOTES.md\"")
  })

  it("quotes what the person asked and says that it is scripted", () => {
    const answer = textsOf(at(2))
    assert.include(answer, "> ship *it*\n> now")
    assert.include(answer, scriptedNotice)
    assert.notInclude(answer, "from Ada")
  })
})

const plan = (said: string, step = 0, asked = 0) =>
  planOf({ said, step, toolOutput: "seen", outputs: ["first", "seen"], cwd: "/w" }, asked)

describe("directives", () => {
  it("tools:N is N calls and then an answer", () => {
    assert.deepStrictEqual(toolsOf(plan("script:tools:200", 199)), ["Bash"])
    assert.deepStrictEqual(toolsOf(plan("script:tools:200", 200)), [])
    assert.lengthOf(toolsOf(plan("script:parallel:4")), 4)
  })

  it("github clones the first address and pushes, tries main and the second, and shows what git said", () => {
    const message = "[km] May be reached: github.test:1/a/x.\n\nPlease clone https://github.test:1/a/api, then " +
      "https://github.test:1/a/web.js. script:github"
    const outputs = ["cloned", "new branch", "rejected"]
    const plans = [0, 1, 2, 3].map((step) => planOf({ said: message, step, toolOutput: "", outputs, cwd: "/w" }, 0))
    const commands = plans.flatMap(blocksOf).flatMap((block) =>
      block.kind === "tool" ? [String(block.input["command"])] : []
    )
    assert.lengthOf(commands, 3)
    assert.include(commands[0], "git clone -q https://github.test:1/a/api work")
    assert.strictEqual(commands[1], `git -C work push origin HEAD:${scriptedBranch}`)
    assert.match(commands[2] ?? "", /push origin HEAD:main; git clone -q https:\/\/github\.test:1\/a\/web\.js other;/)
    const said = plans.slice(3).map(textsOf).join("")
    assert.notInclude(said, "cloned")
    for (const part of ["new branch", "rejected", scriptedNotice]) assert.include(said, part)
    assert.deepStrictEqual(toolsOf(plan("clone https://github.test:1/a/api script:github")), [])
  })

  it("bash runs what it is given and answers with what came out", () => {
    const command = "echo \"$HOME\" | cat"
    const encoded = Buffer.from(command).toString("base64url")
    assert.include(JSON.stringify(plan(`script:bash:${encoded}`)), JSON.stringify(command))
    assert.include(textsOf(plan(`script:bash:${encoded}`, 1)), "seen")
    assert.deepStrictEqual(toolsOf(plan(`script:agent:${encoded}`)), ["Agent"])
    assert.include(JSON.stringify(plan(`script:agent:${encoded}`)), JSON.stringify(command))
    assert.include(textsOf(plan(`script:agent:${encoded}`, 1)), "seen")
  })

  it("errors carry the status and retry-after; a flaky one passes", () => {
    assert.deepInclude(plan("script:error:429:3600"), { kind: "refuse", status: 429, retryAfter: 3600 })
    assert.deepInclude(plan("script:flaky:529:2", 0, 1), { kind: "refuse", status: 529 })
    assert.strictEqual(plan("script:flaky:529:2", 0, 2).kind, "reply")
  })

  it("long answers have the length asked for, within reason", () => {
    assert.lengthOf(textsOf(plan("script:long:12345")), 12_345)
    assert.lengthOf(textsOf(plan("script:long:999999999")), 2_000_000)
  })

  it.prop("the same request always gets the same plan", [Schema.String, Schema.Int], ([said, step]) => {
    assert.deepStrictEqual(plan(said, step), plan(said, step))
  })

  it("the quote has no frame line and no directive", () => {
    assert.strictEqual(quoteOf("[km] Message from Ada.\n[km] Answer.\n\nhello script:slow:10"), "hello")
    assert.strictEqual(quoteOf("one line"), "one line")
  })
})

describe("wire", () => {
  it.prop("text deltas join to the text, surrogate pairs whole", [Schema.String], ([raw]) => {
    const text = raw.toWellFormed()
    const deltas = Wire.blockDeltas(0, { kind: "text", text })
    const pieces = deltas.map((event) => String(Reflect.get(Object(event["delta"]), "text")))
    assert.strictEqual(pieces.join(""), text)
    for (const piece of pieces) assert.isTrue(piece.isWellFormed())
  })

  it("an event is two lines and an empty one", () => {
    assert.strictEqual(
      Wire.encodeEvent({ type: "message_stop" }),
      "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
    )
  })
})
