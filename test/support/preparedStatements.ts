/** Every statement that this process prepares from the moment of this import on. Imported before anything that opens a file. */
import { DatabaseSync } from "node:sqlite"

/** Texts, each once. */
export const preparedStatements = new Set<string>()

const prepare = Reflect.get(DatabaseSync.prototype, "prepare")
Reflect.set(DatabaseSync.prototype, "prepare", function(this: DatabaseSync, sql: string) {
  preparedStatements.add(sql)
  return Reflect.apply(prepare, this, [sql])
})
