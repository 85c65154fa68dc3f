import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { sandbox, slackRequest } from "../../support/turnRows.ts"
import {
  answered,
  canary,
  display,
  eventually,
  line,
  makeWorld,
  otherSession,
  rowOf,
  runTurn,
  session,
  token,
  type World
} from "./transcriptWorld.ts"

const elsewhere = (world: World) => {
  const file = Path.join(world.home, "elsewhere.jsonl")
  Fs.writeFileSync(file, `${JSON.stringify(line.text("NOT YOURS"))}\n`)
  return file
}

/** A plugin that stops waits for its uploads, at most five seconds. */
const stop = Effect.fnUntraced(function*(scope: Scope.Closeable) {
  const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
  yield* TestClock.adjust("5 seconds")
  yield* Fiber.join(closing)
})

const uploads = (world: World) => world.actions("upload").map(({ filename, replaces }) => ({ filename, replaces }))

describe("transcript: hostile files", () => {
  const cases: ReadonlyArray<readonly [string, (world: World) => void]> = [
    ["a missing file", () => {}],
    ["a symbolic link", (world) => Fs.symlinkSync(elsewhere(world), world.path())],
    ["a hard link", (world) => Fs.linkSync(elsewhere(world), world.path())],
    ["a FIFO", (world) => void execFileSync("mkfifo", [world.path()])],
    ["a directory", (world) => Fs.mkdirSync(world.path())],
    ["a huge file", (world) => {
      Fs.writeFileSync(world.path(), `${JSON.stringify(line.text("NOT YOURS"))}\n`)
      Fs.truncateSync(world.path(), 300 * 1024 * 1024)
    }],
    ["a linked project directory", (world) => {
      const real = Path.join(world.home, "real")
      Fs.mkdirSync(real)
      Fs.writeFileSync(Path.join(real, `${session}.jsonl`), `${JSON.stringify(line.text("NOT YOURS"))}\n`)
      Fs.rmdirSync(world.project)
      Fs.symlinkSync(real, world.project)
    }],
    ["a linked configuration directory", (world) => {
      Fs.writeFileSync(world.path(), `${JSON.stringify(line.text("NOT YOURS"))}\n`)
      Fs.renameSync(Path.join(world.home, ".claude"), Path.join(world.home, "moved"))
      Fs.symlinkSync(Path.join(world.home, "moved"), Path.join(world.home, ".claude"))
    }],
    ["a file in the directory's place", (world) => {
      Fs.rmdirSync(world.project)
      Fs.writeFileSync(world.project, "x")
    }]
  ]
  for (const [name, plant] of cases) {
    it.effect(`is neither led astray nor held up by ${name}`, () =>
      Effect.gen(function*() {
        const world = yield* makeWorld
        const { observer } = yield* world.start()
        plant(world)
        const shown = yield* runTurn(world, observer, rowOf(1), ["The answer."], [])
        assert.strictEqual(shown.length, 1)
        assert.deepStrictEqual(world.lives(), ["The answer."])
        assert.deepStrictEqual(world.actions("upload"), [])
        assert.strictEqual(world.objects.objects.get(sandbox)?.size ?? 0, 0)
      }))
  }

  it.effect("reads past garbage, and never the path that a hook names", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { observer } = yield* world.start()
      const row = rowOf(1)
      yield* Effect.scoped(observer.starting(row))
      world.hear(display("Hi.", "m", { transcript_path: elsewhere(world) }))
      Fs.writeFileSync(world.path(), "\0\xff{}\n[[[[\n{\"type\":\"assistant\"}\nnull\n")
      world.write([line.text("Hi."), { ...line.text("of a subagent"), isSidechain: true }])
      yield* observer.exited(answered(row, "Hi."))
      assert.deepStrictEqual(world.lives(), ["Hi."])
    }))
})

describe("transcript: the attached session", () => {
  const filename = `claude-transcript-${session}.jsonl.gz`

  it.effect("is one file for a session and thread: each upload replaces the one before, after a restart too", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const thread = { thread: 1 }
      const first = yield* Scope.make()
      const { observer } = yield* world.start().pipe(Scope.provide(first))
      yield* runTurn(world, observer, rowOf(1), ["One."], [line.said("a"), line.text("One.")])
      yield* Scope.close(first, Exit.void)
      const second = yield* world.start()
      yield* runTurn(
        world,
        second.observer,
        rowOf(2, { request: slackRequest(2, thread), resumed: true }),
        ["Two."],
        [line.said("b", "p2"), line.text("Two.")]
      )
      assert.deepStrictEqual(uploads(world), [{ filename, replaces: undefined }, { filename, replaces: "F1" }])
      assert.strictEqual(world.objects.objects.get(sandbox)?.size, 1)
      assert.strictEqual(world.uploaded(), Fs.readFileSync(world.path(), "utf8"))
      assert.deepStrictEqual(world.lives(), ["One.", "Two."], "the second turn does not repeat the first")
    }))

  it.effect("is not sent again when nothing has changed", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { observer } = yield* world.start()
      const row = answered(rowOf(1), "One.")
      yield* runTurn(world, observer, rowOf(1), ["One."], [line.text("One.")])
      yield* observer.posted(row)
      yield* world.attached
      yield* observer.posted({ ...row, key: slackRequest(9).key })
      yield* world.attached
      assert.strictEqual(uploads(world).length, 1)
      assert.strictEqual(world.objects.objects.get(sandbox)?.size, 1)
    }))

  it.effect("a crash between the upload and its record neither doubles nor forgets a file", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const crashing = yield* Scope.make()
      const dying = yield* world.start().pipe(Scope.provide(crashing))
      world.write([line.text("One.")])
      const row = answered(rowOf(1), "One.")
      world.state.deaf = ({ action }) => action.action === "upload"
      yield* dying.observer.posted(row)
      yield* eventually("the upload", () => uploads(world).length === 1)
      yield* stop(crashing)
      world.state.deaf = undefined
      const { observer } = yield* world.start()
      yield* observer.posted(row)
      yield* observer.posted(row)
      yield* world.attached
      world.write([line.text("Two.")])
      yield* observer.posted({ ...row, key: slackRequest(2).key })
      yield* world.attached
      assert.deepStrictEqual(uploads(world), [{ filename, replaces: undefined }, { filename, replaces: "F1" }])
    }))

  it.effect("holds up neither a turn nor another session, is done at the next start, and only the newest", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const first = yield* Scope.make()
      const before = yield* world.start().pipe(Scope.provide(first))
      world.write([line.text("One.")])
      world.write([line.text("Other.")], otherSession)
      world.state.deaf = ({ action }) => action.action === "upload" && action.filename.includes(session)
      const row = answered(rowOf(1), "One.")
      yield* before.observer.posted(row)
      yield* eventually("the upload", () => uploads(world).length === 1)
      // Three more turns of the same thread, and one of another: none waits for the answer that never comes.
      for (const n of [2, 3, 4]) yield* before.observer.posted({ ...row, key: slackRequest(n).key })
      yield* before.observer.posted(answered(rowOf(9, { session: otherSession }), "Other."))
      yield* eventually("the other upload", () => uploads(world).length === 2)
      world.write([line.text("Two.")])
      yield* stop(first)
      assert.strictEqual(uploads(world).length, 2)
      world.state.deaf = undefined
      yield* world.start()
      yield* world.attached
      assert.deepStrictEqual(uploads(world).map(({ replaces }) => replaces), [undefined, undefined, "F1"])
      assert.strictEqual(world.uploaded(), Fs.readFileSync(world.path(), "utf8"))
      assert.strictEqual(world.objects.objects.get(sandbox)?.size, 2)
    }))

  it.effect("that was refused for good is not asked for again, and the next turn attaches it", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { observer } = yield* world.start()
      world.write([line.text("One.")])
      world.state.refuse = ({ action }) => action.action === "upload" ? "not_in_channel" : undefined
      yield* observer.posted(answered(rowOf(1), "One."))
      yield* world.attached
      assert.strictEqual(world.bridge.calls.filter(({ action }) => action.action === "upload").length, 1)
      world.state.refuse = undefined
      yield* observer.posted(answered(rowOf(2), "One."))
      yield* world.attached
      assert.strictEqual(uploads(world).length, 1)
    }))

  it.effect("holds no secret, and every line of it is still JSON", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { observer } = yield* world.start()
      const basic = Buffer.from(`x:${canary}`).toString("base64")
      const pem = `-----BEGIN ${"PRIVATE KEY"}-----\nAAAA\n-----END ${"PRIVATE KEY"}-----`
      const secrets = [`say "${canary}"\n${token}`, `Basic ${basic}`, JSON.stringify({ key: canary }), pem]
      const lines = [...secrets.map(line.text), { [canary]: { deep: [token] } }, { type: "plain", n: 1.5 }]
      yield* runTurn(world, observer, rowOf(1), [`${canary} and ${token}`], lines)
      const uploaded = world.uploaded() ?? ""
      for (const secret of [canary, token, basic.slice(4, 16), "AAAA"]) {
        assert.notInclude(uploaded, secret)
        assert.notInclude(JSON.stringify(world.bridge.calls), secret)
      }
      const parsed = uploaded.trimEnd().split("\n").map((text): unknown => JSON.parse(text))
      assert.strictEqual(parsed.length, lines.length)
      assert.deepStrictEqual(parsed.at(-1), { type: "plain", n: 1.5 })
    }))
})
