/** Mail between agents: takes what the agent writes, judges what arrives, and tells the sandbox's channel about it. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { defaultMailDomain, operatorAddress } from "../../runtime/domain/identity/MailIdentity.ts"
import { relayOf } from "../../runtime/domain/mail/SmtpSettings.ts"
import { EmailSpec } from "../../runtime/domain/profile/Profile.ts"
import type { SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { AgentPrograms } from "../../runtime/ports/AgentPrograms.ts"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import { Controls, isStopRequest, type StopRequest } from "../../runtime/ports/Controls.ts"
import type { Identities } from "../../runtime/ports/Identities.ts"
import { Ledger } from "../../runtime/ports/Ledger.ts"
import { Mailbox, type Mailer } from "../../runtime/ports/Mail.ts"
import { type Plugin, PluginError, PluginId } from "../../runtime/ports/Plugin.ts"
import { Redaction } from "../../runtime/ports/Redaction.ts"
import type { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { SandboxInfo } from "../../runtime/ports/SandboxInfo.ts"
import type { Secrets } from "../../runtime/ports/Secrets.ts"
import { ThisInstall } from "../../runtime/ports/ThisInstall.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { Turns } from "../../runtime/ports/Turns.ts"
import { unending } from "../../runtime/ports/Unending.ts"
import { makeAnnouncer } from "./Announcer.ts"
import { makeMailAccount } from "./MailAccount.ts"
import { makeMailOrigin, RunningMail } from "./MailOrigin.ts"
import { listen } from "./MailSocket.ts"
import { type AdmittedMail, isAwaited, mailOriginOf, maxTurnsInHand, mayStartTurn, requestOf } from "./MailTurns.ts"
import { makeOwedTurn } from "./OwedTurn.ts"
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
  | AgentPrograms
  | Bridge
  | Controls
  | Identities
  | ThisInstall
  | Ledger
  | Mailbox
  | Mailer
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

const below = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

/** Both share code with the plugin, which is all that they need of the source tree. */
const programs = ["send", "recv"].map((name) => ({
  name: `km-${name}`,
  source: below(`./${name}/main.ts`),
  folder: below("./").replace(/\/$/, "")
}))

const failed = (operation: string) => (error: { readonly message: string }) =>
  new PluginError({ plugin: id, operation, reason: "Unavailable", detail: error.message })

/** `km stop` where no chat serves it: every turn of mail is in the pipeline from the moment that it is taken. */
const serveStops = (
  sandbox: SandboxId,
  { controls, turns }: { readonly controls: Controls["Service"]; readonly turns: Turns["Service"] }
) => {
  const serve = Effect.fnUntraced(function*({ by, group, id: request, turn }: StopRequest) {
    const target = { ...(turn === undefined ? {} : { turn }), ...(group === undefined ? {} : { group }) }
    const stopped = yield* turns.stop(target, by)
    yield* Effect.logInfo("stop requested").pipe(Effect.annotateLogs({ ...target, stopped }))
    yield* controls.acknowledge(sandbox, request)
  })
  return unending(
    "serving a stop request ended in a defect; it is tried again",
    lookAgain,
    controls.watch(sandbox).pipe(
      Stream.filter(isStopRequest),
      Stream.runForEach(serve),
      Effect.catch((error) => Effect.logWarning("stop requests cannot be read yet", error.message)),
      Effect.andThen(Effect.sleep(lookAgain))
    )
  )
}

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
    const { email, slack } = config
    const bridge = yield* Bridge
    const controls = yield* Controls
    const info = yield* SandboxInfo
    const thisInstall = yield* ThisInstall
    const ledger = yield* Ledger
    const mailbox = yield* Mailbox
    const queue = yield* TurnQueue
    const redaction = yield* Redaction
    const turns = yield* Turns
    const domain = thisInstall.mailDomain ?? defaultMailDomain(info.install)
    const relay = relayOf(thisInstall)
    const account = yield* makeMailAccount({
      owner: info.id,
      install: info.install,
      certifierPublicKey: Buffer.from(thisInstall.certifierPublicKey, "base64"),
      domain,
      name: info.label === info.id ? "" : info.label,
      policy: email,
      v1Senders: thisInstall.v1Senders ?? [],
      ...(relay === undefined ? {} : { relay })
    })
    const running = new RunningMail()
    // Started by an earlier life of this plugin.
    for (const row of yield* Effect.mapError(ledger.open, failed("start"))) {
      if (mailOriginOf(row.request.origin) !== undefined && row.state === "running") running.begin(row)
    }
    const { contribution, directory } = yield* Effect.mapError(
      (yield* AgentPrograms).place("mail", programs),
      failed("start")
    )
    const socket = path.join(directory, "mail.sock")
    yield* Effect.mapError(listen(socket, info.id, account, () => running.hop), failed("listen"))

    const channel = slack ? info.channel : undefined
    const announcer = makeAnnouncer({ owner: info.id, channel, bridge, redaction, list: account.list })

    const owed = makeOwedTurn({ owner: info.id, ledger, mailbox, turns })

    /** Before the mail is filed: its turn is owed from then on. */
    const oweTurn = Effect.fnUntraced(function*(mail: AdmittedMail) {
      const { judged, receivedAt, verdict } = mail
      if (email.onReceive !== "turn") return ""
      const sent = judged.inReplyTo === null ? undefined : yield* account.sent(judged.inReplyTo)
      if (!mayStartTurn(email.onReceive, mail, isAwaited(sent, verdict.sender, receivedAt))) return ""
      const request = requestOf(info.id, mail, sent !== undefined)
      if (request === undefined) return ""
      const { open } = yield* turns.health
      if (open >= maxTurnsInHand && Option.isNone(yield* ledger.get(request.key))) return "too-many"
      yield* owed.owe(request)
      return ""
    })

    const judgeNext = Effect.gen(function*() {
      yield* owed.settle
      const leased = yield* mailbox.lease(info.id, visibility, patience)
      if (Option.isNone(leased)) return
      const filed = yield* account.judge(leased.value, oweTurn)
      if (filed === undefined) return
      yield* Effect.logInfo("mail filed").pipe(
        Effect.annotateLogs({ folder: filed.folder, status: filed.judged.status, reason: filed.judged.reason })
      )
      yield* announcer.filed(filed)
      yield* owed.settle
    }).pipe(
      Effect.catch((error) =>
        Effect.gen(function*() {
          // Nothing is lost: the lease lapses and the message comes again; a turn that is owed is tried first.
          yield* Effect.logError("mail waits", error.message)
          // No turn can be taken now; the next mail must not overtake this one.
          const full = error._tag === "StoreError" && (error.port === "Turns" || error.port === "Ledger")
          if (full) yield* Effect.ignore(mailbox.release(info.id))
          yield* Effect.sleep(lookAgain)
        })
      )
    )

    const run = Effect.gen(function*() {
      // Leases of an earlier life: no other runtime reads this mailbox.
      yield* Effect.mapError(mailbox.release(info.id), failed("run"))
      yield* Effect.forkScoped(announcer.again)
      if (config.alone) yield* Effect.forkScoped(serveStops(info.id, { controls, turns }))
      if (config.alone && email.onReceive === "turn") yield* Effect.forkScoped(takeReplays(info.id, { queue, turns }))
      // The lease lapses, so that a mail that ends in a defect comes again and does not hold up the next one.
      return yield* unending("judging a mail ended in a defect; it comes again", lookAgain, judgeNext)
    })

    return {
      run,
      origin: makeMailOrigin({
        owner: info.id,
        account,
        mailbox,
        queue,
        bridge,
        redaction,
        channel,
        transcript: config.transcript,
        announced: announcer.lineOf
      }, running),
      agent: {
        ...contribution,
        // The second is the reference's name, for scripts that have it.
        env: { KM_MAIL_SOCKET: socket, KM_OPERATOR_EMAIL: operatorAddress(info.install, thisInstall.mailDomain) }
      },
      detail: Effect.sync(() => email.onReceive === "turn" ? `${running.count} turns of mail running` : "")
    }
  })
}
