/** What can go wrong between an agent's mail programs, its runtime and the mailboxes, as people see it. */
import * as Schema from "effect/Schema"
import { errorCodes as codecCodes } from "./protocol/MailErrors.ts"

const table = {
  "KM-EML-101": [
    3,
    "A recipient is nobody of this install, and there is no relay for others; nothing was sent.",
    "Use a sandbox's id, alias or address; `km list` shows them."
  ],
  "KM-EML-102": [
    6,
    "The message would be one answer too many in a row of answers; nothing was sent.",
    "Two agents may be answering each other for ever; start a new thread if that is wanted."
  ],
  "KM-EML-103": [
    6,
    "Too many messages to one recipient within a minute; this one was not sent.",
    "Wait a minute, and send less."
  ],
  "KM-EML-104": [1, "The mail store or the identity directory failed.", "Follow the reason; try again."],
  "KM-EML-105": [
    2,
    "The request or the command line is not right.",
    "See `km-send --help` or `km-recv --help`; as the operator `km email send --help`."
  ],
  "KM-EML-106": [
    3,
    "No message has this id.",
    "`km-recv --json`, or `km email list` as the operator, shows the ids of unread mail."
  ],
  "KM-EML-107": [4, "The sandbox has no mail keys.", "Create it anew with notifyEmailEnabled."],
  "KM-EML-108": [1, "The runtime of the sandbox does not answer.", "Run it inside a sandbox whose runtime is up."],
  "KM-EML-109": [1, "A file cannot be read or written.", "Check its path and rights."],
  "KM-EML-110": [7, "No message came within the time.", "Wait longer with `--wait`."],
  "KM-EML-111": [
    6,
    "A stored message was changed after it was verified, so its attachments are not given out.",
    "Ask the sender to send it again, and look for who can write the mail store."
  ],
  "KM-EML-112": [
    6,
    "The message is larger than the relay takes for recipients outside of the install; nothing was sent.",
    "Send less, or raise smtp.relay.maxBytes of install.json if the relay takes more."
  ],
  "KM-EML-113": [
    6,
    "The answer of a recipient would be quarantined, so it is not waited for; nothing was sent.",
    "Name the recipient in `spec.email.allowedSenders` of this sandbox, or send without `--wait-reply`."
  ],
  "KM-EML-114": [
    6,
    "The message is larger than this install takes; nothing was sent.",
    "Send less, or put the data where its readers can fetch it."
  ],
  "KM-EML-115": [
    6,
    "The message is not in quarantine, so there is nothing to release.",
    "`km email list` shows it, with the sandbox whose mailbox it is."
  ],
  "KM-EML-121": [
    4,
    "The sender's own mail key is not certified now, so nobody would believe the message; nothing was sent.",
    "The operator runs `km identity renew` for its id, or `km identity rotate` when the key was revoked."
  ]
} as const satisfies Record<string, readonly [number, string, string]>

export type PostCode = keyof typeof table

/** The codes of delivery, for `docs/errors.md`. */
export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> =
  Object.entries(table).map(([code, [, what, remedy]]) => ({ code, what, remedy }))

/** What an agent's program is told; `exit` is how it then ends. */
export class PostRefused extends Schema.TaggedError<PostRefused>()("PostRefused", {
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

export const postRefused = (code: PostCode, why: string): PostRefused => {
  const [exit, what, next] = table[code]
  return new PostRefused({ code, exit, what, why, next })
}

/** What a person is told, with the exit code. */
export type PostTrouble = Pick<PostRefused, "code" | "exit" | "what" | "why" | "next">

/** Any failure of mail as such a sentence: refusals of the codec have their own codes, everything else is the store's. */
export const postTrouble = (error: { readonly _tag: string; readonly message: string }): PostTrouble => {
  if (error instanceof PostRefused) return error
  const own = /^(KM-EML-\d{3}): (.*)$/s.exec(error.message)
  const [, code = "KM-EML-104", why = error.message] = own ?? []
  const refusal = codecCodes.find((known) => known.code === code)
  return refusal === undefined
    ? postRefused("KM-EML-104", error.message)
    : { code, exit: 6, what: refusal.what, why, next: refusal.remedy }
}
