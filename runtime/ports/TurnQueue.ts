/** The queue between the bridge and a sandbox: SQS FIFO's promises and no more, so any engine can keep them. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { GroupId, SandboxId, TurnKey } from "../domain/Ids.ts"
import type { StoreError } from "./StoreError.ts"

export interface QueueEntry {
  /** Dedupe id: a second send with it within 5 minutes is accepted and adds nothing. */
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

/** The message is no longer in flight under this receipt: deleted, dead-lettered, or visible again. */
export class ReceiptExpired extends Schema.TaggedError<ReceiptExpired>()("ReceiptExpired", {
  receipt: Schema.String
}) {
  override get message(): string {
    return "the queue's receipt has expired; the message is delivered again or is gone"
  }
}

/** There is no queue of this name: the sandbox was destroyed, or never had inbound chat. */
export class QueueMissing extends Schema.TaggedError<QueueMissing>()("QueueMissing", { queue: Schema.String }) {
  override get message(): string {
    return `the sandbox ${this.queue} has no queue; create it again with inbound chat enabled`
  }
}

export interface QueueDepth {
  readonly waiting: number
  readonly inFlight: number
  readonly dead: number
}

export interface DeadEntry extends QueueEntry {
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
  /** Durable (synced) once the effect succeeds. `duplicate` when the key was sent within the last 5 minutes. */
  readonly send: (
    queue: SandboxId,
    entry: QueueEntry
  ) => Effect.Effect<{ readonly duplicate: boolean }, StoreError | QueueMissing>
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
  /** The waiting messages, oldest first. */
  readonly peek: (queue: SandboxId, limit: number) => Effect.Effect<ReadonlyArray<QueueEntry>, StoreError>
  readonly depth: (queue: SandboxId) => Effect.Effect<QueueDepth, StoreError>
  readonly deadLetters: (queue: SandboxId) => Effect.Effect<ReadonlyArray<DeadEntry>, StoreError>
  readonly markNoticed: (queue: SandboxId, key: TurnKey) => Effect.Effect<void, StoreError>
  /** Back into the queue, receive count 0. False when it is not among the dead. */
  readonly redrive: (queue: SandboxId, key: TurnKey) => Effect.Effect<boolean, StoreError>
}>()("km/runtime/ports/TurnQueue") {}
