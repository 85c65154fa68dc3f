/**
 * Mail as the operator's commands write and read it. The codec is a plugin's, which this room may not name, so the
 * composition root hands it in.
 */
import * as Effect from "effect/Effect"
import type { Install } from "../runtime/domain/install/Install.ts"
import type { Judged, MailSummary } from "../runtime/domain/mail/JudgedMail.ts"
import type { SandboxId } from "../runtime/domain/sandbox/Ids.ts"
import { ensureOperator, operatorOwner } from "../runtime/kernel/mail/OperatorMail.ts"
import type { FiledMail, MailFolder } from "../runtime/ports/Mail.ts"
import type { Backend } from "./Backend.ts"
import { KmError } from "./KmError.ts"

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

/** The operator's mail identity, made or renewed where that is due; a refusal to certify as commands tell it. */
export const ensureOperatorKeys = (backend: Pick<Backend, "makingKeys">, install: Install) =>
  ensureOperator(install, backend.makingKeys).pipe(
    Effect.catchTag("IdentityRefused", ({ code, reason, remedy }) =>
      Effect.fail(
        new KmError({ code, exit: 1, what: "the operator's keys cannot be certified", why: reason, next: remedy })
      ))
  )

/** The operator's own. */
export const operatorDesk = Effect.fn("MailDesk.operator")(
  function*(backend: Pick<Backend, "mail" | "makingKeys">, install: Install) {
    yield* ensureOperatorKeys(backend, install)
    return yield* backend.mail(install, operatorOwner)
  }
)

/** For people, before or after something is sent to those who will not take it. */
export const refusalNotes = (refusing: ReadonlyArray<SandboxId>): ReadonlyArray<string> =>
  refusing.map((id) =>
    `warning: ${id} takes no mail from the operator, so it goes to quarantine there; see allowedSenders of its profile`
  )
