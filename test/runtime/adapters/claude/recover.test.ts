/** What a restarted runtime finds of a run that the old one left; the old one is a real process, killed. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as ScriptedModel from "../../../../km-cli/local/model/ScriptedModel.ts"
import { isAlive, marked } from "../../../../runtime/adapters/claude/ProcessTree.ts"
import * as RunFiles from "../../../../runtime/adapters/claude/RunFiles.ts"
import { SessionId } from "../../../../runtime/domain/sandbox/Ids.ts"
import type { AgentRun } from "../../../../runtime/ports/Agent.ts"
import { runAgentProcess } from "../../../support/agentProcessRunner.ts"
import {
  bashScript,
  claudeCommand,
  runOf,
  sandboxDirectories,
  scriptedAgent,
  until
} from "../../../support/ScriptedModel.ts"

describe("recover", () => {
  it.live("ends the agent and its tools that a killed runtime left, frees the session, and finds no result", () =>
    Effect.gen(function*() {
      const directories = yield* sandboxDirectories
      const model = yield* ScriptedModel.start()
      const root = Path.dirname(directories.home)
      const keyFile = Path.join(directories.state, "key")
      Fs.writeFileSync(keyFile, "sk-ant-real")
      const session = SessionId.make(randomUUID())
      const runDir = Path.join(directories.runs, "r1")
      Fs.mkdirSync(runDir, { mode: 0o700 })
      const ready = Path.join(directories.workspace, "ready")
      const running = yield* runAgentProcess({
        command: claudeCommand,
        root,
        upstream: model.url,
        keyFile,
        jailed: false,
        network: "shared",
        hooksPort: 0,
        session,
        runDir,
        messageUuid: randomUUID(),
        prompt: `Ada:\n${bashScript(`setsid tail -f /dev/null & touch ${ready}; tail -f /dev/null`)}`,
        settings: {}
      })
      yield* until(() => Fs.existsSync(ready))
      const marker = Option.match(RunFiles.readRecord(RunFiles.runFiles(runDir)), {
        onNone: () => "none",
        onSome: (record) => record.marker
      })
      yield* running.kill
      // Without a jail it lives on, as the reference says: this is what recover is for.
      assert.isTrue(isAlive(running.started))
      assert.isAtLeast(marked(marker).length, 3)

      const { agent } = yield* scriptedAgent({
        home: directories.home,
        workspace: directories.workspace,
        locks: Path.join(directories.state, "locks")
      })
      const found = yield* agent.recover({ runDir, session, process: Option.some(running.started) })
      assert.deepStrictEqual(found, Option.none())
      assert.isFalse(isAlive(running.started))
      assert.deepStrictEqual(marked(marker), [])
      const next = runOf(directories, "you were interrupted, continue script:text", { session, mode: "resume" })
      const outcome = yield* Effect.flatMap(agent.start(next), (process) => process.outcome)
      assert.strictEqual(outcome._tag, "Answered", JSON.stringify(outcome))
    }))

  it.live("reads the answer of a run that had ended", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent()
      const run = runOf(directories, "hello script:text")
      const outcome = yield* Effect.scoped(Effect.flatMap(agent.start(run), (process) => process.outcome))
      const found = yield* agent.recover({ runDir: run.runDir, session: run.session, process: Option.none() })
      assert.deepStrictEqual(found, Option.some(outcome))
    }))

  it.live("a run directory without anything in it has no result", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent()
      const run = runOf(directories, "hello")
      assert.deepStrictEqual(
        yield* agent.recover({ runDir: run.runDir, session: run.session, process: Option.none() }),
        Option.none()
      )
    }))

  it.live("a torn last line does not count", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent()
      const run = runOf(directories, "hello script:text")
      yield* Effect.scoped(Effect.flatMap(agent.start(run), (process) => process.outcome))
      const { stdout } = RunFiles.runFiles(run.runDir)
      const text = Fs.readFileSync(stdout, "utf8")
      Fs.truncateSync(stdout, Buffer.byteLength(text.slice(0, text.indexOf("\n", text.indexOf("\"type\":\"result\"")))))
      assert.deepStrictEqual(
        yield* agent.recover({ runDir: run.runDir, session: run.session, process: Option.none() }),
        Option.none()
      )
    }))

  it.live("a run killed before the model answered has received nothing; one that had an answer may have acted", () =>
    Effect.gen(function*() {
      const { agent, directories, model } = yield* scriptedAgent({
        settings: () =>
          Effect.succeed({
            hooks: { SessionStart: [{ hooks: [{ type: "command", command: "touch started; sleep 60" }] }] }
          })
      })
      const received = (run: AgentRun) => agent.messageReceived?.(run) ?? Effect.succeed("not told")
      const early = runOf(directories, "hello script:text")
      yield* Effect.scoped(Effect.andThen(
        agent.start(early),
        until(() => Fs.existsSync(Path.join(directories.workspace, "started")))
      ))
      yield* agent.recover({ runDir: early.runDir, session: early.session, process: Option.none() })
      assert.lengthOf(yield* model.requests, 0)
      assert.isFalse(yield* received(early))
      // In the conversation already: a resume finds it there.
      const project = Path.join(directories.home, ".claude", "projects", "p")
      Fs.mkdirSync(project, { recursive: true })
      Fs.writeFileSync(Path.join(project, `${early.session}.jsonl`), `{"type":"user","uuid":"${early.messageUuid}"}\n`)
      assert.isTrue(yield* received(early))

      const whole = yield* scriptedAgent()
      const run = runOf(whole.directories, "hello script:text")
      yield* Effect.scoped(Effect.flatMap(whole.agent.start(run), (process) => process.outcome))
      assert.isTrue(yield* (whole.agent.messageReceived?.(run) ?? Effect.succeed(false)))
      Fs.rmSync(Path.join(whole.directories.home, ".claude"), { recursive: true })
      assert.isTrue(
        yield* (whole.agent.messageReceived?.(run) ?? Effect.succeed(false)),
        "answered is answered, whatever the agent did to its own files"
      )
    }))
})
