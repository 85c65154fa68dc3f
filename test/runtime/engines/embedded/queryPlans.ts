/** What SQLite says it will do for a statement, and which statements the sources hold. */
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import { engineMigrations, sandboxMigrations } from "../../../../runtime/adapters/disk/EngineSchema.ts"

const runtime = fileURLToPath(new URL("../../../../runtime/", import.meta.url))

/** The whole table is read or written, and why that is right. Statements by a part of their text. */
const mayScan: ReadonlyArray<readonly [statement: string, why: string]> = [
  ["FROM pragma_data_version", "one row each"],
  ["SELECT id AS queue, held, 0 AS flying", "asks for all queues; of messages it reads what is in flight"],
  ["FROM turns WHERE state <> 'settled' ORDER BY received_at, seq", "an index of what is open alone"],
  ["FROM turns ORDER BY received_at DESC, seq DESC LIMIT ?", "from the end of an index, as many as are asked for"],
  ["SELECT * FROM outbox ORDER BY created_at, seq", "asks for all; what is acknowledged is gone"],
  [
    "SELECT subject, purpose, key_id, certificate, signature FROM identities",
    "the directory is one value, read every 30 s"
  ],
  [
    "SELECT revocation, signature FROM revocations ORDER BY number",
    "a part of the directory; nothing of it is ever removed"
  ],
  ["SELECT seq, id, size, attempts, created_at, outside_owner FROM mail_outbox", "in order; what is delivered is gone"],
  ["SELECT count(*) AS n, min(created_at) AS since FROM mail_outbox", "for a person; what is delivered is gone"],
  ["SELECT count(*) AS n, min(o.created_at) AS since FROM mail_out_to t", "for a person; an index of what waits alone"],
  ["json_each(?)", "what is asked for is a list"],
  ["SELECT row FROM schedules ORDER BY name", "asks for all"],
  [
    "SELECT schedule, instant FROM schedule_requests ORDER BY instant LIMIT ?",
    "what a person asked for and nobody began"
  ],
  ["SELECT row FROM schedule_runs WHERE open = 1 ORDER BY seq", "an index of what is open alone"],
  ["SELECT attributes, accepted_ts FROM sandboxes ORDER BY id", "asks for all: for the control plane and for people"]
]

const flat = (text: string): string => text.replace(/\s+/g, " ").trim()

/** The lines of the plan that go through a whole table or index. */
export const scansOf = (statements: Iterable<string>): ReadonlyArray<string> => {
  const engine = new DatabaseSync(":memory:")
  for (const migration of engineMigrations) engine.exec(migration)
  const sandbox = new DatabaseSync(":memory:")
  for (const migration of sandboxMigrations) sandbox.exec(migration)
  const planOf = (sql: string) => {
    for (const database of [engine, sandbox]) {
      try {
        return database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all().map((row) => String(row["detail"]))
      } catch {
        // A statement of the other file.
      }
    }
    return ["is no statement of either file"]
  }
  const found: Array<string> = []
  for (const sql of statements) {
    if (!/^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b/.test(sql)) continue
    const text = flat(sql)
    if (mayScan.some(([part]) => text.includes(part))) continue
    for (const line of planOf(sql)) {
      if (/^SCAN (?!CONSTANT|\(|\d+-ROW VALUES)|^is no/.test(line)) found.push(`${line}: ${text}`)
    }
  }
  return found
}

/** Statements of the sources that none of `prepared` is. What stands for `${…}` may be anything. */
export const notPrepared = (prepared: Iterable<string>): ReadonlyArray<string> => {
  const texts = Array.from(prepared, flat)
  const folders = ["engines/embedded", "adapters/disk"]
  return folders.flatMap((folder) =>
    readdirSync(path.join(runtime, folder)).filter((file) => file.endsWith(".ts") && file !== "EngineSchema.ts")
      .flatMap((file) => {
        // Texts that are put together of two are one.
        const source = readFileSync(path.join(runtime, folder, file), "utf8")
          .replace(/"((?:SELECT|INSERT|UPDATE|DELETE) [^"\n]*)"\s*\+\s*`/g, "`$1 ")
          .replace(/(["`])\s*\+\s*\1/g, " ")
        const literals = source.matchAll(/(["`])\s*((?:SELECT|INSERT|UPDATE|DELETE)\s(?:(?!\1)[^])*)\1/g)
        return Array.from(literals, ([, , sql = ""]) => sql).flatMap((sql) => {
          const pattern = flat(sql).split(/\$\{[^}]*\}/)
            .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)).join("[^]*")
          return texts.some((text) => new RegExp(`^${pattern}`).test(text)) ? [] : [sql]
        })
      })
  )
}
