/** Mail out and in: raw MIME to each recipient's own mailbox, leased by its reader, judged once, then kept and listed. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { SenderId } from "../domain/Ids.ts"
import type { OlderSender } from "../domain/Install.ts"
import type { Bell } from "./Bell.ts"
import type { StoreError } from "./StoreError.ts"

/**
 * Bytes of one raw message that the embedded mailbox takes: 40 MB of content in base64 make 54 MB, and 73 MB when they
 * are encrypted, because the inner message is encoded once more.
 */
export const maxRawMailBytes = 96 * 1024 * 1024

/** One message and whom it goes to. */
export interface Envelope {
  /** Dedupes per recipient: the same again changes nothing. */
  readonly id: string
  readonly to: ReadonlyArray<SenderId>
  readonly raw: Uint8Array
  /** Recipients outside of the install, for whom it waits in the `MailSpool` until a relay takes it. */
  readonly outside?: {
    readonly owner: SenderId
    /** The sender's address. */
    readonly from: string
    readonly to: ReadonlyArray<string>
  }
}

/**
 * Deliveries whose id begins so tell an owner that its own mail was not taken. Only who runs the relay gives such ids; what
 * comes from outside never has one.
 */
export const bouncePrefix = "bounce/"

export class Mailer extends Context.Service<Mailer, {
  /** `sendAll` of one. */
  readonly send: (mail: Envelope) => Effect.Effect<void, StoreError>
  /**
   * Every envelope to each of its recipients, all or none, also when the process dies meanwhile; durable once the effect
   * succeeds. An engine whose transport takes one envelope at a time commits them all to an outbox of its own first, in
   * one transaction, and delivers from there. `TooLarge`, and nothing sent, when any is above `maxRawMailBytes`.
   */
  readonly sendAll: (mails: ReadonlyArray<Envelope>) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Mailer") {}

/** One delivery that has not been judged yet. */
export interface LeasedMail {
  /** The same after a crash. */
  readonly id: string
  readonly receipt: string
  readonly raw: Uint8Array
  /** Unix milliseconds. */
  readonly receivedAt: number
}

export type MailFolder = "inbox" | "quarantine"

/** Message ids as the message has them; several messages may have the same. */
export interface MailKeys {
  readonly messageId?: string
  readonly inReplyTo?: string
}

/** One judged message. */
export interface FiledMail {
  /** Rises with each arrival. */
  readonly seq: number
  readonly id: string
  readonly folder: MailFolder
  /** Unix milliseconds. */
  readonly receivedAt: number
  /** Bytes of the raw message. */
  readonly size: number
  readonly read: boolean
  /** What its judge wrote down; not interpreted here, and not trusted by readers either. */
  readonly content: string
}

/** One verified copy, as the judge remembers it. */
export interface SeenCopy {
  readonly sender: SenderId
  readonly nonce: string
  readonly manifestSha256: string
  readonly delivery: string
  /** Unix seconds. */
  readonly keepUntilSeconds: number
}

export class Mailbox extends Context.Service<Mailbox, {
  /** The oldest delivery that nobody holds; again after `visibility` when it was not filed. */
  readonly lease: (
    owner: SenderId,
    visibility: Duration.Duration
  ) => Effect.Effect<Option.Option<LeasedMail>, StoreError>
  /**
   * Ends every lease, so that what was leased comes again, in its order: for the only reader of a mailbox, when it starts
   * or could not go on. Who held one cannot file any more.
   */
  readonly release: (owner: SenderId) => Effect.Effect<void, StoreError>
  /**
   * Acknowledges: from now on it is listed, or gone when `dropped`. False, and no change, when the lease was lost. By
   * `keys` the message is found again; they are what its judge read in it.
   */
  readonly file: (
    owner: SenderId,
    receipt: string,
    folder: MailFolder | "dropped",
    content: string,
    keys?: MailKeys
  ) => Effect.Effect<boolean, StoreError>
  /**
   * Newest first, or oldest first after `after`, by index: what is not on the page costs nothing. Fewer than `limit` also when they are large; one at least
   * while there is one, so an empty page is the end.
   */
  readonly list: (owner: SenderId, folder: MailFolder, page: {
    readonly limit: number
    /** Only those with a lower `seq`. */
    readonly before?: number
    /** Only those with a higher `seq`, oldest first. */
    readonly after?: number
    /**
     * Only those that arrived before every delivery that is not filed yet: whatever is filed later comes after them, so
     * who goes on from the last one misses nothing.
     */
    readonly settledOnly?: boolean
    readonly unreadOnly?: boolean
    /** Only those filed under these keys. */
    readonly keys?: MailKeys
  }) => Effect.Effect<ReadonlyArray<FiledMail>, StoreError>
  readonly get: (owner: SenderId, id: string) => Effect.Effect<Option.Option<FiledMail>, StoreError>
  /** The bytes as they arrived. */
  readonly raw: (owner: SenderId, id: string) => Effect.Effect<Option.Option<Uint8Array>, StoreError>
  /** Idempotent; ids that are not there are ignored. */
  readonly markRead: (owner: SenderId, ids: ReadonlyArray<string>) => Effect.Effect<void, StoreError>
  /** `first`: not seen, or the same delivery as before; decided once, also between two callers at a time. */
  readonly recordSeen: (
    owner: SenderId,
    copy: SeenCopy
  ) => Effect.Effect<"first" | "duplicate" | "replayed", StoreError>
  /**
   * A fact about mail, such as an id that was sent, found by its key until `keepUntilSeconds` (Unix seconds). A second one
   * with the key takes the first one's place. Synced.
   */
  readonly note: (
    owner: SenderId,
    key: string,
    value: string,
    keepUntilSeconds: number
  ) => Effect.Effect<void, StoreError>
  /** None from its end on. */
  readonly noted: (owner: SenderId, key: string) => Effect.Effect<Option.Option<string>, StoreError>
  /** Rings on arrivals and on filing. */
  readonly bell: (owner: SenderId) => Bell
  /** Everything of an owner. Idempotent. */
  readonly removeAll: (owner: SenderId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Mailbox") {}

/** What a writer must know of the relay. */
export interface MailRelay {
  /** Bytes of one raw message. */
  readonly maxBytes: number
}

/** What mail needs to know of the install, and where the agent's programs reach its sandbox's runtime. */
export class MailSetup extends Context.Service<MailSetup, {
  /** 32 raw bytes, pinned. */
  readonly certifierPublicKey: Uint8Array
  /** Of the install's addresses. */
  readonly domain: string
  /** Path of the unix socket, in a directory that the agent sees and cannot write. */
  readonly socket: string
  /** As `v1Senders` of the install. */
  readonly v1Senders?: ReadonlyArray<OlderSender>
  /** What takes mail to addresses outside of the install; absent when there is nothing. */
  readonly relay?: MailRelay
}>()("km/runtime/ports/MailSetup") {}
