/** The part of `install.json` that lets real mail programs take part: a listener in, a relay out; each off when absent. */
import * as Schema from "effect/Schema"

const Host = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$|^[0-9a-fA-F:]{2,45}$/, {
    message: "a host name or an address"
  })
)
const Port = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))

/** 96 MiB: no engine takes more. */
const mostBytes = 100_663_296

/** Where mail programs of other people hand in mail for this install's sandboxes. */
export const SmtpListen = Schema.Struct({
  /** Default 127.0.0.1. Any other needs `tls` or `allowPlain`. */
  host: Schema.optionalKey(Host),
  /** 0 takes a free one. */
  port: Port,
  /** Bytes of one raw message; announced and enforced. Default, and at most, what the engine takes. */
  maxBytes: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 65_536, maximum: mostBytes }))),
  /** PEM files for STARTTLS, absolute paths. */
  tls: Schema.optionalKey(Schema.Struct({ certificate: Schema.NonEmptyString, key: Schema.NonEmptyString })),
  /** Mail may come over the network unencrypted. */
  allowPlain: Schema.optionalKey(Schema.Boolean)
})
export type SmtpListen = typeof SmtpListen.Type

/** 25 MB as most providers count it, on the wire. */
export const defaultRelayBytes = 26_214_400

/** Who takes mail to addresses outside of the install. Its password is the secret `mail/relay-password`. */
export const SmtpRelay = Schema.Struct({
  host: Host,
  port: Port,
  /** TLS from the first byte, as on port 465; otherwise STARTTLS is demanded. Default: whether the port is 465. */
  secure: Schema.optionalKey(Schema.Boolean),
  /** Without one nobody logs in. */
  user: Schema.optionalKey(Schema.NonEmptyString),
  /** Bytes of one raw message that the relay takes. Default `defaultRelayBytes`. */
  maxBytes: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 65_536, maximum: mostBytes }))),
  /** Mail and password may go over the network unencrypted; always so on loopback. */
  allowPlain: Schema.optionalKey(Schema.Boolean)
})
export type SmtpRelay = typeof SmtpRelay.Type

/** What a writer of mail must know of the relay; absent where mail cannot leave. An invented domain is no sender to anybody. */
export const relayOf = (
  { mailDomain, smtp }: { readonly mailDomain?: string; readonly smtp?: SmtpSettings }
): { readonly maxBytes: number } | undefined =>
  smtp?.relay === undefined || mailDomain === undefined
    ? undefined
    : { maxBytes: smtp.relay.maxBytes ?? defaultRelayBytes }

/** Where the relay's password lies among the secrets. */
export const relayPasswordPath = "mail/relay-password"

export const SmtpSettings = Schema.Struct({
  listen: Schema.optionalKey(SmtpListen),
  relay: Schema.optionalKey(SmtpRelay)
})
export type SmtpSettings = typeof SmtpSettings.Type
