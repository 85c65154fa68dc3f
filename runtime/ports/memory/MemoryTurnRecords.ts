/** TurnRecords in memory, on Effect's clock: the whole contract, for tests. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { SandboxId, TurnKey } from "../../domain/sandbox/Ids.ts"
import { deliveredRecord, type TurnRecord } from "../../domain/turn/TurnRecord.ts"
import { type Bell, makeBell, ringsOf } from "../Bell.ts"
import { recordRetentionMillis, turnName, type TurnOf, TurnRecords } from "../TurnRecords.ts"

export interface MemoryTurnRecordsState {
  /** By sandbox, in order of writing. */
  readonly records: Map<SandboxId, Map<TurnKey, TurnRecord>>
  readonly bell: Bell
}

export const makeMemoryTurnRecordsState = (): MemoryTurnRecordsState => ({ records: new Map(), bell: makeBell() })

const memoryRecords = ({ bell, records }: MemoryTurnRecordsState): TurnRecords["Service"] => {
  const find = ({ key, sandbox }: TurnOf, now: number): TurnRecord | undefined => {
    const found = records.get(sandbox)?.get(key)
    return found === undefined || found.finishedAt + recordRetentionMillis <= now ? undefined : found
  }
  return TurnRecords.of({
    put: (sandbox, record) =>
      Effect.sync(() => {
        const own = records.get(sandbox) ?? new Map<TurnKey, TurnRecord>()
        records.set(sandbox, own)
        if (!own.has(record.key)) own.set(record.key, record)
        bell.ring()
      }),
    delivered: (sandbox, key, result) =>
      Effect.sync(() => {
        const own = records.get(sandbox)
        const found = own?.get(key)
        if (found === undefined) return
        own?.set(key, deliveredRecord(found, result))
        bell.ring()
      }),
    get: (sandbox, key) =>
      Effect.map(Clock.currentTimeMillis, (now) => Option.fromNullishOr(find({ sandbox, key }, now))),
    among: (turns) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        new Map(turns.flatMap((turn) => {
          const found = find(turn, now)
          return found === undefined ? [] : [[turnName(turn), found] as const]
        }))),
    recent: (sandbox, limit) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        [...records.get(sandbox)?.values() ?? []]
          .filter((record) => record.finishedAt + recordRetentionMillis > now)
          .toSorted((a, b) => a.receivedAt - b.receivedAt)
          .toReversed()
          .slice(0, Math.max(0, limit))),
    removeAll: (sandbox) => Effect.sync(() => void records.delete(sandbox)),
    written: ringsOf(bell)
  })
}

export const layerOver = (state: MemoryTurnRecordsState): Layer.Layer<TurnRecords> =>
  Layer.sync(TurnRecords, () => memoryRecords(state))

export const layer: Layer.Layer<TurnRecords> = Layer.suspend(() => layerOver(makeMemoryTurnRecordsState()))
