/** The operator's mail identity: what its desk knows, when its keys are made, and how they are certified anew. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { certificatesOf, type KeyPurpose } from "../../../../runtime/domain/identity/Certificate.ts"
import { generateSeed } from "../../../../runtime/domain/identity/Ed25519.ts"
import { InstallName } from "../../../../runtime/domain/sandbox/Ids.ts"
import { certifierKeyPath, signingKeyFromText } from "../../../../runtime/kernel/identity/Certifier.ts"
import { signingKeyPath } from "../../../../runtime/kernel/identity/KeyRotation.ts"
import { mailSecrets } from "../../../../runtime/kernel/identity/MailIdentities.ts"
import {
  certifyOperatorAnew,
  deskOptions,
  ensureOperator,
  operatorOwner
} from "../../../../runtime/kernel/mail/OperatorMail.ts"
import { World } from "../../../support/ControlWorld.ts"
import { exampleInstall } from "../../../support/installs.ts"

const km = InstallName.make("km")
const start = 20_000 * 86_400
const begun = Effect.suspend(() => TestClock.setTime(start * 1_000))

/** What readers believe of the operator's keys for a purpose. */
const certified = (world: World, purpose: KeyPurpose) =>
  certificatesOf(
    signingKeyFromText(world.secrets.get(certifierKeyPath) ?? "")?.publicKey ?? new Uint8Array(),
    km,
    "operator",
    purpose,
    [...world.identities.get("operator") ?? []].flatMap(([name, key]) => name.startsWith(`${purpose} `) ? [key] : [])
  )

const mailPaths = mailSecrets("operator", true).map(([path]) => path)

const optionsOf = (world: World, changes: Partial<typeof exampleInstall>) =>
  deskOptions({ ...exampleInstall, ...changes }, operatorOwner).pipe(Effect.provide(world.layer()))

describe("deskOptions", () => {
  it.effect("are the install's, and its own invented domain where it names none", () =>
    Effect.gen(function*() {
      const world = new World()
      world.secrets.set("certifier/last-revocation", "3")
      const smtp = { relay: { host: "mx.example.com", port: 25, maxBytes: 70_000 } }
      assert.deepStrictEqual(yield* optionsOf(world, { smtp }), {
        owner: "operator",
        name: "operator",
        policy: {
          signing: "required",
          verifyInbound: "required",
          encryption: "optional",
          allowedSenders: ["install"],
          onReceive: "notify"
        },
        install: km,
        certifierPublicKey: Buffer.alloc(32),
        domain: "km.invalid",
        v1Senders: [],
        revocations: 3
      }, "nothing leaves from an invented domain, whatever relay there is")
      const older = { sender: "operator" as const, publicKey: exampleInstall.certifierPublicKey, addresses: ["a@b.c"] }
      const named = yield* optionsOf(world, { smtp, mailDomain: "example.com", v1Senders: [older] })
      assert.deepInclude(named, { domain: "example.com", relay: { maxBytes: 70_000 }, v1Senders: [older] })
      assert.notProperty(yield* optionsOf(world, { mailDomain: "example.com" }), "relay")
    }))
})

/** Counts how often keys were made under the lock. */
const ensured = (world: World, install = exampleInstall) =>
  Effect.gen(function*() {
    let alone = 0
    yield* ensureOperator(install, Effect.sync(() => void alone++)).pipe(Effect.provide(world.layer()))
    return alone
  })

describe("ensureOperator", () => {
  it.effect("makes the keys under the lock, once, and certifies them", () =>
    Effect.gen(function*() {
      yield* begun
      const world = new World()
      assert.strictEqual(yield* ensured(world), 1)
      assert.includeMembers([...world.secrets.keys()], [...mailPaths])
      for (const purpose of ["mail", "mail-box"] as const) {
        assert.deepStrictEqual(
          certified(world, purpose).map(({ addresses, notAfter, notBefore }) => ({ addresses, notAfter, notBefore })),
          [{ addresses: ["operator@km.invalid"], notBefore: start - 300, notAfter: start - 300 + 30 * 86_400 }]
        )
      }
      const before = JSON.stringify([...world.secrets])
      assert.strictEqual(yield* ensured(world), 0, "nothing is made, so nobody is kept out")
      assert.strictEqual(JSON.stringify([...world.secrets]), before)
      // One that is missing is made again, and that is under the lock too.
      for (const path of mailPaths) {
        world.secrets.delete(path)
        assert.strictEqual(yield* ensured(world), 1, path)
        assert.isTrue(world.secrets.has(path), path)
      }
    }))

  it.effect("does nothing where the certifier's key is not, or is none", () =>
    Effect.gen(function*() {
      for (const text of [undefined, "rubbish"]) {
        const world = new World()
        world.secrets.delete(certifierKeyPath)
        if (text !== undefined) world.secrets.set(certifierKeyPath, text)
        const before = JSON.stringify([...world.secrets])
        assert.strictEqual(yield* ensured(world), 0)
        assert.strictEqual(JSON.stringify([...world.secrets]), before)
        assert.strictEqual(world.identities.size, 0)
      }
    }))

  it.effect("certifies anew ten days before the end, for another address, and for a key that is not certified", () =>
    Effect.gen(function*() {
      yield* begun
      const world = new World()
      const firstEnds = () => certified(world, "mail").map(({ notAfter }) => notAfter)
      yield* ensured(world)
      const made = firstEnds()
      // Ten days are left at 20 days less the five minutes that it reaches back; not yet a second before.
      yield* TestClock.setTime((start + 20 * 86_400 - 301) * 1_000)
      yield* ensured(world)
      assert.deepStrictEqual(firstEnds(), made)
      yield* TestClock.adjust("1 second")
      yield* ensured(world)
      assert.notDeepEqual(firstEnds(), made)
      const renewed = firstEnds()
      yield* ensured(world, { ...exampleInstall, mailDomain: "example.com" })
      assert.deepStrictEqual(certified(world, "mail").map(({ addresses }) => addresses), [["operator@example.com"]])
      assert.deepStrictEqual(certified(world, "mail-box").map(({ addresses }) => addresses), [["operator@example.com"]])
      assert.deepStrictEqual(firstEnds(), renewed, "at the same second it lasts as long")
      // A certificate of one of the two is enough for neither.
      for (const purpose of ["mail", "mail-box"] as const) {
        const rows = world.identities.get("operator")
        for (const name of rows?.keys() ?? []) if (name.startsWith(`${purpose} `)) rows?.delete(name)
        yield* ensured(world, { ...exampleInstall, mailDomain: "example.com" })
        assert.lengthOf(certified(world, purpose), 1, purpose)
      }
    }))
})

const anew = (world: World, changes: { readonly mailDomain?: string } = {}) =>
  certifyOperatorAnew({ install: km, ...changes }).pipe(Effect.provide(world.layer()))

describe("certifyOperatorAnew", () => {
  it.effect("certifies the key that asks the bridge, for 30 days, and mail's that are due", () =>
    Effect.gen(function*() {
      yield* begun
      const world = new World()
      const seed = generateSeed()
      world.secrets.set(signingKeyPath("operator"), Buffer.from(seed).toString("base64"))
      yield* anew(world, { mailDomain: "example.com" })
      assert.deepStrictEqual(
        certified(world, "operator").map(({ addresses, notAfter, notBefore, publicKey }) => ({
          addresses,
          notAfter,
          notBefore,
          publicKey
        })),
        [{
          addresses: [],
          notBefore: start - 300,
          notAfter: start - 300 + 30 * 86_400,
          publicKey: Buffer.from(
            signingKeyFromText(world.secrets.get(signingKeyPath("operator")) ?? "")?.publicKey ?? []
          ).toString("base64")
        }]
      )
      assert.deepStrictEqual(certified(world, "mail").map(({ addresses }) => addresses), [["operator@example.com"]])
      // It makes no key of the bridge: what is there stays.
      assert.strictEqual(world.secrets.get(signingKeyPath("operator")), Buffer.from(seed).toString("base64"))
      yield* TestClock.adjust(Duration.days(1))
      yield* anew(world, { mailDomain: "example.com" })
      assert.deepStrictEqual(certified(world, "operator").map(({ notBefore }) => notBefore), [start + 86_400 - 300])
      assert.deepStrictEqual(certified(world, "mail").map(({ notBefore }) => notBefore), [start - 300])
    }))

  it.effect("is refused without the certifier's key, and without a key of the operator that can be read", () =>
    Effect.gen(function*() {
      for (const text of [undefined, "rubbish"]) {
        const world = new World()
        if (text !== undefined) world.secrets.set(signingKeyPath("operator"), text)
        assert.deepInclude(yield* Effect.flip(anew(world)), {
          _tag: "IdentityRefused",
          code: "KM-IDN-103",
          reason: "the operator's key cannot be read"
        })
        assert.strictEqual(world.identities.size, 0)
        world.secrets.delete(certifierKeyPath)
        assert.deepInclude(yield* Effect.flip(anew(world)), { _tag: "IdentityRefused", code: "KM-IDN-104" })
      }
    }))
})
