/** Several processes write the journal of one install: each a chain of its own, and none loses what another wrote. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope, Stream } from "effect"
import { inject } from "vitest"
import { ChainName } from "../../runtime/domain/install/Audit.ts"
import { Aws } from "../../runtime/engines/aws/Aws.ts"
import * as AwsEngine from "../../runtime/engines/aws/AwsEngine.ts"
import { Bucket } from "../../runtime/engines/aws/Bucket.ts"
import { Dynamo } from "../../runtime/engines/aws/Dynamo.ts"
import { stateTable } from "../../runtime/engines/aws/tables.ts"
import { Audit, auditEntries, verifyAudit } from "../../runtime/ports/Audit.ts"
import { openAccount } from "./SteeredAws.ts"

const allowed = (subject: string) => ({ actor: "operator", action: "test.act", subject, verdict: "allowed" } as const)

const world = Effect.gen(function*() {
  const { passing, settings } = yield* openAccount(inject("moto"))
  /** A process; closing its scope is its end, not closing it a kill. */
  const start = Effect.gen(function*() {
    const scope = yield* Scope.make()
    const ports = yield* Layer.buildWithScope(
      Layer.fresh(Layer.provideMerge(Layer.mergeAll(AwsEngine.layer, Bucket.layer, Dynamo.layer), Aws.layer(settings))),
      scope
    )
    return {
      ports,
      record: (subject: string) => Context.get(ports, Audit).record(allowed(subject)),
      end: Scope.close(scope, Exit.void)
    }
  })
  return { passing, start }
})

describe("aws: who writes the audit", () => {
  it.effect("two at a time write two chains; the next one goes on with the first that was given up", () =>
    Effect.gen(function*() {
      const { start } = yield* world
      const [one, two] = [yield* start, yield* start]
      for (const n of [1, 2]) {
        yield* one.record(`one ${n}`)
        yield* two.record(`two ${n}`)
      }
      yield* one.end
      const three = yield* start
      yield* three.record("three")
      const audit = Context.get(three.ports, Audit)
      assert.deepStrictEqual((yield* audit.chains).map(String), ["operator-1", "operator-2"])
      const links = yield* Effect.provideContext(Stream.runCollect(auditEntries(false)), three.ports)
      assert.deepStrictEqual(links.map(({ chain, entry, number }) => [chain, number, entry.subject]).toSorted(), [
        ["operator-1", 1, "one 1"],
        ["operator-1", 2, "one 2"],
        ["operator-1", 3, "three"],
        ["operator-2", 1, "two 1"],
        ["operator-2", 2, "two 2"]
      ])
      assert.deepStrictEqual(yield* Effect.provideContext(verifyAudit, three.ports), {
        chains: 2,
        links: 5,
        broken: []
      })
    }))

  it.effect("who was silent for long has lost its chain, and what it then writes is in another one", () =>
    Effect.gen(function*() {
      const { passing, start } = yield* world
      const silent = yield* start
      yield* silent.record("before")
      yield* passing("11 minutes")
      const next = yield* start
      yield* next.record("meanwhile")
      yield* silent.record("behind")
      assert.deepStrictEqual(yield* Effect.provideContext(verifyAudit, next.ports), { chains: 2, links: 3, broken: [] })
      const lines = yield* Stream.runCollect(
        Context.get(next.ports, Audit).lines(ChainName.make("operator-1"), 1)
      )
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "meanwhile")
    }))

  it.effect("two that take themselves for the writer of one chain overwrite nothing", () =>
    Effect.gen(function*() {
      const { start } = yield* world
      const first = yield* start
      yield* first.record("first")
      // As if the row had been lost: nothing but the objects tells them apart.
      const claim = { sandbox_id: "audit-writers", item: "operator-1" }
      const purpose = { port: "Test", operation: "forget" }
      yield* Context.get(first.ports, Dynamo).deleteAll(purpose, stateTable, [claim])
      const second = yield* start
      yield* second.record("second")
      yield* first.record("first again")
      yield* second.record("second again")
      const links = yield* Effect.provideContext(Stream.runCollect(auditEntries(false)), first.ports)
      assert.deepStrictEqual(links.map(({ chain, entry }) => `${chain} ${entry.subject}`).toSorted(), [
        "operator-1 first",
        "operator-1 second",
        "operator-1 second again",
        "operator-2 first again"
      ])
      assert.deepStrictEqual(yield* Effect.provideContext(verifyAudit, first.ports), {
        chains: 2,
        links: 4,
        broken: []
      })
    }))

  it.effect("a chain whose end was cut off is named, left as it is, and another one begun", () =>
    Effect.gen(function*() {
      const { start } = yield* world
      const first = yield* start
      for (const n of [1, 2, 3]) yield* first.record(`${n}`)
      yield* first.end
      const second = yield* start
      const bucket = Context.get(second.ports, Bucket)
      const purpose = { port: "Test", operation: "cut" }
      const keys = yield* bucket.keys(purpose, "audit/operator-1/")
      assert.lengthOf(keys, 3)
      yield* bucket.remove(purpose, keys.slice(-1))
      yield* second.record("goes on elsewhere")
      const { broken, links } = yield* Effect.provideContext(verifyAudit, second.ports)
      assert.deepStrictEqual(broken.map(({ chain, number }) => [chain, number]), [["operator-1", 3]])
      assert.strictEqual(links, 3)
    }))
})
