/**
 * The real CLI with a scripted model, our settings, the real listener and the transcript plugin: what a turn looks like
 * in its thread, and that nothing of it depends on hooks alone.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, PubSub, Redacted, Scope } from "effect"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { gunzipSync } from "node:zlib"
import { agentSettings, managedSettings } from "../../hooks/Settings.ts"
import { TranscriptPlugin } from "../../plugins/transcript/TranscriptPlugin.ts"
import * as SessionFile from "../../runtime/adapters/claude/SessionFile.ts"
import { HookEndpoint, layer as hookLayer } from "../../runtime/adapters/hooks/HookListener.ts"
import { sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { redactedMark } from "../../runtime/domain/text/Redactor.ts"
import { visibleOutcome } from "../../runtime/domain/turn/OutcomeText.ts"
import type { TurnRow } from "../../runtime/domain/turn/Turn.ts"
import type { AgentRun } from "../../runtime/ports/Agent.ts"
import { HookEvents } from "../../runtime/ports/HookEvents.ts"
import * as MemoryLedger from "../../runtime/ports/memory/MemoryLedger.ts"
import { makeMemoryLedgerState } from "../../runtime/ports/memory/MemoryLedger.ts"
import * as MemoryObjects from "../../runtime/ports/memory/MemoryObjects.ts"
import { makeMemoryObjectsState } from "../../runtime/ports/memory/MemoryObjects.ts"
import { Redaction } from "../../runtime/ports/Redaction.ts"
import { SandboxInfo } from "../../runtime/ports/SandboxInfo.ts"
import { bundled } from "../support/bundled.ts"
import { recordingBridge } from "../support/RecordingBridge.ts"
import { bashScript, claudeCommand, runOf, scriptedAgent } from "../support/ScriptedModel.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { sandbox, sandboxInfo, slackRequest, turnRow } from "../support/turnRows.ts"
import { untilReal } from "../support/untilReal.ts"

const hookCommand = [process.execPath, bundled("km-hook.cjs")]
const canary = ["canary", "of", "the", "runtime"].join("-")

/** A sandbox with its agent, listener and plugin, and a bridge that writes everything down. */
const setUp = Effect.fnUntraced(
  function*(options: { readonly trustRepoSettings?: boolean; readonly hooks?: boolean } = {}) {
    const state = yield* temporaryDirectory
    const listening = yield* Layer.build(hookLayer({ stateDirectory: state }))
    const hooks = Context.get(listening, HookEvents)
    const endpoint = Context.get(listening, HookEndpoint)
    const settingsOf = (token: string) => ({ ...agentSettings({ listener: endpoint.origin, token, hookCommand }) })
    const { agent, directories, model } = yield* scriptedAgent({
      policy: {
        permissions: "bypass",
        model: "default",
        trustRepoSettings: options.trustRepoSettings ?? false
      },
      settings: (run) =>
        options.hooks === false
          ? Effect.succeed({})
          : Effect.map(hooks.issue(run.session), ({ token }) => settingsOf(token))
    })
    let files = 0
    const bridge = recordingBridge({
      answer: ({ action }) => action.action === "upload" ? { file: { id: `F${++files}` } } : undefined
    })
    const objects = makeMemoryObjectsState()
    const ports = yield* Layer.build(Layer.mergeAll(
      bridge.layer,
      MemoryLedger.layerOver(makeMemoryLedgerState()),
      MemoryObjects.layerOver(objects),
      Redaction.layer,
      Layer.succeed(HookEvents)(hooks),
      SessionFile.layer(directories),
      Layer.succeed(SandboxInfo)(SandboxInfo.of({
        ...sandboxInfo,
        directories: { ...sandboxInfo.directories, ...directories }
      }))
    ))
    yield* Context.get(ports, Redaction).add(Redacted.make(canary))
    const { detail, observers } = yield* Effect.provide(TranscriptPlugin.start({ notifyOnPermission: false }), ports)
    const [observer] = observers ?? []
    if (observer === undefined || detail === undefined) return yield* Effect.die("the plugin is not whole")
    const heard = yield* hooks.subscribe
    const names = Effect.map(
      PubSub.takeUpTo(heard, 10_000),
      (all) => all.map(({ dispatched, event }) => `${event.hook_event_name}${dispatched ? "" : " interactive"}`)
    )

    /** As the pipeline runs a turn. */
    const turn = Effect.fnUntraced(function*(run: AgentRun, n = 1) {
      const row: TurnRow = turnRow(slackRequest(n), {
        attempt: 1,
        session: run.session,
        resumed: run.mode === "resume",
        state: "running"
      })
      const watching = yield* Scope.make()
      yield* Scope.provide(observer.starting(row), watching)
      const outcome = yield* Effect.scoped(Effect.gen(function*() {
        const process = yield* agent.start(run)
        yield* Scope.provide(observer.started(row, process), watching)
        return yield* process.outcome
      }))
      const ended: TurnRow = {
        ...row,
        state: "answered",
        result: outcome._tag === "Answered" ? "answered" : "failed",
        outcome: outcome._tag === "Answered"
          ? { ...outcome, text: Context.get(ports, Redaction).redact(outcome.text) }
          : outcome
      }
      const shown = yield* observer.exited(ended)
      yield* Scope.close(watching, Exit.void)
      yield* observer.posted(ended)
      return { outcome, shown, said: visibleOutcome(ended, Context.get(ports, Redaction).redact) }
    })

    const live = () => {
      const sets = bridge.calls.flatMap(({ action }) => action.action === "live.set" ? [action.markdown] : [])
      return { first: sets[0] ?? "", last: sets.at(-1) ?? "", all: sets }
    }
    // Sessions are attached beside everything else.
    const uploaded = untilReal(
      "the session is attached",
      Effect.sync(() => {
        const upload = bridge.calls.findLast(({ action }) => action.action === "upload")?.action
        const bytes = upload?.action === "upload" ? objects.objects.get(sandbox)?.get(upload.object) : undefined
        return bytes === undefined ? undefined : gunzipSync(bytes).toString("utf8")
      })
    )
    return { agent, bridge, detail, directories, endpoint, live, model, names, turn, uploaded }
  }
)

describe("the real CLI with our settings", () => {
  it.live("takes them, tells of the turn from its start to its end, and is shown whole", () =>
    Effect.gen(function*() {
      const world = yield* setUp()
      const { outcome, shown } = yield* world.turn(runOf(world.directories, "please greet the team"))
      assert.strictEqual(outcome._tag, "Answered")
      assert.deepStrictEqual(yield* world.names, [
        "SessionStart",
        "UserPromptSubmit",
        "MessageDisplay",
        "PostToolUse",
        "MessageDisplay",
        "PostToolUse",
        "MessageDisplay",
        "Stop",
        "SessionEnd"
      ])
      const { first, last } = world.live()
      assert.isTrue(first.startsWith("I got your message."), first)
      const order = [
        "I got your message.",
        "🔧 Bash: `uname",
        "Now I write down",
        "🔧 Write: `",
        "> please greet the team"
      ]
      const places = order.map((text) => last.indexOf(text))
      assert.notInclude(places, -1, last)
      assert.deepStrictEqual(places, places.toSorted((a, b) => a - b))
      for (const text of order) assert.strictEqual(last.split(text).length, 2, `${text} appears once`)
      assert.strictEqual(shown.length, 1)
      assert.include(yield* world.uploaded, "please greet the team")
      assert.notInclude(yield* world.detail, "KM-AGT-093")
    }))

  it.live("shows no secret that the agent prints, neither live nor in the attached session", () =>
    Effect.gen(function*() {
      const world = yield* setUp()
      const token = `ghp_${"a1B2c3D4".repeat(5)}`
      const run = runOf(world.directories, bashScript(`echo ${canary}; echo ${token}; echo "$KM_HOOK_TOKEN"; env`))
      yield* world.turn(run)
      const session = yield* world.uploaded
      const everything = JSON.stringify(world.bridge.calls) + session
      for (const secret of [canary, token]) assert.notInclude(everything, secret)
      assert.notMatch(everything, /kmh_[A-Za-z0-9_-]{43}/)
      assert.include(world.live().last, redactedMark)
    }))

  it.live("cannot be silenced by a repository, not even a trusted one", () =>
    Effect.gen(function*() {
      const world = yield* setUp({ trustRepoSettings: true })
      const directory = Path.join(world.directories.workspace, ".claude")
      Fs.mkdirSync(directory)
      Fs.writeFileSync(
        Path.join(directory, "settings.json"),
        JSON.stringify({ disableAllHooks: true, env: { KM_HOOK_URL: "http://127.0.0.1:9/", KM_HOOK_TOKEN: "x" } })
      )
      yield* world.turn(runOf(world.directories, "script:text hello"))
      assert.include(yield* world.names, "MessageDisplay")
    }))

  it.live("is shown from its output alone when no hook comes, and the plugin says so", () =>
    Effect.gen(function*() {
      const world = yield* setUp({ hooks: false })
      const { shown } = yield* world.turn(runOf(world.directories, "script:two"))
      assert.deepStrictEqual(yield* world.names, [])
      assert.strictEqual(world.live().last, "First block.\n\nSecond block.")
      assert.strictEqual(shown.length, 1)
      assert.include(yield* world.detail, "KM-AGT-093")
    }))

  it.live("shows retries while they last, and puts the outcome of a turn that said nothing in their place", () =>
    Effect.gen(function*() {
      const world = yield* setUp()
      const { outcome, said, shown } = yield* world.turn(runOf(world.directories, "script:error:529"))
      assert.strictEqual(outcome._tag, "Failed")
      assert.strictEqual(world.live().last, said)
      // By this digest the origin knows that it has nothing more to post.
      assert.deepStrictEqual(shown.map(({ sha256 }) => sha256), [sha256Hex(said)])
      assert.include(yield* world.names, "StopFailure")
      assert.include(world.live().all.join("\n"), "retry 1 of 1")
      assert.notInclude(world.live().all.slice(0, -1).join("\n"), "API Error")
    }))

  it.live("adds only its own turn to the thread when it resumes a session", () =>
    Effect.gen(function*() {
      const world = yield* setUp()
      const first = runOf(world.directories, "script:text one")
      yield* world.turn(first)
      const before = world.live().all.length
      const again = runOf(world.directories, "script:two", { session: first.session, mode: "resume" })
      yield* world.turn(again, 2)
      assert.strictEqual(world.live().last, "First block.\n\nSecond block.")
      for (const text of world.live().all.slice(before)) assert.notInclude(text, "one")
    }))

  it.live("as a person's own session opens a thread, shows the prompt, and attaches the session", () =>
    Effect.gen(function*() {
      const world = yield* setUp()
      const { directories } = world
      const file = Path.join(directories.state, "managed-settings.json")
      const token = Redacted.value(world.endpoint.sandboxToken)
      const env = { ANTHROPIC_BASE_URL: world.model.url }
      const settings = managedSettings({ listener: world.endpoint.origin, token, hookCommand, env })
      Fs.writeFileSync(file, JSON.stringify(settings), { mode: 0o600 })
      const code = yield* Effect.callback<number | null>((resume) => {
        const child = spawn(claudeCommand, ["-p", "--dangerously-skip-permissions", "--settings", file], {
          cwd: directories.workspace,
          env: {
            PATH: process.env["PATH"],
            HOME: directories.home,
            IS_SANDBOX: "1",
            ANTHROPIC_API_KEY: "sk-ant-dummy",
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
            DISABLE_TELEMETRY: "1",
            DISABLE_AUTOUPDATER: "1"
          },
          stdio: ["pipe", "ignore", "inherit"]
        })
        child.on("close", (exit) => resume(Effect.succeed(exit)))
        child.stdin.end("a person asks script:text")
        return Effect.sync(() => void child.kill("SIGKILL"))
      })
      assert.strictEqual(code, 0)
      const uploads = () => world.bridge.calls.filter(({ action }) => action.action === "upload").length
      yield* Effect.suspend(() => uploads() > 0 ? Effect.void : Effect.fail("not yet")).pipe(Effect.eventually)
      const names = yield* world.names
      assert.include(names, "SessionStart interactive")
      assert.include(names, "Stop interactive")
      assert.strictEqual(uploads(), 1)
      assert.isTrue(world.live().last.startsWith("> a person asks script:text\n\n"), world.live().last)
      assert.strictEqual(world.live().last.split("You wrote:").length, 2)
      const posts = world.bridge.effects().filter(({ action }) => action.action === "post")
      assert.strictEqual(posts.length, 1)
      assert.include(yield* world.uploaded, "a person asks")
    }))
})
