/** `km email send`: mail by the operator, and the replies to it when they are waited for. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as fs from "node:fs"
import * as path from "node:path"
import process from "node:process"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { foreignAddress, foreignText } from "../../runtime/domain/text/ForeignText.ts"
import { Mailbox, Mailer, type MailLimits, sizeSentence } from "../../runtime/ports/Mail.ts"
import type { MailDesk, SentMail } from "../../runtime/ports/MailDesk.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { pathFrom } from "../Configuration.ts"
import { KmError, kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { operatorDesk, refusalNotes } from "../OperatorDesk.ts"
import { data, talk } from "../Output.ts"
import { pick } from "../Reference.ts"
import { troubleOf } from "../trouble.ts"
import { deliverNow, longestWait, onInstall, viewOf, waitingFor } from "./Email.ts"

export interface SendInput {
  readonly to: ReadonlyArray<string>
  readonly cc: ReadonlyArray<string>
  readonly bcc: ReadonlyArray<string>
  readonly subject: string
  readonly body: Option.Option<string>
  readonly bodyText: Option.Option<string>
  readonly attach: ReadonlyArray<string>
  readonly replyTo: Option.Option<string>
  readonly inReplyTo: Option.Option<string>
  readonly encrypt: boolean
  /** Seconds. */
  readonly waitReply: Option.Option<number>
  readonly dryRun: boolean
}

class TooLarge extends Error {}

/** As a stream: a pipe may be non-blocking, whoever writes into it may take their time, and a device has no end. */
const allOf = async (stream: AsyncIterable<Buffer>, limits: MailLimits): Promise<Buffer> => {
  const chunks: Array<Buffer> = []
  let size = 0
  for await (const chunk of stream) {
    size += chunk.length
    if (size > limits.maxMessageBytes) throw new TooLarge(sizeSentence(limits))
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

const unreadable = (why: string) =>
  new KmError({ code: "KM-EML-109", exit: 1, what: "a file cannot be read", why, next: "check its path and rights" })

const bytesOf = Effect.fnUntraced(function*(file: string) {
  const { limits } = yield* Mailer
  return yield* Effect.tryPromise({
    try: () => allOf(file === "-" ? process.stdin : fs.createReadStream(file), limits),
    catch: (cause) =>
      cause instanceof TooLarge
        ? new KmError({
          code: "KM-EML-114",
          exit: 6,
          what: "the message is larger than this install takes; nothing was sent",
          why: cause.message,
          next: "send less, or put the data where its readers can fetch it"
        })
        : unreadable(cause instanceof Error ? cause.message : file)
  })
})

const bodyOf = Effect.fnUntraced(function*({ body, bodyText }: SendInput) {
  if (Option.isSome(body) && Option.isSome(bodyText)) {
    return yield* kmError("KM-CLI-001", "--body and --body-text are two bodies", "", "give one of them")
  }
  if (Option.isSome(bodyText)) return bodyText.value
  const file = Option.isNone(body) ? "-" : yield* pathFrom(body.value, "--body")
  if (file === "-" && process.stdin.isTTY) yield* talk("type the body, then Ctrl-D")
  return (yield* bytesOf(file)).toString("utf8")
})

/** A beginning that fits only one sandbox becomes its id; what the codec knows by itself stays as it is. */
const wholeName = Effect.fnUntraced(function*(rows: ReadonlyArray<SandboxRow>, text: string) {
  if (text === "operator" || text.includes("@")) return text
  const found = pick(rows, text)
  const [row] = found
  if (row === undefined || row.id === text || row.alias === text) return text
  if (found.length === 1) return yield* Effect.as(talk(`${text} is ${row.id}`), row.id)
  const why = found.map(({ id }) => id).join(", ")
  return yield* kmError("KM-CLI-003", `${JSON.stringify(text)} fits ${found.length} sandboxes`, why)
})

/** No line of a body stands where our own begin, so that no body passes for the head of another reply. */
const indented = (body: string): string => body.split("\n").map((line) => line === "" ? "" : `  ${line}`).join("\n")

/** The text of one recipient's reply and nothing else; of several, each with who wrote it, the text indented. */
const replyLines = (replies: ReadonlyArray<ReturnType<typeof viewOf>>, alone: boolean): ReadonlyArray<string> =>
  replies.flatMap((mail) =>
    alone
      ? [foreignText(mail.body)]
      : [`From: ${foreignAddress(mail.from)}`, "", indented(foreignText(mail.body)), ""]
  )

/** Ends when everybody who is still there has answered, or when the time is over: then what came is shown and the rest is named. */
const collect = Effect.fnUntraced(function*(desk: MailDesk<KmError>, sent: SentMail, seconds: number) {
  const { id, recipients } = sent
  const look = Effect.andThen(Effect.andThen(deliverNow, desk.judgeAll), desk.replies(id))
  const { found, gone, missing } = yield* waitingFor(
    "operator",
    seconds,
    look,
    (now) => now.missing.length === now.gone.length
  )
  const replies = found.map(viewOf)
  const ok = missing.length === 0
  yield* data(replyLines(replies, recipients.length === 1), { ok, ...sent, replies, missing })
  yield* (yield* Mailbox).markRead("operator", replies.map(({ delivery }) => delivery))
  if (ok) return
  const silent = missing.filter((who) => !gone.includes(who))
  return yield* new KmError({
    code: "KM-EML-110",
    exit: 7,
    what: "no message came within the time",
    why: [
      ...(silent.length === 0 ? [] : [`within ${seconds} s ${silent.join(", ")} did not answer ${id}`]),
      ...(gone.length === 0 ? [] : [`${gone.join(", ")} was destroyed without an answer`])
    ].join("; "),
    next: "km email list --unread --wait 600"
  })
})

export const emailSend = Effect.fn("km.email.send")((input: SendInput) =>
  onInstall(Effect.gen(function*() {
    const { backend } = yield* opened
    const desk = yield* operatorDesk(backend, yield* backend.install)
    const wait = Option.getOrUndefined(input.waitReply)
    if (wait !== undefined && !(wait >= 1 && wait <= longestWait)) {
      return yield* kmError("KM-CLI-001", `--wait-reply takes 1 to ${longestWait} seconds`, "")
    }
    const body = yield* bodyOf(input)
    const attachments = yield* Effect.forEach(
      input.attach,
      Effect.fnUntraced(function*(given) {
        const file = yield* pathFrom(given, "--attach")
        if (file === "-") return yield* kmError("KM-CLI-001", "--attach takes a file", "standard input has no name")
        // What is no file may never begin, and a read of it could not be interrupted.
        const isFile = yield* Effect.try({
          try: () => fs.statSync(file).isFile(),
          catch: (cause) => unreadable(cause instanceof Error ? cause.message : file)
        })
        if (!isFile) return yield* unreadable(`${file} is no regular file`)
        return { name: path.basename(file), bytes: yield* bytesOf(file) }
      })
    )
    const rows = yield* Effect.mapError((yield* Sandboxes).list, troubleOf)
    const named = (names: ReadonlyArray<string>) => Effect.forEach(names, (name) => wholeName(rows, name))
    const { dryRun, encrypt, subject } = input
    const sent = yield* desk.send({
      to: yield* named(input.to),
      cc: yield* named(input.cc),
      bcc: yield* named(input.bcc),
      subject,
      body,
      attachments,
      encrypt,
      ...(wait === undefined ? {} : { awaitSeconds: wait }),
      ...(Option.isNone(input.replyTo) ? {} : { replyTo: input.replyTo.value }),
      ...(Option.isNone(input.inReplyTo) ? {} : { inReplyTo: input.inReplyTo.value })
    }, { dryRun })
    if (!dryRun) yield* deliverNow
    const how = `${sent.recipients.join(", ")}, ${sent.encrypted ? "encrypted" : "in plain text"}`
    yield* talk(dryRun ? `would be sent to ${how}` : `sent to ${how}`)
    for (const note of refusalNotes(yield* desk.refusing(sent.recipients))) yield* talk(note)
    if (wait !== undefined && !dryRun) return yield* collect(desk, sent, wait)
    const { id, ...rest } = sent
    return yield* data(dryRun ? [] : [id], dryRun ? { ok: true, dryRun, ...rest } : { ok: true, ...sent })
  }))
)
