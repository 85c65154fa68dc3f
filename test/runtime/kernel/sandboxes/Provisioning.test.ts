import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Result } from "effect"
import { TestClock } from "effect/testing"
import {
  type Certificate,
  type CertifiedKey,
  verifyCertificate
} from "../../../../runtime/domain/identity/Certificate.ts"
import { generateSeed, keyIdOf, signingKeyFromSeed } from "../../../../runtime/domain/identity/Ed25519.ts"
import {
  mailBoxKeyPath,
  mailBoxPublicKey,
  mailSigningKeyFromText,
  mailSigningKeyPath
} from "../../../../runtime/domain/identity/MailIdentity.ts"
import { Alias, ChannelId, InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { certifierKeyPath, signingKeyFromText } from "../../../../runtime/kernel/identity/Certifier.ts"
import { signingKeyPath } from "../../../../runtime/kernel/identity/KeyRotation.ts"
import { ensureOperatorMail } from "../../../../runtime/kernel/identity/MailIdentities.ts"
import { channelNameOf } from "../../../../runtime/kernel/sandboxes/ChannelName.ts"
import type { CreateRequest } from "../../../../runtime/kernel/sandboxes/CreateRequest.ts"
import { Provisioning } from "../../../../runtime/kernel/sandboxes/Provisioning.ts"
import { Teardown } from "../../../../runtime/kernel/sandboxes/Teardown.ts"
import { World } from "../../../support/ControlWorld.ts"
import { profileWith, slackProfile } from "../../../support/profiles.ts"

const id = SandboxId.make("sb-1a2b3c4d")
const demo: CreateRequest = {
  id,
  install: InstallName.make("km"),
  alias: Alias.make("demo"),
  profile: slackProfile,
  unconfined: false,
  readyWithin: Duration.seconds(60)
}

/** One program on the world, as a process of its own: services are built anew. */
const onWorld = <A, E>(world: World, effect: Effect.Effect<A, E, Provisioning | Teardown>) =>
  effect.pipe(
    Effect.provide(Provisioning.layer.pipe(Layer.provideMerge(Teardown.layer), Layer.provide(world.layer())))
  )

const create = (world: World, request: CreateRequest = demo) =>
  onWorld(world, Effect.flatMap(Provisioning, (provisioning) => provisioning.create(request)))

const destroy = (world: World) => onWorld(world, Effect.flatMap(Teardown, (teardown) => teardown.run(id, "destroyed")))

describe("ChannelName", () => {
  it("prefixes once, keeps Slack's alphabet, and is at most 80 long", () => {
    assert.strictEqual(channelNameOf({ id }), "sb-1a2b3c4d")
    assert.strictEqual(channelNameOf({ id: SandboxId.make("api-1a2b3c4d") }), "sb-api-1a2b3c4d")
    assert.strictEqual(channelNameOf({ id, alias: Alias.make("demo") }), "sb-demo")
    assert.strictEqual(channelNameOf({ id, alias: Alias.make("sb-demo") }), "sb-demo")
  })
  it.prop("every alias gives a name that the protocol takes", [Alias], ([alias]) => {
    assert.match(channelNameOf({ id, alias }), /^[a-z0-9_-]{1,80}$/)
  })
})

describe("Provisioning", () => {
  it.effect("makes a running sandbox whose inventory names everything that was made", () =>
    Effect.gen(function*() {
      const world = new World()
      const row = yield* create(world)
      assert.deepInclude(row, {
        status: "running",
        desired: "running",
        channel: ChannelId.make("C1000"),
        channelName: "sb-demo",
        channelMode: "perSandbox",
        expiresAt: row.createdAt + 8 * 3_600_000
      })
      assert.deepStrictEqual(row.inventory.map(({ kind, ref, state }) => `${kind} ${ref} ${state}`), [
        "alias demo made",
        "threads sb-1a2b3c4d planned",
        "objects sb-1a2b3c4d planned",
        "mailbox sb-1a2b3c4d planned",
        "secret sandbox/sb-1a2b3c4d/signing-key made",
        "identity sb-1a2b3c4d made",
        "secret sandbox/sb-1a2b3c4d/mail-signing-key made",
        "secret sandbox/sb-1a2b3c4d/mailbox-key made",
        "secret sandbox/sb-1a2b3c4d/encryption-key made",
        "secret sandbox/sb-1a2b3c4d/directory-pin made",
        "identity sb-1a2b3c4d/mail made",
        "queue sb-1a2b3c4d made",
        "channel sb-demo made",
        "directory sb-1a2b3c4d made",
        "runtime sb-1a2b3c4d made"
      ])
      assert.strictEqual(world.aliasChannels.get(Alias.make("demo")), "C1000")
    }))

  it.effect("the identity is certified by the install's certifier for the key that was stored", () =>
    Effect.gen(function*() {
      const world = new World()
      yield* create(world)
      const certifier = signingKeyFromText(world.secrets.get(certifierKeyPath) ?? "")
      const key = signingKeyFromText(world.secrets.get(signingKeyPath(id)) ?? "")
      const certified = [...world.identities.get(id)?.values() ?? []][0]
      assert.isDefined(certifier)
      assert.isDefined(certified)
      if (certifier === undefined || certified === undefined || key === undefined) return
      const certificate = verifyCertificate(certifier.publicKey, certified, 0)
      assert.deepInclude(certificate, { subject: id, install: demo.install, purpose: "bridge", keyId: key.keyId })
    }))

  it.effect("mail keys are certified for its addresses, apart from the bridge's key", () =>
    Effect.gen(function*() {
      const world = new World()
      const row = yield* create(world)
      assert.deepStrictEqual(row.mailAddresses, ["sb-1a2b3c4d@km.invalid", "demo@km.invalid"])
      const certifier = signingKeyFromText(world.secrets.get(certifierKeyPath) ?? "")
      const signing = mailSigningKeyFromText(world.secrets.get(mailSigningKeyPath(id)) ?? "")
      const box = mailBoxPublicKey(world.secrets.get(mailBoxKeyPath(id)) ?? "")
      assert.isDefined(certifier)
      assert.isDefined(signing)
      assert.isDefined(box)
      if (certifier === undefined || signing === undefined || box === undefined) return
      const certificates = [...world.identities.get(id)?.values() ?? []].map((key) =>
        verifyCertificate(certifier.publicKey, key, 0)
      )
      assert.deepInclude(certificates[1], { purpose: "mail", keyId: signing.keyId, addresses: row.mailAddresses ?? [] })
      assert.deepInclude(certificates[2], { purpose: "mail-box", keyId: keyIdOf(box) })
      assert.notStrictEqual(certificates[0]?.keyId, certificates[1]?.keyId)
    }))

  it.effect("without encryption there is no X25519 key, without mail none at all; an id is nobody's alias", () =>
    Effect.gen(function*() {
      const plain = new World()
      yield* create(plain, {
        ...demo,
        profile: profileWith({}, { email: { encryption: "off" } }),
        mailDomain: "example.org"
      })
      assert.isUndefined(plain.secrets.get(mailBoxKeyPath(id)))
      assert.isDefined(plain.secrets.get(mailSigningKeyPath(id)))
      const other = SandboxId.make("sb-2")
      const row = yield* create(plain, { ...demo, id: other, alias: Alias.make(id), mailDomain: "example.org" })
      assert.deepStrictEqual(row.mailAddresses, ["sb-2@example.org"])
      const off = new World()
      const silent = yield* create(off, { ...demo, profile: profileWith({ notifyEmailEnabled: false }) })
      assert.isUndefined(silent.mailAddresses)
      assert.strictEqual(off.identities.get(id)?.size, 1)
    }))

  it.effect("without Slack there is no queue and no channel, and the bridge is never asked", () =>
    Effect.gen(function*() {
      const world = new World()
      world.bridgeDown = true
      const row = yield* create(world, { ...demo, profile: profileWith() })
      assert.isUndefined(row.channel)
      assert.deepStrictEqual(world.snapshot().queues, [])
      assert.strictEqual(row.status, "running")
    }))

  it.effect("a pinned channel is taken as it is and never archived", () =>
    Effect.gen(function*() {
      const world = new World()
      const profile = profileWith({ notifySlackEnabled: true, notifySlackChannelOverride: "C0777" })
      const row = yield* create(world, { ...demo, profile })
      assert.deepInclude(row, { channel: ChannelId.make("C0777"), channelMode: "override" })
      yield* destroy(world)
      assert.strictEqual(world.archived.size, 0)
    }))

  it.effect("a step that fails undoes what there is", () =>
    Effect.gen(function*() {
      const world = new World()
      world.hostBroken = true
      const failure = yield* Effect.flip(create(world))
      assert.deepInclude(failure, { code: "KM-CLI-103", step: "start" })
      assert.deepStrictEqual(world.snapshot(), new World().snapshot())
      assert.deepStrictEqual([...world.archived], ["C1000"])
    }))

  it.effect("undoing leaves a channel that the alias had before as it was", () =>
    Effect.gen(function*() {
      const world = new World()
      world.channels.set("C0500", "sb-demo")
      world.aliasChannels.set(Alias.make("demo"), ChannelId.make("C0500"))
      world.hostBroken = true
      yield* Effect.flip(create(world))
      assert.strictEqual(world.archived.size, 0)
      world.hostBroken = false
      assert.strictEqual((yield* create(world)).channel, "C0500")
    }))

  it.effect("waits for readiness until its bound and not a moment longer", () =>
    Effect.gen(function*() {
      const world = new World()
      world.neverReady = true
      const fiber = yield* Effect.forkChild(Effect.result(create(world)), { startImmediately: true })
      yield* TestClock.adjust("59500 millis")
      assert.isUndefined(fiber.pollUnsafe())
      assert.strictEqual(world.rows.size, 1)
      yield* TestClock.adjust("500 millis")
      const result = yield* Fiber.join(fiber)
      assert.isTrue(Result.isFailure(result) && result.failure.code === "KM-CLI-104")
      assert.deepStrictEqual(world.snapshot(), new World().snapshot())
    }))

  it.effect("when undoing fails too, the rest is listed and destroy continues", () =>
    Effect.gen(function*() {
      const world = new World()
      world.bridgeDown = true
      const failure = yield* Effect.flip(create(world))
      assert.strictEqual(failure.code, "KM-CLI-105")
      assert.strictEqual(world.rows.get(id)?.status, "destroying")
      world.bridgeDown = false
      yield* destroy(world)
      assert.deepStrictEqual(world.snapshot(), new World().snapshot())
    }))

  it.effect("refuses a taken alias, another profile under the same id, and a sandbox that is going", () =>
    Effect.gen(function*() {
      const world = new World()
      yield* create(world)
      const other = { ...demo, id: SandboxId.make("sb-00000002") }
      assert.deepInclude(yield* Effect.flip(create(world, other)), { code: "KM-CLI-101", sandbox: other.id })
      assert.strictEqual(world.rows.size, 1)
      const changed = yield* Effect.flip(create(world, { ...demo, profile: profileWith() }))
      assert.strictEqual(changed.code, "KM-CLI-102")
      const row = world.rows.get(id)
      if (row !== undefined) world.rows.set(id, { ...row, status: "destroying" })
      assert.strictEqual((yield* Effect.flip(create(world))).code, "KM-CLI-102")
    }))

  it.effect("an existing sandbox is returned and never undone, ready or not", () =>
    Effect.gen(function*() {
      const world = new World()
      yield* create(world)
      world.neverReady = true
      assert.strictEqual((yield* create(world)).status, "running")
      assert.strictEqual(world.rows.size, 1)
    }))

  it.effect("without a certifier key nothing is left and the remedy is said", () =>
    Effect.gen(function*() {
      const world = new World()
      world.secrets.delete(certifierKeyPath)
      assert.strictEqual((yield* Effect.flip(create(world))).code, "KM-CLI-106")
      assert.deepStrictEqual(world.snapshot().rows, [])
    }))

  it.effect("renews a certificate within 10 days of its end, not before", () =>
    Effect.gen(function*() {
      const world = new World()
      const row = yield* create(world)
      const renew = onWorld(world, Effect.flatMap(Provisioning, (provisioning) => provisioning.renewCertificate(row)))
      // The certificate began 300 s before the create.
      yield* TestClock.adjust(Duration.seconds(20 * 24 * 3_600 - 301))
      assert.isFalse(yield* renew)
      yield* TestClock.adjust(Duration.seconds(1))
      assert.isTrue(yield* renew)
      assert.isFalse(yield* renew)
    }))

  it.effect("nobody but the operator is called operator", () =>
    Effect.gen(function*() {
      const world = new World()
      const refused = yield* Effect.flip(create(world, { ...demo, alias: Alias.make("operator") }))
      assert.strictEqual(refused.code, "KM-CLI-101")
      assert.deepStrictEqual(world.snapshot().rows, [])
    }))
})

describe("the operator's mail identity", () => {
  const key = signingKeyFromSeed(generateSeed())
  const ensure = (world: World, domain?: string) =>
    Effect.provide(ensureOperatorMail(key, InstallName.make("km"), domain), world.layer())

  it.effect("is made once, also late, renewed within 10 days of its end, and anew for another domain", () =>
    Effect.gen(function*() {
      const world = new World()
      assert.isTrue(yield* ensure(world))
      const paths = ["encryption-key", "mail-signing-key", "mailbox-key"].map((name) => `sandbox/operator/${name}`)
      assert.includeMembers([...world.secrets.keys()], paths)
      const before = paths.map((path) => world.secrets.get(path))
      const rows = world.identities.get("operator") ?? new Map<string, CertifiedKey>()
      const addresses = () =>
        [...rows].map(([name, row]) => {
          const { addresses: [address], notBefore } = JSON.parse(row.certificate) as Certificate
          return `${name.split(" ")[0]} ${address} ${notBefore}`
        })
      assert.deepStrictEqual(addresses(), ["mail operator@km.invalid -300", "mail-box operator@km.invalid -300"])

      yield* TestClock.adjust(Duration.seconds(20 * 24 * 3_600 - 301))
      assert.isFalse(yield* ensure(world))
      yield* TestClock.adjust(Duration.seconds(1))
      assert.isTrue(yield* ensure(world))
      assert.isFalse(yield* ensure(world))
      // Seven days back, for mail that is under way.
      const since = 13 * 24 * 3_600 - 300
      assert.deepStrictEqual(addresses(), [
        `mail operator@km.invalid ${since}`,
        `mail-box operator@km.invalid ${since}`
      ])
      assert.isTrue(yield* ensure(world, "example.org"))
      assert.match(addresses().join(), /operator@example\.org/)
      assert.deepStrictEqual(paths.map((path) => world.secrets.get(path)), before, "the keys stay")
    }))
})
