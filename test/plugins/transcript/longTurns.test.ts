/** Turns of thousands of steps: what is folded, what is shown, and that the answer is never lost. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { LiveInput } from "../../../plugins/transcript/LiveInput.ts"
import {
  emptyModel,
  endsWith,
  fold,
  keptEntries,
  maxEntries,
  reconcile
} from "../../../plugins/transcript/LiveModel.ts"
import { liveText } from "../../../plugins/transcript/LiveText.ts"

type Told = LiveInput & { readonly _tag: "Text" | "Tool" }

const same = (text: string) => text
const foldAll = (inputs: ReadonlyArray<LiveInput>) => inputs.reduce(fold, emptyModel)

const tools = (from: number, to: number, by: "hook" | "file"): ReadonlyArray<LiveInput> =>
  Array.from(
    { length: to - from },
    (_, index) => ({ _tag: "Tool", by, id: `t${from + index}`, name: "Bash", input: {} })
  )

/** What a turn did, in order; texts may repeat, unless hooks tell of them. */
const long = (steps: number, random: () => number): ReadonlyArray<Told> =>
  Array.from({ length: steps }, (_, index) =>
    random() < 0.3
      ? { _tag: "Text", by: "file", text: random() < 0.3 ? "Again." : `Text ${index}.` }
      : { _tag: "Tool", by: "file", id: `t${index}`, name: "Bash", input: { command: `run ${index}` } })

/** Standard output in order and up to where the process died; hooks lost, doubled and late. */
const heard = (told: ReadonlyArray<Told>, random: () => number): ReadonlyArray<LiveInput> => {
  const lag = Math.floor(random() * 50)
  const dies = random() < 0.3 ? Math.floor(random() * told.length) : told.length
  const timed: Array<readonly [number, LiveInput]> = []
  let ordinal = 0
  for (const [index, one] of told.entries()) {
    if (index < dies) {
      timed.push([index, { ...one, by: "stdout", ...(one._tag === "Text" ? { ordinal: ordinal++ } : {}) }])
    }
    const copies = random() < 0.2 ? 0 : random() < 0.1 ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      const at = index + (random() - 0.5) * lag
      if (one._tag === "Tool") {
        timed.push([at, { ...one, by: "hook" }], [at, { _tag: "ToolEnd", id: one.id, failed: false }])
      } else if (one.text !== "Again.") {
        timed.push([at, { _tag: "Piece", message: `m${index}`, index: 0, final: true, delta: one.text }])
      }
    }
  }
  return timed.toSorted(([a], [b]) => a - b).map(([, input]) => input)
}

const generator = (seed: number) => {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

const holdsTrue = (steps: number, seed: number) => {
  const random = generator(seed)
  const told = long(steps, random)
  const live = foldAll(heard(told, random))
  assert.isAtMost(live.entries.length, maxEntries)
  let model = live
  for (const when of ["after the file", "told again"]) {
    model = reconcile(model, told)
    assert.strictEqual(model.entries.length + model.folded.count, steps, `${when}, seed ${seed}`)
  }
  const answered = fold(model, { _tag: "Text", by: "file", text: "The answer." })
  assert.isTrue(endsWith(answered, "The answer.", same))
  const text = liveText(answered, same)
  assert.isTrue(text.endsWith("The answer."))
  const counted = Number(/^_… (\d+) earlier steps?, in the attached session_/.exec(text)?.[1] ?? 0)
  assert.strictEqual(counted + answered.entries.length, steps + 1)
}

describe("LiveModel: long turns", () => {
  it("keeps a bounded number of entries, the newest, and counts the folded ones once", () => {
    const full = foldAll(tools(0, maxEntries, "hook"))
    assert.deepStrictEqual([full.entries.length, full.folded.count], [maxEntries, 0])
    const more = tools(maxEntries, maxEntries + 1, "hook").reduce(fold, full)
    assert.deepStrictEqual([more.entries.length, more.folded.count], [keptEntries, maxEntries + 1 - keptEntries])
    for (const by of ["hook", "file"] as const) {
      const again = reconcile(tools(0, maxEntries + 1, by).reduce(fold, more), tools(0, maxEntries + 1, "file"))
      assert.deepStrictEqual(again.entries.map(({ uid }) => uid), more.entries.map(({ uid }) => uid))
      assert.strictEqual(again.folded.count, more.folded.count)
    }
  })

  it("does not fold what is still to grow, unless that is all there is", () => {
    const open: LiveInput = { _tag: "Piece", message: "m", index: 0, final: false, delta: "A text that " }
    const subagent: LiveInput = { _tag: "SubagentStart", agent: "a1", type: "search" }
    const model = foldAll([open, subagent, ...tools(0, 3 * maxEntries, "hook")])
    assert.deepStrictEqual(model.entries.slice(0, 2).map(({ kind }) => kind), ["text", "subagent"])
    const grown = fold(model, { _tag: "Piece", message: "m", index: 1, final: true, delta: "ends." })
    assert.include(liveText(grown, same), "A text that ends.")
    const flood = foldAll(Array.from({ length: 3 * maxEntries }, (_, index) => ({ ...open, message: `m${index}` })))
    assert.isAtMost(flood.entries.length, maxEntries)
    assert.strictEqual(flood.entries.length + flood.folded.count, 3 * maxEntries)
  })

  it.prop(
    "however long a turn is: the answer is shown last, and no step is lost or counted twice",
    [
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 * maxEntries })),
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 31 }))
    ],
    ([steps, seed]) => holdsTrue(steps, seed),
    { arbitrary: { runs: 15 } }
  )

  it("holds for ten thousand steps", () => holdsTrue(10_000, 7))
})
