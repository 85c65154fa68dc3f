/** Reports in memory, on Effect's clock: the whole contract, for tests. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import { noReport, type SandboxReport } from "../../domain/sandbox/Sandbox.ts"
import { Reports } from "../Reports.ts"

export interface MemoryReportsState {
  readonly reports: Map<SandboxId, SandboxReport>
}

export const makeMemoryReportsState = (): MemoryReportsState => ({ reports: new Map() })

export const layerOver = ({ reports }: MemoryReportsState): Layer.Layer<Reports> =>
  Layer.succeed(
    Reports,
    Reports.of({
      put: (id, report) => Effect.sync(() => void reports.set(id, { ...reports.get(id) ?? noReport, ...report })),
      get: (id) => Effect.sync(() => reports.get(id) ?? noReport),
      of: (ids) =>
        Effect.sync(() =>
          new Map(ids.flatMap((id) => {
            const report = reports.get(id)
            return report === undefined ? [] : [[id, report] as const]
          }))
        ),
      remove: (id) => Effect.sync(() => void reports.delete(id))
    })
  )

export const layer: Layer.Layer<Reports> = Layer.suspend(() => layerOver(makeMemoryReportsState()))
