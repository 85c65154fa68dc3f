/** A verdict as it is kept and shown: without the attachments' bytes, which stay in the message. */
import type { Judged } from "../../runtime/domain/mail/JudgedMail.ts"
import type { Verdict } from "./protocol/Verdict.ts"

/** `reason` is the verdict's own, or why the message is in quarantine. */
export const judgedOf = (verdict: Verdict, reason: string): Judged => {
  const { encrypted, mail, sender, status } = verdict
  return {
    status,
    reason,
    sender: sender ?? "",
    encrypted,
    id: mail?.id ?? null,
    from: mail?.from.address ?? "",
    to: mail?.to ?? [],
    cc: mail?.cc ?? [],
    replyTo: mail?.replyTo ?? null,
    subject: mail?.subject ?? "",
    inReplyTo: mail?.inReplyTo ?? null,
    references: mail?.references ?? [],
    date: mail === undefined || mail.created === null ? null : new Date(mail.created * 1_000).toISOString(),
    hop: mail?.hop ?? 0,
    body: mail?.text ?? "",
    attachments: (mail?.attachments ?? []).map(({ name, sha256, size, type }) => ({ name, type, size, sha256 }))
  }
}
