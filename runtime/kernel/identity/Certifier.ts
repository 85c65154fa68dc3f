/**
 * What only the holder of the certifier's key can do beside certifying: take keys back and end them, by statements that
 * are signed, numbered and never removed. Used by operators' commands; no bridge and no runtime can read the key.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { type Revocation, signRevocation } from "../../domain/identity/Certificate.ts"
import { type SigningKey, signingKeyFromSeed } from "../../domain/identity/Ed25519.ts"
import { directoryPinPath } from "../../domain/identity/MailIdentity.ts"
import { bridgePinPath, checkRevocations } from "../../domain/identity/Revocations.ts"
import type { InstallName } from "../../domain/sandbox/Ids.ts"
import type { Identities } from "../../ports/Identities.ts"
import type { Secrets } from "../../ports/Secrets.ts"
import { identityRefused } from "./IdentityErrors.ts"

/** Where the certifier's private half is kept; only create, rotate, renew and revoke read it. */
export const certifierKeyPath = "certifier/signing-key"

/** The highest number given here: the directory's own rows cannot say that the last one was removed. */
export const lastRevocationPath = "certifier/last-revocation"

/** The base64 of a 32-byte seed as a key; `undefined` for anything else. */
export const signingKeyFromText = (text: string): SigningKey | undefined => {
  // Line ends and blanks are nothing in base64.
  const seed = Buffer.from(text, "base64")
  return seed.length === 32 ? signingKeyFromSeed(seed) : undefined
}

export interface CertifierPorts {
  readonly identities: Identities["Service"]
  readonly secrets: Secrets["Service"]
}

export const certifierKey = Effect.fnUntraced(function*(secrets: Secrets["Service"]) {
  const text = yield* secrets.get(certifierKeyPath)
  const key = Option.isSome(text) ? signingKeyFromText(Redacted.value(text.value)) : undefined
  return key ?? (yield* identityRefused("KM-IDN-104", "this install has no certifier key"))
})

const numberAt = (secrets: Secrets["Service"], path: string) =>
  Effect.map(
    secrets.get(path),
    Option.match({ onNone: () => 0, onSome: (text) => Number(Redacted.value(text).trim()) })
  )

/**
 * The highest revocation that was ever made here; not taken from the directory. Where the certifier's secrets are out of
 * reach, the number that every revocation leaves for the bridge too.
 */
export const lastRevocation = (secrets: Secrets["Service"]) =>
  numberAt(secrets, lastRevocationPath).pipe(
    Effect.catchIf((error) => error.reason === "Denied", () => numberAt(secrets, bridgePinPath))
  )

/** The revocations, proven whole, as far as this install ever made them. */
export const wholeRevocations = Effect.fnUntraced(function*(
  { identities, secrets }: CertifierPorts,
  certifierPublicKey: Uint8Array,
  install: InstallName
) {
  const { revocations } = yield* identities.directoryNow
  return checkRevocations(certifierPublicKey, install, revocations, yield* lastRevocation(secrets))
})

/**
 * Readers never accept fewer revocations than `number`. An owner is given its pin when it is made; what is not there is
 * not made here, since its owner may just be destroyed.
 */
const raisePins = Effect.fnUntraced(function*(secrets: Secrets["Service"], number: number) {
  const pins = (yield* secrets.under("sandbox")).map(({ path }) => path).filter((path) =>
    path.endsWith("/directory-pin")
  )
  for (const path of [bridgePinPath, ...pins]) {
    if (0 < number && (yield* numberAt(secrets, path)) < number) yield* secrets.put(path, Redacted.make(String(number)))
  }
})

/** What a new identity's readers begin with. */
export const makePin = Effect.fnUntraced(
  function*(secrets: Secrets["Service"], owner: Parameters<typeof directoryPinPath>[0]) {
    const path = directoryPinPath(owner)
    const highest = yield* lastRevocation(secrets)
    if (Option.isSome(yield* secrets.get(path)) && (yield* numberAt(secrets, path)) >= highest) return
    yield* secrets.put(path, Redacted.make(String(highest)))
  }
)

/** Somebody else may take the number first, a few times in a row. */
const attempts = 20

/** Signs the next statement and makes it known to every reader; the number it got. */
export const announce = Effect.fnUntraced(function*(
  ports: CertifierPorts,
  certifier: SigningKey,
  statement: Omit<Revocation, "version" | "number" | "at">
) {
  const { identities, secrets } = ports
  const at = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
  const once = Effect.gen(function*() {
    const whole = yield* wholeRevocations(ports, certifier.publicKey, statement.install)
    if (Result.isFailure(whole)) return yield* identityRefused("KM-IDN-103", whole.failure.detail)
    const number = whole.success.highest + 1
    yield* identities.revoke(number, signRevocation(certifier, { version: 1, number, at, ...statement }))
    return number
  })
  const number = yield* once.pipe(
    Effect.retry({ times: attempts, while: (error) => error._tag === "StoreError" && error.reason === "Unavailable" })
  )
  if ((yield* lastRevocation(secrets)) < number) {
    yield* secrets.put(lastRevocationPath, Redacted.make(String(number)))
  }
  yield* raisePins(secrets, number)
  return number
})
