/** A rotation may die between any two steps: the identity works before it is run again, and is right afterwards. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Redacted, Result } from "effect"
import { TestClock } from "effect/testing"
import { certificatesOf, type KeyPurpose } from "../../../../runtime/domain/identity/Certificate.ts"
import { generateSeed, keyIdOf } from "../../../../runtime/domain/identity/Ed25519.ts"
import {
  generateMailBoxKey,
  generateMailSigningKey,
  mailBoxHistory,
  mailBoxPublicKey,
  mailSigningKeyFromText
} from "../../../../runtime/domain/identity/MailIdentity.ts"
import { checkRevocations } from "../../../../runtime/domain/identity/Revocations.ts"
import { InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { certifierKey, certifierKeyPath, signingKeyFromText } from "../../../../runtime/kernel/identity/Certifier.ts"
import {
  certifiedUntil,
  currentKeyId,
  endFormerHolders,
  overlapSeconds,
  renewKey,
  type Rotatable,
  rotatable,
  rotateKey,
  signingKeyPath
} from "../../../../runtime/kernel/identity/KeyRotation.ts"
import { certifyMail } from "../../../../runtime/kernel/identity/MailIdentities.ts"
import { Provisioning } from "../../../../runtime/kernel/sandboxes/Provisioning.ts"
import { Teardown } from "../../../../runtime/kernel/sandboxes/Teardown.ts"
import { Idempotency } from "../../../../runtime/ports/Idempotency.ts"
import { Identities } from "../../../../runtime/ports/Identities.ts"
import * as MemoryIdempotency from "../../../../runtime/ports/memory/MemoryIdempotency.ts"
import { makeMemoryIdempotencyState } from "../../../../runtime/ports/memory/MemoryIdempotency.ts"
import { Secrets } from "../../../../runtime/ports/Secrets.ts"
import { World } from "../../../support/ControlWorld.ts"
import { slackProfile } from "../../../support/profiles.ts"

const install = InstallName.make("km")
const id = SandboxId.make("sb-1a2b3c4d")
const owner = { install, subject: id }
const day = 24 * 3_600

const created = Effect.fnUntraced(function*() {
  const world = new World()
  const services = Provisioning.layer.pipe(Layer.provideMerge(Teardown.layer), Layer.provide(world.layer()))
  yield* TestClock.adjust(Duration.days(20_000))
  yield* Effect.flatMap(Provisioning, ({ create }) =>
    create({
      id,
      install,
      alias: undefined,
      profile: slackProfile,
      unconfined: false,
      readyWithin: Duration.seconds(60)
    })).pipe(Effect.provide(services))
  return world
})

const onPorts = <A, E>(
  world: World,
  act: (
    ports: {
      readonly identities: Identities["Service"]
      readonly idempotency: Idempotency["Service"]
      readonly secrets: Secrets["Service"]
    }
  ) => Effect.Effect<A, E>,
  locks = makeMemoryIdempotencyState()
) =>
  Effect.gen(function*() {
    return yield* act({
      identities: yield* Identities,
      idempotency: yield* Idempotency,
      secrets: yield* Secrets
    })
  }).pipe(Effect.provide(Layer.merge(world.layer(), MemoryIdempotency.layerOver(locks))))

const rotate = (world: World, what: Rotatable, locks = makeMemoryIdempotencyState()) =>
  onPorts(
    world,
    (ports) => Effect.flatMap(certifierKey(ports.secrets), (certifier) => rotateKey(ports, certifier, owner, what)),
    locks
  )

const purposes = { mail: "mail", "mail-box": "mail-box", bridge: "bridge" } as const satisfies Record<
  Rotatable,
  KeyPurpose
>
const paths = {
  mail: `sandbox/${id}/mail-signing-key`,
  "mail-box": `sandbox/${id}/encryption-key`,
  bridge: signingKeyPath(id)
}
const publicOf = (what: Rotatable, text: string): Uint8Array =>
  (what === "mail"
    ? mailSigningKeyFromText(text)?.publicKey
    : what === "mail-box"
    ? mailBoxPublicKey(text)
    : signingKeyFromText(text)?.publicKey) ?? new Uint8Array()

/** What readers believe of the world: every key of the purpose with its window. */
const seen = Effect.fnUntraced(function*(world: World, what: Rotatable) {
  const certifier = signingKeyFromText(world.secrets.get(certifierKeyPath) ?? "")?.publicKey ?? new Uint8Array()
  const whole = Result.getOrThrow(
    checkRevocations(certifier, install, world.revocations, Number(world.secrets.get("certifier/last-revocation") ?? 0))
  )
  const rows = [...world.identities.get(id) ?? []].flatMap(([name, key]) =>
    name.startsWith(`${purposes[what]} `) ? [key] : []
  )
  const now = Math.floor((yield* Effect.clockWith((clock) => clock.currentTimeMillis)) / 1_000)
  const keys = certificatesOf(certifier, install, id, purposes[what], rows).map((certificate) => ({
    ...certificate,
    end: Math.min(certificate.notAfter, whole.endOf(id, certificate.keyId) ?? certificate.notAfter)
  }))
  const current = keyIdOf(publicOf(what, world.secrets.get(paths[what]) ?? ""))
  const holds = keys.filter((key) => key.notBefore <= now && now < key.end)
  const openable = [
    world.secrets.get(paths["mail-box"]) ?? "",
    ...mailBoxHistory(world.secrets.get(`sandbox/${id}/encryption-key-history`) ?? "")
  ].map((text) => keyIdOf(publicOf("mail-box", text)))
  return { now, keys, current, holds, openable }
})

/** Whatever was done so far: who writes is believed, and what anybody encrypts can be opened. */
const works = Effect.fnUntraced(function*(world: World, what: Rotatable, at: string) {
  const { current, holds, openable } = yield* seen(world, what)
  assert.include(holds.map(({ keyId }) => keyId), current, at)
  if (what === "mail-box") { for (const { keyId } of holds) assert.include(openable, keyId, at) }
})

describe("rotate", () => {
  it.effect("replaces a key, ends the old one after the overlap and keeps it for what it did", () =>
    Effect.gen(function*() {
      for (const what of rotatable) {
        const world = yield* created()
        const before = yield* seen(world, what)
        yield* TestClock.adjust(Duration.days(3))
        const done = yield* rotate(world, what)
        const after = yield* seen(world, what)
        assert.strictEqual(after.current, done.keyId)
        assert.notStrictEqual(after.current, before.current)
        assert.deepStrictEqual(done.ended, [{ keyId: before.current, until: after.now + overlapSeconds }])
        const old = after.keys.find(({ keyId }) => keyId === before.current)
        // The row itself says so too, so that a row which says more is known to be an old one.
        assert.deepInclude(old, { notAfter: after.now + overlapSeconds, end: after.now + overlapSeconds })
        assert.strictEqual(old?.notBefore, before.keys[0]?.notBefore)
        const fresh = after.keys.find(({ keyId }) => keyId === after.current)
        assert.strictEqual(fresh?.notBefore, after.now - 300)
        assert.deepStrictEqual(fresh?.addresses, before.keys[0]?.addresses)
        assert.isFalse([...world.secrets.keys()].some((path) => path.includes("/next/")))
        yield* TestClock.adjust(Duration.seconds(overlapSeconds))
        assert.deepStrictEqual((yield* seen(world, what)).holds.map(({ keyId }) => keyId), [after.current])
      }
    }))

  it.effect("ends the old key also where the directory has lost its certificate: one that is put back is no good", () =>
    Effect.gen(function*() {
      for (const what of ["mail-box", "bridge"] as const) {
        const world = yield* created()
        const before = yield* seen(world, what)
        const rows = world.identities.get(id)
        const lost = rows?.get(`${purposes[what]} ${before.current}`)
        if (lost === undefined) return assert.fail("it was certified")
        rows?.delete(`${purposes[what]} ${before.current}`)
        const done = yield* rotate(world, what)
        const until = before.now + overlapSeconds
        assert.deepStrictEqual(done.ended, [{ keyId: before.current, until }])
        rows?.set(`${purposes[what]} ${before.current}`, lost)
        const after = yield* seen(world, what)
        assert.strictEqual(after.keys.find(({ keyId }) => keyId === before.current)?.end, until)
        assert.deepStrictEqual((yield* rotate(world, what)).ended.map(({ keyId }) => keyId), [done.keyId])
      }
    }))

  it.effect("keeps the newest 80 box keys, so that stored mail opens and the secret stays small", () =>
    Effect.gen(function*() {
      const world = yield* created()
      const history = `sandbox/${id}/encryption-key-history`
      const older = Array.from({ length: 79 }, () => generateMailBoxKey())
      world.secrets.set(history, older.join("\n"))
      const current = world.secrets.get(paths["mail-box"])?.trim() ?? ""
      yield* rotate(world, "mail-box")
      const coming = world.secrets.get(paths["mail-box"]) ?? ""
      assert.deepStrictEqual(mailBoxHistory(world.secrets.get(history) ?? ""), [...older.slice(1), current, coming])
    }))

  it.effect("replaces the operator's keys too, whose key for the bridge is of a purpose of its own", () =>
    Effect.gen(function*() {
      const world = yield* created()
      const seed = Buffer.from(generateSeed()).toString("base64")
      world.secrets.set(signingKeyPath("operator"), seed)
      const of = { install, subject: "operator" } as const
      const done = yield* onPorts(
        world,
        (ports) => Effect.flatMap(certifierKey(ports.secrets), (certifier) => rotateKey(ports, certifier, of, "bridge"))
      )
      assert.deepStrictEqual([...world.identities.get("operator")?.keys() ?? []], [`operator ${done.keyId}`])
      assert.notStrictEqual(world.secrets.get(signingKeyPath("operator")), seed)
      assert.deepInclude(done, { purpose: "bridge", completed: false })
      assert.deepStrictEqual(done.ended.map(({ keyId }) => keyId), [signingKeyFromText(seed)?.keyId])
    }))

  it.effect(
    "works after a crash between any two steps, and the next rotate completes it",
    () =>
      Effect.gen(function*() {
        for (const what of rotatable) {
          const whole = yield* created()
          whole.crashing(0, "before")
          yield* rotate(whole, what)
          const steps = whole.calls
          assert.isAbove(steps, 10)
          for (let at = 1; at <= steps; at++) {
            for (const phase of ["before", "after"] as const) {
              const where = `${what}: ${phase} step ${at} of ${steps}`
              const world = yield* created()
              const before = yield* seen(world, what)
              world.crashing(at, phase)
              assert.isTrue(Exit.hasDies(yield* Effect.exit(rotate(world, what))), where)
              world.crashing(0, "before")
              yield* works(world, what, where)
              const done = yield* rotate(world, what)
              yield* works(world, what, where)
              const after = yield* seen(world, what)
              assert.strictEqual(after.current, done.keyId, where)
              assert.notStrictEqual(after.current, before.current, where)
              assert.isFalse([...world.secrets.keys()].some((path) => path.includes("/next/")), where)
              if (what === "mail-box") assert.includeMembers(after.openable, [before.current, after.current], where)
              yield* TestClock.adjust(Duration.seconds(overlapSeconds))
              assert.deepStrictEqual((yield* seen(world, what)).holds.map(({ keyId }) => keyId), [after.current], where)
            }
          }
        }
      })
  )

  it.effect("two at once follow each other; one that died is waited for 10 s and completed", () =>
    Effect.gen(function*() {
      const world = yield* created()
      const locks = makeMemoryIdempotencyState()
      const both = yield* Effect.forkChild(
        Effect.all([rotate(world, "mail", locks), rotate(world, "mail", locks)], { concurrency: 2 })
      )
      yield* TestClock.adjust(Duration.seconds(1))
      const [first, second] = yield* Fiber.join(both)
      assert.notStrictEqual(first.keyId, second.keyId)
      assert.deepStrictEqual(second.ended.map(({ keyId }) => keyId), [first.keyId])
      yield* works(world, "mail", "both")
      // As a killed process leaves it: the lock is held, and nobody gives it back.
      yield* onPorts(world, ({ idempotency }) => idempotency.begin("identity-rotate", id, "mail", 10_000), locks)
      const third = yield* Effect.forkChild(rotate(world, "mail", locks))
      yield* TestClock.adjust(Duration.seconds(9))
      assert.strictEqual((yield* seen(world, "mail")).current, second.keyId)
      yield* TestClock.adjust(Duration.seconds(2))
      assert.strictEqual((yield* Fiber.join(third)).ended[0]?.keyId, second.keyId)
    }))
})

describe("rotate refuses", () => {
  const refusal = Effect.fnUntraced(function*(change: (world: World) => void, what: Rotatable) {
    const world = yield* created()
    change(world)
    const before = JSON.stringify([[...world.secrets.entries()], world.revocations])
    const refused = yield* Effect.flip(rotate(world, what))
    return { refused, unchanged: JSON.stringify([[...world.secrets.entries()], world.revocations]) === before }
  })

  it.effect("where there is no such key, where a secret is no key, and where the directory knows no mail of it", () =>
    Effect.gen(function*() {
      for (const what of rotatable) {
        const none = yield* refusal((world) => world.secrets.delete(paths[what]), what)
        assert.deepInclude(none.refused, { code: "KM-IDN-101", reason: `${id} has no ${what} key` })
        assert.isTrue(none.unchanged)
        const rubbish = yield* refusal((world) => world.secrets.set(paths[what], "rubbish"), what)
        assert.deepInclude(rubbish.refused, { code: "KM-IDN-103", reason: `the secret ${paths[what]} is no key` })
        assert.isTrue(rubbish.unchanged)
        const next = paths[what].replace(/\/([^/]+)$/, "/next/$1")
        const coming = yield* refusal((world) => world.secrets.set(next, "rubbish"), what)
        assert.deepInclude(coming.refused, { code: "KM-IDN-103", reason: `the secret ${next} is no key` })
        assert.isTrue(coming.unchanged)
      }
      const unknown = yield* refusal((world) => world.identities.delete(id), "mail")
      assert.deepInclude(unknown.refused, {
        code: "KM-IDN-103",
        reason: `the directory has no certificate of ${id} for mail`
      })
      const holed = yield* created()
      yield* rotate(holed, "mail")
      holed.revocations.length = 0
      assert.deepInclude(yield* Effect.flip(rotate(holed, "mail")), { code: "KM-IDN-103" })
    }))

  it.effect("after waiting 30 s for another command that holds the identity", () =>
    Effect.gen(function*() {
      const world = yield* created()
      const locks = makeMemoryIdempotencyState()
      yield* onPorts(world, ({ idempotency }) => idempotency.begin("identity-rotate", id, "mail", 3_600_000), locks)
      const waiting = yield* Effect.forkChild(Effect.flip(rotate(world, "mail", locks)))
      yield* TestClock.adjust("30 seconds")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("1 seconds")
      assert.deepInclude(yield* Fiber.join(waiting), {
        code: "KM-IDN-102",
        reason: `another command replaces keys of ${id}`
      })
    }))

  it.effect("says whether it went on with what was begun", () =>
    Effect.gen(function*() {
      const world = yield* created()
      assert.isFalse((yield* rotate(world, "mail")).completed)
      world.crashing(8, "after")
      yield* Effect.exit(rotate(world, "mail"))
      world.crashing(0, "before")
      assert.isTrue((yield* rotate(world, "mail")).completed)
    }))
})

const endOfKey = (world: World, subject: SandboxId, key: string): number | undefined => {
  const certifier = signingKeyFromText(world.secrets.get(certifierKeyPath) ?? "")?.publicKey ?? new Uint8Array()
  const whole = Result.getOrThrow(checkRevocations(certifier, install, world.revocations, 0))
  return whole.endOf(subject, key as Parameters<typeof whole.endOf>[1])
}

describe("who held an address before", () => {
  const address = "demo@km.invalid"
  const former = SandboxId.make("sb-00000001")
  const living = SandboxId.make("sb-00000002")

  /** Certifies a key of `subject` for addresses, as an earlier create did. */
  const holder = Effect.fnUntraced(function*(world: World, subject: SandboxId, addresses: ReadonlyArray<string>) {
    return yield* onPorts(world, (ports) =>
      Effect.gen(function*() {
        const certifier = yield* certifierKey(ports.secrets)
        yield* ports.secrets.put(`sandbox/${subject}/mail-signing-key`, Redacted.make(generateMailSigningKey()))
        yield* certifyMail(ports, certifier, { install, subject, addresses, madeAt: 0 })
        return (yield* currentKeyId(ports, subject, "mail")) ?? "none"
      }))
  })

  const end = (world: World, addresses: ReadonlyArray<string>) =>
    onPorts(
      world,
      (ports) =>
        Effect.flatMap(certifierKey(ports.secrets), (certifier) =>
          endFormerHolders(ports, certifier, owner, addresses, (subject) => subject === former))
    )

  it.effect("signs nothing more once it is gone and another has the address; who lives keeps its keys", () =>
    Effect.gen(function*() {
      const world = yield* created()
      const gone = yield* holder(world, former, ["x@km.invalid", address])
      const there = yield* holder(world, living, [address])
      const rows = JSON.stringify([...world.identities.get(former) ?? []])
      const now = Math.floor((yield* Effect.clockWith((clock) => clock.currentTimeMillis)) / 1_000)
      yield* end(world, ["y@km.invalid"])
      assert.lengthOf(world.revocations, 0)
      yield* end(world, ["y@km.invalid", address])
      assert.strictEqual(endOfKey(world, former, gone), now)
      assert.isUndefined(endOfKey(world, living, there))
      assert.lengthOf(world.revocations, 1)
      assert.include(world.revocations[0]?.revocation ?? "", `${id} follows`)
      assert.strictEqual(JSON.stringify([...world.identities.get(former) ?? []]), rows, "their rows stay as they are")
      yield* end(world, [address])
      assert.lengthOf(world.revocations, 1, "it is said once")
    }))

  it.effect("a key that was there under its own name before ends too, whatever its address, and its row says so", () =>
    Effect.gen(function*() {
      const world = yield* created()
      const before = yield* seen(world, "mail")
      world.secrets.set(paths.mail, generateMailSigningKey())
      yield* end(world, [])
      const { keys, now } = yield* seen(world, "mail")
      assert.deepInclude(keys.find(({ keyId }) => keyId === before.current), { notAfter: now, end: now })
      // The keys that are current stay.
      assert.isUndefined(endOfKey(world, id, (yield* seen(world, "bridge")).current))
      assert.isUndefined(endOfKey(world, id, (yield* seen(world, "mail-box")).current))
      assert.lengthOf(world.revocations, 1)
    }))
})

describe("renew", () => {
  it.effect("reaches back over mail in flight, but never to before the key was made", () =>
    Effect.gen(function*() {
      const world = yield* created()
      const renew = onPorts(world, (ports) =>
        Effect.flatMap(certifierKey(ports.secrets), (certifier) => renewKey(ports, certifier, owner, "mail")))
      const made = (yield* seen(world, "mail")).keys[0]?.notBefore ?? 0
      yield* TestClock.adjust(Duration.days(2))
      yield* renew
      assert.strictEqual((yield* seen(world, "mail")).keys[0]?.notBefore, made)
      yield* TestClock.adjust(Duration.days(18))
      yield* renew
      const renewed = yield* seen(world, "mail")
      assert.strictEqual(renewed.keys[0]?.notBefore, renewed.now - 7 * day)
      assert.strictEqual(renewed.keys[0]?.notAfter, renewed.now + 23 * day)
      // A rotated key is not as old as its sandbox.
      yield* rotate(world, "mail")
      yield* TestClock.adjust(Duration.days(1))
      yield* renew
      const later = yield* seen(world, "mail")
      assert.strictEqual(
        later.keys.find(({ keyId }) =>
          keyId === later.current
        )?.notBefore,
        later.now - day - 300
      )
      // And the key before it stays ended.
      assert.deepStrictEqual(later.holds.map(({ keyId }) => keyId), [later.current])
    }))

  it.effect("has nothing to renew where there is no key, and refuses what it cannot vouch for", () =>
    Effect.gen(function*() {
      const world = yield* created()
      const act = <A, E>(
        f: (ports: Parameters<typeof renewKey>[0], certifier: Parameters<typeof renewKey>[1]) => Effect.Effect<A, E>
      ) => onPorts(world, (ports) => Effect.flatMap(certifierKey(ports.secrets), (certifier) => f(ports, certifier)))
      const until = act((ports, certifier) => certifiedUntil(ports, certifier, owner, "mail-box"))
      const renewing = act((ports, certifier) => renewKey(ports, certifier, owner, "mail-box"))
      const { keys } = yield* seen(world, "mail-box")
      assert.strictEqual(yield* until, keys[0]?.notAfter)
      assert.isTrue(yield* renewing)
      world.identities.delete(id)
      assert.strictEqual(yield* until, 0)
      world.secrets.delete(paths["mail-box"])
      assert.isUndefined(yield* until)
      assert.isFalse(yield* renewing)
      const refused = yield* Effect.flip(act((ports, certifier) => renewKey(ports, certifier, owner, "mail")))
      assert.deepInclude(refused, { code: "KM-IDN-103" })
    }))
})
