/**
 * Sessions that are to be attached: written down before anybody goes on without them, and attached beside everything
 * else, so that neither a turn's final mark nor another turn waits for Slack to take a file. What a stop or a crash
 * leaves undone is done at the next start.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { ChannelId, MessageTs, SessionId } from "../../runtime/domain/sandbox/Ids.ts"
import { backoffSchedule } from "../../runtime/ports/Backoff.ts"
import type { BridgeRefused } from "../../runtime/ports/Bridge.ts"
import type { Ledger } from "../../runtime/ports/Ledger.ts"
import type { SessionFileSkipped } from "../../runtime/ports/Sessions.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"
import type { UploadRequest } from "./SessionUpload.ts"

/** A session to be attached. Without a thread it goes where `header` opens or finds one. */
export const DueUpload = Schema.Struct({
  session: SessionId,
  channel: ChannelId,
  threadTs: Schema.optionalKey(MessageTs),
  header: Schema.String,
  /** See `UploadRequest`. */
  key: Schema.String
})
export type DueUpload = typeof DueUpload.Type

const DueJson = Schema.fromJsonString(Schema.Array(DueUpload))
const decodeDue = Schema.decodeUnknownOption(DueJson)
const encodeDue = Schema.encodeSync(DueJson)

/** Where the list is kept in the ledger. */
export const dueFact = "transcript/due"
/** Sessions that may wait; the oldest is given up for a newer one. A forger of sessions cannot fill the ledger. */
export const maxDue = 500
/** What cannot be read or stored now is tried again after 1 s, doubling, at most a minute apart. */
const patiently = backoffSchedule({ firstMillis: 1_000, longestMillis: 60_000 })
/** A plugin that stops gives uploads this long, or they wait for the next start. */
const stopLimit = "5 seconds"

export interface UploadQueue {
  /** Returns once it is written down. Of several for one session and place only the newest is attached. */
  readonly due: (request: DueUpload) => Effect.Effect<void>
}

const placeOf = ({ channel, session, threadTs }: DueUpload): string => `${session}/${channel}/${threadTs ?? ""}`

export const makeUploadQueue = Effect.fnUntraced(function*(parts: {
  readonly ledger: Ledger["Service"]
  readonly upload: (
    request: UploadRequest
  ) => Effect.Effect<unknown, SessionFileSkipped | StoreError | BridgeRefused>
  /** The thread of a session that no Slack message started; none when it cannot be had. */
  readonly threadOf: (session: SessionId, header: string) => Effect.Effect<MessageTs | undefined>
}): Effect.fn.Return<UploadQueue, never, Scope.Scope> {
  const { ledger, threadOf, upload } = parts
  const workers = yield* Scope.fork(yield* Effect.scope)
  const writing = yield* Semaphore.make(1)
  const wanted = new Map<string, DueUpload>()
  const working = new Map<SessionId, Deferred.Deferred<void>>()

  const write = writing.withPermit(Effect.suspend(() => ledger.remember(dueFact, encodeDue([...wanted.values()]))))
    .pipe(
      Effect.catch((error) => Effect.logWarning("which sessions are to be attached is not written down", error.message))
    )

  const attach = Effect.fnUntraced(function*({ channel, header, key, session, threadTs }: DueUpload) {
    const thread = threadTs ?? (yield* threadOf(session, header))
    if (thread === undefined) return
    yield* upload({ session, channel, threadTs: thread, key }).pipe(
      Effect.tapError((error) =>
        error._tag === "StoreError" ? Effect.logWarning("a session waits to be attached", error.message) : Effect.void
      ),
      Effect.retry({
        schedule: patiently,
        while: (error) => error._tag === "StoreError" && (error.reason === "Unavailable" || error.reason === "Full")
      }),
      Effect.catch((error) =>
        // A run that failed before its first request leaves no transcript.
        error._tag === "SessionFileSkipped" && error.reason === "Missing"
          ? Effect.logDebug("a session was not attached", error.message)
          : Effect.logWarning("a session was not attached", error.message)
      )
    )
  }, (effect, { session }) => Effect.annotateLogs(effect, { session }))

  /** One place of a session after the other: two of them may turn out to be the same thread. */
  const work = (session: SessionId): Effect.Effect<void> =>
    Effect.gen(function*() {
      const nextOf = () => [...wanted].find(([, due]) => due.session === session)
      for (let next = nextOf(); next !== undefined; next = nextOf()) {
        const [place, due] = next
        yield* attach(due).pipe(
          Effect.catchDefect((defect) => Effect.logError("attaching a session crashed", defect))
        )
        if (wanted.get(place) === due) wanted.delete(place)
      }
      working.delete(session)
      yield* write
    })

  const begin = (session: SessionId): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (working.has(session)) return Effect.void
      const done = Deferred.makeUnsafe<void>()
      working.set(session, done)
      return Effect.asVoid(Effect.forkIn(Effect.ensuring(work(session), Deferred.succeed(done, undefined)), workers))
    })

  const take = (due: DueUpload): void => {
    const place = placeOf(due)
    wanted.delete(place)
    const [oldest] = wanted.keys()
    if (wanted.size >= maxDue && oldest !== undefined) wanted.delete(oldest)
    wanted.set(place, due)
  }

  // Registered after the workers' scope, so run before that is closed.
  yield* Effect.addFinalizer(() =>
    Effect.forEach([...working.values()], Deferred.await, { concurrency: "unbounded", discard: true }).pipe(
      Effect.timeoutOption(stopLimit)
    )
  )

  const left = yield* ledger.recall(dueFact).pipe(
    Effect.map((text) => Option.getOrElse(Option.flatMap(text, decodeDue), () => [])),
    Effect.catch((error) =>
      Effect.as(Effect.logWarning("which sessions are still to be attached is not known", error.message), [])
    )
  )
  left.forEach(take)
  yield* Effect.forEach(left, ({ session }) => begin(session), { discard: true })

  return {
    due: (request) =>
      Effect.suspend(() => {
        take(request)
        return Effect.andThen(write, begin(request.session))
      })
  }
})
