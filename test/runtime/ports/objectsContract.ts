/** What every object store must do: whole objects under their owner's prefix, and no name that leads out of it. */
import { assert, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import { sha256Hex } from "../../../runtime/domain/text/Digest.ts"
import { Objects } from "../../../runtime/ports/Objects.ts"
import { StoreError } from "../../../runtime/ports/StoreError.ts"
import type { Engine } from "./Engine.ts"

const one = SandboxId.make("sb-00000001")
const two = SandboxId.make("sb-00000002")
const bytes = (...chunks: ReadonlyArray<string>) => Stream.fromIterable(chunks.map((chunk) => Buffer.from(chunk)))
const broken = new StoreError({ port: "Test", operation: "read", reason: "Unavailable", detail: "", cause: undefined })

const hostile = [
  "",
  ".",
  "..",
  "../x",
  "a/../b",
  "/a",
  "a/",
  "a//b",
  "a\\b",
  "..\\x",
  "a\u0000b",
  "a\nb",
  "\ud800",
  "a/".repeat(8) + "a",
  "x".repeat(81),
  "é".repeat(80),
  // Each part fits, the whole is over 900 bytes of UTF-8.
  Array.from({ length: 8 }, () => "é".repeat(32) + "x".repeat(48)).join("/")
]

export const objectsContract = <LE>(engine: Engine<Objects, LE>): void => {
  const test = <E>(name: string, body: (objects: Objects["Service"]) => Effect.Effect<void, E>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(Objects, body), engine.layer))
  const read = Effect.fnUntraced(function*(objects: Objects["Service"], owner: SandboxId, name: string) {
    const chunks = yield* Stream.runCollect(objects.get(owner, name))
    return Buffer.concat(chunks).toString()
  })

  test("gives back what was put, by owner and name", (objects) =>
    Effect.gen(function*() {
      const put = yield* objects.put(one, "uploads/a.txt", bytes("hello ", "wörld"))
      assert.deepStrictEqual(put, { size: 12, sha256: sha256Hex("hello wörld") })
      assert.strictEqual(yield* read(objects, one, "uploads/a.txt"), "hello wörld")
      const missing = yield* Effect.flip(read(objects, two, "uploads/a.txt"))
      assert.strictEqual(missing._tag, "ObjectMissing")
      yield* objects.put(one, "uploads/a.txt", bytes("new"))
      assert.strictEqual(yield* read(objects, one, "uploads/a.txt"), "new")
      yield* objects.put(one, "empty", Stream.empty)
      assert.strictEqual(yield* read(objects, one, "empty"), "")
    }))

  test("carries large objects whole", (objects) =>
    Effect.gen(function*() {
      const chunk = Buffer.alloc(100_000, "k")
      const put = yield* objects.put(one, "big", Stream.fromIterable(Array.from({ length: 30 }, () => chunk)))
      assert.strictEqual(put.size, 3_000_000)
      assert.strictEqual(sha256Hex(yield* read(objects, one, "big")), put.sha256)
      const first = yield* objects.get(one, "big").pipe(Stream.take(1), Stream.runCollect)
      assert.strictEqual(first.length, 1)
    }))

  test("a put that fails leaves the older object, and no other", (objects) =>
    Effect.gen(function*() {
      yield* objects.put(one, "a", bytes("old"))
      const failing = Stream.concat(bytes("half"), Stream.fail(broken))
      for (const name of ["a", "b"]) {
        assert.strictEqual(yield* Effect.flip(objects.put(one, name, failing)), broken)
      }
      assert.strictEqual(yield* read(objects, one, "a"), "old")
      assert.deepStrictEqual(yield* objects.list(one), ["a"])
    }))

  test("lists and deletes by owner", (objects) =>
    Effect.gen(function*() {
      for (const name of ["b", "a/2", "a/1", ".hidden", "100% ü?"]) yield* objects.put(one, name, bytes(name))
      yield* objects.put(two, "c", bytes("c"))
      assert.deepStrictEqual(yield* objects.list(one), [".hidden", "100% ü?", "a/1", "a/2", "b"])
      assert.strictEqual(yield* read(objects, one, "100% ü?"), "100% ü?")
      yield* objects.delete(one, "a/1")
      yield* objects.delete(one, "a/1")
      yield* objects.delete(one, ".hidden")
      assert.deepStrictEqual(yield* objects.list(one), ["100% ü?", "a/2", "b"])
      yield* objects.deleteAll(one)
      yield* objects.deleteAll(one)
      assert.deepStrictEqual([yield* objects.list(one), yield* objects.list(two)], [[], ["c"]])
    }))

  test("a name may be the beginning of another one", (objects) =>
    Effect.gen(function*() {
      for (const name of ["a", "a/b", "a/b/c", "a=", "a=/b"]) yield* objects.put(one, name, bytes(name))
      assert.deepStrictEqual(yield* objects.list(one), ["a", "a/b", "a/b/c", "a=", "a=/b"])
      assert.strictEqual(yield* read(objects, one, "a/b"), "a/b")
      yield* objects.delete(one, "a/b")
      yield* objects.delete(one, "nothing")
      assert.deepStrictEqual(yield* objects.list(one), ["a", "a/b/c", "a=", "a=/b"])
      yield* objects.delete(one, "a")
      assert.strictEqual(yield* read(objects, one, "a/b/c"), "a/b/c")
    }))

  test("takes a name of 900 bytes", (objects) =>
    Effect.gen(function*() {
      const part = "é".repeat(32) + "x".repeat(48)
      const name = [...Array.from({ length: 7 }, () => part), "é".repeat(29) + "x".repeat(51)].join("/")
      assert.strictEqual(Buffer.byteLength(name), 900)
      yield* objects.put(one, name, bytes("x"))
      assert.deepStrictEqual(yield* objects.list(one), [name])
    }))

  test("refuses every name that is not a plain path below its owner", (objects) =>
    Effect.gen(function*() {
      for (const name of hostile) {
        const put = yield* Effect.flip(objects.put(one, name, bytes("x")))
        assert.strictEqual(put.reason, "Denied", JSON.stringify(name))
        const got = yield* Effect.flip(read(objects, one, name))
        assert.strictEqual(got._tag, "StoreError", JSON.stringify(name))
        assert.strictEqual((yield* Effect.flip(objects.delete(one, name))).reason, "Denied", JSON.stringify(name))
      }
      assert.deepStrictEqual(yield* objects.list(one), [])
    }))

  it.effect.prop("an accepted name is listed as it was given", [Schema.String], ([name]) =>
    Effect.gen(function*() {
      const objects = yield* Objects
      const put = yield* Effect.result(objects.put(one, name, bytes("x")))
      assert.deepStrictEqual(yield* objects.list(one), put._tag === "Success" ? [name] : [])
      yield* objects.deleteAll(one)
    }).pipe(Effect.provide(engine.layer)), { arbitrary: { runs: 40 } })
}
