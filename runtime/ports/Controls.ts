/**
 * Requests that must overtake the queue: a stop while every slot is busy. Embedded: a table and a doorbell; AWS: an
 * attribute that the runtime reads every 2 s while a turn runs. Delivered at least once.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { GroupId, type SandboxId, TurnKey } from "../domain/sandbox/Ids.ts"
import { type Bell, makeBell } from "./Bell.ts"
import type { StoreError } from "./StoreError.ts"

/** Stops one turn, or whatever runs or waits in a thread, or everything of the sandbox when neither is given. */
export const StopRequest = Schema.Struct({
  /** Absent in what was stored before there were kinds. */
  kind: Schema.Literal("stop").pipe(Schema.withDecodingDefaultKey(Effect.succeed("stop" as const))),
  id: Schema.String,
  turn: Schema.optionalKey(TurnKey),
  group: Schema.optionalKey(GroupId),
  /** Shown in the thread: a person's name or `operator`. */
  by: Schema.String,
  /**
   * Unix milliseconds at which it was asked for: what was put into the queue later goes on, however late the request is
   * served. Absent: when it is served.
   */
  at: Schema.optionalKey(Schema.Int)
})
export type StopRequest = typeof StopRequest.Type

/** Whatever may overtake the queue, told apart by `kind`. */
export const ControlRequest = Schema.Union([StopRequest])
export type ControlRequest = typeof ControlRequest.Type
export const controlKinds: ReadonlySet<string> = new Set<ControlRequest["kind"]>(["stop"])

export interface MemoryControlsState {
  /** Not yet acknowledged, in order, by sandbox and request id. */
  readonly requests: Map<SandboxId, Map<string, ControlRequest>>
  readonly bell: Bell
}
export const makeMemoryControlsState = (): MemoryControlsState => ({ requests: new Map(), bell: makeBell() })

export class Controls extends Context.Service<Controls, {
  /** Idempotent per `request.id`. */
  readonly send: (sandbox: SandboxId, request: ControlRequest) => Effect.Effect<void, StoreError>
  /** Those not yet acknowledged, then new ones as they come. One of a kind that this version does not know is left. */
  readonly watch: (sandbox: SandboxId) => Stream.Stream<ControlRequest, StoreError>
  readonly acknowledge: (sandbox: SandboxId, id: string) => Effect.Effect<void, StoreError>
  /** Forgets what nobody acknowledged: the sandbox is destroyed. */
  readonly clear: (sandbox: SandboxId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Controls") {
  static readonly memory = (state: MemoryControlsState): Layer.Layer<Controls> =>
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
            const next: Effect.Effect<ReadonlyArray<ControlRequest>> = Effect.suspend(() => {
              const count = state.bell.count()
              const fresh = [...state.requests.get(sandbox)?.values() ?? []].filter(({ id }) => !emitted.has(id))
              if (fresh.length === 0) return Effect.andThen(state.bell.wait(count, Duration.infinity), next)
              for (const { id } of fresh) emitted.add(id)
              return Effect.succeed(fresh)
            })
            return Stream.fromIterableEffectRepeat(next)
          }),
        acknowledge: (sandbox, id) => Effect.sync(() => void state.requests.get(sandbox)?.delete(id)),
        clear: (sandbox) => Effect.sync(() => void state.requests.delete(sandbox))
      })
    )

  static readonly layerMemory: Layer.Layer<Controls> = Layer.suspend(() => Controls.memory(makeMemoryControlsState()))
}
