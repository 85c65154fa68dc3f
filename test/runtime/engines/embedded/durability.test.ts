/** What the engine acknowledged survives `kill -9`, a second process, a full disk; damage is left as it is. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Option, Result } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { randomInt } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { engineMigrations, sandboxMigrations } from "../../../../runtime/adapters/disk/EngineSchema.ts"
import * as SandboxStore from "../../../../runtime/adapters/disk/SandboxStore.ts"
import { Sqlite } from "../../../../runtime/adapters/disk/Sqlite.ts"
import { statePaths } from "../../../../runtime/adapters/disk/StateDirectory.ts"
import { GroupId, requestIdOf, TurnKey } from "../../../../runtime/domain/sandbox/Ids.ts"
import * as EmbeddedEngine from "../../../../runtime/engines/embedded/EmbeddedEngine.ts"
import { Ledger } from "../../../../runtime/ports/Ledger.ts"
import { Outbox } from "../../../../runtime/ports/Outbox.ts"
import { Sandboxes } from "../../../../runtime/ports/Sandboxes.ts"
import { TurnQueue } from "../../../../runtime/ports/TurnQueue.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"
import { turnRow } from "../../ports/ledgerContract.ts"
import { sandboxRow } from "../../ports/sandboxesContract.ts"
import { engineProcess } from "./engineProcess.ts"
import { gestureOf, racedKeys, sharedQueue } from "./engineProgram.ts"

const kills = 10
const pause = (millis: number) =>
  Effect.callback<void>((resume) => {
    setTimeout(() => resume(Effect.void), millis)
  })

const said = (lines: ReadonlyArray<string>, what: string): ReadonlyArray<string> =>
  lines.filter((line) => line.startsWith(`${what} `)).map((line) => line.slice(what.length + 1))

/** Groups whose first message is not the only one marked as such. */
const wrongHeads = `
  SELECT grp, sum(head) AS marked, min(CASE WHEN head = 1 THEN seq END) AS marked_first, min(seq) AS first
  FROM queue_messages GROUP BY queue, grp HAVING marked <> 1 OR marked_first <> first`

describe("the embedded engine", () => {
  it.live("keeps everything it acknowledged through ten kills, in order and once", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const lines: Array<string> = []
      for (let kill = 0; kill < kills; kill++) {
        const child = yield* engineProcess("work", directory, `run${kill}`)
        // Also while it starts, when the tables are made and what the last one left is taken up.
        if (kill % 3 === 0) yield* pause(randomInt(100, 500))
        else yield* Effect.andThen(child.line("sent"), pause(randomInt(0, 150)))
        yield* child.kill
        lines.push(...child.lines())
      }
      const sent = said(lines, "sent")
      const taken = new Set(said(lines, "taken"))
      const deleted = said(lines, "deleted")
      assert.isAbove(sent.length, kills)
      assert.strictEqual(new Set(deleted).size, deleted.length, "nothing is deleted twice")

      yield* Effect.gen(function*() {
        const sqlite = yield* Sqlite
        const left = yield* sqlite.read("Test", "left", (tables) =>
          tables.all("SELECT grp, key FROM queue_messages ORDER BY seq").map((row) =>
            `${row["grp"]} ${row["key"]}`
          ))
        const stored = new Set(left)
        const lost = sent.filter((message) =>
          !stored.has(message) && !taken.has(message)
        )
        assert.deepStrictEqual(lost, [], "sent, but neither there nor taken")
        const ghosts = deleted.filter((message) => stored.has(message))
        assert.deepStrictEqual(ghosts, [], "deleted, but still there")
        for (const group of ["a ", "b ", "c "]) {
          const order = [...deleted, ...left].filter((message) => message.startsWith(group))
          assert.deepStrictEqual(order, order.toSorted(), `the order of group ${group}`)
        }
        assert.deepStrictEqual(yield* sqlite.read("Test", "heads", (tables) => tables.all(wrongHeads)), [])
        const check = yield* sqlite.read("Test", "check", (tables) => tables.all("PRAGMA integrity_check"))
        assert.deepStrictEqual(check.map((row) => row["integrity_check"]), ["ok"])
      }).pipe(Effect.provide(Sqlite.layer({ file: statePaths(directory).database, migrations: engineMigrations })))

      const sandbox = path.join(statePaths(directory).sandboxes, "sb-1")
      const pending = yield* Effect.flatMap(Outbox, (outbox) => outbox.pending).pipe(
        Effect.provide(SandboxStore.layer(sandbox))
      )
      const bodies = new Set(pending.map(({ body }) => body))
      assert.deepStrictEqual(said(lines, "put").filter((body) => !bodies.has(body)), [], "put, but not there")
    }))

  it.live("accepts a message, its gesture's keys and the newest ts, or none of them, through ten kills", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      yield* Effect.flatMap(Sandboxes, (sandboxes) => sandboxes.insert(sandboxRow(sharedQueue))).pipe(
        Effect.provide(EmbeddedEngine.layer(directory))
      )
      const acknowledged: Array<string> = []
      for (let kill = 0; kill < kills; kill++) {
        const child = yield* engineProcess("accept", directory, String(kill * 50_000))
        yield* Effect.andThen(child.line("accepted"), pause(randomInt(0, 100)))
        yield* child.kill
        acknowledged.push(...said(child.lines(), "accepted"))
        // A second time it is known, whichever of the two was acknowledged.
        assert.isTrue(acknowledged.every((line) => /^message-\d+ (Accepted|Repeated)$/.test(line)))

        yield* Effect.gen(function*() {
          const sqlite = yield* Sqlite
          const { newest, queued, seen } = yield* sqlite.read("Test", "accepted", (tables) => ({
            queued: tables.all("SELECT key FROM queue_messages").map((row) => String(row["key"])),
            seen: tables.all("SELECT key, turn FROM seen").map((row) => `${row["turn"]}: ${row["key"]}`),
            newest: String(tables.get("SELECT accepted_ts FROM sandboxes WHERE id = ?", sharedQueue)?.["accepted_ts"])
          }))
          const there = new Set(queued)
          assert.strictEqual(queued.length, there.size, "each is queued once")
          const lost = acknowledged.filter((line) => !there.has(line.split(" ")[0] ?? ""))
          assert.deepStrictEqual(lost, [], "acknowledged, but not queued")
          const expected = queued.flatMap((key) => gestureOf(key).seen.map((own) => `${key}: ${own}`))
          assert.deepStrictEqual(seen.toSorted(), expected.toSorted(), "the keys of what is queued, and no others")
          assert.strictEqual(newest, queued.map((key) => gestureOf(key).ts).toSorted().at(-1))
        }).pipe(Effect.provide(Sqlite.layer({ file: statePaths(directory).database, migrations: engineMigrations })))
      }
      assert.isAbove(acknowledged.length, kills)
    }))

  it.live("two processes at once: each key has one winner, each message one taker", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const keys = Array.from({ length: 60 }, (_, n) => TurnKey.make(`message-${n}`))
      yield* Effect.gen(function*() {
        const turns = yield* TurnQueue
        yield* turns.create(sharedQueue)
        yield* Effect.forEach(keys, (key, n) =>
          turns.send(sharedQueue, { key, group: GroupId.make(`g${n % 20}`), body: "" }), { concurrency: "unbounded" })
      }).pipe(Effect.provide(EmbeddedEngine.layer(directory)))

      const racers = [yield* engineProcess("race", directory, "one"), yield* engineProcess("race", directory, "two")]
      const codes = yield* Effect.forEach(racers, ({ exit }) =>
        exit, { concurrency: "unbounded" })
      assert.deepStrictEqual(codes, [0, 0])
      const lines = racers.flatMap((racer) =>
        racer.lines()
      )
      const winners = said(lines, "fresh").map((line) => line.split(" ")[0])
      assert.strictEqual(winners.length, racedKeys)
      assert.strictEqual(new Set(winners).size, racedKeys)
      const takers = said(lines, "taken").map((line) => line.split(" ")[0] ?? "")
      assert.deepStrictEqual(takers.toSorted(), keys.toSorted())
    }))

  it.effect(
    "a message of another process wakes a waiting receive without the clock moving",
    () =>
      Effect.gen(function*() {
        const directory = yield* temporaryDirectory
        yield* Effect.gen(function*() {
          const turns = yield* TurnQueue
          yield* turns.create(sharedQueue)
          const waiting = yield* Effect.forkChild(
            turns.receive(sharedQueue, { wait: Duration.seconds(20), visibility: Duration.seconds(60) }),
            { startImmediately: true }
          )
          const child = yield* engineProcess("send", directory, "from-afar")
          assert.strictEqual(yield* child.exit, 0)
          assert.strictEqual(Option.getOrThrow(yield* Fiber.join(waiting)).key, "from-afar")
        }).pipe(Effect.provide(EmbeddedEngine.layer(directory)))
      })
  )

  it.effect("what nobody rang for is seen at the next look, 5 s after the last", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const other = Sqlite.layer({ file: statePaths(directory).database, migrations: engineMigrations })
      yield* Effect.gen(function*() {
        const turns = yield* TurnQueue
        const sqlite = yield* Sqlite
        yield* turns.create(sharedQueue)
        const waiting = yield* Effect.forkChild(
          turns.receive(sharedQueue, { wait: Duration.seconds(20), visibility: Duration.seconds(60) }),
          { startImmediately: true }
        )
        yield* sqlite.write("Test", "send", (tables) =>
          tables.run(
            "INSERT INTO queue_messages (queue, key, grp, body, sent_at, head) VALUES (?, 'silent', 'a', '', 0, 1)",
            sharedQueue
          ))
        yield* TestClock.adjust("4999 millis")
        assert.isUndefined(waiting.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(Option.getOrThrow(yield* Fiber.join(waiting)).key, "silent")
      }).pipe(Effect.provide(Layer.provideMerge(other, EmbeddedEngine.layer(directory))))
    }))
})

const outboxEntry = (n: number, bytes: number) => ({
  id: requestIdOf(`entry-${n}`),
  body: "x".repeat(bytes),
  createdAt: n,
  attempts: 0
})

describe("a full disk", () => {
  it.effect("is reported as such, loses nothing, and work goes on once there is space", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      yield* Effect.gen(function*() {
        const outbox = yield* Outbox
        let stored = 0
        let refusal: unknown
        while (refusal === undefined && stored < 1_000) {
          const put = yield* Effect.result(outbox.put(outboxEntry(stored, 4_000)))
          if (Result.isFailure(put)) refusal = put.failure.reason
          else stored++
        }
        assert.strictEqual(refusal, "Full")
        assert.isAbove(stored, 3)
        assert.strictEqual((yield* outbox.pending).length, stored)
        yield* outbox.remove(outboxEntry(0, 0).id)
        yield* outbox.remove(outboxEntry(1, 0).id)
        yield* outbox.put(outboxEntry(9_999, 4_000))
        assert.strictEqual((yield* outbox.pending).length, stored - 1)
      }).pipe(Effect.provide(SandboxStore.layer(directory, { maxPages: 40 })))
      const pending = yield* Effect.flatMap(Outbox, (outbox) => outbox.pending).pipe(
        Effect.provide(SandboxStore.layer(directory))
      )
      assert.isTrue(pending.some(({ createdAt }) => createdAt === 9_999))
    }))

  it.effect("a change that does not fit does not take those of the same commit with it", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      yield* Effect.gen(function*() {
        const outbox = yield* Outbox
        const puts = [outboxEntry(1, 10), outboxEntry(2, 10), outboxEntry(3, 1_000_000), outboxEntry(4, 10)]
        const results = yield* Effect.forEach(puts, (entry) => Effect.result(outbox.put(entry)), {
          concurrency: "unbounded"
        })
        const reasons = results.map((result) => Result.isFailure(result) ? result.failure.reason : "stored")
        assert.deepStrictEqual(reasons, ["stored", "stored", "Full", "stored"])
        assert.deepStrictEqual((yield* outbox.pending).map(({ createdAt }) => createdAt), [1, 2, 4])
      }).pipe(Effect.provide(SandboxStore.layer(directory, { maxPages: 40 })))
    }))
})

/** A ledger of many pages, closed, and its path. */
const filledLedger = Effect.gen(function*() {
  const directory = yield* temporaryDirectory
  yield* Effect.flatMap(
    Ledger,
    (ledger) =>
      Effect.forEach(Array.from({ length: 200 }, (_, n) => turnRow(String(n), n)), (row) => ledger.insert(row), {
        concurrency: "unbounded"
      })
  ).pipe(Effect.provide(SandboxStore.layer(directory)))
  return { directory, file: path.join(directory, "ledger.db") }
})

const damage = (file: string, position: number, bytes: Uint8Array): Buffer => {
  const handle = fs.openSync(file, "r+")
  fs.writeSync(handle, bytes, 0, bytes.length, position)
  fs.closeSync(handle)
  return fs.readFileSync(file)
}

describe("a damaged ledger", () => {
  it.effect("is refused at start and stays as it is, byte for byte", () =>
    Effect.gen(function*() {
      const { directory, file } = yield* filledLedger
      const middle = Math.floor(fs.statSync(file).size / 8192) * 4096
      const bytes = damage(file, middle, Buffer.alloc(4096, 0x5a))
      const error = yield* Effect.flip(Layer.build(SandboxStore.layer(directory)))
      assert.strictEqual(error._tag === "StoreError" && error.reason, "Corrupt")
      assert.include(error.message, "ledger.db")
      assert.isTrue(bytes.equals(fs.readFileSync(file)))
    }))

  it.effect("met while running, stops every write and stays as it is", () =>
    Effect.gen(function*() {
      const { directory, file } = yield* filledLedger
      const middle = Math.floor(fs.statSync(file).size / 8192) * 4096
      const bytes = damage(file, middle, Buffer.alloc(4096, 0x5a))
      yield* Effect.gen(function*() {
        const ledger = yield* Ledger
        const read = yield* Effect.flip(ledger.recent(1_000))
        assert.strictEqual(read.reason, "Corrupt")
        const write = yield* Effect.flip(ledger.remember("a", "b"))
        assert.strictEqual(write._tag === "StoreError" && write.reason, "Corrupt")
      }).pipe(Effect.provide(SandboxStore.layer(directory, { check: false })))
      assert.isTrue(bytes.equals(fs.readFileSync(file)))
    }))

  it.effect("a file that is no database is refused and stays as it is", () =>
    Effect.gen(function*() {
      const { directory, file } = yield* filledLedger
      const bytes = damage(file, 0, Buffer.from("this is not a database"))
      for (const check of [true, false]) {
        const error = yield* Effect.flip(Layer.build(SandboxStore.layer(directory, { check })))
        assert.strictEqual(error._tag === "StoreError" && error.reason, "Corrupt")
      }
      assert.isTrue(bytes.equals(fs.readFileSync(file)))
    }))

  it.effect("one row that cannot be understood fails alone", () =>
    Effect.gen(function*() {
      const { directory, file } = yield* filledLedger
      yield* Effect.flatMap(Sqlite, (sqlite) =>
        sqlite.write("Test", "spoil", (tables) =>
          tables.run("UPDATE turns SET row = ? WHERE key = ?", "{}", turnRow("7").key))).pipe(
          Effect.provide(Sqlite.layer({ file, migrations: sandboxMigrations }))
        )
      yield* Effect.gen(function*() {
        const ledger = yield* Ledger
        assert.strictEqual((yield* Effect.flip(ledger.get(turnRow("7").key))).reason, "Corrupt")
        assert.isTrue(Option.isSome(yield* ledger.get(turnRow("8").key)))
        yield* ledger.remember("a", "b")
      }).pipe(Effect.provide(SandboxStore.layer(directory)))
    }))
})
