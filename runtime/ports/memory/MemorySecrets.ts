/** Secrets in memory, on Effect's clock: the whole contract, for tests. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { checkSecret, liesBelow, secretPath, Secrets, underPath } from "../Secrets.ts"

export interface MemorySecretsState {
  /** The versions of each path, oldest first. */
  readonly values: Map<string, Array<Redacted.Redacted<string>>>
}

export const makeMemorySecretsState = (): MemorySecretsState => ({ values: new Map() })

export const layerOver = (state: MemorySecretsState): Layer.Layer<Secrets> =>
  Layer.succeed(
    Secrets,
    Secrets.of({
      get: (path) => Effect.map(secretPath("get", path), () => Option.fromNullishOr(state.values.get(path)?.at(-1))),
      put: (path, value) =>
        Effect.map(Effect.andThen(checkSecret(value), secretPath("put", path)), () => {
          const versions = state.values.get(path) ?? []
          state.values.set(path, versions)
          return versions.push(value)
        }),
      delete: (path) => Effect.map(secretPath("delete", path), () => void state.values.delete(path)),
      deleteUnder: (path) =>
        Effect.map(secretPath("deleteUnder", path), () => {
          for (const name of state.values.keys()) if (liesBelow(name, path)) state.values.delete(name)
        }),
      under: (path) =>
        Effect.map(underPath(path), () =>
          [...state.values].toSorted().flatMap(([name, versions]) => {
            const value = versions.at(-1)
            return value !== undefined && (path === "" || liesBelow(name, path)) ? [{ path: name, value }] : []
          }))
    })
  )

export const layer: Layer.Layer<Secrets> = Layer.suspend(() => layerOver(makeMemorySecretsState()))
