/**
 * One writer per session. The CLI has no lock of its own: two runs that resume one session fork its history silently
 * (measured), so a run holds this file until every process of it is gone.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { SessionId } from "../../domain/sandbox/Ids.ts"
import { ProcessMark } from "../../domain/turn/Turn.ts"
import { endMarked, isAlive, markOf } from "./ProcessTree.ts"

const LockFile = Schema.fromJsonString(Schema.Struct({
  /** The runtime that holds it. */
  holder: ProcessMark,
  /** The run's marker, by which its processes are found when the holder is gone. */
  marker: Schema.String
}))

const decodeLock = Schema.decodeUnknownOption(LockFile)
const encodeLock = Schema.encodeSync(LockFile)

/** `busy`: a living runtime has it. `unwritable`: the directory refuses; `detail` says how. */
export class SessionLocked extends Schema.TaggedError<SessionLocked>()("SessionLocked", {
  reason: Schema.Literals(["busy", "unwritable"]),
  detail: Schema.String
}) {
  override get message(): string {
    return this.reason === "busy"
      ? `the session is in use by process ${this.detail}; wait until that run has ended`
      : `the lock file cannot be written: ${this.detail}; check the owner and the free space of the state directory`
  }
}

export interface SessionLock {
  /** Gives the session free. May be called again. */
  readonly release: Effect.Effect<void>
}

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : String(error)

const read = (file: string) => {
  try {
    return decodeLock(Fs.readFileSync(file, "utf8"))
  } catch {
    // Gone meanwhile: the next attempt to create it decides.
    return Option.none()
  }
}

/** Written beside and linked into place, so that nobody ever reads half a lock file. */
const create = (file: string, content: string): "created" | "exists" => {
  const draft = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}`
  Fs.writeFileSync(draft, content, { mode: 0o600, flag: "wx" })
  try {
    Fs.linkSync(draft, file)
    return "created"
  } catch (error) {
    if (codeOf(error) === "EEXIST") return "exists"
    throw error
  } finally {
    Fs.unlinkSync(draft)
  }
}

/** A lock that a dead runtime left is taken over, after every process of its run has been ended. */
export const acquire = Effect.fn("SessionLock.acquire")(function*(
  directory: string,
  session: SessionId,
  marker: string
): Effect.fn.Return<SessionLock, SessionLocked> {
  const file = Path.join(directory, `${session}.lock`)
  const content = encodeLock({ holder: markOf(process.pid), marker })
  const attempt = Effect.try({
    try: () => {
      Fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
      return create(file, content)
    },
    catch: (error) => new SessionLocked({ reason: "unwritable", detail: codeOf(error) })
  })
  // Two rounds: a stale lock is taken away at most once; what stands there then belongs to somebody alive.
  for (let round = 0; round < 2; round++) {
    if ((yield* attempt) === "created") {
      return {
        release: Effect.sync(() => {
          const now = read(file)
          if (Option.isSome(now) && now.value.marker === marker) Fs.rmSync(file, { force: true })
        })
      }
    }
    const other = read(file)
    if (Option.isSome(other) && isAlive(other.value.holder)) {
      return yield* new SessionLocked({ reason: "busy", detail: String(other.value.holder.pid) })
    }
    if (Option.isSome(other)) yield* endMarked(other.value.marker)
    const aside = `${file}.stale.${process.pid}`
    // Moved, then looked at: if another runtime was faster, what was moved is its fresh lock and goes back.
    const moved = yield* Effect.exit(Effect.try(() => Fs.renameSync(file, aside)))
    if (Exit.isFailure(moved)) continue
    const taken = read(aside)
    if (Option.isSome(taken) && isAlive(taken.value.holder)) {
      yield* Effect.sync(() => Fs.renameSync(aside, file))
      return yield* new SessionLocked({ reason: "busy", detail: String(taken.value.holder.pid) })
    }
    yield* Effect.sync(() => Fs.rmSync(aside, { force: true }))
  }
  return yield* new SessionLocked({ reason: "busy", detail: "unknown" })
})

/** Frees what a dead run left, once its processes are gone. Another run's lock stays. */
export const releaseStale = (directory: string, session: SessionId, marker: string): Effect.Effect<void> =>
  Effect.sync(() => {
    const file = Path.join(directory, `${session}.lock`)
    const now = read(file)
    if (Option.isSome(now) && now.value.marker === marker) Fs.rmSync(file, { force: true })
  })
