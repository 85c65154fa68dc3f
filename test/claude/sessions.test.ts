/** How sessions of the pinned CLI behave; the adapter and the ledger rely on each of these. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as ScriptedModel from "../../km-cli/local/model/ScriptedModel.ts"
import { claudeHome } from "../support/claudeCli.ts"
import { claudeCommand } from "../support/ScriptedModel.ts"

const setup = Effect.gen(function*() {
  const model = yield* ScriptedModel.start()
  return { model, ...(yield* claudeHome(model.url)) }
})

describe.concurrent("sessions of the CLI", () => {
  it("is the version that this suite was written for", () => {
    const manifest = JSON.parse(Fs.readFileSync(fileURLToPath(new URL("../../package.json", import.meta.url)), "utf8"))
    const version = execFileSync(claudeCommand, ["--version"], { encoding: "utf8" })
    assert.strictEqual(manifest.devDependencies["@anthropic-ai/claude-code"], "2.1.330")
    assert.match(version, /^2\.1\.330 /)
  })

  it.live("our id is the session's: on every line, in the request's header and in the transcript's name", () =>
    Effect.gen(function*() {
      const { home, model, run, workspace } = yield* setup
      const session = randomUUID()
      const { code, lines, results } = yield* run({ prompt: "script:text", args: ["--session-id", session] })
      assert.strictEqual(code, 0)
      for (const line of lines) assert.strictEqual(line["session_id"], session, JSON.stringify(line))
      assert.deepInclude(results[0], { is_error: false, terminal_reason: "completed", num_turns: 1 })
      const [request] = yield* model.requests
      assert.strictEqual(request?.session, session)
      assert.strictEqual(request?.key, "sk-ant-dummy")
      const project = workspace.replace(/[^A-Za-z0-9]/g, "-")
      assert.isTrue(Fs.existsSync(Path.join(home, ".claude", "projects", project, `${session}.jsonl`)))
    }))

  it.live("an id that has a transcript is refused on stderr alone, even when the transcript is empty", () =>
    Effect.gen(function*() {
      const { home, run, workspace } = yield* setup
      const session = randomUUID()
      const project = Path.join(home, ".claude", "projects", workspace.replace(/[^A-Za-z0-9]/g, "-"))
      Fs.mkdirSync(project, { recursive: true })
      Fs.writeFileSync(Path.join(project, `${session}.jsonl`), "")
      const { code, lines, stderr } = yield* run({ prompt: "script:text", args: ["--session-id", session] })
      assert.strictEqual(code, 1)
      assert.deepStrictEqual(lines, [])
      assert.include(stderr, `Session ID ${session} is already in use`)
      // And it cannot be resumed either: only a new id helps.
      const resumed = yield* run({ prompt: "script:text", args: ["--resume", session] })
      assert.include(JSON.stringify(resumed.results[0]?.["errors"]), "No conversation found")
    }))

  it.live("resuming an unknown session is one result line with num_turns 0", () =>
    Effect.gen(function*() {
      const { model, run } = yield* setup
      const { code, results } = yield* run({ prompt: "script:text", args: ["--resume", randomUUID()] })
      assert.strictEqual(code, 1)
      assert.lengthOf(results, 1)
      assert.deepInclude(results[0], { subtype: "error_during_execution", is_error: true, num_turns: 0 })
      assert.match(String(Object(results[0]?.["errors"])[0]), /^No conversation found/)
      assert.deepStrictEqual(yield* model.requests, [])
    }))

  it.live("cost is cumulative over the session's processes, and a message's uuid runs once in a session", () =>
    Effect.gen(function*() {
      const { model, run } = yield* setup
      const session = randomUUID()
      const uuid = randomUUID()
      const first = yield* run({ prompt: "script:text", args: ["--session-id", session], uuid })
      const again = yield* run({ prompt: "script:text", args: ["--resume", session], uuid })
      assert.strictEqual(again.code, 0)
      assert.deepStrictEqual(again.results, [])
      assert.lengthOf(yield* model.requests, 1)
      const second = yield* run({ prompt: "more script:text", args: ["--resume", session] })
      const cost = (result: typeof first) => Number(result.results[0]?.["total_cost_usd"])
      const delta = Object.values(Object(second.results[0]?.["model_usage_since_last_result"]))
        .reduce((sum: number, usage) => sum + Number(Object(usage)["costUSD"]), 0)
      assert.isAbove(cost(first), 0)
      assert.closeTo(cost(second), cost(first) + delta, 1e-9)
    }))
})
