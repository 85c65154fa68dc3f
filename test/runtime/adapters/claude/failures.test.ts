/** What a person is told when the model or the CLI fails; the real CLI against scripted faults. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { agentErrors } from "../../../../runtime/adapters/claude/ErrorCodes.ts"
import { isAlive } from "../../../../runtime/adapters/claude/ProcessTree.ts"
import { Agent } from "../../../../runtime/ports/Agent.ts"
import { runOf, scriptedAgent } from "../../../support/ScriptedModel.ts"

const outcomeFor = (script: string, options: Parameters<typeof scriptedAgent>[0] = {}) =>
  Effect.gen(function*() {
    const { agent, directories, model } = yield* scriptedAgent(options)
    const outcome = yield* Effect.flatMap(agent.start(runOf(directories, script)), (process) => process.outcome)
    return { outcome, requests: yield* model.requests }
  })

const codeFor = (script: string, options: Parameters<typeof scriptedAgent>[0] = {}) =>
  Effect.map(outcomeFor(script, options), ({ outcome }) => outcome._tag === "Failed" ? outcome.code : outcome._tag)

describe.concurrent("failures of the model", () => {
  it.live("401 ends the turn at the first retry, not after minutes of them", () =>
    Effect.gen(function*() {
      const { outcome, requests } = yield* outcomeFor("script:error:401", {
        limits: { maxRetries: 10, apiTimeoutMillis: 60_000, streamIdleMillis: 60_000 }
      })
      assert.deepInclude(outcome, { _tag: "Failed", code: agentErrors.authentication.code })
      // The first, and what a busy machine lets through before the signal; ten retries would be eleven.
      assert.isAtMost(requests.length, 3)
    }))

  for (
    const [script, error] of [
      ["script:error:403", agentErrors.authentication],
      ["script:error:404", agentErrors.modelNotFound],
      ["script:error:400", agentErrors.refused],
      ["script:error:413", agentErrors.tooLarge],
      ["script:error:429:3600", agentErrors.rateLimited],
      ["script:error:529", agentErrors.modelUnavailable],
      ["script:error:500", agentErrors.modelUnavailable],
      ["script:garbage", agentErrors.modelUnreachable],
      ["script:drop", agentErrors.modelUnreachable],
      ["script:hang", agentErrors.modelUnreachable]
    ] as const
  ) {
    it.live(`${script} is ${error.code}`, () =>
      Effect.gen(function*() {
        const { outcome } = yield* outcomeFor(script)
        assert.deepInclude(outcome, { _tag: "Failed", code: error.code, remedy: error.remedy })
      }))
  }

  it.live("a passing 529 is not seen but as a retry", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* codeFor("script:flaky:529:1"), "Answered")
    }))
})

describe.concurrent("failures of a run", () => {
  it.live("resuming an unknown session is SessionLost", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent()
      const run = runOf(directories, "hello", { mode: "resume" })
      const outcome = yield* Effect.flatMap(agent.start(run), (process) => process.outcome)
      assert.deepStrictEqual(outcome, { _tag: "SessionLost" })
    }))

  it.live("a session id without a usable conversation is SessionLost", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent()
      const run = runOf(directories, "hello")
      const project = Path.join(
        directories.home,
        ".claude",
        "projects",
        directories.workspace.replace(/[^A-Za-z0-9]/g, "-")
      )
      Fs.mkdirSync(project, { recursive: true })
      Fs.writeFileSync(Path.join(project, `${run.session}.jsonl`), "")
      assert.isFalse(yield* agent.sessionExists(run.session))
      const outcome = yield* Effect.flatMap(agent.start(run), (process) => process.outcome)
      assert.deepStrictEqual(outcome, { _tag: "SessionLost" })
    }))

  it.live("a turn that takes too long is ended and says after how long", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent()
      const process = yield* agent.start(runOf(directories, "script:hang"))
      yield* process.timeOut(1_234)
      assert.deepStrictEqual(yield* process.outcome, { _tag: "TimedOut", afterMillis: 1_234 })
    }))

  it.live("one writer per session: a second run is refused while the first works, and not after", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent()
      const run = runOf(directories, "script:hang")
      const first = yield* agent.start(run)
      const second = runOf(directories, "script:text", { session: run.session })
      const refused = yield* Effect.flip(agent.start(second))
      assert.strictEqual(refused.code, agentErrors.sessionBusy.code)
      yield* first.interrupt("Ada")
      yield* first.outcome
      const third = yield* agent.start(runOf(directories, "script:text", { session: run.session, mode: "resume" }))
      assert.notStrictEqual((yield* third.outcome)._tag, "Crashed")
    }))

  it.live("closing the scope ends the run", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent()
      const run = runOf(directories, "script:hang")
      const mark = yield* Effect.scoped(Effect.map(agent.start(run), (process) => process.mark))
      assert.isFalse(isAlive(mark))
      // The lock is free again.
      yield* Effect.scoped(agent.start(runOf(directories, "script:hang", { session: run.session })))
    }))

  it.live("a missing CLI says how to get it, and leaves no lock", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent({ command: "/nowhere/claude" })
      const refused = yield* Effect.flip(agent.start(runOf(directories, "hello")))
      assert.strictEqual(refused.code, agentErrors.notInstalled.code)
      assert.deepStrictEqual(Fs.existsSync(Path.join(directories.state, "locks")), false)
    }))

  it.live("a used run directory is refused, and the session is free again", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent()
      const run = runOf(directories, "script:text")
      Fs.writeFileSync(Path.join(run.runDir, "stdout.jsonl"), "")
      const refused = yield* Effect.flip(agent.start(run))
      assert.strictEqual(refused.code, agentErrors.runDirectory.code)
      assert.deepStrictEqual(Fs.readdirSync(Path.join(directories.state, "locks")), [])
    }))

  it.live("a home that cannot be written is refused before anything runs", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent({ home: "/proc/nothing" })
      const refused = yield* Effect.flip(agent.start(runOf(directories, "hello")))
      assert.strictEqual(refused.code, agentErrors.homeNotWritable.code)
    }))

  it.live("a spent budget is refused before the run, and in the middle of it by the door", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent({ budgetUsd: 0.000_001 })
      const run = runOf(directories, "script:tools:3")
      const outcome = yield* Effect.flatMap(agent.start(run), (process) => process.outcome)
      assert.deepInclude(outcome, { _tag: "Failed", code: agentErrors.budget.code })
      const refused = yield* Effect.flip(agent.start(runOf(directories, "script:text")))
      assert.strictEqual(refused.code, agentErrors.budget.code)
    }))
})

describe("policy", () => {
  it.live("a real model does not run unconfined with permissions: bypass unless that was accepted", () =>
    Effect.gen(function*() {
      const { agent, directories, model } = yield* scriptedAgent({ scripted: false })
      const refused = yield* Effect.flip(agent.start(runOf(directories, "script:text")))
      assert.strictEqual(refused.code, agentErrors.unconfinedRefused.code)
      assert.include(refused.message, "--unconfined")
      assert.deepStrictEqual(Fs.readdirSync(directories.workspace), [])
      assert.deepStrictEqual(yield* model.requests, [])
    }))

  for (
    const [name, more] of [
      ["accepted", { unconfinedAccepted: true }],
      ["asking for permissions", { policy: { permissions: "default", model: "default", trustRepoSettings: false } }]
    ] as const
  ) {
    it.live(`a real model runs unconfined when ${name}, and says so`, () =>
      Effect.gen(function*() {
        const { agent, directories, model } = yield* scriptedAgent({ scripted: false, ...more })
        const outcome = yield* Effect.flatMap(agent.start(runOf(directories, "script:text")), (run) => run.outcome)
        assert.strictEqual(outcome._tag, "Answered")
        assert.match((yield* agent.confinement).detail, /^unconfined: /)
        assert.deepStrictEqual((yield* model.requests).map(({ key }) => key), ["sk-ant-real-key-of-a-test"])
      }))
  }

  it.live("nothing of the runtime's environment reaches the agent", () =>
    Effect.gen(function*() {
      process.env["NOTIFY_SOCKET"] = "/run/canary"
      process.env["KM_CANARY"] = "canary-in-the-environment"
      const { agent, directories } = yield* scriptedAgent()
      const run = runOf(
        directories,
        `script:bash:${Buffer.from("env | sort; tr '\\0' '\\n' < /proc/$PPID/environ").toString("base64url")}`,
        { env: { KM_SLACK_THREAD_TS: "1.2", LD_PRELOAD: "/evil.so", PATH: "/evil" } }
      )
      const outcome = yield* Effect.flatMap(agent.start(run), (running) => running.outcome)
      delete process.env["NOTIFY_SOCKET"]
      delete process.env["KM_CANARY"]
      assert.strictEqual(outcome._tag, "Answered")
      const text = outcome._tag === "Answered" ? outcome.text : ""
      assert.include(text, "KM_SLACK_THREAD_TS=1.2")
      assert.notInclude(text, "canary")
      assert.notInclude(text, "evil")
    }))

  it.effect("the port's confinement says unconfined and why", () =>
    Effect.gen(function*() {
      const { agent } = yield* scriptedAgent()
      const { confined, detail } = yield* agent.confinement
      assert.isFalse(confined)
      assert.match(detail, /^unconfined: /)
      assert.isDefined(Agent)
    }))
})
