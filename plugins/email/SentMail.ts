/** What a sandbox remembers of the messages that it sent: that they are its own, and who is waited for. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SenderId } from "../../runtime/domain/sandbox/Ids.ts"

export const SentMail = Schema.Struct({
  /** The mailboxes that it went to. */
  owners: Schema.Array(SenderId),
  /** Unix milliseconds until which `km-send --wait-reply` takes the replies; 0 when nobody waits. */
  awaitedUntil: Schema.Int
})
export type SentMail = typeof SentMail.Type

const SentMailJson = Schema.fromJsonString(SentMail)
export const encodeSent = Schema.encodeSync(SentMailJson)
const decode = Schema.decodeUnknownOption(SentMailJson)
export const decodeSent = (text: string): SentMail | undefined => Option.getOrUndefined(decode(text))

/** Sent ids and conversations are remembered for 30 days: longer than a message may live (docs/email-protocol.md §4). */
export const rememberedSeconds = 30 * 24 * 3_600

/** Keys of the mailbox's notes. */
export const sentNote = (messageId: string): string => `sent/${messageId}`
export const releaseNote = (delivery: string): string => `release/${delivery}`
export const sessionNote = (group: string): string => `session/${group}`
