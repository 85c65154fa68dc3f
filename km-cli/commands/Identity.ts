/** `km identity list`, `show`, `verify`: who is known in this install, and which of their keys hold. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Install } from "../../runtime/domain/install/Install.ts"
import {
  dueKeys,
  keysOf,
  keysOfAll,
  type KeyView,
  revocationsOf,
  tampered
} from "../../runtime/kernel/identity/IdentityKeys.ts"
import { currentKeyId, rotatable } from "../../runtime/kernel/identity/KeyRotation.ts"
import { Identities } from "../../runtime/ports/Identities.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { opened } from "../Opened.ts"
import { columns, data, talk } from "../Output.ts"
import { resolve } from "../Reference.ts"

export const inInstall = <A, E, R>(
  act: (install: Install) => Effect.Effect<A, E, R>
) =>
  Effect.gen(function*() {
    const { backend } = yield* opened
    const install = yield* backend.install
    return yield* act(install).pipe(Effect.provide(backend.ports("short")))
  })

/** On standard error, so that the table stays a table. */
const warned = Effect.fnUntraced(function*(keys: ReadonlyArray<KeyView>) {
  const due = dueKeys(keys, yield* Clock.currentTimeMillis)
  for (const { command, detail } of due) yield* talk(`warning: ${detail}; run \`${command}\``)
  return due
})

const table = (keys: ReadonlyArray<KeyView>): ReadonlyArray<string> =>
  columns([
    ["OWNER", "PURPOSE", "KEY", "STANDING", "UNTIL"],
    ...keys.map(({ keyId, notAfter, owner, purpose, standing }) => [owner, purpose, keyId, standing, notAfter])
  ])

export const identityList = Effect.fn("km.identity.list")(() =>
  inInstall(Effect.fnUntraced(function*(install) {
    const { keys } = yield* keysOfAll(install)
    return yield* data(table(keys), { ok: true, keys, due: yield* warned(keys) })
  }))
)

/** `operator`, or whatever names a sandbox. */
export const ownerOf = Effect.fnUntraced(function*(reference: string) {
  if (reference === "operator") return "operator" as const
  return (yield* resolve(reference)).id
})

export const identityShow = Effect.fn("km.identity.show")((input: { readonly reference: string }) =>
  inInstall(Effect.fnUntraced(function*(install) {
    const owner = yield* ownerOf(input.reference)
    const keys = yield* keysOf(install, owner, yield* revocationsOf(install))
    const addresses = [...new Set(keys.flatMap((key) => key.addresses))]
    return yield* data(
      [`${owner}${addresses.length === 0 ? " has no mail address" : `  ${addresses.join("  ")}`}`, ...table(keys)],
      { ok: true, owner, addresses, keys, due: yield* warned(keys) }
    )
  }))
)

/** Each way in which a row can be wrong, in words. */
const wrong = ({ certifiedUntil, keyId, notAfter, owner, purpose, standing }: KeyView) =>
  standing === "untrusted"
    ? tampered(
      `the row of ${owner} for ${purpose} with the key ${keyId} is not what the certifier signed for it`,
      "a key was swapped or forged"
    )
    : tampered(
      `the one of ${owner} for ${purpose} with the key ${keyId} says until ${certifiedUntil}, ` +
        `but the certifier ended that key at ${notAfter}`,
      "an old certificate was put back"
    )

/** Also the rows of those who are gone, and of anybody else whom somebody wrote into the directory. */
export const identityVerify = Effect.fn("km.identity.verify")(() =>
  inInstall(Effect.fnUntraced(function*(install) {
    const known = yield* keysOfAll(install)
    const others = (yield* (yield* Identities).directory).subjects.filter((subject) => !known.owners.includes(subject))
    const theirs = yield* Effect.forEach(others, (owner) => keysOf(install, owner, known.revocations, true))
    const keys = [...known.keys, ...theirs.flat()]
    const bad = keys.filter(({ standing }) => standing === "untrusted" || standing === "put-back")
    for (const key of bad.slice(1)) {
      const { detail, what } = wrong(key)
      yield* talk(`${what}: ${detail}`)
    }
    const [first] = bad
    if (first !== undefined) return yield* wrong(first)
    const ports = { identities: yield* Identities, secrets: yield* Secrets }
    for (const owner of known.owners) {
      for (const what of rotatable) {
        const keyId = yield* currentKeyId(ports, owner, what)
        if (keyId === undefined || known.keys.some((key) => key.owner === owner && key.keyId === keyId)) continue
        return yield* tampered(`${owner} has the ${what} key ${keyId}, which has no row`, "a key was removed")
      }
    }
    const identities = known.owners.length + others.length
    const { highest } = known.revocations
    return yield* data(
      [`${keys.length} keys of ${identities} identities and ${highest} revocations are as the certifier signed them`],
      { ok: true, keys: keys.length, identities, revocations: highest }
    )
  }))
)
