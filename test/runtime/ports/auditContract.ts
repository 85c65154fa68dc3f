/** What every store of the journal must do: every entry once, in order, provable, and found by who follows. */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { Audit, auditEntries, verifyAudit } from "../../../runtime/ports/Audit.ts"
import { InstallStore } from "../../../runtime/ports/InstallStore.ts"
import { type Engine, timeOf } from "./Engine.ts"

const allowed = (
  n: number
) => ({ actor: "operator", action: "test.act", subject: `s${n}`, verdict: "allowed" } as const)

export const auditContract = <LE>(engine: Engine<Audit | InstallStore, LE>): void => {
  const { near, passTime } = timeOf(engine)
  const test = <E>(name: string, body: Effect.Effect<void, E, Audit | InstallStore>) =>
    it.effect(name, () => Effect.provide(body, engine.layer))

  test(
    "an empty journal is whole",
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* verifyAudit, { chains: 0, links: 0, broken: [] })
      assert.deepStrictEqual(yield* Stream.runCollect(auditEntries(false)), [])
    })
  )

  test(
    "what was recorded is there with its time, in order, and the chain holds",
    Effect.gen(function*() {
      const audit = yield* Audit
      yield* passTime("10 seconds")
      yield* audit.record(allowed(1))
      yield* passTime("10 seconds")
      yield* audit.record({
        actor: "U1",
        action: "person.refuse",
        rule: "outsider",
        verdict: "refused",
        detail: "not a member"
      })
      const links = yield* Stream.runCollect(auditEntries(false))
      assert.deepStrictEqual(links.map(({ entry, number }) => [number, entry.action, entry.verdict]), [
        [1, "test.act", "allowed"],
        [2, "person.refuse", "refused"]
      ])
      near(links[0]?.entry.at, 10_000)
      near(links[1]?.entry.at, 20_000)
      assert.deepStrictEqual(yield* verifyAudit, { chains: 1, links: 2, broken: [] })
    })
  )

  test(
    "texts of others become one line of printable text",
    Effect.gen(function*() {
      const audit = yield* Audit
      yield* audit.record({
        actor: "U1\nforged line",
        action: "test.act",
        subject: "\u001b[2Jx\u202Ey",
        verdict: "refused",
        detail: "z".repeat(2_000)
      })
      const [link] = yield* Stream.runCollect(auditEntries(false))
      assert.strictEqual(link?.entry.actor, "U1\uFFFDforged line")
      assert.strictEqual(link?.entry.subject, "\uFFFD[2Jx\uFFFDy")
      assert.strictEqual(link?.entry.detail?.length, 500)
    })
  )

  test(
    "a hundred writers of one moment are all there, each once",
    Effect.gen(function*() {
      const audit = yield* Audit
      yield* Effect.forEach(Array.from({ length: 100 }, (_, n) => n), (n) => audit.record(allowed(n)), {
        concurrency: "unbounded",
        discard: true
      })
      const links = yield* Stream.runCollect(auditEntries(false))
      assert.deepStrictEqual(
        new Set(links.map(({ entry }) => entry.subject)),
        new Set(Array.from({ length: 100 }, (_, n) => `s${n}`))
      )
      assert.deepStrictEqual(yield* verifyAudit, { chains: 1, links: 100, broken: [] })
    })
  )

  test(
    "who follows is given what was there and what comes",
    Effect.gen(function*() {
      const audit = yield* Audit
      yield* audit.record(allowed(1))
      const first = yield* Deferred.make<void>()
      const following = yield* Stream.runCollect(
        auditEntries(true).pipe(
          Stream.tap(() => Deferred.succeed(first, undefined)),
          Stream.take(2)
        )
      ).pipe(Effect.forkChild({ startImmediately: true }))
      yield* Deferred.await(first)
      yield* audit.record(allowed(2))
      yield* passTime("5 seconds")
      const links = yield* Fiber.join(following)
      assert.deepStrictEqual(links.map(({ entry }) => entry.subject), ["s1", "s2"])
    })
  )
}
