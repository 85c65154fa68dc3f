/** Mail between agents: takes what the agent writes, judges what arrives, and tells the sandbox's channel about it. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Judged } from "../../runtime/domain/JudgedMail.ts"
import { EmailSpec } from "../../runtime/domain/Profile.ts"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import type { Identities } from "../../runtime/ports/Identities.ts"
import type { Ledger } from "../../runtime/ports/Ledger.ts"
import { Mailbox, type Mailer, MailSetup } from "../../runtime/ports/Mail.ts"
import { type Plugin, PluginError, PluginId } from "../../runtime/ports/Plugin.ts"
import { Redaction } from "../../runtime/ports/Redaction.ts"
import type { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { SandboxInfo } from "../../runtime/ports/SandboxInfo.ts"
import type { Secrets } from "../../runtime/ports/Secrets.ts"
import { makeMailRoom } from "./MailRoom.ts"
import { listen } from "./MailSocket.ts"

export const EmailConfig = Schema.Struct({ slack: Schema.Boolean, email: EmailSpec })
export type EmailConfig = typeof EmailConfig.Type

export type EmailPorts =
  | Bridge
  | Identities
  | Ledger
  | Mailbox
  | Mailer
  | MailSetup
  | Redaction
  | Sandboxes
  | SandboxInfo
  | Secrets

const id = PluginId.make("email")

/** Longer than judging the largest message takes; after a crash the message waits this long. */
const visibility = Duration.seconds(30)
/** Without a ring the mailbox is looked at anyway, and after a failure it is tried again. */
const lookAgain = Duration.seconds(5)

const shown = (text: string): string => text.replaceAll(/[`*_~<>|\n\r]/g, " ").slice(0, 150)

const line = (judged: Judged, folder: "inbox" | "quarantine"): string =>
  folder === "inbox"
    ? `📬 Mail from \`${shown(judged.from)}\` (${judged.status}): ${shown(judged.subject)}`
    : `📭 Mail that claims to be from \`${shown(judged.from)}\` is in quarantine: ${judged.status}, ${judged.reason}`

const failed = (operation: string) => (error: { readonly message: string }) =>
  new PluginError({ plugin: id, operation, reason: "Unavailable", detail: error.message })

export const EmailPlugin: Plugin<EmailConfig, EmailPorts> = {
  id,
  after: [],
  essential: false,
  enabled: ({ spec }) => spec.cli.notifyEmailEnabled,
  config: EmailConfig,
  configure: ({ spec }) => ({ slack: spec.cli.notifySlackEnabled, email: spec.email }),
  start: () => Effect.succeed({}),
  run: Effect.fnUntraced(function*({ email, slack }) {
    const bridge = yield* Bridge
    const info = yield* SandboxInfo
    const mailbox = yield* Mailbox
    const redaction = yield* Redaction
    const setup = yield* MailSetup
    const room = yield* makeMailRoom({
      owner: info.id,
      install: info.install,
      certifierPublicKey: setup.certifierPublicKey,
      domain: setup.domain,
      name: info.label === info.id ? "" : info.label,
      policy: email
    })
    yield* Effect.mapError(listen(setup.socket, info.id, room), failed("listen"))

    const tell = Effect.fnUntraced(function*(delivery: string, judged: Judged, folder: "inbox" | "quarantine") {
      if (!slack || info.channel === undefined) return
      yield* bridge.call({
        key: `${info.id}/mail/${delivery}`,
        action: { action: "post", channel: info.channel, markdown: redaction.redact(line(judged, folder)) }
      }).pipe(Effect.catch((error) => Effect.logWarning("the channel was not told of a mail", error.message)))
    })

    /** True when there may be another one. */
    const judgeNext = Effect.gen(function*() {
      const leased = yield* mailbox.lease(info.id, visibility)
      if (Option.isNone(leased)) return false
      const judged = yield* room.judge(leased.value)
      if (judged !== undefined) {
        yield* Effect.logInfo("mail filed").pipe(
          Effect.annotateLogs({ folder: judged.folder, status: judged.judged.status, reason: judged.judged.reason })
        )
        yield* Effect.forkScoped(tell(judged.delivery, judged.judged, judged.folder))
      }
      return true
    }).pipe(
      // Nothing is lost: the lease lapses and the message comes again.
      Effect.catch((error) => Effect.as(Effect.logError("mail waits", error.message), false))
    )

    const bell = mailbox.bell(info.id)
    return yield* Effect.forever(Effect.gen(function*() {
      const count = bell.count()
      if (!(yield* judgeNext)) yield* bell.wait(count, lookAgain)
    }))
  })
}
