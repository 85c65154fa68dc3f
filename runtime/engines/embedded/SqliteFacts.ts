/** What is remembered of sandboxes, a row per fact. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { optionalText, reader, text } from "../../adapters/disk/columns.ts"
import { Sqlite, type Statements } from "../../adapters/disk/Sqlite.ts"
import { SenderId } from "../../domain/sandbox/Ids.ts"
import { checkFact, Facts } from "../../ports/Facts.ts"

const readId = reader("sandbox id", SenderId)

const valueOf = (tables: Statements, sandbox: SenderId, key: string): string | undefined => {
  const row = tables.get("SELECT value FROM sandbox_facts WHERE sandbox = ? AND key = ?", sandbox, key)
  return row === undefined ? undefined : optionalText(row, "value")
}

/** Behind every key that begins so: nothing sorts behind the last code point. */
const endOf = (prefix: string): string => `${prefix}\u{10ffff}`

const make = Effect.gen(function*() {
  const sqlite = yield* Sqlite
  return Facts.of({
    get: (sandbox, key) => sqlite.read("Facts", "get", (tables) => Option.fromNullishOr(valueOf(tables, sandbox, key))),
    put: Effect.fnUntraced(function*(sandbox, key, value, only) {
      yield* checkFact(key, value)
      return yield* sqlite.write("Facts", "put", (tables) => {
        if (only !== undefined && valueOf(tables, sandbox, key) !== only.was) return false
        tables.run(
          "INSERT OR REPLACE INTO sandbox_facts (sandbox, key, value) VALUES (?, ?, ?)",
          sandbox,
          key,
          value
        )
        return true
      })
    }),
    list: (prefix, sandbox) =>
      sqlite.read("Facts", "list", (tables) =>
        (sandbox === undefined
          ? tables.all(
            "SELECT sandbox, key, value FROM sandbox_facts WHERE key >= ? AND key < ? ORDER BY sandbox, key",
            prefix,
            endOf(prefix)
          )
          : tables.all(
            "SELECT sandbox, key, value FROM sandbox_facts WHERE sandbox = ? AND key >= ? AND key < ? ORDER BY key",
            sandbox,
            prefix,
            endOf(prefix)
          )).map((row) => ({ sandbox: readId(row["sandbox"]), key: text(row, "key"), value: text(row, "value") }))),
    remove: (sandbox, key) =>
      Effect.asVoid(
        sqlite.write("Facts", "remove", (tables) =>
          tables.run("DELETE FROM sandbox_facts WHERE sandbox = ? AND key = ?", sandbox, key))
      )
  })
})

export const layer: Layer.Layer<Facts, never, Sqlite> = Layer.effect(Facts, make)
