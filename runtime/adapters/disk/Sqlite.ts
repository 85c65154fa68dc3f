/**
 * One SQLite file as a store that several processes share. A synced commit costs a disk flush, so all changes go through
 * one writer fiber that puts whatever has gathered into one transaction: group commit.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from "node:sqlite"
import { pauseAfter } from "../../ports/Backoff.ts"
import { makeBell } from "../../ports/Bell.ts"
import { StoreError } from "../../ports/StoreError.ts"
import { EngineRefused } from "./EngineErrors.ts"
import { errorCode, fileError, privateFileMode, syncDirectory } from "./PrivateFiles.ts"
import { isBusy, isDamage, storeError } from "./SqliteErrors.ts"

export type Row = Readonly<Record<string, SQLOutputValue>>

/** Statements by their text, prepared once. Everything is synchronous and throws SQLite's own errors. */
export interface Statements {
  readonly get: (sql: string, ...values: ReadonlyArray<SQLInputValue>) => Row | undefined
  readonly all: (sql: string, ...values: ReadonlyArray<SQLInputValue>) => ReadonlyArray<Row>
  /** The number of rows changed. */
  readonly run: (sql: string, ...values: ReadonlyArray<SQLInputValue>) => number
}

export interface SqliteOptions {
  readonly file: string
  /** Element `n` takes the schema from version `n` to `n + 1`; elements are only ever appended. */
  readonly migrations: ReadonlyArray<string>
  /**
   * Reads the whole file for damage before it is opened for writing, so that a damaged file stays as it is. For
   * processes that live long; a command that runs for a moment finds damage when it meets it. Default true.
   */
  readonly check?: boolean
  /** Pages of 4 KiB that the file may have before it counts as full. Default: no limit but the disk. */
  readonly maxPages?: number
}

/** Milliseconds for which SQLite itself may wait, blocking this process, before we wait without blocking. */
const busyTimeoutMillis = 10
/** Tries before a busy database counts as unavailable: about 10 s. */
const maxBusyTries = 150
/** The same while closing: about 1 s. */
const maxBusyTriesAtClose = 15
const busy = { firstMillis: 1, longestMillis: 100 }
/** Jobs of one transaction: bounds how long the event loop stands still. */
const maxBatch = 256
/**
 * While changes keep arriving, turns of the event loop without a further one after which the writer begins, and
 * milliseconds after which it begins nevertheless. One connection is accepted in a turn and read in another, so a writer
 * that took a single turn would commit each request of a new connection alone. A turn without work takes microseconds.
 */
const quietTurns = 4
const maxGatherMillis = 4
/**
 * Pages of 4 KiB after which the log is copied into the file (SQLite's default is 1,000): two more flushes each time, and a
 * page that changed in many commits is copied once.
 */
const checkpointPages = 4_000
/** Bytes above which a file is not read through at start (2 s at 500 MB/s would be 1 GB). */
const maxCheckedBytes = 256 * 1024 * 1024

interface Job {
  cancelled: boolean
  /** Runs the change; the thunk tells the caller, once committed. */
  readonly attempt: (statements: Statements) => () => void
  readonly fail: (cause: unknown) => void
}

type Attempt =
  | { readonly _tag: "Done" }
  | { readonly _tag: "Busy"; readonly cause: unknown }
  /** Nothing of the transaction happened. */
  | { readonly _tag: "Lost"; readonly cause: unknown }

const prepared = (database: DatabaseSync): Statements => {
  const statements = new Map<string, StatementSync>()
  const statement = (sql: string): StatementSync => {
    const found = statements.get(sql)
    if (found !== undefined) return found
    // Node 22 takes `?1` for a named parameter and binds nothing to it.
    if (/\?\d/.test(sql)) throw new Error(`numbered parameters are not bound by every Node: ${sql}`)
    const made = database.prepare(sql)
    statements.set(sql, made)
    return made
  }
  return {
    get: (sql, ...values) => statement(sql).get(...values),
    all: (sql, ...values) => statement(sql).all(...values),
    run: (sql, ...values) => Number(statement(sql).run(...values).changes)
  }
}

/** Real milliseconds: waiting for another process goes on while a test holds the clock. */
const pause = (millis: number): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const timer = setTimeout(() => resume(Effect.void), millis)
    return Effect.sync(() => clearTimeout(timer))
  })

const busyPause = (tries: number): Effect.Effect<void> =>
  Effect.flatMap(
    Random.next,
    (random) => pause(pauseAfter(busy, tries + 1) * (0.5 + random / 2))
  )

/** Until no further job has come for some turns of the event loop: what comes meanwhile joins the same transaction. */
const gathered = (jobs: ReadonlyArray<Job>): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const latest = performance.now() + maxGatherMillis
    let known = jobs.length
    let quiet = 0
    const look = (): void => {
      quiet = jobs.length === known ? quiet + 1 : 0
      known = jobs.length
      if (quiet >= quietTurns || known >= maxBatch || performance.now() >= latest) resume(Effect.void)
      else setImmediate(look)
    }
    setImmediate(look)
  })

/** Runs `attempt` again while another process holds the database. Fails with what it threw. */
const whileBusy = <A>(attempt: () => A): Effect.Effect<A, unknown> => {
  const go = (tries: number): Effect.Effect<A, unknown> =>
    Effect.suspend(() => {
      try {
        return Effect.succeed(attempt())
      } catch (cause) {
        return isBusy(cause) && tries < maxBusyTries
          ? Effect.andThen(busyPause(tries), go(tries + 1))
          : Effect.fail(cause)
      }
    })
  return go(0)
}

/** Reads the file through a connection that cannot write, so that looking changes nothing. */
const checkFile = (file: string): void => {
  const stat = fs.statSync(file, { throwIfNoEntry: false })
  if (stat === undefined || stat.size === 0 || stat.size > maxCheckedBytes) return
  const database = new DatabaseSync(file, { readOnly: true, timeout: busyTimeoutMillis })
  try {
    const found = Object.values(database.prepare("PRAGMA quick_check(1)").get() ?? {})[0]
    if (found !== "ok") {
      throw new StoreError({
        port: "Sqlite",
        operation: "check",
        reason: "Corrupt",
        detail: `${file} is damaged (${String(found)})`,
        cause: undefined
      })
    }
  } finally {
    database.close()
  }
}

const openFile = (options: SqliteOptions): DatabaseSync => {
  if (!fs.existsSync(options.file)) {
    fs.closeSync(fs.openSync(options.file, "a", privateFileMode))
    syncDirectory(path.dirname(options.file))
  }
  const database = new DatabaseSync(options.file, { timeout: busyTimeoutMillis })
  try {
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864")
    database.exec(`PRAGMA wal_autocheckpoint = ${checkpointPages}`)
    if (options.maxPages !== undefined) database.exec(`PRAGMA max_page_count = ${options.maxPages}`)
    return database
  } catch (cause) {
    database.close()
    throw cause
  }
}

const userVersion = (database: DatabaseSync): number =>
  Number(Object.values(database.prepare("PRAGMA user_version").get() ?? {})[0] ?? 0)

/** Brings the schema up to date in one transaction; another process may do the same at the same time. */
const migrate = (database: DatabaseSync, { file, migrations }: SqliteOptions): void => {
  if (userVersion(database) === migrations.length) return
  database.exec("BEGIN IMMEDIATE")
  try {
    const version = userVersion(database)
    if (version > migrations.length) {
      throw new EngineRefused({
        code: "KM-ENG-009",
        detail: `${file} has schema version ${version}, this km knows ${migrations.length}`,
        remedy: "upgrade km"
      })
    }
    for (const sql of migrations.slice(version)) database.exec(sql)
    database.exec(`PRAGMA user_version = ${migrations.length}`)
    database.exec("COMMIT")
  } catch (cause) {
    if (database.isTransaction) database.exec("ROLLBACK")
    throw cause
  }
}

/** Ends the transaction; `cause`, or why it cannot be ended. */
const rolledBack = (database: DatabaseSync, cause: unknown): unknown => {
  try {
    if (database.isTransaction) database.exec("ROLLBACK")
    return cause
  } catch (worse) {
    return worse
  }
}

/** Some job threw: what it changed, and what the others did, is undone. */
class JobFailed extends Error {}

/** Runs the jobs in one transaction. With `apart`, each in its own savepoint: one that throws leaves the others alone. */
const run = (
  database: DatabaseSync,
  statements: Statements,
  jobs: ReadonlyArray<Job>,
  apart: boolean
): Attempt => {
  try {
    statements.run("BEGIN IMMEDIATE")
  } catch (cause) {
    return isBusy(cause) ? { _tag: "Busy", cause } : { _tag: "Lost", cause }
  }
  const answers: Array<() => void> = []
  try {
    for (const job of jobs) {
      if (apart) statements.run("SAVEPOINT job")
      try {
        answers.push(job.attempt(statements))
      } catch (cause) {
        // A full disk ends the whole transaction by itself; so does damage: nothing may be written after it.
        if (!database.isTransaction || isDamage(cause)) throw cause
        if (!apart) throw jobs.length === 1 ? cause : new JobFailed()
        statements.run("ROLLBACK TO job")
        answers.push(() => job.fail(cause))
      }
      if (apart) statements.run("RELEASE job")
    }
    statements.run("COMMIT")
  } catch (cause) {
    return { _tag: "Lost", cause: rolledBack(database, cause) }
  }
  for (const answer of answers) answer()
  return { _tag: "Done" }
}

/** Hardly a job throws: all run together first, and only when one did, again and apart. */
const transact = (database: DatabaseSync, statements: Statements, batch: ReadonlyArray<Job>): Attempt => {
  const jobs = batch.filter(({ cancelled }) => !cancelled)
  if (jobs.length === 0) return { _tag: "Done" }
  const attempt = run(database, statements, jobs, false)
  return attempt._tag === "Lost" && attempt.cause instanceof JobFailed ? run(database, statements, jobs, true) : attempt
}

/** The failure that a thrown value stands for; what is neither SQLite's nor the file system's is a bug of ours. */
const failure = (port: string, operation: string, cause: unknown): Effect.Effect<never, StoreError> => {
  const error = storeError(port, operation, cause)
  if (error !== undefined) return Effect.fail(error)
  return /^E[A-Z0-9]+$/.test(errorCode(cause)) ? Effect.fail(fileError(port, operation)(cause)) : Effect.die(cause)
}

const unavailable = (port: string, operation: string, detail: string) =>
  new StoreError({ port, operation, reason: "Unavailable", detail, cause: undefined })

const guarded = <A>(attempt: () => A): Effect.Effect<A, StoreError | EngineRefused> =>
  whileBusy(attempt).pipe(
    Effect.catchIf(
      (cause): cause is EngineRefused => cause instanceof EngineRefused,
      Effect.fail,
      (cause) => failure("Sqlite", "open", cause)
    )
  )

const open = Effect.fnUntraced(function*(options: SqliteOptions) {
  const state: {
    closing: boolean
    /** Set once damage was met: from then on nothing is written, not even by closing. */
    damage: StoreError | undefined
  } = { closing: false, damage: undefined }

  if (options.check !== false) yield* guarded(() => checkFile(options.file))
  const database = yield* Effect.acquireRelease(
    guarded(() => openFile(options)),
    // Closing would copy the log into the file. A damaged file stays as it is until the process ends.
    (opened) => Effect.sync(() => state.damage === undefined ? opened.close() : undefined)
  )
  yield* guarded(() => migrate(database, options))

  const statements = prepared(database)
  const jobs: Array<Job> = []
  const bell = makeBell()

  const settle = (batch: ReadonlyArray<Job>, tries: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const attempt = transact(database, statements, batch)
      if (attempt._tag === "Done") return Effect.void
      if (attempt._tag === "Busy" && tries < (state.closing ? maxBusyTriesAtClose : maxBusyTries)) {
        return Effect.andThen(busyPause(tries), settle(batch, tries + 1))
      }
      if (isDamage(attempt.cause)) state.damage ??= storeError("Sqlite", "write", attempt.cause)
      if (attempt._tag === "Lost" && batch.length > 1 && state.damage === undefined) {
        return Effect.forEach(batch, (job) => settle([job], 0), { discard: true })
      }
      for (const job of batch) job.fail(attempt.cause)
      return Effect.void
    })

  const writer = Effect.gen(function*() {
    while (!state.closing || jobs.length > 0) {
      const rung = bell.count()
      if (jobs.length === 0) yield* bell.wait(rung, Duration.infinity)
      yield* gathered(jobs)
      yield* settle(jobs.splice(0, maxBatch), 0)
    }
  })
  const fiber = yield* Effect.forkScoped(writer)
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      state.closing = true
      bell.ring()
      return Fiber.await(fiber)
    })
  )

  return Sqlite.of({
    read: (port, operation, look) =>
      whileBusy(() => look(statements)).pipe(
        Effect.catch((cause) => {
          if (isDamage(cause)) state.damage ??= storeError(port, operation, cause)
          return failure(port, operation, cause)
        })
      ),
    write: (port, operation, change) =>
      Effect.callback((resume) => {
        if (state.closing) return resume(Effect.fail(unavailable(port, operation, "the store is closed")))
        if (state.damage !== undefined) {
          const { cause, detail } = state.damage
          return resume(Effect.fail(new StoreError({ port, operation, reason: "Corrupt", detail, cause })))
        }
        const job: Job = {
          cancelled: false,
          attempt: (current) => {
            const result = change(current)
            return () => resume(Effect.succeed(result))
          },
          fail: (cause) => resume(failure(port, operation, cause))
        }
        jobs.push(job)
        bell.ring()
        return Effect.sync(() => {
          job.cancelled = true
        })
      })
  })
})

/** `port` and `operation` name the caller in a `StoreError`. A function that throws what is not SQLite's is a defect. */
export class Sqlite extends Context.Service<Sqlite, {
  /** Synchronous, outside the writer; sees every committed change. Must not change anything. */
  readonly read: <A>(
    port: string,
    operation: string,
    look: (statements: Statements) => A
  ) => Effect.Effect<A, StoreError>
  /**
   * Synced to disk once the effect succeeds. `change` may run more than once, and alone or beside others; what it throws
   * undoes its own changes only. An interrupted caller's change is left out if it has not begun.
   */
  readonly write: <A>(
    port: string,
    operation: string,
    change: (statements: Statements) => A
  ) => Effect.Effect<A, StoreError>
}>()("km/runtime/adapters/disk/Sqlite") {
  /** Opens or creates the file (0600). Closing the scope first writes what was asked for. */
  static readonly layer = (options: SqliteOptions): Layer.Layer<Sqlite, StoreError | EngineRefused> =>
    Layer.effect(Sqlite, open(options))
}
