/**
 * A mailbox as the operator's commands use it, in a process that lives for one command: without a ledger, and mail is
 * judged when somebody looks. The leases of the mailbox keep two such processes from judging the same message.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Judged } from "../../runtime/domain/mail/JudgedMail.ts"
import { asciiLowerCase } from "../../runtime/domain/text/Ascii.ts"
import { Mailbox, sandboxAt } from "../../runtime/ports/Mail.ts"
import * as MemoryLedger from "../../runtime/ports/memory/MemoryLedger.ts"
import { makeMemoryLedgerState } from "../../runtime/ports/memory/MemoryLedger.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { attachmentType } from "./attachmentType.ts"
import { makeMailRoom } from "./MailRoom.ts"
import { postRefused } from "./PostCodes.ts"
import { allowsSender } from "./protocol/allowedSenders.ts"
import { defaultMaxContentBytes } from "./protocol/Draft.ts"
import { MailAddress } from "./protocol/MailAddress.ts"
import { lastRevocation, type MailRoomOptions } from "./RoomDirectory.ts"
import type { Letter, SendOptions } from "./RoomWriter.ts"
import { savedAttachments } from "./savedAttachments.ts"

/** Longer than judging the largest message takes; after a crash the message waits this long. */
const visibility = Duration.seconds(30)

export interface MailDeskOptions extends MailRoomOptions {
  /** The highest revocation that was ever made here; a directory with fewer was changed. */
  readonly revocations: number
}

export interface DeskLetter extends Omit<Letter, "attachments"> {
  readonly attachments: ReadonlyArray<{ readonly name: string; readonly bytes: Uint8Array }>
}

export const makeMailDesk = Effect.fnUntraced(function*(options: MailDeskOptions) {
  const mailbox = yield* Mailbox
  const sandboxes = yield* Sandboxes
  const memory = makeMemoryLedgerState()
  memory.facts.set(lastRevocation, String(options.revocations))
  const room = yield* makeMailRoom(options).pipe(Effect.provide(MemoryLedger.layerOver(memory)))

  return {
    ...room,

    /** The limit is that of `km-send`. */
    send: Effect.fnUntraced(function*(letter: DeskLetter, how: SendOptions) {
      const bytes = letter.attachments.reduce((sum, part) => sum + part.bytes.length, Buffer.byteLength(letter.body))
      if (bytes > defaultMaxContentBytes) {
        return yield* postRefused(
          "KM-EML-105",
          `text and attachments have ${bytes} bytes; at most ${defaultMaxContentBytes}`
        )
      }
      const attachments = letter.attachments.map((part) => ({ ...part, type: attachmentType(part.name) }))
      return yield* room.send({ ...letter, attachments }, how)
    }),

    /** Which of these, by id, alias or address, would put this owner's mail into quarantine, as their profiles are now. */
    refusing: Effect.fnUntraced(function*(names: ReadonlyArray<string>) {
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
      const refusing = found.flatMap(Option.toArray).filter(({ id, profile }) =>
        !allowsSender(profile.spec.email.allowedSenders, proven, id)
      )
      return [...new Set(refusing.map(({ id }) => id))]
    }),

    /** Judges and files all that came and that nobody else is judging. */
    judgeAll: Effect.gen(function*() {
      for (;;) {
        const leased = yield* mailbox.lease(options.owner, visibility)
        if (Option.isNone(leased)) return
        yield* room.judge(leased.value)
      }
    }),

    /** Names of the files that were written. */
    saveAttachments: Effect.fnUntraced(
      function*(delivery: string, judged: Judged, receivedAt: number, directory: string) {
        const parts = judged.attachments.length === 0 ? [] : yield* room.attachments(delivery, judged, receivedAt)
        return yield* Effect.try({
          try: () => savedAttachments(directory, parts),
          catch: (cause) => postRefused("KM-EML-109", cause instanceof Error ? cause.message : directory)
        })
      }
    )
  }
})
