/** A rotation may die between any two steps: the identity works before it is run again, and is right afterwards. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Result } from "effect"
import { TestClock } from "effect/testing"
import { certificatesOf, type KeyPurpose } from "../../../runtime/domain/Certificate.ts"
import { keyIdOf } from "../../../runtime/domain/Ed25519.ts"
import { InstallName, SandboxId } from "../../../runtime/domain/Ids.ts"
import { mailBoxHistory, mailBoxPublicKey, mailSigningKeyFromText } from "../../../runtime/domain/MailIdentity.ts"
import { checkRevocations } from "../../../runtime/domain/Revocations.ts"
import { certifierKey, certifierKeyPath, signingKeyFromText } from "../../../runtime/kernel/Certifier.ts"
import {
  overlapSeconds,
  renewKey,
  type Rotatable,
  rotatable,
  rotateKey,
  signingKeyPath
} from "../../../runtime/kernel/KeyRotation.ts"
import { Provisioning } from "../../../runtime/kernel/Provisioning.ts"
import { Teardown } from "../../../runtime/kernel/Teardown.ts"
import { Idempotency, makeMemoryIdempotencyState } from "../../../runtime/ports/Idempotency.ts"
import { Identities } from "../../../runtime/ports/Identities.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { World } from "../../support/ControlWorld.ts"
import { slackProfile } from "../../support/profiles.ts"

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
  }).pipe(Effect.provide(Layer.merge(world.layer(), Idempotency.memory(locks))))

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
      }),
    60_000
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
})
