/** The relay's spool in tables. It is filled in the transaction that fills the mailboxes, so a message is sent whole or not. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as path from "node:path"
import { sha256Hex } from "../../domain/Digest.ts"
import { SenderId } from "../../domain/Ids.ts"
import type { Envelope } from "../../ports/Mail.ts"
import { MailSpool, type SpooledMail } from "../../ports/MailSpool.ts"
import { integer, text } from "./columns.ts"
import { Doorbell } from "./Doorbell.ts"
import { mailTopic, putArrival } from "./mailTables.ts"
import { fileEffect } from "./PrivateFiles.ts"
import { Sqlite, type Statements } from "./Sqlite.ts"

export const spoolTopic = "mail-out"

/** What was taken or given up stays known this long, so that the same envelope is not sent again. */
const keptMillis = 30 * 24 * 3_600_000

const isSender = Schema.is(SenderId)

/** The file of a large message, in its owner's directory, so that it goes with the owner. */
export const spoolFile = (directory: string, owner: SenderId, id: string): string =>
  path.join(directory, owner, `out-${sha256Hex(id)}`)

/** Part of the transaction that sends. False when this message has left already, so that its file is of no use. */
export const putSpool = (
  tables: Statements,
  id: string,
  { from, owner, to }: NonNullable<Envelope["outside"]>,
  raw: Uint8Array | null,
  now: number
): boolean => {
  const added = tables.run(
    "INSERT OR IGNORE INTO mail_out (owner, id, mail_from, created_at, raw) VALUES (?, ?, ?, ?, ?)",
    owner,
    id,
    from,
    now,
    raw
  )
  if (added === 0) {
    const known = tables.get("SELECT done_at FROM mail_out WHERE owner = ? AND id = ?", owner, id)
    return known?.["done_at"] === null
  }
  for (const address of new Set(to)) {
    tables.run("INSERT INTO mail_out_to (owner, id, address, next_at) VALUES (?, ?, ?, ?)", owner, id, address, now)
  }
  return true
}

/** Part of the transaction that removes an owner. */
export const removeSpool = (tables: Statements, owner: SenderId): void => {
  tables.run("DELETE FROM mail_out_to WHERE owner = ?", owner)
  tables.run("DELETE FROM mail_out WHERE owner = ?", owner)
}

export const sweepSpool = (tables: Statements, now: number): void => {
  tables.run(
    "DELETE FROM mail_out_to WHERE (owner, id) IN (SELECT owner, id FROM mail_out WHERE done_at <= ?)",
    now - keptMillis
  )
  tables.run("DELETE FROM mail_out WHERE done_at <= ?", now - keptMillis)
}

const make = Effect.fnUntraced(function*(directory: string) {
  const sqlite = yield* Sqlite
  const doorbell = yield* Doorbell

  return MailSpool.of({
    bell: doorbell.topic(spoolTopic),
    due: Effect.fnUntraced(function*(limit) {
      const now = yield* Clock.currentTimeMillis
      return yield* sqlite.read("MailSpool", "due", (tables) =>
        tables.all(
          "SELECT DISTINCT o.owner, o.id, o.mail_from, o.created_at FROM mail_out_to t "
            + "JOIN mail_out o ON o.owner = t.owner AND o.id = t.id "
            + "WHERE t.state = 'waiting' AND t.next_at <= ? ORDER BY o.created_at, o.id LIMIT ?",
          now,
          limit
        ).flatMap((row): ReadonlyArray<SpooledMail> => {
          const owner = text(row, "owner")
          const id = text(row, "id")
          if (!isSender(owner)) return []
          const recipients = tables.all(
            "SELECT address, attempts FROM mail_out_to "
              + "WHERE owner = ? AND id = ? AND state = 'waiting' AND next_at <= ? ORDER BY address",
            owner,
            id,
            now
          ).map((found) => ({ address: text(found, "address"), attempts: integer(found, "attempts") }))
          return [{ owner, id, from: text(row, "mail_from"), recipients, createdAt: integer(row, "created_at") }]
        }))
    }),
    raw: Effect.fnUntraced(function*({ id, owner }) {
      const row = yield* sqlite.read(
        "MailSpool",
        "raw",
        (tables) => tables.get("SELECT raw FROM mail_out WHERE owner = ? AND id = ? AND done_at IS NULL", owner, id)
      )
      if (row === undefined) return Option.none()
      const inline = row["raw"]
      return inline instanceof Uint8Array
        ? Option.some(inline)
        : Option.some(
          yield* fileEffect("MailSpool", "raw", () => new Uint8Array(fs.readFileSync(spoolFile(directory, owner, id))))
        )
    }),
    settle: Effect.fnUntraced(function*({ id, owner }, outcomes, notices) {
      const now = yield* Clock.currentTimeMillis
      const done = yield* sqlite.write("MailSpool", "settle", (tables) => {
        // Gone with its owner, who is told nothing any more.
        if (tables.get("SELECT 1 FROM mail_out WHERE owner = ? AND id = ?", owner, id) === undefined) return true
        for (const notice of notices) putArrival(tables, owner, notice.id, notice.raw, now)
        for (const { address, nextAt, reply, state } of outcomes) {
          tables.run(
            "UPDATE mail_out_to SET state = ?, attempts = attempts + 1, next_at = ?, reply = ? "
              + "WHERE owner = ? AND id = ? AND address = ? AND state = 'waiting'",
            state,
            nextAt,
            reply,
            owner,
            id,
            address
          )
        }
        const left = tables.get(
          "SELECT 1 FROM mail_out_to WHERE owner = ? AND id = ? AND state = 'waiting' LIMIT 1",
          owner,
          id
        )
        if (left !== undefined) return false
        tables.run("UPDATE mail_out SET raw = NULL, done_at = ? WHERE owner = ? AND id = ?", now, owner, id)
        return true
      })
      if (notices.length > 0) yield* Effect.sync(() => doorbell.topic(mailTopic(owner)).ring())
      if (done) {
        yield* fileEffect("MailSpool", "settle", () => fs.rmSync(spoolFile(directory, owner, id), { force: true }))
      }
    }),
    waiting: sqlite.read("MailSpool", "waiting", (tables) => {
      const row = tables.get(
        "SELECT count(*) AS n, min(o.created_at) AS since FROM mail_out_to t "
          + "JOIN mail_out o ON o.owner = t.owner AND o.id = t.id WHERE t.state = 'waiting'"
      )
      const recipients = row === undefined ? 0 : integer(row, "n")
      return { recipients, since: row === undefined || recipients === 0 ? undefined : integer(row, "since") }
    })
  })
})

/** `directory` is that of the mailboxes. */
export const layer = (directory: string): Layer.Layer<MailSpool, never, Sqlite | Doorbell> =>
  Layer.effect(MailSpool, make(directory))
