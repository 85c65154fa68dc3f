/** Certificates that end: what a person is told of them, once, and how the operator's is renewed where that is allowed. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { certificatesOf } from "../../../../runtime/domain/identity/Certificate.ts"
import { generateSeed } from "../../../../runtime/domain/identity/Ed25519.ts"
import { InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { renewOperator, warnOfEnds } from "../../../../runtime/kernel/identity/CertificateEnds.ts"
import { certifierKey, certifierKeyPath, signingKeyFromText } from "../../../../runtime/kernel/identity/Certifier.ts"
import { renewKey, rotatable, signingKeyPath } from "../../../../runtime/kernel/identity/KeyRotation.ts"
import { Provisioning } from "../../../../runtime/kernel/sandboxes/Provisioning.ts"
import { Teardown } from "../../../../runtime/kernel/sandboxes/Teardown.ts"
import { Identities } from "../../../../runtime/ports/Identities.ts"
import { Secrets } from "../../../../runtime/ports/Secrets.ts"
import { World } from "../../../support/ControlWorld.ts"
import { exampleInstall } from "../../../support/installs.ts"
import { slackProfile } from "../../../support/profiles.ts"
import { saidInLog } from "../../../support/saidInLog.ts"

const km = InstallName.make("km")
const id = SandboxId.make("sb-1a2b3c4d")
const begin = Duration.days(20_000)

const publicKeyOf = (world: World) => {
  const key = signingKeyFromText(world.secrets.get(certifierKeyPath) ?? "")
  if (key === undefined) throw new Error("the world has a certifier")
  return key.publicKey
}

const installFor = (world: World) => ({
  ...exampleInstall,
  certifierPublicKey: Buffer.from(publicKeyOf(world)).toString("base64")
})

const created = Effect.fnUntraced(function*() {
  const world = new World()
  const services = Provisioning.layer.pipe(Layer.provideMerge(Teardown.layer), Layer.provide(world.layer()))
  yield* TestClock.setTime(Duration.toMillis(begin))
  yield* Effect.flatMap(Provisioning, ({ create }) =>
    create({
      id,
      install: km,
      alias: undefined,
      profile: slackProfile,
      unconfined: false,
      readyWithin: Duration.seconds(60)
    })).pipe(Effect.provide(services))
  return world
})

const renewed = (world: World) =>
  Effect.gen(function*() {
    const ports = { identities: yield* Identities, secrets: yield* Secrets }
    const certifier = yield* certifierKey(ports.secrets)
    for (const what of rotatable) yield* renewKey(ports, certifier, { install: km, subject: id }, what)
  }).pipe(Effect.provide(world.layer()))

/** 30 days from 5 minutes before it was made. */
const ends = new Date(Duration.toMillis(begin) + Duration.toMillis("30 days") - 300_000).toISOString()

describe("warnOfEnds", () => {
  it.effect("warns seven days before, once for each command, and again only after that was renewed", () =>
    Effect.gen(function*() {
      const world = yield* created()
      const said: Array<string> = []
      const looking = yield* Effect.forkChild(
        warnOfEnds(installFor(world)).pipe(Effect.provide(Layer.merge(world.layer(), saidInLog(said)))),
        { startImmediately: true }
      )
      yield* TestClock.adjust("22 days")
      yield* TestClock.adjust("23 hours")
      assert.deepStrictEqual(said, [])
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(said, [
        `Warn: the bridge key of ${id} ends at ${ends}; the mail key of ${id} ends at ${ends}; the mail-box key of ${id} `
        + `ends at ${ends}; nothing is renewed by itself (unattendedCertifier is false): run \`km identity renew ${id}\``
      ])
      yield* TestClock.adjust("2 days")
      assert.lengthOf(said, 1)
      yield* renewed(world)
      yield* TestClock.adjust("2 hours")
      assert.lengthOf(said, 1)
      yield* TestClock.adjust("25 days")
      assert.lengthOf(said, 2, "what was renewed ends again")
      yield* Fiber.interrupt(looking)
    }))

  it.effect("looks at the start, and goes on when the directory is not whole", () =>
    Effect.gen(function*() {
      const world = yield* created()
      yield* TestClock.adjust("40 days")
      world.secrets.set("certifier/last-revocation", "1")
      const said: Array<string> = []
      const looking = yield* Effect.forkChild(
        warnOfEnds(installFor(world)).pipe(Effect.provide(Layer.merge(world.layer(), saidInLog(said)))),
        { startImmediately: true }
      )
      assert.deepStrictEqual(said, [
        "Warn: the ends of certificates are not known: KM-EML-030: a revocation was removed: revocation 1 was there before, "
        + "now the last is 0"
      ])
      world.secrets.set("certifier/last-revocation", "0")
      yield* TestClock.adjust("59 minutes")
      assert.lengthOf(said, 1)
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(said, 2)
      assert.include(said[1] ?? "", `${id} has no valid key for bridge; ${id} has no valid key for mail; `)
      yield* Fiber.interrupt(looking)
    }))
})

const operators = (world: World) =>
  certificatesOf(
    publicKeyOf(world),
    km,
    "operator",
    "operator",
    [...world.identities.get("operator") ?? []].flatMap(([name, key]) => name.startsWith("operator ") ? [key] : [])
  )

describe("renewOperator", () => {
  it.effect("certifies the operator's key every day, for 30 days each time", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Duration.toMillis(begin))
      const world = new World()
      const said: Array<string> = []
      const renewing = yield* Effect.forkChild(
        renewOperator(installFor(world)).pipe(Effect.provide(Layer.merge(world.layer(), saidInLog(said)))),
        { startImmediately: true }
      )
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(said.map((line) => line.slice(0, 55)), [
        "Warn: the operator was not certified anew: KM-IDN-103: "
      ])
      assert.lengthOf(operators(world), 0)
      // Put back: the next day's try finds it.
      world.secrets.set(signingKeyPath("operator"), Buffer.from(generateSeed()).toString("base64"))
      yield* TestClock.adjust("23 hours")
      assert.lengthOf(operators(world), 0)
      yield* TestClock.adjust("1 hour")
      const seconds = Duration.toSeconds(begin)
      assert.deepStrictEqual(operators(world).map(({ notBefore, notAfter }) => [notBefore, notAfter]), [
        [seconds + 2 * 86_400 - 300, seconds + 32 * 86_400 - 300]
      ])
      yield* TestClock.adjust("3 days")
      assert.deepStrictEqual(operators(world).map(({ notBefore }) => notBefore), [seconds + 5 * 86_400 - 300])
      assert.lengthOf(said, 1)
      yield* Fiber.interrupt(renewing)
    }))
})
