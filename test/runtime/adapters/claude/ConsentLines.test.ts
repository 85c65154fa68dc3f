import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Logger } from "effect"
import { consentLines } from "../../../../runtime/adapters/claude/ConsentLines.ts"
import type { Consent, ToolCall } from "../../../../runtime/ports/Agent.ts"

const request = (id: string, input: unknown = { command: "ls" }) =>
  JSON.stringify({
    type: "control_request",
    request_id: id,
    request: { subtype: "can_use_tool", tool_name: "Bash", input, tool_use_id: `toolu_${id}` }
  })

const scene = Effect.fnUntraced(function*(consent: (call: ToolCall) => Effect.Effect<Consent>) {
  const written: Array<unknown> = []
  let ended = 0
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const lines = consentLines({
    consent,
    fork: runFork,
    input: { write: (line) => void written.push(JSON.parse(line)), end: () => void ended++ }
  })
  return { ...lines, written, ended: () => ended }
})

const settle = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })

describe("the CLI's questions", () => {
  it.effect("are answered with the very input that was asked about, or with a reason", () =>
    Effect.gen(function*() {
      const calls: Array<ToolCall> = []
      const { onLine, written } = yield* scene((call) => {
        calls.push(call)
        return Effect.succeed(
          call.id === "toolu_a" ? { _tag: "Given" } : { _tag: "Denied", reason: "Ada denied this." }
        )
      })
      onLine(request("a"))
      onLine(request("b"))
      yield* settle
      assert.deepStrictEqual(calls[0], { id: "toolu_a", tool: "Bash", input: { command: "ls" } })
      assert.deepStrictEqual(written, [
        {
          type: "control_response",
          response: {
            request_id: "a",
            subtype: "success",
            response: { behavior: "allow", updatedInput: { command: "ls" } }
          }
        },
        {
          type: "control_response",
          response: { request_id: "b", subtype: "success", response: { behavior: "deny", message: "Ada denied this." } }
        }
      ])
    }))

  it.effect("a question to the user is answered in its own input; what buttons cannot hold is not asked", () =>
    Effect.gen(function*() {
      const asked: Array<ToolCall> = []
      const { onLine, written } = yield* scene((call) => {
        asked.push(call)
        return Effect.succeed({ _tag: "Given", ...(call.id === "toolu_a" ? { chosen: 1 } : {}) })
      })
      const question = (id: string, questions: ReadonlyArray<object>) =>
        onLine(request(id, { questions }).replace("\"Bash\"", "\"AskUserQuestion\""))
      const colour = { question: "Which?", options: [{ label: "Red" }, { label: "Blue", description: "Sky" }] }
      question("a", [colour])
      // Without an answer there is none, whatever else was said.
      question("b", [colour])
      question("c", [colour, colour])
      question("d", [{ ...colour, multiSelect: true }])
      question("e", [{ ...colour, options: [{ label: "Red" }] }])
      yield* settle
      assert.deepStrictEqual(asked.map(({ id }) => id), ["toolu_a", "toolu_b"])
      assert.deepStrictEqual(asked[0]?.choice?.options[1], { label: "Blue", description: "Sky" })
      const texts = written.map((line) => JSON.stringify(line))
      assert.lengthOf(texts, 5)
      assert.include(texts.find((text) => text.includes("\"a\"")), `"answers":{"Which?":"Blue"}`)
      assert.lengthOf(texts.filter((text) => text.includes("\"deny\"")), 4)
    }))

  it.effect("one that dies is denied, one that is cancelled is given up, one that comes twice is asked once", () =>
    Effect.gen(function*() {
      let asked = 0
      const gone = yield* Deferred.make<void>()
      const { onLine, written } = yield* scene((call) => {
        asked++
        return call.id === "toolu_dies"
          ? Effect.die("a defect")
          : Effect.onInterrupt(Effect.never, () => Deferred.succeed(gone, undefined))
      })
      onLine(request("dies"))
      onLine(request("waits"))
      onLine(request("waits"))
      yield* settle
      assert.strictEqual(asked, 2)
      assert.lengthOf(written, 1)
      assert.include(JSON.stringify(written[0]), "deny")
      onLine(JSON.stringify({ type: "control_cancel_request", request_id: "waits" }))
      yield* Deferred.await(gone)
      yield* settle
      assert.lengthOf(written, 1)
    }).pipe(Effect.provide(Logger.layer([]))))

  it.effect("whatever else is asked is refused, the result ends the input, and other lines say nothing", () =>
    Effect.gen(function*() {
      const { ended, onLine, written } = yield* scene(() => Effect.die("not asked"))
      for (const line of ["", "control_request", "{}", `{"type":"assistant","text":"\\"control_request\\""}`, "null"]) {
        onLine(line)
      }
      onLine(JSON.stringify({ type: "control_request", request_id: "x", request: { subtype: "hook_callback" } }))
      assert.deepStrictEqual(written, [{
        type: "control_response",
        response: { request_id: "x", subtype: "error", error: "not supported" }
      }])
      assert.strictEqual(ended(), 0)
      onLine(JSON.stringify({ type: "result", subtype: "success" }))
      assert.strictEqual(ended(), 1)
    }))
})
