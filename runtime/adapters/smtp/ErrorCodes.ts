/** What the mail doors refuse, and what keeps them from opening: stable codes, in SMTP replies, logs and documents alike. */
import * as Schema from "effect/Schema"

export interface SmtpErrorCode {
  readonly code: string
  readonly what: string
  readonly remedy: string
}

export const smtpErrors = {
  plainNetwork: {
    code: "KM-SMT-001",
    what: "the SMTP listener would take unencrypted mail from the network",
    remedy: "name a certificate in smtp.listen.tls of install.json, listen on 127.0.0.1, or set allowPlain"
  },
  notListening: {
    code: "KM-SMT-002",
    what: "the SMTP listener could not listen",
    remedy: "check smtp.listen of install.json; another program may have the port"
  },
  certificate: {
    code: "KM-SMT-003",
    what: "the SMTP listener's certificate or key cannot be used",
    remedy: "check the PEM files that smtp.listen.tls of install.json names"
  },
  notConfigured: {
    code: "KM-SMT-004",
    what: "install.json has no such part of smtp",
    remedy: "add smtp.listen or smtp.relay, see docs/operating.md"
  },
  noDomain: {
    code: "KM-SMT-005",
    what: "mail cannot leave an install whose addresses nobody else knows",
    remedy: "set mailDomain in install.json to a domain of yours, before sandboxes are created"
  },
  noPassword: {
    code: "KM-SMT-006",
    what: "the relay wants a password and there is none",
    remedy: "give it on standard input to `km-smtp password`"
  },
  noMailbox: {
    code: "KM-SMT-101",
    what: "a recipient is nobody of this install, and mail is not passed on",
    remedy: "write to a sandbox's address; `km list` shows the sandboxes"
  },
  tooLarge: {
    code: "KM-SMT-102",
    what: "a message was larger than the listener takes",
    remedy: "send less; the limit is in the reply and in smtp.listen.maxBytes"
  },
  busy: {
    code: "KM-SMT-103",
    what: "too many bytes of other messages are being received",
    remedy: "none needed: the mail program tries again"
  },
  tooSlow: {
    code: "KM-SMT-104",
    what: "a message took longer than ten minutes to arrive",
    remedy: "none needed: the mail program tries again"
  },
  notStored: {
    code: "KM-SMT-105",
    what: "a message could not be stored",
    remedy: "the mail program tries again; follow the reason in the listener's log"
  },
  loop: {
    code: "KM-SMT-106",
    what: "a message has passed so many servers that it must be going round in circles",
    remedy: "look for two servers that send mail to each other"
  },
  gone: {
    code: "KM-SMT-107",
    what: "a recipient was destroyed while the message arrived; nobody got it",
    remedy: "send it again without that recipient"
  },
  idle: {
    code: "KM-SMT-108",
    what: "a client took too long for a command, or to begin a message",
    remedy: "none needed: a mail program connects again when it has mail"
  },
  tooMany: {
    code: "KM-SMT-109",
    what: "one address has too many connections at a time",
    remedy: "none needed: the mail program tries again; lower how many it opens to one host"
  },
  refusedOutside: {
    code: "KM-SMT-201",
    what: "the relay refused a message for a recipient, and will not take it later",
    remedy: "follow the relay's words, which are in the notice to the sender"
  },
  givenUp: {
    code: "KM-SMT-202",
    what: "the relay did not take a message within two days",
    remedy: "check smtp.relay of install.json and `km logs --part mail-out`, then send it again"
  }
} as const satisfies Record<string, SmtpErrorCode>

export const errorCodes: ReadonlyArray<SmtpErrorCode> = Object.values(smtpErrors)

/** A door cannot be opened as it is configured. */
export class SmtpRefused extends Schema.TaggedError<SmtpRefused>()("SmtpRefused", {
  reason: Schema.Literals(["plainNetwork", "notListening", "certificate", "notConfigured", "noDomain", "noPassword"]),
  detail: Schema.String
}) {
  override get message(): string {
    const { code, remedy, what } = smtpErrors[this.reason]
    return `${code}: ${what}: ${this.detail}; ${remedy}`
  }
}
