/**
 * What becomes of a turn: the pure state machine over its ledger row. Every policy of the pipeline is here (attempts,
 * interruption, lost sessions, stop, expiry, parking, replay); the pipeline only carries out what it says.
 */
import * as Data from "effect/Data"
import type { SessionId, TurnKey } from "../../domain/sandbox/Ids.ts"
import { replayTurnKey } from "../../domain/sandbox/Ids.ts"
import type { AlsoSaid, ProcessMark, ShownPart, TurnRequest, TurnResult, TurnRow } from "../../domain/turn/Turn.ts"
import { AgentOutcome } from "../../domain/turn/Turn.ts"
import { failure } from "./TurnErrors.ts"

/** A second crash while the agent worked parks the turn. Source: docs/architecture.md. */
export const maxCrashes = 2

/** Starts that came to nothing are repeated, but a message that ends the runtime each time is parked at this many. */
export const maxAttempts = 5

/** Names that the machine gives to a new attempt; pure functions of the turn's key and the attempt's number. */
export interface TurnNames {
  readonly runDir: (key: TurnKey, attempt: number) => string
  readonly freshSession: (key: TurnKey, attempt: number) => SessionId
}

/** What is known about a run that ended without an answer, gathered after its processes are gone. */
export interface RunTrace {
  /** The session's conversation is on disk. */
  readonly sessionOnDisk: boolean
  /** Whether the run's message reached the conversation; absent where that cannot be told. */
  readonly messageReceived?: boolean
}

/** What happened to a turn. `at` is Unix milliseconds. */
export type Happening = Data.TaggedEnum<{
  /** The queue delivered the message again. */
  Redelivered: { readonly receipt: string }
  StopRequested: { readonly by: string }
  /** Its time has come. `session` is the one that its thread continues, if any; `also` has joined it. */
  Begun: {
    readonly session: SessionId | undefined
    readonly sessionOnDisk: boolean
    readonly also?: ReadonlyArray<AlsoSaid>
    readonly at: number
  }
  /** Its author edited a message that has joined a turn and is still in the queue. */
  Reworded: { readonly request: TurnRequest }
  /** Its author took such a message back. */
  Withdrawn: { readonly at: number }
  /** The turn that it joined has its outcome, and shows it. */
  Led: { readonly leader: TurnRow; readonly at: number }
  /** Nobody knows of the turn that it joined: it is one of its own. */
  Unled: {}
  Spawned: { readonly mark: ProcessMark }
  /** Every process of the attempt is gone. `trace` matters where the outcome is no result. */
  Ended: { readonly outcome: AgentOutcome; readonly trace: RunTrace; readonly at: number }
  /** The outcome is visible. */
  Shown: { readonly parts: ReadonlyArray<ShownPart> }
  /** The outcome can never be made visible where it belongs; `parts` are what is there in its place. */
  Refused: { readonly code: string; readonly detail: string; readonly parts: ReadonlyArray<ShownPart> }
  /** The message was given back to where it came from. */
  Finished: {}
}>
export const Happening = Data.taggedEnum<Happening>()

/**
 * What is to be done next with a row, once it is durable. `Recover` is only met after a restart: the row says that an
 * agent may run, and nobody in this process watches it. `Follow`: it waits for the turn that it has joined. `Stay`: nothing new follows from what happened.
 */
export type Step = "Begin" | "Follow" | "Recover" | "Spawn" | "Watch" | "Settle" | "Close" | "Done" | "Stay"

export interface Decision {
  readonly row: TurnRow
  readonly step: Step
}

/** What a restarted runtime does first with a row that it finds. */
export const stepOf = (row: TurnRow): Step => {
  switch (row.state) {
    case "received":
      return "Begin"
    case "joined":
      return "Follow"
    case "starting":
    case "running":
      return "Recover"
    case "answered":
      return "Settle"
    case "posted":
      return "Close"
    case "settled":
      return "Done"
  }
}

/** The row of a message that was just taken from the queue. `at` is Unix milliseconds. */
export const receivedRow = (request: TurnRequest, receipt: string | undefined, at: number): TurnRow => ({
  key: request.key,
  request,
  state: "received",
  attempt: 0,
  resumed: false,
  shown: [],
  ...receipt === undefined ? {} : { receipt },
  receivedAt: at
})

/** The row of a message that joins a turn that has not begun. */
export const joinedRow = (request: TurnRequest, leader: TurnKey, at: number): TurnRow => ({
  ...receivedRow(request, undefined, at),
  state: "joined",
  joined: leader
})

/** The message of a turn again, under the key of its `n`-th run (n ≥ 2): never deduplicated with the first. */
export const replayRequest = (row: Pick<TurnRow, "key" | "request">, n: number): TurnRequest => ({
  ...row.request,
  key: replayTurnKey(row.key, n)
})

/** The key of the run before this one, when this is a replay: `k~2` → `k`, `k~3` → `k~2`. */
export const replayedKey = (key: TurnKey): TurnKey | undefined => {
  const n = Number(/~(\d+)$/.exec(key)?.[1] ?? Number.NaN)
  if (!(n >= 2)) return undefined
  return n === 2 ? key.replace(/~\d+$/, "") as TurnKey : replayTurnKey(key, n - 1)
}

const stay = (row: TurnRow): Decision => ({ row, step: "Stay" })

const end = (row: TurnRow, result: TurnResult, outcome: AgentOutcome, at: number): Decision => ({
  row: { ...row, state: "answered", result, outcome, finishedAt: at },
  step: "Settle"
})

const fail = (row: TurnRow, result: "failed" | "parked", code: string, at: number, reason?: string): Decision =>
  end(row, result, { _tag: "Failed", ...failure(code, reason) }, at)

/** The next attempt. Its number, session and directory are durable before anything of it is started. */
const attempt = (
  row: TurnRow,
  names: TurnNames,
  run: { readonly says: "message" | "continue"; readonly resume: SessionId | undefined; readonly at: number }
): Decision => {
  const { process: _gone, ...rest } = row
  const number = row.attempt + 1
  return {
    row: {
      ...rest,
      state: "starting",
      attempt: number,
      session: run.resume ?? names.freshSession(row.key, number),
      resumed: run.resume !== undefined,
      says: run.says,
      runDir: names.runDir(row.key, number),
      startedAt: run.at
    },
    step: "Spawn"
  }
}

/** A run without a `result`: killed, crashed, power lost, or nobody knows. */
const crashed = (row: TurnRow, names: TurnNames, trace: RunTrace, at: number): Decision => {
  const session = row.session
  // Certain only where the agent says so, or where nothing was spawned that could have written its conversation.
  const untouched = trace.messageReceived === false ||
    (trace.messageReceived === undefined && row.state === "starting" && !row.resumed && !trace.sessionOnDisk)
  const counted: TurnRow = untouched && row.state === "starting" ? row : { ...row, crashes: (row.crashes ?? 0) + 1 }
  if ((counted.crashes ?? 0) >= maxCrashes) return fail(counted, "parked", "KM-TRN-005", at)
  if (row.attempt >= maxAttempts) return fail(counted, "parked", "KM-TRN-006", at)
  if (untouched && row.says !== "continue") {
    const lost = row.resumed && !trace.sessionOnDisk
    return attempt(lost ? { ...counted, sessionLost: true } : counted, names, {
      says: "message",
      resume: row.resumed && trace.sessionOnDisk ? session : undefined,
      at
    })
  }
  return trace.sessionOnDisk && session !== undefined
    ? attempt(counted, names, { says: "continue", resume: session, at })
    : fail(counted, "failed", "KM-TRN-004", at)
}

const ended = (row: TurnRow, names: TurnNames, happening: Data.TaggedEnum.Value<Happening, "Ended">): Decision => {
  const { at, outcome, trace } = happening
  // Asked to stop and stopped, however the agent put it; an answer that was complete before is still the answer.
  if (row.cancelRequestedBy !== undefined && outcome._tag !== "Answered") {
    return end(row, "cancelled", AgentOutcome.cases.Cancelled.make({ by: row.cancelRequestedBy }), at)
  }
  switch (outcome._tag) {
    case "Answered":
      return end(row, "answered", outcome, at)
    case "Failed":
      return end(row, "failed", outcome, at)
    case "Cancelled":
      return end(row, "cancelled", outcome, at)
    case "TimedOut":
      return end(row, "expired", outcome, at)
    case "SessionLost":
      if (row.says === "continue") return fail(row, "failed", "KM-TRN-004", at)
      return row.resumed && row.sessionLost !== true
        ? attempt({ ...row, sessionLost: true }, names, { says: "message", resume: undefined, at })
        : crashed(row, names, trace, at)
    case "Crashed":
      return crashed(row, names, trace, at)
  }
}

/** The outcome of the turn that it joined is its own. */
const led = (row: TurnRow, leader: TurnRow, at: number): Decision => ({
  row: {
    ...row,
    state: "posted",
    result: leader.result ?? "failed",
    ...(leader.outcome === undefined ? {} : { outcome: leader.outcome }),
    shown: leader.shown,
    finishedAt: leader.finishedAt ?? at
  },
  step: "Close"
})

/** The next row and the next step. What cannot happen in the row's state changes nothing. */
export const decide = (row: TurnRow, happening: Happening, names: TurnNames): Decision => {
  const inAgent = row.state === "starting" || row.state === "running"
  switch (happening._tag) {
    case "Redelivered":
      return row.state === "settled" || row.receipt === happening.receipt
        ? stay(row)
        : stay({ ...row, receipt: happening.receipt })
    case "StopRequested":
      return (row.state === "received" || inAgent) && row.cancelRequestedBy === undefined
        ? stay({ ...row, cancelRequestedBy: happening.by })
        : stay(row)
    case "Begun": {
      if (row.state !== "received") return stay(row)
      if (row.cancelRequestedBy !== undefined) {
        const by = row.cancelRequestedBy
        return end(row, "cancelled", AgentOutcome.cases.Cancelled.make({ by }), happening.at)
      }
      const { also = [] } = happening
      const whole = also.length === 0 ? row : { ...row, request: { ...row.request, also } }
      const lost = happening.session !== undefined && !happening.sessionOnDisk
      return attempt(lost ? { ...whole, sessionLost: true } : whole, names, {
        says: "message",
        resume: lost ? undefined : happening.session,
        at: happening.at
      })
    }
    case "Reworded":
      return stay(row.state === "joined" ? { ...row, request: happening.request } : row)
    case "Withdrawn":
      return row.state === "joined"
        ? { row: { ...row, state: "settled", result: "cancelled", finishedAt: happening.at }, step: "Done" }
        : stay(row)
    case "Led":
      return row.state === "joined" ? led(row, happening.leader, happening.at) : stay(row)
    case "Unled": {
      const { joined, ...alone } = row
      return row.state === "joined" && joined !== undefined
        ? { row: { ...alone, state: "received" }, step: "Begin" }
        : stay(row)
    }
    case "Spawned":
      return row.state === "starting"
        ? { row: { ...row, state: "running", process: happening.mark }, step: "Watch" }
        : stay(row)
    case "Ended":
      return inAgent ? ended(row, names, happening) : stay(row)
    case "Shown":
      return row.state === "answered"
        ? { row: { ...row, state: "posted", shown: happening.parts }, step: "Close" }
        : stay(row)
    case "Refused":
      return row.state === "answered"
        ? { row: { ...row, state: "posted", result: "undeliverable", shown: happening.parts }, step: "Close" }
        : stay(row)
    case "Finished":
      return row.state === "posted" ? { row: { ...row, state: "settled" }, step: "Done" } : stay(row)
  }
}
