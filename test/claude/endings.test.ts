/** How runs of the pinned CLI end: signals, API errors, several text blocks. Never judged by the exit code. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ScriptedModel from "../../km-cli/local/model/ScriptedModel.ts"
import { claudeHome } from "../support/claudeCli.ts"
import { makeHookRecorder } from "../support/hookRecorder.ts"

const setup = Effect.gen(function*() {
  const model = yield* ScriptedModel.start()
  return { model, hooks: yield* makeHookRecorder(), ...(yield* claudeHome(model.url)) }
})

describe.concurrent("endings of the CLI", () => {
  it.live("SIGINT exits 0 with an error result and without Stop", () =>
    Effect.gen(function*() {
      const { hooks, run } = yield* setup
      const { code, results } = yield* run({
        prompt: "script:slow:30000",
        settings: hooks.settings,
        args: ["--include-partial-messages"],
        onLine: (line, kill) => {
          if (JSON.stringify(line).includes("text_delta")) kill("SIGINT")
        }
      })
      assert.strictEqual(code, 0)
      assert.deepInclude(results.at(-1), { is_error: true, terminal_reason: "aborted_streaming" })
      const events = (yield* hooks.calls).map((call) => call.event)
      assert.notInclude(events, "Stop")
      assert.notInclude(events, "StopFailure")
    }))

  for (const [signal, code] of [["SIGTERM", 143], ["SIGKILL", null]] as const) {
    it.live(`${signal} leaves no result line`, () =>
      Effect.gen(function*() {
        const { run } = yield* setup
        const ended = yield* run({
          prompt: "script:hang",
          onLine: (line, kill) => {
            if (line["subtype"] === "init") kill(signal)
          }
        })
        assert.strictEqual(ended.code, code)
        assert.deepStrictEqual(ended.results, [])
      }))
  }

  it.live("an API error says subtype success, is_error true, exit 1, and its text is marked as an error", () =>
    Effect.gen(function*() {
      const { hooks, run } = yield* setup
      const { code, lines, results } = yield* run({ prompt: "script:error:529", settings: hooks.settings })
      assert.strictEqual(code, 1)
      assert.deepInclude(results.at(-1), {
        subtype: "success",
        is_error: true,
        terminal_reason: "api_error",
        api_error_status: 529
      })
      const retry = lines.find((line) => line["subtype"] === "api_retry")
      assert.deepInclude(retry, { attempt: 1, max_retries: 1, error_status: 529 })
      const spoken = lines.filter((line) => line["type"] === "assistant")
      assert.isNotEmpty(spoken)
      for (const line of spoken) assert.isDefined(line["error"])
      const events = (yield* hooks.calls).map((call) => call.event)
      assert.include(events, "StopFailure")
      assert.notInclude(events, "Stop")
    }))

  it.live("401 is retried by the CLI, so the adapter has to end it", () =>
    Effect.gen(function*() {
      const { run } = yield* setup
      const { lines } = yield* run({ prompt: "script:error:401" })
      assert.deepInclude(lines.find((line) => line["subtype"] === "api_retry"), { error_status: 401 })
    }))

  it.live("two text blocks: MessageDisplay twice, Stop and result with the last one only", () =>
    Effect.gen(function*() {
      const { hooks, run } = yield* setup
      const { results } = yield* run({ prompt: "script:two", settings: hooks.settings })
      const calls = yield* hooks.calls
      const displayed = calls.filter((call) => call.event === "MessageDisplay")
      assert.deepStrictEqual(displayed.map(({ body }) => [body["delta"], body["index"], body["final"]]), [
        ["First block.", 0, true],
        ["Second block.", 0, true]
      ])
      const stops = calls.filter((call) => call.event === "Stop")
      assert.deepStrictEqual(stops.map(({ body }) => body["last_assistant_message"]), ["Second block."])
      assert.strictEqual(results.at(-1)?.["result"], "Second block.")
    }))

  it.live("without background tasks one prompt is one result, and the tool does not offer them", () =>
    Effect.gen(function*() {
      const { model, run } = yield* setup
      const { results } = yield* run({ prompt: "script:tools:2" })
      assert.lengthOf(results, 1)
      const [request] = yield* model.requests
      assert.notInclude(request?.body, "run_in_background")
    }))
})
