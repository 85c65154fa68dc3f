import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Fs from "node:fs"
import { TranscriptPlugin } from "../../../plugins/transcript/TranscriptPlugin.ts"
import { sha256Hex } from "../../../runtime/domain/text/Digest.ts"
import { redactedMark } from "../../../runtime/domain/text/Redactor.ts"
import { visibleOutcome } from "../../../runtime/domain/turn/OutcomeText.ts"
import { AgentOutcome, type TurnRow } from "../../../runtime/domain/turn/Turn.ts"
import { AgentEvent } from "../../../runtime/ports/Agent.ts"
import { sandboxInfo, slackRequest } from "../../support/turnRows.ts"
import {
  agentProcess,
  answered,
  atRest,
  canary,
  display,
  line,
  makeWorld,
  otherSession,
  rowOf,
  runTurn
} from "./transcriptWorld.ts"

describe("transcript: turns of the pipeline", () => {
  it.effect("shows text and tools as they come, and the whole answer at the end, which is then the answer", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { detail, observer } = yield* world.start()
      const row = rowOf(1)
      const scope = yield* Scope.make()
      yield* observer.starting(row).pipe(Scope.provide(scope))
      const agent = yield* agentProcess
      yield* observer.started(row, agent.process).pipe(Scope.provide(scope))
      world.hear(display("I look around.", "m1"))
      yield* atRest
      assert.deepStrictEqual(world.lives(), ["I look around."])
      yield* agent.say(
        AgentEvent.Text({ ordinal: 0, text: "I look around." }),
        AgentEvent.ToolUsed({ id: "t1", name: "Bash", input: { command: `curl -H ${canary}` } }),
        AgentEvent.Text({ ordinal: 1, text: "It is done." })
      )
      yield* atRest
      yield* TestClock.adjust("1 second")
      yield* atRest
      const whole = `I look around.\n\n🔧 Bash: \`curl -H ${redactedMark}\`\n\nIt is done.`
      assert.deepStrictEqual(world.lives(), [whole])
      world.write([
        line.said("hello"),
        line.text("I look around."),
        line.tool("t1", "curl"),
        line.result("t1"),
        line.text("It is done.")
      ])
      yield* agent.exit
      const shown = yield* observer.exited(answered(row, "It is done."))
      assert.deepStrictEqual(world.lives(), [whole])
      assert.deepStrictEqual(shown.map(({ sha256 }) => sha256), [sha256Hex("It is done.")])
      assert.strictEqual(world.bridge.calls.at(-1)?.patience, "durable")
      assert.deepStrictEqual(
        world.bridge.calls.map(({ action }) => "threadTs" in action ? action.threadTs : undefined),
        world.bridge.calls.map(() => slackRequest(1).origin.threadTs)
      )
      assert.notInclude(yield* detail, "hooks are off")
      yield* Scope.close(scope, Exit.void)
    }))

  it.effect("takes what no hook and no output told from the file, and a missing answer from the outcome", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { observer } = yield* world.start()
      world.write([line.said("earlier"), line.text("Of an earlier turn.")])
      const row = rowOf(1, { resumed: true })
      yield* Effect.scoped(observer.starting(row))
      world.write([line.said("now", "p2"), line.text("From the file."), line.tool("t", "ls")])
      Fs.appendFileSync(world.path(), "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"te")
      const shown = yield* observer.exited(answered(row, "From the outcome."))
      assert.strictEqual(world.shown(), "From the file.\n\n🔧 Bash: `ls`\n\nFrom the outcome.")
      assert.strictEqual(shown.length, 1)
    }))

  it.effect("shows nothing as the answer when the turn failed, keeps what was said, and says when hooks are off", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { detail, observer } = yield* world.start()
      const row = rowOf(1)
      const scope = yield* Scope.make()
      yield* observer.starting(row).pipe(Scope.provide(scope))
      const agent = yield* agentProcess
      yield* observer.started(row, agent.process).pipe(Scope.provide(scope))
      yield* agent.say(
        AgentEvent.Text({ ordinal: 0, text: "Half a sen" }),
        AgentEvent.ApiRetry({ attempt: 1, maxRetries: 4, status: 529, error: "overloaded" })
      )
      yield* atRest
      yield* TestClock.adjust("1 second")
      yield* atRest
      assert.include(world.shown(), "retry 1 of 4")
      yield* agent.exit
      const shown = yield* observer.exited({
        ...row,
        state: "answered",
        result: "cancelled",
        outcome: AgentOutcome.cases.Cancelled.make({ by: "anna" })
      })
      assert.deepStrictEqual(shown, [])
      assert.strictEqual(world.shown(), "Half a sen")
      assert.include(yield* detail, "KM-AGT-093")
      yield* Scope.close(scope, Exit.void)
    }))

  it.effect("after a restart shows an exited turn whole, in the same message", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const first = yield* Scope.make()
      const row = rowOf(1)
      const { observer } = yield* world.start().pipe(Scope.provide(first))
      yield* Effect.scoped(observer.starting(row))
      world.hear(display("One.", "m1"))
      yield* atRest
      yield* Scope.close(first, Exit.void)
      world.write([line.said("x"), line.text("One."), line.text("Two.")])
      yield* TestClock.adjust("1 second")
      const second = yield* world.start()
      const shown = yield* second.observer.exited(answered(row, "Two."))
      assert.deepStrictEqual(world.lives(), ["One.\n\nTwo."])
      const again = yield* second.observer.exited(answered(row, "Two."))
      assert.deepStrictEqual(again.map(({ sha256 }) => sha256), shown.map(({ sha256 }) => sha256))
    }))

  it.effect("goes on in the same message when the agent is started a second time", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { observer } = yield* world.start()
      const row = rowOf(1)
      yield* Effect.scoped(observer.starting(row))
      world.write([line.said("x"), line.text("Before the crash.")])
      yield* TestClock.adjust("1 second")
      const restarted = yield* world.start()
      yield* runTurn(world, restarted.observer, rowOf(1, { attempt: 2, resumed: true }), ["After it."], [
        line.said("continue", "p2"),
        line.text("After it.")
      ])
      assert.deepStrictEqual(world.lives(), ["Before the crash.\n\nAfter it."])
    }))

  it.effect("a turn that said nothing has one note: its outcome takes the place of what stood there meanwhile", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { observer } = yield* world.start()
      const failed = AgentOutcome.cases.Failed.make({
        code: "KM-AGT-012",
        reason: "garbage came",
        remedy: "Ask again."
      })
      const blank = AgentOutcome.cases.Answered.make({ text: "\u200b" })
      for (const [n, [result, outcome]] of ([["failed", failed], ["answered", blank]] as const).entries()) {
        const row = rowOf(n + 1)
        const scope = yield* Scope.make()
        yield* observer.starting(row).pipe(Scope.provide(scope))
        const agent = yield* agentProcess
        yield* observer.started(row, agent.process).pipe(Scope.provide(scope))
        yield* agent.say(AgentEvent.ApiRetry({ attempt: 1, maxRetries: 4, status: null, error: "garbage" }))
        yield* atRest
        assert.include(world.lives().at(-1), "retry 1 of 4")
        yield* agent.exit
        const ended: TurnRow = { ...row, state: "answered", result, outcome }
        const shown = yield* observer.exited(ended)
        yield* Scope.close(scope, Exit.void)
        const text = visibleOutcome(ended, (told) => told)
        assert.strictEqual(world.lives().at(-1), text)
        assert.deepStrictEqual(shown.map(({ sha256 }) => sha256), [sha256Hex(text)])
      }
    }))

  it.effect("the answer stands last after any number of steps, and what it cannot show whole it does not claim", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { observer } = yield* world.start()
      const steps = Array.from({ length: 4_100 }, (_, n) => [line.tool(`t${n}`, "x"), line.result(`t${n}`)]).flat()
      const shown = yield* runTurn(world, observer, rowOf(1), ["It is done."], [...steps, line.text("It is done.")])
      assert.deepStrictEqual(shown.map(({ sha256 }) => sha256), [sha256Hex("It is done.")])
      const [live = ""] = world.lives()
      assert.isTrue(live.endsWith("It is done."))
      const lines = live.split("\n").filter((one) => one.startsWith("🔧")).length
      assert.strictEqual(Number(/(\d+) earlier steps, in the attached session/.exec(live)?.[1]) + lines, 4_100)

      for (const [n, answer] of ["word ".repeat(80_000), "\u200b\u2060", "\u001b[0m"].entries()) {
        const row = rowOf(10 + n, { session: otherSession })
        assert.deepStrictEqual(yield* runTurn(world, observer, row, [answer], []), [], answer.slice(0, 20))
      }
    }))

  it.effect("does not hold a turn up when the bridge refuses", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { observer } = yield* world.start()
      world.state.refuse = () => "is_archived"
      assert.deepStrictEqual(yield* runTurn(world, observer, rowOf(1), ["Hi."], [line.text("Hi.")]), [])
    }))
})

describe("transcript: the plugin", () => {
  it("is switched by its flag and by Slack's", () => {
    const { profile } = sandboxInfo
    assert.isTrue(TranscriptPlugin.enabled(profile))
    for (const off of [{ notifySlackEnabled: false }, { notifySlackTranscriptEnabled: false }]) {
      const cli = { ...profile.spec.cli, ...off }
      assert.isFalse(TranscriptPlugin.enabled({ ...profile, spec: { ...profile.spec, cli } }))
    }
    assert.deepStrictEqual(TranscriptPlugin.configure(profile), { notifyOnPermission: false })
  })
})
