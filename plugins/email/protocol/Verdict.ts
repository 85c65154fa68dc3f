/** What reading a message comes to, and what a profile's `verifyInbound` makes of it. */
import type { SenderId } from "../../../runtime/domain/sandbox/Ids.ts"
import type { MailReason, MailStatus } from "./wire.ts"

export interface ReadAttachment {
  readonly name: string
  readonly type: string
  readonly size: number
  /** Lower-case hex. */
  readonly sha256: string
  readonly bytes: Uint8Array
}

/**
 * The message as it may be shown. For `verified` every field is the signed one; for `verified-v1` only `text` is; for
 * everything else all of it is somebody's claim.
 */
export interface ReadMail {
  readonly id: string | null
  readonly from: { readonly address: string; readonly name: string }
  readonly to: ReadonlyArray<string>
  readonly cc: ReadonlyArray<string>
  readonly replyTo: string | null
  readonly subject: string
  readonly inReplyTo: string | null
  readonly references: ReadonlyArray<string>
  /** Unix seconds; `null` when no signature vouches for it. */
  readonly created: number | null
  readonly hop: number
  readonly text: string
  readonly attachments: ReadonlyArray<ReadAttachment>
}

export interface Verdict {
  readonly status: MailStatus
  readonly reason: MailReason
  /** The form that was read; `none` for mail without any of our headers, or no mail at all. */
  readonly form: "v2" | "v1" | "none"
  /** Whoever wrote it, when that is proven (`verified`, `verified-v1`, `replayed`, `encrypted-unreadable`). */
  readonly sender: SenderId | undefined
  /** The strongest form that the claimed sender promises; `undefined` when the claimed sender is unknown. */
  readonly promised: "v2" | "v1" | "unsigned" | undefined
  readonly encrypted: boolean
  /** The same copy was verified before: drop it, it is no new message. */
  readonly duplicate: boolean
  /** `undefined` when the bytes are no message. */
  readonly mail: ReadMail | undefined
}

export type VerifyInbound = "required" | "optional" | "off"

/**
 * Whether the message reaches the inbox; what does not, goes to quarantine with its status and reason.
 *
 * `required` takes what is proven in the form that its sender promises. `optional` also takes mail of strangers, which
 * claims nothing, but none that claims and fails. `off` takes everything, status and all.
 */
export const admits = (policy: VerifyInbound, verdict: Verdict): boolean => {
  if (policy === "off") return true
  if (verdict.status === "verified") return true
  if (verdict.status === "verified-v1") return policy === "optional" || verdict.promised === "v1"
  return policy === "optional"
    && (verdict.status === "unsigned" || verdict.status === "unknown-sender" ||
      verdict.status === "encrypted-unreadable")
}
