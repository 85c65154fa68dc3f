/** Reads what arrives with the account's keys: who may write, what is quarantined, and how often answers may follow each other. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type Judged, releasedFrom, sealed, sealedSummary, summaryOf } from "../../runtime/domain/mail/JudgedMail.ts"
import { sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { bouncePrefix, type LeasedMail, Mailbox, wholeOf } from "../../runtime/ports/Mail.ts"
import type { AccountDirectory, MailAccountOptions } from "./AccountDirectory.ts"
import { judgedOf } from "./judgedOf.ts"
import type { MailArchive } from "./MailArchive.ts"
import { type AdmittedMail, isAskedFor, maxHops } from "./MailTurns.ts"
import type { PeerLimits } from "./PeerLimits.ts"
import { postRefused } from "./PostCodes.ts"
import { allowsSender, provenSender } from "./protocol/allowedSenders.ts"
import { mailAddress } from "./protocol/MailAddress.ts"
import { readMail } from "./protocol/readMail.ts"
import { certifiedAlias } from "./protocol/SenderDirectory.ts"
import { admits, type Verdict } from "./protocol/Verdict.ts"
import { defaultReadLimits } from "./protocol/wire.ts"
import { releaseNote } from "./SentMail.ts"

/** For the largest message on a busy machine; parsing it takes a few seconds. */
const maxParseMillis = 60_000

export const makeMailJudge = Effect.fnUntraced(function*(
  { domain, install, owner, policy }: MailAccountOptions,
  { bySender, directory, keys, olderBoxes }: AccountDirectory,
  { sentBy }: MailArchive,
  limits: PeerLimits
) {
  const mailbox = yield* Mailbox

  const read = Effect.fnUntraced(function*(raw: Uint8Array, delivery: string, at: number) {
    const { box, seal } = yield* keys
    const others = yield* olderBoxes
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

  /**
   * Decides about one delivery and files it; `undefined` when it was dropped as a copy or the lease was lost. What
   * `admitted` does for mail of the inbox is done before it is filed, and again after a crash in between; what it says
   * is why the mail does not reach the inbox after all.
   */
  const judge = Effect.fn("MailAccount.judge")(function*<E = never>(
    leased: LeasedMail,
    admitted: (mail: AdmittedMail) => Effect.Effect<string, E> = () => Effect.succeed("")
  ) {
    const raw = yield* mailbox.raw(owner, leased.id)
    if (Option.isNone(raw)) return undefined
    const { seal, verdict } = yield* read(yield* wholeOf(raw.value), leased.id, leased.receivedAt)
    if (verdict.duplicate) {
      yield* mailbox.file(owner, leased.receipt, { folder: "dropped", summary: "", content: "" })
      return undefined
    }
    const { id: delivery, receivedAt } = leased
    const mail = { verdict, judged: judgedOf(verdict, verdict.reason), delivery, receivedAt }
    const release = yield* mailbox.noted(owner, releaseNote(delivery))
    const released = Option.getOrUndefined(
      Option.map(release, (text) => releasedFrom(seal, owner, delivery, mail.judged, text))
    )
    // By when it came, not when it is judged: mail that waited for its judge did not come all at once.
    const first = released === undefined ? yield* objection(verdict, delivery, receivedAt) : ""
    const against = first === "" ? yield* admitted(mail) : first
    const folder = against === "" ? "inbox" as const : "quarantine" as const
    const judged = judgedOf(
      verdict,
      against !== "" ? against : released === undefined ? verdict.reason : `released: ${released}`
    )
    const { id, inReplyTo } = judged
    const found = {
      ...(id === null ? {} : { messageId: id }),
      ...(inReplyTo === null ? {} : { inReplyTo })
    }
    const content = sealed(seal, owner, delivery, folder, judged)
    const summary = sealedSummary(seal, owner, delivery, folder, summaryOf(judged))
    const kept = yield* mailbox.file(owner, leased.receipt, { folder, summary, content, keys: found })
    return kept ? { folder, judged, delivery } : undefined
  })

  /** The bytes of the attachments, read from the message anew; refused when they are not those that were verified. */
  const attachments = Effect.fn("MailAccount.attachments")(
    function*(delivery: string, judged: Judged, receivedAt: number) {
      const raw = yield* mailbox.raw(owner, delivery)
      if (Option.isNone(raw)) return yield* postRefused("KM-EML-106", JSON.stringify(delivery.slice(0, 254)))
      const { verdict } = yield* read(yield* wholeOf(raw.value), delivery, receivedAt)
      const found = verdict.mail?.attachments ?? []
      const same = found.length === judged.attachments.length
        && found.every((part, n) => part.sha256 === judged.attachments[n]?.sha256)
      return same ? found : yield* postRefused("KM-EML-111", delivery)
    }
  )

  return { attachments, judge }
})
