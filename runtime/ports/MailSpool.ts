/** Mail that waits for a relay: written down with the message itself, kept until each recipient's outcome is known. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { SenderId } from "../domain/sandbox/Ids.ts"
import type { StoreError } from "./StoreError.ts"

/** One message with those of its recipients that are due. */
export interface SpooledMail {
  readonly owner: SenderId
  /** Of its envelope. */
  readonly id: string
  /** The sender's address. */
  readonly from: string
  readonly recipients: ReadonlyArray<{
    readonly address: string
    /** Earlier tries. */
    readonly attempts: number
  }>
  /** Unix milliseconds. */
  readonly createdAt: number
}

/** What came of one recipient. `sent` and `failed` are for ever. */
export interface SpoolOutcome {
  readonly address: string
  readonly state: "waiting" | "sent" | "failed"
  /** What the relay said, for people. */
  readonly reply: string
  /** Unix milliseconds; of no account unless it waits. */
  readonly nextAt: number
}

/** Filled by the courier. One process at a time works on it, which holds a lock for that, so nothing is leased. */
export class MailSpool extends Context.Service<MailSpool, {
  /** Messages with a recipient that waits and is due, oldest first; waits for a first one, 20 s at most. */
  readonly due: (limit: number, wait: Duration.Duration) => Effect.Effect<ReadonlyArray<SpooledMail>, StoreError>
  /** None when nobody waits for it any more. */
  readonly raw: (
    mail: SpooledMail
  ) => Effect.Effect<Option.Option<Stream.Stream<Uint8Array, StoreError>>, StoreError>
  /**
   * Synced. The message's bytes are dropped with its last waiting recipient. No effect on what is settled already, and none
   * at all when the owner is gone. `notices` arrive in the owner's mailbox in the same step, each id once.
   */
  readonly settle: (
    mail: SpooledMail,
    outcomes: ReadonlyArray<SpoolOutcome>,
    notices: ReadonlyArray<{ readonly id: string; readonly raw: Uint8Array }>
  ) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/MailSpool") {}
