/** Statements of the certifier: numbered without gaps, never fewer than a reader has seen, and made while others make theirs. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { TestClock } from "effect/testing"
import { generateSeed, keyIdOf, signingKeyFromSeed } from "../../../../runtime/domain/identity/Ed25519.ts"
import { directoryPinPath } from "../../../../runtime/domain/identity/MailIdentity.ts"
import { bridgePinPath, checkRevocations } from "../../../../runtime/domain/identity/Revocations.ts"
import { InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import {
  announce,
  certifierKey,
  certifierKeyPath,
  type CertifierPorts,
  lastRevocation,
  lastRevocationPath,
  makePin,
  signingKeyFromText
} from "../../../../runtime/kernel/identity/Certifier.ts"
import { Identities } from "../../../../runtime/ports/Identities.ts"
import { Secrets } from "../../../../runtime/ports/Secrets.ts"
import { StoreError } from "../../../../runtime/ports/StoreError.ts"
import { World } from "../../../support/ControlWorld.ts"

const install = InstallName.make("km")
const subject = SandboxId.make("sb-1a2b3c4d")
const other = SandboxId.make("sb-2a2b3c4d")
const certifier = signingKeyFromSeed(generateSeed())
const keyId = keyIdOf(signingKeyFromSeed(generateSeed()).publicKey)
const statement = { install, subject, keyId, reason: "lost" }

const storeError = (port: string, reason: StoreError["reason"]) =>
  new StoreError({ port, operation: "x", reason, detail: "it is so", cause: undefined })

const onPorts = <A, E>(world: World, act: (ports: CertifierPorts) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    return yield* act({ identities: yield* Identities, secrets: yield* Secrets })
  }).pipe(Effect.provide(world.layer()))

const said = (world: World, known: number) => checkRevocations(certifier.publicKey, install, world.revocations, known)

/** A statement whose first tries meet a failure of the directory. */
const racing = (world: World, times: number, reason: StoreError["reason"]) => {
  let left = times
  return onPorts(world, ({ identities, secrets }) =>
    announce(
      {
        secrets,
        identities: {
          ...identities,
          revoke: (number, revocation) =>
            Effect.suspend(() =>
              left-- > 0
                ? Effect.fail(storeError("Identities", reason))
                : identities.revoke(number, revocation)
            )
        }
      },
      certifier,
      statement
    ))
}

describe("Certifier", () => {
  it("a key's text is the base64 of 32 bytes, and nothing else", () => {
    const text = Buffer.from(generateSeed()).toString("base64")
    assert.deepStrictEqual(signingKeyFromText(` ${text}\n`)?.publicKey, signingKeyFromText(text)?.publicKey)
    assert.isDefined(signingKeyFromText(text))
    for (const odd of ["", "x", Buffer.alloc(31).toString("base64"), Buffer.alloc(33).toString("base64")]) {
      assert.isUndefined(signingKeyFromText(odd), odd)
    }
  })

  it.effect("without its key nothing is certified", () =>
    Effect.gen(function*() {
      const world = new World()
      const key = yield* onPorts(world, ({ secrets }) => certifierKey(secrets))
      assert.deepStrictEqual(key.publicKey, signingKeyFromText(world.secrets.get(certifierKeyPath) ?? "")?.publicKey)
      for (const text of ["rubbish", undefined]) {
        if (text === undefined) world.secrets.delete(certifierKeyPath)
        else world.secrets.set(certifierKeyPath, text)
        const refused = yield* Effect.flip(onPorts(world, ({ secrets }) => certifierKey(secrets)))
        assert.deepInclude(refused, { _tag: "IdentityRefused", code: "KM-IDN-104" })
        assert.include(refused.message, "secrets/certifier")
      }
    }))

  it.effect("numbers statements from 1 and raises every reader's pin, none that is higher", () =>
    Effect.gen(function*() {
      const world = new World()
      yield* TestClock.adjust("1500 millis")
      world.secrets.set(directoryPinPath(subject), "0")
      world.secrets.set(directoryPinPath(other), "7")
      // A number, as a pin is, and none of the directory's.
      world.secrets.set(`sandbox/${other}/another-pin`, "0")
      assert.strictEqual(yield* onPorts(world, (ports) => announce(ports, certifier, statement)), 1)
      assert.strictEqual(world.secrets.get(lastRevocationPath), "1")
      assert.strictEqual(world.secrets.get(bridgePinPath), "1")
      assert.strictEqual(world.secrets.get(directoryPinPath(subject)), "1")
      assert.strictEqual(world.secrets.get(directoryPinPath(other)), "7")
      assert.strictEqual(world.secrets.get(`sandbox/${other}/another-pin`), "0")
      const [first] = world.revocations
      assert.deepInclude(JSON.parse(first?.revocation ?? "{}"), { version: 1, number: 1, at: 1, reason: "lost" })
      assert.strictEqual(yield* onPorts(world, (ports) => announce(ports, certifier, { ...statement, until: 9 })), 2)
      const whole = Result.getOrThrow(said(world, 2))
      assert.strictEqual(whole.highest, 2)
      assert.isTrue(whole.isRevoked(subject, keyId))
      assert.strictEqual(world.secrets.get(directoryPinPath(other)), "7")
      assert.strictEqual(world.secrets.get(bridgePinPath), "2")
    }))

  it.effect("takes the next number when another command took this one, and gives up on what is no such race", () =>
    Effect.gen(function*() {
      const world = new World()
      assert.strictEqual(yield* racing(world, 20, "Unavailable"), 1)
      assert.strictEqual((yield* Effect.flip(racing(world, 21, "Unavailable")))._tag, "StoreError")
      assert.strictEqual((yield* Effect.flip(racing(world, 1, "Denied")))._tag, "StoreError")
      assert.strictEqual(world.revocations.length, 1)
      assert.strictEqual(world.secrets.get(lastRevocationPath), "1")
    }))

  it.effect("states nothing on top of a directory that lacks a statement", () =>
    Effect.gen(function*() {
      const world = new World()
      yield* onPorts(world, (ports) => announce(ports, certifier, statement))
      world.revocations.length = 0
      const refused = yield* Effect.flip(onPorts(world, (ports) => announce(ports, certifier, statement)))
      assert.deepInclude(refused, { _tag: "IdentityRefused", code: "KM-IDN-103" })
      assert.lengthOf(world.revocations, 0)
    }))

  it.effect("where the certifier's secrets are out of reach, the bridge's pin says the highest number", () =>
    Effect.gen(function*() {
      const world = new World()
      world.secrets.set(bridgePinPath, " 4\n")
      world.secrets.set(lastRevocationPath, "9")
      const reading = (reason: StoreError["reason"]) =>
        onPorts(world, ({ secrets }) =>
          lastRevocation({
            ...secrets,
            get: (path) => path === lastRevocationPath ? Effect.fail(storeError("Secrets", reason)) : secrets.get(path)
          }))
      assert.strictEqual(yield* reading("Denied"), 4)
      assert.strictEqual((yield* Effect.flip(reading("Unavailable"))).reason, "Unavailable")
      assert.strictEqual(yield* onPorts(world, ({ secrets }) => lastRevocation(secrets)), 9)
      assert.strictEqual(yield* onPorts(new World(), ({ secrets }) => lastRevocation(secrets)), 0)
    }))

  it.effect("a new identity's pin begins with what was stated so far and is never lowered", () =>
    Effect.gen(function*() {
      const world = new World()
      const pin = onPorts(world, ({ secrets }) => makePin(secrets, subject))
      yield* pin
      assert.strictEqual(world.secrets.get(directoryPinPath(subject)), "0")
      world.secrets.set(lastRevocationPath, "3")
      yield* pin
      assert.strictEqual(world.secrets.get(directoryPinPath(subject)), "3")
      world.secrets.set(directoryPinPath(subject), "5")
      yield* pin
      assert.strictEqual(world.secrets.get(directoryPinPath(subject)), "5")
    }))
})
