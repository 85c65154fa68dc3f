/** Mail out and in, shaped for the email plugin: raw MIME out, a leased inbox per recipient in. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { StoreError } from "./StoreError.ts"

export class Mailer extends Context.Service<Mailer, {
  /** One envelope per recipient; durable once the effect succeeds. `id` dedupes per recipient. */
  readonly send: (mail: {
    readonly id: string
    readonly from: string
    readonly to: ReadonlyArray<string>
    readonly raw: Uint8Array
  }) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Mailer") {}

export interface LeasedMail {
  readonly id: string
  readonly receipt: string
  readonly raw: Uint8Array
  /** Unix milliseconds. */
  readonly receivedAt: number
}

export class Mailbox extends Context.Service<Mailbox, {
  readonly lease: (
    address: string,
    visibility: Duration.Duration
  ) => Effect.Effect<Option.Option<LeasedMail>, StoreError>
  readonly acknowledge: (address: string, receipt: string) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Mailbox") {}
