/** The operator as a mail identity of the install: by which rules it writes, what its desk is made from, and its keys. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { defaultMailDomain } from "../../domain/identity/MailIdentity.ts"
import type { Install } from "../../domain/install/Install.ts"
import { relayOf } from "../../domain/mail/SmtpSettings.ts"
import { Identities } from "../../ports/Identities.ts"
import type { MailDeskOptions } from "../../ports/MailDesk.ts"
import { Secrets } from "../../ports/Secrets.ts"
import { certifierKey, certifierKeyPath, lastRevocation, signingKeyFromText } from "../identity/Certifier.ts"
import { identityRefused } from "../identity/IdentityErrors.ts"
import { signingKeyPath } from "../identity/KeyRotation.ts"
import { ensureOperatorMail, mailSecrets } from "../identity/MailIdentities.ts"
import { bridgeCertificate } from "../sandboxes/SandboxIdentity.ts"

/** Whose mailbox, and by which rules its mail is judged and written. */
export type MailOwner = Pick<MailDeskOptions, "name" | "owner" | "policy">

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

/** What a mail desk over this install is made from. */
export const deskOptions = Effect.fnUntraced(function*(install: Install, who: MailOwner) {
  const relay = relayOf(install)
  return {
    ...who,
    install: install.install,
    certifierPublicKey: Buffer.from(install.certifierPublicKey, "base64"),
    domain: install.mailDomain ?? defaultMailDomain(install.install),
    ...(relay === undefined ? {} : { relay }),
    v1Senders: install.v1Senders ?? [],
    revocations: yield* lastRevocation(yield* Secrets)
  }
})

/**
 * Makes the operator's mail identity where an earlier version left none, and renews it when that is due; nothing where
 * there is no certifier's key. `alone` is held while keys are made: two processes that each made a mailbox key could not
 * read what the other one filed.
 */
export const ensureOperator = Effect.fn("OperatorMail.ensureOperator")(
  function*<E>(install: Install, alone: Effect.Effect<void, E, Scope.Scope>) {
    const secrets = yield* Secrets
    const text = yield* secrets.get(certifierKeyPath)
    const certifier = Option.isSome(text) ? signingKeyFromText(Redacted.value(text.value)) : undefined
    if (certifier === undefined) return
    const keys = yield* Effect.forEach(mailSecrets("operator", true), ([path]) => secrets.get(path))
    const ensure = ensureOperatorMail(certifier, install.install, install.mailDomain)
    yield* keys.every(Option.isSome) ? ensure : Effect.scoped(Effect.andThen(alone, ensure))
  }
)

/** Certifies the operator's key for the next 30 days, and its mail identity when that is due. Makes no key of the bridge. */
export const certifyOperatorAnew = Effect.fn("OperatorMail.certifyAnew")(
  function*({ install, mailDomain }: Pick<Install, "install" | "mailDomain">) {
    const secrets = yield* Secrets
    const certifier = yield* certifierKey(secrets)
    const text = yield* secrets.get(signingKeyPath("operator"))
    const operator = Option.isSome(text) ? signingKeyFromText(Redacted.value(text.value)) : undefined
    if (operator === undefined) return yield* identityRefused("KM-IDN-103", "the operator's key cannot be read")
    const now = yield* Clock.currentTimeMillis
    const certificate = bridgeCertificate(certifier, install, "operator", operator, now)
    yield* (yield* Identities).put("operator", "operator", operator.keyId, certificate)
    yield* ensureOperatorMail(certifier, install, mailDomain)
  }
)
