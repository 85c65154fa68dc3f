import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import * as fs from "node:fs"
import * as path from "node:path"
import { statePaths } from "../../../../runtime/adapters/disk/StateDirectory.ts"
import { InstallName } from "../../../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../../../runtime/domain/sandbox/Sandbox.ts"
import { Leases } from "../../../../runtime/ports/Leases.ts"
import * as MemoryLeases from "../../../../runtime/ports/memory/MemoryLeases.ts"
import * as MemoryReports from "../../../../runtime/ports/memory/MemoryReports.ts"
import { makeMemoryReportsState } from "../../../../runtime/ports/memory/MemoryReports.ts"
import * as MemorySandboxes from "../../../../runtime/ports/memory/MemorySandboxes.ts"
import { makeMemorySandboxesState } from "../../../../runtime/ports/memory/MemorySandboxes.ts"
import { SandboxHost } from "../../../../runtime/ports/SandboxHost.ts"
import * as EmbeddedHost from "../../../../runtime/substrates/process/EmbeddedHost.ts"
import { NotOurs, removeDirectoryBelow } from "../../../../runtime/substrates/process/RemoveTree.ts"
import { atRest } from "../../../support/eventually.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"
import { sandbox, slackProfile } from "../../../support/turnRows.ts"

const row: SandboxRow = {
  id: sandbox,
  install: InstallName.make("km"),
  profile: slackProfile,
  desired: "stopped",
  status: "creating",
  unconfined: false,
  createdAt: 0,
  generation: "1",
  inventory: []
}

/** A host over a real directory, with the rows and leases in memory. */
const world = Effect.gen(function*() {
  const state = yield* temporaryDirectory
  const rows = makeMemorySandboxesState()
  const reports = makeMemoryReportsState()
  rows.rows.set(sandbox, row)
  const context = yield* Layer.build(
    EmbeddedHost.layer(state).pipe(
      Layer.provideMerge(
        Layer.mergeAll(MemoryLeases.layer, MemoryReports.layerOver(reports), MemorySandboxes.layerOver(rows))
      )
    )
  )
  const host = yield* Effect.provide(SandboxHost, context)
  const leases = yield* Effect.provide(Leases, context)
  return {
    host,
    leases,
    reports,
    paths: statePaths(state).sandbox(sandbox),
    rows,
    sandboxes: statePaths(state).sandboxes
  }
})

describe("EmbeddedHost", () => {
  it.effect("start makes the directories for their owner only and asks for a runtime; again changes nothing", () =>
    Effect.gen(function*() {
      const { host, paths, rows } = yield* world
      yield* host.start(sandbox)
      fs.writeFileSync(path.join(paths.workspace, "kept"), "")
      yield* host.start(sandbox)
      for (const directory of [paths.directory, paths.home, paths.workspace, paths.runs, paths.run]) {
        assert.strictEqual(fs.statSync(directory).mode & 0o777, 0o700, directory)
      }
      assert.isTrue(fs.existsSync(path.join(paths.workspace, "kept")))
      assert.strictEqual(rows.rows.get(sandbox)?.desired, "running")
    }))

  it.effect("an id without a row is refused, and nothing is made for it", () =>
    Effect.gen(function*() {
      const { host, rows, sandboxes } = yield* world
      rows.rows.clear()
      assert.include((yield* Effect.flip(host.start(sandbox))).message, "KM-HST-204")
      assert.isFalse(fs.existsSync(path.join(sandboxes, sandbox)))
    }))

  it.effect("ready needs both the row's word and a lease that has not ended", () =>
    Effect.gen(function*() {
      const { host, leases, reports } = yield* world
      yield* host.start(sandbox)
      reports.reports.set(sandbox, { ready: true, plugins: [] })
      assert.isFalse(yield* host.ready(sandbox))
      yield* leases.acquire(sandbox, "runtime")
      assert.isTrue(yield* host.ready(sandbox))
      yield* TestClock.adjust("30 seconds")
      assert.isFalse(yield* host.ready(sandbox))
    }))

  it.effect("stop returns when the lease is free, and keeps what is on disk", () =>
    Effect.gen(function*() {
      const { host, leases, paths, rows } = yield* world
      yield* host.start(sandbox)
      const lease = Option.getOrThrow(yield* leases.acquire(sandbox, "runtime"))
      const stopping = yield* Effect.forkChild(host.stop(sandbox))
      yield* TestClock.adjust("20 seconds")
      yield* atRest
      assert.strictEqual(rows.rows.get(sandbox)?.desired, "stopped")
      assert.isUndefined(stopping.pollUnsafe())
      yield* leases.release(lease)
      yield* TestClock.adjust("200 millis")
      yield* Fiber.join(stopping)
      assert.isTrue(fs.existsSync(paths.directory))
    }))

  it.effect("a runtime that does not end keeps its directory, and the failure says so", () =>
    Effect.gen(function*() {
      const { host, leases, paths } = yield* world
      yield* host.start(sandbox)
      const lease = Option.getOrThrow(yield* leases.acquire(sandbox, "runtime"))
      yield* Effect.forkChild(Effect.forever(Effect.andThen(leases.renew(lease), Effect.sleep("10 seconds"))))
      const destroying = yield* Effect.forkChild(Effect.flip(host.destroy(sandbox)))
      yield* TestClock.adjust("90 seconds")
      const error = yield* Fiber.join(destroying)
      assert.include(error.message, "KM-HST-201")
      assert.isTrue(fs.existsSync(paths.directory))
    }))

  it.live("destroy removes all of it and nothing else, and may be repeated", () =>
    Effect.gen(function*() {
      const { host, paths, sandboxes } = yield* world
      yield* host.start(sandbox)
      const outside = path.join(sandboxes, "..", "outside")
      fs.mkdirSync(outside)
      fs.writeFileSync(path.join(outside, "kept"), "")
      fs.symlinkSync(outside, path.join(paths.workspace, "link"))
      const closed = path.join(paths.workspace, "closed")
      fs.mkdirSync(path.join(closed, "inner"), { recursive: true })
      fs.chmodSync(closed, 0o000)
      yield* host.destroy(sandbox)
      assert.deepStrictEqual(fs.readdirSync(sandboxes), [])
      assert.isTrue(fs.existsSync(path.join(outside, "kept")))
      yield* host.destroy(sandbox)
    }))

  it.live("a link in the directory's place is neither followed nor removed", () =>
    Effect.gen(function*() {
      const { host, paths, sandboxes } = yield* world
      const elsewhere = path.join(sandboxes, "..", "elsewhere")
      fs.mkdirSync(elsewhere, { recursive: true })
      fs.mkdirSync(sandboxes, { recursive: true })
      fs.writeFileSync(path.join(elsewhere, "kept"), "")
      fs.symlinkSync(elsewhere, paths.directory)
      const error = yield* Effect.flip(host.destroy(sandbox))
      assert.include(error.message, "KM-HST-202")
      assert.isTrue(fs.existsSync(path.join(elsewhere, "kept")))
    }))
})

describe("removeDirectoryBelow", () => {
  it.live("refuses names that are paths", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      fs.mkdirSync(path.join(root, "a", "b"), { recursive: true })
      for (const name of ["", ".", "..", "../a", "a/b", "a/", ".gone-a", "/"]) {
        const error = yield* Effect.promise(() =>
          removeDirectoryBelow(root, name).then(() => undefined, (cause: unknown) => cause)
        )
        assert.instanceOf(error, NotOurs, name)
      }
      assert.isTrue(fs.existsSync(path.join(root, "a", "b")))
    }))

  it.live("finishes what a crash left half removed", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      fs.mkdirSync(path.join(root, ".gone-sb-1", "rest"), { recursive: true })
      assert.isFalse(yield* Effect.promise(() => removeDirectoryBelow(root, "sb-1")))
      assert.deepStrictEqual(fs.readdirSync(root), [])
    }))
})
