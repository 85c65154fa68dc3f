/**
 * Mail as the operator's commands write and read it. The codec is a plugin's, which this room may not name, so the
 * composition root hands it in.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { SandboxId, SenderId } from "../runtime/domain/Ids.ts"
import type { Install } from "../runtime/domain/Install.ts"
import type { Judged, MailSummary } from "../runtime/domain/JudgedMail.ts"
import type { Profile } from "../runtime/domain/Profile.ts"
import { certifierKeyPath, signingKeyFromText } from "../runtime/kernel/Certifier.ts"
import { ensureOperatorMail, mailSecrets } from "../runtime/kernel/MailIdentities.ts"
import type { FiledMail, MailFolder } from "../runtime/ports/Mail.ts"
import { Secrets } from "../runtime/ports/Secrets.ts"
import type { Backend } from "./Backend.ts"
import { KmError } from "./KmError.ts"

/** Whose mailbox, and by which rules its mail is judged and written. */
export interface MailOwner {
  readonly owner: SenderId
  /** Shown beside the address; empty for none. */
  readonly name: string
  readonly policy: Profile["spec"]["email"]
}

/** Everyone of the install may write to the operator, and nobody else; what can be encrypted is. */
export const operatorOwner: MailOwner = {
  owner: "operator",
  name: "operator",
  policy: {
    signing: "required",
    verifyInbound: "required",
    encryption: "optional",
    allowedSenders: ["install"],
    onReceive: "notify"
  }
}

/** Recipients are ids, aliases or addresses; the body may have any line ends. */
export interface DeskLetter {
  readonly to: ReadonlyArray<string>
  readonly cc: ReadonlyArray<string>
  readonly bcc: ReadonlyArray<string>
  readonly subject: string
  readonly body: string
  readonly replyTo?: string
  readonly inReplyTo?: string
  /** Refuse rather than send plain text. */
  readonly encrypt: boolean
  readonly attachments: ReadonlyArray<{ readonly name: string; readonly bytes: Uint8Array }>
  /** Somebody waits so many seconds for the replies. */
  readonly awaitSeconds?: number
  /** Names the letter for good: a recipient gets one under it, however often it is sent. */
  readonly key?: string
}

export interface SentMail {
  /** As its readers see it. */
  readonly id: string
  /** Addresses. */
  readonly recipients: ReadonlyArray<string>
  readonly encrypted: boolean
  readonly hop: number
}

export interface FiledJudged {
  readonly row: FiledMail
  readonly judged: Judged
}

/** As it is listed: without its text. */
export interface ListedMail {
  readonly row: FiledMail
  readonly judged: MailSummary
}

/** Fails with the codes of `km-send` and `km-recv`, as a `KmError`. */
export interface MailDesk {
  /** All recipients or none. */
  readonly send: (letter: DeskLetter, how: { readonly dryRun?: boolean }) => Effect.Effect<SentMail, KmError>
  /** Ids of those who would put mail of this owner into quarantine, as their profiles are now. */
  readonly refusing: (names: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<SandboxId>, KmError>
  /** Judges and files what came; safe in two processes at once. Only for an owner without a runtime. */
  readonly judgeAll: Effect.Effect<void, KmError>
  /** Newest first; an empty page is the end. `before` is a `seq`. */
  readonly list: (
    folder: MailFolder,
    page: { readonly limit: number; readonly unreadOnly?: boolean; readonly before?: number }
  ) => Effect.Effect<ReadonlyArray<ListedMail>, KmError>
  /** The first verified reply of each recipient to a message of ours, oldest first; who has not answered, or never will. */
  readonly replies: (messageId: string) => Effect.Effect<
    {
      readonly found: ReadonlyArray<FiledJudged>
      readonly missing: ReadonlyArray<string>
      readonly gone: ReadonlyArray<string>
    },
    KmError
  >
  readonly get: (delivery: string) => Effect.Effect<FiledJudged, KmError>
  readonly raw: (delivery: string) => Effect.Effect<Uint8Array, KmError>
  /** Names of the files written; never over a file that is there. */
  readonly saveAttachments: (
    delivery: string,
    judged: Judged,
    receivedAt: number,
    directory: string
  ) => Effect.Effect<ReadonlyArray<string>, KmError>
}

/** Makes the operator's mail identity where an earlier version left none, and renews it when that is due. */
export const ensureOperator = Effect.fn("MailDesk.ensureOperator")(
  function*(backend: Pick<Backend, "makingKeys">, install: Install) {
    const secrets = yield* Secrets
    const text = yield* secrets.get(certifierKeyPath)
    const certifier = Option.isSome(text) ? signingKeyFromText(Redacted.value(text.value)) : undefined
    if (certifier === undefined) return
    const keys = yield* Effect.forEach(mailSecrets("operator", true), ([path]) => secrets.get(path))
    const ensure = ensureOperatorMail(certifier, install.install, install.mailDomain)
    // Two commands that each made a mailbox key could not read what the other one filed.
    yield* keys.every(Option.isSome) ? ensure : Effect.scoped(Effect.andThen(backend.makingKeys, ensure))
  },
  Effect.catchTag("IdentityRefused", ({ code, reason, remedy }) =>
    Effect.fail(
      new KmError({ code, exit: 1, what: "the operator's keys cannot be certified", why: reason, next: remedy })
    ))
)

/** The operator's own. */
export const operatorDesk = Effect.fn("MailDesk.operator")(
  function*(backend: Pick<Backend, "mail" | "makingKeys">, install: Install) {
    yield* ensureOperator(backend, install)
    return yield* backend.mail(install, operatorOwner)
  }
)

/** For people, before or after something is sent to those who will not take it. */
export const refusalNotes = (refusing: ReadonlyArray<SandboxId>): ReadonlyArray<string> =>
  refusing.map((id) =>
    `warning: ${id} takes no mail from the operator, so it goes to quarantine there; see allowedSenders of its profile`
  )
