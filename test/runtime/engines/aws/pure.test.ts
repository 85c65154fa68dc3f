/** The parts of the AWS engine that need no service: names, order, receipts, attributes, and what may be tried again. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Schema } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { GroupId, InstallName, TurnKey } from "../../../../runtime/domain/sandbox/Ids.ts"
import { SandboxRow } from "../../../../runtime/domain/sandbox/Sandbox.ts"
import { fromItem, toItem } from "../../../../runtime/engines/aws/attributes.ts"
import { Aws, type AwsSettings } from "../../../../runtime/engines/aws/Aws.ts"
import { all, any, compare, exists, is, makeExpression } from "../../../../runtime/engines/aws/conditions.ts"
import { readReceipt, writeReceipt } from "../../../../runtime/engines/aws/receipts.ts"
import { makeArrivals } from "../../../../runtime/engines/aws/rows.ts"
import { itemOf, rowOf } from "../../../../runtime/engines/aws/sandboxRows.ts"
import { tables } from "../../../../runtime/engines/aws/tables.ts"

const settings: AwsSettings = { install: InstallName.make("km"), region: "us-east-1", accountId: "123456789012" }
const request = { service: "sqs", operation: "SendMessage", input: {} } as const
const purpose = { port: "Test", operation: "act" }
const failed = (name: string, httpStatusCode?: number, rest: object = {}) =>
  Object.assign(new Error(`${name} of the test`), {
    name,
    ...(httpStatusCode === undefined ? {} : { $metadata: { httpStatusCode } }),
    ...rest
  })

/** Calls with an answer that always fails so; tells how often and over how many milliseconds it was tried. */
const tried = Effect.fnUntraced(function*(cause: Error, expected: ReadonlyArray<string> = []) {
  let attempts = 0
  const aws = yield* Aws
  const calling = yield* aws.call({ purpose, request, expected }, () => {
    attempts++
    return Promise.reject(cause)
  }).pipe(
    Effect.exit,
    Effect.zip(Clock.currentTimeMillis),
    Effect.forkChild({ startImmediately: true })
  )
  const start = yield* Clock.currentTimeMillis
  while (calling.pollUnsafe() === undefined) {
    yield* Effect.promise(() => Promise.resolve())
    yield* TestClock.adjust("100 millis")
  }
  const [exit, end] = yield* Fiber.join(calling)
  const error = Exit.isFailure(exit) ? yield* Effect.flip(exit) : undefined
  return { attempts, error, millis: end - start }
})

const on = <A, E>(effect: Effect.Effect<A, E, Aws>) => Effect.provide(effect, Aws.layer(settings))

describe("what AWS answers", () => {
  it.effect("what may pass is tried seven times, ever later; what asks us to slow down, later still", () =>
    on(Effect.gen(function*() {
      const lost = yield* tried(failed("TimeoutError"))
      assert.deepInclude(lost.error, { _tag: "StoreError", port: "Test", operation: "act", reason: "Unavailable" })
      assert.strictEqual(lost.attempts, 7)
      assert.isAbove(lost.millis, 4_000)
      assert.isBelow(lost.millis, 9_000)
      const slowed = yield* tried(failed("ThrottlingException", 400))
      assert.strictEqual(slowed.attempts, 7)
      assert.isAbove(slowed.millis, 2.5 * lost.millis)
    })))

  it.effect("is tried again, refused or left to the caller, each by its name", () =>
    on(Effect.gen(function*() {
      const cancelled = (...codes: ReadonlyArray<string>) =>
        failed("TransactionCanceledException", 400, { CancellationReasons: codes.map((Code) => ({ Code })) })
      const once = ["ConditionalCheckFailedException", "TransactionCanceledException"]
      const cases: ReadonlyArray<readonly [Error, attempts: number, expected: string]> = [
        [failed("InternalServerError", 500), 7, "Unavailable"],
        [failed("TooManyRequestsException", 429), 7, "Unavailable"],
        [cancelled("None", "TransactionConflict"), 7, "Unavailable"],
        [cancelled("TransactionConflict", "ConditionalCheckFailed"), 1, "TransactionCanceledException"],
        [failed("ConditionalCheckFailedException", 400), 1, "ConditionalCheckFailedException"],
        [failed("AccessDeniedException", 400), 1, "Denied"],
        [failed("CredentialsProviderError"), 1, "Denied"],
        [failed("ValidationException", 400), 1, "Unavailable"],
        [
          Object.assign(failed("ValidationException", 400), { message: "Item size has exceeded the maximum" }),
          1,
          "TooLarge"
        ]
      ]
      for (const [cause, attempts, expected] of cases) {
        const { attempts: made, error } = yield* tried(cause, once)
        const said = error === undefined ? "" : error._tag === "AwsRefusal" ? error.code : error.reason
        assert.deepStrictEqual([made, said], [attempts, expected], cause.name)
      }
    })))

  it.effect("an answer that does not come is given up, and the request with it", () =>
    on(Effect.gen(function*() {
      let aborted = 0
      const aws = yield* Aws
      const calling = yield* aws.call({ purpose, request }, (signal) =>
        new Promise<never>(() => signal.addEventListener("abort", () => aborted++))).pipe(
          Effect.exit,
          Effect.forkChild({ startImmediately: true })
        )
      yield* TestClock.adjust("2 minutes")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(calling)))
      assert.strictEqual(aborted, 7)
    })))
})

/** JSON has one zero, and so have rows. */
const asJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

describe("rows of the AWS engine", () => {
  it.effect.prop(
    "give back every JSON value",
    [Schema.Record(Schema.String, Schema.Json)],
    ([value]) => Effect.sync(() => assert.deepStrictEqual(fromItem(toItem(value)), asJson(value)))
  )

  it.effect.prop("give back every sandbox", [SandboxRow], ([row]) =>
    Effect.gen(function*() {
      const arrivals = makeArrivals()
      const once = new Map(row.inventory.map((item) => [`${item.kind} ${item.ref}`, item]))
      const whole = { ...row, inventory: [...once.values()] }
      const stored = fromItem(toItem(itemOf(whole, () => arrivals(1))))
      assert.deepStrictEqual(asJson(yield* rowOf(purpose, stored)), asJson(whole))
    }), { arbitrary: { runs: 30 } })

  it.effect.prop(
    "a receipt is read as it was written, whatever the handle is",
    [TurnKey, GroupId, Schema.String, Schema.NonEmptyString],
    ([key, group, handle, name]) =>
      Effect.sync(() => {
        const receipt = { receivedAt: 7, id: name.replaceAll("/", "-"), key, group, handle }
        assert.deepStrictEqual(readReceipt(writeReceipt(receipt)), receipt)
        assert.isUndefined(readReceipt(handle.replaceAll("/", "")))
      })
  )

  it.effect.prop(
    "arrivals sort as text, in the order in which they were given",
    [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 42 })))],
    ([times]) =>
      Effect.sync(() => {
        const arrivals = makeArrivals()
        const given = times.map((time, n) => arrivals(time + (n % 3) / 3))
        assert.deepStrictEqual(given.toSorted(), given)
        assert.strictEqual(new Set(given).size, given.length)
      })
  )

  it("writes conditions with names and values that never clash", () => {
    const expression = makeExpression()
    const text = expression.condition(all(exists("a"), any(is("a", 1), compare(["m", "a"], "<", "x"))))
    assert.strictEqual(text, "(attribute_exists(#n0)) AND ((#n0 = :v0) OR (#n1.#n0 < :v1))")
    assert.strictEqual(
      expression.update({ set: { a: 2, gone: undefined }, setKeysOnce: [["m", "k", 3]], remove: ["b"], add: { c: 1 } }),
      "SET #n0 = :v2, #n1.#n2 = if_not_exists(#n1.#n2, :v3) REMOVE #n3 ADD #n4 :v4"
    )
    assert.deepStrictEqual(expression.rest(), {
      ExpressionAttributeNames: { "#n0": "a", "#n1": "m", "#n2": "k", "#n3": "b", "#n4": "c" },
      ExpressionAttributeValues: {
        ":v0": { N: "1" },
        ":v1": { S: "x" },
        ":v2": { N: "2" },
        ":v3": { N: "3" },
        ":v4": { N: "1" }
      }
    })
  })

  it("no table is named twice, and an index is local where it must not lag", () => {
    assert.strictEqual(new Set(tables.map(({ name }) => name)).size, tables.length)
    const local = tables.flatMap(({ indexes, key }) =>
      indexes.filter(({ kind }) => kind === "local").map((index) => [index.name, index.key.partition === key.partition])
    )
    assert.deepStrictEqual(local, [["queue-index", true]])
  })
})
