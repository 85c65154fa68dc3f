/** Crashes at every point of a turn's life: exactly one visible outcome per message, nothing lost, order kept. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { message, simulate, type SimulationOptions } from "./Simulation.ts"
import type { Act, CrashPoint, Message } from "./World.ts"

/** Fails with the schedule, so that it can be played again, and with all that passed the gate. */
const holds = Effect.fnUntraced(function*(
  messages: ReadonlyArray<Message>,
  crashes: ReadonlyArray<CrashPoint>,
  options?: SimulationOptions
) {
  const { ops, problems, world } = yield* simulate(messages, crashes, options)
  assert.deepStrictEqual(
    problems,
    [],
    `${problems.join("\n")}\ncrashes ${JSON.stringify(crashes)}\n${world.log.join("\n")}`
  )
  return { ops, world }
})

/** Each operation of a clean run, before and after. */
const everyPoint = Effect.fnUntraced(function*(messages: ReadonlyArray<Message>, options?: SimulationOptions) {
  const { ops } = yield* holds(messages, [], options)
  for (let op = 1; op <= ops; op++) {
    yield* holds(messages, [{ op, when: "before" }], options)
    yield* holds(messages, [{ op, when: "after" }], options)
  }
  return ops
})

/** Before and after each operation from `from` to `to`. */
const points = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, n) => [
    { op: from + n, when: "before" as const },
    { op: from + n, when: "after" as const }
  ]).flat()

describe("simulation", () => {
  it.effect("a clean run answers everything in order", () =>
    Effect.gen(function*() {
      const { ops } = yield* holds([message(1, 1), message(1, 2), message(2, 1)], [])
      assert.isAbove(ops, 40)
    }))

  it.effect("a crash of the runtime at any point of one turn", () =>
    Effect.gen(function*() {
      assert.isAbove(yield* everyPoint([message(1, 1)]), 15)
    }))

  it.effect("the same where the agent cannot tell whether it has received the message", () =>
    Effect.gen(function*() {
      assert.isAbove(yield* everyPoint([message(1, 1)], { tellsReceived: false }), 15)
    }))

  it.effect("a crash at any point of three turns in two threads", () =>
    Effect.gen(function*() {
      assert.isAbove(yield* everyPoint([message(1, 1), message(1, 2), message(2, 1)]), 40)
    }))

  it.effect("a crash at any point of a turn whose agent dies once", () =>
    everyPoint([message(1, 1, { acts: [{ do: "die", after: 500 }, { do: "answer", after: 500 }] }), message(1, 2)]))

  it.effect("a crash at any point of a turn whose agent dies always", () =>
    everyPoint([message(1, 1, { acts: [{ do: "die", after: 500 }] }), message(1, 2)]))

  it.effect("a crash at any point of a turn whose agent never starts to work", () =>
    everyPoint([message(1, 1, { acts: [{ do: "stillborn" }] }), message(1, 2, { acts: [{ do: "refuse" }] })]))

  it.effect("a crash at any point of a turn that loses its session", () =>
    everyPoint([
      message(1, 1),
      message(1, 2, { acts: [{ do: "lose-session" }, { do: "answer", after: 500 }], at: 10_000 })
    ]))

  it.effect("a crash at any point of a turn that fails", () =>
    everyPoint([message(1, 1, { acts: [{ do: "fail", after: 300 }] }), message(1, 2)]))

  it.effect("a crash at any point of a message that is delivered four times", () =>
    everyPoint([message(1, 1, { copies: 4 }), message(1, 2, { copies: 2 })]))

  it.effect("agents that never end are ended by the clock", () =>
    Effect.gen(function*() {
      for (const act of [{ do: "hang" }, { do: "stubborn" }] as const) {
        const { world } = yield* holds([message(1, 1, { acts: [act] }), message(1, 2)], [])
        assert.deepStrictEqual([...world.ledger.rows.values()].map((row) => row.result), ["expired", "answered"])
      }
    }))

  it.effect("a crash at any point of a turn that is stopped while it waits, starts, works, and is over", () =>
    Effect.gen(function*() {
      const seen = new Set<string>()
      for (const at of [0, 10, 60, 150, 900, 2_050, 2_500]) {
        const messages = [message(1, 1), message(1, 2)]
        const first = messages[0]
        if (first === undefined) continue
        const stopFirst = {
          prepare: (world, now) => void world.stops.push({ turn: first.request.key, at: now + at })
        } satisfies SimulationOptions
        const { world } = yield* holds(messages, [], stopFirst)
        seen.add(`${world.ledger.rows.get(first.request.key)?.result}`)
        yield* everyPoint(messages, stopFirst)
      }
      assert.deepStrictEqual(seen, new Set(["cancelled", "answered"]))
    }))

  it.effect("the mark comes after ⏳ however long that takes", () =>
    everyPoint([message(1, 1)], {
      prepare: (world) => {
        world.waitMillis = 5_000
      }
    }))

  it.effect("receipts that expire while the runtime is down", () =>
    everyPoint([message(1, 1), message(1, 2)], { downMillis: 300_000 }))

  it.effect("agents that outlive their runtime are ended before anything else", () =>
    everyPoint([message(1, 1), message(1, 2)], {
      prepare: (world) => {
        world.orphans = true
      }
    }))

  it.effect("a second runtime waits for the lease and takes over", () =>
    everyPoint([message(1, 1), message(1, 2)], { twin: true }))

  it.effect("a bridge that is down for ten minutes while people write", () =>
    everyPoint([message(1, 1), message(1, 2), message(2, 1, { at: 60_000 })], {
      prepare: (world, now) => {
        world.bridgeUpAt = now + 600_000
      }
    }))

  it.effect("a full disk, from any moment, for a minute", () =>
    Effect.gen(function*() {
      const messages = [message(1, 1), message(1, 2)]
      for (let from = 0; from <= 6_000; from += 40) {
        yield* holds(messages, [], {
          prepare: (world, now) => {
            world.ledgerFull = { from: now + from, until: now + from + 60_000 }
          }
        })
      }
    }))

  it.effect("origins and observers that die in any call", () =>
    Effect.gen(function*() {
      const messages = [message(1, 1), message(1, 2)]
      const calls = ["prepare", "starting", "settle", "close", "finish"].concat(
        ["starting", "started", "exited", "posted"].map((call) => `observer.${call}`)
      )
      for (const call of calls) {
        const { world } = yield* holds(messages, [], {
          prepare: (started) => {
            for (let number = 1; number <= 3; number++) started.dying.add(`${call} ${number}`)
          }
        })
        assert.isAtLeast(world.calls.get(call) ?? 0, 2, call)
      }
    }))

  it.effect("pairs of crashes in one turn, the second within seven operations of the first", () =>
    Effect.gen(function*() {
      const messages = [message(1, 1)]
      const { ops } = yield* holds(messages, [])
      for (const first of points(1, ops)) {
        for (const second of points(first.op + 1, first.op + 7)) yield* holds(messages, [first, second])
      }
    }))

  const act = Schema.Union([
    Schema.Struct({ do: Schema.Literal("answer"), after: Schema.Literals([50, 2_000, 40_000]) }),
    Schema.Struct({ do: Schema.Literal("die"), after: Schema.Literals([50, 2_000]) }),
    Schema.Struct({ do: Schema.Literal("fail"), after: Schema.Literals([50, 2_000]) }),
    Schema.Struct({ do: Schema.Literals(["stillborn", "hang", "stubborn", "refuse", "lose-session"]) })
  ])
  const schedule = Schema.Struct({
    messages: Schema.Array(Schema.Struct({
      thread: Schema.Literals([1, 2, 3]),
      acts: Schema.Array(act).check(Schema.isMinLength(1), Schema.isMaxLength(3)),
      at: Schema.Literals([0, 500, 3_000, 200_000]),
      copies: Schema.Literals([1, 2, 4])
    })).check(Schema.isMinLength(1), Schema.isMaxLength(5)),
    crashes: Schema.Array(Schema.Struct({
      op: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 120 })),
      when: Schema.Literals(["before", "after"])
    })).check(Schema.isMaxLength(4)),
    stop: Schema.Literals([-1, 0, 100, 2_000]),
    down: Schema.Literals([0, 20_000, 300_000]),
    tellsReceived: Schema.Boolean,
    orphans: Schema.Boolean,
    twin: Schema.Boolean,
    dying: Schema.Array(Schema.Literals(["settle 1", "mark 1", "finish 2", "session 1", "observer.exited 1"])).check(
      Schema.isMaxLength(2)
    )
  })

  it.effect.prop(
    "random schedules of messages, crashes, stops and deaths",
    [schedule],
    ([plan]) =>
      Effect.gen(function*() {
        const sorted = plan.messages.toSorted((a, b) => a.at - b.at)
        const messages = sorted.map((entry, n) =>
          message(entry.thread, n + 1, { acts: entry.acts as ReadonlyArray<Act>, at: entry.at, copies: entry.copies })
        )
        yield* holds(messages, plan.crashes, {
          tellsReceived: plan.tellsReceived,
          downMillis: plan.down,
          twin: plan.twin,
          prepare: (world, now) => {
            world.orphans = plan.orphans
            for (const call of plan.dying) world.dying.add(call)
            const target = messages[0]
            if (plan.stop >= 0 && target !== undefined) {
              world.stops.push({ turn: target.request.key, at: now + plan.stop })
            }
          }
        })
      }),
    { arbitrary: { runs: 300 } }
  )
})
