/** Sandboxes in memory, on Effect's clock: the whole contract, for tests. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Alias, ChannelId, SandboxId } from "../../domain/sandbox/Ids.ts"
import { isSameItem, type SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { type Bell, makeBell, whenRung } from "../Bell.ts"
import { changedAttributes, holds, type RowCondition, SandboxConflict, Sandboxes, withItem } from "../Sandboxes.ts"

export interface MemorySandboxesState {
  /** Rows keep attributes that the type does not know. */
  readonly rows: Map<SandboxId, SandboxRow>
  readonly channels: Map<Alias, ChannelId>
  /** Ids in the order of their last change. */
  readonly changed: Set<SandboxId>
  readonly bell: Bell
}

export const makeMemorySandboxesState = (): MemorySandboxesState => ({
  rows: new Map(),
  channels: new Map(),
  changed: new Set(),
  bell: makeBell()
})

/** What is seen now, and then after each ring. */
const afterRings = <A>(bell: Bell, see: () => A): Effect.Effect<A> => {
  let heard = -1
  return whenRung(bell, Infinity, () =>
    Effect.sync(() => {
      const enough = bell.count() !== heard
      heard = bell.count()
      return { found: see(), enough, nextAt: Infinity }
    }))
}

export const layerOver = (state: MemorySandboxesState): Layer.Layer<Sandboxes> => {
  const changed = (id: SandboxId) => {
    state.changed.delete(id)
    state.changed.add(id)
    state.bell.ring()
  }
  const select = (keep: (row: SandboxRow) => boolean) =>
    Effect.sync(() => [...state.rows.values()].filter(keep).toSorted((a, b) => a.id < b.id ? -1 : 1))
  const change = (id: SandboxId, whileRow: RowCondition, to: (row: SandboxRow) => SandboxRow) =>
    Effect.sync(() => {
      const row = state.rows.get(id)
      if (row === undefined || !holds(row, whileRow)) return false
      state.rows.set(id, to(row))
      changed(id)
      return true
    })
  return Layer.succeed(
    Sandboxes,
    Sandboxes.of({
      insert: (row) =>
        Effect.suspend(() => {
          const { alias, id } = row
          if (state.rows.has(id)) return Effect.fail(new SandboxConflict({ what: "id", value: id }))
          if (alias !== undefined && [...state.rows.values()].some((other) => other.alias === alias)) {
            return Effect.fail(new SandboxConflict({ what: "alias", value: alias }))
          }
          state.rows.set(id, row)
          changed(id)
          return Effect.void
        }),
      get: (id) => Effect.sync(() => Option.fromNullishOr(state.rows.get(id))),
      update: (id, changes, whileRow = {}) => change(id, whileRow, (row) => changedAttributes(row, changes).row),
      addItem: (id, item, whileRow = {}, changes = {}) =>
        change(id, whileRow, (row) => ({
          ...changedAttributes(row, changes).row,
          inventory: withItem(row.inventory, item)
        })),
      removeItem: (id, item) =>
        Effect.asVoid(change(id, {}, (row) => ({
          ...row,
          inventory: row.inventory.filter((other) => !isSameItem(other, item))
        }))),
      remove: (id) => Effect.sync(() => state.rows.delete(id) ? changed(id) : undefined),
      byChannel: (channel) => select((row) => row.channel === channel),
      byChannelLately: (channel) => select((row) => row.channel === channel),
      named: (text) =>
        Effect.map(
          select((row) => row.id === text || row.alias === text),
          (rows) => Option.fromNullishOr(rows.find(({ id }) => id === text) ?? rows[0])
        ),
      youngerThan: (since) => select((row) => row.createdAt >= since),
      list: select(() => true),
      watch: (id) =>
        Stream.suspend(() => {
          const next = afterRings(state.bell, () => Option.fromNullishOr(state.rows.get(id)))
          return Stream.fromEffectRepeat(next)
        }),
      lagMillis: 0,
      changes: Stream.suspend(() => {
        const next = afterRings(state.bell, () => [...state.changed])
        return Stream.fromIterableEffectRepeat(next)
      }),
      channelOfAlias: (alias) => Effect.sync(() => Option.fromNullishOr(state.channels.get(alias))),
      rememberChannel: (alias, channel) => Effect.sync(() => void state.channels.set(alias, channel))
    })
  )
}

export const layer: Layer.Layer<Sandboxes> = Layer.suspend(() => layerOver(makeMemorySandboxesState()))
