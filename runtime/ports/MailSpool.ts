/** Mail that waits for a relay: written down with the message itself, kept until each recipient's outcome is known. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { SenderId } from "../domain/Ids.ts"
import type { Bell } from "./Bell.ts"
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

/** Written by `Mailer.sendAll`. One process at a time works on it, so nothing is leased. */
export class MailSpool extends Context.Service<MailSpool, {
  /** Messages with a recipient that waits and is due, oldest first. */
  readonly due: (limit: number) => Effect.Effect<ReadonlyArray<SpooledMail>, StoreError>
  /** None when nobody waits for it any more. */
  readonly raw: (mail: SpooledMail) => Effect.Effect<Option.Option<Uint8Array>, StoreError>
  /**
   * Synced. The message's bytes are dropped with its last waiting recipient. No effect on what is settled already, and none
   * at all when the owner is gone. `notices` arrive in the owner's mailbox in the same step, each id once.
   */
  readonly settle: (
    mail: SpooledMail,
    outcomes: ReadonlyArray<SpoolOutcome>,
    notices: ReadonlyArray<{ readonly id: string; readonly raw: Uint8Array }>
  ) => Effect.Effect<void, StoreError>
  /** Recipients that wait, and since when the oldest does, Unix milliseconds. */
  readonly waiting: Effect.Effect<{ readonly recipients: number; readonly since: number | undefined }, StoreError>
  /** Rings when something was put in. */
  readonly bell: Bell
}>()("km/runtime/ports/MailSpool") {}
