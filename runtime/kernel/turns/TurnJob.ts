/**
 * One turn in the hands of this process: its row as it is on disk, and the one door through which it changes. Every
 * change is durable before anybody may act on it.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as PubSub from "effect/PubSub"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { TurnRow } from "../../domain/turn/Turn.ts"
import { pauseAfter } from "../../ports/Backoff.ts"
import type { Ledger } from "../../ports/Ledger.ts"
import type { LedgerHealth } from "./LedgerHealth.ts"
import { makeTurnClock, type TurnClock } from "./TurnClock.ts"
import { decide, type Happening, type Step, type TurnNames } from "./TurnMachine.ts"

export interface Job {
  /** As on disk. Only `advance` sets it. */
  row: TurnRow
  readonly lock: Semaphore.Semaphore
  /** Completed with the name of who asked, once the request is durable. */
  readonly stop: Deferred.Deferred<string>
  /** Completed when the row is settled. */
  readonly done: Deferred.Deferred<void>
  /** Completed when nobody works on the row any more: settled, or left for the next start. */
  readonly left: Deferred.Deferred<void>
  /** Completed when the next turn of the group may begin: this one and all before it are over. */
  readonly clear: Deferred.Deferred<void>
  /** Observers of the attempt live here from before the start of the agent until the answer is reconciled. */
  watching: Scope.Closeable | undefined
  /** Whether messages may join it now: only while its origin is asked for them. Looked at and changed behind `gate`. */
  collecting: boolean
  readonly gate: Semaphore.Semaphore
  toldSessionLost: boolean
  /** US dollars of the attempts of this process; none where no agent reported any. */
  costUsd: number | undefined
  /** Past the point of no return before its first agent: a stopping runtime waits for it. */
  begun: boolean
  /** Stands still while people are asked. */
  readonly clock: TurnClock
  /** Calls that run beside the agent and must be over before the turn is marked. */
  readonly errands: Array<Fiber.Fiber<void>>
}

export const makeJob = (row: TurnRow): Job => ({
  row,
  lock: Semaphore.makeUnsafe(1),
  stop: Deferred.makeUnsafe(),
  done: Deferred.makeUnsafe(),
  left: Deferred.makeUnsafe(),
  clear: Deferred.makeUnsafe(),
  watching: undefined,
  collecting: false,
  gate: Semaphore.makeUnsafe(1),
  toldSessionLost: false,
  costUsd: undefined,
  begun: row.state !== "received" && row.state !== "joined",
  clock: makeTurnClock(),
  errands: []
})

/** The row cannot be moved on in this process: the ledger is corrupt, or somebody else moved the row. It stays open. */
export class TurnAbandoned extends Schema.TaggedError<TurnAbandoned>()("TurnAbandoned", {
  key: Schema.String,
  reason: Schema.Literals(["ledger", "conflict"]),
  detail: Schema.String
}) {
  override get message(): string {
    return `turn ${this.key} is left as it is: ${this.detail}`
  }
}

/** Before the next try of a write that found no space or a busy ledger. */
const rewriting = { firstMillis: 100, longestMillis: 5_000 }

/** Tells a job what happened: decides, writes, and only then returns what is to be done. */
export const makeAdvance = (
  ledger: Ledger["Service"],
  health: LedgerHealth["Service"],
  names: TurnNames,
  changes: PubSub.PubSub<TurnRow>
) => {
  const write = Effect.fnUntraced(function*(job: Job, to: TurnRow): Effect.fn.Return<void, TurnAbandoned> {
    for (let failures = 1;; failures++) {
      // Not to be interrupted between the disk's yes and our knowing it.
      const error = yield* ledger.update(job.row, to).pipe(
        Effect.tap(() => Effect.sync(() => void (job.row = to))),
        Effect.match({ onFailure: (failed) => failed, onSuccess: () => undefined }),
        Effect.uninterruptible
      )
      if (error === undefined) return yield* health.worked
      if (error._tag === "LedgerConflict") {
        return yield* new TurnAbandoned({ key: to.key, reason: "conflict", detail: error.message })
      }
      if (error.reason === "TooLarge") {
        return yield* new TurnAbandoned({ key: to.key, reason: "ledger", detail: error.message })
      }
      yield* health.failed(error)
      if (error.reason === "Corrupt" || error.reason === "Denied") {
        return yield* new TurnAbandoned({ key: to.key, reason: "ledger", detail: error.message })
      }
      yield* Effect.sleep(pauseAfter(rewriting, failures))
    }
  })

  return (job: Job, happening: Happening): Effect.Effect<Step, TurnAbandoned> =>
    Semaphore.withPermit(
      job.lock,
      Effect.gen(function*() {
        const decision = decide(job.row, happening, names)
        if (decision.row !== job.row) {
          yield* write(job, decision.row)
          yield* PubSub.publish(changes, decision.row)
        }
        return decision.step
      })
    )
}

export type Advance = ReturnType<typeof makeAdvance>
