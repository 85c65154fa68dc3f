/** Keeps a runtime for every sandbox whose row says it should run, and stops it when the row no longer does. */
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import type { EngineRefused } from "../adapters/disk/EngineErrors.ts"
import { fileError, makeDirectory, writeFileAtomically } from "../adapters/disk/PrivateFiles.ts"
import * as ProcessLock from "../adapters/disk/ProcessLock.ts"
import { statePaths } from "../adapters/disk/StateDirectory.ts"
import type { Install } from "../domain/install/Install.ts"
import type { SandboxId } from "../domain/sandbox/Ids.ts"
import type { SandboxReport, SandboxRow } from "../domain/sandbox/Sandbox.ts"
import { endOfSandbox } from "../domain/turn/OutcomeText.ts"
import { Controls } from "../ports/Controls.ts"
import { Reports } from "../ports/Reports.ts"
import { Sandboxes } from "../ports/Sandboxes.ts"
import { TurnQueue } from "../ports/TurnQueue.ts"
import { unending } from "../ports/Unending.ts"
import { type HeldLease, whileHeld } from "../substrates/process/LeaseKeeper.ts"
import { RuntimeConfig } from "./RuntimeConfig.ts"
import { serve, shapeOf } from "./SandboxRuntime.ts"

/** For the turns of a sandbox that is being destroyed to end as stopped; interrupting an agent takes 3 s at most. */
const stopTurnsLimit = "20 seconds"

/** The sandbox is gone, or ends, or is another one of the same id by now. */
class NotWanted extends Data.TaggedError("NotWanted")<{ readonly id: SandboxId }> {}

interface Served {
  readonly shape: string
  /** Completing it ends the runtime after its turn in hand. */
  readonly stop: Deferred.Deferred<void>
  readonly fiber: Fiber.Fiber<void>
  /** The lease is held, so there may be a turn in hand. */
  readonly holds: () => boolean
  /** It is on its way out; its row is looked at again afterwards. */
  ending: boolean
}

export interface SupervisorOptions {
  /** As it is when a sandbox starts: GitHub Apps are made while runtimes run. */
  readonly install: Effect.Effect<Install, EngineRefused>
  /** One sandbox, or all of the install. */
  readonly only: SandboxId | undefined
  /** Unique for this start of the process. */
  readonly holder: string
  /** The rows have been looked at for the first time. */
  readonly onLooked: Effect.Effect<void>
  /** A sandbox has become ready. */
  readonly onReady: (id: SandboxId) => Effect.Effect<void>
}

/** What is in the file, or a new word that is written into it. */
const nameOf = (file: string): string => {
  const found = fs.existsSync(file) ? fs.readFileSync(file, "utf8").trim() : ""
  if (/^[0-9a-f-]{36}$/.test(found)) return found
  const name = randomUUID()
  writeFileAtomically(file, name)
  return name
}

/** After the sandboxes could not be listed, or a look at them ended in a defect. */
const lookAgain = "5 seconds"

/**
 * Runs until `stopping` completes, then drains every sandbox and returns. Interrupting it ends them at once; their open
 * turns are taken up by the next start.
 */
export const supervise = Effect.fnUntraced(function*(options: SupervisorOptions, stopping: Deferred.Deferred<void>) {
  const { holder, install, only } = options
  const reports = yield* Reports
  const sandboxes = yield* Sandboxes
  const controls = yield* Controls
  const queue = yield* TurnQueue
  const { state } = yield* RuntimeConfig
  const served = new Map<SandboxId, Served>()
  const again = yield* Queue.unbounded<SandboxId>()

  const note = (id: SandboxId, report: Partial<SandboxReport>) =>
    reports.put(id, report).pipe(
      Effect.catch((error) => Effect.logWarning("what the runtime says of itself was not stored", error.message))
    )

  /** As the row is now, read at its key: nothing is begun for a sandbox that is gone, ends, or is another one by now. */
  const wanted = (row: SandboxRow) =>
    Effect.map(
      sandboxes.get(row.id),
      Option.exists((now) => now.generation === row.generation && now.desired === "running")
    )

  /** Names the lock by a random word beside it, so that no other disk's lock is taken for the same. */
  const lockOf = (row: SandboxRow) =>
    Effect.gen(function*() {
      const { id } = row
      if (!(yield* wanted(row))) return yield* new NotWanted({ id })
      const { run } = statePaths(state).sandbox(id)
      yield* Effect.try({ try: () => makeDirectory(run), catch: fileError("Supervisor", "lock") })
      yield* ProcessLock.holdLock(path.join(run, "runtime.lock"), `serves the sandbox ${id}`)
      return yield* Effect.try({ try: () => nameOf(path.join(run, "lock.id")), catch: fileError("Supervisor", "lock") })
    })

  const body = (row: SandboxRow, stop: Deferred.Deferred<void>) => (lease: HeldLease) =>
    Effect.gen(function*() {
      if (!(yield* wanted(row))) return
      return yield* serve({ row, install: yield* install, lease, onReady: options.onReady(row.id) })
    }).pipe(
      Effect.raceFirst(Deferred.await(stop)),
      Effect.tapError((error) => note(row.id, { failureReason: error.message }))
    )

  const start = Effect.fnUntraced(function*(row: SandboxRow) {
    const stop = Deferred.makeUnsafe<void>()
    let holds = false
    const keeper = whileHeld(
      {
        sandbox: row.id,
        holder,
        lock: lockOf(row),
        onState: (held) => {
          holds = held === "held"
          return holds ? Effect.void : note(row.id, { ready: false })
        }
      },
      body(row, stop)
    )
    const fiber = yield* Effect.forkScoped(Effect.annotateLogs(keeper, { sandbox: row.id }))
    served.set(row.id, { shape: shapeOf(row), stop, fiber, holds: () => holds, ending: false })
  })

  const end = (id: SandboxId, one: Served) =>
    Effect.gen(function*() {
      yield* Effect.logInfo("stops the sandbox's runtime").pipe(Effect.annotateLogs({ sandbox: id }))
      yield* Deferred.succeed(one.stop, undefined)
      // Whoever still waits for the lease has nothing to drain.
      yield* one.holds() ? Fiber.await(one.fiber) : Fiber.interrupt(one.fiber)
      if (served.get(id) === one) served.delete(id)
    })

  /** What runs and waits in a sandbox that is being destroyed is answered in its threads before its ledger goes. */
  const stopTurns = Effect.fnUntraced(function*(id: SandboxId) {
    yield* controls.send(id, { kind: "stop", id: `end-${randomUUID()}`, by: endOfSandbox })
    const idle = Effect.map(queue.depth(id), ({ inFlight, waiting }) => inFlight + waiting === 0)
    yield* Effect.repeat(Effect.tap(idle, () => Effect.sleep("200 millis")), { until: (done) => done }).pipe(
      Effect.timeoutOption(stopTurnsLimit)
    )
  }, Effect.catch((error) => Effect.logWarning("turns of a sandbox that ends cannot be stopped", error.message)))

  /** Brings one sandbox to what its row says. */
  const look = Effect.fnUntraced(function*(id: SandboxId) {
    if (only !== undefined && id !== only) return
    const found = yield* sandboxes.get(id)
    const row = Option.isSome(found) && found.value.desired === "running" ? found.value : undefined
    const now = served.get(id)
    if (now === undefined) {
      if (row !== undefined) yield* start(row)
      return
    }
    if (now.ending || row !== undefined && shapeOf(row) === now.shape) return
    now.ending = true
    // A sandbox that drains does not keep the others waiting; its row is looked at again when it has ended.
    yield* Effect.forkScoped(Effect.gen(function*() {
      if (Option.isSome(found) && found.value.desired === "destroyed" && now.holds()) yield* stopTurns(id)
      yield* end(id, now)
      yield* Queue.offer(again, id)
    }))
  })

  const ids = only === undefined ? sandboxes.changes : Stream.map(sandboxes.watch(only), () => only)

  // One sandbox that cannot be looked at must not leave all others without a runtime.
  const watch = unending(
    "looking at the sandboxes ended in a defect",
    lookAgain,
    Effect.gen(function*() {
      const rows = only === undefined
        ? yield* sandboxes.list
        : Option.toArray(yield* sandboxes.get(only))
      if (only !== undefined && !rows.some(({ id }) => id === only)) {
        yield* Effect.logWarning("there is no such sandbox; waits for it").pipe(
          Effect.annotateLogs({ sandbox: only, code: "KM-HST-204" })
        )
      }
      for (const row of rows) yield* look(row.id)
      yield* options.onLooked
      yield* Stream.runForEach(Stream.merge(ids, Stream.fromQueue(again)), look)
    }).pipe(
      Effect.catch((error) => Effect.logError("the sandboxes cannot be listed yet", error.message)),
      Effect.andThen(Effect.sleep(lookAgain))
    )
  )

  yield* Effect.raceFirst(watch, Deferred.await(stopping))
  yield* Effect.forEach([...served], ([id, one]) => end(id, one), { concurrency: "unbounded", discard: true })
})
