/** What the engine does with much: files of an earlier version, and rows that are over. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { chmodSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { engineMigrations } from "../../../../runtime/adapters/disk/EngineSchema.ts"
import { Sqlite } from "../../../../runtime/adapters/disk/Sqlite.ts"
import { statePaths } from "../../../../runtime/adapters/disk/StateDirectory.ts"
import { SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import * as EmbeddedEngine from "../../../../runtime/engines/embedded/EmbeddedEngine.ts"
import { sweep } from "../../../../runtime/engines/embedded/sweeping.ts"
import { TurnQueue } from "../../../../runtime/ports/TurnQueue.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"

const queue = SandboxId.make("sb-00000001")
const count = (sqlite: Sqlite["Service"], table: string) =>
  sqlite.read("Test", "count", (tables) => tables.get(`SELECT count(*) AS n FROM ${table}`)?.["n"])

describe("the embedded engine grows", () => {
  it.effect("a file of before the counters is counted when it is opened", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const old = new DatabaseSync(statePaths(directory).database)
      for (const migration of engineMigrations.slice(0, 11)) old.exec(migration)
      old.exec("PRAGMA user_version = 11")
      old.exec(`INSERT INTO queues (id) VALUES ('${queue}'), ('sb-00000002');
        INSERT INTO queue_messages (queue, key, grp, body, sent_at, head, visible_at) VALUES
          ('${queue}', 'k-1', 'g1', '{}', 0, 1, 0), ('${queue}', 'k-2', 'g1', '{}', 0, 0, 0),
          ('${queue}', 'k-3', 'g2', '{}', 0, 1, 99999999999999);
        INSERT INTO sandbox_changes (id, seq, at) VALUES ('sb-gone0001', 1, 0);
        INSERT INTO seen (key, turn, expires_at) VALUES ('turn:k-1', 'k-1', 99999999999999)`)
      old.close()
      chmodSync(statePaths(directory).database, 0o600)
      const depth = yield* Effect.flatMap(TurnQueue, (port) => port.depth(queue)).pipe(
        Effect.provide(EmbeddedEngine.layer(directory))
      )
      assert.deepStrictEqual(depth, { waiting: 2, inFlight: 1, dead: 0 })
      const now = new DatabaseSync(statePaths(directory).database, { readOnly: true })
      const held = now.prepare("SELECT id, held FROM queues ORDER BY id").all().map(({ held: n, id }) => [id, n])
      assert.deepStrictEqual(held, [[queue, 3], ["sb-00000002", 0]])
      assert.strictEqual(now.prepare("SELECT gone FROM sandbox_changes").get()?.["gone"], 1)
      now.close()
    }))

  it.effect("what is over is removed in steps, and nothing else", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      yield* Effect.gen(function*() {
        const sqlite = yield* Sqlite
        // More than any step takes; every third of them is not over.
        const rows = 1_500
        const numbers = `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows - 1})`
        const until = "CASE i % 3 WHEN 0 THEN 2000 ELSE 1000 END"
        yield* sqlite.write("Test", "fill", (tables) => {
          for (
            const sql of [
              `INSERT INTO seen (key, turn, expires_at) ${numbers} SELECT 'k' || i, 't', ${until} FROM n`,
              `INSERT INTO queue_dedupe (queue, key, until) ${numbers} SELECT 'q' || (i % 7), 'k' || i, ${until} FROM n`,
              `INSERT INTO idempotency ${numbers} SELECT 's', 'k' || i, '', '', 0, 0, NULL, ${until} FROM n`,
              `INSERT INTO posts ${numbers} SELECT 'C1', 'k' || i, 's', NULL, ${until} FROM n`,
              `INSERT INTO mail_notes ${numbers} SELECT 'o', 'k' || i, '', ${until} FROM n`,
              `INSERT INTO schedule_runs (id, schedule, open, row) ${numbers} SELECT 'r' || i, 'gone', i % 3 = 0, '{}' FROM n`
            ]
          ) tables.run(sql)
        })
        const steps: Array<number> = []
        const counting: Sqlite["Service"] = {
          read: sqlite.read,
          write: (port, operation, change) =>
            sqlite.write(port, operation, (tables) => {
              let changed = 0
              const result = change({
                ...tables,
                run: (sql, ...values) => {
                  const n = tables.run(sql, ...values)
                  changed += n
                  return n
                }
              })
              steps.push(changed)
              return result
            })
        }
        yield* sweep(counting, 1_000)
        for (const table of ["seen", "queue_dedupe", "idempotency", "posts", "mail_notes", "schedule_runs"]) {
          assert.strictEqual(yield* count(sqlite, table), rows / 3, table)
        }
        assert.isAtMost(Math.max(...steps), 200)
        assert.isAbove(steps.length, 30)
        yield* sweep(counting, 2_000)
        assert.strictEqual(yield* count(sqlite, "seen"), 0)
      }).pipe(Effect.provide(Sqlite.layer({ file: `${directory}/engine.db`, migrations: engineMigrations })))
    }))

  it.effect("what was written of a sandbox after its end is removed, and nothing that is still owed", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      yield* Effect.gen(function*() {
        const sqlite = yield* Sqlite
        yield* sqlite.write("Test", "fill", (tables) => {
          tables.run("INSERT INTO sandboxes (id, created_at, attributes) VALUES (?, 0, '{}')", queue)
          for (const sandbox of [queue, "sb-gone0001", "operator"]) {
            for (const key of ["guest/U1", "notice/0/ended"]) {
              tables.run("INSERT INTO sandbox_facts (sandbox, key, value) VALUES (?, ?, '')", sandbox, key)
            }
            tables.run("INSERT INTO controls (sandbox, id, request) VALUES (?, 'stop-1', '{}')", sandbox)
          }
        })
        yield* sweep(sqlite, 1_000)
        const left = (sql: string) =>
          sqlite.read("Test", "left", (tables) => tables.all(sql).map((row) => Object.values(row).join(" ")))
        assert.deepStrictEqual(yield* left("SELECT sandbox FROM controls"), [queue])
        assert.deepStrictEqual(yield* left("SELECT sandbox, key FROM sandbox_facts ORDER BY sandbox, key"), [
          "operator guest/U1",
          "operator notice/0/ended",
          `${queue} guest/U1`,
          `${queue} notice/0/ended`,
          "sb-gone0001 notice/0/ended"
        ])
      }).pipe(Effect.provide(Sqlite.layer({ file: `${directory}/engine.db`, migrations: engineMigrations })))
    }))
})
