/** Port `RuntimeStatus` of one sandbox: what the plugin host, the queue and the jail say, put together. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { PluginHost } from "../kernel/plugins/PluginHost.ts"
import { type RuntimeReport, RuntimeStatus } from "../ports/RuntimeStatus.ts"
import { unending } from "../ports/Unending.ts"

/** Between two looks at the plugins: they have states, but no bell (docs/architecture.md: nothing looks more often than 5 s). */
const lookEvery = "5 seconds"

/** The root's own side of the board. */
export class StatusBoard extends Context.Service<StatusBoard, {
  /** Follows the host's plugins until interrupted; before that the report is not ready. */
  readonly follow: (host: PluginHost["Service"]) => Effect.Effect<never>
}>()("km/runtime/sandbox/StatusBoard") {}

export interface StatusBoardOptions {
  readonly confined: boolean
  readonly confinement: string
}

const make = Effect.fnUntraced(function*(options: StatusBoardOptions) {
  /** Who polls something says so when it starts. */
  let polled = true
  let host: PluginHost["Service"] | undefined
  let lastActiveAt = 0
  const ref = yield* SubscriptionRef.make<RuntimeReport>({
    ready: false,
    lastActiveAt,
    plugins: [],
    confined: options.confined,
    confinement: options.confinement
  })

  const refresh = Effect.gen(function*() {
    const plugins = host === undefined ? [] : yield* host.status
    const started = host !== undefined && (yield* host.ready)
    const next: RuntimeReport = {
      ready: started && polled,
      lastActiveAt,
      plugins: plugins.map(({ detail, id, state }) => ({ id, state, detail })),
      confined: options.confined,
      confinement: options.confinement
    }
    const now = yield* SubscriptionRef.get(ref)
    if (JSON.stringify(now) !== JSON.stringify(next)) yield* SubscriptionRef.set(ref, next)
  })

  const note = (change: () => void) => Effect.andThen(Effect.sync(change), refresh)

  const status = RuntimeStatus.of({
    // Heard after every poll: only the first one after a failure changes anything.
    polled: Effect.suspend(() => polled ? Effect.void : note(() => void (polled = true))),
    pollFailed: Effect.suspend(() => polled ? note(() => void (polled = false)) : Effect.void),
    active: (at) => note(() => void (lastActiveAt = Math.max(lastActiveAt, at))),
    report: Effect.andThen(refresh, SubscriptionRef.get(ref)),
    changes: Stream.unwrap(Effect.as(refresh, SubscriptionRef.changes(ref)))
  })
  const board = StatusBoard.of({
    follow: (started) =>
      Effect.suspend(() => {
        host = started
        const looks = unending(
          "the status could not be read because of a defect",
          lookEvery,
          Effect.andThen(refresh, Effect.sleep(lookEvery))
        )
        return Effect.raceFirst(looks, Effect.andThen(started.untilReady, Effect.andThen(refresh, Effect.never)))
      })
  })
  return Context.make(RuntimeStatus, status).pipe(Context.add(StatusBoard, board))
})

export const layer = (options: StatusBoardOptions): Layer.Layer<RuntimeStatus | StatusBoard> =>
  Layer.effectContext(make(options))
