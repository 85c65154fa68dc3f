/**
 * One identity's mail: writes for it and reads what arrived, with the keys that never leave the runtime. Who may write,
 * what is quarantined and how often answers may follow each other is decided here.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { createHash, randomUUID } from "node:crypto"
import { asciiLowerCase } from "../../runtime/domain/Ascii.ts"
import { sha256Hex } from "../../runtime/domain/Digest.ts"
import type { InstallName, KeyId, SenderId } from "../../runtime/domain/Ids.ts"
import type { OlderSender } from "../../runtime/domain/Install.ts"
import { type Judged, sealed, unsealed } from "../../runtime/domain/JudgedMail.ts"
import {
  directoryPinPath,
  mailBoxHistory,
  mailBoxHistoryPath,
  mailBoxKeyPath,
  mailboxKeyPath,
  mailSigningKeyFromText,
  mailSigningKeyPath
} from "../../runtime/domain/MailIdentity.ts"
import type { Profile } from "../../runtime/domain/Profile.ts"
import { directoryHolding } from "../../runtime/ports/Directory.ts"
import { Identities } from "../../runtime/ports/Identities.ts"
import { Ledger } from "../../runtime/ports/Ledger.ts"
import {
  bouncePrefix,
  type FiledMail,
  type LeasedMail,
  Mailbox,
  Mailer,
  type MailRelay
} from "../../runtime/ports/Mail.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { judgedOf } from "./judgedOf.ts"
import { type AdmittedMail, isAskedFor, referencesAfter } from "./MailTurns.ts"
import { PeerLimits } from "./PeerLimits.ts"
import { postRefused } from "./PostCodes.ts"
import { allowsSender, provenSender } from "./protocol/allowedSenders.ts"
import { type MailAddress, mailAddress } from "./protocol/MailAddress.ts"
import type { OutgoingPart } from "./protocol/MimeWriter.ts"
import { type BoxKey, boxKeyFromPrivate } from "./protocol/naclBox.ts"
import type { MailDirectory } from "./protocol/Reader.ts"
import { readMail } from "./protocol/readMail.ts"
import {
  certifiedAlias,
  currentBox,
  hasName,
  keyValidAt,
  type SenderBox,
  v1Sender
} from "./protocol/SenderDirectory.ts"
import { toBase64Url } from "./protocol/strictBase64.ts"
import { admits, type Verdict } from "./protocol/Verdict.ts"
import { defaultReadLimits } from "./protocol/wire.ts"
import { type BoxRecipient, writeV2 } from "./protocol/writeMail.ts"
import { makeSenderMemory } from "./SenderMemory.ts"
import { decodeSent, encodeSent, rememberedSeconds, sentNote } from "./SentMail.ts"

/** Automatic answers in a row; the one after that is refused by its writer and quarantined by its reader. */
export const maxHops = 20

export interface MailRoomOptions {
  readonly owner: SenderId
  readonly install: InstallName
  /** 32 raw bytes. */
  readonly certifierPublicKey: Uint8Array
  readonly domain: string
  readonly v1Senders?: ReadonlyArray<OlderSender>
  /** Shown beside the address; empty for none. */
  readonly name: string
  readonly policy: Profile["spec"]["email"]
  /** Absent: recipients outside of the install are refused. */
  readonly relay?: MailRelay
}

/** Recipients as people name them: id, alias or address; `operator` is the operator. */
export interface Letter {
  readonly to: ReadonlyArray<string>
  readonly cc: ReadonlyArray<string>
  readonly bcc: ReadonlyArray<string>
  readonly subject: string
  readonly body: string
  readonly replyTo?: string
  readonly inReplyTo?: string
  /** Refuse rather than send plain text, whatever the profile says. */
  readonly encrypt: boolean
  readonly attachments: ReadonlyArray<OutgoingPart>
  /** At least this many automatic answers in a row came before; more when it answers a message that says so. */
  readonly hop?: number
  /** The thread that it answers in, oldest first, when `inReplyTo` is not to be looked up. */
  readonly references?: ReadonlyArray<string>
  /** As `once`, for what the runtime itself writes: such letters are not counted as a peer's rate. */
  readonly key?: string
  /** Seconds for which somebody waits for the replies. */
  readonly awaitSeconds?: number
  /** Names this letter: given again, it is the same message with the same id, delivered once. A new one unless given. */
  readonly once?: string
}

export interface SendOptions {
  /** Everything but the delivery. */
  readonly dryRun?: boolean
}

/** Messages with one id that are looked at: their number is the writers' choice. */
const sameId = 20
/** Replies to one message that are looked at: five for each of its recipients at most. */
const manyReplies = 500

/** For the largest message on a busy machine; parsing it takes a few seconds. */
const maxParseMillis = 60_000

/** The fact of the ledger under which the highest revocation seen is remembered. */
export const lastRevocation = "mail-last-revocation"

/** Of stored texts; what is no key is left out. */
const boxKeys = (texts: ReadonlyArray<string>): ReadonlyArray<BoxKey> =>
  texts.map((text) => Buffer.from(text.trim(), "base64")).filter(({ length }) => length === 32).map(boxKeyFromPrivate)

/** Whether readers take what this key writes now. */
const believed = (
  { keyId }: { readonly keyId: KeyId },
  certified: ReadonlyArray<Pick<SenderBox, "keyId" | "revoked" | "window">> = [],
  seconds: number
): boolean => certified.some((one) => one.keyId === keyId && !one.revoked && keyValidAt(one, seconds))

export const makeMailRoom = Effect.fnUntraced(function*(options: MailRoomOptions) {
  const identities = yield* Identities
  const ledger = yield* Ledger
  const mailbox = yield* Mailbox
  const mailer = yield* Mailer
  const sandboxes = yield* Sandboxes
  const secrets = yield* Secrets
  const limits = new PeerLimits()
  const { certifierPublicKey, domain, install, owner, policy, relay } = options
  const memory = makeSenderMemory({ certifierPublicKey, install })

  const secret = (path: string) =>
    Effect.map(secrets.get(path), (found) => Option.getOrUndefined(Option.map(found, Redacted.value)))

  const keys = Effect.gen(function*() {
    const text = yield* secret(mailSigningKeyPath(owner))
    const key = text === undefined ? undefined : mailSigningKeyFromText(text)
    const seal = yield* secret(mailboxKeyPath(owner))
    if (key === undefined || seal === undefined) return yield* postRefused("KM-EML-107", owner)
    const [box] = boxKeys([(yield* secret(mailBoxKeyPath(owner))) ?? ""])
    return { key, seal: Buffer.from(seal, "base64"), box }
  })

  /** What this reader has seen before, and what it was told when it was made: it never accepts fewer. */
  const highest = Effect.gen(function*() {
    const seen = Number(Option.getOrElse(yield* ledger.recall(lastRevocation), () => "0"))
    const pinned = Number((yield* secret(directoryPinPath(owner))) ?? "0")
    return Math.max(seen, pinned)
  })

  /** `key`: what a message names; a sender and a key that were made a moment ago are looked for anew. */
  const bySender = Effect.fnUntraced(function*(sender: SenderId, key?: KeyId) {
    const atLeast = yield* highest
    const { keysOf, revocations } = yield* directoryHolding(
      identities,
      ({ holds, keysOf: keysIn }) => key === undefined ? keysIn(sender, "mail").length > 0 : holds(sender, key),
      { atLeast }
    )
    const read = yield* memory.revocations(revocations, atLeast)
    const last = read.revocations.highest
    if (last > atLeast) yield* ledger.remember(lastRevocation, String(last))
    return memory.sender({ sender, mail: keysOf(sender, "mail"), boxes: keysOf(sender, "mail-box") }, read)
  })

  /** Who is meant, and by which address: an id before an alias, and no address but the install's own. */
  const resolve = Effect.fnUntraced(function*(text: string) {
    const wanted = asciiLowerCase(text.trim())
    const operator = mailAddress(`operator@${domain}`)
    if (operator !== undefined && (wanted === "operator" || wanted === operator)) {
      return { owner: "operator" as const, address: operator }
    }
    const at = wanted.lastIndexOf("@")
    const rows = yield* sandboxes.list
    const found = at === -1
      ? rows.find(({ id }) => id === wanted) ?? rows.find(({ alias }) => alias === wanted)
      : rows.find(({ mailAddresses = [] }) => mailAddresses.includes(wanted))
    const address = mailAddress(at === -1 ? found?.mailAddresses?.[0] ?? "" : wanted)
    if (found?.mailAddresses === undefined || found.status === "destroying" || address === undefined) return undefined
    return { owner: found.id, address }
  })

  /** An address that the relay takes; never one of our own domain, where it would only come back. */
  const outsideAddress = (text: string): MailAddress | undefined => {
    const address = relay === undefined ? undefined : mailAddress(asciiLowerCase(text.trim()))
    // Nobody can be reached below `.invalid`, which is where an install without a domain of its own has its sandboxes:
    // what was written for one that is gone, or before a change of the domain, must not leave the machine.
    return address === undefined || address.endsWith(`@${domain}`) || address.endsWith(".invalid") ? undefined : address
  }

  const older = (options.v1Senders ?? []).flatMap(({ addresses, publicKey, sender }) => {
    const known = v1Sender(sender, publicKey, addresses.filter((address) => !address.endsWith(`@${domain}`)))
    return known === undefined ? [] : [known]
  })
  const directory: MailDirectory<Effect.Error<ReturnType<typeof bySender>>> = {
    // Who is certified here has promised more than the older form, and is never read as one of its writers.
    bySender: (sender, key) =>
      Effect.map(bySender(sender, key), (known) => known ?? older.find((other) => other.sender === sender)),
    byAddress: (address) =>
      Effect.flatMap(
        resolve(address),
        (found) =>
          found === undefined
            ? Effect.succeed(
              older.find((other) => other.keys.some(({ addresses }) => addresses.some((own) => own === address)))
            )
            : bySender(found.owner)
      )
  }

  const read = Effect.fnUntraced(function*(raw: Uint8Array, delivery: string, at: number) {
    const { box, seal } = yield* keys
    const others = boxKeys(mailBoxHistory((yield* secret(mailBoxHistoryPath(owner))) ?? ""))
    // What the certifier gave it: an address in the table would let mail to another be read as one's own.
    const certified = (yield* bySender(owner))?.keys.flatMap((key) => key.addresses) ?? []
    const addresses = [...certified, ...[mailAddress(`${owner}@${domain}`) ?? []].flat()]
    const reader = {
      install,
      addresses,
      boxes: [...(box === undefined ? [] : [box]), ...others],
      nowSeconds: Math.floor(at / 1_000),
      limits: { ...defaultReadLimits, maxMillis: maxParseMillis }
    }
    const seen = { record: (entry: Parameters<typeof mailbox.recordSeen>[1]) => mailbox.recordSeen(owner, entry) }
    return { verdict: yield* readMail(raw, reader, directory, seen, delivery), seal }
  })

  /** What is remembered of a message that this room sent. */
  const sentBy = (messageId: string) =>
    Effect.map(
      mailbox.noted(owner, sentNote(messageId)),
      (note) => Option.getOrUndefined(Option.map(note, decodeSent))
    )

  /** Why it may not reach the inbox; empty when it may. */
  const objection = Effect.fnUntraced(function*(verdict: Verdict, delivery: string, now: number) {
    // The install's own word that this owner's mail was not taken; nobody else gives such ids.
    if (delivery.startsWith(bouncePrefix)) return ""
    if (!admits(policy.verifyInbound, verdict)) return verdict.reason === "" ? verdict.status : verdict.reason
    const entry = verdict.sender === undefined ? undefined : yield* bySender(verdict.sender)
    const proven = provenSender(verdict, certifiedAlias(entry, domain, Math.floor(now / 1_000)))
    // Who proves nothing was let in by the policy above; patterns speak of proven senders only.
    if (proven !== undefined && !allowsSender(policy.allowedSenders, proven, owner)) return "sender-not-allowed"
    const { mail } = verdict
    if (mail === undefined) return ""
    if (mail.hop > maxHops) return "too-many-hops"
    // What follows stops agents that write to each other without end; a person or a schedule may repeat itself.
    if (proven?.sender === "operator") return ""
    // A stranger's address may look like anything, also like an id.
    const peer = verdict.sender === undefined ? `in from ${mail.from.address}` : `in ${verdict.sender}`
    const { attachments, inReplyTo, subject, text } = mail
    const asked = inReplyTo !== null && isAskedFor(yield* sentBy(inReplyTo), verdict, now)
    const content = [subject, text, attachments.map(({ sha256 }) => sha256), ...(asked ? [inReplyTo] : [])]
    if (limits.repeats(peer, sha256Hex(JSON.stringify(content)), delivery, now)) return "repeated"
    return limits.exceeds(peer, now) ? "too-many" : ""
  })

  const filed = (seal: Uint8Array, page: Parameters<typeof mailbox.list>[2], folder: "inbox" | "quarantine") =>
    Effect.map(
      mailbox.list(owner, folder, page),
      (rows) => rows.map((row) => ({ row, judged: unsealed(seal, owner, row) }))
    )

  /** Messages of the inbox with this delivery or id; ids are their writers' choice, so there may be several. */
  const byId = Effect.fnUntraced(function*(seal: Uint8Array, wanted: string) {
    const row = Option.getOrUndefined(yield* mailbox.get(owner, wanted))
    return row === undefined || row.folder !== "inbox"
      ? yield* filed(seal, { limit: sameId, keys: { messageId: wanted } }, "inbox")
      : [{ row, judged: unsealed(seal, owner, row) }]
  })

  /** What a reply to this message refers to: of several, the one with the highest hop counts; hop 0 when unknown. */
  const threadOf = Effect.fnUntraced(function*(seal: Uint8Array, wanted: string) {
    const found = (yield* byId(seal, wanted)).map(({ judged }) => judged)
    const [parent] = found.filter(({ id }) => id !== null).toSorted((a, b) => b.hop - a.hop)
    return parent === undefined || parent.id === null
      ? { inReplyTo: wanted, references: [wanted], hop: 0 }
      : { inReplyTo: parent.id, references: referencesAfter(parent.references, parent.id), hop: parent.hop + 1 }
  })

  return {
    /** Builds, signs, encrypts and delivers; nothing is sent when any part is refused. */
    send: Effect.fn("MailRoom.send")(function*(letter: Letter, how: SendOptions = {}) {
      const { box, key, seal } = yield* keys
      const now = yield* Clock.currentTimeMillis
      const owners = new Map<string, SenderId>()
      const known = new Map<MailAddress, BoxRecipient>()
      const outside = new Set<MailAddress>()
      const meant = Effect.fnUntraced(function*(text: string) {
        const found = yield* resolve(text)
        if (found === undefined) {
          const address = outsideAddress(text)
          if (address === undefined) return yield* postRefused("KM-EML-101", JSON.stringify(text.slice(0, 254)))
          outside.add(address)
          return address
        }
        const sender = yield* bySender(found.owner)
        // The table says who is called so; the certifier must have said it too, or mail could be led astray there.
        if (!hasName(found.owner, sender, asciiLowerCase(text.trim()), domain, Math.floor(now / 1_000))) {
          const named = `${JSON.stringify(text.slice(0, 254))} is not its certified name`
          return yield* postRefused("KM-EML-101", `${named}; \`km identity show ${found.owner}\` has those`)
        }
        owners.set(found.address, found.owner)
        const current = sender === undefined ? undefined : currentBox(sender, Math.floor(now / 1_000))
        if (current !== undefined) known.set(found.address, current)
        return found.address
      })
      const to = yield* Effect.forEach(letter.to, meant)
      const cc = yield* Effect.forEach(letter.cc, meant)
      const bcc = yield* Effect.forEach(letter.bcc, meant)
      if (letter.awaitSeconds !== undefined && outside.size > 0) {
        return yield* postRefused("KM-EML-105", "replies are awaited from recipients of this install only")
      }
      if (letter.awaitSeconds !== undefined) {
        const rows = yield* sandboxes.list
        for (const [written, peer] of owners) {
          const row = rows.find(({ id }) => id === peer)
          const sender = {
            sender: peer,
            alias: row?.alias,
            address: row?.mailAddresses?.[0] ?? written,
            certified: true
          }
          // Its answer would be in quarantine, and the wait in vain.
          if (!allowsSender(policy.allowedSenders, sender, owner)) return yield* postRefused("KM-EML-113", peer)
        }
      }
      for (const peer of letter.key === undefined ? new Set<string>([...owners.values(), ...outside]) : []) {
        if (limits.exceeds(`out ${peer}`, now)) return yield* postRefused("KM-EML-103", peer)
      }
      const thread = letter.inReplyTo === undefined
        ? undefined
        : letter.references === undefined
        ? yield* threadOf(seal, letter.inReplyTo)
        : { inReplyTo: letter.inReplyTo, references: letter.references, hop: 0 }
      const hop = Math.max(thread?.hop ?? 0, letter.hop ?? 0)
      if (hop > maxHops) return yield* postRefused("KM-EML-102", `this would be answer ${hop} of at most ${maxHops}`)
      const own = yield* resolve(owner)
      if (own === undefined) return yield* postRefused("KM-EML-107", owner)
      const certified = yield* bySender(owner, key.keyId)
      const at = Math.floor(now / 1_000)
      if (!believed(key, certified?.keys, at)) return yield* postRefused("KM-EML-121", `${owner}, key ${key.keyId}`)
      const answered = letter.replyTo === undefined ? undefined : yield* resolve(letter.replyTo)
      const replyTo = answered?.address ?? outsideAddress(letter.replyTo ?? "")
      if (letter.replyTo !== undefined && replyTo === undefined) {
        return yield* postRefused("KM-EML-101", JSON.stringify(letter.replyTo.slice(0, 254)))
      }
      const once = letter.key ?? letter.once ?? randomUUID()
      const named = (...what: ReadonlyArray<string>) =>
        createHash("sha256").update(JSON.stringify([owner, once, ...what])).digest().subarray(0, 16)
      const copies = yield* writeV2(
        {
          from: { address: own.address, name: options.name },
          to,
          cc,
          bcc,
          subject: letter.subject,
          text: letter.body,
          attachments: letter.attachments,
          hop,
          ...(replyTo === undefined ? {} : { replyTo }),
          ...(thread === undefined ? {} : { inReplyTo: thread.inReplyTo, references: thread.references })
        },
        { install, sender: owner, key, ...(box !== undefined && believed(box, certified?.boxes, at) ? { box } : {}) },
        {
          createdSeconds: Math.floor(now / 1_000),
          encryption: letter.encrypt ? "required" : policy.encryption,
          boxOf: (address) => known.get(address),
          idBytes: named("id")
        }
      )
      const [first] = copies
      const made = {
        id: first?.id ?? "",
        recipients: [...owners.keys(), ...outside],
        encrypted: first?.encrypted ?? false,
        hop
      }
      for (const { raw, recipients } of copies) {
        if (relay === undefined || raw.length <= relay.maxBytes) continue
        const [address] = recipients.filter((one) => outside.has(one))
        if (address === undefined) continue
        return yield* postRefused("KM-EML-112", `it has ${raw.length} bytes as sent; ${relay.maxBytes} for ${address}`)
      }
      if (how.dryRun === true) return made
      const awaitedUntil = letter.awaitSeconds === undefined ? 0 : now + letter.awaitSeconds * 1_000
      const sent = encodeSent({ owners: [...new Set(owners.values())], awaitedUntil: Math.ceil(awaitedUntil) })
      // The note is asked for first, because a reply may be there at once; together they mostly cost one disk flush.
      yield* Effect.all([
        mailbox.note(owner, sentNote(made.id), sent, at + rememberedSeconds),
        mailer.sendAll(copies.map(({ raw, recipients }) => ({
          // Says nothing of the other copies: a blind recipient must not learn that there are more.
          id: `${owner}/${toBase64Url(named("copy", ...recipients))}`,
          to: recipients.flatMap((address) => owners.get(address) ?? []),
          raw,
          ...(recipients.some((address) => outside.has(address))
            ? { outside: { owner, from: own.address, to: recipients.filter((address) => outside.has(address)) } }
            : {})
        })))
      ], { concurrency: "unbounded", discard: true })
      return made
    }),

    sent: sentBy,

    /**
     * Decides about one delivery and files it; `undefined` when it was dropped as a copy or the lease was lost. What
     * `admitted` does for mail of the inbox is done before it is filed, and again after a crash in between; what it says
     * is why the mail does not reach the inbox after all.
     */
    judge: Effect.fn("MailRoom.judge")(function*<E = never>(
      leased: LeasedMail,
      admitted: (mail: AdmittedMail) => Effect.Effect<string, E> = () => Effect.succeed("")
    ) {
      const { seal, verdict } = yield* read(leased.raw, leased.id, leased.receivedAt)
      if (verdict.duplicate) {
        yield* mailbox.file(owner, leased.receipt, "dropped", "")
        return undefined
      }
      const { id: delivery, receivedAt } = leased
      // By when it came, not when it is judged: mail that waited for its judge did not come all at once.
      const first = yield* objection(verdict, delivery, receivedAt)
      const mail = { verdict, judged: judgedOf(verdict, verdict.reason), delivery, receivedAt }
      const against = first === "" ? yield* admitted(mail) : first
      const folder = against === "" ? "inbox" as const : "quarantine" as const
      const judged = judgedOf(verdict, against === "" ? verdict.reason : against)
      const { id, inReplyTo } = judged
      const found = {
        ...(id === null ? {} : { messageId: id }),
        ...(inReplyTo === null ? {} : { inReplyTo })
      }
      const content = sealed(seal, owner, delivery, folder, judged)
      const kept = yield* mailbox.file(owner, leased.receipt, folder, content, found)
      return kept ? { folder, judged, delivery } : undefined
    }),

    /** Newest first. */
    list: Effect.fn("MailRoom.list")(function*(
      folder: "inbox" | "quarantine",
      page: Parameters<typeof mailbox.list>[2]
    ) {
      const { seal } = yield* keys
      return yield* filed(seal, page, folder)
    }),

    byId: Effect.fn("MailRoom.byId")(function*(wanted: string) {
      return yield* byId((yield* keys).seal, wanted)
    }),

    /** The first verified reply of each recipient of a message of this room, who has not answered, and who never will. */
    replies: Effect.fn("MailRoom.replies")(function*(messageId: string) {
      const owners = (yield* sentBy(messageId))?.owners
      if (owners === undefined) return yield* postRefused("KM-EML-106", JSON.stringify(messageId.slice(0, 254)))
      const { seal } = yield* keys
      const answered = new Map<string, { readonly row: FiledMail; readonly judged: Judged }>()
      let before = Number.MAX_SAFE_INTEGER
      for (let left = manyReplies; left > 0;) {
        const rows = yield* filed(seal, { limit: left, before, keys: { inReplyTo: messageId } }, "inbox")
        const last = rows.at(-1)
        if (last === undefined) break
        // Newest first, so the first one of each is what stays.
        for (const entry of rows) if (entry.judged.status === "verified") answered.set(entry.judged.sender, entry)
        before = last.row.seq
        left -= rows.length
      }
      const missing = owners.filter((peer) => !answered.has(peer))
      const living = missing.length === 0 ? [] : yield* sandboxes.list
      const lives = (peer: SenderId) =>
        peer === "operator" || living.some(({ id, status }) => id === peer && status !== "destroying")
      return {
        found: owners.flatMap((peer) => answered.get(peer) ?? []).toSorted((x, y) => x.row.seq - y.row.seq),
        missing,
        gone: missing.filter((peer) => !lives(peer))
      }
    }),

    get: Effect.fn("MailRoom.get")(function*(delivery: string) {
      const { seal } = yield* keys
      const row = yield* mailbox.get(owner, delivery)
      if (Option.isNone(row)) return yield* postRefused("KM-EML-106", JSON.stringify(delivery.slice(0, 254)))
      return { row: row.value, judged: unsealed(seal, owner, row.value) }
    }),

    /** The bytes of the attachments, read from the message anew; refused when they are not those that were verified. */
    attachments: Effect.fn("MailRoom.attachments")(function*(delivery: string, judged: Judged, receivedAt: number) {
      const raw = yield* mailbox.raw(owner, delivery)
      if (Option.isNone(raw)) return yield* postRefused("KM-EML-106", JSON.stringify(delivery.slice(0, 254)))
      const { verdict } = yield* read(raw.value, delivery, receivedAt)
      const found = verdict.mail?.attachments ?? []
      const same = found.length === judged.attachments.length
        && found.every((part, n) => part.sha256 === judged.attachments[n]?.sha256)
      return same ? found : yield* postRefused("KM-EML-111", delivery)
    }),

    raw: Effect.fn("MailRoom.raw")(function*(delivery: string) {
      const raw = yield* mailbox.raw(owner, delivery)
      return Option.isSome(raw) ? raw.value : yield* postRefused("KM-EML-106", JSON.stringify(delivery.slice(0, 254)))
    })
  }
})
export type MailRoom = Effect.Success<ReturnType<typeof makeMailRoom>>
