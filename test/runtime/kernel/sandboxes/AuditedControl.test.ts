import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Stream } from "effect"
import { Alias, InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { auditedControl } from "../../../../runtime/kernel/sandboxes/AuditedControl.ts"
import type { CreateRequest } from "../../../../runtime/kernel/sandboxes/CreateRequest.ts"
import { Provisioning } from "../../../../runtime/kernel/sandboxes/Provisioning.ts"
import { Teardown } from "../../../../runtime/kernel/sandboxes/Teardown.ts"
import { Audit, auditEntries } from "../../../../runtime/ports/Audit.ts"
import { StoreError } from "../../../../runtime/ports/StoreError.ts"
import { World } from "../../../support/ControlWorld.ts"
import { slackProfile } from "../../../support/profiles.ts"

const id = SandboxId.make("sb-1a2b3c4d")
const demo: CreateRequest = {
  id,
  install: InstallName.make("km"),
  alias: Alias.make("demo"),
  profile: slackProfile,
  unconfined: false,
  readyWithin: Duration.seconds(60)
}

const full = new StoreError({
  port: "Audit",
  operation: "record",
  reason: "Full",
  detail: "no space",
  cause: undefined
})

/** The world with a journal that takes nothing. */
const withoutJournal = Layer.succeed(
  Audit,
  Audit.of({
    record: () => Effect.fail(full),
    note: () => Effect.void,
    chains: Effect.succeed([]),
    lines: () => Stream.empty,
    appended: Effect.never
  })
)

const control = (world: World) => auditedControl("operator").pipe(Layer.provideMerge(world.layer()))

const createIn = Effect.flatMap(Provisioning, (provisioning) => provisioning.create(demo))
const destroyIn = Effect.flatMap(Teardown, (teardown) => teardown.run(id, "ttl"))

const journalOf = (world: World) =>
  Effect.map(
    Effect.provide(Stream.runCollect(auditEntries(false)), world.layer()),
    (links) => links.map(({ entry }) => [entry.action, entry.subject, entry.verdict, entry.rule ?? ""])
  )

describe("create and destroy in the journal", () => {
  it.effect("each is written down before it begins and when it is over", () =>
    Effect.gen(function*() {
      const world = new World()
      yield* Effect.provide(Effect.andThen(createIn, destroyIn), control(world))
      assert.deepStrictEqual(yield* journalOf(world), [
        ["sandbox.create", id, "allowed", ""],
        ["sandbox.create", id, "done", ""],
        ["sandbox.destroy", id, "allowed", ""],
        ["sandbox.destroy", id, "done", ""]
      ])
    }))

  it.effect("says who did it, with which profile and alias, and why it ended", () =>
    Effect.gen(function*() {
      for (const alias of [demo.alias, undefined]) {
        const world = new World()
        const request = Effect.flatMap(Provisioning, (provisioning) => provisioning.create({ ...demo, alias }))
        const audited = auditedControl("control-plane").pipe(Layer.provideMerge(world.layer()))
        yield* Effect.provide(Effect.andThen(request, destroyIn), audited)
        const links = yield* Effect.provide(Stream.runCollect(auditEntries(false)), world.layer())
        const created = alias === undefined ? "profile demo" : "profile demo, alias demo"
        assert.deepStrictEqual(
          links.map(({ entry: { actor, detail } }) => [actor, detail]),
          [created, created, "ttl", "ttl"].map((detail) => ["control-plane", detail])
        )
      }
    }))

  it.effect("one that failed says by which code", () =>
    Effect.gen(function*() {
      const world = new World()
      world.hostBroken = true
      yield* Effect.flip(Effect.provide(createIn, control(world)))
      assert.deepStrictEqual((yield* journalOf(world)).at(-1), ["sandbox.create", id, "failed", "KM-CLI-103"])
    }))

  it.effect("a create that cannot be written down makes nothing; a destroy goes on", () =>
    Effect.gen(function*() {
      const world = new World()
      const silent = auditedControl("operator").pipe(Layer.provide(Layer.merge(world.layer(), withoutJournal)))
      const refused = yield* Effect.flip(Effect.provide(createIn, silent))
      assert.deepInclude(refused, { code: "KM-CLI-103", step: "audit" })
      assert.strictEqual(world.rows.size, 0)
      assert.strictEqual(world.calls, 0)
      yield* Effect.provide(createIn, control(world))
      yield* Effect.provide(destroyIn, silent)
      assert.strictEqual(world.rows.size, 0)
    }))
})
