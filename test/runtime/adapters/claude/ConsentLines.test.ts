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
