import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import type { CertifiedKey } from "../../../runtime/domain/identity/Certificate.ts"
import { Alias, InstallName, SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import { Provisioning } from "../../../runtime/kernel/sandboxes/Provisioning.ts"
import { Teardown } from "../../../runtime/kernel/sandboxes/Teardown.ts"
import { World } from "../../support/ControlWorld.ts"
import { slackProfile } from "../../support/profiles.ts"
import { TestKm } from "../../support/TestKm.ts"

const made = Effect.fnUntraced(function*(world: World, name: string, alias: string) {
  const services = Provisioning.layer.pipe(Layer.provideMerge(Teardown.layer), Layer.provide(world.layer()))
  const id = SandboxId.make(name)
  yield* Effect.flatMap(Provisioning, ({ create }) =>
    create({
      id,
      install: InstallName.make("km"),
      alias: Alias.make(alias),
      profile: slackProfile,
      unconfined: false,
      readyWithin: Duration.seconds(60)
    })).pipe(Effect.provide(services))
  return id
})

/** The directory's rows of one identity, for whoever changes them behind the certifier's back. */
const rowsOf = (world: World, id: SandboxId): Map<string, CertifiedKey> => world.identities.get(id) ?? new Map()

const mailKey = (world: World, id: SandboxId): string =>
  [...rowsOf(world, id).keys()].find((name) => name.startsWith("mail "))?.slice(5) ?? ""

describe("km identity", () => {
  it.effect("lists and shows every key with its standing, also when it is over", () =>
    Effect.gen(function*() {
      const world = new World()
      yield* made(world, "sb-1a2b3c4d", "demo")
      const km = new TestKm(world)
      const shown = yield* km.run("identity", "show", "demo")
      assert.strictEqual(shown.exit, 0)
      assert.strictEqual(shown.out[0], "sb-1a2b3c4d  sb-1a2b3c4d@km.invalid  demo@km.invalid")
      assert.match(shown.out[3] ?? "", /^sb-1a2b3c4d  mail      [0-9a-f]{16}  valid/)
      yield* TestClock.adjust(Duration.days(31))
      const later = yield* km.run("identity", "list")
      assert.strictEqual(later.out.filter((line) => / expired /.test(line)).length, 3)
    }))

  it.effect("a key that was swapped in the table, or moved to another owner, is found", () =>
    Effect.gen(function*() {
      const world = new World()
      const one = yield* made(world, "sb-1a2b3c4d", "demo")
      const two = yield* made(world, "sb-2a2b3c4d", "other")
      const km = new TestKm(world)
      const before = yield* km.run("identity", "verify")
      assert.strictEqual(before.exit, 0)
      const stolen = rowsOf(world, two).get(`mail ${mailKey(world, two)}`)
      assert.isDefined(stolen)
      if (stolen === undefined) return
      rowsOf(world, one).set(`mail ${mailKey(world, one)}`, stolen)
      const after = yield* km.run("identity", "verify")
      assert.strictEqual(after.exit, 1)
      assert.match(
        after.err.join("\n"),
        /KM-EML-030: a key was swapped or forged\n.*the row of sb-1a2b3c4d for mail with/
      )
    }))

  it.effect("a revocation is numbered and signed, and its removal is found", () =>
    Effect.gen(function*() {
      const world = new World()
      const id = yield* made(world, "sb-1a2b3c4d", "demo")
      const km = new TestKm(world)
      assert.strictEqual((yield* km.run("identity", "revoke", "demo", "--key", "0123456789abcdef")).exit, 2)
      const key = mailKey(world, id)
      assert.deepStrictEqual((yield* km.run("identity", "revoke", "demo", "--key", key)).out, [
        `revoked ${key} of sb-1a2b3c4d as number 1`
      ])
      assert.match((yield* km.run("identity", "show", "demo")).out.join("\n"), new RegExp(`${key}  revoked`))
      assert.strictEqual((yield* km.run("identity", "verify")).exit, 0)
      world.revocations.length = 0
      const verified = yield* km.run("identity", "verify")
      assert.strictEqual(verified.exit, 1)
      assert.match(verified.err.join("\n"), /revocation 1 was there before/)
    }))

  it.effect("rotates by purpose, says what a dry run would do, and warns before a certificate ends", () =>
    Effect.gen(function*() {
      const world = new World()
      const id = yield* made(world, "sb-1a2b3c4d", "demo")
      const km = new TestKm(world)
      const before = mailKey(world, id)
      const dry = yield* km.run("identity", "rotate", "demo", "--purpose", "mail", "--dry-run")
      assert.deepStrictEqual(dry.out, [`would replace mail ${before} of sb-1a2b3c4d`])
      assert.strictEqual(mailKey(world, id), before)
      const rotated = yield* km.run("identity", "rotate", "demo", "--purpose", "mail")
      assert.strictEqual(rotated.exit, 0, rotated.err.join("\n"))
      assert.match(rotated.out[1] ?? "", new RegExp(`mail: [0-9a-f]{16} from now on; ${before} until 1970-01-01T00:05`))
      assert.match((yield* km.run("identity", "show", "demo")).out.join("\n"), new RegExp(`${before}  replaced`))
      assert.strictEqual((yield* km.run("identity", "verify")).exit, 0)
      const none = yield* km.run("identity", "rotate", "operator", "--purpose", "mail")
      assert.strictEqual(none.exit, 3)
      assert.match(none.err.join("\n"), /KM-IDN-101.*\n.*operator has no mail key/)

      assert.deepStrictEqual((yield* km.run("identity", "list")).err, [])
      yield* TestClock.adjust(Duration.days(25))
      const soon = yield* km.run("identity", "list")
      assert.match(soon.err.join("\n"), /the mail key of sb-1a2b3c4d ends at .*; run `km identity renew sb-1a2b3c4d`/)
      yield* TestClock.adjust(Duration.days(6))
      const over = yield* km.run("status", "demo")
      assert.match(over.out.join("\n"), /keys +sb-1a2b3c4d has no valid key for mail; km identity renew sb-1a2b3c4d/)
      const renewed = yield* km.run("identity", "renew")
      assert.strictEqual(renewed.out.length, 3)
      const again = yield* km.run("identity", "list")
      assert.deepStrictEqual(again.err, [])
    }))

  it.effect("says which key has no row, and leaves nothing of a sandbox that was destroyed meanwhile", () =>
    Effect.gen(function*() {
      const world = new World()
      const id = yield* made(world, "sb-1a2b3c4d", "demo")
      const km = new TestKm(world)
      const key = mailKey(world, id)
      rowsOf(world, id).delete(`mail ${key}`)
      const removed = yield* km.run("identity", "verify")
      assert.strictEqual(removed.exit, 1)
      assert.match(removed.err.join("\n"), new RegExp(`a key was removed\n.*has the mail key ${key}`))
      // Its last certificate is what the new one would be made from.
      assert.strictEqual((yield* km.run("identity", "rotate", "demo", "--purpose", "mail")).exit, 6)

      const other = yield* made(world, "sb-2a2b3c4d", "other")
      const secretsOf = () => [...world.secrets.keys()].filter((path) => path.includes(other))
      // Teardown ends while the rotation is under way.
      const set = world.secrets.set.bind(world.secrets)
      world.secrets.set = (path, value) => {
        if (path.includes("/next/")) world.rows.delete(other)
        return set(path, value)
      }
      yield* km.run("identity", "rotate", "other")
      assert.deepStrictEqual(secretsOf(), [])
      assert.isTrue(world.retired.has(other))
    }))
})
