/** The sandboxes' rows. A row is changed attribute by attribute, so that a writer of another version loses nothing. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { ChannelId, SandboxId } from "../../domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { whenRung } from "../../ports/Bell.ts"
import { type RowCondition, SandboxConflict, Sandboxes } from "../../ports/Sandboxes.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { Bells } from "./Bells.ts"
import { absent, type Changes, compare, is } from "./conditions.ts"
import { Dynamo, type Write } from "./Dynamo.ts"
import { makeArrivals, reader } from "./rows.ts"
import { changesOf, conditionOf, itemChanges, itemOf, itemRemoval, rowOf } from "./sandboxRows.ts"
import { channelsTable, sandboxesTable, stateTable } from "./tables.ts"

const readId = reader("sandbox id", SandboxId)
const readChannel = reader("channel", ChannelId)

const of = (operation: string): Purpose => ({ port: "Sandboxes", operation })

const keyOf = (id: string): Attributes => ({ sandbox_id: id })

/** Who holds an alias; its partition is no sandbox's. */
const guardOf = (alias: string): Attributes => ({ sandbox_id: `alias#${alias}`, item: "alias" })

/** How late one row's watcher may be, and everyone's: each look reads the row, or all of them. */
const watchEvery = Duration.seconds(20)
const changesEvery = Duration.seconds(60)

const sorted = (rows: ReadonlyArray<SandboxRow>): ReadonlyArray<SandboxRow> =>
  rows.toSorted((a, b) => a.id < b.id ? -1 : 1)

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo
  const arrivals = makeArrivals()
  /** This process's own changes are seen at once. */
  const bell = (yield* Bells).of("sandboxes")
  const ring = Effect.sync(() => bell.ring())

  const change = Effect.fnUntraced(function*(
    operation: string,
    id: SandboxId,
    changes: Changes,
    whileRow: RowCondition
  ) {
    const { done } = yield* Effect.ensuring(
      dynamo.change(of(operation), {
        _tag: "Update",
        table: sandboxesTable,
        key: keyOf(id),
        changes,
        when: conditionOf(whileRow)
      }),
      ring
    )
    return done
  })
  const get = Effect.fnUntraced(function*(operation: string, id: string) {
    const item = yield* dynamo.get(of(operation), sandboxesTable, keyOf(id))
    return item === undefined ? Option.none<SandboxRow>() : Option.some(yield* rowOf(of(operation), item))
  })
  const rows = Effect.fnUntraced(function*(operation: string, items: ReadonlyArray<Attributes>) {
    return sorted(yield* Effect.forEach(items, (item) => rowOf(of(operation), item)))
  })
  const scan = (operation: string) => dynamo.scan(of(operation), { table: sandboxesTable, consistent: true })

  const byChannel = Effect.fnUntraced(function*(channel: ChannelId) {
    const hits = yield* dynamo.query(of("byChannel"), {
      table: sandboxesTable,
      index: "slack_channel_id-index",
      key: [is("slack_channel_id", channel)],
      consistent: false
    })
    if (hits.length === 0) return []
    // The index may lag, both ways: what it found is read again, by its key.
    const items = yield* dynamo.getAll(
      of("byChannel"),
      sandboxesTable,
      hits.map((hit): Attributes => ({ sandbox_id: hit["sandbox_id"] }))
    )
    return (yield* rows("byChannel", items)).filter((row) => row.channel === channel)
  })

  return Sandboxes.of({
    insert: Effect.fn("Sandboxes.insert")(function*(row) {
      const { alias, id } = row
      const now = yield* Clock.currentTimeMillis
      const writes: ReadonlyArray<Write> = [
        { _tag: "Put", table: sandboxesTable, item: itemOf(row, () => arrivals(now)), when: absent("sandbox_id") },
        ...(alias === undefined ? [] : [{
          _tag: "Put" as const,
          table: stateTable,
          item: { ...guardOf(alias), owner: id },
          when: absent("sandbox_id")
        }])
      ]
      const answer = yield* Effect.ensuring(dynamo.transact(of("insert"), writes), ring)
      if (answer.done) return
      return yield* answer.writes[0]?.failed === true
        ? new SandboxConflict({ what: "id", value: id })
        : new SandboxConflict({ what: "alias", value: alias ?? "" })
    }),
    get: (id) => get("get", id),
    update: (id, changes, whileRow = {}) => change("update", id, changesOf(changes), whileRow),
    addItem: Effect.fnUntraced(function*(id, item, whileRow = {}, changes = {}) {
      const now = yield* Clock.currentTimeMillis
      return yield* change("addItem", id, { ...changesOf(changes), ...itemChanges(item, arrivals(now)) }, whileRow)
    }),
    removeItem: (id, item) => Effect.asVoid(change("removeItem", id, itemRemoval(item), {})),
    remove: Effect.fn("Sandboxes.remove")(function*(id) {
      const row = yield* get("remove", id)
      if (Option.isNone(row)) return
      const { alias } = row.value
      yield* Effect.ensuring(
        dynamo.transact(of("remove"), [
          { _tag: "Delete", table: sandboxesTable, key: keyOf(id) },
          ...(alias === undefined ? [] : [{ _tag: "Delete" as const, table: stateTable, key: guardOf(alias) }])
        ]),
        ring
      )
    }),
    byChannel,
    byChannelLately: byChannel,
    named: Effect.fnUntraced(function*(text) {
      const byId = yield* get("named", text)
      if (Option.isSome(byId)) return byId
      const guard = yield* dynamo.get(of("named"), stateTable, guardOf(text))
      if (guard === undefined) return Option.none()
      return yield* get("named", yield* readId(of("named"), guard["owner"]))
    }),
    youngerThan: Effect.fnUntraced(function*(since) {
      const items = yield* dynamo.scan(of("youngerThan"), {
        table: sandboxesTable,
        consistent: true,
        filter: compare("created_at", ">=", since)
      })
      return yield* rows("youngerThan", items)
    }),
    list: Effect.flatMap(scan("list"), (items) => rows("list", items)),
    watch: (id) =>
      Stream.suspend(() => {
        let last: unknown = undefined
        const next = whenRung(bell, Infinity, (now) =>
          Effect.gen(function*() {
            const item = yield* dynamo.get(of("watch"), sandboxesTable, keyOf(id))
            const version = item?.["written_by"] ?? "none"
            const enough = version !== last
            last = version
            return {
              found: item === undefined ? Option.none<SandboxRow>() : Option.some(yield* rowOf(of("watch"), item)),
              enough,
              nextAt: now + Duration.toMillis(watchEvery)
            }
          }))
        return Stream.fromEffectRepeat<Option.Option<SandboxRow>, StoreError, never>(next)
      }),
    lagMillis: Duration.toMillis(changesEvery),
    changes: Stream.suspend(() => {
      let last = new Map<unknown, unknown>()
      const next = whenRung(bell, Infinity, (now) =>
        Effect.gen(function*() {
          const items = yield* scan("changes")
          const seen = new Map(items.map((item) => [item["sandbox_id"], item["written_by"]]))
          const changed = [
            ...[...seen].filter(([id, version]) => last.get(id) !== version).map(([id]) => id),
            ...[...last.keys()].filter((id) => !seen.has(id))
          ]
          last = seen
          const found = yield* Effect.forEach(changed, (id) => readId(of("changes"), id))
          return { found, enough: found.length > 0, nextAt: now + Duration.toMillis(changesEvery) }
        }))
      return Stream.fromIterableEffectRepeat(next)
    }),
    channelOfAlias: Effect.fnUntraced(function*(alias) {
      const item = yield* dynamo.get(of("channelOfAlias"), channelsTable, { alias })
      return item === undefined
        ? Option.none()
        : Option.some(yield* readChannel(of("channelOfAlias"), item["channel_id"]))
    }),
    rememberChannel: (alias, channel) =>
      Effect.asVoid(
        dynamo.change(of("rememberChannel"), {
          _tag: "Put",
          table: channelsTable,
          item: { alias, channel_id: channel }
        })
      )
  })
})

export const layer: Layer.Layer<Sandboxes, never, Bells | Dynamo> = Layer.effect(Sandboxes, make)
