/** Mail out and in: raw MIME to an outbox, from there to each recipient's mailbox, leased by its reader, judged once, kept and listed. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { SenderId } from "../domain/sandbox/Ids.ts"
import type { SandboxRow } from "../domain/sandbox/Sandbox.ts"
import type { Sandboxes } from "./Sandboxes.ts"
import { StoreError } from "./StoreError.ts"

/** What an engine takes. */
export interface MailLimits {
  /** Bytes of one raw message. */
  readonly maxMessageBytes: number
}

/** What everybody is told whose message is larger: the writer, a mail program, the operator. */
export const sizeSentence = ({ maxMessageBytes }: MailLimits): string =>
  `this install takes messages of at most ${maxMessageBytes} bytes`

/** The same as the failure of a store. */
export const messageTooLarge = (detail: string): StoreError =>
  new StoreError({ port: "Mailer", operation: "send", reason: "TooLarge", detail, cause: undefined })

/** UTF-8 bytes of the summary of one message: a row of any engine holds it (DynamoDB reads 4 KB at a time). */
export const maxSummaryBytes = 4_096

/** All of a stream in memory, for who parses or passes it on as a whole. */
export const wholeOf = <E>(bytes: Stream.Stream<Uint8Array, E>): Effect.Effect<Buffer, E> =>
  Effect.map(Stream.runCollect(bytes), (chunks) => Buffer.concat(chunks))

/** The longest that a call waits: SQS's long poll. */
export const maxMailWaitMillis = 20_000

/**
 * The sandbox that an address of the install belongs to, read at its key: addresses are made of an id or an alias. Lower
 * case. None for one that is being destroyed.
 */
export const sandboxAt = (
  sandboxes: Sandboxes["Service"],
  address: string
): Effect.Effect<Option.Option<SandboxRow>, StoreError> =>
  Effect.map(
    sandboxes.named(address.slice(0, Math.max(0, address.lastIndexOf("@")))),
    Option.filter(({ mailAddresses = [], status }) => status !== "destroying" && mailAddresses.includes(address))
  )

/** One message and whom it goes to. */
export interface Envelope {
  /** Dedupes per recipient: the same again changes nothing. */
  readonly id: string
  /** Names under which a recipient may have the same message already; who has does not get it again. */
  readonly alsoKnownAs?: ReadonlyArray<string>
  readonly to: ReadonlyArray<SenderId>
  readonly raw: Uint8Array
  /** Recipients outside of the install, who get it from a relay. */
  readonly outside?: OutsideRecipients
}

export interface OutsideRecipients {
  readonly owner: SenderId
  /** The sender's address. */
  readonly from: string
  readonly to: ReadonlyArray<string>
}

/**
 * Deliveries whose id begins so tell an owner that its own mail was not taken. Only who runs the relay gives such ids; what
 * comes from outside never has one.
 */
export const bouncePrefix = "bounce/"

/** A fact about mail, such as an id that was sent, found by its key. */
export interface MailNote {
  readonly owner: SenderId
  readonly key: string
  readonly value: string
  /** Unix seconds. */
  readonly keepUntilSeconds: number
}

export class Mailer extends Context.Service<Mailer, {
  readonly limits: MailLimits
  /** `sendAll` of one. */
  readonly send: (mail: Envelope) => Effect.Effect<void, StoreError>
  /**
   * Commits every envelope, and the facts that follow from sending them, to the outbox: all or none, also when the process
   * dies meanwhile; durable once the effect succeeds. Whoever owns the courier delivers from there. `TooLarge`, and
   * nothing sent, when any is above the limit.
   */
  readonly sendAll: (
    mails: ReadonlyArray<Envelope>,
    notes?: ReadonlyArray<MailNote>
  ) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Mailer") {}

/** One envelope that is to be delivered. */
export interface OutgoingMail {
  /** Of its envelope. */
  readonly id: string
  readonly receipt: string
  /** Mailboxes that are still to get it. */
  readonly to: ReadonlyArray<SenderId>
  readonly outside: boolean
  /** Bytes of the raw message. */
  readonly size: number
  /** Earlier tries. */
  readonly attempts: number
  /** Unix milliseconds. */
  readonly createdAt: number
}

/** What was sent and is not delivered yet. One courier works on it; two share the work and deliver nothing twice. */
export class MailOutbox extends Context.Service<MailOutbox, {
  /** The oldest that nobody holds, in the order in which they were sent; waits for a first one, 20 s at most. */
  readonly lease: (options: {
    readonly limit: number
    readonly visibility: Duration.Duration
    readonly wait: Duration.Duration
  }) => Effect.Effect<ReadonlyArray<OutgoingMail>, StoreError>
  /**
   * Puts it into the mailboxes of `to` without those in `gone`, each id once, and before the relay where it goes outside;
   * then it is out of the outbox. False, and no change, when the lease was lost or a mailbox was removed meanwhile.
   */
  readonly deliver: (mail: OutgoingMail, gone: ReadonlyArray<SenderId>) => Effect.Effect<boolean, StoreError>
  /** Could not be delivered: it comes again after `delay`, and counts as tried. */
  readonly defer: (mail: OutgoingMail, delay: Duration.Duration) => Effect.Effect<void, StoreError>
  /** What is not delivered yet, and what no relay has taken yet; since when, Unix milliseconds. */
  readonly waiting: Effect.Effect<
    { readonly inside: WaitingMail; readonly outside: WaitingMail },
    StoreError
  >
}>()("km/runtime/ports/MailOutbox") {}

export interface WaitingMail {
  readonly count: number
  /** Of the oldest. */
  readonly since: number | undefined
}

/** One delivery that has not been judged yet; its bytes are read by `raw`. */
export interface LeasedMail {
  /** The same after a crash. */
  readonly id: string
  readonly receipt: string
  /** Bytes of the raw message. */
  readonly size: number
  /** Unix milliseconds. */
  readonly receivedAt: number
}

export type MailFolder = "inbox" | "quarantine"

/** Message ids as the message has them; several messages may have the same. */
export interface MailKeys {
  readonly messageId?: string
  readonly inReplyTo?: string
}

/** One judged message, as it is listed. */
export interface FiledMail {
  /** Rises with each arrival. */
  readonly seq: number
  readonly id: string
  readonly folder: MailFolder
  /** Unix milliseconds. */
  readonly receivedAt: number
  /** Bytes of the raw message. */
  readonly size: number
  /** Bytes of the content. */
  readonly contentSize: number
  readonly read: boolean
  /**
   * What its judge wrote down, in at most `maxSummaryBytes`; not interpreted here, and not trusted by readers either. Empty
   * for mail that an earlier version filed.
   */
  readonly summary: string
}

/** What a judge writes down of a message. */
export interface Judgement {
  readonly folder: MailFolder | "dropped"
  readonly summary: string
  /** All of it. Empty when dropped. */
  readonly content: string
  /** By these the message is found again; they are what its judge read in it. */
  readonly keys?: MailKeys
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
  /**
   * The oldest delivery that nobody holds; again after `visibility` when it was not filed. Waits for one up to `wait`, 20 s
   * at most; none unless given.
   */
  readonly lease: (
    owner: SenderId,
    visibility: Duration.Duration,
    wait?: Duration.Duration
  ) => Effect.Effect<Option.Option<LeasedMail>, StoreError>
  /**
   * Ends every lease, so that what was leased comes again, in its order: for the only reader of a mailbox, when it starts
   * or could not go on. Who held one cannot file any more.
   */
  readonly release: (owner: SenderId) => Effect.Effect<void, StoreError>
  /**
   * Acknowledges: from now on it is listed, or gone when `dropped`. False, and no change, when the lease was lost.
   * `TooLarge` when the summary is.
   */
  readonly file: (owner: SenderId, receipt: string, judgement: Judgement) => Effect.Effect<boolean, StoreError>
  /**
   * Takes a message out of quarantine and puts it behind all that has arrived, to be judged anew; it has a new `seq`.
   * False, and no change, for what is not in quarantine.
   */
  readonly reopen: (owner: SenderId, id: string) => Effect.Effect<boolean, StoreError>
  /**
   * Newest first, or oldest first after `after`, by index: what is not on the page costs nothing. Fewer than `limit` also
   * where an engine's page ends; one at least while there is one, so an empty page is the end.
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
  /** What its judge wrote down, all of it. None for what is not listed. */
  readonly content: (
    owner: SenderId,
    id: string
  ) => Effect.Effect<Option.Option<Stream.Stream<Uint8Array, StoreError>>, StoreError>
  /** The bytes as they arrived, from the arrival on until it is dropped. */
  readonly raw: (
    owner: SenderId,
    id: string
  ) => Effect.Effect<Option.Option<Stream.Stream<Uint8Array, StoreError>>, StoreError>
  /**
   * A number that rises with each arrival and each filing in the mailbox; 0 before the first. With `than` it waits until
   * the number is another, up to `wait`, 20 s at most, and gives whatever it then is. Read it before looking at the rest.
   */
  readonly revision: (
    owner: SenderId,
    other?: { readonly than: number; readonly wait: Duration.Duration }
  ) => Effect.Effect<number, StoreError>
  /** Idempotent; ids that are not there are ignored. */
  readonly markRead: (owner: SenderId, ids: ReadonlyArray<string>) => Effect.Effect<void, StoreError>
  /** `first`: not seen, or the same delivery as before; decided once, also between two callers at a time. */
  readonly recordSeen: (
    owner: SenderId,
    copy: SeenCopy
  ) => Effect.Effect<"first" | "duplicate" | "replayed", StoreError>
  /** A second one with the key takes the first one's place. Synced. */
  readonly note: (note: MailNote) => Effect.Effect<void, StoreError>
  /** None from its end on. */
  readonly noted: (owner: SenderId, key: string) => Effect.Effect<Option.Option<string>, StoreError>
  /** Everything of an owner, also what is not delivered to it yet, or waits for a relay. Idempotent. */
  readonly removeAll: (owner: SenderId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Mailbox") {}

/** What a writer must know of the relay. */
export interface MailRelay {
  /** Bytes of one raw message. */
  readonly maxBytes: number
}
