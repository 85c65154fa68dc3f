/** Controls in memory, on Effect's clock: the whole contract, for tests. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { type SandboxId } from "../../domain/sandbox/Ids.ts"
import { type Bell, makeBell, whenRung } from "../Bell.ts"
import { type ControlRequest, Controls } from "../Controls.ts"

export interface MemoryControlsState {
  /** Not yet acknowledged, in order, by sandbox and request id. */
  readonly requests: Map<SandboxId, Map<string, ControlRequest>>
  readonly bell: Bell
}

export const makeMemoryControlsState = (): MemoryControlsState => ({ requests: new Map(), bell: makeBell() })

export const layerOver = (state: MemoryControlsState): Layer.Layer<Controls> =>
  Layer.succeed(
    Controls,
    Controls.of({
      send: (sandbox, request) =>
        Effect.sync(() => {
          const requests = state.requests.get(sandbox) ?? new Map<string, ControlRequest>()
          state.requests.set(sandbox, requests)
          if (requests.has(request.id)) return
          requests.set(request.id, request)
          state.bell.ring()
        }),
      watch: (sandbox) =>
        Stream.suspend(() => {
          const emitted = new Set<string>()
          const next = whenRung(state.bell, Infinity, () =>
            Effect.sync(() => {
              const fresh = [...state.requests.get(sandbox)?.values() ?? []].filter(({ id }) => !emitted.has(id))
              for (const { id } of fresh) emitted.add(id)
              return { found: fresh, enough: fresh.length > 0, nextAt: Infinity }
            }))
          return Stream.fromIterableEffectRepeat(next)
        }),
      acknowledge: (sandbox, id) => Effect.sync(() => void state.requests.get(sandbox)?.delete(id)),
      clear: (sandbox) => Effect.sync(() => void state.requests.delete(sandbox))
    })
  )

export const layer: Layer.Layer<Controls> = Layer.suspend(() => layerOver(makeMemoryControlsState()))
