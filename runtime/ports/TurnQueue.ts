/** The queue between the bridge and a sandbox: SQS FIFO's promises and no more, so any engine can keep them. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { GroupId, MessageTs, SandboxId, TurnKey } from "../domain/sandbox/Ids.ts"
import type { QueuedState, QueueMissing, ReceiptExpired, SandboxEnding } from "./QueueRules.ts"
import type { StoreError } from "./StoreError.ts"

export interface QueueEntry {
  /** Is in a queue once. Sent again within 5 minutes, or while it is there or among the dead, it adds nothing. */
  readonly key: TurnKey
  readonly group: GroupId
  /** JSON; at most 256 KiB of UTF-8 (SQS's limit before 2025, kept for margin). */
  readonly body: string
}

export interface ReceivedEntry extends QueueEntry {
  /** Changes with every receive; an older one is expired. */
  readonly receipt: string
  /** 1 on the first receive. */
  readonly receiveCount: number
  /** Unix milliseconds. */
  readonly sentAt: number
}

/** A message without its body. */
export interface QueuedKey extends Pick<QueueEntry, "key" | "group"> {
  readonly state: QueuedState
}

/** What is before a message that waits. */
export interface QueueAhead {
  /** Messages of its group before it, waiting or in flight: at most `aheadLimit` are counted. */
  readonly inGroup: number
  /**
   * Other groups with a message in flight; 0 where others of its own group are before it, which it waits for anyway. At least
   * so many: an engine may look at no more than its first page.
   */
  readonly otherGroups: number
}

export interface QueuedEntry extends QueueEntry {
  readonly state: QueuedState
}

/** With what a message is accepted: all of it or none. */
export interface AcceptTerms {
  /** The sandbox's row must have this generation, and its end must not have begun. */
  readonly generation: string
  /** Keys of the gesture, as `Seen` has them: from now on they belong to this turn. */
  readonly seen: ReadonlyArray<string>
  /** Slack's `ts` of the message: the channel's newest accepted one, if it is later than the one known. */
  readonly ts?: MessageTs
}

/**
 * `Repeated`: one of the keys already belongs to a turn, and nothing was changed. `ahead` is there where the engine knows it
 * at no cost; elsewhere whoever needs it asks.
 */
export type AcceptAnswer =
  | { readonly _tag: "Accepted"; readonly ahead?: QueueAhead }
  | { readonly _tag: "Repeated"; readonly turn: TurnKey }

/** Exact: counted from rows, never from a service's estimate. A sandbox's end may be decided on it. */
export interface QueueDepth {
  readonly waiting: number
  readonly inFlight: number
  readonly dead: number
}

export interface DeadEntry extends QueueEntry {
  /** 1 unless it was redriven: each redrive counts one on, so that no redrive is taken for what was sent before. */
  readonly generation: number
  readonly receiveCount: number
  /** Unix milliseconds. */
  readonly deadAt: number
  /** True once the control plane has told the thread. */
  readonly noticed: boolean
}

export class TurnQueue extends Context.Service<TurnQueue, {
  /** Idempotent. */
  readonly create: (queue: SandboxId) => Effect.Effect<void, StoreError>
  /** Idempotent; removes what waits and what is dead. */
  readonly destroy: (queue: SandboxId) => Effect.Effect<void, StoreError>
  /** Durable (synced) once the effect succeeds, whether it added the message or the key was known. */
  readonly send: (queue: SandboxId, entry: QueueEntry) => Effect.Effect<void, StoreError | QueueMissing>
  /**
   * Sends what a person or a schedule asks for, in one step with what must not be forgotten of it, and only while the
   * sandbox takes messages: whatever is accepted is there when its end looks for what waits.
   */
  readonly accept: (
    queue: SandboxId,
    entry: QueueEntry,
    terms: AcceptTerms
  ) => Effect.Effect<AcceptAnswer, StoreError | QueueMissing | SandboxEnding>
  /**
   * The oldest visible message of a group that has none in flight, or none after `wait` (at most 20 s). A message
   * that is received a sixth time goes to the dead letters instead.
   */
  readonly receive: (
    queue: SandboxId,
    options: { readonly wait: Duration.Duration; readonly visibility: Duration.Duration }
  ) => Effect.Effect<Option.Option<ReceivedEntry>, StoreError | QueueMissing>
  readonly extend: (
    queue: SandboxId,
    receipt: string,
    visibility: Duration.Duration
  ) => Effect.Effect<void, StoreError | ReceiptExpired>
  readonly delete: (queue: SandboxId, receipt: string) => Effect.Effect<void, StoreError | ReceiptExpired>
  /** Changes the body of a message that still waits. */
  readonly replace: (
    queue: SandboxId,
    key: TurnKey,
    body: string
  ) => Effect.Effect<"replaced" | "in-flight" | "absent", StoreError>
  /** Takes a message that still waits out of the queue. */
  readonly withdraw: (
    queue: SandboxId,
    key: TurnKey
  ) => Effect.Effect<"withdrawn" | "in-flight" | "absent", StoreError>
  /** The message of that key, if it waits or is in flight. */
  readonly get: (queue: SandboxId, key: TurnKey) => Effect.Effect<Option.Option<QueuedEntry>, StoreError>
  /**
   * Everything that waits or is in flight, of one group or of all, oldest first, without the bodies. Its cost grows with the
   * queue, or the group: nothing that happens for each message asks for it.
   */
  readonly keys: (queue: SandboxId, group?: GroupId) => Effect.Effect<ReadonlyArray<QueuedKey>, StoreError>
  /** None unless the message waits. Costs the same however much is in the queue. */
  readonly ahead: (
    queue: SandboxId,
    message: Pick<QueueEntry, "key" | "group">
  ) => Effect.Effect<Option.Option<QueueAhead>, StoreError>
  readonly depth: (queue: SandboxId) => Effect.Effect<QueueDepth, StoreError>
  /** The depth of every queue that holds anything, waiting, in flight or dead. */
  readonly occupied: Effect.Effect<ReadonlyMap<SandboxId, QueueDepth>, StoreError>
  readonly deadLetters: (queue: SandboxId) => Effect.Effect<ReadonlyArray<DeadEntry>, StoreError>
  readonly markNoticed: (queue: SandboxId, key: TurnKey) => Effect.Effect<void, StoreError>
  /**
   * Back into the queue as its next generation, receive count 0, while the sandbox's row has this `generation` and is
   * not ending. False when it is not among the dead.
   */
  readonly redrive: (
    queue: SandboxId,
    key: TurnKey,
    generation: string
  ) => Effect.Effect<boolean, StoreError | SandboxEnding>
}>()("km/runtime/ports/TurnQueue") {
  /** The whole contract in memory, on Effect's clock. */
}
