/** Writes for an account: builds, signs, encrypts and sends, with keys that never leave the runtime. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { createHash, randomUUID } from "node:crypto"
import type { SenderId } from "../../runtime/domain/sandbox/Ids.ts"
import { asciiLowerCase } from "../../runtime/domain/text/Ascii.ts"
import { Mailer, sizeSentence } from "../../runtime/ports/Mail.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { type AccountDirectory, believed, type MailAccountOptions } from "./AccountDirectory.ts"
import type { MailArchive } from "./MailArchive.ts"
import { maxHops } from "./MailTurns.ts"
import type { PeerLimits } from "./PeerLimits.ts"
import { postRefused } from "./PostCodes.ts"
import { allowsSender } from "./protocol/allowedSenders.ts"
import type { MailAddress } from "./protocol/MailAddress.ts"
import type { OutgoingPart } from "./protocol/MimeWriter.ts"
import { currentBox, hasName } from "./protocol/SenderDirectory.ts"
import { toBase64Url } from "./protocol/strictBase64.ts"
import { type BoxRecipient, writeV2 } from "./protocol/writeMail.ts"
import { encodeSent, rememberedSeconds, sentNote } from "./SentMail.ts"

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

export const makeMailWriter = Effect.fnUntraced(function*(
  options: MailAccountOptions,
  { bySender, keys, outsideAddress, resolve }: AccountDirectory,
  { threadOf }: MailArchive,
  limits: PeerLimits
) {
  const mailer = yield* Mailer
  const sandboxes = yield* Sandboxes
  const { domain, install, owner, policy, relay } = options

  /** Builds, signs, encrypts and delivers; nothing is sent when any part is refused. */
  const send = Effect.fn("MailAccount.send")(function*(letter: Letter, how: SendOptions = {}) {
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
      for (const [written, peer] of owners) {
        const row = Option.getOrUndefined(yield* sandboxes.named(peer))
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
    if (copies.some(({ raw }) => raw.length > mailer.limits.maxMessageBytes)) {
      return yield* postRefused("KM-EML-114", sizeSentence(mailer.limits))
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
    // In one step: a reply may be there at once, and only what is noted is known as an answer.
    yield* mailer.sendAll(
      copies.map(({ raw, recipients }) => ({
        // Says nothing of the other copies: a blind recipient must not learn that there are more.
        id: `${owner}/${toBase64Url(named("copy", ...recipients))}`,
        to: recipients.flatMap((address) => owners.get(address) ?? []),
        raw,
        ...(recipients.some((address) => outside.has(address))
          ? { outside: { owner, from: own.address, to: recipients.filter((address) => outside.has(address)) } }
          : {})
      })),
      [{ owner, key: sentNote(made.id), value: sent, keepUntilSeconds: at + rememberedSeconds }]
    )
    return made
  })

  return { send }
})
