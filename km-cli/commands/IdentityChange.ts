/** `km identity rotate`, `renew`, `revoke`: what only the holder of the certifier's key can do to a key. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { KeyId, SandboxId, type SenderId } from "../../runtime/domain/sandbox/Ids.ts"
import { announce, certifierKey } from "../../runtime/kernel/identity/Certifier.ts"
import type { IdentityRefused } from "../../runtime/kernel/identity/IdentityErrors.ts"
import { keysOf, revocationsOf } from "../../runtime/kernel/identity/IdentityKeys.ts"
import {
  certifiedUntil,
  currentKeyId,
  renewKey,
  type Rotatable,
  rotatable,
  rotateKey,
  type Rotation
} from "../../runtime/kernel/identity/KeyRotation.ts"
import { Idempotency } from "../../runtime/ports/Idempotency.ts"
import { Identities } from "../../runtime/ports/Identities.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { type ExitCode, KmError, kmError } from "../KmError.ts"
import { data, talk } from "../Output.ts"
import { recorded } from "../Recorded.ts"
import { inInstall, ownerOf } from "./Identity.ts"

const iso = (seconds: number): string => new Date(seconds * 1_000).toISOString()

const exits: Record<IdentityRefused["code"], ExitCode> = {
  "KM-IDN-101": 3,
  "KM-IDN-102": 5,
  "KM-IDN-103": 6,
  "KM-IDN-104": 3
}

const asKmError = ({ code, reason, remedy }: IdentityRefused) =>
  new KmError({ code, exit: exits[code], what: "the key was not changed", why: reason, next: remedy })

const ports = Effect.gen(function*() {
  return { identities: yield* Identities, idempotency: yield* Idempotency, secrets: yield* Secrets }
})

/** A sandbox that is being destroyed gets no new keys; the operator has no row. */
const notLeaving = Effect.fnUntraced(function*(owner: SenderId) {
  if (owner === "operator") return
  const row = yield* (yield* Sandboxes).get(owner)
  if (Option.isSome(row) && row.value.status !== "destroying") return
  return yield* kmError("KM-CLI-020", `${owner} is being destroyed`, "its keys go with it", "km list")
})

/** Whoever was destroyed meanwhile leaves nothing behind but tombstones, also of what was just made for it. */
const leavesNothing = Effect.fnUntraced(function*(owner: SenderId) {
  if (owner === "operator") return
  const row = yield* (yield* Sandboxes).get(owner)
  if (Option.isSome(row) && row.value.status !== "destroying") return
  yield* (yield* Identities).retire(owner)
  if (Option.isSome(row)) return
  const secrets = yield* Secrets
  yield* secrets.deleteUnder(`sandbox/${owner}`)
})

const sentence = ({ completed, ended, keyId, purpose }: Rotation): string =>
  `${purpose}: ${keyId} from now on${completed ? " (begun by an earlier rotate, completed now)" : ""}` +
  ended.map((old) => `; ${old.keyId} until ${iso(old.until)}`).join("")

export interface RotateInput {
  readonly reference: string
  readonly purpose: Rotatable | "all"
  readonly dryRun: boolean
}

/** New keys; what the old ones have signed stays good, and what was encrypted for them still opens. */
export const identityRotate = Effect.fn("km.identity.rotate")((input: RotateInput) =>
  inInstall(Effect.fnUntraced(function*(install) {
    const subject = yield* ownerOf(input.reference)
    yield* notLeaving(subject)
    const all = yield* ports
    const certifier = yield* certifierKey(all.secrets)
    yield* revocationsOf(install)
    const has = yield* Effect.filter(
      input.purpose === "all" ? rotatable : [input.purpose],
      (what) => Effect.map(currentKeyId(all, subject, what), (keyId) => input.purpose !== "all" || keyId !== undefined)
    )
    if (input.dryRun) {
      const current = yield* Effect.forEach(
        has,
        (purpose) => Effect.map(currentKeyId(all, subject, purpose), (keyId) => ({ purpose, keyId: keyId ?? "" }))
      )
      const lines = current.map(({ keyId, purpose }) => `would replace ${purpose} ${keyId} of ${subject}`)
      return yield* data(lines, { ok: true, dryRun: true, owner: subject, current })
    }
    const owner = { install: install.install, subject }
    yield* recorded("identity.rotate", subject, has.join(", "))
    const rotated = yield* Effect.forEach(has, (what) => rotateKey(all, certifier, owner, what)).pipe(
      Effect.ensuring(Effect.ignore(leavesNothing(subject)))
    )
    return yield* data([subject, ...rotated.map((one) => `  ${sentence(one)}`)], {
      ok: true,
      dryRun: false,
      owner: subject,
      rotated: rotated.map(({ completed, ended, keyId, purpose }) => ({
        purpose,
        keyId,
        completed,
        ended: ended.map((old) => ({ keyId: old.keyId, until: iso(old.until) }))
      }))
    })
  }, Effect.catchTag("IdentityRefused", (error) => Effect.fail(asKmError(error)))))
)

/** A person's, unless `unattendedCertifier` lets `km up` do it. */
export const identityRenew = Effect.fn("km.identity.renew")(
  (input: { readonly reference: Option.Option<string>; readonly dryRun: boolean }) =>
    inInstall(Effect.fnUntraced(function*(install) {
      const rows = yield* (yield* Sandboxes).list
      const owners: ReadonlyArray<SenderId> = Option.isSome(input.reference)
        ? [yield* ownerOf(input.reference.value)]
        : ["operator", ...rows.filter(({ status }) => status !== "destroying").map(({ id }) => id)]
      const all = yield* ports
      const certifier = yield* certifierKey(all.secrets)
      const renewed: Array<{ readonly owner: SenderId; readonly purpose: Rotatable; readonly until: string }> = []
      for (const subject of owners) {
        const owner = { install: install.install, subject }
        for (const purpose of rotatable) {
          const before = yield* certifiedUntil(all, certifier, owner, purpose)
          if (before === undefined) continue
          if (!input.dryRun) {
            yield* recorded("identity.renew", subject, purpose)
            yield* renewKey(all, certifier, owner, purpose)
          }
          const until = yield* certifiedUntil(all, certifier, owner, purpose)
          renewed.push({ owner: subject, purpose, until: iso(until ?? before) })
        }
        if (!input.dryRun) yield* leavesNothing(subject)
      }
      const verb = input.dryRun ? "would renew" : "renewed"
      return yield* data(
        renewed.map(({ owner, purpose, until }) =>
          `${verb} ${owner} ${purpose}, ${input.dryRun ? "now " : ""}until ${until}`
        ),
        { ok: true, dryRun: input.dryRun, renewed }
      )
    }, Effect.catchTag("IdentityRefused", (error) => Effect.fail(asKmError(error)))))
)

/** Signed, numbered, never removed; every reader refuses the key from then on. */
export const identityRevoke = Effect.fn("km.identity.revoke")(
  (input: { readonly reference: string; readonly key: string; readonly reason: string; readonly dryRun: boolean }) =>
    inInstall(Effect.fnUntraced(function*(install) {
      // A sandbox that was destroyed has no row, but its key may still be believed.
      const gone = Schema.decodeOption(SandboxId)(input.reference)
      const owner = Option.isSome(gone) ? gone.value : yield* ownerOf(input.reference)
      const revocations = yield* revocationsOf(install)
      const keyId = Option.getOrUndefined(Schema.decodeOption(KeyId)(input.key))
      const keys = yield* keysOf(install, owner, revocations)
      if (keyId === undefined || !keys.some((key) => key.keyId === keyId)) {
        return yield* kmError(
          "KM-CLI-001",
          `${owner} has no key ${JSON.stringify(input.key)}`,
          "",
          `km identity show ${owner}`
        )
      }
      const next = revocations.highest + 1
      const answer = { ok: true, dryRun: input.dryRun, owner, keyId }
      if (revocations.isRevoked(owner, keyId)) {
        yield* talk(`${keyId} of ${owner} is revoked already`)
        return yield* data([`revoked ${keyId} of ${owner}`], answer)
      }
      if (input.dryRun) {
        return yield* data([`would revoke ${keyId} of ${owner} as number ${next}`], { ...answer, number: next })
      }
      const all = yield* ports
      const certifier = yield* certifierKey(all.secrets)
      yield* recorded("identity.revoke", owner, `${keyId}: ${input.reason}`)
      const number = yield* announce(all, certifier, {
        install: install.install,
        subject: owner,
        keyId,
        reason: input.reason
      })
      return yield* data([`revoked ${keyId} of ${owner} as number ${number}`], { ...answer, number })
    }, Effect.catchTag("IdentityRefused", (error) => Effect.fail(asKmError(error)))))
)
