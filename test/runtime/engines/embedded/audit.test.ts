/** The journal on disk: what survives a kill, and that every kind of tampering is named at its first link. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as FileAudit from "../../../../runtime/engines/embedded/FileAudit.ts"
import * as FileInstallStore from "../../../../runtime/engines/embedded/FileInstallStore.ts"
import { Audit, auditEntries, verifyAudit } from "../../../../runtime/ports/Audit.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"

const journal = (root: string, writer: "operator" | "bridge" = "operator") =>
  FileAudit.layer(root, writer).pipe(Layer.provideMerge(FileInstallStore.layer(root)))

const entryOf = (n: number) => ({ actor: "operator", action: "test.act", subject: `s${n}`, verdict: "done" } as const)
const record = (from: number, count: number) =>
  Effect.flatMap(
    Audit,
    (audit) =>
      Effect.forEach(Array.from({ length: count }, (_, n) => from + n), (n) => audit.record(entryOf(n)), {
        discard: true
      })
  )

const fileOf = (root: string, chain = "operator-1") => path.join(root, "audit", `${chain}.jsonl`)
const linesOf = (root: string) => fs.readFileSync(fileOf(root), "utf8").split("\n").slice(0, -1)
const verified = (root: string) => Effect.provide(verifyAudit, journal(root))

describe("the journal on disk", () => {
  it.effect("the next process goes on with the chain, another kind has one of its own, files are private", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      yield* Effect.provide(record(1, 2), journal(root))
      yield* Effect.provide(record(3, 1), journal(root))
      yield* Effect.provide(record(4, 1), journal(root, "bridge"))
      assert.deepStrictEqual(fs.readdirSync(path.join(root, "audit")).toSorted(), [
        "bridge-1.jsonl",
        "operator-1.jsonl"
      ])
      assert.strictEqual(linesOf(root).length, 3)
      assert.strictEqual(fs.statSync(fileOf(root)).mode & 0o777, 0o600)
      assert.deepStrictEqual(yield* verified(root), { chains: 2, links: 4, broken: [] })
    }))

  it.effect("two of one kind at once write two chains", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      const both = Effect.provide(
        Effect.andThen(record(1, 1), Effect.provide(record(2, 1), Layer.fresh(journal(root)))),
        journal(root)
      )
      yield* both
      assert.deepStrictEqual(fs.readdirSync(path.join(root, "audit")).toSorted(), [
        "operator-1.jsonl",
        "operator-2.jsonl"
      ])
      assert.deepStrictEqual(yield* verified(root), { chains: 2, links: 2, broken: [] })
    }))

  it.effect("a line that a kill cut short was confirmed to nobody: it is cut off, and the chain goes on", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      yield* Effect.provide(record(1, 2), journal(root))
      const whole = fs.readFileSync(fileOf(root))
      fs.appendFileSync(fileOf(root), whole.subarray(0, 50))
      assert.deepStrictEqual(yield* verified(root), { chains: 1, links: 2, broken: [] })
      yield* Effect.provide(record(3, 1), journal(root))
      assert.deepStrictEqual(yield* verified(root), { chains: 1, links: 3, broken: [] })
      assert.deepStrictEqual(fs.readFileSync(fileOf(root)).subarray(0, whole.length), whole)
    }))

  it.effect("a broken chain is left as it is, and another one begun", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      yield* Effect.provide(record(1, 3), journal(root))
      fs.writeFileSync(fileOf(root), linesOf(root).slice(0, 2).map((line) => `${line}\n`).join(""))
      const before = fs.readFileSync(fileOf(root))
      yield* Effect.provide(record(4, 1), journal(root))
      assert.deepStrictEqual(fs.readFileSync(fileOf(root)), before)
      const state = yield* verified(root)
      assert.deepStrictEqual(state.broken, [
        { chain: "operator-1", number: 3, why: "it ends before this link, and once had 3" }
      ] as never)
      assert.strictEqual(state.links, 3)
    }))

  it.effect("a chain whose file is gone is missed", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      yield* Effect.provide(record(1, 2), journal(root))
      fs.rmSync(fileOf(root))
      assert.deepStrictEqual((yield* verified(root)).broken, [
        { chain: "operator-1", number: 1, why: "the chain is gone, and once had 2 links" }
      ] as never)
    }))

  it.effect("a whole chain written anew is another one than the one whose end was noted", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      const other = yield* temporaryDirectory
      yield* Effect.provide(record(1, 2), journal(root))
      yield* Effect.provide(record(5, 4), journal(other))
      fs.copyFileSync(fileOf(other), fileOf(root))
      assert.deepStrictEqual((yield* verified(root)).broken.map(({ number }) => number), [2])
    }))

  it.effect("a journal that cannot be written fails whoever must have it written, and goes on when it can", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      yield* Effect.gen(function*() {
        yield* record(1, 1)
        const content = fs.readFileSync(fileOf(root))
        fs.rmSync(fileOf(root))
        fs.mkdirSync(fileOf(root))
        assert.strictEqual((yield* Effect.flip(record(2, 1)))._tag, "StoreError")
        fs.rmdirSync(fileOf(root))
        fs.writeFileSync(fileOf(root), content, { mode: 0o600 })
        yield* record(3, 1)
      }).pipe(Effect.provide(journal(root)))
      assert.deepStrictEqual(yield* verified(root), { chains: 1, links: 2, broken: [] })
    }))

  it.effect("notes are there once the process has ended", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      yield* Effect.provide(
        Effect.flatMap(Audit, (audit) => Effect.forEach([1, 2, 3], (n) => audit.note(entryOf(n)), { discard: true })),
        journal(root)
      )
      const links = yield* Effect.provide(Stream.runCollect(auditEntries(false)), journal(root))
      assert.deepStrictEqual(links.map(({ entry }) => entry.subject), ["s1", "s2", "s3"])
    }))

  const Place = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))
  const tampering = Schema.Literals(["change", "remove", "repeat", "exchange", "insert", "respell"])
  it.effect.prop("whatever is changed in a chain is named, at or before the place", [tampering, Place, Place], (
    [how, at, other]
  ) =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      yield* Effect.provide(record(1, 6), journal(root))
      const lines = linesOf(root)
      const line = lines[at] ?? ""
      const changed = {
        change: () => lines.with(at, line.replace(`"s${at + 1}"`, `"s${at + 7}"`)),
        remove: () => lines.toSpliced(at, 1),
        repeat: () => lines.toSpliced(at, 0, line),
        exchange: () => lines.with(at, lines[other] ?? "").with(other, line),
        insert: () => lines.toSpliced(at, 0, line.replace("operator", "mallory")),
        respell: () => lines.with(at, line.replace("{", "{ "))
      }[how]()
      fs.writeFileSync(fileOf(root), changed.map((one) => `${one}\n`).join(""))
      const { broken } = yield* verified(root)
      if (how === "exchange" && at === other) return assert.deepStrictEqual(broken, [])
      assert.strictEqual(broken.length, 1)
      // A repeated line is found at the place behind the first of the two.
      const first = how === "exchange" ? Math.min(at, other) : how === "repeat" ? at + 1 : at
      assert.strictEqual(broken[0]?.number, first + 1)
    }), { arbitrary: { runs: 60 } })
})
