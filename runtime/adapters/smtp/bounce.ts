/** What a sender is told of mail that its recipients did not get. */
import * as Effect from "effect/Effect"
import MailComposer from "nodemailer/lib/mail-composer"
import { sha256Hex } from "../../domain/text/Digest.ts"
import { bouncePrefix } from "../../ports/Mail.ts"
import type { SpooledMail } from "../../ports/MailSpool.ts"

export interface Undelivered {
  readonly address: string
  /** With its code. */
  readonly why: string
}

/** Bytes in which the message's own id is looked for. */
const headBytes = 64 * 1024

/** The `Message-ID` that our writer puts on one line. */
export const messageIdOf = (raw: Uint8Array): string | undefined =>
  /^Message-ID: (<[^<>\s]{1,250}>)\r?$/im.exec(
    Buffer.from(raw.buffer, raw.byteOffset, Math.min(raw.length, headBytes)).toString("latin1").split(/\r?\n\r?\n/)[0]
      ?? ""
  )?.[1]

/** One notice for each recipient: the same again has the same id, so that it is told once. */
export const bounceId = (mail: SpooledMail, address: string): string =>
  `${bouncePrefix}${sha256Hex(JSON.stringify([mail.owner, mail.id, address]))}`

/**
 * From the install's own mail system, by a name that no sandbox can have, as ids and aliases hold no dot. Unsigned,
 * because no key of anybody is near the relay.
 */
export const bounceMessage = (
  mail: SpooledMail,
  undelivered: Undelivered,
  about: { readonly domain: string; readonly messageId: string | undefined; readonly now: number }
): Effect.Effect<Uint8Array> => {
  const { domain, messageId, now } = about
  const composed = new MailComposer({
    from: { name: "Mail system", address: `mailer.daemon@${domain}` },
    to: mail.from,
    subject: `Not delivered to ${undelivered.address}`,
    date: new Date(now),
    messageId: `<${bounceId(mail, undelivered.address).replace("/", ".")}@${domain}>`,
    headers: { "Auto-Submitted": "auto-replied" },
    ...(messageId === undefined ? {} : { inReplyTo: messageId, references: messageId }),
    text: [
      `Your message ${messageId ?? ""} of ${
        new Date(mail.createdAt).toISOString()
      } did not reach ${undelivered.address}.`,
      "",
      undelivered.why,
      "",
      "It is not tried again. Its other recipients are not concerned."
    ].join("\n"),
    disableFileAccess: true,
    disableUrlAccess: true
  })
  return Effect.promise(() => composed.compile().build())
}
