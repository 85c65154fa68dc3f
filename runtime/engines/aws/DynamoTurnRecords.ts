/** Turns that are over, as items of their sandbox. A replay's text of up to 256 KiB fits into an item of 400 KB. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SandboxId, type TurnKey } from "../../domain/sandbox/Ids.ts"
import type { TurnResult } from "../../domain/turn/Turn.ts"
import { deliveredRecord, TurnRecord } from "../../domain/turn/TurnRecord.ts"
import { ringsOf } from "../../ports/Bell.ts"
import { recordRetentionMillis, turnName, TurnRecords } from "../../ports/TurnRecords.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { Bells } from "./Bells.ts"
import { absent, is } from "./conditions.ts"
import { Dynamo } from "./Dynamo.ts"
import { makeArrivals, reader, ttlOf } from "./rows.ts"
import { itemOf, itemsOf, keysOf } from "./stateItems.ts"
import { stateTable } from "./tables.ts"

const RecordJson = Schema.fromJsonString(TurnRecord)
const encodeRecord = Schema.encodeSync(RecordJson)
const readStored = reader("record of a turn", Schema.Struct({ sandbox_id: SandboxId, record: RecordJson }))

const of = (operation: string): Purpose => ({ port: "TurnRecords", operation })

/** By when they were received, the newest first; those of one instant by when they were stored. */
const newestFirst = (a: Attributes, b: Attributes): number =>
  Number(b["received_at"]) - Number(a["received_at"]) || (String(a["arrival"]) < String(b["arrival"]) ? 1 : -1)

const isKept = (item: Attributes, now: number): boolean => Number(item["finished_at"]) > now - recordRetentionMillis

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo
  const arrivals = makeArrivals()
  const bell = (yield* Bells).of("turn-records")
  const ring = Effect.sync(bell.ring)

  const itemAt = (purpose: Purpose, sandbox: SandboxId, key: TurnKey) =>
    dynamo.get(purpose, stateTable, itemOf(sandbox, "record", key))
  const deliver = Effect.fnUntraced(function*(sandbox: SandboxId, key: TurnKey, result: TurnResult) {
    const purpose = of("delivered")
    for (;;) {
      const item = yield* itemAt(purpose, sandbox, key)
      if (item === undefined) return
      const { record } = yield* readStored(purpose, item)
      const { done } = yield* dynamo.change(purpose, {
        _tag: "Update",
        table: stateTable,
        key: itemOf(sandbox, "record", key),
        changes: { set: { record: encodeRecord(deliveredRecord(record, result)) } },
        when: is("record", item["record"])
      })
      // Else it changed meanwhile: the rule is applied to what it is now.
      if (done) return
    }
  })

  return TurnRecords.of({
    put: Effect.fn("TurnRecords.put")(function*(sandbox, record) {
      const now = yield* Clock.currentTimeMillis
      const item = {
        ...itemOf(sandbox, "record", record.key),
        arrival: arrivals(now),
        received_at: record.receivedAt,
        finished_at: record.finishedAt,
        record: encodeRecord(record),
        ttl_expiry: ttlOf(record.finishedAt + recordRetentionMillis)
      }
      yield* dynamo.change(of("put"), { _tag: "Put", table: stateTable, item, when: absent("item") })
      yield* ring
    }),
    delivered: (sandbox, key, result) => Effect.andThen(deliver(sandbox, key, result), ring),
    get: Effect.fnUntraced(function*(sandbox, key) {
      const item = yield* itemAt(of("get"), sandbox, key)
      if (item === undefined || !isKept(item, yield* Clock.currentTimeMillis)) return Option.none()
      return Option.some((yield* readStored(of("get"), item)).record)
    }),
    among: Effect.fnUntraced(function*(turns) {
      const now = yield* Clock.currentTimeMillis
      const keys = new Map(turns.map((turn) => [turnName(turn), itemOf(turn.sandbox, "record", turn.key)]))
      const items = yield* dynamo.getAll(of("among"), stateTable, [...keys.values()])
      const stored = yield* Effect.forEach(
        items.filter((item) => isKept(item, now)),
        (item) => readStored(of("among"), item)
      )
      return new Map(
        stored.map(({ record, sandbox_id }) => [turnName({ sandbox: sandbox_id, key: record.key }), record] as const)
      )
    }),
    recent: Effect.fnUntraced(function*(sandbox, limit) {
      const items = yield* dynamo.query(of("recent"), itemsOf(sandbox, "record"))
      const now = yield* Clock.currentTimeMillis
      const newest = items.filter((item) => isKept(item, now)).toSorted(newestFirst).slice(0, Math.max(0, limit))
      return yield* Effect.forEach(newest, (item) => Effect.map(readStored(of("recent"), item), ({ record }) => record))
    }),
    removeAll: Effect.fnUntraced(function*(sandbox) {
      const items = yield* dynamo.query(of("removeAll"), itemsOf(sandbox, "record"))
      yield* dynamo.deleteAll(of("removeAll"), stateTable, keysOf(items))
    }),
    written: ringsOf(bell)
  })
})

export const layer: Layer.Layer<TurnRecords, never, Bells | Dynamo> = Layer.effect(TurnRecords, make)
