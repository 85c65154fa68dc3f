/** The sandboxes' rows as JSON attributes, so that a writer of another version loses nothing that it does not know. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { integer, reader } from "../../adapters/disk/columns.ts"
import { Doorbell, lookAgainEvery } from "../../adapters/disk/Doorbell.ts"
import { type Row, Sqlite, type Statements } from "../../adapters/disk/Sqlite.ts"
import { RowUnreadable } from "../../adapters/disk/SqliteErrors.ts"
import { ChannelId, isLater, isMessageTs, SandboxId } from "../../domain/sandbox/Ids.ts"
import { type InventoryItem, isSameItem, SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { type Bell, whenRung } from "../../ports/Bell.ts"
import {
  changedAttributes,
  holds,
  type RowCondition,
  SandboxConflict,
  Sandboxes,
  withItem
} from "../../ports/Sandboxes.ts"

const topic = "sandboxes"

/** The trace of a removed sandbox is kept this long for watchers that looked away, then nothing is left of it. */
const removalTraceMillis = 10 * 60_000

const StoredAttributes = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Json))
const readAttributes = reader("sandbox", StoredAttributes)
const readRow = reader("sandbox", SandboxRow)
const readId = reader("sandbox id", SandboxId)
const readChannel = reader("channel", ChannelId)
const encodeRow = Schema.encodeSync(SandboxRow)

type Attributes = Readonly<Record<string, unknown>>

/** The stored attributes with the changes; what this version does not know stays. */
const applied = (stored: Attributes, row: SandboxRow, changes: Partial<SandboxRow>): Attributes => {
  const changed = changedAttributes(row, changes)
  const encoded: Record<string, unknown> = encodeRow(changed.row)
  const attributes: Record<string, unknown> = { ...stored }
  for (const name of changed.set) attributes[name] = encoded[name]
  for (const name of changed.unset) delete attributes[name]
  return attributes
}

const withInventory = (stored: Attributes, inventory: ReadonlyArray<InventoryItem>): Attributes => ({
  ...stored,
  inventory
})

/** Texts of rows that are kept decoded: a channel's is asked for with each of its messages. */
const maxDecoded = 1_000

/** Decodes rows one by one, by their text: the same text is the same row, so nothing here can be out of date. */
const decoding = () => {
  const decoded = new Map<unknown, SandboxRow>()
  return (row: Row): SandboxRow => {
    const attributes = row["attributes"]
    const found = decoded.get(attributes)
    if (found !== undefined) return withAccepted(row, found)
    const fresh = readRow(readAttributes(attributes))
    if (decoded.size >= maxDecoded) decoded.clear()
    decoded.set(attributes, fresh)
    return withAccepted(row, fresh)
  }
}

/** With what the queue has accepted since the attributes were written. */
const withAccepted = (row: Row, decoded: SandboxRow): SandboxRow => {
  if (row["accepted_ts"] === "") return decoded
  const ts = row["accepted_ts"]
  if (!isMessageTs(ts)) throw new RowUnreadable("a stored message's ts cannot be understood")
  return isLater(ts, decoded.lastAcceptedTs ?? "") ? { ...decoded, lastAcceptedTs: ts } : decoded
}

/** Lists rows over and over, decoding only those that have changed: most of a list is what it was the time before. */
const remembering = () => {
  let last = new Map<unknown, SandboxRow>()
  return (rows: ReadonlyArray<Row>): ReadonlyArray<SandboxRow> => {
    const next = new Map<unknown, SandboxRow>()
    const list = rows.map((row) => {
      const attributes = row["attributes"]
      const decoded = last.get(attributes) ?? readRow(readAttributes(attributes))
      next.set(attributes, decoded)
      return withAccepted(row, decoded)
    })
    last = next
    return list
  }
}

/** Real milliseconds after which what was read counts no more, should the ring that says so be lost. */
const latelyMillis = 1_000
const maxChannels = 1_000

/** What was read of a channel that has sandboxes, until any row changes. */
const lately = (bell: Bell) => {
  const known = new Map<ChannelId, { readonly rows: ReadonlyArray<SandboxRow>; readonly at: number }>()
  let counted = bell.count()
  return {
    find: (channel: ChannelId): ReadonlyArray<SandboxRow> | undefined => {
      if (bell.count() !== counted) {
        counted = bell.count()
        known.clear()
      }
      const found = known.get(channel)
      return found !== undefined && performance.now() - found.at < latelyMillis ? found.rows : undefined
    },
    /** `count` is the bell's from before the look. */
    keep: (channel: ChannelId, rows: ReadonlyArray<SandboxRow>, count: number): void => {
      if (rows.length === 0 || count !== counted) return
      if (known.size >= maxChannels) known.clear()
      known.set(channel, { rows, at: performance.now() })
    }
  }
}

const noteChange = (tables: Statements, id: SandboxId, now: number, gone = false): void => {
  tables.run("DELETE FROM sandbox_changes WHERE gone = 1 AND at <= ?", now - removalTraceMillis)
  tables.run(
    `INSERT OR REPLACE INTO sandbox_changes (id, seq, at, gone)
     VALUES (?, (SELECT coalesce(max(seq), 0) + 1 FROM sandbox_changes), ?, ?)`,
    id,
    now,
    gone ? 1 : 0
  )
}

const make = Effect.gen(function*() {
  const sqlite = yield* Sqlite
  const doorbell = yield* Doorbell
  const known = remembering()
  const rowOf = decoding()
  const kept = lately(doorbell.topic(topic))
  const read = <A>(operation: string, look: (tables: Statements) => A) => sqlite.read("Sandboxes", operation, look)
  /** Rings whatever came of it: a ring too many costs one look. */
  const change = <A>(operation: string, act: (tables: Statements, now: number) => A) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Effect.tap(
        sqlite.write("Sandboxes", operation, (tables) => act(tables, now)),
        () => Effect.sync(() => doorbell.topic(topic).ring())
      ))

  const byChannel = (channel: ChannelId) =>
    read(
      "byChannel",
      (tables) =>
        tables.all("SELECT attributes, accepted_ts FROM sandboxes WHERE channel = ? ORDER BY id", channel).map(rowOf)
    )

  /** What `to` makes of the stored attributes, where the row is as expected. */
  const changeRow = (
    operation: string,
    id: SandboxId,
    whileRow: RowCondition,
    to: (stored: Attributes, row: SandboxRow) => Attributes
  ) =>
    change(operation, (tables, now) => {
      const found = tables.get("SELECT attributes, accepted_ts FROM sandboxes WHERE id = ?", id)
      if (found === undefined) return false
      const stored = readAttributes(found["attributes"])
      const row = readRow(stored)
      if (!holds(row, whileRow)) return false
      const attributes = to(stored, row)
      tables.run(
        "UPDATE sandboxes SET channel = ?, attributes = ? WHERE id = ?",
        typeof attributes["channel"] === "string" ? attributes["channel"] : null,
        JSON.stringify(attributes),
        id
      )
      noteChange(tables, id, now)
      return true
    })

  return Sandboxes.of({
    insert: Effect.fn("Sandboxes.insert")(function*(row) {
      const conflict = yield* change("insert", (tables, now) => {
        if (tables.get("SELECT 1 FROM sandboxes WHERE id = ?", row.id) !== undefined) {
          return new SandboxConflict({ what: "id", value: row.id })
        }
        const { alias } = row
        if (alias !== undefined && tables.get("SELECT 1 FROM sandboxes WHERE alias = ?", alias) !== undefined) {
          return new SandboxConflict({ what: "alias", value: alias })
        }
        tables.run(
          "INSERT INTO sandboxes (id, alias, channel, created_at, attributes) VALUES (?, ?, ?, ?, ?)",
          row.id,
          alias ?? null,
          row.channel ?? null,
          row.createdAt,
          JSON.stringify({ ...row, ...encodeRow(row) })
        )
        noteChange(tables, row.id, now)
        return undefined
      })
      if (conflict !== undefined) return yield* conflict
    }),
    get: (id) =>
      read("get", (tables) => {
        const row = tables.get("SELECT attributes, accepted_ts FROM sandboxes WHERE id = ?", id)
        return row === undefined ? Option.none() : Option.some(rowOf(row))
      }),
    update: (id, changes, whileRow = {}) =>
      changeRow("update", id, whileRow, (stored, row) => applied(stored, row, changes)),
    addItem: (id, item, whileRow = {}, changes = {}) =>
      changeRow(
        "addItem",
        id,
        whileRow,
        (stored, row) => withInventory(applied(stored, row, changes), withItem(row.inventory, item))
      ),
    removeItem: (id, item) =>
      Effect.asVoid(
        changeRow("removeItem", id, {}, (stored, row) =>
          withInventory(
            stored,
            row.inventory.filter((other) => !isSameItem(other, item))
          ))
      ),
    remove: (id) =>
      Effect.asVoid(change("remove", (tables, now) => {
        if (tables.run("DELETE FROM sandboxes WHERE id = ?", id) > 0) noteChange(tables, id, now, true)
      })),
    byChannel,
    byChannelLately: (channel) =>
      Effect.suspend(() => {
        const recent = kept.find(channel)
        if (recent !== undefined) return Effect.succeed(recent)
        const count = doorbell.topic(topic).count()
        return Effect.map(byChannel(channel), (rows) => {
          kept.keep(channel, rows, count)
          return rows
        })
      }),
    named: (text) =>
      read("named", (tables) => {
        const row = tables.get("SELECT attributes, accepted_ts FROM sandboxes WHERE id = ?", text) ??
          tables.get("SELECT attributes, accepted_ts FROM sandboxes WHERE alias = ?", text)
        return row === undefined ? Option.none() : Option.some(rowOf(row))
      }),
    youngerThan: (since) =>
      read(
        "youngerThan",
        (tables) =>
          // The plus keeps SQLite from going through all rows in the order that is asked for.
          tables.all("SELECT attributes, accepted_ts FROM sandboxes WHERE created_at >= ? ORDER BY +id", since).map(
            rowOf
          )
      ),
    list: read("list", (tables) => known(tables.all("SELECT attributes, accepted_ts FROM sandboxes ORDER BY id"))),
    watch: (id) =>
      Stream.suspend(() => {
        const bell = doorbell.topic(topic)
        let last = -1
        const next = whenRung(bell, Infinity, () =>
          read("watch", (tables) => {
            const trace = tables.get("SELECT seq FROM sandbox_changes WHERE id = ?", id)
            const row = tables.get("SELECT attributes, accepted_ts FROM sandboxes WHERE id = ?", id)
            const seq = trace === undefined ? 0 : integer(trace, "seq")
            const enough = seq !== last
            last = seq
            return {
              found: row === undefined ? Option.none<SandboxRow>() : Option.some(rowOf(row)),
              enough,
              nextAt: Infinity
            }
          }))
        return Stream.fromEffectRepeat(next)
      }),
    lagMillis: Duration.toMillis(lookAgainEvery),
    changes: Stream.suspend(() => {
      const bell = doorbell.topic(topic)
      let last = 0
      const next = whenRung(bell, Infinity, () =>
        read("changes", (tables) => {
          const rows = tables.all("SELECT id, seq FROM sandbox_changes WHERE seq > ? ORDER BY seq", last)
          for (const row of rows) last = Math.max(last, integer(row, "seq"))
          return { found: rows.map((row) => readId(row["id"])), enough: rows.length > 0, nextAt: Infinity }
        }))
      return Stream.fromIterableEffectRepeat(next)
    }),
    channelOfAlias: (alias) =>
      read("channelOfAlias", (tables) => {
        const row = tables.get("SELECT channel FROM alias_channels WHERE alias = ?", alias)
        return row === undefined ? Option.none() : Option.some(readChannel(row["channel"]))
      }),
    rememberChannel: (alias, channel) =>
      Effect.asVoid(
        sqlite.write("Sandboxes", "rememberChannel", (tables) =>
          tables.run("INSERT OR REPLACE INTO alias_channels (alias, channel) VALUES (?, ?)", alias, channel))
      )
  })
})

export const layer: Layer.Layer<Sandboxes, never, Sqlite | Doorbell> = Layer.effect(Sandboxes, make)
