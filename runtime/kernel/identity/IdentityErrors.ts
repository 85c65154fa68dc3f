/** What can keep a key from being certified, replaced or taken back, with the codes that `docs/errors.md` lists. */
import * as Schema from "effect/Schema"

const table = {
  "KM-IDN-101":
    "`km identity show` with its id lists the keys it has; a profile without email or encryption has none for it.",
  "KM-IDN-102": "Run the same command again when the other one is done.",
  "KM-IDN-103": "Restore the rows or the secret from a backup, then run `km identity verify`.",
  "KM-IDN-104": "Put `secrets/certifier` back, which the first `km up` made."
} as const

const what: Record<keyof typeof table, string> = {
  "KM-IDN-101": "The identity has no key for this purpose.",
  "KM-IDN-102": "Another command replaces keys of this identity, and is not done.",
  "KM-IDN-103": "The identity directory or a key is not as the certifier left it, so nothing is certified.",
  "KM-IDN-104": "This install has no certifier key, so no key can be certified or taken back."
}

export type IdentityCode = keyof typeof table

/** For `docs/errors.md`. */
export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> =
  (["KM-IDN-101", "KM-IDN-102", "KM-IDN-103", "KM-IDN-104"] as const).map((code) => ({
    code,
    what: what[code],
    remedy: table[code]
  }))

/** `reason` is a sentence for a person. */
export class IdentityRefused extends Schema.TaggedError<IdentityRefused>()("IdentityRefused", {
  code: Schema.Literals(["KM-IDN-101", "KM-IDN-102", "KM-IDN-103", "KM-IDN-104"]),
  reason: Schema.String,
  remedy: Schema.String
}) {
  override get message(): string {
    return `${this.code}: ${this.reason}; ${this.remedy}`
  }
}

export const identityRefused = (code: IdentityCode, reason: string): IdentityRefused =>
  new IdentityRefused({ code, reason, remedy: table[code] })
