/** The store under the engine: one commit for many, each change alone in failing, patience with other processes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope } from "effect"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { Sqlite, type Statements } from "../../../../runtime/adapters/disk/Sqlite.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"

const migrations = ["CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT) STRICT"]
const insert = (a: number) => (tables: Statements) => tables.run("INSERT INTO t (a) VALUES (?)", a)
const rows = (tables: Statements) => tables.all("SELECT a FROM t ORDER BY a").map((row) => Number(row["a"]))

const opened = Effect.gen(function*() {
  const file = path.join(yield* temporaryDirectory, "test.db")
  const scope = yield* Scope.make()
  const context = yield* Layer.build(Sqlite.layer({ file, migrations })).pipe(Scope.provide(scope))
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  const sqlite = yield* Effect.provide(Sqlite, context)
  return {
    file,
    close: Scope.close(scope, Exit.void),
    write: <A>(change: (tables: Statements) => A) => sqlite.write("Test", "write", change),
    read: <A>(look: (tables: Statements) => A) => sqlite.read("Test", "read", look)
  }
})

/** Turns of the event loop, so that the writer has had its chance. */
const turns = (count: number): Effect.Effect<void> =>
  Effect.repeat(
    Effect.callback<void>((resume) => {
      setImmediate(() => resume(Effect.void))
    }),
    { times: count }
  )

const openedSeparately = (file: string) =>
  Effect.acquireRelease(
    Effect.sync(() => new DatabaseSync(file, { timeout: 0 })),
    (database) => Effect.sync(() => database.close())
  )

describe("the SQLite store", () => {
  it.effect("syncs every commit and writes ahead", () =>
    Effect.gen(function*() {
      const { read } = yield* opened
      const pragma = (name: string) => read((tables) => Object.values(tables.get(`PRAGMA ${name}`) ?? {})[0])
      assert.strictEqual(yield* pragma("synchronous"), 2)
      assert.strictEqual(yield* pragma("journal_mode"), "wal")
      const timeout = yield* pragma("busy_timeout")
      assert.isTrue(typeof timeout === "number" && timeout <= 50)
    }))

  it.effect("puts what is asked for at the same time into one commit", () =>
    Effect.gen(function*() {
      const { file, write } = yield* opened
      const other = yield* openedSeparately(file)
      const version = () => Object.values(other.prepare("PRAGMA data_version").get() ?? {})[0]
      // What another connection saw at each change: nothing of the batch before all of it is there.
      const seen: Array<number> = []
      const before = version()
      yield* Effect.all(
        Array.from({ length: 50 }, (_, a) =>
          write((tables) => {
            seen.push(Number(other.prepare("SELECT count(*) AS n FROM t").get()?.["n"]))
            return insert(a)(tables)
          })),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(new Set(seen), new Set([0]))
      assert.notStrictEqual(version(), before)
      assert.strictEqual(other.prepare("SELECT count(*) AS n FROM t").get()?.["n"], 50)
    }))

  it.effect("a change that fails undoes itself and nothing else", () =>
    Effect.gen(function*() {
      const { read, write } = yield* opened
      const bug = new Error("a bug")
      const exits = yield* Effect.all([
        Effect.exit(write(insert(1))),
        Effect.exit(write((tables) => {
          insert(2)(tables)
          throw bug
        })),
        Effect.exit(write((tables) => {
          insert(3)(tables)
          insert(1)(tables)
        })),
        Effect.exit(write(insert(4)))
      ], { concurrency: "unbounded" })
      assert.deepStrictEqual(exits.map((exit) => exit._tag), ["Success", "Failure", "Failure", "Success"])
      assert.deepStrictEqual(exits[1], Exit.die(bug))
      assert.deepStrictEqual(yield* read(rows), [1, 4])
    }))

  it.effect("waits for another process without standing still", () =>
    Effect.gen(function*() {
      const { file, read, write } = yield* opened
      const other = yield* openedSeparately(file)
      other.exec("BEGIN IMMEDIATE")
      other.exec("INSERT INTO t (a) VALUES (100)")
      const waiting = yield* Effect.forkChild(write(insert(1)), { startImmediately: true })
      yield* turns(20)
      assert.isUndefined(waiting.pollUnsafe())
      assert.deepStrictEqual(yield* read(rows), [])
      other.exec("COMMIT")
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(yield* read(rows), [1, 100])
    }))

  it.effect("closing writes what was asked for, then refuses", () =>
    Effect.gen(function*() {
      const { close, file, write } = yield* opened
      const last = yield* Effect.forkChild(write(insert(1)), { startImmediately: true })
      yield* close
      yield* Fiber.join(last)
      const refused = yield* Effect.flip(write(insert(2)))
      assert.strictEqual(refused.reason, "Unavailable")
      const other = yield* openedSeparately(file)
      assert.strictEqual(other.prepare("SELECT count(*) AS n FROM t").get()?.["n"], 1)
    }))

  it.effect("an interrupted caller's change is left out if it has not begun", () =>
    Effect.gen(function*() {
      const { read, write } = yield* opened
      const gone = yield* Effect.forkChild(write(insert(1)), { startImmediately: true })
      const stays = yield* Effect.forkChild(write(insert(2)), { startImmediately: true })
      yield* Fiber.interrupt(gone)
      yield* Fiber.join(stays)
      assert.deepStrictEqual(yield* read(rows), [2])
    }))

  it.effect("brings an older schema up to date and refuses a newer one", () =>
    Effect.gen(function*() {
      const { close, file, write } = yield* opened
      yield* write(insert(1))
      yield* close
      const two = [...migrations, "ALTER TABLE t ADD COLUMN c TEXT DEFAULT 'new'"]
      const columns = Effect.flatMap(Sqlite, (sqlite) =>
        sqlite.read("Test", "read", (tables) => tables.all("SELECT a, c FROM t").map((row) => ({ ...row }))))
      for (let again = 0; again < 2; again++) {
        const found = yield* Effect.provide(columns, Sqlite.layer({ file, migrations: two }))
        assert.deepStrictEqual(found, [{ a: 1, c: "new" }])
      }
      const refused = yield* Effect.flip(Effect.scoped(Layer.build(Sqlite.layer({ file, migrations }))))
      assert.strictEqual(refused._tag === "EngineRefused" && refused.code, "KM-ENG-009")
    }))

  it.effect("many processes may open a new file at the same time", () =>
    Effect.gen(function*() {
      const file = path.join(yield* temporaryDirectory, "test.db")
      const count = Effect.flatMap(Sqlite, (sqlite) => sqlite.read("Test", "read", rows))
      const all = yield* Effect.all(
        Array.from({ length: 8 }, () => Effect.provide(count, Sqlite.layer({ file, migrations }))),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(all, Array.from({ length: 8 }, () => []))
    }))
})
