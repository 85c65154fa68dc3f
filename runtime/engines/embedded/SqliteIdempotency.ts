/** First writer wins, decided inside one transaction of the writer. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { randomUUID } from "node:crypto"
import { integer, optionalText, text } from "../../adapters/disk/columns.ts"
import { Sqlite, type Statements } from "../../adapters/disk/Sqlite.ts"
import { beginIdempotent, Idempotency, type IdempotencyRecord } from "../../ports/Idempotency.ts"

const find = (tables: Statements, scope: string, key: string): IdempotencyRecord | undefined => {
  const row = tables.get("SELECT * FROM idempotency WHERE scope = ? AND key = ?", scope, key)
  if (row === undefined) return undefined
  const result = optionalText(row, "result")
  return {
    bodyHash: text(row, "body_hash"),
    token: text(row, "token"),
    startedAt: integer(row, "started_at"),
    leaseUntil: integer(row, "lease_until"),
    expiresAt: integer(row, "expires_at"),
    ...(result === undefined ? {} : { result })
  }
}

const make = Effect.gen(function*() {
  const sqlite = yield* Sqlite
  return Idempotency.of({
    begin: Effect.fn("Idempotency.begin")(function*(scope, key, bodyHash, leaseMillis) {
      const now = yield* Clock.currentTimeMillis
      return yield* sqlite.write("Idempotency", "begin", (tables) => {
        const token = randomUUID()
        const found = find(tables, scope, key)
        const { begin, record } = beginIdempotent(found, { bodyHash, token, now, leaseMillis })
        if (record !== undefined) {
          tables.run(
            `INSERT OR REPLACE INTO idempotency
               (scope, key, body_hash, token, started_at, lease_until, result, expires_at)
             VALUES (?, ?, ?, ?, ?, ?, NULL, ?)`,
            scope,
            key,
            record.bodyHash,
            record.token,
            record.startedAt,
            record.leaseUntil,
            record.expiresAt
          )
        }
        return begin
      })
    }),
    complete: Effect.fn("Idempotency.complete")(function*(scope, key, token, result, ttlMillis) {
      const now = yield* Clock.currentTimeMillis
      yield* sqlite.write("Idempotency", "complete", (tables) =>
        tables.run(
          `UPDATE idempotency SET result = ?, expires_at = ?
           WHERE scope = ? AND key = ? AND token = ? AND result IS NULL`,
          result,
          now + ttlMillis,
          scope,
          key,
          token
        ))
    }),
    release: Effect.fn("Idempotency.release")(function*(scope, key, token, restMillis) {
      const now = yield* Clock.currentTimeMillis
      yield* sqlite.write("Idempotency", "release", (tables) =>
        tables.run(
          `UPDATE idempotency SET lease_until = MIN(lease_until, ?)
           WHERE scope = ? AND key = ? AND token = ? AND result IS NULL`,
          now + restMillis,
          scope,
          key,
          token
        ))
    }),
    extend: Effect.fn("Idempotency.extend")(function*(scope, key, token, leaseMillis) {
      const now = yield* Clock.currentTimeMillis
      return yield* sqlite.write("Idempotency", "extend", (tables) =>
        tables.run(
          "UPDATE idempotency SET lease_until = ? WHERE scope = ? AND key = ? AND token = ? AND result IS NULL",
          now + leaseMillis,
          scope,
          key,
          token
        ) > 0)
    }),
    abandon: (scope, key, token) =>
      Effect.asVoid(sqlite.write("Idempotency", "abandon", (tables) =>
        tables.run(
          "DELETE FROM idempotency WHERE scope = ? AND key = ? AND token = ? AND result IS NULL",
          scope,
          key,
          token
        )))
  })
})

export const layer: Layer.Layer<Idempotency, never, Sqlite> = Layer.effect(Idempotency, make)
