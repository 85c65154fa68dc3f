/** Columns read back as what they were written as; anything else is a damaged row, not a value to carry on with. */
import * as Schema from "effect/Schema"
import type { Row } from "./Sqlite.ts"
import { RowUnreadable } from "./SqliteErrors.ts"

export const text = (row: Row, name: string): string => {
  const value = row[name]
  if (typeof value === "string") return value
  throw new RowUnreadable(`column ${name} holds no text`)
}

export const optionalText = (row: Row, name: string): string | undefined =>
  row[name] === null ? undefined : text(row, name)

export const integer = (row: Row, name: string): number => {
  const value = row[name]
  if (typeof value === "number" && Number.isSafeInteger(value)) return value
  throw new RowUnreadable(`column ${name} holds no integer`)
}

/** Decodes what was stored; throws `RowUnreadable`, whose text names the place and never the value. */
export const reader = <A>(what: string, schema: Schema.Codec<A, unknown>): (value: unknown) => A => {
  const decode = Schema.decodeUnknownSync(schema)
  return (value) => {
    try {
      return decode(value)
    } catch {
      throw new RowUnreadable(`a stored ${what} cannot be understood`)
    }
  }
}
