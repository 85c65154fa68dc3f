/** What the pinned CLI's hooks do and who can silence them: the live transcript rests on this. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as ScriptedModel from "../../km-cli/local/model/ScriptedModel.ts"
import { HookEvent } from "../../runtime/domain/turn/HookEvent.ts"
import { claudeHome, type OutputLine } from "../support/claudeCli.ts"
import { type HookRecorderOptions, makeHookRecorder } from "../support/hookRecorder.ts"

const decodeHook = Schema.decodeUnknownOption(HookEvent)

const setup = (options: HookRecorderOptions = {}) =>
  Effect.gen(function*() {
    const model = yield* ScriptedModel.start()
    return { model, hooks: yield* makeHookRecorder(options), ...(yield* claudeHome(model.url)) }
  })

const encoded = (text: string) => Buffer.from(text).toString("base64url")
const failing = `script:bash:${encoded("exit 3")}`

const Spoken = Schema.Struct({
  type: Schema.Literals(["assistant", "user"]),
  parent_tool_use_id: Schema.NullOr(Schema.String),
  agent_id: Schema.optionalKey(Schema.String),
  message: Schema.Struct({ content: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)) })
})
const decodeSpoken = Schema.decodeUnknownOption(Spoken)

/** Each call that standard output tells of: its id, whose it is, and whether it failed. */
const callsIn = (lines: ReadonlyArray<OutputLine>): ReadonlyArray<Array<unknown>> => {
  const spoken = lines.flatMap((line) => Option.toArray(decodeSpoken(line)))
  const blocks = (type: string) =>
    spoken.flatMap(({ agent_id, message, parent_tool_use_id }) => {
      assert.strictEqual(agent_id === undefined, parent_tool_use_id === null, "a subagent is named with its call")
      return message.content.filter((block) => block["type"] === type).map((block) => ({ ...block, agent_id }))
    })
  const results: ReadonlyArray<Readonly<Record<string, unknown>>> = blocks("tool_result")
  const uses: ReadonlyArray<Readonly<Record<string, unknown>>> = blocks("tool_use")
  return uses.map((use) => {
    const result = results.find((block) => block["tool_use_id"] === use["id"])
    assert.isDefined(result)
    return [use["id"], use["agent_id"], result?.["is_error"] === true]
  })
}

/** What a repository may carry, and the agent may write. */
const writeProjectSettings = (workspace: string, settings: unknown): void => {
  Fs.mkdirSync(Path.join(workspace, ".claude"), { recursive: true })
  Fs.writeFileSync(Path.join(workspace, ".claude", "settings.json"), JSON.stringify(settings))
}

describe.concurrent("hooks of the CLI", () => {
  it.live("a turn's hooks come in order and decode as our schema has them", () =>
    Effect.gen(function*() {
      const { hooks, run } = yield* setup()
      yield* run({ prompt: "script:tools:1", settings: hooks.settings })
      const calls = yield* hooks.calls
      assert.deepStrictEqual(calls.map((call) => call.event), [
        "UserPromptSubmit",
        "PreToolUse",
        "PostToolUse",
        "PostToolBatch",
        "MessageDisplay",
        "Stop",
        "SessionEnd"
      ])
      for (const { body, event } of calls.filter((call) => !["PreToolUse", "PostToolBatch"].includes(call.event))) {
        assert.isTrue(Option.isSome(decodeHook(body)), event)
      }
      const turn = calls.filter((call) => call.event !== "SessionEnd").map(({ body }) => body["prompt_id"])
      assert.lengthOf(new Set(turn), 1)
      assert.isString(turn[0])
    }))

  for (const inner of ["", "script:tools:2", "script:parallel:3", failing]) {
    it.live(`what the hooks of ${inner === "" ? "a call that fails" : `a subagent's ${inner}`} tell is on stdout`, () =>
      Effect.gen(function*() {
        const { hooks, run } = yield* setup()
        const prompt = inner === "" ? failing : `script:agent:${encoded(inner)}`
        const { lines } = yield* run({ prompt, settings: hooks.settings })
        const told = (yield* hooks.calls).flatMap(({ body, event }) =>
          event === "PostToolUse" || event === "PostToolUseFailure"
            ? [[body["tool_use_id"], body["agent_id"], event === "PostToolUseFailure"]]
            : []
        )
        assert.isNotEmpty(told)
        assert.sameDeepMembers(told, [...callsIn(lines)])
      }))
  }

  it.live("SessionStart takes no http hook; a command hook beside it runs", () =>
    Effect.gen(function*() {
      const { hooks, run, workspace } = yield* setup()
      const seen = Path.join(workspace, "session-start.json")
      yield* run({
        prompt: "script:text",
        settings: {
          hooks: {
            SessionStart: [{
              hooks: [
                { type: "http", url: `${hooks.url}/SessionStart`, timeout: 3 },
                { type: "command", command: `cat > ${seen}`, timeout: 5 }
              ]
            }]
          }
        }
      })
      assert.deepStrictEqual(yield* hooks.calls, [])
      assert.isTrue(Option.isSome(decodeHook(JSON.parse(Fs.readFileSync(seen, "utf8")))))
    }))

  for (
    const [name, answer] of [
      ["500", (response) => response.writeHead(500).end("{\"decision\":\"block\"}")],
      ["a dropped connection", (response) => response.destroy()],
      ["no JSON", (response) => response.writeHead(200).end("hello")]
    ] satisfies ReadonlyArray<readonly [string, NonNullable<HookRecorderOptions["answer"]>]>
  ) {
    it.live(`${name} as a hook's answer changes nothing: hooks fail open`, () =>
      Effect.gen(function*() {
        const { hooks, run } = yield* setup({ answer })
        const { code, results } = yield* run({ prompt: "script:tools:1", settings: hooks.settings })
        assert.strictEqual(code, 0)
        assert.deepInclude(results[0], { is_error: false, terminal_reason: "completed", result: "Ran 1 commands." })
        assert.include((yield* hooks.calls).map((call) => call.event), "Stop")
      }))
  }

  it.live("a header takes a variable that is allowed", () =>
    Effect.gen(function*() {
      let authorization: string | undefined
      const { hooks, run } = yield* setup({
        answer: (response) => {
          authorization = response.req.headers.authorization
          response.writeHead(200).end("{}")
        }
      })
      yield* run({
        prompt: "script:text",
        settings: {
          env: { KM_HOOK_TOKEN: "token-of-the-run" },
          hooks: {
            Stop: [{
              hooks: [{
                type: "http",
                url: `${hooks.url}/Stop`,
                headers: { Authorization: "Bearer $KM_HOOK_TOKEN" },
                allowedEnvVars: ["KM_HOOK_TOKEN"]
              }]
            }]
          }
        }
      })
      assert.strictEqual(authorization, "Bearer token-of-the-run")
    }))
})

describe.concurrent("settings of a repository", () => {
  it.live("are not read with --setting-sources ''", () =>
    Effect.gen(function*() {
      const { hooks, model, run, workspace } = yield* setup()
      const touched = Path.join(workspace, "touched")
      writeProjectSettings(workspace, {
        disableAllHooks: true,
        env: { ANTHROPIC_BASE_URL: "http://127.0.0.1:1" },
        hooks: { Stop: [{ hooks: [{ type: "command", command: `touch ${touched}` }] }] }
      })
      const { code } = yield* run({ prompt: "script:text", settings: hooks.settings })
      assert.strictEqual(code, 0)
      assert.include((yield* hooks.calls).map((call) => call.event), "Stop")
      assert.lengthOf(yield* model.requests, 1)
      assert.isFalse(Fs.existsSync(touched))
    }))

  it.live("silence our hooks when they are read and we say nothing", () =>
    Effect.gen(function*() {
      const { hooks, run, workspace } = yield* setup()
      writeProjectSettings(workspace, { disableAllHooks: true })
      yield* run({ prompt: "script:text", settings: hooks.settings, sources: "project,local" })
      assert.deepStrictEqual(yield* hooks.calls, [])
    }))

  it.live("neither silence nor redirect when ours say so, even when they are trusted", () =>
    Effect.gen(function*() {
      const { hooks, model, run, workspace } = yield* setup()
      writeProjectSettings(workspace, { disableAllHooks: true, env: { ANTHROPIC_BASE_URL: "http://127.0.0.1:1" } })
      const { code } = yield* run({
        prompt: "script:text",
        settings: { ...hooks.settings, disableAllHooks: false, env: { ANTHROPIC_BASE_URL: model.url } },
        sources: "project,local"
      })
      assert.strictEqual(code, 0)
      assert.include((yield* hooks.calls).map((call) => call.event), "Stop")
      assert.lengthOf(yield* model.requests, 1)
    }))
})
