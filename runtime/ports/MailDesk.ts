/**
 * A mailbox as commands and schedules use it, in a process that lives for one command: mail is judged when somebody looks.
 * How mail is written and read is a plugin's, which gives this to the composition roots by `plugins/index.ts`.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { OlderSender } from "../domain/install/Install.ts"
import type { Judged, MailSummary } from "../domain/mail/JudgedMail.ts"
import type { Profile } from "../domain/profile/Profile.ts"
import type { InstallName, SandboxId, SenderId } from "../domain/sandbox/Ids.ts"
import type { Identities } from "./Identities.ts"
import type { FiledMail, Mailbox, Mailer, MailFolder, MailRelay } from "./Mail.ts"
import type { Sandboxes } from "./Sandboxes.ts"
import type { Secrets } from "./Secrets.ts"

/** Why something of mail was not done, as the agent's own programs say it: `exit` is the exit code, 1 to 7. */
export class MailTrouble extends Schema.TaggedError<MailTrouble>()("MailTrouble", {
  code: Schema.String,
  exit: Schema.Int,
  what: Schema.String,
  why: Schema.String,
  next: Schema.String
}) {
  override get message(): string {
    return `${this.code}: ${this.what}: ${this.why}`
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
  /** Ids of sandboxes, and addresses outside of the install. */
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

export interface MailDesk<E = MailTrouble> {
  /** All recipients or none; `dryRun` does everything but the delivery. */
  readonly send: (letter: DeskLetter, how: { readonly dryRun?: boolean }) => Effect.Effect<SentMail, E>
  /** Ids of those who would put mail of this owner into quarantine, as their profiles are now. */
  readonly refusing: (names: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<SandboxId>, E>
  /** Judges and files what came; safe in two processes at once. Only for an owner without a runtime. */
  readonly judgeAll: Effect.Effect<void, E>
  /** Newest first; an empty page is the end. `before` is a `seq`. */
  readonly list: (
    folder: MailFolder,
    page: { readonly limit: number; readonly unreadOnly?: boolean; readonly before?: number }
  ) => Effect.Effect<ReadonlyArray<ListedMail>, E>
  /** The first verified reply of each recipient to a message of ours, oldest first; who has not answered, or never will. */
  readonly replies: (messageId: string) => Effect.Effect<
    {
      readonly found: ReadonlyArray<FiledJudged>
      readonly missing: ReadonlyArray<string>
      readonly gone: ReadonlyArray<string>
    },
    E
  >
  readonly get: (delivery: string) => Effect.Effect<FiledJudged, E>
  /**
   * Lets a message of quarantine into the inbox, by whoever judges this owner's mail, which then goes the way of all mail
   * that is let in. Its status stays; its reason begins with `released: `. Without effect once it is released.
   */
  readonly release: (delivery: string) => Effect.Effect<void, E>
  readonly raw: (delivery: string) => Effect.Effect<Uint8Array, E>
  /** Names of the files written; never over a file that is there. */
  readonly saveAttachments: (
    delivery: string,
    judged: Judged,
    receivedAt: number,
    directory: string
  ) => Effect.Effect<ReadonlyArray<string>, E>
}

/** Whose mailbox, and by which rules its mail is judged and written. */
export interface MailDeskOptions {
  readonly owner: SenderId
  readonly install: InstallName
  /** 32 raw bytes, pinned. */
  readonly certifierPublicKey: Uint8Array
  /** Of the install's addresses. */
  readonly domain: string
  readonly v1Senders?: ReadonlyArray<OlderSender>
  /** Shown beside the address; empty for none. */
  readonly name: string
  readonly policy: Profile["spec"]["email"]
  /** Absent: recipients outside of the install are refused. */
  readonly relay?: MailRelay
  /** The highest revocation that was ever made here; a directory with fewer was changed. */
  readonly revocations: number
}

/** Opens a desk, with the keys as they are now. */
export type MakeMailDesk = (
  options: MailDeskOptions
) => Effect.Effect<MailDesk, MailTrouble, Identities | Mailbox | Mailer | Sandboxes | Secrets>
