import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Stream } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { isAlive, marked } from "../../../../runtime/adapters/claude/ProcessTree.ts"
import type { AgentEvent, AgentProcess } from "../../../../runtime/ports/Agent.ts"
import { bashScript, runOf, scriptedAgent } from "../../../support/ScriptedModel.ts"

const untilEvent = (process: AgentProcess, tag: AgentEvent["_tag"]) =>
  process.events.pipe(Stream.filter((event) => event._tag === tag), Stream.runHead)

/** Processes of the one run that are still there. */
const leftOf = (runs: string): ReadonlyArray<number> => {
  const record: unknown = JSON.parse(
    Fs.readFileSync(Path.join(runs, Fs.readdirSync(runs)[0] ?? "", "run.json"), "utf8")
  )
  return marked(String(Object.values(Object(record))[0]))
}

describe("ClaudeAgent, unconfined with the scripted model", () => {
  it.live("runs the demo's script: tools are real, the answer quotes the message", () =>
    Effect.gen(function*() {
      const { agent, directories, model } = yield* scriptedAgent()
      const run = runOf(directories, "please greet the team")
      const process = yield* agent.start(run)
      const events = yield* Stream.runCollect(process.events)
      const outcome = yield* process.outcome
      assert.deepStrictEqual(
        events.map((event) => event._tag),
        ["Initialized", "Text", "ToolUsed", "ToolFinished", "Text", "ToolUsed", "ToolFinished", "Text"]
      )
      assert.strictEqual(outcome._tag, "Answered")
      if (outcome._tag === "Answered") assert.include(outcome.text, "> please greet the team")
      assert.include(
        Fs.readFileSync(Path.join(directories.workspace, "NOTES.md"), "utf8"),
        "please greet the team"
      )
      assert.isTrue(yield* agent.sessionExists(run.session))
      assert.isFalse(isAlive(process.mark))
      const requests = yield* model.requests
      assert.deepStrictEqual(requests.map((request) => [request.session, request.key]), [
        [run.session, "scripted"],
        [run.session, "scripted"],
        [run.session, "scripted"]
      ])
    }))

  it.live("resumes the conversation", () =>
    Effect.gen(function*() {
      const { agent, directories, model } = yield* scriptedAgent()
      const first = runOf(directories, "remember blue script:text")
      yield* Effect.scoped(Effect.flatMap(agent.start(first), (process) => process.outcome))
      const second = runOf(directories, "and now script:text", { session: first.session, mode: "resume" })
      const outcome = yield* Effect.flatMap(agent.start(second), (process) => process.outcome)
      assert.strictEqual(outcome._tag, "Answered")
      const requests = yield* model.requests
      assert.include(requests.at(-1)?.body, "remember blue")
    }))

  it.live("an interrupt ends the run and its tools, and says who asked", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent()
      const pidFile = Path.join(directories.workspace, "pid")
      const process = yield* agent.start(
        runOf(directories, bashScript(`echo $$ > ${pidFile}; trap '' TERM INT; tail -f /dev/null`))
      )
      const watching = yield* Effect.forkChild(untilEvent(process, "ToolUsed"))
      yield* Fiber.join(watching)
      yield* process.interrupt("Ada")
      assert.deepStrictEqual(yield* process.outcome, { _tag: "Cancelled", by: "Ada" })
      assert.isFalse(isAlive(process.mark))
      assert.deepStrictEqual(leftOf(directories.runs), [])
    }))

  it.live("a run that ends by itself ends what it left behind, before its outcome is known", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent()
      const started = Path.join(directories.workspace, "started")
      const tool = `setsid sh -c 'echo > ${started}; exec tail -f /dev/null' < /dev/null > /dev/null 2>&1 & `
        + `until [ -e ${started} ]; do :; done`
      const outcome = yield* Effect.flatMap(
        agent.start(runOf(directories, bashScript(tool))),
        (process) => process.outcome
      )
      assert.strictEqual(outcome._tag, "Answered")
      assert.isTrue(Fs.existsSync(started))
      assert.deepStrictEqual(leftOf(directories.runs), [])
    }))

  it.live("a run without a result line has crashed", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent()
      const run = runOf(directories, "script:hang")
      const running = yield* agent.start(run)
      yield* untilEvent(running, "Initialized")
      process.kill(running.mark.pid, "SIGKILL")
      const outcome = yield* running.outcome
      assert.strictEqual(outcome._tag, "Crashed")
      assert.deepStrictEqual(
        yield* agent.recover({ runDir: run.runDir, session: run.session, process: Option.none() }),
        Option.none()
      )
    }))
})
