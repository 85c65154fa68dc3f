/** `km email`: what arrived for a sandbox, for its operator. Reading here marks nothing as read. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { type Judged, unsealed } from "../../runtime/domain/JudgedMail.ts"
import { mailboxKeyPath } from "../../runtime/domain/MailIdentity.ts"
import type { SandboxRow } from "../../runtime/domain/Sandbox.ts"
import { type FiledMail, Mailbox, type MailFolder } from "../../runtime/ports/Mail.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { KmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { columns, data, talk } from "../Output.ts"
import { resolve } from "../Reference.ts"

/** Written by others: nothing of it may drive the terminal. */
// oxlint-disable-next-line no-control-regex
const plain = (text: string): string => text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "")
const oneLine = (text: string): string => plain(text).replaceAll(/\s+/g, " ").slice(0, 80)

const viewOf = (filed: FiledMail, judged: Judged) => ({
  delivery: filed.id,
  folder: filed.folder,
  receivedAt: new Date(filed.receivedAt).toISOString(),
  read: filed.read,
  ...judged
})

/** The mailbox of a sandbox with the key that its runtime sealed it with. */
const mailboxOf = Effect.fnUntraced(function*(row: SandboxRow) {
  const mailbox = yield* Mailbox
  const key = yield* (yield* Secrets).get(mailboxKeyPath(row.id))
  if (Option.isNone(key)) {
    return yield* new KmError({
      code: "KM-EML-107",
      exit: 4,
      what: `${row.id} has no mail keys`,
      why: "its profile has notifyEmailEnabled false, or it was made by an earlier version",
      next: "km identity show"
    })
  }
  const seal = Buffer.from(Redacted.value(key.value), "base64")
  return { mailbox, open: (filed: FiledMail) => viewOf(filed, unsealed(seal, row.id, filed)) }
})

const inSandbox = <A, E, R>(reference: string, act: (row: SandboxRow) => Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const { backend } = yield* opened
    yield* backend.install
    return yield* Effect.flatMap(resolve(reference), act).pipe(Effect.provide(backend.ports("short")))
  })

const listing = (folder: MailFolder) => (input: { readonly reference: string; readonly limit: number }) =>
  inSandbox(input.reference, (row) =>
    Effect.gen(function*() {
      const { mailbox, open } = yield* mailboxOf(row)
      const mails = (yield* mailbox.list(row.id, folder, { limit: input.limit })).map(open)
      if (mails.length === 0) yield* talk(folder === "inbox" ? "the inbox is empty" : "nothing is in quarantine")
      const rows = mails.map(({ delivery, from, reason, receivedAt, status, subject }) => [
        receivedAt,
        reason === "" ? status : `${status} (${reason})`,
        oneLine(from),
        oneLine(subject),
        delivery
      ])
      yield* data(
        mails.length === 0 ? [] : columns([["RECEIVED", "STATUS", "FROM", "SUBJECT", "DELIVERY"], ...rows]),
        { ok: true, folder, messages: mails }
      )
    }))

export const emailList = Effect.fn("km.email.list")(listing("inbox"))
export const emailQuarantine = Effect.fn("km.email.quarantine")(listing("quarantine"))

export const emailRead = Effect.fn("km.email.read")((
  input: { readonly reference: string; readonly delivery: string }
) =>
  inSandbox(input.reference, (row) =>
    Effect.gen(function*() {
      const { mailbox, open } = yield* mailboxOf(row)
      const found = yield* mailbox.get(row.id, input.delivery)
      if (Option.isNone(found)) {
        return yield* new KmError({
          code: "KM-EML-106",
          exit: 3,
          what: "no message has this id",
          why: input.delivery,
          next: `km email list ${row.id}`
        })
      }
      const mail = open(found.value)
      const lines = [
        `From: ${oneLine(mail.from)}`,
        `Status: ${mail.status}${mail.reason === "" ? "" : ` (${mail.reason})`}`,
        `Subject: ${plain(mail.subject)}`,
        ...mail.attachments.map(({ name, size }) => `Attachment: ${oneLine(name)} (${size} bytes)`),
        "",
        plain(mail.body)
      ]
      return yield* data(lines, { ok: true, message: mail })
    }))
)
