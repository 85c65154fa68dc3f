/**
 * Random lives of questions: calls, clicks (right, wrong, double, late), stops, deaths of bridge and runtime at any durable
 * step, controls that come twice. Decided other than once, used other than once, or a click without an answer: never.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import { UserId } from "../../../runtime/domain/sandbox/Ids.ts"
import { callHash } from "../../../runtime/kernel/questions/ShownCall.ts"
import type { Consent } from "../../../runtime/ports/Agent.ts"
import { buttonsOf, calm, makeQuestionWorld, people, quietly } from "../../support/QuestionWorld.ts"

const small = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))
const Happening = Schema.Union([
  Schema.TaggedStruct("Call", { which: small(2) }),
  Schema.TaggedStruct("Click", {
    message: small(3),
    who: small(2),
    choice: Schema.Literals(["approve", "approve", "deny"]),
    /** The button of another message, or one that was pressed when it had gone. */
    stale: Schema.Literals([false, false, true]),
    /** Somebody else presses the other button in the same moment. */
    double: Schema.Boolean
  }),
  Schema.TaggedStruct("Pass", { seconds: Schema.Literals([1, 5, 60, 400]) }),
  Schema.TaggedStruct("BridgeDies", { fuse: small(12) }),
  Schema.TaggedStruct("RuntimeDies", { fuse: small(10) }),
  Schema.TaggedStruct("Redelivered", {}),
  Schema.TaggedStruct("Stop", {})
])
const Life = Schema.Array(Happening).check(Schema.isMinLength(1), Schema.isMaxLength(14))

const calls = ["ls", "make", "git push"].map((command, index) => ({
  id: `toolu_${index}`,
  tool: "Bash",
  input: { command }
}))

/** A burnt fuse that never burns down. */
const whole = 1_000_000

const live = Effect.fnUntraced(function*(happenings: ReadonlyArray<typeof Happening.Type>, quorum: number) {
  const world = yield* makeQuestionWorld({ quorum })
  yield* world.startBridge(whole)
  let runtime = yield* world.startRuntime(whole)
  /** What the agent was told, by call; only what its process heard counts. */
  const told: Array<{ readonly command: string; readonly consent: Consent }> = []
  let waiting: Array<Fiber.Fiber<void>> = []
  let unanswered = 0
  const ask = Effect.fnUntraced(function*(which: number) {
    const call = calls[which] ?? calls[0]
    if (call === undefined || world.runtimeIsDead()) return
    const { ask: consent } = runtime
    waiting.push(
      yield* Effect.forkDetach(
        Effect.map(consent(call), (answer) => void told.push({ command: call.input.command, consent: answer })),
        { startImmediately: true }
      )
    )
  })
  const restartRuntime = Effect.fnUntraced(function*(fuse: number) {
    yield* Effect.forkDetach(Fiber.interruptAll(waiting))
    waiting = []
    runtime = yield* world.startRuntime(fuse)
  })

  const seen = new Map<string, string>()
  for (const happening of happenings) {
    // A program that died is started again, as its supervisor does.
    if (world.bridgeIsDead()) yield* world.startBridge(whole)
    if (world.runtimeIsDead()) yield* restartRuntime(whole)
    const messages = [...world.slack.values()]
    for (const { built, ts } of messages) {
      const value = buttonsOf(built)[0]
      if (value !== undefined) seen.set(ts, value)
    }
    switch (happening._tag) {
      case "Call":
        yield* ask(happening.which)
        break
      case "Click": {
        const message = messages[happening.message % Math.max(1, messages.length)]
        if (message === undefined) break
        const other = messages[(happening.message + 1) % messages.length]
        const value = happening.stale ? seen.get(other?.ts ?? "") : buttonsOf(message.built)[0] ?? seen.get(message.ts)
        if (value === undefined) break
        const choices = happening.double ? [happening.choice, "deny", "approve"] as const : [happening.choice]
        const clicking = yield* Effect.forEach(choices, (choice, index) =>
          Effect.forkDetach(
            world.click(message, value, people[(happening.who + index) % people.length] ?? people[0], choice),
            { startImmediately: true }
          ))
        yield* calm
        yield* TestClock.adjust("3 seconds")
        const verdicts = yield* Effect.forEach(clicking, Fiber.join)
        // Slack itself shows that nobody answered, which is only right where the bridge was dead.
        if (!world.bridgeIsDead()) unanswered += verdicts.filter((verdict) => verdict === "no answer").length
        break
      }
      case "Pass":
        yield* TestClock.adjust(`${happening.seconds} seconds`)
        break
      case "BridgeDies":
        yield* world.startBridge(happening.fuse)
        break
      case "RuntimeDies":
        yield* restartRuntime(happening.fuse)
        break
      case "Redelivered":
        yield* world.redeliver
        break
      case "Stop":
        if (!world.runtimeIsDead()) yield* Effect.forkDetach(runtime.settled, { startImmediately: true })
        break
    }
    yield* calm
  }
  // Everybody is well again, and time passes.
  yield* world.startBridge(whole)
  // Only a runtime that lives on lets its calls come to their end.
  const killed = world.runtimeIsDead() || world.runtimeIsDoomed()
  if (killed) yield* restartRuntime(whole)
  for (let minute = 0; minute < 12; minute++) {
    yield* TestClock.adjust("1 minute")
    yield* calm
  }
  const hanging = waiting.filter((fiber) => fiber.pollUnsafe() === undefined).length
  yield* runtime.settled
  for (let round = 0; round < 6; round++) {
    yield* TestClock.adjust("5 seconds")
    yield* calm
  }
  yield* Effect.forkDetach(Fiber.interruptAll(waiting))
  yield* world.end
  return { world, told, unanswered, hanging }
})

describe("questions, whatever happens", () => {
  it.effect.prop(
    "each is decided once, in the journal first, used once, shown as it is, and each click is answered",
    [Life, Schema.Literals([1, 1, 2])],
    ([happenings, quorum]) =>
      quietly(Effect.gen(function*() {
        const { hanging, told, unanswered, world } = yield* live(happenings, quorum)
        assert.strictEqual(unanswered, 0, "clicks without an answer")
        assert.strictEqual(hanging, 0, "calls that wait for ever")
        for (const record of world.records()) {
          const { callSha256, n, turn } = record.subject
          const verdicts = new Set(world.sent.filter((one) => one.question === record.id).map(({ verdict }) => verdict))
          assert.isAtMost(verdicts.size, 1, "told one thing")
          const written = world.audited.filter(({ detail }) => detail === `${turn}/ask/${n} Bash ${callSha256}`)
          assert.isAtMost(new Set(written.map(({ action }) => action)).size, 1, "written as one thing")
          if (verdicts.size > 0) assert.isAbove(written.length, 0, "told before it was written")
          assert.notInclude(written.map(({ actor }) => actor), people[2] ?? UserId.make("U00"), "decided by a stranger")
          if (verdicts.has("approved")) {
            assert.strictEqual(new Set(written.map(({ actor }) => actor)).size, quorum)
          }
          assert.notStrictEqual(record.state, "open")
          assert.notStrictEqual(record.state, "deciding")
          assert.strictEqual(record.shownRevision, record.revision)
        }
        for (const { built } of world.slack.values()) assert.deepStrictEqual(buttonsOf(built), [], "buttons vanish")
        // Every consent rests on an approval of its own for this very call.
        for (const { input, tool } of calls) {
          const approvals = world.records().filter((record) =>
            record.verdict === "approved" && record.subject.callSha256 === callHash(tool, input)
          )
          const given = told.filter(({ command, consent }) => command === input.command && consent._tag === "Given")
          assert.isAtMost(given.length, approvals.length, "a consent that nobody gave")
        }
      })),
    { arbitrary: { runs: Number(process.env["KM_QUESTION_RUNS"] ?? 150) } }
  )
})
