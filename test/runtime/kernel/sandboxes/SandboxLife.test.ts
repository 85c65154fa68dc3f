/** What moves a life's end, and what a pause and a resume do: judged by the row, and only while nobody wished otherwise. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Result } from "effect"
import { TestClock } from "effect/testing"
import { InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../../../runtime/domain/sandbox/Sandbox.ts"
import { extend, extendedUntil, lifeChange, pause, resume } from "../../../../runtime/kernel/sandboxes/SandboxLife.ts"
import * as MemorySandboxes from "../../../../runtime/ports/memory/MemorySandboxes.ts"
import { Sandboxes } from "../../../../runtime/ports/Sandboxes.ts"
import { SandboxHost } from "../../../../runtime/ports/SandboxHost.ts"
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
      const refused = Effect.map(Effect.flip(extend(row, { by: hour })), ({ message }) => message)
      assert.include(yield* refused, `${id} is being destroyed`)
      assert.strictEqual(Option.getOrThrow(yield* sandboxes.get(id)).expiresAt, 8 * hour)
      // Its end is wished for and has not begun; and what is known of its end was another by then.
      yield* sandboxes.remove(id)
      yield* sandboxes.insert({ ...row, desired: "destroyed", expiresAt: 9 * hour })
      assert.include(yield* refused, `${id} is being destroyed`)
      yield* sandboxes.remove(id)
      yield* sandboxes.insert({ ...row, generation: "2" })
      assert.include(yield* refused, `${id} is being destroyed`)
      assert.strictEqual(Option.getOrThrow(yield* sandboxes.get(id)).expiresAt, 8 * hour)
      yield* sandboxes.remove(id)
      assert.include(yield* refused, `${id} is being destroyed`)
    }).pipe(Effect.provide(MemorySandboxes.layer)))
})

const endOf = (changes: Partial<SandboxRow>, extension: Parameters<typeof extendedUntil>[1], now = hour) =>
  Result.match(extendedUntil({ ...row, ...changes }, extension, now), {
    onSuccess: (until) => until,
    onFailure: ({ message }) => message
  })

describe("the end that an extension gives", () => {
  it("is counted from where the end is, from now where that is over, and from now as a time to live", () => {
    assert.strictEqual(endOf({}, { by: 2 * hour }), 10 * hour)
    assert.strictEqual(endOf({ expiresAt: 1 }, { by: 2 * hour }), 3 * hour)
    assert.strictEqual(endOf({}, { ttl: 8 * hour }), 9 * hour)
  })

  it("is later than the present one, and in the calendar", () => {
    assert.strictEqual(endOf({}, { ttl: 7 * hour + 1 }), 8 * hour + 1)
    const already = `${id} lives until ${new Date(8 * hour).toISOString()} already, which is not earlier`
    assert.include(String(endOf({}, { ttl: 7 * hour })), already)
    assert.include(String(endOf({}, { by: 9e15 })), `${id} would live beyond the calendar`)
    const { expiresAt: _, ...endless } = row
    assert.include(
      Result.match(extendedUntil(endless, { by: hour }, 0), { onSuccess: String, onFailure: ({ message }) => message }),
      `${id} has no time to live that could be extended`
    )
    assert.include(String(endOf({ status: "destroying" }, { by: hour })), `${id} is being destroyed`)
  })
})

const change = (desired: SandboxRow["desired"], status: SandboxRow["status"], wanted: "paused" | "running") =>
  Result.match(lifeChange({ id, desired, status }, wanted), {
    onSuccess: (what): string => what,
    onFailure: ({ message }) => message
  })

/** A host that does what it is asked, after which somebody else may wish otherwise. */
const host = (asked: Array<string>, meanwhile: Partial<SandboxRow> = {}) =>
  Layer.effect(
    SandboxHost,
    Effect.map(Sandboxes, (sandboxes) => {
      const act = (what: string, desired: SandboxRow["desired"]) =>
        Effect.andThen(
          Effect.sync(() => void asked.push(what)),
          Effect.orDie(Effect.asVoid(sandboxes.update(id, { desired, ...meanwhile })))
        )
      return SandboxHost.of(
        {
          start: () => act("start", "running"),
          stop: () => act("stop", "stopped"),
          destroy: () => Effect.die("unused")
        } as unknown as SandboxHost["Service"]
      )
    })
  )

describe("pause and resume", () => {
  it("do nothing where it is so already, and are refused before it is made and once it ends", () => {
    assert.strictEqual(change("stopped", "stopped", "paused"), "nothing")
    assert.strictEqual(change("running", "running", "running"), "nothing")
    assert.strictEqual(change("running", "running", "paused"), "change")
    assert.strictEqual(change("stopped", "stopped", "running"), "change")
    // Half of the way: it is wished for, and not so yet.
    assert.strictEqual(change("stopped", "running", "paused"), "change")
    assert.strictEqual(change("running", "stopped", "paused"), "change")
    assert.strictEqual(change("running", "stopped", "running"), "change")
    assert.strictEqual(change("stopped", "running", "running"), "change")
    for (const wanted of ["paused", "running"] as const) {
      assert.include(change("running", "creating", wanted), `${id} is not made yet`)
      assert.include(change("running", "starting", wanted), `${id} is not made yet`)
      assert.include(change("destroyed", "running", wanted), `${id} is being destroyed`)
      assert.include(change("running", "destroying", wanted), `${id} is being destroyed`)
    }
  })

  it.effect("ask the host and say in the row what is so then, with the time of a resume", () =>
    Effect.gen(function*() {
      const sandboxes = yield* Sandboxes
      const asked: Array<string> = []
      yield* sandboxes.insert(row)
      yield* TestClock.setTime(5 * hour)
      const now = Effect.map(sandboxes.get(id), Option.getOrThrow)
      assert.isTrue(yield* Effect.provide(pause(row), host(asked)))
      const paused = yield* now
      assert.deepInclude(paused, { desired: "stopped", status: "stopped" })
      assert.isFalse(yield* Effect.provide(pause(paused), host(asked)))
      assert.isTrue(yield* Effect.provide(resume(paused), host(asked)))
      const resumed = yield* now
      assert.deepInclude(resumed, { desired: "running", status: "running", resumedAt: 5 * hour })
      assert.isFalse(yield* Effect.provide(resume(resumed), host(asked)))
      assert.deepStrictEqual(asked, ["stop", "start"])
    }).pipe(Effect.provide(MemorySandboxes.layer)))

  it.effect("say nothing in the row where somebody wished otherwise meanwhile", () =>
    Effect.gen(function*() {
      const sandboxes = yield* Sandboxes
      yield* sandboxes.insert(row)
      yield* Effect.provide(pause(row), host([], { desired: "running" }))
      assert.deepInclude(Option.getOrThrow(yield* sandboxes.get(id)), { desired: "running", status: "running" })
      const stopped = { ...row, desired: "stopped", status: "stopped" } as const
      yield* sandboxes.remove(id)
      yield* sandboxes.insert(stopped)
      yield* Effect.provide(resume(stopped), host([], { desired: "stopped" }))
      assert.deepInclude(Option.getOrThrow(yield* sandboxes.get(id)), { desired: "stopped", status: "stopped" })
      yield* Effect.provide(resume(stopped), host([], { status: "destroying" }))
      assert.strictEqual(Option.getOrThrow(yield* sandboxes.get(id)).status, "destroying")
      // Another one of the same id, that is just being made: its host is not to start it yet.
      yield* sandboxes.remove(id)
      yield* sandboxes.insert({ ...stopped, generation: "another", status: "creating" })
      yield* Effect.provide(pause(row), host([]))
      assert.strictEqual(Option.getOrThrow(yield* sandboxes.get(id)).status, "creating")
    }).pipe(Effect.provide(MemorySandboxes.layer)))
})
