/**
 * What asks the engine all the time, at a thousand and at a million rows: the same operations of the ports on two files, in
 * alternation. Rows are filled in as text, with the tables' own indices and triggers.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { ChannelId, GroupId, InstallName, SandboxId, TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import * as EmbeddedEngine from "../../runtime/engines/embedded/EmbeddedEngine.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { slackProfile } from "../support/profiles.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

const sizes = { few: 1_000, many: 1_000_000 } as const
const rounds = 100
const queue = SandboxId.make("sb-00000001")
const stranger = ChannelId.make("C0NOBODY01")

const prepare = Effect.gen(function*() {
  yield* (yield* TurnQueue).create(queue)
  yield* (yield* Sandboxes).insert({
    id: queue,
    install: InstallName.make("km"),
    profile: slackProfile,
    desired: "running",
    status: "running",
    channel: ChannelId.make("C0KNOWN001"),
    channelMode: "perSandbox",
    unconfined: false,
    createdAt: Date.now() - 3_600_000,
    generation: "1",
    inventory: []
  })
})

const fill = (file: string, rows: number): void => {
  const database = new DatabaseSync(file)
  database.exec(`PRAGMA synchronous = OFF; BEGIN;
    CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows}) SELECT i FROM n;
    INSERT INTO queue_messages (queue, key, grp, body, sent_at, head) SELECT '${queue}', 'key-' || i, 'g' || i, '{}', 0, 1 FROM n;
    INSERT INTO seen (key, turn, expires_at) SELECT 'turn:key-' || i, 'key-' || i, 99999999999999 FROM n;
    INSERT INTO sandboxes (id, channel, created_at, attributes) SELECT 'sc-' || i, 'C' || i, 0, '{}' FROM n;
    INSERT INTO sandbox_changes (id, seq, at) SELECT 'sc-' || i, i + 10, 0 FROM n;
    COMMIT; PRAGMA wal_checkpoint(TRUNCATE)`)
  database.close()
}

let made = 0
const operations = {
  "depth of one queue": Effect.flatMap(TurnQueue, (port) => port.depth(queue)),
  "receive and delete": Effect.gen(function*() {
    const port = yield* TurnQueue
    const found = yield* port.receive(queue, { wait: Duration.zero, visibility: Duration.minutes(5) })
    if (Option.isSome(found)) yield* port.delete(queue, found.value.receipt)
  }),
  "accept": Effect.suspend(() => {
    const key = TurnKey.make(`new-${made++}`)
    return Effect.flatMap(
      TurnQueue,
      (port) =>
        port.accept(queue, { key, group: GroupId.make(key), body: "{}" }, { generation: "1", seen: [`turn:${key}`] })
    )
  }),
  "depths of all queues": Effect.flatMap(TurnQueue, (port) => port.occupied),
  "a channel that is nobody's": Effect.gen(function*() {
    const port = yield* Sandboxes
    yield* port.byChannel(stranger)
    yield* port.youngerThan(Date.now() - 60_000)
  }),
  "a change of a sandbox's row": Effect.flatMap(Sandboxes, (port) => port.update(queue, { expiresAt: made++ }))
}

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const root = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "km-bench-"))
  try {
    const states = { few: path.join(root, "few"), many: path.join(root, "many") }
    for (const size of ["few", "many"] as const) {
      await Effect.runPromise(Effect.provide(prepare, EmbeddedEngine.layer(states[size])))
      fill(path.join(states[size], "engine.db"), sizes[size])
    }
    const timesOf = (name: keyof typeof operations) => {
      const once = Effect.gen(function*() {
        const started = performance.now()
        yield* operations[name]
        return performance.now() - started
      })
      return Effect.all(Array.from({ length: 10 }, () => once))
    }
    const rows: Array<BenchRow> = []
    for (const name of Object.keys(operations) as ReadonlyArray<keyof typeof operations>) {
      const times: Record<keyof typeof sizes, Array<number>> = { few: [], many: [] }
      const program = (size: keyof typeof sizes) =>
        Effect.runPromise(Effect.provide(timesOf(name), EmbeddedEngine.layer(states[size], { check: false })))
      for (let round = 0; round < rounds / 10; round++) {
        // The first of ten opens nothing any more but prepares its statements.
        for (const size of ["few", "many"] as const) times[size].push(...(await program(size)).slice(1))
      }
      const [few, many] = [percentile(times.few, 50), percentile(times.many, 50)]
      rows.push({
        area: "engineRows",
        name: `${name}, a million rows against a thousand`,
        unit: "x",
        value: many / few,
        p50: many,
        p99: percentile(times.many, 99),
        baseline: few,
        ratio: many / few,
        target: "<= 2",
        ok: meets(many / few, "<= 2")
      })
    }
    return rows
  } finally {
    fs.rmSync(root, { recursive: true, force: true })
  }
}
