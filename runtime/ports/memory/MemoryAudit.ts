/** Audit in memory, on Effect's clock: the whole contract, for tests. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { type ChainHead, ChainName, emptyHead, headOf, linkAfter, linkLine } from "../../domain/install/Audit.ts"
import { Audit, type AuditRecord, type AuditWriter, lookAgain } from "../Audit.ts"
import { type Bell, makeBell } from "../Bell.ts"

export interface MemoryAuditState {
  /** Lines as they are stored. */
  readonly chains: Map<ChainName, Array<string>>
  readonly heads: Map<ChainName, ChainHead>
  readonly bell: Bell
}

export const makeMemoryAuditState = (): MemoryAuditState => ({ chains: new Map(), heads: new Map(), bell: makeBell() })

export const layerOver = (state: MemoryAuditState, writer: AuditWriter): Layer.Layer<Audit> =>
  Layer.sync(Audit, () => {
    const chain = ChainName.make(`${writer}-1`)
    const append = (entry: AuditRecord) =>
      Effect.map(Clock.currentTimeMillis, (at) => {
        const link = linkAfter(state.heads.get(chain) ?? emptyHead(chain), { at, ...entry })
        state.heads.set(chain, headOf(link))
        state.chains.set(chain, [...state.chains.get(chain) ?? [], linkLine(link)])
        state.bell.ring()
      })
    return Audit.of({
      record: append,
      note: append,
      chains: Effect.sync(() => [...state.chains.keys()].toSorted()),
      lines: (name, count) => Stream.suspend(() => Stream.fromIterable((state.chains.get(name) ?? []).slice(count))),
      appended: Effect.suspend(() => state.bell.wait(state.bell.count(), lookAgain))
    })
  })

export const layer: Layer.Layer<Audit> = Layer.suspend(() => layerOver(makeMemoryAuditState(), "operator"))
