/**
 * Messages that join a turn that has not begun: a row of their own, durable before they leave the queue, and part of what
 * the turn's agent is told. They have the turn's outcome.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { TurnKey } from "../../domain/sandbox/Ids.ts"
import type { AlsoSaid, TurnRequest, TurnRow } from "../../domain/turn/Turn.ts"
import type { Ledger } from "../../ports/Ledger.ts"
import { StoreError } from "../../ports/StoreError.ts"
import type { Turns } from "../../ports/Turns.ts"
import type { LedgerHealth } from "./LedgerHealth.ts"
import type { Advance, Job } from "./TurnJob.ts"
import { Happening, joinedRow } from "./TurnMachine.ts"

/** Those that have joined a turn and are not over, oldest first. */
export const joinedTo = (jobs: ReadonlyMap<TurnKey, Job>, leader: TurnKey): ReadonlyArray<TurnRow> =>
  [...jobs.values()].filter(({ row }) => row.state === "joined" && row.joined === leader).map(({ row }) => row)

export const alsoSaid = ({ request: { acceptedAt, files, key, origin, text } }: TurnRow): AlsoSaid => ({
  key,
  origin,
  text,
  files,
  acceptedAt
})

/** One of a turn's further messages as if it were a turn, for whoever asks about its files or sets its marks. */
export const rowOfAlso = (row: TurnRow, { acceptedAt, files, key, origin, text }: AlsoSaid): TurnRow => {
  const { also: _others, ...request } = row.request
  return { ...row, key, request: { ...request, key, origin, text, files, acceptedAt } }
}

export const makeJoin = (parts: {
  readonly advance: Advance
  readonly health: LedgerHealth["Service"]
  readonly jobs: ReadonlyMap<TurnKey, Job>
  readonly ledger: Ledger["Service"]
  readonly take: (row: TurnRow) => Effect.Effect<Job>
  readonly stopping: () => boolean
}): Turns["Service"]["join"] => {
  const { advance, health, jobs, ledger, take } = parts
  const changed = (job: Job, happening: Happening) =>
    advance(job, happening).pipe(Effect.mapError((error) =>
      new StoreError({
        port: "Turns",
        operation: "join",
        reason: "Unavailable",
        detail: error.message,
        cause: error
      })
    ))

  const join = Effect.fnUntraced(function*(
    leader: Job,
    request: TurnRequest,
    claim: Parameters<Turns["Service"]["join"]>[2]
  ) {
    const { cancelRequestedBy, key, state } = leader.row
    if (!leader.collecting || parts.stopping() || state !== "received" || cancelRequestedBy !== undefined) return "late"
    const at = yield* Clock.currentTimeMillis
    // Not to be interrupted between the disk's yes and our taking the row.
    const { inserted } = yield* ledger.insert(joinedRow(request, key, at)).pipe(
      Effect.tap((answer) => answer.inserted ? take(answer.row) : Effect.void),
      Effect.tapError(health.failed),
      Effect.uninterruptible
    )
    const own = jobs.get(request.key)
    // It was received before, as a turn of its own.
    if (own === undefined || own.row.state !== "joined" || own.row.joined !== key) return "late"
    if (!inserted) yield* changed(own, Happening.Reworded({ request }))
    const claimed = yield* claim
    if (claimed === "absent") {
      yield* changed(own, Happening.Withdrawn({ at: yield* Clock.currentTimeMillis }))
      return "gone"
    }
    // In flight it is only if it was delivered again: its row is known, so that delivery is deleted.
    return claimed === "changed" ? "changed" : "joined"
  })

  return Effect.fn("Turns.join")(function*(key, request, claim) {
    const leader = jobs.get(key)
    return leader === undefined ? "late" : yield* Semaphore.withPermit(leader.gate, join(leader, request, claim))
  })
}
