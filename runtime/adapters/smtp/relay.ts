/** One message to the relay, by nodemailer's client, and what the relay said of each recipient. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { createTransport } from "nodemailer"
import type { SmtpRelay } from "../../domain/mail/SmtpSettings.ts"
import { foreignLine } from "../../domain/text/ForeignText.ts"
import { isLoopback } from "./loopback.ts"

/** `later`: the same may work another time. */
export interface RelayReply {
  readonly state: "sent" | "failed" | "later"
  /** For people; no secret is in it. */
  readonly reply: string
}

export interface RelayOptions extends SmtpRelay {
  /** The name that we give ourselves. */
  readonly name: string
  /** Looked up for each message, so that a new one works at once. */
  readonly password: Effect.Effect<Option.Option<Redacted.Redacted<string>>>
}

const connectMillis = 30_000
/** Of silence; RFC 5321 §4.5.3.2.6 gives a relay ten minutes for its last answer. */
const silenceMillis = 600_000
const maxReplyLength = 500

/** What nodemailer adds to its errors. */
interface Trouble {
  readonly code?: unknown
  readonly message: string
  readonly responseCode?: unknown
  readonly recipient?: unknown
  readonly rejectedErrors?: unknown
}

const troubleOf = (cause: unknown): Trouble =>
  cause instanceof Error ? cause : { message: typeof cause === "string" ? cause : "it failed without a reason" }

/** What the relay said of the message or a recipient is final from 500 on; of a login or a connection it never is. */
const isFinal = ({ code, message, responseCode }: Trouble): boolean =>
  code === "EENVELOPE" || code === "EMESSAGE"
    ? typeof responseCode === "number" ? responseCode >= 500 : /larger than allowed/.test(message)
    : false

const replyOf = (trouble: Trouble): RelayReply => ({
  state: isFinal(trouble) ? "failed" : "later",
  reply: foreignLine(trouble.message, maxReplyLength)
})

/** The replies that name their recipient. */
const byRecipient = (errors: unknown): ReadonlyMap<string, RelayReply> =>
  new Map(
    (Array.isArray(errors) ? errors : []).map(troubleOf).flatMap((trouble) =>
      typeof trouble.recipient === "string" ? [[trouble.recipient, replyOf(trouble)]] : []
    )
  )

/** Never fails: trouble of any kind is the reply for those whom it concerns. */
export const sendByRelay = Effect.fn("SmtpRelay.send")(function*(
  options: RelayOptions,
  mail: { readonly from: string; readonly to: ReadonlyArray<string>; readonly raw: Uint8Array }
) {
  const { allowPlain = false, host, name, port, secure = port === 465, user } = options
  const password = user === undefined ? Option.none() : yield* options.password
  const all = (reply: RelayReply): ReadonlyMap<string, RelayReply> =>
    new Map(mail.to.map((address) => [address, reply] as const))
  if (user !== undefined && Option.isNone(password)) {
    return all({ state: "later", reply: "there is no password for the relay" })
  }
  const pass = Option.match(password, { onNone: () => "", onSome: Redacted.value })
  // Its size is announced, so that a relay refuses what is too large before it has all of it.
  const envelope = { from: mail.from, to: [...mail.to], size: mail.raw.length }
  const plain = allowPlain || isLoopback(host)
  return yield* Effect.acquireUseRelease(
    Effect.sync(() =>
      createTransport({
        host,
        port,
        secure,
        name,
        requireTLS: !secure && !plain,
        ignoreTLS: !secure && plain,
        connectionTimeout: connectMillis,
        greetingTimeout: connectMillis,
        socketTimeout: silenceMillis,
        disableFileAccess: true,
        disableUrlAccess: true,
        ...(user === undefined ? {} : { auth: { user, pass } })
      })
    ),
    (transport) =>
      Effect.tryPromise({
        try: () =>
          transport.sendMail({
            envelope,
            raw: Buffer.from(mail.raw.buffer, mail.raw.byteOffset, mail.raw.length)
          }),
        catch: troubleOf
      }).pipe(
        Effect.map((info) => {
          const refused = byRecipient(Reflect.get(info, "rejectedErrors"))
          const sent = { state: "sent", reply: info.response.slice(0, maxReplyLength) } as const
          return new Map(mail.to.map((address) => [address, refused.get(address) ?? sent] as const))
        }),
        Effect.catch((trouble) => {
          const refused = byRecipient(trouble.rejectedErrors)
          const rest = replyOf(trouble)
          return Effect.succeed(new Map(mail.to.map((address) => [address, refused.get(address) ?? rest] as const)))
        })
      ),
    (transport) => Effect.sync(() => transport.close())
  )
})
