/** Turns that are over, a row each; who waits for one is woken by a doorbell. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { reader } from "../../adapters/disk/columns.ts"
import { Doorbell } from "../../adapters/disk/Doorbell.ts"
import { Sqlite, type Statements } from "../../adapters/disk/Sqlite.ts"
import { SandboxId } from "../../domain/sandbox/Ids.ts"
import { deliveredRecord, TurnRecord } from "../../domain/turn/TurnRecord.ts"
import { ringsOf } from "../../ports/Bell.ts"
import { recordRetentionMillis, turnName, TurnRecords } from "../../ports/TurnRecords.ts"

const topic = "turn-records"
const RecordJson = Schema.fromJsonString(TurnRecord)
const readRecord = reader("record of a turn", RecordJson)
const encodeRecord = Schema.encodeSync(RecordJson)
const readSandbox = reader("sandbox id", SandboxId)

const make = Effect.gen(function*() {
  const sqlite = yield* Sqlite
  const bell = (yield* Doorbell).topic(topic)
  const read = <A>(operation: string, look: (tables: Statements, oldest: number) => A) =>
    Effect.flatMap(
      Clock.currentTimeMillis,
      (now) => sqlite.read("TurnRecords", operation, (tables) => look(tables, now - recordRetentionMillis))
    )
  return TurnRecords.of({
    put: (sandbox, record) =>
      sqlite.write("TurnRecords", "put", (tables) =>
        void tables.run(
          "INSERT OR IGNORE INTO turn_records (sandbox, key, received_at, finished_at, record) VALUES (?, ?, ?, ?, ?)",
          sandbox,
          record.key,
          record.receivedAt,
          record.finishedAt,
          encodeRecord(record)
        )).pipe(Effect.tap(() => Effect.sync(bell.ring))),
    delivered: (sandbox, key, result) =>
      sqlite.write("TurnRecords", "delivered", (tables) => {
        const row = tables.get("SELECT record FROM turn_records WHERE sandbox = ? AND key = ?", sandbox, key)
        if (row === undefined) return
        const record = encodeRecord(deliveredRecord(readRecord(row["record"]), result))
        tables.run("UPDATE turn_records SET record = ? WHERE sandbox = ? AND key = ?", record, sandbox, key)
      }).pipe(Effect.tap(() => Effect.sync(bell.ring))),
    get: (sandbox, key) =>
      read("get", (tables, oldest) => {
        const row = tables.get(
          "SELECT record FROM turn_records WHERE sandbox = ? AND key = ? AND finished_at > ?",
          sandbox,
          key,
          oldest
        )
        return row === undefined ? Option.none() : Option.some(readRecord(row["record"]))
      }),
    among: (turns) =>
      read("among", (tables, oldest) =>
        new Map(
          tables.all(
            `SELECT r.sandbox, r.record FROM json_each(?) j
             JOIN turn_records r ON r.sandbox = json_extract(j.value, '$.sandbox') AND r.key = json_extract(j.value, '$.key')
             WHERE r.finished_at > ?`,
            JSON.stringify(turns.map(({ key, sandbox }) => ({ sandbox, key }))),
            oldest
          ).map((row) => {
            const record = readRecord(row["record"])
            return [turnName({ sandbox: readSandbox(row["sandbox"]), key: record.key }), record] as const
          })
        )),
    recent: (sandbox, limit) =>
      read("recent", (tables, oldest) =>
        tables.all(
          `SELECT record FROM turn_records WHERE sandbox = ? AND finished_at > ?
           ORDER BY received_at DESC, seq DESC LIMIT ?`,
          sandbox,
          oldest,
          Math.max(0, limit)
        ).map((row) => readRecord(row["record"]))),
    removeAll: (sandbox) =>
      sqlite.write(
        "TurnRecords",
        "removeAll",
        (tables) => void tables.run("DELETE FROM turn_records WHERE sandbox = ?", sandbox)
      ),
    written: ringsOf(bell)
  })
})

export const layer: Layer.Layer<TurnRecords, never, Sqlite | Doorbell> = Layer.effect(TurnRecords, make)
