/** Certified keys and signed revocations in tables; readers verify both, so the table is not trusted. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SenderId } from "../../domain/Ids.ts"
import { Identities, revocationConflict, tombstoneMillis } from "../../ports/Identities.ts"
import { text } from "./columns.ts"
import { Sqlite } from "./Sqlite.ts"

const decodeSubject = Schema.decodeUnknownOption(SenderId)

const make = Effect.gen(function*() {
  const sqlite = yield* Sqlite
  return Identities.of({
    put: Effect.fnUntraced(function*(subject, purpose, keyId, key) {
      const now = yield* Clock.currentTimeMillis
      yield* sqlite.write("Identities", "put", (tables) =>
        tables.run(
          `INSERT INTO identities (subject, purpose, key_id, certificate, signature, put_at)
           VALUES (?, ?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET certificate = excluded.certificate, signature = excluded.signature,
             retired_at = NULL`,
          subject,
          purpose,
          keyId,
          key.certificate,
          key.signature,
          now
        ))
    }),
    keys: Effect.fnUntraced(function*(subject, purpose) {
      const now = yield* Clock.currentTimeMillis
      return yield* sqlite.read("Identities", "keys", (tables) =>
        tables.all(
          `SELECT certificate, signature FROM identities
           WHERE subject = ? AND purpose = ? AND (retired_at IS NULL OR retired_at > ?) ORDER BY rowid`,
          subject,
          purpose,
          now - tombstoneMillis
        ).map((row) => ({ certificate: text(row, "certificate"), signature: text(row, "signature") })))
    }),
    subjects: Effect.flatMap(Clock.currentTimeMillis, (now) =>
      sqlite.read(
        "Identities",
        "subjects",
        (tables) =>
          tables.all(
            "SELECT DISTINCT subject FROM identities WHERE retired_at IS NULL OR retired_at > ?",
            now - tombstoneMillis
          ).flatMap((row) => Option.toArray(decodeSubject(text(row, "subject"))))
      )),
    revoke: Effect.fnUntraced(function*(number, { revocation, signature }) {
      const other = yield* sqlite.write("Identities", "revoke", (tables) => {
        tables.run(
          "INSERT OR IGNORE INTO revocations (number, revocation, signature) VALUES (?, ?, ?)",
          number,
          revocation,
          signature
        )
        return tables.get("SELECT 1 FROM revocations WHERE number = ? AND revocation <> ?", number, revocation)
      })
      if (other !== undefined) return yield* revocationConflict(number)
    }),
    revocations: sqlite.read(
      "Identities",
      "revocations",
      (tables) =>
        tables.all("SELECT revocation, signature FROM revocations ORDER BY number").map((row) => ({
          revocation: text(row, "revocation"),
          signature: text(row, "signature")
        }))
    ),
    retire: Effect.fnUntraced(function*(subject) {
      const now = yield* Clock.currentTimeMillis
      yield* sqlite.write("Identities", "retire", (tables) => {
        tables.run("UPDATE identities SET retired_at = ? WHERE subject = ? AND retired_at IS NULL", now, subject)
        // Whoever goes takes the tombstones along that are over; until then a reader passes over them.
        tables.run("DELETE FROM identities WHERE retired_at <= ?", now - tombstoneMillis)
      })
    })
  })
})

export const layer: Layer.Layer<Identities, never, Sqlite> = Layer.effect(Identities, make)
