/** Two stores in one program are two stores: layers are shared by reference, whatever they are built upon. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as SandboxStore from "../../../../runtime/adapters/disk/SandboxStore.ts"
import { SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import * as EmbeddedEngine from "../../../../runtime/engines/embedded/EmbeddedEngine.ts"
import { Leases } from "../../../../runtime/ports/Leases.ts"
import { Ledger } from "../../../../runtime/ports/Ledger.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"

const sandbox = SandboxId.make("sb-00000001")

describe("layers of the embedded engine", () => {
  it.effect("two sandboxes of one program have two ledgers", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      const ledgerOf = (name: string) => Effect.provide(Ledger, SandboxStore.layer(path.join(root, name)))
      const recalled = Effect.gen(function*() {
        const one = yield* Ledger
        yield* one.remember("who", "one")
        return yield* Effect.flatMap(Ledger, (two) => two.recall("who")).pipe(
          Effect.provide(SandboxStore.layer(path.join(root, "two")))
        )
      }).pipe(Effect.provide(SandboxStore.layer(path.join(root, "one"))))
      assert.deepStrictEqual(yield* recalled, Option.none())
      assert.notStrictEqual(yield* ledgerOf("three"), yield* ledgerOf("four"))

      const built = yield* Layer.build(Layer.mergeAll(
        Layer.effect(Ledger, ledgerOf("five")),
        Layer.effectDiscard(ledgerOf("six"))
      ))
      assert.isDefined(Context.get(built, Ledger))
    }))

  it.effect("two installs of one program have two engines", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      const current = Effect.flatMap(Leases, (leases) => leases.current(sandbox))
      const found = Effect.gen(function*() {
        yield* Effect.flatMap(Leases, (leases) => leases.acquire(sandbox, "one"))
        return yield* Effect.provide(current, EmbeddedEngine.layer(path.join(root, "two")))
      }).pipe(Effect.provide(EmbeddedEngine.layer(path.join(root, "one"))))
      assert.deepStrictEqual(yield* found, Option.none())
    }))

  it.effect("one layer used in two places is built once", () =>
    Effect.gen(function*() {
      const directory = path.join(yield* temporaryDirectory, "one")
      const store = SandboxStore.layer(directory)
      const twice = Effect.gen(function*() {
        const outer = yield* Ledger
        const inner = yield* Effect.provide(Ledger, store)
        return outer === inner
      })
      assert.isTrue(yield* Effect.provide(twice, store))
      assert.isTrue(fs.existsSync(path.join(directory, "ledger.db")))
    }))
})
