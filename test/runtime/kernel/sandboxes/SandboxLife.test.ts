/** Extensions at once: each counts. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option } from "effect"
import { InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../../../runtime/domain/sandbox/Sandbox.ts"
import { extend } from "../../../../runtime/kernel/sandboxes/SandboxLife.ts"
import * as MemorySandboxes from "../../../../runtime/ports/memory/MemorySandboxes.ts"
import { Sandboxes } from "../../../../runtime/ports/Sandboxes.ts"
import { slackProfile } from "../../../support/profiles.ts"

const hour = 3_600_000
const id = SandboxId.make("sb-1a2b3c4d")
const row: SandboxRow = {
  id,
  install: InstallName.make("km"),
  profile: slackProfile,
  desired: "running",
  status: "running",
  unconfined: false,
  createdAt: 0,
  expiresAt: 8 * hour,
  generation: "1",
  inventory: []
}

describe("extending a life", () => {
  it.effect("of many at once, each counts, though all know the same row", () =>
    Effect.gen(function*() {
      const sandboxes = yield* Sandboxes
      yield* sandboxes.insert(row)
      const ends = yield* Effect.forEach([1, 2, 3, 4], () => extend(row, { by: hour }), { concurrency: "unbounded" })
      assert.strictEqual(Option.getOrThrow(yield* sandboxes.get(id)).expiresAt, 12 * hour)
      assert.deepStrictEqual(ends.toSorted((a, b) => a - b), [9, 10, 11, 12].map((end) => end * hour))
    }).pipe(Effect.provide(MemorySandboxes.layer)))

  it.effect("a row whose end has begun meanwhile, and one of another life, are refused and stay as they are", () =>
    Effect.gen(function*() {
      const sandboxes = yield* Sandboxes
      yield* sandboxes.insert({ ...row, desired: "destroyed", status: "destroying" })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(extend(row, { by: hour }))))
      assert.strictEqual(Option.getOrThrow(yield* sandboxes.get(id)).expiresAt, 8 * hour)
      yield* sandboxes.remove(id)
      yield* sandboxes.insert({ ...row, generation: "2" })
      assert.isTrue(Exit.isFailure(yield* Effect.exit(extend(row, { by: hour }))))
      assert.strictEqual(Option.getOrThrow(yield* sandboxes.get(id)).expiresAt, 8 * hour)
    }).pipe(Effect.provide(MemorySandboxes.layer)))
})
