/** Reading what another process writes, without keeping this one from its other work. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { readLines, tail } from "../../../../runtime/adapters/claude/LineTail.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"

const line = (index: number): string => `${index} ${"x".repeat(1_000)}`
const lines = Array.from({ length: 20_000 }, (_, index) => line(index))
const whole = lines.map((each) => `${each}\n`).join("")

/** How often the event loop went round while `effect` ran. */
const rounds = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    let count = 0
    let over = false
    const next = (): void => {
      count++
      if (!over) setImmediate(next)
    }
    setImmediate(next)
    return Effect.map(Effect.ensuring(effect, Effect.sync(() => void (over = true))), () => count)
  })

describe("LineTail", () => {
  it.live("lets the event loop go on while it reads a long file that is over", () =>
    Effect.gen(function*() {
      const file = path.join(yield* temporaryDirectory, "output")
      fs.writeFileSync(file, whole)
      const read: Array<string> = []
      const went = yield* rounds(readLines(file, whole.length + 1, (each) => read.push(each)))
      assert.deepStrictEqual(read, lines)
      // 20 MB in pieces of 256 KiB.
      assert.isAtLeast(went, 70)
    }).pipe(Effect.scoped))

  it.live("lets the event loop go on while it catches up, and ends with the last complete line", () =>
    Effect.gen(function*() {
      const file = path.join(yield* temporaryDirectory, "output")
      fs.writeFileSync(file, whole)
      const read: Array<string> = []
      const went = yield* rounds(Effect.gen(function*() {
        const output = yield* tail(file, whole.length * 2, (each) => read.push(each))
        fs.appendFileSync(file, "last\nhalf")
        yield* output.finish
        assert.strictEqual(yield* output.done, "end")
      }))
      assert.deepStrictEqual(read, [...lines, "last"])
      assert.isAtLeast(went, 70)
    }).pipe(Effect.scoped))

  it.live("sees what is written once there was nothing", () =>
    Effect.gen(function*() {
      const file = path.join(yield* temporaryDirectory, "output")
      fs.writeFileSync(file, "")
      const read: Array<string> = []
      const output = yield* tail(file, whole.length, (each) => read.push(each))
      fs.appendFileSync(file, "first\n")
      yield* output.finish
      assert.deepStrictEqual(read, ["first"])
    }).pipe(Effect.scoped))

  it.live("stops at the limit, also when more is there", () =>
    Effect.gen(function*() {
      const file = path.join(yield* temporaryDirectory, "output")
      fs.writeFileSync(file, whole)
      const read: Array<string> = []
      const output = yield* tail(file, 1_000_000, (each) => read.push(each))
      assert.strictEqual(yield* output.done, "too-large")
      yield* output.finish
      assert.isBelow(read.length, 2_000)
    }).pipe(Effect.scoped))
})
