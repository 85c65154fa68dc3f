/** What is remembered of sandboxes, in memory, for tests. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { SenderId } from "../../domain/sandbox/Ids.ts"
import { checkFact, type Fact, Facts } from "../Facts.ts"

export interface MemoryFactsState {
  readonly facts: Map<string, Fact>
}
export const makeMemoryFactsState = (): MemoryFactsState => ({ facts: new Map() })

const idOf = (sandbox: SenderId, key: string): string => `${sandbox}\n${key}`
const inOrder = (a: Fact, b: Fact): number =>
  a.sandbox === b.sandbox ? (a.key < b.key ? -1 : 1) : a.sandbox < b.sandbox ? -1 : 1

export const layerOver = (state: MemoryFactsState): Layer.Layer<Facts> =>
  Layer.succeed(
    Facts,
    Facts.of({
      get: (sandbox, key) => Effect.sync(() => Option.fromNullishOr(state.facts.get(idOf(sandbox, key))?.value)),
      put: (sandbox, key, value, only) =>
        Effect.map(checkFact(key, value), () => {
          const id = idOf(sandbox, key)
          if (only !== undefined && state.facts.get(id)?.value !== only.was) return false
          state.facts.set(id, { sandbox, key, value })
          return true
        }),
      list: (prefix, sandbox) =>
        Effect.sync(() =>
          [...state.facts.values()]
            .filter((fact) => fact.key.startsWith(prefix) && (sandbox === undefined || fact.sandbox === sandbox))
            .toSorted(inOrder)
        ),
      remove: (sandbox, key) => Effect.sync(() => void state.facts.delete(idOf(sandbox, key)))
    })
  )

export const layer: Layer.Layer<Facts> = Layer.suspend(() => layerOver(makeMemoryFactsState()))
