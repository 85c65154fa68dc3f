/** The real bridge and the real runtime together: whichever dies, and wherever, each message has one outcome. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { runs } from "../../../support/runs.ts"
import { message } from "./Simulation.ts"
import { play } from "./WholeSystem.ts"
import type { CrashPoint, Message } from "./World.ts"

const holds = Effect.fnUntraced(function*(
  messages: ReadonlyArray<Message>,
  crashes: ReadonlyArray<CrashPoint>,
  options?: Parameters<typeof play>[2]
) {
  const { ops, problems, system } = yield* play(messages, crashes, options)
  assert.deepStrictEqual(
    problems,
    [],
    `${problems.join("\n")}\ncrashes ${JSON.stringify(crashes)}\n${system.world.log.join("\n")}`
  )
  return { ops, system }
})

const before = (op: number): CrashPoint => ({ op, when: "before" })
const after = (op: number): CrashPoint => ({ op, when: "after" })

describe("bridge and runtime", () => {
  it.effect("answer messages in order without a crash", () =>
    Effect.gen(function*() {
      const { ops } = yield* holds([message(1, 1), message(1, 2), message(2, 1)], [])
      assert.isAbove(ops, 80)
    }))

  it.effect("show a turn live and make its last live message the answer", () =>
    Effect.gen(function*() {
      const { system } = yield* holds([message(1, 1), message(1, 2)], [], { transcript: true })
      const live = system.slack.filter(({ text }) => text.startsWith("Looking into it."))
      assert.strictEqual(live.length, 2)
      assert.include(live[0]?.text ?? "", message(1, 1).request.key)
    }))

  it.effect("a crash of either side at any point of one message", () =>
    Effect.gen(function*() {
      const messages = [message(1, 1)]
      const { ops } = yield* holds(messages, [])
      assert.isAbove(ops, 30)
      for (let op = 1; op <= ops; op++) {
        yield* holds(messages, [{ op, when: "before" }])
        yield* holds(messages, [{ op, when: "after" }])
      }
    }))

  it.effect("a crash of either side at any point of one message that is shown live", () =>
    Effect.gen(function*() {
      const messages = [message(1, 1)]
      const { ops, system } = yield* holds(messages, [], { transcript: true })
      assert.include(system.slack.at(-1)?.text ?? "", "Looking into it.")
      for (let op = 1; op <= ops; op++) {
        yield* holds(messages, [{ op, when: "before" }], { transcript: true })
        yield* holds(messages, [{ op, when: "after" }], { transcript: true })
      }
    }))

  it.effect("a message that Slack tells four times at once, as `message` and as `app_mention`", () =>
    Effect.gen(function*() {
      const messages = [message(1, 1, { copies: 4 }), message(1, 2, { copies: 2, at: 500 })]
      const { ops } = yield* holds(messages, [])
      for (let op = 1; op <= ops; op += 3) yield* holds(messages, [{ op, when: "after" }])
    }))

  it.effect("an answer of Slack's that is lost after it has posted", () =>
    Effect.gen(function*() {
      const messages = [message(1, 1), message(1, 2)]
      for (const lostAnswers of [[1], [2], [1, 2]]) {
        yield* holds(messages, [], { lostAnswers })
        for (let op = 10; op <= 60; op += 5) yield* holds(messages, [{ op, when: "before" }], { lostAnswers })
      }
    }))

  it.effect("what was owed when a side died once more is set by the next life", () =>
    Effect.gen(function*() {
      const messages = [message(1, 1), message(1, 2, { at: 300 }), message(2, 1, { copies: 2 })]
      yield* holds(messages, [before(63), before(60), before(107)], { downMillis: 0, lostAnswers: [1] })
      yield* holds(messages, [before(108), after(98), after(54)], { downMillis: 200_000, lostAnswers: [1] })
    }))

  describe("where one person's messages become one turn", () => {
    /** Three in a row, and one a minute later. */
    const burst = [
      message(1, 1),
      message(1, 2, { at: 800 }),
      message(1, 3, { at: 1_500 }),
      message(1, 4, { at: 60_000 })
    ]

    it.effect("what is written in a row is one turn, with one answer and a mark under each", () =>
      Effect.gen(function*() {
        const { system } = yield* holds(burst, [], { debounce: true })
        const [first] = burst
        assert.deepStrictEqual([...system.world.ledger.rows.values()].map((row) => row.joined), [
          undefined,
          first?.request.key,
          first?.request.key,
          undefined
        ])
        assert.strictEqual(system.world.runs.size, 2)
      }))

    it.effect("a crash of either side at any point", () =>
      Effect.gen(function*() {
        const messages = burst.slice(0, 2)
        const { ops } = yield* holds(messages, [], { debounce: true })
        assert.isAbove(ops, 40)
        for (let op = 1; op <= ops; op++) {
          for (const point of [before(op), after(op)]) yield* holds(messages, [point], { debounce: true })
        }
      }))

    it.effect.prop(
      "random messages and crashes",
      [
        Schema.Array(Schema.Literals([0, 400, 2_000, 3_500, 9_000])).check(
          Schema.isMinLength(2),
          Schema.isMaxLength(5)
        ),
        Schema.Array(Schema.Struct({
          op: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 120 })),
          when: Schema.Literals(["before", "after"])
        })).check(Schema.isMaxLength(4)),
        Schema.Literals([0, 500, 20_000, 200_000]),
        Schema.Boolean,
        Schema.Literals([50, 8_000])
      ],
      ([pauses, crashes, downMillis, transcript, takes]) =>
        holds(
          pauses.map((_, n) =>
            message(1, n + 1, {
              at: pauses.slice(0, n).reduce<number>((sum, pause) => sum + pause, 0),
              acts: [{ do: "answer", after: takes }]
            })
          ),
          crashes,
          { debounce: true, downMillis, transcript }
        ),
      runs(60)
    )
  })

  const point = Schema.Struct({
    op: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 110 })),
    when: Schema.Literals(["before", "after"])
  })
  it.effect.prop(
    "random crashes of both sides",
    [
      Schema.Array(point).check(Schema.isMinLength(1), Schema.isMaxLength(4)),
      Schema.Literals([0, 500, 20_000, 200_000]),
      Schema.Array(Schema.Literals([1, 2, 3])).check(Schema.isMaxLength(2)),
      Schema.Boolean
    ],
    ([crashes, downMillis, lostAnswers, transcript]) =>
      holds([message(1, 1), message(1, 2, { at: 300 }), message(2, 1, { copies: 2 })], crashes, {
        downMillis,
        lostAnswers,
        transcript
      }),
    { arbitrary: { runs: 40 } }
  )
})
