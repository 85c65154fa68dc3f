/**
 * One Slack thread per session that no Slack message started: opened with a header line, and found again after a restart,
 * by the ledger or by the bridge. A session that a dispatched turn bound to a thread keeps that thread.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { type ChannelId, MessageTs, type SessionId } from "../../runtime/domain/sandbox/Ids.ts"
import type { Bridge } from "../../runtime/ports/Bridge.ts"
import type { Ledger } from "../../runtime/ports/Ledger.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"

/** Threads that are opened in an hour: the agent could forge sessions without end. */
export const maxThreadsPerHour = 30
const hourMillis = 3_600_000
/** Threads kept in memory; the ledger has them all. */
const maxKnown = 500

const decodeTs = Schema.decodeUnknownOption(MessageTs)

export const makeSessionThreads = Effect.fnUntraced(function*(parts: {
  readonly bridge: Bridge["Service"]
  readonly ledger: Ledger["Service"]
  readonly channel: ChannelId
}) {
  const { bridge, channel, ledger } = parts
  const known = new Map<SessionId, MessageTs>()
  const opened: Array<number> = []
  const one = yield* Semaphore.make(1)

  const find = Effect.fnUntraced(function*(session: SessionId): Effect.fn.Return<MessageTs | undefined, StoreError> {
    const kept = Option.getOrUndefined(Option.flatMap(yield* ledger.recall(`transcript/thread/${session}`), decodeTs))
    if (kept !== undefined) return kept
    const asked = yield* bridge.call({
      key: `session/${session}/lookup/${yield* Clock.currentTimeMillis}`,
      action: { action: "thread.lookup", session }
    }).pipe(Effect.option)
    const thread = Option.getOrUndefined(asked)?.thread
    return thread?.channel === channel ? thread.threadTs : undefined
  })

  const open = Effect.fnUntraced(function*(session: SessionId, header: string) {
    const now = yield* Clock.currentTimeMillis
    while (opened[0] !== undefined && opened[0] <= now - hourMillis) opened.shift()
    if (opened.length >= maxThreadsPerHour) {
      yield* Effect.logWarning("too many new sessions within an hour; this one gets no thread")
      return undefined
    }
    opened.push(now)
    const posted = yield* bridge.call({
      key: `session/${session}/thread/0`,
      action: { action: "post", channel, markdown: header }
    })
    return posted.parts?.[0]?.ts
  })

  /** The session's thread; none when it cannot be had now (the reason is in the log). Asked again at its next prompt. */
  return (session: SessionId, header: string): Effect.Effect<MessageTs | undefined> =>
    one.withPermit(Effect.gen(function*() {
      const there = known.get(session)
      if (there !== undefined) return there
      const found = yield* find(session)
      const threadTs = found ?? (yield* open(session, header))
      if (threadTs === undefined) return undefined
      if (found === undefined) {
        yield* bridge.call({
          key: `session/${session}/thread/put`,
          action: { action: "thread.put", channel, threadTs, session }
        })
      }
      yield* ledger.remember(`transcript/thread/${session}`, threadTs)
      if (known.size >= maxKnown) known.clear()
      known.set(session, threadTs)
      return threadTs
    })).pipe(
      Effect.catch((error) => Effect.as(Effect.logWarning("a session has no thread", error.message), undefined)),
      Effect.annotateLogs({ session })
    )
})
export type SessionThreads = Effect.Success<ReturnType<typeof makeSessionThreads>>
