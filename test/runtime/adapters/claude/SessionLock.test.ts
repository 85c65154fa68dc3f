import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as ProcessTree from "../../../../runtime/adapters/claude/ProcessTree.ts"
import * as SessionLock from "../../../../runtime/adapters/claude/SessionLock.ts"
import { SessionId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { temporaryDirectory } from "../../../support/ScriptedModel.ts"

const session = SessionId.make("0b0e6a40-1111-4222-8333-444444444444")

/** A process with the marker in its environment and a session of its own, as the agent's tools have. */
const sleeper = (marker: string) =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      const child = spawn("tail", ["-f", "/dev/null"], { detached: true, stdio: "ignore", env: { KM_RUN: marker } })
      child.once("spawn", () => resume(Effect.succeed(child.pid ?? 0)))
    }),
    (pid) => ProcessTree.signal(ProcessTree.markOf(pid), "SIGKILL")
  )

const deadHolder = { pid: 2 ** 22 - 1, startTime: "1", bootId: "another-boot" }

describe("SessionLock", () => {
  it.live("is exclusive until released; releasing twice frees nobody else's", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const first = yield* SessionLock.acquire(directory, session, "a")
      const refused = yield* Effect.flip(SessionLock.acquire(directory, session, "b"))
      assert.strictEqual(refused.reason, "busy")
      assert.include(refused.message, String(process.pid))
      yield* first.release
      yield* SessionLock.acquire(directory, session, "b")
      yield* first.release
      assert.strictEqual((yield* Effect.flip(SessionLock.acquire(directory, session, "c"))).reason, "busy")
    }))

  it.live("takes over from a dead runtime after ending what its run left", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      const left = yield* sleeper("stale-marker")
      const file = Path.join(directory, `${session}.lock`)
      Fs.writeFileSync(file, JSON.stringify({ holder: deadHolder, marker: "stale-marker" }))
      assert.deepStrictEqual(ProcessTree.marked("stale-marker"), [left])
      yield* SessionLock.acquire(directory, session, "mine")
      assert.deepStrictEqual(ProcessTree.marked("stale-marker"), [])
      assert.include(Fs.readFileSync(file, "utf8"), "mine")
      assert.deepStrictEqual(Fs.readdirSync(directory), [`${session}.lock`])
    }))

  it.live("a lock file that cannot be read is taken over too", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      Fs.writeFileSync(Path.join(directory, `${session}.lock`), "")
      yield* SessionLock.acquire(directory, session, "mine")
    }))

  it.live("releaseStale frees only that run's lock", () =>
    Effect.gen(function*() {
      const directory = yield* temporaryDirectory
      yield* SessionLock.acquire(directory, session, "mine")
      yield* SessionLock.releaseStale(directory, session, "other")
      assert.strictEqual((yield* Effect.flip(SessionLock.acquire(directory, session, "b"))).reason, "busy")
      yield* SessionLock.releaseStale(directory, session, "mine")
      yield* SessionLock.acquire(directory, session, "b")
    }))

  it.live("says when the directory cannot be written", () =>
    Effect.gen(function*() {
      const file = Path.join(yield* temporaryDirectory, "file")
      Fs.writeFileSync(file, "")
      const refused = yield* Effect.flip(SessionLock.acquire(Path.join(file, "locks"), session, "a"))
      assert.strictEqual(refused.reason, "unwritable")
    }))
})

describe("ProcessTree", () => {
  it.live("tells a process from another with its pid by start time and boot", () =>
    Effect.gen(function*() {
      const pid = yield* sleeper("m1")
      const mark = ProcessTree.markOf(pid)
      assert.isTrue(ProcessTree.isAlive(mark))
      assert.isFalse(ProcessTree.isAlive({ ...mark, startTime: "1" }))
      assert.isFalse(ProcessTree.isAlive({ ...mark, bootId: "another" }))
      // Not the one that was meant: nothing is sent.
      yield* ProcessTree.signal({ ...mark, startTime: "1" }, "SIGKILL")
      assert.isTrue(ProcessTree.isAlive(mark))
      assert.isTrue(yield* ProcessTree.awaitGone(mark, true))
      assert.isFalse(ProcessTree.isAlive(mark))
    }))

  it.live("finds exactly the marked ones", () =>
    Effect.gen(function*() {
      const one = yield* sleeper("m2")
      yield* sleeper("m22")
      assert.deepStrictEqual(ProcessTree.marked("m2"), [one])
      assert.isTrue(yield* ProcessTree.endMarked("m2"))
      assert.deepStrictEqual(ProcessTree.marked("m2"), [])
      assert.lengthOf(ProcessTree.marked("m22"), 1)
    }))
})
