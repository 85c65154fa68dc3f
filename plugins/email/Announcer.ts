/** Tells the sandbox's channel of mail: a line for each, at a pace that Slack and people can follow. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Judged } from "../../runtime/domain/mail/JudgedMail.ts"
import type { ChannelId, SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { foreignAddress, foreignLine } from "../../runtime/domain/text/ForeignText.ts"
import type { Bridge } from "../../runtime/ports/Bridge.ts"
import type { Redaction } from "../../runtime/ports/Redaction.ts"
import { AnnouncementPace } from "./AnnouncementPace.ts"
import type { MailAccount } from "./MailAccount.ts"
import type { MailOrigin } from "./MailTurns.ts"

/** Characters of an address or a subject in a line of the channel. */
const shownCharacters = 150

/** Inert, and no Markdown. */
const shown = (text: string): string => foreignLine(text, shownCharacters).replaceAll(/[`*_~<>|[\]()!]/g, " ")

/** At a start this many of the newest messages of a folder are announced again, when they came within a day. */
const toldAgain = 20
const toldAgainMillis = 24 * 3_600_000

type Announced = Pick<Judged, "from" | "reason" | "status" | "subject">

const line = (judged: Announced, folder: "inbox" | "quarantine"): string =>
  folder === "inbox"
    ? `📬 Mail from \`${shown(foreignAddress(judged.from))}\` (${judged.status}): ${shown(judged.subject)}`
    : `📭 Mail that claims to be from \`${
      shown(foreignAddress(judged.from))
    }\` is in quarantine: ${judged.status}, ${judged.reason}`

const moreMail = (owner: SandboxId): string =>
  `📬 More mail arrives than is told of here one by one. \`km email list ${owner}\` shows all of it.`

/** Asked for again with the same key and text, the bridge says where the line is. */
const announcement = (owner: SandboxId, delivery: string, markdown: string) => ({
  key: `${owner}/mail/${delivery}`,
  markdown
})

export interface AnnouncerDeps {
  readonly owner: SandboxId
  /** None: nobody is told. */
  readonly channel: ChannelId | undefined
  readonly bridge: Bridge["Service"]
  readonly redaction: Redaction["Service"]
  readonly list: MailAccount["list"]
}

export const makeAnnouncer = ({ bridge, channel, list, owner, redaction }: AnnouncerDeps) => {
  const pace = new AnnouncementPace()

  const tell = Effect.fnUntraced(function*(
    delivery: string,
    judged: Announced,
    folder: "inbox" | "quarantine",
    how: "line" | "summary" = "line"
  ) {
    if (channel === undefined) return
    const { key, markdown } = how === "line"
      ? announcement(owner, delivery, line(judged, folder))
      : { key: `${owner}/mail-more/${delivery}`, markdown: moreMail(owner) }
    yield* bridge.call({
      key,
      action: { action: "post", channel, markdown: redaction.redact(markdown) }
    }).pipe(Effect.catch((error) => Effect.logWarning("the channel was not told of a mail", error.message)))
  })

  return {
    /** Returns at once; the line is posted beside what goes on, and given up with the scope. */
    filed: Effect.fnUntraced(function*(mail: {
      readonly delivery: string
      readonly judged: Judged
      readonly folder: "inbox" | "quarantine"
    }) {
      const how = pace.next(yield* Clock.currentTimeMillis)
      if (how !== "none") yield* Effect.forkScoped(tell(mail.delivery, mail.judged, mail.folder, how))
    }),

    /** What was filed just before an earlier life ended may not have been announced; a second time changes nothing. */
    again: Effect.gen(function*() {
      if (channel === undefined) return
      const since = (yield* Clock.currentTimeMillis) - toldAgainMillis
      for (const folder of ["inbox", "quarantine"] as const) {
        for (const { judged, row } of yield* list(folder, { limit: toldAgain })) {
          if (row.receivedAt >= since) yield* tell(row.id, judged, folder)
        }
      }
    }).pipe(Effect.catch((error) => Effect.logWarning("older mail was not announced again", error.message))),

    /** The line that announces the mail of a turn: its idempotency key and its text. */
    lineOf: ({ address, delivery, subject }: MailOrigin) =>
      announcement(owner, delivery, line({ from: address, reason: "", status: "verified", subject }, "inbox"))
  }
}
