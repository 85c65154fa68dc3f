/** How each key of the directory stands, judged as readers judge it, and which of them a person has to do something about. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { type Certificate, certify, type KeyPurpose } from "../../../../runtime/domain/identity/Certificate.ts"
import { generateSeed, type SigningKey, signingKeyFromSeed } from "../../../../runtime/domain/identity/Ed25519.ts"
import { InstallName, type KeyId, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { announce, certifierKeyPath, signingKeyFromText } from "../../../../runtime/kernel/identity/Certifier.ts"
import {
  dueKeys,
  keysOf,
  keysOfAll,
  type KeyView,
  revocationsOf
} from "../../../../runtime/kernel/identity/IdentityKeys.ts"
import { Identities } from "../../../../runtime/ports/Identities.ts"
import { Secrets } from "../../../../runtime/ports/Secrets.ts"
import { World } from "../../../support/ControlWorld.ts"
import { exampleInstall } from "../../../support/installs.ts"
import { slackProfile } from "../../../support/profiles.ts"

const km = InstallName.make("km")
const id = SandboxId.make("sb-1a2b3c4d")
const day = 24 * 3_600
/** Unix seconds of every test's beginning. */
const start = 20_000 * day
const iso = (seconds: number) => new Date(seconds * 1_000).toISOString()

const certifierOf = (world: World): SigningKey => {
  const key = signingKeyFromText(world.secrets.get(certifierKeyPath) ?? "")
  if (key === undefined) throw new Error("the world has a certifier")
  return key
}

/** A row of the directory, which the certifier signed unless `by` did. */
const put = (world: World, changes: Partial<Certificate> = {}, by = certifierOf(world), under: KeyPurpose = "mail") => {
  const key = signingKeyFromSeed(generateSeed())
  const certificate: Certificate = {
    version: 1,
    install: km,
    subject: id,
    addresses: ["demo@km.invalid"],
    purpose: "mail",
    keyId: key.keyId,
    publicKey: Buffer.from(key.publicKey).toString("base64"),
    notBefore: start - day,
    notAfter: start + day,
    ...changes
  }
  const rows = world.identities.get(id) ?? new Map()
  world.identities.set(id, rows.set(`${under} ${certificate.keyId}`, certify(by, certificate)))
  return certificate.keyId
}

const installFor = (world: World) => ({
  ...exampleInstall,
  certifierPublicKey: Buffer.from(certifierOf(world).publicKey).toString("base64")
})

const views = (world: World, gone = false) =>
  Effect.gen(function*() {
    const install = installFor(world)
    return yield* keysOf(install, id, yield* revocationsOf(install), gone)
  }).pipe(Effect.provide(world.layer()))

const stated = (world: World, keyId: KeyId, until?: number) =>
  Effect.gen(function*() {
    const ports = { identities: yield* Identities, secrets: yield* Secrets }
    const statement = { install: km, subject: id, keyId, reason: "lost" }
    return yield* announce(ports, certifierOf(world), until === undefined ? statement : { ...statement, until })
  }).pipe(Effect.provide(world.layer()))

const atStart = Effect.suspend(() => TestClock.setTime(start * 1_000))

const standings = (keys: ReadonlyArray<KeyView>) => keys.map(({ standing }) => standing)

describe("the standing of a key", () => {
  it.effect("goes by its certificate's time, whose beginning counts and whose end does not", () =>
    Effect.gen(function*() {
      yield* atStart
      const world = new World()
      const keyId = put(world, { notBefore: start + 10, notAfter: start + 20 })
      assert.deepStrictEqual(yield* views(world), [{
        owner: id,
        purpose: "mail",
        keyId,
        standing: "not-yet",
        notBefore: iso(start + 10),
        notAfter: iso(start + 20),
        certifiedUntil: iso(start + 20),
        addresses: ["demo@km.invalid"]
      }])
      for (const [seconds, standing] of [[9, "not-yet"], [10, "valid"], [19, "valid"], [20, "expired"]] as const) {
        yield* TestClock.setTime((start + seconds) * 1_000)
        assert.deepStrictEqual(standings(yield* views(world)), [standing], String(seconds))
      }
    }))

  it.effect("is untrusted where the certifier did not say this of this owner, purpose and install", () =>
    Effect.gen(function*() {
      yield* atStart
      const stranger = signingKeyFromSeed(generateSeed())
      const foreign: ReadonlyArray<(world: World) => unknown> = [
        (world) => put(world, {}, stranger),
        (world) => put(world, { subject: SandboxId.make("sb-2a2b3c4d") }),
        (world) => put(world, { install: InstallName.make("other") }),
        (world) => put(world, { purpose: "bridge" }),
        (world) => put(world, { purpose: "mail" }, certifierOf(world), "bridge"),
        (world) => put(world, { notAfter: start + 31 * day })
      ]
      for (const [n, act] of foreign.entries()) {
        const world = new World()
        act(world)
        assert.deepStrictEqual(standings(yield* views(world)), ["untrusted"], String(n))
      }
      const world = new World()
      world.identities.set(id, new Map([["mail 0000000000000000", { certificate: "rubbish", signature: "" }]]))
      assert.deepStrictEqual(yield* views(world), [{
        owner: id,
        purpose: "mail",
        keyId: "",
        standing: "untrusted",
        notBefore: iso(0),
        notAfter: iso(0),
        certifiedUntil: iso(0),
        addresses: []
      }])
    }))

  it.effect("is revoked or replaced by the certifier's statement, before its own time counts", () =>
    Effect.gen(function*() {
      yield* atStart
      const world = new World()
      const taken = put(world, { notAfter: start - 1 })
      const short = put(world, { notAfter: start + 5 })
      const long = put(world, { notAfter: start + 6 })
      const other = put(world)
      yield* stated(world, taken)
      yield* stated(world, short, start + 5)
      yield* stated(world, long, start + 5)
      const keys = yield* views(world)
      assert.deepStrictEqual(keys.map(({ keyId, standing }) => [keyId, standing]), [
        [taken, "revoked"],
        [short, "replaced"],
        // Its row says more than the statement: an older certificate was put back.
        [long, "put-back"],
        [other, "valid"]
      ])
      assert.deepStrictEqual(keys.map(({ notAfter }) => notAfter), [
        iso(start - 1),
        iso(start + 5),
        iso(start + 5),
        iso(start + day)
      ])
      assert.strictEqual(keys[2]?.certifiedUntil, iso(start + 6))
      // Nobody writes the rows of those who are gone anew.
      assert.deepStrictEqual(standings(yield* views(world, true)), ["revoked", "replaced", "replaced", "valid"])
    }))

  it.effect("is told for the operator and every sandbox, purpose by purpose", () =>
    Effect.gen(function*() {
      yield* atStart
      const world = new World()
      put(world)
      put(world, { purpose: "bridge" }, certifierOf(world), "bridge")
      put(world, { purpose: "mail-box" }, certifierOf(world), "mail-box")
      world.identities.set(
        "operator",
        new Map([["operator 0000000000000000", { certificate: "rubbish", signature: "" }]])
      )
      world.rows.set(id, {
        id,
        install: km,
        profile: slackProfile,
        desired: "running",
        status: "running",
        unconfined: false,
        createdAt: 0,
        inventory: [],
        generation: "g1"
      })
      const all = yield* keysOfAll(installFor(world)).pipe(Effect.provide(world.layer()))
      assert.deepStrictEqual(all.owners, ["operator", id])
      assert.deepStrictEqual(all.keys.map(({ owner, purpose }) => `${owner} ${purpose}`), [
        "operator operator",
        `${id} bridge`,
        `${id} mail`,
        `${id} mail-box`
      ])
      assert.strictEqual(all.revocations.highest, 0)
    }))
})

describe("a directory that was changed", () => {
  it.effect("is told apart: a statement that is forged, and one that is gone", () =>
    Effect.gen(function*() {
      yield* atStart
      const world = new World()
      const keyId = put(world)
      yield* stated(world, keyId)
      yield* stated(world, keyId, start)
      const read = Effect.flip(revocationsOf(installFor(world)).pipe(Effect.provide(world.layer())))
      const [first, second] = world.revocations
      if (first === undefined || second === undefined) return assert.fail("two statements were made")
      world.revocations[1] = { ...second, revocation: second.revocation.replace("lost", "lent") }
      assert.strictEqual(
        (yield* read).message,
        "KM-EML-030: a revocation was changed or forged: the revocation after number 1 is not the certifier's"
      )
      world.revocations.splice(1)
      assert.strictEqual(
        (yield* read).message,
        "KM-EML-030: a revocation was removed: revocation 2 was there before, now the last is 1"
      )
      world.revocations.splice(0, 1, second)
      assert.include((yield* read).message, "a revocation was removed: revocation 1 is missing")
    }))
})

describe("dueKeys", () => {
  const now = start * 1_000
  const week = 7 * day
  const view = (changes: Partial<KeyView> & { readonly end?: number } = {}): KeyView => ({
    owner: id,
    purpose: "mail",
    keyId: "0000000000000000",
    standing: "valid",
    notBefore: iso(start - day),
    notAfter: iso(changes.end ?? start + 30 * day),
    certifiedUntil: iso(changes.end ?? start + 30 * day),
    addresses: [],
    ...changes
  })

  it("are those of which no key lasts longer than seven days", () => {
    assert.deepStrictEqual(dueKeys([], now), [])
    assert.deepStrictEqual(dueKeys([view({ end: start + week + 1 })], now), [])
    assert.deepStrictEqual(dueKeys([view({ end: start + week })], now), [{
      owner: id,
      purpose: "mail",
      detail: `the mail key of ${id} ends at ${iso(start + week)}`,
      command: `km identity renew ${id}`
    }])
    // The one that lasts longest counts, wherever it stands in the list.
    const both = [view({ end: start + 1 }), view({ end: start + week + 1 })]
    assert.deepStrictEqual(dueKeys(both, now), [])
    assert.deepStrictEqual(dueKeys(both.toReversed(), now), [])
    assert.strictEqual(
      dueKeys([view({ end: start + 5 }), view({ end: start + 9 })], now)[0]?.detail,
      `the mail key of ${id} ends at ${iso(start + 9)}`
    )
  })

  it("count valid keys alone, and are renewed only where there is something to renew", () => {
    for (const standing of ["not-yet", "revoked", "replaced", "untrusted", "put-back", "expired"] as const) {
      assert.deepStrictEqual(dueKeys([view({ standing })], now), [{
        owner: id,
        purpose: "mail",
        detail: `${id} has no valid key for mail`,
        command: standing === "expired" ? `km identity renew ${id}` : `km identity rotate ${id}`
      }], standing)
    }
    assert.deepStrictEqual(dueKeys([view({ standing: "revoked" }), view()], now), [])
  })

  it("are told for each owner and purpose", () => {
    const due = dueKeys([
      view({ end: start }),
      view({ owner: "operator", end: start + 30 * day }),
      view({ purpose: "bridge", standing: "untrusted" })
    ], now)
    assert.deepStrictEqual(due.map(({ command, purpose }) => [purpose, command]), [
      ["mail", `km identity renew ${id}`],
      ["bridge", `km identity rotate ${id}`]
    ])
  })
})
