/** The host: order, one decode, containment, restarts, readiness, and a stop that drains first. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { PluginHost } from "../../../../runtime/kernel/plugins/PluginHost.ts"
import { TurnPipeline } from "../../../../runtime/kernel/turns/TurnPipeline.ts"
import * as MemoryTurnRecords from "../../../../runtime/ports/memory/MemoryTurnRecords.ts"
import { type AnyPlugin, type Plugin, PluginError, PluginId } from "../../../../runtime/ports/Plugin.ts"
import { Redaction } from "../../../../runtime/ports/Redaction.ts"
import { Turns } from "../../../../runtime/ports/Turns.ts"
import * as SimulatedAgent from "../simulation/SimulatedAgent.ts"
import { origin } from "../simulation/SimulatedSlack.ts"
import { elapse, info, ledger, message } from "../simulation/Simulation.ts"
import { type Incarnation, makeWorld, type World } from "../simulation/World.ts"

const quietly = Effect.provide(Logger.layer([]))
const incarnation: Incarnation = { number: 1, dead: false, crashed: Deferred.makeUnsafe() }

/** A host over a world; closing the scope stops it. */
const host = Effect.fnUntraced(function*(plugins: ReadonlyArray<AnyPlugin>, world: World = makeWorld([])) {
  const ports = Layer.mergeAll(
    ledger(world, incarnation),
    SimulatedAgent.layer(world, incarnation, { tellsReceived: true }),
    Redaction.layer,
    MemoryTurnRecords.layer,
    info,
    FileSystem.layerNoop({ makeDirectory: (path) => Effect.sync(() => void world.directories.add(path)) })
  )
  const scope = yield* Scope.make()
  const built = yield* PluginHost.layer(plugins).pipe(
    Layer.provideMerge(TurnPipeline.layer),
    Layer.provide(ports),
    Layer.buildWithScope(scope)
  )
  return { host: Context.get(built, PluginHost), turns: Context.get(built, Turns), scope }
})

const plugin = (id: string, partial: Partial<Plugin<{}, never>> = {}): Plugin<{}, never> => ({
  id: PluginId.make(id),
  after: [],
  essential: false,
  enabled: () => true,
  config: Schema.Struct({}),
  configure: () => ({}),
  start: () => Effect.succeed({}),
  ...partial
})

/** A plugin that does nothing but this. */
const runs = (run: () => Effect.Effect<never, PluginError>): Partial<Plugin<{}, never>> => ({
  start: () => Effect.succeed({ run: Effect.suspend(run) })
})

const bug = Effect.die("bug")

const unavailable = (id: string) =>
  new PluginError({ plugin: PluginId.make(id), operation: "start", reason: "Unavailable", detail: "no network" })

describe("PluginHost", () => {
  it.effect("starts each after those it names, and stops in reverse", () =>
    Effect.gen(function*() {
      const said: Array<string> = []
      const telling = (id: string, after: ReadonlyArray<string>) =>
        plugin(id, {
          after: after.map((name) => PluginId.make(name)),
          start: () =>
            Effect.gen(function*() {
              said.push(`start ${id}`)
              yield* Effect.addFinalizer(() => Effect.sync(() => void said.push(`stop ${id}`)))
              return {}
            })
        })
      const running = yield* host([telling("c", ["b", "absent"]), telling("a", []), telling("b", ["a"])])
      yield* Scope.close(running.scope, Exit.void)
      assert.deepStrictEqual(said, ["start a", "start b", "start c", "stop c", "stop b", "stop a"])
    }).pipe(quietly))

  it.effect("names the plugin in every line of the log that it, or the host for it, writes", () =>
    Effect.gen(function*() {
      const said: Array<unknown> = []
      const log = Logger.layer([
        Logger.make(({ fiber, message: parts }) => {
          const { plugin: named, sandbox } = fiber.getRef(References.CurrentLogAnnotations)
          said.push([...(Array.isArray(parts) ? parts : [parts]).map(String), named, sandbox].join(" of "))
        })
      ])
      // The host is made for a sandbox, which every line names too.
      yield* host([plugin("a", { start: () => Effect.as(Effect.logInfo("its own"), {}) })]).pipe(
        Effect.annotateLogs({ sandbox: "sb" }),
        Effect.provide(log)
      )
      assert.deepStrictEqual(said, ["its own of a of sb", "a plugin is running of a of sb"])
    }))

  it.effect("refuses a circle, naming it", () =>
    Effect.gen(function*() {
      const circle = yield* Effect.flip(
        host([plugin("a", { after: [PluginId.make("b")] }), plugin("b", { after: [PluginId.make("a")] }), plugin("c")])
      )
      assert.deepStrictEqual(circle.plugins, ["a", "b"])
      assert.include(circle.message, "KM-HST-101")
    }).pipe(quietly))

  it.effect("leaves out what the profile does not enable", () =>
    Effect.gen(function*() {
      const { host: hosted } = yield* host([
        plugin("a", { enabled: (profile) => profile.spec.cli.notifySlackEnabled, start: () => Effect.die("started") }),
        plugin("b")
      ])
      assert.deepStrictEqual((yield* hosted.status).map(({ id }) => id), [PluginId.make("b")])
    }).pipe(quietly))

  it.effect("decodes the configuration once, and does not start a plugin whose configuration is bad", () =>
    Effect.gen(function*() {
      let decoded = 0
      let started = 0
      const config = Schema.Struct({ port: Schema.Int })
      const typed: Plugin<typeof config.Type, never> = {
        ...plugin("typed"),
        config,
        configure: () => {
          decoded++
          return { port: 80 }
        },
        start: ({ port }) => {
          started++
          return started < 3
            ? Effect.fail(unavailable("typed"))
            : Effect.succeed({ detail: Effect.succeed(`port ${port}`) })
        }
      }
      const bad: Plugin<typeof config.Type, never> = {
        ...typed,
        id: PluginId.make("bad"),
        configure: () => ({ port: "x" })
      }
      const { host: hosted } = yield* host([typed, bad])
      yield* elapse("10 minutes")
      const [first, second] = yield* hosted.status
      assert.deepInclude(first, { state: "running", detail: "port 80", restarts: 2 })
      assert.deepInclude(second, { state: "failed", restarts: 0 })
      assert.include(second?.detail ?? "", "KM-HST-102")
      assert.include(second?.detail ?? "", "port")
      assert.strictEqual(decoded, 1)
      assert.strictEqual(started, 3)
    }).pipe(quietly))

  it.effect("starts a crashed plugin again after 1, 2, 4 … at most 60 seconds, and releases what it held", () =>
    Effect.gen(function*() {
      const at: Array<number> = []
      let held = 0
      const falling = plugin("falling", {
        start: () =>
          Effect.gen(function*() {
            at.push(at.length)
            held++
            yield* Effect.addFinalizer(() => Effect.sync(() => void held--))
            return yield* Effect.die("bug")
          })
      })
      const { host: hosted } = yield* host([falling, plugin("steady")])
      for (
        const [seconds, starts] of [
          [0.9, 1],
          [0.1, 2],
          [1.9, 2],
          [0.1, 3],
          [4, 4],
          [8, 5],
          [16, 6],
          [32, 7],
          [59.9, 7],
          [0.1, 8],
          [60, 9]
        ] as const
      ) {
        yield* elapse(`${seconds * 1_000} millis`)
        assert.strictEqual(at.length, starts)
        assert.strictEqual(held, 0)
      }
      const [first, second] = yield* hosted.status
      assert.deepInclude(first, { state: "restarting", restarts: 9 })
      assert.deepInclude(second, { state: "running", restarts: 0 })
    }).pipe(quietly))

  it.effect("waits a second again after a life of five minutes, and not after one that was a moment shorter", () =>
    Effect.gen(function*() {
      let starts = 0
      // Quick deaths make the pause 8 s; then come lives of given lengths.
      const lives = ["0 millis", "0 millis", "0 millis", "299999 millis", "300 seconds", "0 millis"] as const
      const falling = plugin("falling", runs(() => Effect.andThen(Effect.sleep(lives[starts++] ?? "1 hour"), bug)))
      yield* host([falling])
      yield* elapse("7 seconds")
      assert.strictEqual(starts, 4, "after 1, 2 and 4 seconds")
      yield* elapse("299999 millis")
      yield* elapse("7999 millis")
      assert.strictEqual(starts, 4, "it goes on with 8 seconds")
      yield* elapse("1 millis")
      assert.strictEqual(starts, 5)
      yield* elapse("300 seconds")
      yield* elapse("999 millis")
      assert.strictEqual(starts, 5)
      yield* elapse("1 millis")
      assert.strictEqual(starts, 6, "it begins again with one second")
      yield* elapse("2 seconds")
      assert.strictEqual(starts, 7, "and doubles it again")
    }).pipe(quietly))

  it.effect("a plugin that ran for five minutes starts again with the first pause, one that ran less does not", () =>
    Effect.gen(function*() {
      let starts = 0
      const lasts = [0, 0, 299_999, 300_000]
      const falling = plugin("falling", {
        start: () =>
          Effect.sync(() => ({
            detail: Effect.succeed(`life ${++starts}`),
            run: Effect.suspend(() => Effect.andThen(Effect.sleep(lasts[starts - 1] ?? 1_000_000), bug))
          }))
      })
      const { host: hosted } = yield* host([falling])
      for (
        const [millis, expected] of [
          [1_000, 2],
          [2_000, 3],
          [299_999 + 3_999, 3],
          [1, 4],
          [300_000 + 999, 4],
          [1, 5]
        ] as const
      ) {
        yield* elapse(`${millis} millis`)
        assert.strictEqual(starts, expected, `after ${millis} ms`)
      }
      assert.deepInclude((yield* hosted.status)[0], { state: "running", detail: "life 5", restarts: 4 })
    }).pipe(quietly))

  it.effect("becomes ready when the last essential plugin starts at last, and not before", () =>
    Effect.gen(function*() {
      let tries = 0
      const { host: hosted } = yield* host([
        plugin("late", {
          essential: true,
          start: () => ++tries < 3 ? Effect.fail(unavailable("late")) : Effect.succeed({})
        })
      ])
      const told = yield* Effect.forkChild(hosted.untilReady, { startImmediately: true })
      yield* elapse("2999 millis")
      assert.isUndefined(told.pollUnsafe())
      assert.deepInclude((yield* hosted.status)[0], { state: "restarting", essential: true, restarts: 2 })
      yield* elapse("1 millis")
      assert.isDefined(told.pollUnsafe())
      assert.isTrue(yield* hosted.ready)
    }).pipe(quietly))

  it.effect("is ready only while every essential plugin runs", () =>
    Effect.gen(function*() {
      const fall = yield* Deferred.make<never, PluginError>()
      const { host: hosted } = yield* host([
        plugin("inbound", { essential: true, ...runs(() => Deferred.await(fall)) }),
        plugin("optional", { start: () => Effect.die("bug") })
      ])
      yield* hosted.untilReady
      assert.isTrue(yield* hosted.ready)
      yield* Deferred.fail(fall, unavailable("inbound"))
      yield* elapse(0)
      assert.isFalse(yield* hosted.ready)
      assert.include((yield* hosted.status)[0]?.detail ?? "", "no network (KM-HST-103)")
    }).pipe(quietly))

  it.effect("runs what plugins have to run only when all of them have started", () =>
    Effect.gen(function*() {
      const said: Array<string> = []
      const running = yield* host([
        plugin("a", runs(() => Effect.andThen(Effect.sync(() => void said.push("run a")), Effect.never))),
        plugin("b", { start: () => Effect.as(Effect.sync(() => void said.push("start b")), {}) })
      ])
      yield* elapse(0)
      assert.deepStrictEqual(said, ["start b", "run a"])
      yield* Scope.close(running.scope, Exit.void)
    }).pipe(quietly))

  it.effect("a plugin whose door another one has stays down, and says so", () =>
    Effect.gen(function*() {
      const door = { name: "proxy", port: 4_703, env: {}, open: () => Effect.succeed(() => undefined) }
      const opening = { start: () => Effect.succeed({ agent: { doors: [door] } }) }
      const { host: hosted } = yield* host([plugin("a", opening), plugin("b", opening)])
      yield* elapse("10 minutes")
      const [first, second] = yield* hosted.status
      assert.deepInclude(first, { state: "running", restarts: 0 })
      assert.deepInclude(second, { state: "failed", restarts: 0 })
      assert.include(second?.detail ?? "", "the door proxy on port 4703 is taken")
      assert.include(second?.detail ?? "", "KM-HST-102")
    }).pipe(quietly))

  it.effect("a turn outlives the crash of its origin's plugin", () =>
    Effect.gen(function*() {
      const one = message(1, 1)
      const world = makeWorld([one])
      const fall = yield* Deferred.make<never, PluginError>()
      let lives = 0
      const usual = origin(world, incarnation, 1)
      const inbound = plugin("inbound", {
        start: () =>
          Effect.sync(() => {
            lives++
            // The first life hangs in the middle of showing the outcome.
            return lives === 1
              ? { origin: { ...usual, settle: () => Effect.never }, run: Deferred.await(fall) }
              : { origin: usual }
          })
      })
      const { turns } = yield* host([inbound], world)
      yield* turns.submit(one.request, undefined)
      yield* elapse("1 minute")
      assert.strictEqual(world.ledger.rows.get(one.request.key)?.state, "answered")
      yield* Deferred.fail(fall, unavailable("inbound"))
      yield* elapse("10 seconds")
      assert.strictEqual(world.ledger.rows.get(one.request.key)?.state, "settled")
      assert.strictEqual(lives, 2)
    }).pipe(quietly))

  it.effect("stops by draining the turn in hand while the plugins still live", () =>
    Effect.gen(function*() {
      const one = message(1, 1, { acts: [{ do: "answer", after: 20_000 }] })
      const world = makeWorld([one])
      let stopped = false
      const inbound = plugin("inbound", {
        start: () =>
          Effect.as(
            Effect.addFinalizer(() => Effect.sync(() => void (stopped = true))),
            { origin: origin(world, incarnation, 1) }
          )
      })
      const running = yield* host([inbound], world)
      yield* running.turns.submit(one.request, undefined)
      yield* elapse("1 second")
      const closing = yield* Effect.forkChild(Scope.close(running.scope, Exit.void), { startImmediately: true })
      yield* elapse("10 seconds")
      assert.isFalse(stopped)
      yield* elapse("15 seconds")
      yield* Fiber.join(closing)
      assert.isTrue(stopped)
      assert.strictEqual(world.ledger.rows.get(one.request.key)?.state, "settled")
    }).pipe(quietly))

  it.effect("leaves a turn that is not over after 45 seconds for the next start", () =>
    Effect.gen(function*() {
      const one = message(1, 1, { acts: [{ do: "answer", after: 600_000 }] })
      const world = makeWorld([one])
      let stopped = false
      const inbound = plugin("inbound", {
        start: () =>
          Effect.as(
            Effect.addFinalizer(() => Effect.sync(() => void (stopped = true))),
            { origin: origin(world, incarnation, 1) }
          )
      })
      const running = yield* host([inbound], world)
      yield* running.turns.submit(one.request, undefined)
      yield* elapse("1 second")
      const closing = yield* Effect.forkChild(Scope.close(running.scope, Exit.void), { startImmediately: true })
      yield* elapse("44999 millis")
      assert.isFalse(stopped)
      yield* elapse("1 millis")
      assert.isTrue(stopped)
      yield* Fiber.join(closing)
      assert.strictEqual(world.ledger.rows.get(one.request.key)?.state, "running")
    }).pipe(quietly))

  it.effect("whoever is interrupted drains nothing, and its plugins are stopped all the same", () =>
    Effect.gen(function*() {
      const stopped: Array<string> = []
      const telling = (id: string) =>
        plugin(id, runs(() => Effect.onInterrupt(Effect.never, () => Effect.sync(() => void stopped.push(id)))))
      const serving = yield* Effect.forkChild(Effect.scoped(Effect.gen(function*() {
        const running = yield* host([telling("a"), telling("b")])
        const scope = yield* Effect.scope
        yield* Scope.addFinalizerExit(scope, (exit) => Scope.close(running.scope, exit))
        return yield* Effect.never
      })))
      yield* elapse(1_000)
      yield* Fiber.interrupt(serving)
      assert.deepStrictEqual(stopped, ["b", "a"])
    }).pipe(quietly))

  it.effect("a plugin that does not let go is left behind", () =>
    Effect.gen(function*() {
      let stopped = false
      const running = yield* host([
        plugin("a", {
          start: () => Effect.as(Effect.addFinalizer(() => Effect.sync(() => void (stopped = true))), {})
        }),
        plugin("stuck", { start: () => Effect.as(Effect.addFinalizer(() => Effect.never), {}) }),
        plugin("dying", { start: () => Effect.as(Effect.addFinalizer(() => Effect.die("bug")), {}) })
      ])
      const closing = yield* Effect.forkChild(Scope.close(running.scope, Exit.void), { startImmediately: true })
      yield* elapse("9999 millis")
      assert.isFalse(stopped)
      yield* elapse("1 millis")
      yield* Fiber.join(closing)
      assert.isTrue(stopped)
      assert.deepStrictEqual((yield* running.host.status).map(({ state }) => state), ["stopped", "stopped", "stopped"])
    }).pipe(quietly))

  it.effect("a plugin that cannot tell its state, or whose start is cut off, says so in one line", () =>
    Effect.gen(function*() {
      const { host: hosted } = yield* host([
        plugin("mute", { start: () => Effect.succeed({ detail: Effect.die("bug") }) }),
        plugin("cut", { start: () => Effect.interrupt }),
        plugin("buggy", { start: () => Effect.die("bug") })
      ])
      assert.deepStrictEqual((yield* hosted.status).map(({ detail }) => detail), [
        "it cannot tell",
        "it was interrupted (KM-HST-103)",
        "it crashed (KM-HST-103)"
      ])
    }).pipe(quietly))

  it.effect("a start that finds the configuration bad is not repeated", () =>
    Effect.gen(function*() {
      let starts = 0
      const { host: hosted } = yield* host([
        plugin("bad", {
          start: () =>
            Effect.suspend(() => {
              starts++
              return Effect.fail(
                new PluginError({
                  plugin: PluginId.make("bad"),
                  operation: "start",
                  reason: "BadConfig",
                  detail: "no key"
                })
              )
            })
        })
      ])
      yield* elapse("10 minutes")
      assert.strictEqual(starts, 1)
      const [status] = yield* hosted.status
      assert.deepInclude(status, { state: "failed", restarts: 0 })
      assert.include(status?.detail ?? "", "(KM-HST-102: no key)")
    }).pipe(quietly))
})
