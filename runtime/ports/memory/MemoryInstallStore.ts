/** InstallStore in memory, on Effect's clock: the whole contract, for tests. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ChainHead, ChainName } from "../../domain/install/Audit.ts"
import type { Install } from "../../domain/install/Install.ts"
import { headRefused, InstallMissing, InstallStore } from "../InstallStore.ts"

export interface MemoryInstallState {
  install: Install | undefined
  readonly heads: Map<ChainName, ChainHead>
}

export const makeMemoryInstallState = (install?: Install): MemoryInstallState => ({ install, heads: new Map() })

export const layerOver = (state: MemoryInstallState): Layer.Layer<InstallStore> =>
  Layer.succeed(
    InstallStore,
    InstallStore.of({
      get: Effect.suspend(() =>
        state.install === undefined
          ? Effect.fail(new InstallMissing({ where: "memory" }))
          : Effect.succeed(state.install)
      ),
      put: (install) => Effect.sync(() => void (state.install = install)),
      heads: Effect.sync(() => [...state.heads.values()]),
      putHead: (head) =>
        Effect.suspend(() => {
          const refused = headRefused(state.heads.get(head.chain), head)
          if (refused !== undefined) return Effect.fail(refused)
          state.heads.set(head.chain, head)
          return Effect.void
        })
    })
  )
