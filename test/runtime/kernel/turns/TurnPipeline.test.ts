/** The pipeline as plugins see it: slots, order, stop, health, redelivery, draining, and what observers are told. */
import { assert, describe, it } from "@effect/vitest"
import * as ByteSize from "effect/ByteSize"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { TurnKey } from "../../../../runtime/domain/sandbox/Ids.ts"
import type { TurnRow } from "../../../../runtime/domain/turn/Turn.ts"
import { sessionLostNotice } from "../../../../runtime/kernel/turns/Prompt.ts"
import { turnDirectoryName } from "../../../../runtime/kernel/turns/RunDirectory.ts"
import { receivedRow, replayRequest } from "../../../../runtime/kernel/turns/TurnMachine.ts"
import { TurnParties } from "../../../../runtime/kernel/turns/TurnParties.ts"
import { TurnPipeline } from "../../../../runtime/kernel/turns/TurnPipeline.ts"
import { Ledger } from "../../../../runtime/ports/Ledger.ts"
import * as MemoryTurnRecords from "../../../../runtime/ports/memory/MemoryTurnRecords.ts"
import { type OriginHandler, PluginId, type TurnObserver, Undeliverable } from "../../../../runtime/ports/Plugin.ts"
import { Redaction } from "../../../../runtime/ports/Redaction.ts"
import { StoreError } from "../../../../runtime/ports/StoreError.ts"
import { Turns } from "../../../../runtime/ports/Turns.ts"
import * as SimulatedAgent from "../simulation/SimulatedAgent.ts"
import { origin } from "../simulation/SimulatedSlack.ts"
import { elapse, info, ledger, message } from "../simulation/Simulation.ts"
import { type Incarnation, makeWorld, type Message, sandbox, type World } from "../simulation/World.ts"

const plugin = PluginId.make("slack-inbound")
const observing = PluginId.make("transcript")
const fileInfo = (mtime: Date): FileSystem.File.Info => ({
  type: "Directory",
  mtime: Option.some(mtime),
  atime: Option.none(),
  birthtime: Option.none(),
  dev: 0n,
  ino: Option.none(),
  mode: 0o700,
  nlink: Option.none(),
  uid: Option.none(),
  gid: Option.none(),
  rdev: Option.none(),
  size: ByteSize.bytes(0),
  blksize: Option.none(),
  blocks: Option.none()
})
const quietly = Effect.provide(Logger.layer([]))

interface Options {
  readonly origin?: (usual: OriginHandler) => OriginHandler
  readonly observers?: ReadonlyArray<TurnObserver>
  readonly ledger?: (disk: Ledger["Service"]) => Ledger["Service"]
  readonly begin?: boolean
  readonly files?: Layer.Layer<FileSystem.FileSystem>
}

/** A pipeline over a world, with the simulated agent and bridge behind it, and no plugin that receives. */
const pipeline = Effect.fnUntraced(function*(world: World, options: Options = {}) {
  const incarnation: Incarnation = { number: 1, dead: false, crashed: Deferred.makeUnsafe() }
  const disk = Layer.effect(Ledger, Effect.map(Ledger, options.ledger ?? ((usual) => usual))).pipe(
    Layer.provide(ledger(world, incarnation))
  )
  const ports = Layer.mergeAll(
    disk,
    SimulatedAgent.layer(world, incarnation, { tellsReceived: true }),
    Redaction.layer,
    MemoryTurnRecords.layerOver(world.records),
    info,
    options.files ??
      FileSystem.layerNoop({
        makeDirectory: (path) => Effect.sync(() => void world.directories.add(path)),
        readDirectory: () => Effect.succeed([])
      })
  )
  const scope = yield* Scope.fork(yield* Effect.scope)
  const built = yield* Layer.buildWithScope(TurnPipeline.layer.pipe(Layer.provideMerge(ports)), scope)
  const parties = Context.get(built, TurnParties)
  const usual = origin(world, incarnation, 1)
  yield* Scope.provide(parties.addOrigin(plugin, options.origin?.(usual) ?? usual), scope)
  for (const observer of options.observers ?? []) yield* Scope.provide(parties.addObserver(observing, observer), scope)
  if (options.begin !== false) yield* Context.get(built, TurnPipeline).begin
  return {
    turns: Context.get(built, Turns),
    pipeline: Context.get(built, TurnPipeline),
    parties,
    redaction: Context.get(built, Redaction),
    scope
  }
})

const row = (world: World, { request }: Message): TurnRow | undefined => world.ledger.rows.get(request.key)
const state = (world: World, one: Message) => row(world, one)?.state
const long = [{ do: "answer", after: 600_000 }] as const

const observer = (partial: Partial<TurnObserver>): TurnObserver => ({
  starting: () => Effect.void,
  started: () => Effect.void,
  exited: () => Effect.succeed([]),
  posted: () => Effect.void,
  ...partial
})

describe("TurnPipeline", () => {
  it.effect("answers accepted, open and settled", () =>
    Effect.gen(function*() {
      const one = message(1, 1)
      const world = makeWorld([one])
      const { turns } = yield* pipeline(world)
      assert.strictEqual(yield* turns.submit(one.request, "r1"), "accepted")
      assert.strictEqual(yield* turns.submit(one.request, "r2"), "open")
      assert.strictEqual(row(world, one)?.receipt, "r2")
      const waiting = yield* Effect.forkChild(turns.settled(one.request.key), { startImmediately: true })
      yield* elapse("1 minute")
      yield* Fiber.join(waiting)
      assert.strictEqual(state(world, one), "settled")
      assert.strictEqual(yield* turns.submit(one.request, "r3"), "settled")
      yield* turns.settled(one.request.key)
      yield* turns.settled(message(9, 9).request.key)
    }).pipe(quietly))

  it.effect("runs turns of a kind that their plugin alone knows, and records who asked", () =>
    Effect.gen(function*() {
      const [of, label] = ["pager", "Grace"]
      const { request, ...rest } = message(1, 1)
      const one = {
        ...rest,
        request: { ...request, origin: { kind: "plugin" as const, of, label, data: { number: 17 } } }
      }
      const world = makeWorld([one])
      const { turns } = yield* pipeline(world, { origin: (usual) => ({ ...usual, kind: of }) })
      // Of another kind, so nobody is asked about it and it waits.
      const other = { ...request, key: TurnKey.make("other"), origin: { ...one.request.origin, of: "telex" } }
      assert.strictEqual(yield* turns.submit(one.request, undefined), "accepted")
      assert.strictEqual(yield* turns.submit(other, undefined), "accepted")
      yield* elapse("1 minute")
      assert.strictEqual(state(world, one), "settled")
      assert.deepStrictEqual(world.records.records.get(sandbox)?.get(one.request.key)?.origin, { kind: of, label })
      assert.notStrictEqual(world.ledger.rows.get(other.key)?.state, "settled")
    }).pipe(quietly))

  it.effect("keeps a thread's turns in order whoever submits them, and runs threads side by side up to the limit", () =>
    Effect.gen(function*() {
      const messages = [message(1, 1, { acts: long }), message(1, 2), message(2, 1, { acts: long }), message(3, 1)]
      const [a, b, c, d] = messages
      if (a === undefined || b === undefined || c === undefined || d === undefined) return
      const world = makeWorld(messages)
      const { pipeline: kernel, turns } = yield* pipeline(world)
      for (const { request } of messages) yield* turns.submit(request, undefined)
      yield* elapse("1 minute")
      assert.deepStrictEqual(messages.map((one) => state(world, one)), ["running", "received", "running", "received"])
      assert.deepStrictEqual(
        (yield* kernel.open).map(({ key, state: at }) => [key, at]),
        messages.map((one) => [one.request.key, state(world, one)])
      )
      assert.deepInclude(yield* turns.health, { state: "ok", open: 4, running: 2 })
      yield* elapse("30 minutes")
      assert.deepStrictEqual(
        [...world.runs.values()].map((run) => run.turn).toSorted(),
        messages.map((one) => one.request.key).toSorted()
      )
      assert.isTrue(messages.every((one) => state(world, one) === "settled"))
      assert.deepInclude(yield* turns.health, { open: 0, running: 0 })
      assert.deepStrictEqual(yield* kernel.open, [])
      const recorded = [...world.records.records.get(sandbox)?.values() ?? []]
      assert.deepStrictEqual(
        recorded.map(({ key, result }) => `${key} ${result}`).toSorted(),
        messages.map((one) => `${one.request.key} answered`).toSorted()
      )
    }).pipe(quietly))

  it.effect("stops a waiting turn at once, and never lets the next one overtake the first", () =>
    Effect.gen(function*() {
      const messages = [message(1, 1, { acts: long }), message(1, 2), message(1, 3)]
      const [a, b, c] = messages
      if (a === undefined || b === undefined || c === undefined) return
      const world = makeWorld(messages)
      const { turns } = yield* pipeline(world)
      for (const { request } of messages) yield* turns.submit(request, undefined)
      yield* elapse("1 second")
      assert.isTrue(yield* turns.stop({ turn: b.request.key }, "Ada"))
      yield* elapse("1 second")
      assert.strictEqual(state(world, a), "running")
      assert.strictEqual(state(world, b), "settled")
      assert.strictEqual(row(world, b)?.result, "cancelled")
      assert.strictEqual(state(world, c), "received")
      assert.isFalse(yield* turns.stop({ turn: b.request.key }, "Ada"))
      yield* elapse("11 minutes")
      assert.strictEqual(row(world, c)?.result, "answered")
    }).pipe(quietly))

  it.effect("stops everything of a thread, and everything", () =>
    Effect.gen(function*() {
      const messages = [message(1, 1, { acts: long }), message(1, 2), message(2, 1, { acts: long })]
      const [a, b, c] = messages
      if (a === undefined || b === undefined || c === undefined) return
      const world = makeWorld(messages)
      const { turns } = yield* pipeline(world)
      for (const { request } of messages) yield* turns.submit(request, undefined)
      yield* elapse("1 second")
      assert.isTrue(yield* turns.stop({ group: a.request.group }, "Ada"))
      yield* elapse("5 seconds")
      assert.deepStrictEqual(messages.map((one) => row(world, one)?.result), ["cancelled", "cancelled", undefined])
      assert.isTrue(yield* turns.stop({}, "operator"))
      yield* elapse("5 seconds")
      assert.strictEqual(row(world, c)?.result, "cancelled")
      assert.isFalse(yield* turns.stop({}, "operator"))
    }).pipe(quietly))

  it.effect("gives as many slots as the profile allows, and a closed scope gives its slot back", () =>
    Effect.gen(function*() {
      const { turns } = yield* pipeline(makeWorld([]))
      const first = yield* Scope.make()
      yield* Scope.provide(turns.slot, first)
      yield* turns.slot
      const third = yield* Effect.forkChild(turns.slot, { startImmediately: true })
      yield* elapse("1 minute")
      assert.isUndefined(third.pollUnsafe())
      yield* Scope.close(first, Exit.void)
      yield* Fiber.join(third)
    }).pipe(Effect.scoped, quietly))

  it.effect("lets a recovered turn fill a slot", () =>
    Effect.gen(function*() {
      const messages = [message(1, 1, { acts: long }), message(2, 1, { acts: long })]
      const world = makeWorld(messages)
      for (const { request } of messages) world.ledger.rows.set(request.key, receivedRow(request, undefined, 0))
      const { turns } = yield* pipeline(world)
      const slot = yield* Effect.forkChild(turns.slot, { startImmediately: true })
      yield* elapse("1 minute")
      assert.isUndefined(slot.pollUnsafe())
      yield* elapse("10 minutes")
      yield* Fiber.join(slot)
    }).pipe(Effect.scoped, quietly))

  it.effect("takes nothing while the disk is full, says so once, and goes on by itself", () =>
    Effect.gen(function*() {
      const one = message(1, 1)
      const world = makeWorld([one])
      const { turns } = yield* pipeline(world)
      world.ledgerFull = { from: 0, until: 60_000 }
      const refusal = yield* Effect.flip(turns.submit(one.request, "r1"))
      assert.strictEqual(refusal.reason, "Full")
      const health = yield* turns.health
      assert.strictEqual(health.state, "full")
      assert.include(health.detail, "KM-TRN-007")
      const slot = yield* Effect.forkChild(turns.slot, { startImmediately: true })
      yield* elapse("50 seconds")
      assert.isUndefined(slot.pollUnsafe())
      assert.strictEqual((yield* turns.health).since, health.since)
      yield* elapse("16 seconds")
      yield* Fiber.join(slot)
      assert.strictEqual((yield* turns.health).state, "ok")
      assert.strictEqual(yield* turns.submit(one.request, "r1"), "accepted")
    }).pipe(Effect.scoped, quietly))

  it.effect("leaves a corrupt ledger as it is and says what to do", () =>
    Effect.gen(function*() {
      const world = makeWorld([])
      const corrupt = new StoreError({
        port: "Ledger",
        operation: "open",
        reason: "Corrupt",
        detail: "page 3",
        cause: "malformed"
      })
      const { turns } = yield* pipeline(world, {
        ledger: (disk) => ({ ...disk, open: Effect.fail(corrupt) })
      })
      assert.deepInclude(yield* turns.health, { state: "corrupt", open: 0 })
      assert.include((yield* turns.health).detail, "KM-TRN-008")
      assert.strictEqual((yield* Effect.flip(turns.submit(message(1, 1).request, "r1"))).reason, "Corrupt")
      const slot = yield* Effect.forkChild(turns.slot, { startImmediately: true })
      yield* elapse("1 hour")
      assert.isUndefined(slot.pollUnsafe())
      assert.strictEqual(world.ledger.rows.size, 0)
    }).pipe(Effect.scoped, quietly))

  it.effect("keeps a turn open when the ledger turns corrupt under it", () =>
    Effect.gen(function*() {
      const one = message(1, 1)
      const world = makeWorld([one])
      const { turns } = yield* pipeline(world, {
        ledger: (disk) => ({
          ...disk,
          update: (from, to) =>
            to.state === "answered"
              ? Effect.fail(
                new StoreError({ port: "Ledger", operation: "update", reason: "Corrupt", detail: "page 3", cause: "x" })
              )
              : disk.update(from, to)
        })
      })
      yield* turns.submit(one.request, "r1")
      yield* elapse("1 minute")
      assert.strictEqual(state(world, one), "running")
      assert.strictEqual(world.posts.size, 0)
      assert.strictEqual((yield* turns.health).state, "corrupt")
    }).pipe(quietly))

  it.effect("gives back both receipts when a message is delivered again while it is given back", () =>
    Effect.gen(function*() {
      const one = message(1, 1)
      const world = makeWorld([one])
      const given: Array<string | undefined> = []
      const { turns } = yield* pipeline(world, {
        origin: (usual) => ({
          ...usual,
          finish: (settled) => Effect.andThen(Effect.sleep(100), Effect.sync(() => void given.push(settled.receipt)))
        })
      })
      yield* turns.submit(one.request, "r1")
      const watching = yield* turns.changes
      const posted = yield* Effect.forkChild(
        Stream.fromSubscription(watching).pipe(
          Stream.filter((changed) => changed.state === "posted"),
          Stream.take(1),
          Stream.runDrain,
          Effect.andThen(Effect.sleep(50)),
          Effect.andThen(turns.submit(one.request, "r2"))
        )
      )
      yield* elapse("1 minute")
      assert.strictEqual(yield* Fiber.join(posted), "open")
      assert.deepStrictEqual(given, ["r1", "r2"])
    }).pipe(Effect.scoped, quietly))

  it.effect("shows every state to those who watch", () =>
    Effect.gen(function*() {
      const one = message(1, 1)
      const { turns } = yield* pipeline(makeWorld([one]))
      const watching = yield* turns.changes
      yield* turns.submit(one.request, "r1")
      yield* elapse("1 minute")
      const states = (yield* PubSub.takeAll(watching)).map((changed) => changed.state)
      assert.deepStrictEqual(states, ["received", "starting", "running", "answered", "posted", "settled"])
    }).pipe(Effect.scoped, quietly))

  it.effect("writes no secret down", () =>
    Effect.gen(function*() {
      const one = message(1, 1)
      const world = makeWorld([one])
      const { redaction, turns } = yield* pipeline(world)
      yield* redaction.add(Redacted.make(one.request.key))
      yield* turns.submit(one.request, "r1")
      yield* elapse("1 minute")
      const outcome = row(world, one)?.outcome
      assert.strictEqual(outcome?._tag, "Answered")
      assert.notInclude(JSON.stringify(outcome), one.request.key)
      assert.notInclude([...world.posts.values()][0]?.text ?? "", one.request.key)
    }).pipe(quietly))

  it.effect("edits the notice of a parked turn that runs again", () =>
    Effect.gen(function*() {
      const one = message(1, 1, { acts: [{ do: "die", after: 10 }, { do: "die", after: 10 }] })
      const world = makeWorld([one])
      const { turns } = yield* pipeline(world)
      yield* turns.submit(one.request, "r1")
      yield* elapse("1 minute")
      const parked = row(world, one)
      assert.strictEqual(parked?.result, "parked")
      assert.include(world.posts.get(`${one.request.key}/answer/0`)?.text ?? "", "km replay")
      if (parked === undefined) return
      const again = replayRequest(parked, 2)
      yield* turns.submit(again, "r2")
      yield* elapse("1 minute")
      assert.strictEqual(world.ledger.rows.get(again.key)?.state, "settled")
      assert.strictEqual(world.posts.get(`${one.request.key}/answer/0`)?.text, `runs again as ${again.key}`)
    }).pipe(quietly))

  it.effect("says in the thread that a lost session was begun afresh", () =>
    Effect.gen(function*() {
      const one = message(1, 1, { acts: [{ do: "lose-session" }, { do: "answer", after: 10 }] })
      const world = makeWorld([message(1, 0), one])
      const { turns } = yield* pipeline(world)
      yield* turns.submit(message(1, 0).request, undefined)
      yield* elapse("1 minute")
      yield* turns.submit(one.request, undefined)
      yield* elapse("1 minute")
      assert.strictEqual(row(world, one)?.result, "answered")
      assert.strictEqual(world.posts.get(`${one.request.key}/session-lost/0`)?.text, sessionLostNotice)
    }).pipe(quietly))

  it.effect("logs one line for each turn that is over: key, outcome, time and cost, and nothing that anybody wrote", () =>
    Effect.gen(function*() {
      const good = message(1, 1, { acts: [{ do: "answer", after: 1_500 }] })
      const bad = message(2, 2, { acts: [{ do: "fail", after: 10 }] })
      const world = makeWorld([good, bad])
      const lines: Array<{ message: unknown; annotations: Record<string, unknown> }> = []
      const keep = Logger.map(Logger.formatJson, (line) => void lines.push(JSON.parse(line)))
      yield* Effect.gen(function*() {
        const { turns } = yield* pipeline(world)
        yield* turns.submit(good.request, undefined)
        yield* turns.submit(good.request, "again")
        yield* turns.submit(bad.request, undefined)
        yield* elapse("1 minute")
      }).pipe(Effect.provide(Logger.layer([keep])))
      const settled = lines.filter((line) => line.message === "turn settled").map((line) => line.annotations)
      // In the order of their ends; the message that came twice is one turn.
      assert.deepStrictEqual(settled, [
        { turn: bad.request.key, outcome: "failed", durationMs: 200, attempts: 1, costUsd: 0.25, code: "KM-AGT-401" },
        { turn: good.request.key, outcome: "answered", durationMs: 1_600, attempts: 1, costUsd: 0.25 }
      ])
    }))

  it.effect("marks a turn undeliverable, whatever refused its outcome, and remembers its session", () =>
    Effect.gen(function*() {
      const one = message(1, 1)
      const world = makeWorld([one])
      const { turns } = yield* pipeline(world, {
        origin: (usual) => ({
          ...usual,
          settle: () => Effect.fail(new Undeliverable({ code: "is_archived", detail: "archived" }))
        })
      })
      yield* turns.submit(one.request, undefined)
      yield* elapse("1 minute")
      assert.strictEqual(row(world, one)?.result, "undeliverable")
      assert.strictEqual(state(world, one), "settled")
      assert.isTrue(world.reactions.has(`${one.request.key}/done`))
      assert.isFalse(world.reactions.has(`${one.request.key}/wait`))
      assert.isTrue(world.threads.has(one.request.group))
    }).pipe(quietly))

  it.effect("forgets a group once nothing of it is in hand", () =>
    Effect.gen(function*() {
      const all = [message(1, 1), message(2, 1), message(2, 2)]
      const world = makeWorld(all)
      const { pipeline: kernel, turns } = yield* pipeline(world)
      yield* Effect.forEach(all, ({ request }) => turns.submit(request, undefined))
      assert.strictEqual(yield* kernel.groups, 2)
      yield* elapse("1 minute")
      assert.isTrue(all.every((one) => state(world, one) === "settled"))
      assert.strictEqual(yield* kernel.groups, 0)
    }).pipe(quietly))

  it.effect("a message waits for the one that runs in its thread, also when the one before that is over", () =>
    Effect.gen(function*() {
      const [first, second, third] = [message(1, 1), message(1, 2, { acts: long }), message(1, 3)]
      const world = makeWorld([first, second, third])
      const { pipeline: kernel, turns } = yield* pipeline(world)
      yield* turns.submit(first.request, undefined)
      yield* turns.submit(second.request, undefined)
      yield* elapse("1 minute")
      assert.deepStrictEqual([state(world, first), state(world, second)], ["settled", "running"])
      assert.strictEqual(yield* kernel.groups, 1)
      yield* turns.submit(third.request, undefined)
      yield* elapse("1 minute")
      assert.strictEqual(state(world, third), "received")
      yield* elapse("11 minutes")
      assert.deepStrictEqual([state(world, second), state(world, third)], ["settled", "settled"])
    }).pipe(quietly))

  it.effect("runs a message whose sender went away while its row was written", () =>
    Effect.gen(function*() {
      const one = message(1, 1)
      const world = makeWorld([one])
      const written = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const { turns } = yield* pipeline(world, {
        ledger: (disk) => ({
          ...disk,
          insert: (fresh) =>
            Effect.tap(
              disk.insert(fresh),
              () => Effect.andThen(Deferred.succeed(written, undefined), Deferred.await(go))
            )
        })
      })
      const submitting = yield* Effect.forkChild(turns.submit(one.request, undefined))
      yield* Deferred.await(written)
      const leaving = yield* Effect.forkChild(Fiber.interrupt(submitting), { startImmediately: true })
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(leaving)
      yield* elapse("1 minute")
      assert.strictEqual(state(world, one), "settled")
    }).pipe(quietly))

  it.effect("marks before an observer that takes its time is told, and gives that no more than ten seconds", () =>
    Effect.gen(function*() {
      const [one, next] = [message(1, 1), message(1, 2)]
      const world = makeWorld([one, next])
      const told = yield* Deferred.make<boolean>()
      const { turns } = yield* pipeline(world, {
        observers: [observer({
          posted: ({ key }) => Effect.andThen(Deferred.succeed(told, world.reactions.has(`${key}/done`)), Effect.never)
        })]
      })
      yield* turns.submit(one.request, undefined)
      yield* turns.submit(next.request, undefined)
      yield* elapse("1 minute")
      assert.isTrue(yield* Deferred.await(told))
      assert.deepStrictEqual([state(world, one), state(world, next)], ["settled", "settled"])
    }).pipe(quietly))

  it.effect("shares the agent's events among observers, and one that dies or hangs harms nobody", () =>
    Effect.gen(function*() {
      const one = message(1, 1)
      const world = makeWorld([one])
      const seen: Array<string> = []
      const counting = (name: string) =>
        observer({
          started: (_row, process) =>
            Effect.asVoid(
              Effect.forkScoped(
                Stream.runForEach(process.events, (event) => Effect.sync(() => void seen.push(name + event._tag)))
              )
            )
        })
      const { turns } = yield* pipeline(world, {
        observers: [
          counting("a"),
          observer({ started: () => Effect.die("broken"), exited: () => Effect.die("broken") }),
          observer({ starting: () => Effect.never, posted: () => Effect.die("broken") }),
          counting("b")
        ]
      })
      yield* turns.submit(one.request, undefined)
      yield* elapse("2 minutes")
      assert.deepStrictEqual(seen.toSorted(), ["aText", "aText", "bText", "bText"])
      assert.strictEqual(state(world, one), "settled")
    }).pipe(quietly))

  it.effect("continues the trace that accepted the message", () =>
    Effect.gen(function*() {
      const one = message(1, 1)
      const traceId = "0af7651916cd43dd8448eb211c80319c"
      const traces: Array<string> = []
      const { turns } = yield* pipeline(makeWorld([one]), {
        origin: (usual) => ({
          ...usual,
          frame: (turn) =>
            Effect.andThen(
              Effect.matchEffect(Effect.currentSpan, {
                onFailure: () => Effect.void,
                onSuccess: (span) => Effect.sync(() => void traces.push(span.traceId))
              }),
              usual.frame(turn)
            )
        })
      })
      yield* turns.submit({ ...one.request, traceparent: `00-${traceId}-b7ad6b7169203331-01` }, undefined)
      yield* turns.submit({ ...message(2, 1).request, traceparent: "rubbish" }, undefined)
      yield* elapse("1 minute")
      assert.strictEqual(traces[0], traceId)
      assert.strictEqual(traces.length, 2)
      assert.notStrictEqual(traces[1], traceId)
    }).pipe(quietly))

  it.effect("removes the old run directories of turns that the ledger has forgotten, and no others", () =>
    Effect.gen(function*() {
      const day = 24 * 3_600_000
      const [kept, gone, young] = [message(1, 1), message(2, 1), message(3, 1)]
      const world = makeWorld([])
      const removed: Array<string> = []
      const ages = new Map([
        [turnDirectoryName(kept.request.key), 40],
        [turnDirectoryName(gone.request.key), 31],
        [turnDirectoryName(young.request.key), 29],
        ["lost+found", 99]
      ])
      const files = FileSystem.layerNoop({
        makeDirectory: () => Effect.void,
        readDirectory: () => Effect.succeed([...ages.keys()]),
        stat: (path) =>
          Effect.succeed(fileInfo(new Date(100 * day - (ages.get(path.slice("/state/runs/".length)) ?? 0) * day))),
        remove: (path) => Effect.sync(() => void removed.push(path))
      })
      yield* TestClock.setTime(100 * day)
      world.ledger.rows.set(kept.request.key, receivedRow(kept.request, undefined, 0))
      yield* pipeline(world, { files })
      yield* elapse("1 minute")
      assert.deepStrictEqual(removed, [`/state/runs/${turnDirectoryName(gone.request.key)}`])
      yield* elapse("2 days")
      assert.strictEqual(removed.at(-1), `/state/runs/${turnDirectoryName(young.request.key)}`)
    }).pipe(quietly))

  it.effect("drains: the turn in hand is finished, what waits is left, nothing new is taken", () =>
    Effect.gen(function*() {
      const messages = [message(1, 1, { acts: [{ do: "answer", after: 20_000 }] }), message(1, 2)]
      const [a, b] = messages
      if (a === undefined || b === undefined) return
      const world = makeWorld(messages)
      const running = yield* pipeline(world)
      for (const { request } of messages) yield* running.turns.submit(request, undefined)
      yield* elapse("5 seconds")
      const drained = yield* Effect.forkChild(running.pipeline.drain(Duration.seconds(60)), { startImmediately: true })
      assert.strictEqual((yield* running.turns.health).state, "stopping")
      assert.strictEqual((yield* Effect.flip(running.turns.submit(message(2, 1).request, "r"))).reason, "Unavailable")
      yield* elapse("16 seconds")
      yield* Fiber.join(drained)
      assert.strictEqual(row(world, a)?.result, "answered")
      assert.strictEqual(state(world, a), "settled")
      assert.strictEqual(state(world, b), "received")
    }).pipe(quietly))

  it.effect("drains no longer than it may: what still runs is left for the next start", () =>
    Effect.gen(function*() {
      const one = message(1, 1, { acts: long })
      const world = makeWorld([one])
      const running = yield* pipeline(world)
      yield* running.turns.submit(one.request, undefined)
      yield* elapse("5 seconds")
      const drained = yield* Effect.forkChild(running.pipeline.drain(Duration.seconds(60)), { startImmediately: true })
      yield* elapse("59 seconds")
      assert.isUndefined(drained.pollUnsafe())
      yield* elapse("1 second")
      yield* Fiber.join(drained)
      yield* Scope.close(running.scope, Exit.void)
      assert.strictEqual(state(world, one), "running")
      assert.isTrue([...world.runs.values()].every((run) => !run.alive))
      yield* pipeline(world)
      yield* elapse("11 minutes")
      assert.strictEqual(row(world, one)?.result, "answered")
      assert.strictEqual(row(world, one)?.attempt, 2)
    }).pipe(quietly))
})
