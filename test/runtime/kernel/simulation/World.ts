/**
 * The world around a runtime in the simulation: what is on disks and in Slack, which survives a crash, and the gate that
 * every durable write and every effect passes, where a crash can be injected before or after.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { GroupId, SandboxId, type SessionId, type TurnKey } from "../../../../runtime/domain/sandbox/Ids.ts"
import type { AgentOutcome, TurnRequest } from "../../../../runtime/domain/turn/Turn.ts"
import { makeMemoryLeasesState, type MemoryLeasesState } from "../../../../runtime/ports/memory/MemoryLeases.ts"
import { makeMemoryLedgerState, type MemoryLedgerState } from "../../../../runtime/ports/memory/MemoryLedger.ts"
import {
  makeMemoryTurnQueueState,
  type MemoryTurnQueueState
} from "../../../../runtime/ports/memory/MemoryTurnQueue.ts"
import {
  makeMemoryTurnRecordsState,
  type MemoryTurnRecordsState
} from "../../../../runtime/ports/memory/MemoryTurnRecords.ts"

export const sandbox = SandboxId.make("sb-0000aaaa")

/** What the agent does in one attempt of a turn. Times are virtual milliseconds after it has received the message. */
export type Act =
  | { readonly do: "answer"; readonly after: number }
  | { readonly do: "fail"; readonly after: number }
  | { readonly do: "die"; readonly after: number }
  /** Exits before it has taken the message in. */
  | { readonly do: "stillborn" }
  | { readonly do: "hang" }
  /** Hangs, and does not end when it is told to. */
  | { readonly do: "stubborn" }
  /** Cannot be started at all. */
  | { readonly do: "refuse" }
  | { readonly do: "lose-session" }

export interface Message {
  readonly request: TurnRequest
  /** One act per attempt; the last is repeated. */
  readonly acts: ReadonlyArray<Act>
  /** Virtual milliseconds after the start of the simulation. */
  readonly at: number
  /** Sent to the queue this many times. */
  readonly copies: number
}

/** A crash before or after the `op`-th gated operation. */
export interface CrashPoint {
  readonly op: number
  readonly when: "before" | "after"
}

export interface Run {
  readonly turn: TurnKey
  readonly group: GroupId
  readonly attempt: number
  readonly session: SessionId
  readonly runtime: number
  alive: boolean
  result: AgentOutcome | undefined
  readonly exited: Deferred.Deferred<void>
}

/** Something visible in Slack. */
export interface Post {
  readonly key: string
  readonly group: GroupId
  text: string
  readonly epoch: number
  readonly ts: string
}

export interface World {
  readonly messages: ReadonlyArray<Message>
  readonly ledger: MemoryLedgerState
  readonly records: MemoryTurnRecordsState
  readonly queue: MemoryTurnQueueState
  readonly leases: MemoryLeasesState
  /** The agent's home: each session's user messages, by uuid, with the turn that they belong to. */
  readonly sessions: Map<SessionId, Array<{ readonly uuid: string; readonly turn: TurnKey; readonly prompt: string }>>
  readonly runs: Map<string, Run>
  readonly directories: Set<string>
  readonly posts: Map<string, Post>
  readonly reactions: Set<string>
  readonly threads: Map<GroupId, SessionId>
  readonly uploads: Set<string>
  /** Everything that passed the gate, for a failing run's report. */
  readonly log: Array<string>
  /** What must never happen, as it happened. */
  readonly violations: Array<string>
  /** Crashes still to come. Counted over the whole simulation, restarts included. */
  readonly crashes: Array<CrashPoint>
  ops: number
  /** The bridge answers from this virtual time on, milliseconds. */
  bridgeUpAt: number
  /** Ledger writes fail as on a full disk between these virtual times, milliseconds. */
  ledgerFull: { readonly from: number; readonly until: number }
  /** Requests to stop, delivered until acknowledged, at these virtual times. */
  readonly stops: Array<{ readonly turn: TurnKey; readonly at: number }>
  /** Agents that outlive their runtime: what a jail prevents, and what recovery must end all the same. */
  orphans: boolean
  /** How long Slack takes to show that a message is worked on, milliseconds. */
  waitMillis: number
  /** Calls of the origin that die, by name and number of the call; and observers' calls. */
  readonly dying: Set<string>
  calls: Map<string, number>
}

export const makeWorld = (messages: ReadonlyArray<Message>, crashes: ReadonlyArray<CrashPoint> = []): World => {
  const queue = makeMemoryTurnQueueState()
  queue.queues.set(sandbox, { messages: [], dedupe: new Map(), dead: new Map() })
  return {
    messages,
    ledger: makeMemoryLedgerState(),
    records: makeMemoryTurnRecordsState(),
    queue,
    leases: makeMemoryLeasesState(),
    sessions: new Map(),
    runs: new Map(),
    directories: new Set(),
    posts: new Map(),
    reactions: new Set(),
    threads: new Map(),
    uploads: new Set(),
    log: [],
    violations: [],
    crashes: [...crashes],
    ops: 0,
    bridgeUpAt: 0,
    ledgerFull: { from: 0, until: 0 },
    stops: [],
    orphans: false,
    waitMillis: 0,
    dying: new Set(),
    calls: new Map()
  }
}

/** One life of a runtime process. A dead one does nothing more, whatever its fibers and finalizers try. */
export interface Incarnation {
  readonly number: number
  dead: boolean
  readonly crashed: Deferred.Deferred<void>
}

/** The runtime is gone, and its agents with it. */
export const crash = (world: World, incarnation: Incarnation): void => {
  if (incarnation.dead) return
  incarnation.dead = true
  world.log.push(`--- runtime ${incarnation.number} crashes`)
  for (const run of world.orphans ? [] : world.runs.values()) {
    if (run.runtime === incarnation.number) run.alive = false
  }
  Deferred.doneUnsafe(incarnation.crashed, Effect.void)
}

/** Passes one operation through the gate. */
export const gate =
  (world: World, incarnation: Incarnation) =>
  <A, E, R>(name: string, operation: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      if (incarnation.dead) return Effect.never
      const op = ++world.ops
      const planned = world.crashes.findIndex((point) => point.op === op)
      const point = planned === -1 ? undefined : world.crashes.splice(planned, 1)[0]
      world.log.push(`${op} ${name}${point === undefined ? "" : ` (${point.when})`}`)
      if (point?.when === "before") {
        crash(world, incarnation)
        return Effect.never
      }
      return Effect.onExit(operation, () => {
        if (point !== undefined) crash(world, incarnation)
        return Effect.void
      }).pipe(Effect.tap(() => incarnation.dead ? Effect.never : Effect.void))
    })

/** Dies when the scenario says that this call of that name does: `settle 1` is the first call of `settle`. */
export const perhapsDie = (world: World, call: string) =>
  Effect.suspend(() => {
    const number = (world.calls.get(call) ?? 0) + 1
    world.calls.set(call, number)
    return world.dying.has(`${call} ${number}`) ? Effect.die(`${call} ${number} dies`) : Effect.void
  })
