/** Objects in memory, on Effect's clock: the whole contract, for tests. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import { sha256Hex } from "../../domain/text/Digest.ts"
import { ObjectMissing, Objects, objectSegments } from "../Objects.ts"

export interface MemoryObjectsState {
  readonly objects: Map<SandboxId, Map<string, Uint8Array>>
}

export const makeMemoryObjectsState = (): MemoryObjectsState => ({ objects: new Map() })

export const layerOver = (state: MemoryObjectsState): Layer.Layer<Objects> =>
  Layer.succeed(
    Objects,
    Objects.of({
      put: Effect.fnUntraced(function*(owner, name, bytes) {
        yield* objectSegments("put", name)
        const chunks = yield* Stream.runCollect(bytes)
        const whole = Uint8Array.from(chunks.flatMap((chunk) => [...chunk]))
        const objects = state.objects.get(owner) ?? new Map<string, Uint8Array>()
        state.objects.set(owner, objects.set(name, whole))
        return { size: whole.length, sha256: sha256Hex(whole) }
      }),
      get: (owner, name) =>
        Stream.unwrap(Effect.map(objectSegments("get", name), () => {
          const found = state.objects.get(owner)?.get(name)
          return found === undefined ? Stream.fail(new ObjectMissing({ name })) : Stream.succeed(found)
        })),
      link: (_, name) => Effect.as(objectSegments("link", name), Option.none()),
      list: (owner) => Effect.sync(() => [...state.objects.get(owner)?.keys() ?? []].toSorted()),
      delete: (owner, name) =>
        Effect.map(objectSegments("delete", name), () => void state.objects.get(owner)?.delete(name)),
      deleteAll: (owner) => Effect.sync(() => void state.objects.delete(owner))
    })
  )

export const layer: Layer.Layer<Objects> = Layer.suspend(() => layerOver(makeMemoryObjectsState()))
