/** Threads in memory, on Effect's clock: the whole contract, for tests. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { mergeThread, threadRetentionMillis, type ThreadRow, Threads } from "../Threads.ts"

export interface MemoryThreadsState {
  readonly rows: Map<string, ThreadRow>
}

export const makeMemoryThreadsState = (): MemoryThreadsState => ({ rows: new Map() })

export const layerOver = (state: MemoryThreadsState): Layer.Layer<Threads> => {
  const living = Effect.map(
    Clock.currentTimeMillis,
    (now) => [...state.rows.values()].filter((row) => row.lastTurnAt + threadRetentionMillis > now)
  )
  return Layer.succeed(
    Threads,
    Threads.of({
      put: (row) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          const id = `${row.channel}:${row.threadTs}`
          state.rows.set(id, mergeThread(state.rows.get(id), row, now))
        }),
      get: (channel, threadTs) =>
        Effect.map(
          living,
          (rows) => Option.fromNullishOr(rows.find((row) => row.channel === channel && row.threadTs === threadTs))
        ),
      bySession: (session) =>
        Effect.map(living, (rows) =>
          Option.fromNullishOr(
            rows.filter((row) => row.session === session).toSorted((a, b) => b.lastTurnAt - a.lastTurnAt)[0]
          )),
      count: (sandbox) => Effect.map(living, (rows) => rows.filter((row) => row.sandbox === sandbox).length),
      list: (sandbox, limit) =>
        Effect.map(
          living,
          (rows) =>
            rows.filter((row) => row.sandbox === sandbox).toSorted((a, b) => b.lastTurnAt - a.lastTurnAt).slice(
              0,
              limit
            )
        ),
      forget: (channel, threadTs) =>
        Effect.sync(() => {
          const id = `${channel}:${threadTs}`
          const found = state.rows.get(id)
          if (found === undefined) return
          const { session: _forgotten, ...rest } = found
          state.rows.set(id, rest)
        }),
      move: (from, to) =>
        Effect.sync(() => {
          for (const [id, row] of [...state.rows].filter(([, { channel }]) => channel === from)) {
            state.rows.delete(id)
            const moved = `${to}:${row.threadTs}`
            if (!state.rows.has(moved)) state.rows.set(moved, { ...row, channel: to })
          }
        }),
      removeAll: (sandbox) =>
        Effect.sync(() => {
          for (const [id, row] of state.rows) if (row.sandbox === sandbox) state.rows.delete(id)
        })
    })
  )
}

export const layer: Layer.Layer<Threads> = Layer.suspend(() => layerOver(makeMemoryThreadsState()))
