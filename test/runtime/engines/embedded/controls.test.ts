import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { engineMigrations } from "../../../../runtime/adapters/disk/EngineSchema.ts"
import { Sqlite } from "../../../../runtime/adapters/disk/Sqlite.ts"
import { statePaths } from "../../../../runtime/adapters/disk/StateDirectory.ts"
import { SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import * as EmbeddedEngine from "../../../../runtime/engines/embedded/EmbeddedEngine.ts"
import { Controls } from "../../../../runtime/ports/Controls.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"

const sandbox = SandboxId.make("sb-00000001")

describe("stored control requests", () => {
  it.effect("of an older version are stops; those of a kind that is not known yet are passed over and left", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const ports = Sqlite.layer({ file: statePaths(directory).database, migrations: engineMigrations }).pipe(
        Layer.provideMerge(EmbeddedEngine.layer(directory))
      )
      yield* Effect.gen(function*() {
        const sqlite = yield* Sqlite
        const stored = [
          { id: "old", turn: "T1:C1:1", by: "Ada" },
          { kind: "paint", id: "later", colour: "red" },
          { kind: "stop", id: "new", by: "operator" }
        ]
        yield* sqlite.write("Test", "insert", (tables) => {
          for (const request of stored) {
            tables.run(
              "INSERT INTO controls (sandbox, id, request) VALUES (?, ?, ?)",
              sandbox,
              request.id,
              JSON.stringify(request)
            )
          }
        })
        const controls = yield* Controls
        const found = yield* controls.watch(sandbox).pipe(Stream.take(2), Stream.runCollect)
        assert.deepStrictEqual(found.map(({ id, kind }) => `${kind} ${id}`), ["stop old", "stop new"])
        for (const { id } of found) yield* controls.acknowledge(sandbox, id)
        const left = yield* sqlite.read("Test", "left", (tables) => tables.all("SELECT id FROM controls"))
        assert.deepStrictEqual(left.map((row) => row["id"]), ["later"])
      }).pipe(Effect.provide(ports))
    }))
})
