/** Which mail starts a turn, what that turn is, and what its answer refers to. Pure. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Judged } from "../../runtime/domain/mail/JudgedMail.ts"
import type { Profile } from "../../runtime/domain/profile/Profile.ts"
import { GroupId, SenderId, TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import { sha256Base64Url } from "../../runtime/domain/text/Digest.ts"
import type { TurnOrigin, TurnRequest } from "../../runtime/domain/turn/Turn.ts"
import type { Verdict } from "./protocol/Verdict.ts"
import type { SentMail } from "./SentMail.ts"

/** What turns of mail are called among those of other origins. */
export const mailKind = "mail"

/** A verified mail that starts a turn. Everything is as signed; the sender is proven. */
export const MailOrigin = Schema.Struct({
  messageId: Schema.String,
  /** The mailbox's own name of the message; `km-recv --id` takes it. */
  delivery: Schema.String,
  sender: SenderId,
  /** The proven sender's own, and the only one that the outcome is mailed to. */
  address: Schema.String,
  subject: Schema.String,
  /** ISO 8601. */
  date: Schema.NullOr(Schema.String),
  /** Ids of the thread before this message, oldest first. */
  references: Schema.Array(Schema.String),
  /** Automatic answers in a row up to this message. */
  hop: Schema.Int,
  encrypted: Schema.Boolean,
  /** False when the mail answers one of this sandbox: its outcome is not mailed back, or two agents never end. */
  answered: Schema.Boolean,
  /** True when the request's text is only the beginning of the mail's. */
  cut: Schema.Boolean
})
export type MailOrigin = typeof MailOrigin.Type
const encodeOrigin = Schema.encodeSync(MailOrigin)
const decodeOrigin = Schema.decodeUnknownOption(MailOrigin)

/** As a turn has it. */
export const turnOriginOf = (mail: MailOrigin): TurnOrigin => ({
  kind: "plugin",
  of: mailKind,
  label: mail.sender,
  data: encodeOrigin(mail)
})

/** What a turn has of it; none for a turn of another origin. */
export const mailOriginOf = (origin: TurnOrigin): MailOrigin | undefined =>
  origin.kind === "plugin" && origin.of === mailKind ? Option.getOrUndefined(decodeOrigin(origin.data)) : undefined

/** UTF-16 units of a mail's text that go into a prompt; the rest is the agent's to fetch. */
export const promptCharacters = 100_000

/** Turns of a sandbox that may wait or run; mail beyond that is quarantined as `too-many`. */
export const maxTurnsInHand = 200

/** Automatic answers in a row; the one after that is refused by its writer and quarantined by its reader. */
export const maxHops = 20

/** A mail that was let into the inbox. */
export interface AdmittedMail {
  readonly verdict: Verdict
  readonly judged: Judged
  readonly delivery: string
  /** Unix milliseconds. */
  readonly receivedAt: number
}

/**
 * True for a message that was let in, `verified`, and that nobody waits for. `verified-v1` starts nothing: it proves
 * neither to whom it was written nor that it came once. Who may write was asked before (`allowedSenders`).
 */
export const mayStartTurn = (
  onReceive: Profile["spec"]["email"]["onReceive"],
  { verdict }: Pick<AdmittedMail, "verdict">,
  awaited: boolean
): boolean =>
  onReceive === "turn" && !awaited && verdict.status === "verified" && verdict.form === "v2" && !verdict.duplicate
  && verdict.sender !== undefined && typeof verdict.mail?.id === "string"

/** The same for every delivery of a message: the mailbox gives one name to one copy (docs/email-protocol.md, Once). */
export const turnKeyOf = (owner: SenderId, delivery: string): TurnKey =>
  TurnKey.make(`mail:${sha256Base64Url(JSON.stringify(["km-mail-turn", owner, delivery]))}`)

/** The first message of the thread, as far as this one knows. */
export const rootOf = (judged: Pick<Judged, "id" | "inReplyTo" | "references">): string =>
  judged.references[0] ?? judged.inReplyTo ?? judged.id ?? ""

/** One conversation: the sender is part of it, so that nobody resumes what another one began. */
export const groupOf = (sender: string, root: string): GroupId =>
  GroupId.make(`mail:${sha256Base64Url(JSON.stringify(["km-mail-thread", sender, root]))}`)

/** The most that a manifest takes. Source: docs/email-protocol.md §4. */
const maxReferences = 50

/** What an answer refers to: the root always, then the newest. */
export const referencesAfter = (references: ReadonlyArray<string>, id: string): ReadonlyArray<string> => {
  const all = [...references, id]
  return all.length <= maxReferences ? all : [...all.slice(0, 1), ...all.slice(1 - maxReferences)]
}

/** `Re: …` once, within what a subject may have. */
export const answerSubject = (subject: string): string =>
  (/^re:/i.test(subject) ? subject : `Re: ${subject}`).slice(0, 998).toWellFormed()

/** Whether somebody waits for this reply: then it is left to them. */
export const isAwaited = (sent: SentMail | undefined, sender: SenderId | undefined, receivedAt: number): boolean =>
  sent !== undefined && sender !== undefined && receivedAt < sent.awaitedUntil && sent.owners.includes(sender)

/**
 * True for an answer that was asked for: somebody waits for it, or it is the first one to a message of ours. Two such
 * answers may say the same, when they answer two messages; two agents that thank each other are no such thing.
 */
export const isAskedFor = (
  sent: SentMail | undefined,
  { sender, mail, status }: Pick<Verdict, "mail" | "sender" | "status">,
  receivedAt: number
): boolean =>
  status === "verified" && sent !== undefined && sender !== undefined && sent.owners.includes(sender)
  && ((mail?.hop ?? 0) <= 1 || isAwaited(sent, sender, receivedAt))

/** The turn of a mail that may start one. */
export const requestOf = (owner: SenderId, mail: AdmittedMail, repliesToOurs: boolean): TurnRequest | undefined => {
  const { delivery, judged, receivedAt, verdict } = mail
  const { id } = judged
  if (verdict.sender === undefined || id === null) return undefined
  return {
    key: turnKeyOf(owner, delivery),
    group: groupOf(verdict.sender, rootOf(judged)),
    origin: turnOriginOf({
      messageId: id,
      delivery,
      sender: verdict.sender,
      address: judged.from,
      subject: judged.subject,
      date: judged.date,
      references: judged.references,
      hop: judged.hop,
      encrypted: judged.encrypted,
      answered: !repliesToOurs,
      cut: judged.body.length > promptCharacters
    }),
    text: judged.body.slice(0, promptCharacters).toWellFormed(),
    title: `📧 Turn started by mail from ${verdict.sender}`,
    files: judged.attachments.map(({ name, sha256, size, type }) => ({ id: sha256, name, mimeType: type, size })),
    acceptedAt: receivedAt
  }
}
