/** What the mail codec refuses to write, what it refuses to read, and what it tells people then. */
import * as Schema from "effect/Schema"

/** Why a message was not built. Nothing was signed when one of these is returned. */
export const RefusalReason = Schema.Literals([
  "bad-address",
  "no-recipient",
  "too-many-recipients",
  "bad-header",
  "bad-attachment",
  "bad-text",
  "bad-lifetime",
  "forbidden-body",
  "too-large",
  "no-encryption-key"
])
export type RefusalReason = typeof RefusalReason.Type

/** The draft cannot become a message; `detail` names the field and never quotes its content. */
export class MailRefused extends Schema.TaggedError<MailRefused>()("MailRefused", {
  reason: RefusalReason,
  detail: Schema.String
}) {
  /** The stable code that a person sees. */
  get code(): string {
    return refusalCodes[this.reason]
  }
  override get message(): string {
    return `${this.code}: ${this.detail}`
  }
}

/** Why bytes could not be read as a message at all. */
export const MalformedReason = Schema.Literals([
  "empty",
  "too-large",
  "too-deep",
  "too-many-parts",
  "too-slow",
  "broken"
])
export type MalformedReason = typeof MalformedReason.Type

/** The bytes are no message within the limits. The reader keeps them for quarantine; nothing of them is shown. */
export class MalformedMail extends Schema.TaggedError<MalformedMail>()("MalformedMail", {
  reason: MalformedReason,
  detail: Schema.String
}) {
  override get message(): string {
    return `KM-EML-020: the message cannot be read (${this.reason}): ${this.detail}`
  }
}

/** The identity directory contradicts what its certifier signed: somebody removed or changed a row. */
export class DirectoryTampered extends Schema.TaggedError<DirectoryTampered>()("DirectoryTampered", {
  reason: Schema.Literals(["bad-signature", "missing-revocation", "rolled-back"]),
  detail: Schema.String
}) {
  override get message(): string {
    return `KM-EML-030: the identity directory cannot be trusted (${this.reason}): ${this.detail}`
  }
}

const refusalCodes: Readonly<Record<RefusalReason, string>> = {
  "bad-address": "KM-EML-001",
  "no-recipient": "KM-EML-002",
  "too-many-recipients": "KM-EML-003",
  "bad-header": "KM-EML-004",
  "bad-attachment": "KM-EML-005",
  "bad-text": "KM-EML-006",
  "bad-lifetime": "KM-EML-007",
  "forbidden-body": "KM-EML-008",
  "too-large": "KM-EML-009",
  "no-encryption-key": "KM-EML-010"
}

/** The codes of this module, for `docs/errors.md`. */
export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> = [
  {
    code: "KM-EML-001",
    what: "A mail address is not one that can be written to: it must be plain ASCII, `name@domain`.",
    remedy: "Correct the address; write an international domain in its `xn--` form."
  },
  { code: "KM-EML-002", what: "The message names nobody to send it to.", remedy: "Give at least one `--to`." },
  {
    code: "KM-EML-003",
    what: "The message has more recipients than one message may have.",
    remedy: "Send it in several messages; the refusal names the limit."
  },
  {
    code: "KM-EML-004",
    what: "A header value (subject, name, message id) has line breaks, control characters or too many characters.",
    remedy: "Put the text on one line, or move it into the body."
  },
  {
    code: "KM-EML-005",
    what: "An attachment's name or type cannot be carried by mail.",
    remedy: "Use a plain file name without `/` or `\\`, and a type such as application/octet-stream."
  },
  {
    code: "KM-EML-006",
    what: "The body is not valid Unicode text.",
    remedy: "Convert the text to UTF-8, or send the bytes as an attachment."
  },
  {
    code: "KM-EML-007",
    what: "The message would expire before it is written, or live longer than messages may.",
    remedy: "Choose an expiry within the limit that the refusal names."
  },
  {
    code: "KM-EML-008",
    what: "The body looks like something else that is signed with the same key, so it is never signed as mail.",
    remedy: "Start the body with another line, or send the text as an attachment."
  },
  {
    code: "KM-EML-009",
    what: "The message is larger than the transport takes.",
    remedy: "Send less, or in several messages; the refusal names the limit."
  },
  {
    code: "KM-EML-010",
    what: "Encryption is required, and a recipient or the sender has no encryption key. Nothing was sent.",
    remedy: "Have the recipient created with `email.encryption`, or leave the recipient out."
  },
  {
    code: "KM-EML-020",
    what: "A received message is broken or exceeds a limit; it is in quarantine.",
    remedy: "Look at it with `km email quarantine`; ask the sender to send it again."
  },
  {
    code: "KM-EML-030",
    what: "The identity directory was changed by someone who is not the certifier; no mail is accepted meanwhile.",
    remedy: "Run `km identity verify`, restore what it names, and look for who can write the directory."
  }
]
