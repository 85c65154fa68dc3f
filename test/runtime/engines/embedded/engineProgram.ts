/**
 * A process that works on an engine until it is killed, and says on standard output what it was told is done. Written
 * synchronously, so that a line is out before the next step begins.
 *
 *     node engineProgram.ts work|accept|race|send|lock {directory} {name}
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as fs from "node:fs"
import * as path from "node:path"
import { holdLock } from "../../../../runtime/adapters/disk/ProcessLock.ts"
import * as SandboxStore from "../../../../runtime/adapters/disk/SandboxStore.ts"
import { statePaths } from "../../../../runtime/adapters/disk/StateDirectory.ts"
import { GroupId, MessageTs, requestIdOf, SandboxId, TurnKey } from "../../../../runtime/domain/sandbox/Ids.ts"
import * as EmbeddedEngine from "../../../../runtime/engines/embedded/EmbeddedEngine.ts"
import { Idempotency } from "../../../../runtime/ports/Idempotency.ts"
import { Outbox } from "../../../../runtime/ports/Outbox.ts"
import { TurnQueue } from "../../../../runtime/ports/TurnQueue.ts"

export const sharedQueue = SandboxId.make("sb-00000001")
/** Keys that the racing processes want at the same time. */
export const racedKeys = 100

const say = (line: string): Effect.Effect<void> => Effect.sync(() => void fs.writeSync(1, `${line}\n`))

const send = Effect.fnUntraced(function*(key: string, group: string) {
  const turns = yield* TurnQueue
  yield* turns.send(sharedQueue, { key: TurnKey.make(key), group: GroupId.make(group), body: key })
  yield* say(`sent ${group} ${key}`)
})

/** Sends in three groups and through the outbox, takes and deletes, without end. */
const work = Effect.fnUntraced(function*(name: string) {
  const turns = yield* TurnQueue
  const outbox = yield* Outbox
  yield* turns.create(sharedQueue)
  const sender = (group: string) =>
    Effect.forEach(
      Array.from({ length: 100_000 }, (_, n) => `${name}-${group}-${String(n).padStart(6, "0")}`),
      (key) => send(key, group),
      { discard: true }
    )
  const poster = Effect.forEach(Array.from({ length: 100_000 }, (_, n) => `${name}-${n}`), (key) =>
    Effect.andThen(
      outbox.put({ id: requestIdOf(key), body: key, createdAt: 0, attempts: 0 }),
      say(`put ${key}`)
    ), { discard: true })
  const taker = Effect.gen(function*() {
    for (;;) {
      const found = yield* turns.receive(sharedQueue, {
        wait: Duration.seconds(1),
        visibility: Duration.seconds(60)
      })
      if (Option.isNone(found)) continue
      const { group, key, receipt } = found.value
      yield* say(`taken ${group} ${key}`)
      yield* turns.delete(sharedQueue, receipt)
      yield* say(`deleted ${group} ${key}`)
    }
  })
  yield* Effect.all([sender("a"), sender("b"), sender("c"), poster, taker], { concurrency: "unbounded" })
})

/** The keys of one message's gesture, and its `ts`: later messages have later ones. */
export const gestureOf = (key: string) => ({
  seen: [`${key}/a`, `${key}/b`],
  ts: MessageTs.make(`1700000000.${(key.split("-").at(-1) ?? "").padStart(6, "0")}`)
})

/** Accepts one message after the other from four callers at a time, without end, and one of them a second time. */
const accept = Effect.fnUntraced(function*(from: string) {
  const turns = yield* TurnQueue
  yield* turns.create(sharedQueue)
  const one = Effect.fnUntraced(function*(key: string) {
    const entry = { key: TurnKey.make(key), group: GroupId.make(key), body: key }
    const answer = yield* turns.accept(sharedQueue, entry, { generation: "1", ...gestureOf(key) })
    yield* say(`accepted ${key} ${answer._tag}`)
  })
  yield* Effect.forEach(
    Array.from({ length: 100_000 }, (_, n) => `message-${Number(from) + n}`),
    (key) => Effect.andThen(one(key), one(key)),
    { concurrency: 4, discard: true }
  )
})

/** Takes what there is, and says which keys it was the first to begin. */
const race = Effect.fnUntraced(function*(name: string) {
  const turns = yield* TurnQueue
  const records = yield* Idempotency
  yield* Effect.forEach(Array.from({ length: racedKeys }, (_, n) => `key-${n}`), (key) =>
    Effect.gen(function*() {
      const begin = yield* records.begin("race", key, "hash", 600_000)
      if (begin._tag === "Fresh") yield* say(`fresh ${key} ${name}`)
    }), { concurrency: 8, discard: true })
  for (;;) {
    const found = yield* turns.receive(sharedQueue, { wait: Duration.zero, visibility: Duration.minutes(10) })
    if (Option.isNone(found)) return
    yield* say(`taken ${found.value.key} ${name}`)
    yield* turns.delete(sharedQueue, found.value.receipt)
  }
})

const [mode = "", directory = "", name = ""] = process.argv.slice(2)

const engine = () =>
  Layer.merge(EmbeddedEngine.layer(directory), SandboxStore.layer(path.join(statePaths(directory).sandboxes, "sb-1")))

const program = {
  work: () => work(name).pipe(Effect.provide(engine())),
  accept: () => accept(name).pipe(Effect.provide(engine())),
  race: () => race(name).pipe(Effect.provide(engine())),
  send: () => send(name, "a").pipe(Effect.provide(engine())),
  lock: () => Effect.scoped(Effect.andThen(Effect.andThen(holdLock(directory, name), say("held")), Effect.never))
}[mode]

if (program !== undefined) {
  // Keeps the process alive while it only waits for a lock.
  const alive = setInterval(() => {}, 60_000)
  await Effect.runPromise(Effect.asVoid<unknown, unknown, never>(program()))
  clearInterval(alive)
}
