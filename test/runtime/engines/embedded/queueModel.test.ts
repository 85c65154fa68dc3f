/** Whatever is asked of the queue, in any order: the embedded engine answers as the queue in memory does. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Option, Schema } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { GroupId, MessageTs, SandboxId, TurnKey } from "../../../../runtime/domain/sandbox/Ids.ts"
import * as EmbeddedEngine from "../../../../runtime/engines/embedded/EmbeddedEngine.ts"
import * as MemorySandboxes from "../../../../runtime/ports/memory/MemorySandboxes.ts"
import { makeMemorySandboxesState } from "../../../../runtime/ports/memory/MemorySandboxes.ts"
import * as MemorySeen from "../../../../runtime/ports/memory/MemorySeen.ts"
import { makeMemorySeenState } from "../../../../runtime/ports/memory/MemorySeen.ts"
import * as MemoryTurnQueue from "../../../../runtime/ports/memory/MemoryTurnQueue.ts"
import { makeMemoryTurnQueueState } from "../../../../runtime/ports/memory/MemoryTurnQueue.ts"
import { Sandboxes } from "../../../../runtime/ports/Sandboxes.ts"
import { Seen } from "../../../../runtime/ports/Seen.ts"
import { TurnQueue } from "../../../../runtime/ports/TurnQueue.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"
import { sandboxRow } from "../../ports/sandboxesContract.ts"

const queue = SandboxId.make("sb-00000001")
const small = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))

/** `key`, `group` and `receipt` are numbers, so that the same ones come up again and again. */
const Step = Schema.Union([
  Schema.Struct({ do: Schema.Literal("send"), key: small(7), group: small(2) }),
  Schema.Struct({ do: Schema.Literal("accept"), key: small(7), group: small(2), seen: small(7), life: small(1) }),
  Schema.Struct({ do: Schema.Literal("accept"), key: small(7), group: small(2), seen: small(7), life: small(0) }),
  Schema.Struct({ do: Schema.Literal("end") }),
  Schema.Struct({ do: Schema.Literal("receive") }),
  Schema.Struct({ do: Schema.Literal("receive") }),
  Schema.Struct({ do: Schema.Literal("delete"), receipt: small(5) }),
  Schema.Struct({ do: Schema.Literal("extend"), receipt: small(5), seconds: small(40) }),
  Schema.Struct({ do: Schema.Literal("replace"), key: small(7) }),
  Schema.Struct({ do: Schema.Literal("withdraw"), key: small(7) }),
  Schema.Struct({ do: Schema.Literal("redrive"), key: small(7) }),
  Schema.Struct({ do: Schema.Literal("wait"), seconds: small(30) }),
  Schema.Struct({ do: Schema.Literal("waitLong") })
])
type Step = typeof Step.Type

const keyOf = (n: number) => TurnKey.make(`key-${n}`)

/** One queue with the receipts that it gave, newest last. */
const subject = Effect.gen(function*() {
  const turns = yield* TurnQueue
  const sandboxes = yield* Sandboxes
  const seen = yield* Seen
  yield* turns.create(queue)
  yield* sandboxes.insert(sandboxRow(queue, { generation: "0" }))
  const receipts: Array<string> = []
  const newest = (n: number) => receipts.at(-1 - n) ?? "none"
  const act = (step: Step, n: number): Effect.Effect<unknown, unknown> => {
    switch (step.do) {
      case "send":
        return turns.send(queue, { key: keyOf(step.key), group: GroupId.make(`g${step.group}`), body: `body ${n}` })
      case "accept":
        return turns.accept(
          queue,
          { key: keyOf(step.key), group: GroupId.make(`g${step.group}`), body: `body ${n}` },
          {
            generation: `${step.life}`,
            seen: [`client:${step.seen}`],
            ts: MessageTs.make(`1700000000.00000${step.key}`)
          }
        )
      case "end":
        // And begun anew: a life without an end would leave little to compare.
        return Effect.andThen(
          sandboxes.update(queue, { status: "destroying" }),
          Effect.ensuring(
            turns.accept(queue, { key: keyOf(0), group: GroupId.make("g0"), body: "late" }, {
              generation: "0",
              seen: []
            }),
            Effect.orDie(sandboxes.update(queue, { status: "running" }))
          )
        )
      case "receive":
        return Effect.map(
          turns.receive(queue, { wait: Duration.zero, visibility: Duration.seconds(20) }),
          Option.match({
            onNone: () => "none",
            onSome: ({ receipt, ...entry }) => {
              receipts.push(receipt)
              return entry
            }
          })
        )
      case "delete":
        return turns.delete(queue, newest(step.receipt))
      case "extend":
        return turns.extend(queue, newest(step.receipt), Duration.seconds(step.seconds))
      case "replace":
        return turns.replace(queue, keyOf(step.key), `replaced ${n}`)
      case "withdraw":
        return turns.withdraw(queue, keyOf(step.key))
      case "redrive":
        return turns.redrive(queue, keyOf(step.key), "0")
      default:
        return Effect.void
    }
  }
  /** What the step says and what is then there; errors by their names. */
  return Effect.fnUntraced(function*(step: Step, n: number) {
    const said = yield* Effect.match(act(step, n), {
      onFailure: (error) => error instanceof Error ? error.name : "failed",
      onSuccess: (value) => value
    })
    const dead = yield* turns.deadLetters(queue)
    const keys = yield* turns.keys(queue)
    const held = yield* Effect.forEach(keys, ({ key }) => turns.get(queue, key))
    const ahead = yield* Effect.forEach(keys, (message) => turns.ahead(queue, message))
    const ofGroup = yield* turns.keys(queue, GroupId.make("g0"))
    const known = yield* Effect.forEach([0, 1, 2, 3, 4, 5, 6, 7], (key) => seen.find([`client:${key}`]))
    const depth = yield* turns.depth(queue)
    return { said, keys, ofGroup, held, ahead, depth, dead, known, row: yield* sandboxes.get(queue) }
  })
})

const inMemory = Layer.suspend(() => {
  const rows = makeMemorySandboxesState()
  const seen = makeMemorySeenState()
  return Layer.mergeAll(
    MemorySandboxes.layerOver(rows),
    MemorySeen.layerOver(seen),
    MemoryTurnQueue.layerOver(makeMemoryTurnQueueState({ rows: rows.rows, seen }))
  )
})
const embedded = Layer.unwrap(Effect.map(temporaryDirectory, (directory) => EmbeddedEngine.layer(directory)))

describe("the queue of the embedded engine", () => {
  it.effect.prop(
    "answers as the one in memory does",
    [Schema.Array(Step).check(Schema.isMinLength(20), Schema.isMaxLength(60))],
    ([steps]) =>
      Effect.scoped(Effect.gen(function*() {
        const memory = yield* Effect.provide(subject, inMemory)
        const tables = yield* Effect.provide(subject, yield* Layer.build(embedded))
        for (const [n, step] of steps.entries()) {
          if (step.do === "wait") yield* TestClock.adjust(Duration.seconds(step.seconds))
          if (step.do === "waitLong") yield* TestClock.adjust("5 minutes")
          const expected = yield* memory(step, n)
          const found = yield* tables(step, n)
          assert.deepStrictEqual(found, expected, `step ${n}: ${JSON.stringify(step)}`)
        }
      })),
    { arbitrary: { runs: 25 } }
  )
})
