/** Mail between agents: takes what the agent writes, judges what arrives, and tells the sandbox's channel about it. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Judged } from "../../runtime/domain/mail/JudgedMail.ts"
import { EmailSpec } from "../../runtime/domain/profile/Profile.ts"
import type { SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { foreignAddress, foreignLine } from "../../runtime/domain/text/ForeignText.ts"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import { Controls, type StopRequest } from "../../runtime/ports/Controls.ts"
import type { Identities } from "../../runtime/ports/Identities.ts"
import { Ledger } from "../../runtime/ports/Ledger.ts"
import { Mailbox, type Mailer, MailSetup } from "../../runtime/ports/Mail.ts"
import { type Plugin, PluginError, PluginId } from "../../runtime/ports/Plugin.ts"
import { Redaction } from "../../runtime/ports/Redaction.ts"
import type { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { SandboxInfo } from "../../runtime/ports/SandboxInfo.ts"
import type { Secrets } from "../../runtime/ports/Secrets.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { Turns } from "../../runtime/ports/Turns.ts"
import { unending } from "../../runtime/ports/Unending.ts"
import { AnnouncementPace } from "./AnnouncementPace.ts"
import { makeMailOrigin, RunningMail } from "./MailOrigin.ts"
import { makeMailRoom } from "./MailRoom.ts"
import { listen } from "./MailSocket.ts"
import { type AdmittedMail, isAwaited, maxOpenTurns, mayStartTurn, requestOf } from "./MailTurns.ts"
import { takeReplays } from "./Replays.ts"

export const EmailConfig = Schema.Struct({
  slack: Schema.Boolean,
  /** Turns are shown live in the channel. */
  transcript: Schema.Boolean,
  /** Nobody else serves requests to stop, or replays. */
  alone: Schema.Boolean,
  email: EmailSpec
})
export type EmailConfig = typeof EmailConfig.Type

export type EmailPorts =
  | Bridge
  | Controls
  | Identities
  | Ledger
  | Mailbox
  | Mailer
  | MailSetup
  | Redaction
  | Sandboxes
  | SandboxInfo
  | Secrets
  | TurnQueue
  | Turns

const id = PluginId.make("email")

/** Longer than judging the largest message takes; after a crash the message waits this long. */
const visibility = Duration.seconds(30)
/** How long one look waits for mail. */
const patience = Duration.seconds(20)
/** After a failure it is tried again. */
const lookAgain = Duration.seconds(5)

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

const failed = (operation: string) => (error: { readonly message: string }) =>
  new PluginError({ plugin: id, operation, reason: "Unavailable", detail: error.message })

/** Rooms live as long as the plugin: its origin, made at the start, and its loop use the same one. */
const makeRoom = Effect.fnUntraced(function*({ email }: EmailConfig) {
  const info = yield* SandboxInfo
  const setup = yield* MailSetup
  return yield* makeMailRoom({
    owner: info.id,
    install: info.install,
    certifierPublicKey: setup.certifierPublicKey,
    domain: setup.domain,
    name: info.label === info.id ? "" : info.label,
    policy: email,
    v1Senders: setup.v1Senders ?? [],
    ...(setup.relay === undefined ? {} : { relay: setup.relay })
  })
})

/** `km stop` where no chat serves it: every turn of mail is in the pipeline from the moment that it is taken. */
const serveStops = Effect.fnUntraced(function*(sandbox: SandboxId) {
  const controls = yield* Controls
  const turns = yield* Turns
  const serve = Effect.fnUntraced(function*({ by, group, id: request, turn }: StopRequest) {
    const target = { ...(turn === undefined ? {} : { turn }), ...(group === undefined ? {} : { group }) }
    const stopped = yield* turns.stop(target, by)
    yield* Effect.logInfo("stop requested").pipe(Effect.annotateLogs({ ...target, stopped }))
    yield* controls.acknowledge(sandbox, request)
  })
  return yield* unending(
    "serving a stop request ended in a defect; it is tried again",
    lookAgain,
    controls.watch(sandbox).pipe(
      Stream.runForEach(serve),
      Effect.catch((error) => Effect.logWarning("stop requests cannot be read yet", error.message)),
      Effect.andThen(Effect.sleep(lookAgain))
    )
  )
})

export const EmailPlugin: Plugin<EmailConfig, EmailPorts> = {
  id,
  after: [],
  essential: false,
  enabled: ({ spec }) => spec.cli.notifyEmailEnabled,
  config: EmailConfig,
  configure: ({ spec: { cli, email } }) => ({
    slack: cli.notifySlackEnabled,
    transcript: cli.notifySlackEnabled && cli.notifySlackTranscriptEnabled,
    alone: !(cli.notifySlackEnabled && cli.notifySlackInboundEnabled),
    email
  }),
  start: Effect.fn("EmailPlugin.start")(function*(config) {
    const info = yield* SandboxInfo
    const setup = yield* MailSetup
    const room = yield* makeRoom(config)
    const running = new RunningMail()
    const open = yield* Effect.mapError((yield* Ledger).open, failed("start"))
    // Started by an earlier life of this plugin.
    for (const row of open) {
      if (row.request.origin.kind === "mail" && row.state === "running") running.begin(row)
    }
    yield* Effect.mapError(listen(setup.socket, info.id, room, () => running.hop), failed("listen"))
    return {
      origin: makeMailOrigin({
        owner: info.id,
        room,
        mailbox: yield* Mailbox,
        queue: yield* TurnQueue,
        bridge: yield* Bridge,
        redaction: yield* Redaction,
        channel: config.slack ? info.channel : undefined,
        transcript: config.transcript,
        announced: (mail) =>
          announcement(
            info.id,
            mail.delivery,
            line({ from: mail.address, reason: "", status: "verified", subject: mail.subject }, "inbox")
          )
      }, running),
      detail: Effect.sync(() => config.email.onReceive === "turn" ? `${running.count} turns of mail running` : "")
    }
  }),
  run: Effect.fnUntraced(function*(config) {
    const { email, slack } = config
    const bridge = yield* Bridge
    const info = yield* SandboxInfo
    const mailbox = yield* Mailbox
    const redaction = yield* Redaction
    const ledger = yield* Ledger
    const turns = yield* Turns
    const room = yield* makeRoom(config)
    const pace = new AnnouncementPace()

    const tell = Effect.fnUntraced(function*(
      delivery: string,
      judged: Announced,
      folder: "inbox" | "quarantine",
      how: "line" | "summary" = "line"
    ) {
      if (!slack || info.channel === undefined) return
      const { key, markdown } = how === "line"
        ? announcement(info.id, delivery, line(judged, folder))
        : { key: `${info.id}/mail-more/${delivery}`, markdown: moreMail(info.id) }
      yield* bridge.call({
        key,
        action: { action: "post", channel: info.channel, markdown: redaction.redact(markdown) }
      }).pipe(Effect.catch((error) => Effect.logWarning("the channel was not told of a mail", error.message)))
    })

    /** Before the mail is filed: the ledger has the turn first, and knows it again when the mail is judged again. */
    const startTurn = Effect.fnUntraced(function*(mail: AdmittedMail) {
      const { judged, receivedAt, verdict } = mail
      if (email.onReceive !== "turn") return ""
      const sent = judged.inReplyTo === null ? undefined : yield* room.sent(judged.inReplyTo)
      if (!mayStartTurn(email.onReceive, mail, isAwaited(sent, verdict.sender, receivedAt))) return ""
      const request = requestOf(info.id, mail, sent !== undefined)
      if (request === undefined) return ""
      const { open } = yield* turns.health
      if (open >= maxOpenTurns && Option.isNone(yield* ledger.get(request.key))) return "too-many"
      const taken = yield* turns.submit(request, undefined)
      yield* Effect.logInfo("a mail starts a turn").pipe(Effect.annotateLogs({ turn: request.key, taken }))
      return ""
    })

    const judgeNext = Effect.gen(function*() {
      const leased = yield* mailbox.lease(info.id, visibility, patience)
      if (Option.isNone(leased)) return
      const judged = yield* room.judge(leased.value, startTurn)
      if (judged !== undefined) {
        yield* Effect.logInfo("mail filed").pipe(
          Effect.annotateLogs({ folder: judged.folder, status: judged.judged.status, reason: judged.judged.reason })
        )
        const how = pace.next(yield* Clock.currentTimeMillis)
        if (how !== "none") yield* Effect.forkScoped(tell(judged.delivery, judged.judged, judged.folder, how))
      }
    }).pipe(
      Effect.catch((error) =>
        Effect.gen(function*() {
          // Nothing is lost: the lease lapses and the message comes again.
          yield* Effect.logError("mail waits", error.message)
          // No turn can be taken now; the next mail must not overtake this one.
          const full = error._tag === "StoreError" && (error.port === "Turns" || error.port === "Ledger")
          if (full) yield* Effect.ignore(mailbox.release(info.id))
          yield* Effect.sleep(lookAgain)
        })
      )
    )

    /** What was filed just before an earlier life ended may not have been announced; a second time changes nothing. */
    const tellAgain = Effect.gen(function*() {
      if (!slack || info.channel === undefined) return
      const since = (yield* Clock.currentTimeMillis) - toldAgainMillis
      for (const folder of ["inbox", "quarantine"] as const) {
        for (const { judged, row } of yield* room.list(folder, { limit: toldAgain })) {
          if (row.receivedAt >= since) yield* tell(row.id, judged, folder)
        }
      }
    }).pipe(Effect.catch((error) => Effect.logWarning("older mail was not announced again", error.message)))

    // Leases of an earlier life: no other runtime reads this mailbox.
    yield* Effect.mapError(mailbox.release(info.id), failed("run"))
    yield* Effect.forkScoped(tellAgain)
    if (config.alone) yield* Effect.forkScoped(serveStops(info.id))
    if (config.alone && email.onReceive === "turn") yield* Effect.forkScoped(takeReplays(info.id))
    // The lease lapses, so that a mail that ends in a defect comes again and does not hold up the next one.
    return yield* unending("judging a mail ended in a defect; it comes again", lookAgain, judgeNext)
  })
}
