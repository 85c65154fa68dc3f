import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ChainName } from "../../runtime/domain/install/Audit.ts"
import { Audit } from "../../runtime/ports/Audit.ts"
import { World } from "../support/ControlWorld.ts"
import { TestKm } from "../support/TestKm.ts"

const chain = ChainName.make("operator-1")

const worldWith = Effect.fnUntraced(function*(count: number) {
  const world = new World()
  yield* Effect.flatMap(
    Audit,
    (audit) =>
      Effect.forEach(Array.from({ length: count }, (_, n) => n + 1), (n) =>
        audit.record({
          actor: "U1",
          action: "person.refuse",
          subject: `C${n}`,
          rule: "KM-X-1",
          verdict: "refused",
          detail: "not\nours"
        }), { discard: true })
  ).pipe(Effect.provide(world.layer()))
  return world
})

describe("km audit", () => {
  it.effect("shows each entry on one line, and the last ones where asked", () =>
    Effect.gen(function*() {
      const km = new TestKm(yield* worldWith(3))
      const all = yield* km.run("audit")
      assert.deepStrictEqual(all.out, [
        "1970-01-01T00:00:00.000Z refused U1 person.refuse C1 (KM-X-1) - not\uFFFDours [operator-1 1]",
        "1970-01-01T00:00:00.000Z refused U1 person.refuse C2 (KM-X-1) - not\uFFFDours [operator-1 2]",
        "1970-01-01T00:00:00.000Z refused U1 person.refuse C3 (KM-X-1) - not\uFFFDours [operator-1 3]"
      ])
      assert.deepStrictEqual((yield* km.run("audit", "-n", "1")).out, all.out.slice(2))
      assert.deepStrictEqual((yield* km.run("audit", "-n", "0", "--json")).out.map((text) => JSON.parse(text)), [
        { ok: true, entries: [] }
      ])
      assert.deepStrictEqual((yield* km.run("audit", "-n", "0")).out, [])
      const less = yield* km.run("audit", "-n", "-1")
      assert.deepStrictEqual([less.exit, less.out], [2, []])
    }))

  it.effect("says that nothing was recorded yet", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* new TestKm(new World()).run("audit")).out, ["nothing was recorded yet"])
    }))

  it.effect("verify proves a whole journal, and names the first link of a broken one", () =>
    Effect.gen(function*() {
      const world = yield* worldWith(3)
      const km = new TestKm(world)
      const whole = yield* km.run("audit", "verify")
      assert.deepStrictEqual([whole.exit, whole.out], [0, ["the audit is whole: 3 entries in 1 chains"]])
      const lines = world.audit.chains.get(chain) ?? []
      world.audit.chains.set(chain, lines.with(1, (lines[1] ?? "").replace("C2", "C9")))
      const broken = yield* km.run("audit", "verify")
      assert.strictEqual(broken.exit, 1)
      assert.deepStrictEqual(broken.out, [
        "operator-1 is broken at link 2: it was changed after it was written"
      ])
      assert.include(broken.err[0], "KM-CLI-040")
    }))

  it.effect("without an install there is none", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* new TestKm().run("audit", "verify")).exit, 3)
    }))
})
