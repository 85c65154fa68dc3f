/** Certified keys and signed revocations in tables; readers verify both, so the table is not trusted. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { text } from "../../adapters/disk/columns.ts"
import { type Row, Sqlite } from "../../adapters/disk/Sqlite.ts"
import { KeyPurpose } from "../../domain/identity/Certificate.ts"
import { KeyId, SenderId } from "../../domain/sandbox/Ids.ts"
import { type DirectoryKey, makeDirectoryCopy } from "../../ports/Directory.ts"
import { Identities, revocationConflict, tombstoneMillis } from "../../ports/Identities.ts"

/** A damaged row says nothing to anybody, and must not take the keys of the others along. */
const decodeColumns = Schema.decodeUnknownOption(Schema.Struct({
  subject: SenderId,
  purpose: KeyPurpose,
  key_id: KeyId,
  certificate: Schema.String,
  signature: Schema.String
}))
const decodeRow = (row: Row): Option.Option<DirectoryKey> =>
  Option.map(
    decodeColumns(row),
    ({ certificate, key_id: keyId, purpose, signature, subject }) => ({
      subject,
      purpose,
      keyId,
      key: { certificate, signature }
    })
  )

const make = Effect.gen(function*() {
  const sqlite = yield* Sqlite
  const { directory, directoryNow, writing } = makeDirectoryCopy(
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      sqlite.read("Identities", "directory", (tables) => {
        const keys = tables.all(
          `SELECT subject, purpose, key_id, certificate, signature FROM identities
           WHERE retired_at IS NULL OR retired_at > ? ORDER BY rowid`,
          now - tombstoneMillis
        ).flatMap((row) => Option.toArray(decodeRow(row)))
        // Read after the keys: another process may revoke between the two statements, and its word must not be missed.
        const revocations = tables.all("SELECT revocation, signature FROM revocations ORDER BY number").map((row) => ({
          revocation: text(row, "revocation"),
          signature: text(row, "signature")
        }))
        return { keys, revocations }
      }))
  )
  return Identities.of({
    directory,
    directoryNow,
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
    }, writing),
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
    }, writing),
    retire: Effect.fnUntraced(function*(subject) {
      const now = yield* Clock.currentTimeMillis
      yield* sqlite.write("Identities", "retire", (tables) => {
        tables.run("UPDATE identities SET retired_at = ? WHERE subject = ? AND retired_at IS NULL", now, subject)
        // Whoever goes takes the tombstones along that are over; until then a reader passes over them.
        tables.run("DELETE FROM identities WHERE retired_at IS NOT NULL AND retired_at <= ?", now - tombstoneMillis)
      })
    }, writing)
  })
})

export const layer: Layer.Layer<Identities, never, Sqlite> = Layer.effect(Identities, make)
