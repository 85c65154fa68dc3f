/**
 * The desk of one owner: without a ledger, and mail is judged when somebody looks. The leases of the mailbox keep two such
 * processes from judging the same message.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Judged } from "../../runtime/domain/mail/JudgedMail.ts"
import { asciiLowerCase } from "../../runtime/domain/text/Ascii.ts"
import { Mailbox, sandboxAt } from "../../runtime/ports/Mail.ts"
import { type DeskLetter, type MailDesk, MailTrouble, type MakeMailDesk } from "../../runtime/ports/MailDesk.ts"
import * as MemoryLedger from "../../runtime/ports/memory/MemoryLedger.ts"
import { makeMemoryLedgerState } from "../../runtime/ports/memory/MemoryLedger.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { lastRevocation } from "./AccountDirectory.ts"
import { attachmentType } from "./attachmentType.ts"
import { makeMailAccount } from "./MailAccount.ts"
import { postRefused, postTrouble } from "./PostCodes.ts"
import { allowsSender } from "./protocol/allowedSenders.ts"
import { defaultMaxContentBytes } from "./protocol/Draft.ts"
import { MailAddress } from "./protocol/MailAddress.ts"
import { savedAttachments } from "./savedAttachments.ts"

/** Longer than judging the largest message takes; after a crash the message waits this long. */
const visibility = Duration.seconds(30)

/** As the agent's programs tell it. */
const told = <A, E extends { readonly _tag: string; readonly message: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.mapError(effect, (error) => {
    const { code, exit, next, what, why } = postTrouble(error)
    return new MailTrouble({ code, exit, next, what, why })
  })

export const makeMailDesk: MakeMailDesk = Effect.fn("MailDesk.make")(function*(options) {
  const mailbox = yield* Mailbox
  const sandboxes = yield* Sandboxes
  const memory = makeMemoryLedgerState()
  memory.facts.set(lastRevocation, String(options.revocations))
  const account = yield* makeMailAccount(options).pipe(Effect.provide(MemoryLedger.layerOver(memory)))

  /** The limit is that of `km-send`. */
  const send = Effect.fnUntraced(function*(letter: DeskLetter, how: { readonly dryRun?: boolean }) {
    const bytes = letter.attachments.reduce((sum, part) => sum + part.bytes.length, Buffer.byteLength(letter.body))
    if (bytes > defaultMaxContentBytes) {
      return yield* postRefused(
        "KM-EML-105",
        `text and attachments have ${bytes} bytes; at most ${defaultMaxContentBytes}`
      )
    }
    const attachments = letter.attachments.map((part) => ({ ...part, type: attachmentType(part.name) }))
    return yield* account.send({ ...letter, attachments }, how)
  })

  /** Which of these, by id, alias or address. */
  const refusing = Effect.fnUntraced(function*(names: ReadonlyArray<string>) {
    const { domain, owner } = options
    const own = owner === "operator" ? Option.none() : yield* sandboxes.get(owner)
    const proven = {
      sender: owner,
      alias: Option.getOrUndefined(own)?.alias,
      address: MailAddress.make(`${owner}@${domain}`),
      certified: true
    }
    const found = yield* Effect.forEach(names, (name) => {
      const wanted = asciiLowerCase(name.trim())
      return wanted.includes("@") ? sandboxAt(sandboxes, wanted) : sandboxes.named(wanted)
    })
    const those = found.flatMap(Option.toArray).filter(({ id, profile }) =>
      !allowsSender(profile.spec.email.allowedSenders, proven, id)
    )
    return [...new Set(those.map(({ id }) => id))]
  })

  /** All that came and that nobody else is judging. */
  const judgeAll = Effect.gen(function*() {
    for (;;) {
      const leased = yield* mailbox.lease(options.owner, visibility)
      if (Option.isNone(leased)) return
      yield* account.judge(leased.value)
    }
  })

  const saveAttachments = Effect.fnUntraced(
    function*(delivery: string, judged: Judged, receivedAt: number, directory: string) {
      const parts = judged.attachments.length === 0 ? [] : yield* account.attachments(delivery, judged, receivedAt)
      return yield* Effect.try({
        try: () => savedAttachments(directory, parts),
        catch: (cause) => postRefused("KM-EML-109", cause instanceof Error ? cause.message : directory)
      })
    }
  )

  const desk: MailDesk = {
    send: (letter, how) => told(send(letter, how)),
    refusing: (names) => told(refusing(names)),
    judgeAll: told(judgeAll),
    list: (folder, page) => told(account.list(folder, page)),
    replies: (messageId) => told(account.replies(messageId)),
    get: (delivery) => told(account.get(delivery)),
    release: (delivery) => told(account.release(delivery)),
    raw: (delivery) => told(account.raw(delivery)),
    saveAttachments: (...args) => told(saveAttachments(...args))
  }
  return desk
}, told)
