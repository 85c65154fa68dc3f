/** One budget per workspace and method, on a clock of the test's own. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import {
  CallBudget,
  type CallPurpose,
  paceMillis,
  type PlannedCall
} from "../../../../runtime/domain/slack/CallBudget.ts"

const limits: Readonly<Record<string, number>> = { "chat.update": 50, "chat.postMessage": 300, "reactions.remove": 20 }
const Method = Schema.Literals(["chat.update", "chat.postMessage", "reactions.remove"])
const Purpose = Schema.Literals(["outcome", "question", "first", "live", "working"])
/** What is asked for, how long after the call before, and how long Slack takes. */
const Asked = Schema.Array(Schema.Struct({
  method: Method,
  purpose: Purpose,
  channel: Schema.Literals(["C1", "C2"]),
  pause: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 900 })),
  latency: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 6_000 })),
  /** Where in its latency Slack counts the call, in percent. */
  counted: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 }))
})).check(Schema.isMinLength(60), Schema.isMaxLength(400))

interface Went {
  readonly call: PlannedCall
  readonly order: number
  readonly askedAt: number
  readonly at: number
  readonly countedAt: number
}

/** Runs them all to their ends; every call that was asked for has gone. */
const run = (asked: typeof Asked.Type): ReadonlyArray<Went> => {
  const budget = new CallBudget<number>()
  const went: Array<Went> = []
  let now = 0
  const arrivals = asked.map((one, order) => ({ ...one, order, askedAt: now += one.pause }))
  const ends: Array<{ readonly id: number; readonly at: number }> = []
  now = 0
  let next = 0
  while (went.length < asked.length || ends.length > 0) {
    for (; (arrivals[next]?.askedAt ?? Infinity) <= now; next++) {
      const one = arrivals[next]
      if (one !== undefined) budget.ask(one.order, one)
    }
    for (const end of ends.filter(({ at }) => at <= now)) {
      budget.finish(end.id, now)
      ends.splice(ends.indexOf(end), 1)
    }
    for (const id of budget.grant(now)) {
      const one = arrivals[id]
      if (one === undefined) continue
      went.push({
        call: one,
        order: id,
        askedAt: one.askedAt,
        at: now,
        countedAt: now + one.latency * one.counted / 100
      })
      ends.push({ id, at: now + one.latency })
    }
    const times = [arrivals[next]?.askedAt, budget.next(now), ...ends.map(({ at }) => at)].filter((at) =>
      at !== undefined
    )
    if (times.length === 0) break
    now = Math.max(now + 1, Math.min(...times))
  }
  assert.lengthOf(went, asked.length)
  assert.strictEqual(budget.waiting, 0)
  return went
}

const call = (purpose: CallPurpose, method = "chat.update", channel = "C1"): PlannedCall => ({
  method,
  purpose,
  channel
})

const post = (channel: string) => call("outcome", "chat.postMessage", channel)

describe("the budget of calls to Slack", () => {
  it.prop(
    "lets every call go, and never more in any minute than Slack takes, wherever Slack counts them",
    [Asked],
    ([asked]) => {
      const went = run(asked)
      for (const [method, limit] of Object.entries(limits)) {
        const counted = went.filter(({ call: { method: of } }) => of === method).map(({ countedAt }) => countedAt)
        for (const from of counted) {
          assert.isAtMost(counted.filter((at) => at >= from && at < from + 60_000).length, limit, method)
        }
      }
    }
  )

  it.prop("keeps live text at its pace, and a tenth of the budget free of it", [Asked], ([asked]) => {
    const live = run(asked.map((one) => ({ ...one, method: "chat.update" as const })))
      .filter(({ call: { purpose } }) => purpose === "live")
    for (const [index, { at }] of live.entries()) {
      const before = live[index - 1]
      if (before !== undefined) assert.isAtLeast(at - before.at, Math.floor(paceMillis("chat.update")))
      assert.isAtMost(live.filter((other) => other.at >= at && other.at < at + 60_000).length, 45)
    }
  })

  it.prop("never lets one go before a more urgent one that waits for the same", [Asked], ([asked]) => {
    const rank = { outcome: 0, question: 1, first: 2, live: 3, working: 3 }
    const went = run(asked)
    for (const late of went) {
      for (const early of went) {
        const same = early.call.method === late.call.method && early.call.channel === late.call.channel
        const urgent = rank[late.call.purpose as keyof typeof rank] < rank[early.call.purpose as keyof typeof rank]
        if (same && urgent && late.askedAt < early.at) assert.isAtMost(late.at, early.at)
      }
    }
  })

  it("gives live messages their pace: n of them change every n × 60/45 s", () => {
    assert.closeTo(paceMillis("chat.update"), 60_000 / 45, 0.001)
    const budget = new CallBudget<string>()
    const shown = new Map<string, Array<number>>()
    const streams = Array.from({ length: 10 }, (_, index) => `s${index}`)
    for (const stream of streams) budget.ask(stream, call("live"))
    for (let now = 0; now < 120_000; now += 10) {
      for (const stream of budget.grant(now)) {
        shown.set(stream, [...shown.get(stream) ?? [], now])
        budget.finish(stream, now)
        budget.ask(stream, call("live"))
      }
    }
    for (const stream of streams) {
      const times = shown.get(stream) ?? []
      for (const [index, at] of times.entries()) {
        if (index > 0) assert.closeTo(at - (times[index - 1] ?? 0), 10 * 60_000 / 45, 150)
      }
    }
  })

  it("a shorter Retry-After never shortens a longer one", () => {
    const budget = new CallBudget<number>()
    budget.block(call("outcome"), 0, 30_000)
    budget.block(call("live"), 1_000, 1_000)
    budget.ask(1, call("outcome"))
    assert.deepStrictEqual(budget.grant(29_999), [])
    assert.strictEqual(budget.next(2_000), 30_000)
    budget.block(call("outcome"), 2_000, 60_000)
    assert.strictEqual(budget.next(2_000), 62_000)
    assert.deepStrictEqual(budget.grant(62_000), [1])
    // One without a time is a second.
    budget.block(call("outcome"), 70_000, 0)
    budget.ask(2, call("outcome"))
    assert.strictEqual(budget.next(70_000), 71_000)
  })

  it("holds back the channel that Slack refused, and the workspace once it refuses two", () => {
    const budget = new CallBudget<number>()
    budget.block(post("C1"), 0, 30_000)
    budget.ask(1, post("C1"))
    budget.ask(2, post("C2"))
    assert.deepStrictEqual(budget.grant(0), [2])
    budget.block(post("C2"), 1_000, 10_000)
    budget.ask(3, post("C3"))
    assert.deepStrictEqual(budget.grant(10_999), [])
    assert.deepStrictEqual(budget.grant(11_000), [3])
    assert.deepStrictEqual(budget.grant(30_000), [1])
  })

  it("a shorter Retry-After never shortens a longer one of a channel, nor the workspace's", () => {
    const budget = new CallBudget<number>()
    budget.block(post("C1"), 0, 30_000)
    budget.block(post("C1"), 1_000, 1_000)
    budget.ask(1, post("C1"))
    assert.strictEqual(budget.next(2_000), 30_000)
    assert.deepStrictEqual(budget.grant(29_999), [])
    // A second channel: from here on it is the workspace's.
    budget.block(post("C2"), 2_000, 20_000)
    budget.block(post("C2"), 3_000, 1_000)
    budget.ask(2, post("C3"))
    assert.deepStrictEqual(budget.grant(21_999), [])
    assert.deepStrictEqual(budget.grant(22_000), [2])
    assert.deepStrictEqual(budget.grant(30_000), [1])
  })

  it("takes what is withdrawn, or was not used, out of the count", () => {
    const budget = new CallBudget<number>()
    for (let id = 0; id < 49; id++) budget.ask(id, call("outcome"))
    assert.lengthOf(budget.grant(0), 49)
    for (let id = 0; id < 49; id++) budget.finish(id, 0)
    budget.ask(100, call("live"))
    budget.ask(101, call("first"))
    budget.ask(102, call("first"))
    assert.deepStrictEqual(budget.grant(0), [101])
    assert.isTrue(budget.withdraw(102))
    assert.isFalse(budget.withdraw(102))
    assert.isFalse(budget.withdraw(101))
    budget.finish(101, 0, false)
    budget.ask(103, call("outcome"))
    assert.deepStrictEqual(budget.grant(0), [103])
    // Live text waits for its tenth, and for the call that is still on its way.
    assert.deepStrictEqual(budget.grant(59_999), [])
    assert.deepStrictEqual(budget.grant(60_000), [100])
    // A place that nobody knows of is nobody's.
    budget.finish(999, 0)
  })
})
