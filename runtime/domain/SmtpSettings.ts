/** The part of `install.json` that lets real mail programs take part: a listener in, a relay out; both off when absent. */
import * as Schema from "effect/Schema"

const Host = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$|^[0-9a-fA-F:]{2,45}$/, {
    message: "a host name or an address"
  })
)
const Port = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))

/** 96 MiB: what a mailbox takes at most (`maxRawMailBytes` of `runtime/ports/Mail.ts`). */
const mostBytes = 100_663_296

/** Where mail programs of other people hand in mail for this install's sandboxes. */
export const SmtpListen = Schema.Struct({
  /** Default 127.0.0.1. Any other needs `tls` or `allowPlain`. */
  host: Schema.optionalKey(Host),
  /** 0 takes a free one. */
  port: Port,
  /** Bytes of one raw message; announced and enforced. Default 96 MiB, what a mailbox takes. */
  maxBytes: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 65_536, maximum: mostBytes }))),
  /** PEM files for STARTTLS, absolute paths. */
  tls: Schema.optionalKey(Schema.Struct({ certificate: Schema.NonEmptyString, key: Schema.NonEmptyString })),
  /** Mail may come over the network unencrypted. */
  allowPlain: Schema.optionalKey(Schema.Boolean)
})
export type SmtpListen = typeof SmtpListen.Type

export const SmtpSettings = Schema.Struct({ listen: Schema.optionalKey(SmtpListen) })
export type SmtpSettings = typeof SmtpSettings.Type
