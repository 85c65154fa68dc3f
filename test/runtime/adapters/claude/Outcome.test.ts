import { assert, describe, it } from "@effect/vitest"
import { Option } from "effect"
import { agentErrors } from "../../../../runtime/adapters/claude/ErrorCodes.ts"
import { noFacts, oneLine, outcomeOf, type RunFacts, step } from "../../../../runtime/adapters/claude/Outcome.ts"
import { decodeLine } from "../../../../runtime/adapters/claude/StreamJson.ts"
import type { AgentEvent } from "../../../../runtime/ports/Agent.ts"

const fold = (lines: ReadonlyArray<unknown>): readonly [RunFacts, ReadonlyArray<AgentEvent>] => {
  let facts = noFacts
  const events: Array<AgentEvent> = []
  for (const line of lines) {
    const decoded = decodeLine(JSON.stringify(line))
    if (Option.isNone(decoded)) continue
    const [next, said] = step(facts, decoded.value)
    facts = next
    events.push(...said)
  }
  return [facts, events]
}

const end = { exit: "exit code 0", stderr: "" }
const outcomeFor = (lines: ReadonlyArray<unknown>, how = end) => outcomeOf(fold(lines)[0], how)

const text = (id: string, value: string, more = {}) => ({
  type: "assistant",
  message: { id, content: [{ type: "text", text: value }] },
  ...more
})
const use = (id: string) => ({ id: "m2", content: [{ type: "tool_use", id, name: "Bash", input: {} }] })
const failedResult = (id: string) => ({ content: [{ type: "tool_result", tool_use_id: id, is_error: true }] })
const success = { type: "result", subtype: "success", is_error: false, terminal_reason: "completed", result: "last" }

describe("the answer", () => {
  it("is the last message whole, not only its last block", () => {
    assert.deepStrictEqual(
      outcomeFor([text("m1", "First I look."), text("m2", "A"), text("m2", "B"), { ...success, result: "B" }]),
      { _tag: "Answered", text: "A\n\nB" }
    )
  })

  it("is the last message that had text", () => {
    assert.deepStrictEqual(outcomeFor([text("m1", "done"), text("m2", "  "), success]), {
      _tag: "Answered",
      text: "done"
    })
  })

  it("falls back to the result's own text", () => {
    assert.deepStrictEqual(outcomeFor([success]), { _tag: "Answered", text: "last" })
  })

  it("never comes from a subagent or from an API error in the model's mouth", () => {
    const [facts, events] = fold([
      text("m1", "mine"),
      text("m2", "a subagent's", { parent_tool_use_id: "toolu_1" }),
      text("m3", "API Error: 529", { error: "server_error" }),
      success
    ])
    assert.deepStrictEqual(outcomeOf(facts, end), { _tag: "Answered", text: "mine" })
    assert.deepStrictEqual(events.map((event) => event._tag), ["Text"])
  })

  it("is not what a subagent does either: its calls are told with whose they are, its results are not", () => {
    const of = { parent_tool_use_id: "toolu_1", agent_id: "a1", subagent_type: "Explore" }
    const [facts, events] = fold([
      text("m1", "mine"),
      { type: "assistant", ...of, message: use("toolu_2") },
      { type: "user", ...of, message: failedResult("toolu_2") },
      { type: "assistant", parent_tool_use_id: "toolu_1", message: use("toolu_3") },
      success
    ])
    assert.deepStrictEqual(outcomeOf(facts, end), { _tag: "Answered", text: "mine" })
    assert.deepStrictEqual(events.slice(1), [
      { _tag: "SubagentToolUsed", id: "toolu_2", parent: "toolu_1", agent: "a1", type: "Explore" },
      { _tag: "SubagentToolUsed", id: "toolu_3", parent: "toolu_1", agent: "toolu_1", type: "" }
    ])
  })

  it("is decided by the last of several result lines", () => {
    const broken = {
      type: "result",
      subtype: "success",
      is_error: true,
      terminal_reason: "api_error",
      api_error_status: 500
    }
    assert.strictEqual(outcomeFor([broken, text("m", "x"), success])._tag, "Answered")
    assert.strictEqual(outcomeFor([text("m", "x"), success, broken])._tag, "Failed")
  })
})

const failed = (more: object) => ({ type: "result", subtype: "success", is_error: true, ...more })

describe("failures", () => {
  it("subtype success and exit code 0 do not make a success", () => {
    assert.strictEqual(outcomeFor([failed({ terminal_reason: "api_error", api_error_status: 529 })])._tag, "Failed")
    assert.strictEqual(
      outcomeFor([{ ...success, terminal_reason: "aborted_streaming" }])._tag,
      "Cancelled"
    )
  })

  for (
    const [line, error] of [
      [
        { terminal_reason: "api_error", api_error_status: null, result: "API Error: Connection error." },
        "modelUnreachable"
      ],
      [{ terminal_reason: "api_error", api_error_status: 400, result: "Your credit balance is too low" }, "billing"],
      [{ terminal_reason: "api_error", api_error_status: 403, result: "API Error: 403 KM-MDL-006: spent" }, "budget"],
      [{ terminal_reason: "prompt_too_long", api_error_status: 400 }, "tooLarge"],
      [{ terminal_reason: "max_turns", subtype: "error_max_turns" }, "turnLimit"],
      [{ subtype: "error_max_budget_usd" }, "budget"],
      [{ result: "Not logged in - Please run /login" }, "authentication"],
      [{ result: "Operation stopped: blocked by hook" }, "blocked"],
      [{ result: "API Error: Claude's response exceeded the 32000 output token maximum." }, "outputLimit"],
      [{ result: "something new" }, "other"]
    ] as const
  ) {
    it(`${JSON.stringify(line)} is ${error}`, () => {
      assert.deepInclude(outcomeFor([failed(line)]), { _tag: "Failed", code: agentErrors[error].code })
    })
  }

  it("what is cut of a long reason ends between words, so that no half of a token is left", () => {
    const token = `ghp_${"a1B2".repeat(10)}`
    const line = oneLine(`${"x ".repeat(240)}\u001b[32m${token}\u001b[m`)
    assert.isAtMost(line.length, 501)
    assert.notInclude(line, "ghp_")
    assert.match(line, /x …$/)
  })

  it("no result line is a crash that shows what the CLI said last, without control characters", () => {
    assert.deepStrictEqual(
      outcomeFor([text("m", "half")], { exit: "signal SIGKILL", stderr: "one\ntwo\nthree\u001b[31m\nfour\n" }),
      { _tag: "Crashed", detail: "the agent ended without a result (signal SIGKILL): two three four" }
    )
  })

  it("only a resume that found nothing is SessionLost", () => {
    const lost = {
      subtype: "error_during_execution",
      num_turns: 0,
      errors: ["No conversation found with session ID: x"]
    }
    assert.strictEqual(outcomeFor([failed(lost)])._tag, "SessionLost")
    assert.strictEqual(outcomeFor([failed({ ...lost, num_turns: 1 })])._tag, "Failed")
    assert.strictEqual(outcomeFor([failed({ ...lost, errors: ["other"] })])._tag, "Failed")
  })

  it("an authentication retry is hopeless until the model speaks again", () => {
    const retry = {
      type: "system",
      subtype: "api_retry",
      attempt: 1,
      max_retries: 10,
      error_status: 401,
      error: "authentication_failed"
    }
    const [facts, events] = fold([retry])
    assert.isTrue(Option.isSome(facts.hopeless))
    assert.deepInclude(events[0], { _tag: "ApiRetry", status: 401 })
    assert.isTrue(Option.isNone(fold([retry, text("m", "back")])[0].hopeless))
    assert.deepInclude(outcomeOf(facts, end), { _tag: "Failed", code: agentErrors.authentication.code })
  })

  it("every code is unique and says what to do", () => {
    const codes = Object.values(agentErrors)
    assert.strictEqual(new Set(codes.map(({ code }) => code)).size, codes.length)
    for (const { code, remedy, what } of codes) {
      assert.match(code, /^KM-AGT-\d{3}$/)
      assert.isAbove(remedy.length, 20, what)
    }
  })
})
