/** What every engine's queue refuses, and its numbers. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { isEnding, type SandboxRow } from "../domain/sandbox/Sandbox.ts"
import { StoreError } from "./StoreError.ts"

/** Nothing is put into the queue of a sandbox whose end has begun, or of another one than was meant. */
export class SandboxEnding extends Schema.TaggedError<SandboxEnding>()("SandboxEnding", {
  sandbox: Schema.String,
  /** `replaced`: the id belongs to another life of it by now. */
  why: Schema.Literals(["ending", "gone", "replaced"])
}) {
  override get message(): string {
    const what =
      { ending: "is being destroyed", gone: "is gone", replaced: "was destroyed and created again" }[this.why]
    return `the sandbox ${this.sandbox} ${what} and takes no such message; write to a sandbox that km list shows`
  }
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

/** Why a row takes no message, if it takes none. The rule of every engine. */
export const whyNotAccepting = (
  row: Pick<SandboxRow, "desired" | "generation" | "status"> | undefined,
  generation: string
): SandboxEnding["why"] | undefined =>
  row === undefined
    ? "gone"
    : row.generation !== generation
    ? "replaced"
    : isEnding(row)
    ? "ending"
    : undefined

/** The numbers of SQS FIFO, kept by every engine. Source: AWS SQS developer guide, quotas and FIFO delivery logic. */
export const turnQueueLimits = {
  maxBodyBytes: 256 * 1024,
  dedupeMillis: 5 * 60_000,
  /** A message received this often is dead at its next receive (`maxReceiveCount` of the queue's redrive policy). */
  maxReceives: 5,
  maxWaitMillis: 20_000,
  /** One receive holds a message 12 h at most, however often it is extended. */
  maxVisibilityMillis: 12 * 3_600_000
} as const

/** So many messages of a group are counted before one that waits; people are told "or more" from there. */
export const aheadLimit = 25

/** Fails with `TooLarge` when SQS would refuse the body. */
export const checkBody = (operation: string, body: string): Effect.Effect<void, StoreError> => {
  const bytes = Buffer.byteLength(body)
  return bytes <= turnQueueLimits.maxBodyBytes
    ? Effect.void
    : Effect.fail(
      new StoreError({
        port: "TurnQueue",
        operation,
        reason: "TooLarge",
        detail: `the body has ${bytes} bytes, at most ${turnQueueLimits.maxBodyBytes} are taken`,
        cause: undefined
      })
    )
}

/** Received and neither deleted nor visible again is in flight; everything else waits. */
export type QueuedState = "waiting" | "in-flight"

export const stateAt = (visibleAt: number, now: number): QueuedState => visibleAt > now ? "in-flight" : "waiting"
