/** The queue's processes end between any two of their requests, before or behind an effect: nothing is lost, doubled or overtaken. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Layer, Option } from "effect"
import { inject } from "vitest"
import { GroupId, MessageTs, SandboxId, TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import { Aws, type AwsAround, type AwsSettings } from "../../runtime/engines/aws/Aws.ts"
import * as AwsEngine from "../../runtime/engines/aws/AwsEngine.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { sandboxRow } from "../runtime/ports/sandboxesContract.ts"
import { failure, makeCrash } from "./faults.ts"
import { openAccount, withAround } from "./SteeredAws.ts"

const queue = SandboxId.make("sb-00000001")
const group = GroupId.make("C1:1")
const keyOf = (name: string) => TurnKey.make(`T1:C1:${name}`)
const entry = (name: string) => ({ key: keyOf(name), group, body: name })
const numberOf = (name: string) => name.charCodeAt(0) - 96
const terms = (name: string) => ({
  generation: "1",
  seen: [`turn:${name}`, `client:${name}`],
  ts: MessageTs.make(`1700000000.00000${numberOf(name)}`)
})
const visibility = Duration.seconds(30)
const options = { wait: Duration.zero, visibility }

type Turns = TurnQueue["Service"]

/** A process of its own: what it knows beside the rows ends with it. */
const processOn = (settings: AwsSettings, ...around: ReadonlyArray<AwsAround>) =>
  Layer.build(Layer.fresh(Layer.provide(AwsEngine.layer, Aws.layer(withAround(settings, ...around))))).pipe(
    Effect.map((context) => ({
      turns: Effect.provide(TurnQueue, context),
      sandboxes: Effect.provide(Sandboxes, context)
    })),
    Effect.flatMap(({ sandboxes, turns }) => Effect.all({ sandboxes, turns }))
  )

const accept = (turns: Turns, name: string) => turns.accept(queue, entry(name), terms(name))

const mustReceive = (turns: Turns) => Effect.map(turns.receive(queue, options), Option.getOrThrow)

interface Scene {
  readonly turns: Turns
  readonly passing: (duration: Duration.Input) => Effect.Effect<void>
}

/** What each method begins with, what it does, what people do again, and what must come of it in which order. */
interface Case {
  readonly name: string
  /** Returns what the method needs. */
  readonly before: (scene: Scene) => Effect.Effect<string, unknown>
  readonly act: (turns: Turns, receipt: string) => Effect.Effect<unknown, unknown>
  readonly again?: (turns: Turns) => Effect.Effect<unknown, unknown>
  /** Messages that come out, in their order; one in brackets may be missing. */
  readonly comes: ReadonlyArray<string>
}

const twoWait = ({ turns }: Scene) => Effect.as(Effect.forEach(["a", "b"], (name) => accept(turns, name)), "")
const firstHeld = (scene: Scene) =>
  Effect.andThen(twoWait(scene), Effect.map(mustReceive(scene.turns), ({ receipt }) => receipt))
const firstDead = (scene: Scene) =>
  Effect.gen(function*() {
    yield* accept(scene.turns, "a")
    const brief = { wait: Duration.zero, visibility: Duration.seconds(1) }
    for (let count = 0; count < 6; count++) {
      yield* scene.turns.receive(queue, brief)
      yield* scene.passing("2 seconds")
    }
    assert.lengthOf(yield* scene.turns.deadLetters(queue), 1)
    yield* accept(scene.turns, "b")
    return ""
  })

const cases: ReadonlyArray<Case> = [
  {
    name: "accept, and Slack sends the event again",
    before: twoWait,
    act: (turns) => accept(turns, "c"),
    again: (turns) => accept(turns, "c"),
    comes: ["a", "b", "c"]
  },
  {
    name: "accept, and nobody sends it again",
    before: twoWait,
    act: (turns) => accept(turns, "c"),
    comes: ["a", "b", "[c]"]
  },
  {
    name: "accept of a thread's first message",
    before: () => Effect.succeed(""),
    act: (turns) => accept(turns, "a"),
    again: (turns) => accept(turns, "a"),
    comes: ["a"]
  },
  {
    name: "send",
    before: twoWait,
    act: (turns) => turns.send(queue, entry("c")),
    again: (turns) => turns.send(queue, entry("c")),
    comes: ["a", "b", "c"]
  },
  { name: "receive", before: twoWait, act: (turns) => turns.receive(queue, options), comes: ["a", "b"] },
  {
    name: "receive of what dies now",
    before: (scene) =>
      Effect.andThen(
        twoWait(scene),
        Effect.as(
          Effect.repeat(
            Effect.andThen(
              scene.turns.receive(queue, { wait: Duration.zero, visibility: Duration.seconds(1) }),
              scene.passing("2 seconds")
            ),
            { times: 4 }
          ),
          ""
        )
      ),
    act: (turns) => turns.receive(queue, options),
    comes: ["b"]
  },
  {
    name: "extend",
    before: firstHeld,
    act: (turns, receipt) => turns.extend(queue, receipt, Duration.seconds(60)),
    comes: ["a", "b"]
  },
  { name: "delete", before: firstHeld, act: (turns, receipt) => turns.delete(queue, receipt), comes: ["[a]", "b"] },
  { name: "withdraw", before: twoWait, act: (turns) => turns.withdraw(queue, keyOf("a")), comes: ["[a]", "b"] },
  { name: "replace", before: twoWait, act: (turns) => turns.replace(queue, keyOf("a"), "a"), comes: ["a", "b"] },
  {
    name: "redrive, and the operator asks again",
    before: firstDead,
    act: (turns) => turns.redrive(queue, keyOf("a"), "1"),
    again: (turns) => turns.redrive(queue, keyOf("a"), "1"),
    comes: ["b", "a"]
  }
]

/** Receives and settles until nothing comes for ten minutes. */
const drain = Effect.fnUntraced(function*({ passing, turns }: Scene) {
  const settled: Array<string> = []
  for (let idle = 0; idle < 20;) {
    const received = yield* turns.receive(queue, options)
    if (Option.isNone(received)) {
      idle++
      yield* passing("31 seconds")
      continue
    }
    assert.notInclude(settled, received.value.body)
    yield* turns.delete(queue, received.value.receipt)
    settled.push(received.value.body)
    idle = 0
  }
  assert.deepStrictEqual(yield* turns.depth(queue), {
    waiting: 0,
    inFlight: 0,
    dead: (yield* turns.deadLetters(queue)).length
  })
  return settled
})

const plain = (name: string) => name.replaceAll(/[[\]]/g, "")

describe("the queue's processes end at any request", () => {
  for (const { act, again, before, comes, name } of cases) {
    it.effect(name, () =>
      Effect.scoped(Effect.gen(function*() {
        let crashed = 0
        for (let call = 0;; call++) {
          let over = false
          for (const side of ["before", "after"] as const) {
            const { passing, settings } = yield* openAccount(inject("moto"))
            const whole = yield* processOn(settings)
            yield* whole.turns.create(queue)
            yield* whole.sandboxes.insert(sandboxRow(queue))
            const scene = { turns: whole.turns, passing }
            const receipt = yield* before(scene)
            yield* passing("10 millis")
            const crash = makeCrash()
            const dying = yield* processOn(settings, crash.around)
            yield* crash.at(call, side)
            const exit = yield* Effect.exit(act(dying.turns, receipt))
            if (crash.reached() <= call) {
              assert.isTrue(Exit.isSuccess(exit), `without a crash: ${exit}`)
              over = true
            } else {
              crashed++
              assert.isTrue(Exit.isFailure(exit))
            }
            yield* passing("2 seconds")
            const next = yield* processOn(settings)
            if (again !== undefined) yield* again(next.turns)
            const found = yield* drain({ turns: next.turns, passing })
            const missing = comes.filter((one) => !found.includes(plain(one)))
            const where = `${side} call ${call}`
            assert.deepStrictEqual(missing.filter((one) => !one.startsWith("[")), [], where)
            assert.deepStrictEqual(found, comes.map(plain).filter((one) => found.includes(one)), where)
          }
          if (over) break
        }
        assert.isAtLeast(crashed, 2)
      })))
  }

  it.effect("two functions commit A, B and send B, A: A comes first", () =>
    Effect.scoped(Effect.gen(function*() {
      const { passing, settings } = yield* openAccount(inject("moto"))
      const [sent, mayCome] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const slow = yield* processOn(settings, (request, send) =>
        request.operation === "SendMessage"
          ? Effect.andThen(Deferred.succeed(sent, undefined), Effect.andThen(Deferred.await(mayCome), send))
          : send)
      const quick = yield* processOn(settings)
      yield* quick.turns.create(queue)
      yield* quick.sandboxes.insert(sandboxRow(queue))
      const first = yield* Effect.forkChild(accept(slow.turns, "a"), { startImmediately: true })
      yield* Deferred.await(sent)
      yield* accept(quick.turns, "b")
      const early = yield* mustReceive(quick.turns)
      assert.strictEqual(early.body, "a")
      yield* Deferred.succeed(mayCome, undefined)
      yield* Fiber.join(first)
      // A's own ticket waits behind the one that is held, and then serves B.
      assert.isTrue(Option.isNone(yield* quick.turns.receive(queue, options)))
      yield* quick.turns.delete(queue, early.receipt)
      assert.deepStrictEqual(yield* drain({ turns: quick.turns, passing }), ["b"])
    })))

  it.effect("what was done is told as done, although its first answer was lost", () =>
    Effect.scoped(Effect.gen(function*() {
      const { passing, settings } = yield* openAccount(inject("moto"))
      const whole = yield* processOn(settings)
      let lost = 0
      const writes = ["TransactWriteItems", "UpdateItem", "PutItem"]
      const told = new Set<object>()
      // Every write's first answer: the request that is sent again is the same one.
      const deaf = yield* processOn(settings, (request, send) => {
        if (!writes.includes(request.operation) || told.has(request.input)) return send
        told.add(request.input)
        lost++
        return Effect.andThen(send, Effect.fail(failure("TimeoutError")))
      })
      const patient = Effect.fnUntraced(function*<A, E>(effect: Effect.Effect<A, E>) {
        const acting = yield* Effect.forkChild(effect, { startImmediately: true })
        while (acting.pollUnsafe() === undefined) yield* passing("150 millis")
        return yield* Fiber.join(acting)
      })
      yield* whole.turns.create(queue)
      yield* patient(deaf.sandboxes.insert(sandboxRow(queue)))
      assert.isTrue(yield* patient(deaf.sandboxes.update(queue, { expiresAt: 1 }, { generation: "1" })))
      assert.isTrue(yield* patient(deaf.sandboxes.update(queue, { expiresAt: 2 }, { expiresAt: 1 })))
      assert.deepStrictEqual(yield* patient(accept(deaf.turns, "a")), { _tag: "Accepted" })
      assert.deepStrictEqual(yield* patient(accept(deaf.turns, "b")), { _tag: "Accepted" })
      assert.strictEqual(yield* patient(deaf.turns.replace(queue, keyOf("b"), "new")), "replaced")
      const first = yield* patient(mustReceive(deaf.turns))
      assert.deepStrictEqual([first.body, first.receiveCount], ["a", 1])
      yield* patient(deaf.turns.delete(queue, first.receipt))
      assert.strictEqual(yield* patient(deaf.turns.withdraw(queue, keyOf("b"))), "withdrawn")
      assert.deepStrictEqual(yield* whole.turns.depth(queue), { waiting: 0, inFlight: 0, dead: 0 })
      assert.isAtLeast(lost, 8)
    })))

  it.effect("makes no more requests than docs/aws.md says", () =>
    Effect.scoped(Effect.gen(function*() {
      const { passing, settings } = yield* openAccount(inject("moto"))
      const made: Array<string> = []
      const { sandboxes, turns } = yield* processOn(settings, (request, send) => {
        made.push(request.operation)
        return send
      })
      const took = <A, E>(effect: Effect.Effect<A, E>) =>
        Effect.map(Effect.andThen(Effect.sync(() => made.splice(0)), effect), () => made.splice(0))
      yield* turns.create(queue)
      yield* sandboxes.insert(sandboxRow(queue))
      assert.deepStrictEqual(yield* took(turns.receive(queue, options)), ["ReceiveMessage", "Query"])
      assert.deepStrictEqual(yield* took(turns.receive(queue, options)), ["ReceiveMessage"])
      assert.deepStrictEqual(yield* took(accept(turns, "b")), ["TransactWriteItems", "SendMessage"])
      assert.deepStrictEqual(yield* took(accept(turns, "b")), ["TransactWriteItems", "GetItem"])
      yield* passing("1 second")
      assert.deepStrictEqual(yield* took(accept(turns, "b")), ["TransactWriteItems", "GetItem", "SendMessage"])
      assert.deepStrictEqual(
        yield* took(accept(turns, "a")),
        ["TransactWriteItems", "TransactWriteItems", "SendMessage"]
      )
      const first = yield* mustReceive(turns)
      assert.deepStrictEqual(made.splice(0), ["ReceiveMessage", "Query", "UpdateItem"])
      const extension = turns.extend(queue, first.receipt, visibility)
      assert.deepStrictEqual(yield* took(extension), ["UpdateItem", "ChangeMessageVisibility"])
      const passed = yield* took(turns.delete(queue, first.receipt))
      assert.deepStrictEqual(passed, ["UpdateItem", "Query", "ChangeMessageVisibility"])
      const second = yield* mustReceive(turns)
      assert.deepStrictEqual(yield* took(turns.delete(queue, second.receipt)), ["UpdateItem", "Query", "DeleteMessage"])
      // The other two tickets are for nothing.
      const surplus = ["ReceiveMessage", "Query", "DeleteMessage"]
      assert.deepStrictEqual(yield* took(turns.receive(queue, options)), [...surplus, ...surplus, "ReceiveMessage"])
    })))

  it.effect("a ticket that comes while its group is in flight is put off, not lost", () =>
    Effect.scoped(Effect.gen(function*() {
      const { passing, settings } = yield* openAccount(inject("moto"))
      // The row is extended, the ticket is not.
      const deaf = yield* processOn(
        settings,
        (request, send) =>
          request.operation === "ChangeMessageVisibility" && "VisibilityTimeout" in request.input &&
            Number(request.input.VisibilityTimeout) === 90
            ? Effect.fail(failure("ReceiptHandleIsInvalid", { $metadata: { httpStatusCode: 400 } }))
            : send
      )
      yield* deaf.turns.create(queue)
      yield* deaf.sandboxes.insert(sandboxRow(queue))
      yield* accept(deaf.turns, "a")
      const { receipt } = yield* mustReceive(deaf.turns)
      yield* deaf.turns.extend(queue, receipt, Duration.seconds(90))
      yield* passing("60 seconds")
      assert.isTrue(Option.isNone(yield* deaf.turns.receive(queue, options)))
      assert.deepStrictEqual(yield* deaf.turns.depth(queue), { waiting: 0, inFlight: 1, dead: 0 })
      yield* passing("32 seconds")
      assert.strictEqual((yield* mustReceive(deaf.turns)).receiveCount, 2)
    })))
})
