/** The mutation run itself: its list of paths, the mutants it makes, and the copy in which they are switched. */
import { assert, describe, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { stripTypeScriptTypes } from "node:module"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as vm from "node:vm"
import { areas, filesOf, nearestFirst, portable, relatedTests, root, wholeProcessTests } from "./areas.ts"
import { instrument, switchName } from "./instrument.ts"
import { Lane } from "./Lane.ts"
import { mutantsOf } from "./mutations.ts"
import { choose, sampleSize, seeded, shares, spread } from "./sample.ts"

const changes = (source: string): ReadonlyArray<string> =>
  mutantsOf("x.ts", source).map((mutant) =>
    `${mutant.kind}: ${source.slice(0, mutant.start)}${mutant.replacement}${source.slice(mutant.end)}`
  )

/** What a piece of code gives with each of its mutants, and with none (first). */
const outcomes = (source: string): ReadonlyArray<unknown> => {
  const mutants = mutantsOf("x.ts", source).map((mutant, number) => ({ ...mutant, number }))
  const code = stripTypeScriptTypes(instrument(source, mutants))
  return [-1, ...mutants.keys()].map((active) => {
    const context: Record<string, unknown> = { [switchName]: (number: number) => number === active }
    try {
      return vm.runInNewContext(`${code}\nresult`, context)
    } catch {
      return "throws"
    }
  })
}

const filesNamed = (folder: string, ending: string): ReadonlyArray<string> =>
  readdirSync(path.join(root, folder)).filter((name) => name.endsWith(ending)).map((name) =>
    path.join(root, folder, name)
  )

const ids = (seed: number): ReadonlyArray<string> =>
  choose({ seed, full: false, below: undefined }).chosen.map((mutant) => mutant.id)

describe("the mutation run's paths", () => {
  it("each area is there and has files", () => {
    for (const area of areas) {
      assert.isTrue(existsSync(path.join(root, area)), `${area} was moved: name its new place in test/mutants/areas.ts`)
      assert.isAbove(filesOf(area).length, 0, area)
    }
    for (const folder of wholeProcessTests) assert.isTrue(existsSync(path.join(root, folder)), folder)
  })

  it("no file is in two areas", () => {
    const files = areas.flatMap(filesOf)
    assert.deepStrictEqual(files.length, new Set(files).size)
  })

  it("each area has tests that reach it in their own process", () => {
    for (const area of areas) assert.isAbove(relatedTests(new Set(filesOf(area))).length, 0, area)
  })

  it("a file area takes along what it imports from its own folder", () => {
    assert.include(filesOf("plugins/email/protocol/readMail.ts"), "plugins/email/protocol/readV2.ts")
  })
})

const direct = (file: string) => readFileSync(path.join(root, file), "utf8").includes("/turns/TurnMachine.ts\"")

describe("the tests of a mutant", () => {
  it("are asked by nearness: its own, then those that import it, then its folder's, then the rest", () => {
    const source = "runtime/kernel/turns/TurnMachine.ts"
    const order = nearestFirst(source, relatedTests(new Set([source])))
    assert.match(order[0] ?? "", /\/TurnMachine\.test\.ts$/)
    const count = order.filter(direct).length
    assert.isAbove(count, 1)
    assert.isTrue(order.slice(0, count).every(direct))
    const others = order.slice(count)
    const inKernel = others.filter((file) => file.startsWith("test/runtime/kernel/"))
    assert.isAbove(inKernel.length, 1)
    assert.deepStrictEqual(others.slice(0, inKernel.length), inKernel)
  })
})

describe("what a run leaves", () => {
  it("names no place of the machine it ran on", () => {
    const here = path.join(root, ".").replace(/\/$/, "")
    const told =
      `AssertionError: expected "/t/km-m-1/x" to equal 1\n    at ${here}/test/a.test.ts:1:2\n    at file://${here}/x.ts`
    assert.strictEqual(portable(told, ["/t/km-m-1"]), "AssertionError: expected \"x\" to equal 1")
    assert.strictEqual(portable(`no ${here}/test/a.ts, file://${here}/b.ts or ${here}`, []), "no test/a.ts, b.ts or .")
  })

  it("has none in the results that are kept", () => {
    for (const file of filesNamed("test/bench/results", ".json")) {
      assert.notMatch(readFileSync(file, "utf8"), /(?<![\w.])\/(?:work|tmp|home|root|Users)\//, file)
    }
  })
})

describe("mutants", () => {
  it("are made of every kind", () => {
    const expected: Record<string, ReadonlyArray<string>> = {
      "f(a < 1)": ["statement: ", "comparison: f(a <= 1)", "comparison: f(a >= 1)", "number: f(a < 2)"],
      "x = a && b": ["statement: ", "logical: x = (a) || (b)"],
      "x = a ?? b": ["statement: ", "fallback: x = a"],
      "x = a + b": ["statement: ", "arithmetic: x = a - b"],
      "x += b": ["statement: ", "assignment: x -= b"],
      "const x = \"ab\"": ["text: const x = \"\""],
      "const x = \"\"": ["text: const x = \"mutant\""],
      "const x = !a": ["negation: const x = a"],
      "const x = true": ["boolean: const x = false"],
      "const x = [a]": ["array: const x = []"],
      "const x = { a }": ["object: const x = {}"],
      "const x = a?.b": ["optional chain: const x = a.b"],
      "const x = a?.[b]": ["optional chain: const x = a[b]"],
      "const x = a.trim()": ["method: const x = a"],
      "const x = a.some(b)": ["method: const x = a.every(b)"],
      "const x = () => a": ["return: const x = () => undefined"],
      "const x = a.pipe(b, c)": ["pipe step: const x = a.pipe(c)", "pipe step: const x = a.pipe(b)"],
      "const x = a ? b : c": ["condition: const x = true ? b : c", "condition: const x = false ? b : c"],
      "const x = /^[a]+(?=b)$/": [
        "regex: const x = /[a]+(?=b)$/",
        "regex: const x = /^[^a]+(?=b)$/",
        "regex: const x = /^[a](?=b)$/",
        "regex: const x = /^[a]+(?!b)$/",
        "regex: const x = /^[a]+(?=b)/"
      ]
    }
    for (const [source, mutants] of Object.entries(expected)) assert.deepStrictEqual(changes(source), mutants, source)
  })

  it("leave out what nobody should test: logs, names, types, prose", () => {
    const quiet = [
      "import { a } from \"b\"",
      "type A = \"b\"",
      "Effect.logInfo(\"stopped\", 3)",
      "const x = Effect.fn(\"name\")(f)",
      "class A extends Context.Service<A>()(\"km/A\") {}",
      "const x = \"a text for people\"",
      "const x = a.pipe(Effect.annotateLogs({ a: 1 }))",
      "const x = a.pipe(Effect.tapError((e) => Effect.logError(\"no\", e)))",
      "function*f() { if (left > 0 && Exit.isFailure(exit)) yield* Effect.logWarning(\"left\") }",
      "const x = a.pipe(Effect.tap((exit) => exit.ok ? Effect.void : Effect.logError(\"no\")))",
      "const x: A = y as \"b\""
    ]
    for (const source of quiet) assert.deepStrictEqual(changes(source), [], source)
    // What is asked does something, or the other branch does.
    for (
      const source of [
        "function*f() { if (yield* renew) yield* Effect.logInfo(\"renewed\") }",
        "if (list.delete(a)) console.log(a)",
        "const x = ok ? Effect.logInfo(\"a\") : act"
      ]
    ) assert.isAbove(changes(source).length, 0, source)
  })
})

describe("the instrumented copy", () => {
  it("behaves as the source with no mutant, and as its mutant with one", () => {
    assert.deepStrictEqual(outcomes("const f = (a: number) => a > 2 ? \"x\" : \"y\"\nconst result = f(2)"), [
      "y",
      undefined, // () => undefined
      "x", // true ?
      "y", // false ?
      "x", // >=
      "x", // <=
      "y", // > 3
      "y", // "x" → ""
      "", // "y" → ""
      "x" // f(3)
    ])
  })

  it("keeps lines without semicolons apart, and statements without braces together", () => {
    const calls =
      "let result = 0\nconst list = [1, 2]\nconst f = (n: number) => { result += n }\nlist.filter(Boolean).forEach(f)"
    assert.strictEqual(outcomes(calls)[0], 3)
    assert.strictEqual(outcomes("let result = 0\nif (1 > 2) result += 1\nelse result += 5")[0], 5)
    assert.strictEqual(
      outcomes(
        "const a = { b: [\" c \"] }\nlet result = a\na.b.slice().filter(Boolean)\nresult = a?.b?.[0]?.trim()"
      )[0],
      "c"
    )
  })

  it("parses for every file, with all its mutants in it", () => {
    const { chosen } = choose({ seed: 1, full: true, below: undefined })
    for (const [file, mutants] of Map.groupBy(chosen, (mutant) => mutant.file)) {
      const copy = instrument(readFileSync(path.join(root, file), "utf8"), mutants)
      assert.isAbove(mutantsOf(file, copy).length, mutants.length, file)
    }
  })
})

describe("the sample", () => {
  it("is the same for a seed, another for another, and of the promised size", () => {
    assert.deepStrictEqual(ids(1), ids(1))
    assert.notDeepEqual(ids(1), ids(2))
    assert.isAtLeast(ids(1).length, 400)
    assert.strictEqual(new Set(ids(1)).size, ids(1).length)
  })

  it("of a part has the mutants that the whole has there", () => {
    const whole = choose({ seed: 1, full: false, below: undefined }).chosen.filter((mutant) =>
      mutant.area === "bridge/actions"
    )
    const part = choose({ seed: 1, full: false, below: "bridge/actions" }).chosen
    assert.deepStrictEqual(part.map((mutant) => mutant.id), whole.map((mutant) => mutant.id))
    assert.isAtLeast(part.length, 60)
  })

  it("takes one of each stretch, and shares in proportion above the minimum", () => {
    const list = Array.from({ length: 100 }, (_, index) => index)
    assert.deepStrictEqual(spread(list, 10, seeded(7)).map((each) => Math.floor(each / 10)), list.slice(0, 10))
    assert.deepStrictEqual(spread(list, 200, seeded(7)), list)
    assert.deepStrictEqual(shares([10, 1000, 2000], 400), [10, 148, 242])
    assert.isAtLeast(shares([5000, 1000, 300], sampleSize).reduce((sum, each) => sum + each, 0), 400)
  })
})

describe("a run of a test file", () => {
  it("passes without a mutant and tells where it came by; a mutant that it notices fails it, and the next run is as the first", async () => {
    const file = "runtime/domain/text/Blank.ts"
    const mutants = mutantsOf(file, readFileSync(path.join(root, file), "utf8")).map((mutant, number) => ({
      ...mutant,
      number
    }))
    const lane = await Lane.start(mutants, tmpdir())
    try {
      const run = (mutant: number) =>
        lane.run({ file: "test/runtime/domain/text/Blank.test.ts", mutant, visitLimit: 1_000_000, deadline: 120_000 })
      const unchanged = await run(-1)
      assert.deepInclude(unchanged, { _tag: "Ran", passed: true })
      assert.isAbove(unchanged._tag === "Ran" ? Object.keys(unchanged.visits).length : 0, 0)
      const changed = await run(mutants.findIndex(({ kind }) => kind === "return"))
      assert.deepInclude(changed, { _tag: "Ran", passed: false })
      assert.match(changed._tag === "Ran" ? changed.failure ?? "" : "", /^isBlank > /)
      assert.deepInclude(await run(-1), { _tag: "Ran", passed: true })
    } finally {
      lane.stop()
    }
  })
})
