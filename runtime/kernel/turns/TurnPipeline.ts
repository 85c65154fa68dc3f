/**
 * The turn pipeline: takes messages, writes them down, and sees each to its one outcome. Order within a group, the limit
 * of agents, recovery at the start and draining at the end are decided here; what becomes of one turn is `TurnMachine`'s.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Semaphore from "effect/Semaphore"
import { durationMillis } from "../../domain/profile/Profile.ts"
import type { GroupId, TurnKey } from "../../domain/sandbox/Ids.ts"
import type { TurnRequest, TurnRow } from "../../domain/turn/Turn.ts"
import { maxOpenTurns, type OpenTurn, openTurnOf } from "../../domain/turn/TurnRecord.ts"
import { backoffSchedule } from "../../ports/Backoff.ts"
import { Ledger } from "../../ports/Ledger.ts"
import { Permissions } from "../../ports/Permissions.ts"
import { SandboxInfo } from "../../ports/SandboxInfo.ts"
import { StoreError } from "../../ports/StoreError.ts"
import { spanOfTraceparent } from "../../ports/TraceParent.ts"
import { Turns } from "../../ports/Turns.ts"
import { joinedTo, makeJoin } from "./JoinedTurns.ts"
import { LedgerHealth } from "./LedgerHealth.ts"
import { lending } from "./LentPlace.ts"
import { freshSession } from "./Prompt.ts"
import { runDirectory } from "./RunDirectory.ts"
import { sweepRuns } from "./RunSweeper.ts"
import { standingStill } from "./TurnClock.ts"
import { type Job, makeAdvance, makeJob } from "./TurnJob.ts"
import { Happening, receivedRow, stepOf } from "./TurnMachine.ts"
import { TurnParties } from "./TurnParties.ts"
import { makeWorker } from "./TurnWorker.ts"

/** Changes a slow watcher may be behind before the oldest are dropped for it. */
const changesBehind = 1_024

/** A ledger that is busy at the start is read again after 1 s, then twice as long each time, at most 30 s, for ever. */
const reading = backoffSchedule({ firstMillis: 1_000, longestMillis: 30_000 })

const refused = (detail: string, cause: unknown): StoreError =>
  new StoreError({ port: "Turns", operation: "write", reason: "Unavailable", detail, cause })

/** One line for each turn that is over; what was written stays in the thread. The turn's key is annotated on all of it. */
const logSettled = (job: Job): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { costUsd, row } = job
    if (row.state !== "settled") return Effect.void
    return Effect.logInfo("turn settled").pipe(Effect.annotateLogs({
      outcome: row.result ?? "unknown",
      durationMs: (row.finishedAt ?? row.receivedAt) - row.receivedAt,
      attempts: row.attempt,
      ...(costUsd === undefined ? {} : { costUsd: Number(costUsd.toFixed(6)) }),
      ...(row.outcome?._tag === "Failed" ? { code: row.outcome.code } : {})
    }))
  })

/** What the composition root and the plugin host may ask of the pipeline, beside what plugins see of it as `Turns`. */
export class TurnPipeline extends Context.Service<TurnPipeline, {
  /**
   * Takes up every open row at once. To be called when the plugins have started, so that their origins and observers
   * are known; until then nothing can be submitted. Returns when all rows are taken up, not when they are settled. A
   * corrupt ledger is reported by `Turns.health` and leaves everything as it is.
   */
  readonly begin: Effect.Effect<void>
  /**
   * Takes nothing new from now on and waits for the turns that have an agent, or an outcome to show, up to `limit`.
   * What is not over by then stays open in the ledger for the next start.
   */
  readonly drain: (limit: Duration.Duration) => Effect.Effect<void>
  /** Groups with a turn in hand. 0 at rest: a group that has nothing to do takes no memory. */
  readonly groups: Effect.Effect<number>
  /** Turns that are not over, the oldest first and at most 50 of them. */
  readonly open: Effect.Effect<ReadonlyArray<OpenTurn>>
}>()("km/runtime/kernel/turns/TurnPipeline") {
  /** Provides `Turns` too. Needs the sandbox's ports; `TurnParties` and `LedgerHealth` are its own. */
  static readonly layerNoDeps = Layer.effectContext(Effect.gen(function*() {
    const ledger = yield* Ledger
    const info = yield* SandboxInfo
    const health = yield* LedgerHealth
    const changes = yield* PubSub.sliding<TurnRow>(changesBehind)
    const atOnce = info.profile.spec.cli.slackMaxConcurrentThreads
    const slots = yield* Semaphore.make(atOnce)
    const agents = yield* Semaphore.make(atOnce)
    const recovered = yield* Latch.make(false)
    const submitting = yield* Semaphore.make(1)
    const scope = yield* Effect.scope

    /** Turns not settled, by key, in the order they were taken. */
    const jobs = new Map<TurnKey, Job>()
    /** The youngest turn of each group: the next one waits for it. */
    const tails = new Map<GroupId, Job>()
    let stopping = false
    let running = 0

    const advance = makeAdvance(ledger, health, {
      runDir: (key, attempt) => runDirectory(info.directories.runs, key, attempt),
      freshSession: (key, attempt) => freshSession(info.id, key, attempt)
    }, changes)

    /** Slots before agents, as every turn takes them: nobody waits in a circle. */
    const lent = lending([slots, agents], scope)
    const permissions = yield* Permissions

    const work = yield* makeWorker({
      sandbox: info.id,
      joined: (leader) => joinedTo(jobs, leader),
      turnTimeoutMillis: durationMillis(info.profile.spec.agent.turnTimeout),
      advance,
      mayStart: (job) =>
        Effect.suspend(() =>
          stopping ? Effect.andThen(Deferred.succeed(job.left, undefined), Effect.never) : Effect.void
        ),
      ...(info.profile.spec.agent.permissions !== "ask" ? {} : {
        consent: (job, call) =>
          permissions.consent({
            row: job.row,
            call,
            waiting: (asked) => standingStill(job.clock, lent(job, asked))
          })
      }),
      agentRunning: (delta) => {
        running += delta
      },
      agentPermit: (job) => Effect.raceFirst(Semaphore.takeScoped(agents, 1), Effect.asVoid(Deferred.await(job.stop)))
    })

    const forget = (job: Job) =>
      Effect.gen(function*() {
        jobs.delete(job.row.key)
        yield* Deferred.succeed(job.done, undefined)
      })

    const run = (job: Job, before: Job | undefined): Effect.Effect<void> =>
      Effect.gen(function*() {
        const turn = before === undefined ? Effect.void : Deferred.await(before.clear)
        // A message that waits may be stopped at once; one that has begun keeps its place.
        yield* stepOf(job.row) === "Begin" ? Effect.raceFirst(turn, Effect.asVoid(Deferred.await(job.stop))) : turn
        yield* work(job).pipe(
          Effect.andThen(logSettled(job)),
          Effect.andThen(forget(job)),
          Effect.catchTag("TurnAbandoned", (error) =>
            Effect.andThen(
              Effect.logError("a turn is left as it is").pipe(Effect.annotateLogs({ why: error.message })),
              // Somebody else holds the row: no business of ours any more. A broken ledger keeps its slot closed.
              error.reason === "conflict" ? forget(job) : Effect.void
            )),
          Effect.catchDefect((defect) => Effect.logError("the pipeline crashed in a turn; it stays open", defect)),
          Effect.ensuring(Deferred.succeed(job.left, undefined))
        )
        if (before !== undefined) yield* Deferred.await(before.clear)
        if (tails.get(job.row.request.group) === job) tails.delete(job.row.request.group)
        yield* Deferred.succeed(job.clear, undefined)
      }).pipe(
        Effect.annotateLogs({ turn: job.row.key }),
        Effect.withSpan("Turn.run", {
          attributes: { "km.turn": job.row.key, "km.sandbox": info.id },
          ...(() => {
            const parent = spanOfTraceparent(job.row.request.traceparent)
            return parent === undefined ? {} : { parent }
          })()
        })
      )

    const take = Effect.fnUntraced(function*(row: TurnRow) {
      const job = makeJob(row)
      if (row.cancelRequestedBy !== undefined) yield* Deferred.succeed(job.stop, row.cancelRequestedBy)
      jobs.set(row.key, job)
      const before = tails.get(row.request.group)
      tails.set(row.request.group, job)
      yield* Effect.forkIn(run(job, before), scope)
      return job
    })

    const sweeper = sweepRuns(info.directories.runs).pipe(
      Effect.provideService(FileSystem.FileSystem, yield* FileSystem.FileSystem),
      Effect.provideService(Ledger, ledger)
    )

    const begin = Effect.gen(function*() {
      const rows = yield* ledger.open.pipe(
        Effect.tapError(health.failed),
        Effect.retry({ while: (error) => error.reason === "Unavailable", schedule: reading })
      )
      for (const row of rows) {
        const job = yield* take(row)
        // A recovered turn fills a slot like any other, so that no more is received than can be run.
        yield* Effect.forkIn(
          Effect.scoped(Effect.andThen(Semaphore.takeScoped(slots, 1), Deferred.await(job.done))),
          scope,
          { startImmediately: true }
        )
      }
      yield* Effect.logInfo("open turns are taken up").pipe(Effect.annotateLogs({ turns: rows.length }))
      yield* recovered.open
      yield* Effect.forkIn(sweeper, scope)
    }).pipe(Effect.catch((error) => Effect.logError(error.message)))

    /** The job of a row that was there before; none when it is settled. */
    const known = Effect.fnUntraced(function*(row: TurnRow) {
      const job = jobs.get(row.key)
      if (job !== undefined || row.state === "settled") return job
      // Not in hand: settled since it was read, or left by a crash of this pipeline.
      const found = yield* ledger.get(row.key)
      return Option.isNone(found) || found.value.state === "settled" ? undefined : yield* take(found.value)
    })

    const submit = Effect.fn("Turns.submit")(function*(request: TurnRequest, receipt: string | undefined) {
      const state = yield* health.current
      if (state.state === "corrupt") {
        return yield* new StoreError({
          port: "Turns",
          operation: "submit",
          reason: "Corrupt",
          detail: state.detail,
          cause: "the ledger is corrupt"
        })
      }
      if (stopping) return yield* refused("the runtime stops", "stopping")
      yield* recovered.await
      const at = yield* Clock.currentTimeMillis
      // Not to be interrupted between the disk's yes and our taking the row.
      const { inserted, row } = yield* ledger.insert(receivedRow(request, receipt, at)).pipe(
        Effect.tap((answer) => answer.inserted ? take(answer.row) : Effect.void),
        Effect.tapError(health.failed),
        Effect.uninterruptible
      )
      if (inserted) {
        yield* health.worked
        yield* PubSub.publish(changes, row)
        return "accepted" as const
      }
      const job = yield* known(row)
      if (job === undefined) return "settled" as const
      if (receipt !== undefined) {
        yield* advance(job, Happening.Redelivered({ receipt })).pipe(
          Effect.mapError((error) => refused(error.message, error))
        )
      }
      return job.row.state === "settled" ? "settled" as const : "open" as const
    }, (effect) => Semaphore.withPermit(submitting, effect))

    const stop = Effect.fn("Turns.stop")(
      function*(target: { readonly turn?: TurnKey; readonly group?: GroupId }, person: string) {
        let found = false
        // Whoever stops a message that has joined a turn means that turn.
        const asked = target.turn === undefined ? undefined : jobs.get(target.turn)?.row
        const turn = asked?.state === "joined" ? asked.joined : target.turn
        for (const job of jobs.values()) {
          if (turn !== undefined && turn !== job.row.key) continue
          if (target.group !== undefined && target.group !== job.row.request.group) continue
          yield* advance(job, Happening.StopRequested({ by: person })).pipe(
            Effect.mapError((error) => refused(error.message, error))
          )
          const by = job.row.cancelRequestedBy
          if (by === undefined || !["received", "starting", "running"].includes(job.row.state)) continue
          found = true
          yield* Deferred.succeed(job.stop, by)
        }
        return found
      }
    )

    const drain = Effect.fn("TurnPipeline.drain")(function*(limit: Duration.Duration) {
      stopping = true
      yield* health.stop
      const leads = ({ row }: Job) => row.joined === undefined ? undefined : jobs.get(row.joined)
      const inHand = [...jobs.values()].filter((job) => job.begun || leads(job)?.begun === true)
      yield* Effect.forEach(
        inHand,
        (job) => Deferred.await(job.left),
        { concurrency: "unbounded", discard: true }
      ).pipe(Effect.timeoutOption(limit))
      const left = inHand.filter((job) => job.row.state !== "settled").length
      if (left > 0) yield* Effect.logWarning("turns are left for the next start").pipe(Effect.annotateLogs({ left }))
    })

    const open = Effect.sync(() =>
      [...jobs.values()].filter(({ row }) => row.state !== "settled").slice(0, maxOpenTurns)
        .map(({ row }) => openTurnOf(row))
    )

    return Context.make(
      TurnPipeline,
      TurnPipeline.of({ begin, drain, groups: Effect.sync(() => tails.size), open })
    ).pipe(Context.add(
      Turns,
      Turns.of({
        slot: Effect.gen(function*() {
          yield* recovered.await
          yield* Semaphore.takeScoped(slots, 1)
          yield* health.untilOk
        }),
        submit,
        join: makeJoin({ advance, health, jobs, ledger, take, stopping: () => stopping }),
        settled: (key) =>
          Effect.suspend(() => {
            const job = jobs.get(key)
            return job === undefined ? Effect.void : Deferred.await(job.done)
          }),
        stop,
        health: Effect.map(health.current, (state) => ({ ...state, open: jobs.size, running })),
        changes: PubSub.subscribe(changes)
      })
    ))
  }))

  /** Whole but for the ports that an engine provides. */
  static readonly layer = TurnPipeline.layerNoDeps.pipe(
    Layer.provideMerge(Layer.mergeAll(TurnParties.layer, LedgerHealth.layer))
  )
}
