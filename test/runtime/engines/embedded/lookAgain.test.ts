/** What another process wrote is heard within 5 s also when its ring is lost, and nobody looks while nobody writes. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Option, type Scope, Stream } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { DatabaseSync, StatementSync } from "node:sqlite"
import { statePaths } from "../../../../runtime/adapters/disk/StateDirectory.ts"
import { SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import * as EmbeddedEngine from "../../../../runtime/engines/embedded/EmbeddedEngine.ts"
import * as SqliteMailSpool from "../../../../runtime/engines/embedded/SqliteMailSpool.ts"
import { Controls } from "../../../../runtime/ports/Controls.ts"
import { Leases } from "../../../../runtime/ports/Leases.ts"
import { MailSpool } from "../../../../runtime/ports/MailSpool.ts"
import { TurnQueue } from "../../../../runtime/ports/TurnQueue.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"

const question = "SELECT data_version, (SELECT number FROM revision) AS number FROM pragma_data_version"
const sandbox = SandboxId.make("sb-00000001")

/** Another process that writes and rings nobody. */
const silentWriter = (directory: string) =>
  Effect.acquireRelease(
    Effect.sync(() => new DatabaseSync(statePaths(directory).database)),
    (database) => Effect.sync(() => database.close())
  )

/** The texts of the statements that are run until the scope closes. */
const statementsRun = Effect.acquireRelease(
  Effect.sync(() => {
    const texts: Array<string> = []
    const { all, get, run } = StatementSync.prototype
    Object.assign(StatementSync.prototype, {
      all(this: StatementSync, ...values: Parameters<typeof all>) {
        texts.push(this.sourceSQL)
        return all.apply(this, values)
      },
      get(this: StatementSync, ...values: Parameters<typeof get>) {
        texts.push(this.sourceSQL)
        return get.apply(this, values)
      },
      run(this: StatementSync, ...values: Parameters<typeof run>) {
        texts.push(this.sourceSQL)
        return run.apply(this, values)
      }
    })
    return { texts, restore: () => void Object.assign(StatementSync.prototype, { all, get, run }) }
  }),
  ({ restore }) => Effect.sync(restore)
)

const inEngine = <E>(
  body: (directory: string) => Effect.Effect<void, E, EmbeddedEngine.EnginePorts | Scope.Scope>
) =>
  Effect.gen(function*() {
    const directory = yield* temporaryDirectory
    yield* Effect.provide(Effect.scoped(body(directory)), EmbeddedEngine.layer(directory))
  })

const watchOne = Effect.gen(function*() {
  const controls = yield* Controls
  return yield* controls.watch(sandbox).pipe(
    Stream.take(1),
    Stream.runCollect,
    Effect.forkChild({ startImmediately: true })
  )
})

describe("looking again", () => {
  it.effect("who waits hears of another process's change within 5 s though nobody rang", () =>
    inEngine((directory) =>
      Effect.gen(function*() {
        const queue = yield* TurnQueue
        yield* queue.create(sandbox)
        const request = { kind: "stop", id: "1", by: "Ada" }
        const watching = yield* watchOne
        const receiving = yield* Effect.forkChild(
          queue.receive(sandbox, { wait: Duration.seconds(20), visibility: Duration.minutes(1) }),
          { startImmediately: true }
        )
        const other = yield* silentWriter(directory)
        other.prepare("INSERT INTO controls (sandbox, id, request) VALUES (?, ?, ?)").run(
          sandbox,
          request.id,
          JSON.stringify(request)
        )
        other.prepare("INSERT INTO queue_messages (queue, key, grp, body, sent_at, head) VALUES (?, ?, ?, ?, ?, 1)")
          .run(sandbox, "T1:C1:1", "a", "{}", 0)
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual((yield* Fiber.join(watching)).map(({ id }) => id), ["1"])
        assert.deepStrictEqual(
          Option.map(yield* Fiber.join(receiving), ({ key }) => String(key)),
          Option.some("T1:C1:1")
        )
      })
    ))

  it.effect("a process asks once per 5 s for all who wait, and nobody looks while others write nothing", () =>
    inEngine((directory) =>
      Effect.gen(function*() {
        const leases = yield* Leases
        const lease = Option.getOrThrow(yield* leases.acquire(sandbox, "a"))
        const watching = [yield* watchOne, yield* watchOne, yield* watchOne]
        const { texts } = yield* statementsRun
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(texts, [question, question])
        // What this process writes is rung for, where it concerns somebody; what others write may concern nobody.
        yield* leases.renew(lease)
        texts.length = 0
        yield* TestClock.adjust("5 seconds")
        const other = yield* silentWriter(directory)
        other.exec("UPDATE leases SET expires_at = expires_at + 1")
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(texts, [question, question])
        yield* Effect.forEach(watching, Fiber.interrupt)
      })
    ))

  it.effect("who waits on a topic that is forgotten hears of it when it comes anew, without a look", () =>
    inEngine(() =>
      Effect.gen(function*() {
        const controls = yield* Controls
        const watching = yield* watchOne
        yield* controls.clear(sandbox)
        yield* controls.send(sandbox, { kind: "stop", id: "1", by: "Ada" })
        assert.deepStrictEqual((yield* Fiber.join(watching)).map(({ id }) => id), ["1"])
      })
    ))

  it.effect("the relay's client takes up a mail when its next attempt is due", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      yield* Effect.gen(function*() {
        const spool = yield* MailSpool
        const other = yield* silentWriter(directory)
        other.prepare("INSERT INTO mail_out (owner, id, mail_from, raw, created_at) VALUES (?, ?, ?, ?, 0)")
          .run(sandbox, "m1", "a@example.com", new Uint8Array([1]))
        other.prepare("INSERT INTO mail_out_to (owner, id, address, next_at) VALUES (?, ?, ?, ?)")
          .run(sandbox, "m1", "b@example.com", 7_000)
        const waiting = yield* Effect.forkChild(spool.due(10, Duration.seconds(20)), { startImmediately: true })
        yield* TestClock.adjust("6999 millis")
        assert.isUndefined(waiting.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual((yield* Fiber.join(waiting)).map(({ id }) => id), ["m1"])
      }).pipe(Effect.scoped, Effect.provide(SqliteMailSpool.layer(directory)))
    }))
})
