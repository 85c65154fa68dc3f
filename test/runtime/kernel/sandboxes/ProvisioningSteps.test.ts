/** What a create tells on its way, and what each refusal says. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { generateSeed, signingKeyFromSeed } from "../../../../runtime/domain/identity/Ed25519.ts"
import { Alias, ChannelId, InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import type { SandboxStatus } from "../../../../runtime/domain/sandbox/Sandbox.ts"
import { certifierKeyPath } from "../../../../runtime/kernel/identity/Certifier.ts"
import { signingKeyPath } from "../../../../runtime/kernel/identity/KeyRotation.ts"
import type { CreateRequest } from "../../../../runtime/kernel/sandboxes/CreateRequest.ts"
import { Provisioning } from "../../../../runtime/kernel/sandboxes/Provisioning.ts"
import { bridgeCertificate } from "../../../../runtime/kernel/sandboxes/SandboxIdentity.ts"
import { Teardown } from "../../../../runtime/kernel/sandboxes/Teardown.ts"
import { Bridge } from "../../../../runtime/ports/Bridge.ts"
import { SandboxHost } from "../../../../runtime/ports/SandboxHost.ts"
import { World } from "../../../support/ControlWorld.ts"
import { profileWith, slackProfile } from "../../../support/profiles.ts"

const id = SandboxId.make("sb-1a2b3c4d")
const install = InstallName.make("km")
const demo: CreateRequest = {
  id,
  install,
  alias: Alias.make("demo"),
  profile: slackProfile,
  unconfined: false,
  readyWithin: Duration.seconds(60)
}
const { alias: _, ...nameless } = demo

/** A create in a program of its own, and what it told. `change` stands in for ports that answer oddly. */
const creating = Effect.fnUntraced(function*(
  world: World,
  request: CreateRequest = demo,
  change: (layer: ReturnType<World["layer"]>) => ReturnType<World["layer"]> = (layer) => layer
) {
  const told: Array<string> = []
  const made = yield* Effect.flatMap(Provisioning, (provisioning) =>
    Effect.result(
      provisioning.create(request, (step, detail) => Effect.sync(() => void told.push(`${step} ${detail}`.trim())))
    )).pipe(
      Effect.provide(Provisioning.layer.pipe(Layer.provideMerge(Teardown.layer), Layer.provide(change(world.layer()))))
    )
  return { told, made }
})

const refusal = Effect.fnUntraced(function*(...args: Parameters<typeof creating>) {
  const { made } = yield* creating(...args)
  if (made._tag === "Success") return assert.fail("it was made")
  const { code, reason, remedy, step } = made.failure
  return { code, step, reason, remedy }
})

describe("a create tells its steps", () => {
  it.effect("all of them, in order, with what they made", () =>
    Effect.gen(function*() {
      const { told } = yield* creating(new World())
      assert.deepStrictEqual(told, ["row demo", "key", "identity", "queue", "channel sb-demo", "start", "ready"])
    }))

  it.effect("without an alias, without Slack, and with a channel of somebody's own", () =>
    Effect.gen(function*() {
      const quiet = yield* creating(new World(), { ...nameless, alias: undefined, profile: profileWith() })
      assert.deepStrictEqual(quiet.told, ["row", "key", "identity", "start", "ready"])
      const pinned = { notifySlackEnabled: true, notifySlackChannelOverride: "C0009" }
      const { made, told } = yield* creating(new World(), { ...demo, profile: profileWith(pinned) })
      assert.include(told, "channel C0009")
      assert.deepInclude(made._tag === "Success" ? made.success : {}, {
        channel: ChannelId.make("C0009"),
        channelMode: "override"
      })
    }))

  it.effect("only the row's where it was made long ago", () =>
    Effect.gen(function*() {
      const world = new World()
      yield* creating(world)
      assert.deepStrictEqual((yield* creating(world)).told, ["row demo"])
    }))
})

describe("a create refuses", () => {
  it.effect("an id that is there in another state, or for something else", () =>
    Effect.gen(function*() {
      const world = new World()
      yield* creating(world)
      const as = (status: SandboxStatus) => {
        const row = world.rows.get(id)
        if (row !== undefined) world.rows.set(id, { ...row, status })
      }
      as("destroying")
      assert.deepStrictEqual(yield* refusal(world), {
        code: "KM-CLI-102",
        step: "row",
        reason: "it is being destroyed",
        remedy: `look at "km status ${id}" and wait until it is gone`
      })
      for (const status of ["stopped", "failed"] as const) {
        as(status)
        assert.deepInclude(yield* refusal(world), { code: "KM-CLI-102", reason: `it exists and is ${status}` })
      }
      as("running")
      for (const other of [{ alias: Alias.make("other") }, { alias: undefined }, { profile: profileWith() }]) {
        assert.deepInclude(yield* refusal(world, { ...demo, ...other }), {
          code: "KM-CLI-102",
          reason: "it exists with another profile or alias"
        })
      }
      assert.strictEqual(world.rows.get(id)?.status, "running")
      const taken = { ...demo, id: SandboxId.make("sb-00000002") }
      assert.deepInclude(yield* refusal(world, taken), {
        code: "KM-CLI-101",
        step: "row",
        reason: "the alias demo is taken by another sandbox"
      })
    }))

  it.effect("names of the operator's, and installs without the certifier's key", () =>
    Effect.gen(function*() {
      assert.deepInclude(yield* refusal(new World(), { ...demo, alias: Alias.make("operator") }), {
        code: "KM-CLI-101",
        step: "row",
        remedy: "choose another alias"
      })
      const world = new World()
      world.secrets.set(certifierKeyPath, "rubbish")
      assert.deepInclude(yield* refusal(world), {
        code: "KM-CLI-106",
        step: "identity",
        reason: "this install has no certifier key"
      })
    }))

  it.effect("to go on with a bridge that refuses or names no channel, and undoes what there was", () =>
    Effect.gen(function*() {
      const world = new World()
      const unnamed = yield* refusal(
        world,
        demo,
        (layer) => Layer.merge(layer, Layer.succeed(Bridge, Bridge.of({ call: () => Effect.succeed({ ok: true }) })))
      )
      assert.deepInclude(unnamed, { code: "KM-CLI-103", step: "channel", reason: "the bridge named no channel" })
      assert.deepStrictEqual(world.snapshot(), new World().snapshot())
      const down = new World()
      down.bridgeDown = true
      const stuck = yield* refusal(down)
      assert.deepInclude(stuck, { code: "KM-CLI-105", step: "channel" })
      assert.match(stuck.reason, /^the bridge refused channel\.ensure: down \(unavailable\); undoing it stopped too: /)
      assert.include(stuck.remedy, `km destroy ${id} --yes`)
    }))

  it.effect("to go on without its key", () =>
    Effect.gen(function*() {
      const world = new World()
      world.rows.set(id, {
        id,
        install,
        alias: Alias.make("demo"),
        profile: slackProfile,
        desired: "stopped",
        status: "creating",
        unconfined: false,
        createdAt: 0,
        generation: "1",
        inventory: [{ kind: "secret", ref: signingKeyPath(id), state: "made" }]
      })
      assert.deepInclude(yield* refusal(world), {
        code: "KM-CLI-103",
        step: "identity",
        reason: "its signing key cannot be read",
        remedy: "then run the same command again"
      })
    }))
})

describe("readiness", () => {
  it.effect("is looked for every half second, and a runtime that comes late is ready", () =>
    Effect.gen(function*() {
      const world = new World()
      let looks = 0
      const counting = (layer: ReturnType<World["layer"]>) =>
        Layer.merge(
          layer,
          Layer.effect(
            SandboxHost,
            Effect.map(SandboxHost, (host) => SandboxHost.of({ ...host, ready: () => Effect.sync(() => ++looks > 3) }))
          ).pipe(Layer.provide(layer))
        )
      const fiber = yield* Effect.forkChild(creating(world, demo, counting), { startImmediately: true })
      for (const expected of [1, 2, 3]) {
        assert.strictEqual(looks, expected)
        yield* TestClock.adjust("499 millis")
        assert.strictEqual(looks, expected)
        yield* TestClock.adjust("1 millis")
      }
      const { made, told } = yield* Fiber.join(fiber)
      assert.strictEqual(made._tag, "Success")
      assert.strictEqual(told.at(-1), "ready")
      assert.strictEqual(world.rows.get(id)?.status, "running")
    }))

  it.effect("that does not come is said with how long was waited", () =>
    Effect.gen(function*() {
      const world = new World()
      world.neverReady = true
      const fiber = yield* Effect.forkChild(refusal(world), { startImmediately: true })
      yield* TestClock.adjust("60 seconds")
      assert.deepInclude(yield* Fiber.join(fiber), {
        code: "KM-CLI-104",
        step: "ready",
        reason: "its runtime was not ready within 1m"
      })
    }))
})

describe("bridgeCertificate", () => {
  it("is valid from five minutes ago for 30 days, for a sandbox or for the operator", () => {
    const certifier = signingKeyFromSeed(generateSeed())
    const key = signingKeyFromSeed(generateSeed())
    for (const [subject, purpose] of [[id, "bridge"], ["operator", "operator"]] as const) {
      const made = bridgeCertificate(certifier, install, subject, key, 1_000_000_999)
      assert.deepStrictEqual(JSON.parse(made.certificate), {
        version: 1,
        install,
        subject,
        addresses: [],
        purpose,
        keyId: key.keyId,
        publicKey: Buffer.from(key.publicKey).toString("base64"),
        notBefore: 999_700,
        notAfter: 999_700 + 30 * 86_400
      })
    }
  })
})

describe("renewal", () => {
  it.effect("says what it cannot certify", () =>
    Effect.gen(function*() {
      const world = new World()
      yield* creating(world)
      const row = world.rows.get(id)
      if (row === undefined) return assert.fail("no row")
      const renewing = Effect.flip(Effect.flatMap(Provisioning, (provisioning) => provisioning.renewCertificate(row)))
        .pipe(Effect.provide(Provisioning.layer.pipe(Layer.provideMerge(Teardown.layer), Layer.provide(world.layer()))))
      world.secrets.set(`sandbox/${id}/mail-signing-key`, "rubbish")
      const refused = yield* renewing
      assert.deepInclude(refused, { code: "KM-CLI-103", step: "identity" })
      assert.include(refused.reason, `the secret sandbox/${id}/mail-signing-key is no key`)
      assert.include(refused.remedy, "km identity verify")
      world.secrets.delete(certifierKeyPath)
      assert.strictEqual((yield* renewing).code, "KM-CLI-106")
    }))
})
