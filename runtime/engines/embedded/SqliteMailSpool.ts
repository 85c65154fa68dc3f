/** The relay's spool in tables. The courier fills it in the transaction that fills the mailboxes. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { integer, text } from "../../adapters/disk/columns.ts"
import { Doorbell } from "../../adapters/disk/Doorbell.ts"
import type { EngineRefused } from "../../adapters/disk/EngineErrors.ts"
import { engineMigrations } from "../../adapters/disk/EngineSchema.ts"
import { ownMemory } from "../../adapters/disk/ownMemory.ts"
import { Sqlite } from "../../adapters/disk/Sqlite.ts"
import { openStateDirectory } from "../../adapters/disk/StateDirectory.ts"
import { SenderId } from "../../domain/sandbox/Ids.ts"
import { whenRung } from "../../ports/Bell.ts"
import { maxMailWaitMillis } from "../../ports/Mail.ts"
import { MailSpool, type SpooledMail } from "../../ports/MailSpool.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import { contentOf, mailTopic, putArrival, removeFiles, spoolFile, spoolTopic } from "../embedded/mailTables.ts"
import { sharedTables } from "./sharedTables.ts"

const isSender = Schema.is(SenderId)

const make = Effect.fnUntraced(function*(directory: string) {
  const sqlite = yield* Sqlite
  const doorbell = yield* Doorbell

  const dueNow = (limit: number, now: number) =>
    sqlite.read("MailSpool", "due", (tables) =>
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

  /** Unix milliseconds when the next attempt is due. */
  const soonest = sqlite.read("MailSpool", "due", (tables) => {
    const row = tables.get("SELECT min(next_at) AS at FROM mail_out_to WHERE state = 'waiting'")
    return row === undefined || row["at"] === null ? Number.POSITIVE_INFINITY : integer(row, "at")
  })

  return MailSpool.of({
    due: Effect.fnUntraced(function*(limit, wait) {
      const bell = doorbell.topic(spoolTopic)
      const until = (yield* Clock.currentTimeMillis) + Math.min(Duration.toMillis(wait), maxMailWaitMillis)
      return yield* whenRung(bell, until, (now) =>
        Effect.gen(function*() {
          const found = yield* dueNow(limit, now)
          const enough = found.length > 0
          return { found, enough, nextAt: enough ? now : Math.max(yield* soonest, now + 1) }
        }))
    }),
    raw: ({ id, owner }) =>
      sqlite.read("MailSpool", "raw", (tables) => {
        const row = tables.get(
          "SELECT raw FROM mail_out WHERE owner = ? AND id = ? AND done_at IS NULL",
          owner,
          id
        )
        return row === undefined
          ? Option.none()
          : Option.some(contentOf(row["raw"], "raw", spoolFile(directory, owner, id), "MailSpool"))
      }),
    settle: Effect.fnUntraced(function*({ id, owner }, outcomes, notices) {
      const now = yield* Clock.currentTimeMillis
      const done = yield* sqlite.write("MailSpool", "settle", (tables) => {
        // Gone with its owner, who is told nothing any more.
        if (tables.get("SELECT 1 FROM mail_out WHERE owner = ? AND id = ?", owner, id) === undefined) return true
        for (const notice of notices) putArrival(tables, owner, notice.id, notice.raw, notice.raw.length, now)
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
      if (done) yield* removeFiles("MailSpool", "settle", [spoolFile(directory, owner, id)])
    })
  })
})

/** Opens the state directory for the relay's client alone, which needs nothing else of the engine. */
export const layer = (stateDirectory: string): Layer.Layer<MailSpool, StoreError | EngineRefused> =>
  ownMemory(
    Layer.unwrap(Effect.map(openStateDirectory(stateDirectory), (paths) =>
      Layer.effect(MailSpool, make(paths.mail)).pipe(
        Layer.provide(sharedTables(paths.bells, { file: paths.database, migrations: engineMigrations }))
      )))
  )
