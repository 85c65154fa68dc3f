/**
 * Runs the real kernel (host, pipeline, machine) in the simulated world until nothing moves, starting it again after
 * every crash, and checks what a person and the disks then see.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Profile } from "../../../../runtime/domain/profile/Profile.ts"
import { InstallName, TurnKey } from "../../../../runtime/domain/sandbox/Ids.ts"
import { outcomeText } from "../../../../runtime/domain/turn/OutcomeText.ts"
import { TurnRequest } from "../../../../runtime/domain/turn/Turn.ts"
import { PluginHost } from "../../../../runtime/kernel/plugins/PluginHost.ts"
import { TurnPipeline } from "../../../../runtime/kernel/turns/TurnPipeline.ts"
import { Leases } from "../../../../runtime/ports/Leases.ts"
import { Ledger } from "../../../../runtime/ports/Ledger.ts"
import * as MemoryLeases from "../../../../runtime/ports/memory/MemoryLeases.ts"
import * as MemoryLedger from "../../../../runtime/ports/memory/MemoryLedger.ts"
import * as MemoryTurnQueue from "../../../../runtime/ports/memory/MemoryTurnQueue.ts"
import * as MemoryTurnRecords from "../../../../runtime/ports/memory/MemoryTurnRecords.ts"
import { Redaction } from "../../../../runtime/ports/Redaction.ts"
import { SandboxInfo } from "../../../../runtime/ports/SandboxInfo.ts"
import { StoreError } from "../../../../runtime/ports/StoreError.ts"
import { TurnQueue } from "../../../../runtime/ports/TurnQueue.ts"
import { TurnRecords } from "../../../../runtime/ports/TurnRecords.ts"
import { Turns } from "../../../../runtime/ports/Turns.ts"
import * as SimulatedAgent from "./SimulatedAgent.ts"
import { inboundPlugin, transcriptPlugin } from "./SimulatedSlack.ts"
import {
  type Act,
  crash,
  type CrashPoint,
  gate,
  type Incarnation,
  makeWorld,
  type Message,
  sandbox,
  type World
} from "./World.ts"

export const profile = Schema.decodeSync(Profile)({
  apiVersion: "klankermaker.ai/v1",
  kind: "SandboxProfile",
  metadata: { name: "simulated" }
})

const encodeRequest = Schema.encodeSync(Schema.fromJsonString(TurnRequest))

/** A message of thread `thread`; `n` tells messages of a thread apart and orders them. */
export const message = (
  thread: number,
  n: number,
  options: { readonly acts?: ReadonlyArray<Act>; readonly at?: number; readonly copies?: number } = {}
): Message => {
  const ts = `17000000${thread}${n}.000001`
  return {
    request: Schema.decodeSync(TurnRequest)({
      key: `T123:C123:${ts}`,
      group: `C123:thread${thread}`,
      origin: {
        kind: "slack",
        team: "T123",
        channel: "C123",
        ts,
        threadTs: `17000000${thread}0.000001`,
        user: "U123",
        userName: "Ada"
      },
      text: `message ${n} of thread ${thread}`,
      files: [],
      acceptedAt: 1_700_000_000_000
    }),
    acts: options.acts ?? [{ do: "answer", after: 2_000 }],
    at: options.at ?? 0,
    copies: options.copies ?? 1
  }
}

/**
 * Lets virtual time pass in small steps, so that what one step wakes has gone to sleep again before the next: a single
 * adjustment passes by whoever has not yet begun to wait.
 */
export const elapse = Effect.fnUntraced(function*(duration: Duration.Input) {
  const millis = Duration.toMillis(duration)
  const step = Math.max(1, Math.floor(millis / 100))
  for (let left = millis; left > 0; left -= step) {
    for (let turn = 0; turn < 10; turn++) yield* Effect.yieldNow
    yield* TestClock.adjust(Math.min(step, left))
  }
  for (let turn = 0; turn < 10; turn++) yield* Effect.yieldNow
})

/** The ledger over the world's disk, each write through the gate. */
export const ledger = (world: World, incarnation: Incarnation) =>
  Layer.effect(
    Ledger,
    Effect.gen(function*() {
      const disk = Context.get(yield* Layer.build(MemoryLedger.layerOver(world.ledger)), Ledger)
      const through = gate(world, incarnation)
      const space = Effect.flatMap(Clock.currentTimeMillis, (now) =>
        now >= world.ledgerFull.from && now < world.ledgerFull.until
          ? Effect.fail(
            new StoreError({ port: "Ledger", operation: "write", reason: "Full", detail: "no space", cause: "ENOSPC" })
          )
          : Effect.void)
      return Ledger.of({
        ...disk,
        insert: (row) =>
          through(`ledger.insert ${row.key}`, Effect.andThen(space, disk.insert(row))),
        update: (from, to) =>
          through(
            `ledger.update ${from.key} ${from.state}/${from.attempt} -> ${to.state}/${to.attempt}`,
            Effect.andThen(space, disk.update(from, to))
          ),
        remember: (key, value) =>
          through(`ledger.remember ${key}`, Effect.andThen(space, disk.remember(key, value)))
      })
    })
  )

/** The install's records of turns, each write through the gate. */
export const records = (world: World, incarnation: Incarnation) =>
  Layer.effect(
    TurnRecords,
    Effect.map(TurnRecords, (store) =>
      TurnRecords.of({
        ...store,
        put: (id, record) => gate(world, incarnation)(`records.put ${record.key}`, store.put(id, record))
      }))
  ).pipe(Layer.provide(MemoryTurnRecords.layerOver(world.records)))

export const info = Layer.succeed(
  SandboxInfo,
  SandboxInfo.of({
    id: sandbox,
    install: InstallName.make("km"),
    profile,
    channel: undefined,
    label: "simulated",
    directories: { state: "/state", home: "/home", workspace: "/workspace", runs: "/state/runs" }
  })
)

export interface SimulationOptions {
  /** Whether the agent implements `messageReceived`; it does unless told otherwise. */
  readonly tellsReceived?: boolean
  /** Sets the world up. `now` is the virtual time at which the simulation starts. */
  readonly prepare?: (world: World, now: number) => void
  /** How long a crashed runtime stays down, milliseconds. */
  readonly downMillis?: number
  /** A second runtime is started beside the first and waits for the lease. */
  readonly twin?: boolean
}

/** One life of a runtime: the lease, then everything under it. Completes when it crashes. */
export const startRuntime = Effect.fnUntraced(function*(world: World, number: number, options: SimulationOptions = {}) {
  const incarnation: Incarnation = { number, dead: false, crashed: Deferred.makeUnsafe() }
  const scope = yield* Scope.make()
  const main = Effect.gen(function*() {
    const leases = yield* Leases
    const lease = yield* leases.acquire(sandbox, `runtime-${number}`).pipe(
      Effect.flatMap(Effect.fromOption),
      Effect.retry(Schedule.spaced("1 second"))
    )
    yield* Effect.forkIn(
      Effect.forever(Effect.andThen(
        Effect.sleep("10 seconds"),
        Effect.suspend(() => incarnation.dead ? Effect.never : leases.renew(lease))
      )),
      scope
    )
    const ports = Layer.mergeAll(
      ledger(world, incarnation),
      records(world, incarnation),
      SimulatedAgent.layer(world, incarnation, { tellsReceived: options.tellsReceived ?? true }),
      MemoryTurnQueue.layerOver(world.queue),
      Redaction.layer,
      info,
      FileSystem.layerNoop({
        makeDirectory: (path) =>
          gate(world, incarnation)(`mkdir ${path}`, Effect.sync(() => void world.directories.add(path)))
      })
    )
    const kernel = PluginHost.layer<TurnQueue | Turns>([
      inboundPlugin(world, incarnation, lease.epoch),
      transcriptPlugin(world, incarnation)
    ]).pipe(Layer.provideMerge(TurnPipeline.layer), Layer.provide(ports), Layer.provideMerge(ports))
    const built = yield* Layer.buildWithScope(Layer.fresh(kernel), scope)
    return built
  }).pipe(Effect.provide(MemoryLeases.layerOver(world.leases)), Effect.orDie)
  const fiber = yield* Effect.forkDetach(main)
  return { incarnation, scope, fiber }
})

type Runtime = Effect.Success<ReturnType<typeof startRuntime>>

/** Lets go of what a dead runtime left in this program, without waiting for it. */
const bury = (runtime: Runtime) =>
  Effect.forkDetach(Effect.andThen(Fiber.interrupt(runtime.fiber), Scope.close(runtime.scope, Exit.void)))

/** What is wrong with the world now that nothing moves any more. */
export const check = (world: World): ReadonlyArray<string> => {
  const problems = [...world.violations]
  const queue = world.queue.queues.get(sandbox)
  if ((queue?.messages.length ?? 0) > 0) problems.push(`${queue?.messages.length} messages are still in the queue`)
  if ((queue?.dead.size ?? 0) > 0) problems.push(`${queue?.dead.size} messages are dead`)
  for (const { request } of world.messages) {
    const row = world.ledger.rows.get(request.key)
    if (row === undefined) {
      problems.push(`${request.key} is lost`)
      continue
    }
    if (row.state !== "settled") problems.push(`${request.key} is left ${row.state}`)
    const record = world.records.records.get(sandbox)?.get(request.key)
    if (record?.result !== row.result) {
      problems.push(`${request.key} is ${row.result} and recorded as ${record?.result}`)
    }
    const visible = [...world.posts.values()].filter((post) => post.key.startsWith(`${request.key}/answer/`))
    if (visible.length !== 1) problems.push(`${request.key} has ${visible.length} outcomes`)
    if (visible[0] !== undefined && visible[0].text !== outcomeText(row)) {
      problems.push(`${request.key} shows "${visible[0].text}" but its record says "${outcomeText(row)}"`)
    }
    if (!world.reactions.has(`${request.key}/done`)) problems.push(`${request.key} has no final mark`)
    if (world.reactions.has(`${request.key}/wait`)) problems.push(`${request.key} still shows that it is worked on`)
    const told = [...world.sessions.values()].flat().filter((entry) =>
      entry.turn === request.key && entry.prompt.includes(request.text)
    )
    if (told.length > 1) problems.push(`the agent was given ${request.key} ${told.length} times`)
  }
  for (const run of world.runs.values()) {
    if (run.alive) problems.push(`an agent of ${run.turn} is still alive`)
  }
  const groups = new Set(world.messages.map(({ request }) => request.group))
  for (const group of groups) {
    const sent = world.messages.filter(({ request }) => request.group === group).map(({ request }) => request.key)
    const begun = [...new Set([...world.runs.values()].filter((run) => run.group === group).map((run) => run.turn))]
    const expected = sent.filter((key) => begun.includes(key))
    if (begun.join() !== expected.join()) {
      problems.push(`thread ${group} ran ${begun.join()} instead of ${expected.join()}`)
    }
    const shown = [...world.posts.values()].filter((post) => post.group === group && post.key.endsWith("/answer/0"))
      .map((post) => post.key.replace(/\/answer\/0$/, ""))
    if (shown.join() !== sent.filter((key) => shown.includes(TurnKey.make(key))).join()) {
      problems.push(`thread ${group} shows ${shown.join()} instead of ${sent.join()}`)
    }
  }
  return problems
}

const quiet = (world: World): boolean =>
  (world.queue.queues.get(sandbox)?.messages.length ?? 0) === 0 &&
  world.messages.every(({ request }) => world.ledger.rows.get(request.key)?.state === "settled")

/** Plays the whole scenario. Virtual time only; at most six virtual hours. */
export const simulate = Effect.fnUntraced(function*(
  messages: ReadonlyArray<Message>,
  crashes: ReadonlyArray<CrashPoint> = [],
  options: SimulationOptions = {}
) {
  const world = makeWorld(messages, crashes)
  const startedAt = yield* Clock.currentTimeMillis
  options.prepare?.(world, startedAt)
  const queue = Context.get(yield* Layer.build(MemoryTurnQueue.layerOver(world.queue)), TurnQueue)
  for (const { at, copies, request } of messages) {
    yield* Effect.forkChild(Effect.gen(function*() {
      yield* Effect.sleep(at)
      for (let copy = 0; copy < copies; copy++) {
        yield* queue.send(sandbox, { key: request.key, group: request.group, body: encodeRequest(request) })
      }
    }))
  }
  let number = 0
  const start = Effect.suspend(() => startRuntime(world, ++number, options))
  let runtimes = [yield* start, ...options.twin === true ? [yield* start] : []]
  for (let step = 0; step < 2_000 && !(quiet(world) && step > 5); step++) {
    yield* TestClock.adjust(step < 200 ? "500 millis" : "20 seconds")
    const dead = runtimes.filter(({ incarnation }) => incarnation.dead)
    if (dead.length === 0) continue
    yield* Effect.forEach(dead, bury)
    yield* TestClock.adjust(options.downMillis ?? 0)
    runtimes = [
      ...runtimes.filter(({ incarnation }) => !incarnation.dead),
      ...yield* Effect.forEach(dead, () => start)
    ]
  }
  const ops = world.ops
  yield* TestClock.adjust("5 minutes")
  for (const runtime of runtimes) {
    crash(world, runtime.incarnation)
    yield* bury(runtime)
  }
  yield* TestClock.adjust("2 minutes")
  return { world, ops, problems: check(world) }
}, Effect.provide(Logger.layer([])))
