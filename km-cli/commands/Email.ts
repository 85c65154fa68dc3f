/** `km email list`, `read`, `quarantine`, `release`: what arrived for the operator or for a sandbox. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import process from "node:process"
import { SandboxId, type SenderId } from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { foreignAddress, foreignLine, foreignText } from "../../runtime/domain/text/ForeignText.ts"
import { makeCourier } from "../../runtime/kernel/mail/MailCourier.ts"
import { Mailbox, type MailFolder } from "../../runtime/ports/Mail.ts"
import type { FiledJudged, ListedMail, MailDesk } from "../../runtime/ports/MailDesk.ts"
import { pathFrom } from "../Configuration.ts"
import { KmError, kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { operatorDesk } from "../OperatorDesk.ts"
import { columns, data, JsonFlag, talk } from "../Output.ts"
import { recorded } from "../Recorded.ts"
import { resolve } from "../Reference.ts"

/** Characters of a subject in a list. */
const listedSubject = 80
/** Characters of a subject, and of a file's name, where one message is shown: what signed ones may have at most. */
const longestSubject = 998
const longestName = 255

export const viewOf = ({ judged, row }: FiledJudged) => ({
  delivery: row.id,
  folder: row.folder,
  receivedAt: new Date(row.receivedAt).toISOString(),
  read: row.read,
  ...judged
})

/** What waits in the outbox goes on its way also where no control plane runs; what is wrong with that is the courier's. */
export const deliverNow = Effect.flatMap(makeCourier, ({ round }) => round).pipe(
  Effect.catch((error) => talk(`mail waits in the outbox: ${error.message}`))
)

/** Of the operator, or of a sandbox with the keys that its runtime has. */
const mailboxOf = Effect.fnUntraced(function*(reference: string) {
  const { backend } = yield* opened
  const install = yield* backend.install
  if (reference === "operator") {
    const desk = yield* operatorDesk(backend, install)
    // Nobody judges the operator's mail but who looks at it. What is wrong with new mail does not hide the old.
    const collect = Effect.andThen(deliverNow, desk.judgeAll).pipe(
      Effect.catchTag("KmError", (error) => talk(`new mail waits: ${error.code}: ${error.why}`))
    )
    return { desk, owner: "operator" as const, collect }
  }
  const row: SandboxRow = yield* resolve(reference)
  const desk = yield* backend.mail(install, { owner: row.id, name: "", policy: row.profile.spec.email })
  return { desk, owner: row.id, collect: Effect.void }
})

/** Runs on the install, whose ports are opened for this command alone. */
export const onInstall = <A, E, R>(act: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const { backend } = yield* opened
    yield* backend.install
    return yield* Effect.provide(act, backend.ports("short"))
  })

/** Looks again at each arrival and filing until it is enough or the time is over. `seconds` 0 looks once. */
export const waitingFor = Effect.fnUntraced(function*<A, E, R>(
  owner: SenderId,
  seconds: number,
  look: Effect.Effect<A, E, R>,
  enough: (found: A) => boolean
) {
  const mailbox = yield* Mailbox
  const until = (yield* Clock.currentTimeMillis) + seconds * 1_000
  for (let first = true;; first = false) {
    const than = yield* mailbox.revision(owner)
    const found = yield* look
    const left = until - (yield* Clock.currentTimeMillis)
    if (enough(found) || left <= 0) return found
    if (first) yield* talk(`waiting for mail, ${seconds} s at most`)
    yield* mailbox.revision(owner, { than, wait: Duration.millis(Math.min(left, 5_000)) })
  }
})

/** What a sandbox has read is its agent's to say. */
const onlyOwn = (owner: string, markRead: boolean) =>
  markRead && owner !== "operator"
    ? Effect.fail(
      kmError("KM-CLI-001", "--mark-read is for the operator's own mailbox", `${owner} marks its mail itself`)
    )
    : Effect.void

/** Seconds: a message lives so long. */
export const longestWait = 7 * 24 * 3_600

const pageLimits = Effect.fnUntraced(function*({ limit, wait }: ListInput) {
  if (limit < 1) return yield* kmError("KM-CLI-001", "--limit takes 1 or more", `${limit}`)
  if (!(wait >= 0 && wait <= longestWait)) {
    return yield* kmError("KM-CLI-001", `--wait takes 0 to ${longestWait} seconds`, `${wait}`)
  }
})

export interface ListInput {
  readonly reference: Option.Option<string>
  readonly limit: number
  readonly unread: boolean
  /** A sandbox, the operator or an address. */
  readonly from: Option.Option<string>
  readonly markRead: boolean
  /** Seconds. */
  readonly wait: number
}

/** As a message's sender is kept: an id, or the address that it came from. */
const writerOf = Effect.fnUntraced(function*(text: string) {
  if (text === "") {
    return yield* kmError("KM-CLI-001", "--from takes a sandbox, `operator` or an address", "it is empty")
  }
  // Mail outlives its sandbox: a whole id names it for ever.
  return text === "operator" || text.includes("@") || isSandboxId(text) ? text : (yield* resolve(text)).id
})

const isSandboxId = Schema.is(SandboxId)

/** What is listed, over as many pages as that takes, and whether there is more. */
const listed = Effect.fnUntraced(function*(
  desk: MailDesk<KmError>,
  folder: MailFolder,
  input: ListInput,
  writer: string | undefined
) {
  const found: Array<ListedMail> = []
  let before = Number.MAX_SAFE_INTEGER
  while (true) {
    const wanted = writer === undefined ? input.limit + 1 - found.length : lookedThrough
    const page = yield* desk.list(folder, { limit: Math.min(wanted, lookedThrough), unreadOnly: input.unread, before })
    const last = page.at(-1)
    if (last === undefined) return { found, more: false }
    for (const mail of page) {
      if (writer !== undefined && !isFrom(mail, writer)) continue
      if (found.length === input.limit) return { found, more: true }
      found.push(mail)
    }
    before = last.row.seq
  }
})

/** Messages that are read at a time. */
const lookedThrough = 200

const isFrom = ({ judged }: ListedMail, writer: string): boolean =>
  judged.sender === writer || judged.from.toLowerCase() === writer.toLowerCase()

const listing = (folder: MailFolder) => (input: ListInput) =>
  onInstall(Effect.gen(function*() {
    const { collect, desk, owner } = yield* mailboxOf(Option.getOrElse(input.reference, () => "operator"))
    yield* onlyOwn(owner, input.markRead)
    yield* pageLimits(input)
    const mailbox = yield* Mailbox
    const writer = Option.isNone(input.from) ? undefined : yield* writerOf(input.from.value)
    const look = Effect.andThen(collect, listed(desk, folder, input, writer))
    const { found, more } = yield* waitingFor(owner, input.wait, look, (now) => now.found.length > 0)
    if (found.length === 0 && input.wait > 0) {
      const next = "wait longer with --wait"
      return yield* new KmError({ code: "KM-EML-110", exit: 7, what: "no message came", why: `${input.wait} s`, next })
    }
    const mails = found.map(({ judged, row }) => ({
      ...judged,
      delivery: row.id,
      read: row.read,
      receivedAt: new Date(row.receivedAt).toISOString()
    }))
    if (mails.length === 0) {
      const what = folder === "quarantine"
        ? "nothing is in quarantine"
        : writer !== undefined
        ? `no mail from ${foreignLine(writer, longestName)}`
        : input.unread
        ? "no unread mail"
        : "the inbox is empty"
      yield* talk(owner === "operator" ? `operator: ${what}` : what)
    }
    const rows = mails.map(({ delivery, from, read, reason, receivedAt, status, subject }) => [
      receivedAt,
      read ? "" : "*",
      reason === "" ? status : `${status} (${reason})`,
      foreignAddress(from),
      foreignLine(subject, listedSubject),
      foreignLine(delivery, longestName)
    ])
    // Texts are read only where they are printed.
    const messages = (yield* JsonFlag) ? (yield* Effect.forEach(found, ({ row }) => desk.get(row.id))).map(viewOf) : []
    yield* data(
      mails.length === 0 ? [] : columns([["RECEIVED", "NEW", "STATUS", "FROM", "SUBJECT", "DELIVERY"], ...rows]),
      { ok: true, folder, messages }
    )
    if (more) yield* talk(`there are more than ${input.limit}, which are older; --limit shows them`)
    if (input.markRead) yield* mailbox.markRead(owner, mails.map(({ delivery }) => delivery))
  }))

export const emailList = Effect.fn("km.email.list")(listing("inbox"))
export const emailQuarantine = Effect.fn("km.email.quarantine")(listing("quarantine"))

export interface ReadInput {
  /** The delivery, after the mailbox's owner unless it is the operator. */
  readonly words: ReadonlyArray<string>
  readonly raw: boolean
  readonly markRead: boolean
  readonly saveAttachments: Option.Option<string>
}

/** Bytes as they are; written out when it succeeds. */
const writeOut = (bytes: Uint8Array): Effect.Effect<void> =>
  Effect.callback((resume) => void process.stdout.write(bytes, () => resume(Effect.void)))

export const emailRead = Effect.fn("km.email.read")((input: ReadInput) =>
  onInstall(Effect.gen(function*() {
    if (input.raw && (yield* JsonFlag)) {
      return yield* kmError("KM-CLI-001", "--raw and --json are two forms", "", "give one of them")
    }
    const [delivery = "", reference = "operator"] = input.words.toReversed()
    const { collect, desk, owner } = yield* mailboxOf(reference)
    yield* onlyOwn(owner, input.markRead)
    yield* collect
    const found = yield* desk.get(delivery)
    const mail = viewOf(found)
    const saved = Option.isNone(input.saveAttachments)
      ? []
      : yield* desk.saveAttachments(
        delivery,
        found.judged,
        found.row.receivedAt,
        yield* pathFrom(input.saveAttachments.value, "--save-attachments")
      )
    for (const file of saved) yield* talk(`saved ${file}`)
    if (input.raw) yield* writeOut(yield* desk.raw(delivery))
    else {
      const lines = [
        `Status: ${mail.status}${mail.reason === "" ? "" : ` (${mail.reason})`}`,
        `From: ${foreignAddress(mail.from)}`,
        ...(mail.date === null ? [] : [`Date: ${mail.date}`]),
        ...(mail.id === null ? [] : [`Message: ${foreignLine(mail.id, longestName)}`]),
        `Subject: ${foreignLine(mail.subject, longestSubject)}`,
        ...mail.attachments.map(({ name, size }) =>
          `Attachment: ${foreignLine(name, longestName)} (${size} ${size === 1 ? "byte" : "bytes"})`
        ),
        "",
        foreignText(mail.body)
      ]
      yield* data(lines, { ok: true, message: mail, ...(saved.length === 0 ? {} : { saved }) })
    }
    if (input.markRead) yield* (yield* Mailbox).markRead(owner, [delivery])
  }))
)

export interface ReleaseInput {
  /** The delivery, after the mailbox's owner unless it is the operator. */
  readonly words: ReadonlyArray<string>
}

/** The operator's is judged again at once; a sandbox's by its runtime, which starts turns. */
export const emailRelease = Effect.fn("km.email.release")((input: ReleaseInput) =>
  onInstall(Effect.gen(function*() {
    const [delivery = "", reference = "operator"] = input.words.toReversed()
    const { collect, desk, owner } = yield* mailboxOf(reference)
    yield* collect
    const { judged, row } = yield* desk.get(delivery)
    if (row.folder === "quarantine") {
      yield* recorded("mail.release", owner, `${row.id} ${judged.status} ${judged.reason}`)
    }
    yield* desk.release(row.id)
    yield* collect
    const { reason, status } = judged
    yield* data(
      [`released ${foreignLine(row.id, longestName)} of ${owner}: ${status}${reason === "" ? "" : ` (${reason})`}`],
      { ok: true, mailbox: owner, delivery: row.id, status, reason }
    )
  }))
)
