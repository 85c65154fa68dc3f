/** Requests to the bridge that are not acknowledged yet, beside the ledger on the sandbox's own disk. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { RequestId } from "../../domain/sandbox/Ids.ts"
import { Outbox } from "../../ports/Outbox.ts"
import { integer, reader, text } from "./columns.ts"
import { Sqlite } from "./Sqlite.ts"

const readId = reader("request id", RequestId)

const make = Effect.gen(function*() {
  const sqlite = yield* Sqlite
  return Outbox.of({
    put: ({ attempts, body, createdAt, id }) =>
      Effect.asVoid(sqlite.write("Outbox", "put", (tables) =>
        tables.run(
          "INSERT OR IGNORE INTO outbox (id, body, created_at, attempts) VALUES (?, ?, ?, ?)",
          id,
          body,
          createdAt,
          attempts
        ))),
    tried: (id) =>
      Effect.asVoid(
        sqlite.write("Outbox", "tried", (tables) =>
          tables.run("UPDATE outbox SET attempts = attempts + 1 WHERE id = ?", id))
      ),
    remove: (id) =>
      Effect.asVoid(sqlite.write("Outbox", "remove", (tables) => tables.run("DELETE FROM outbox WHERE id = ?", id))),
    pending: sqlite.read(
      "Outbox",
      "pending",
      (tables) =>
        tables.all("SELECT * FROM outbox ORDER BY created_at, seq").map((row) => ({
          id: readId(row["id"]),
          body: text(row, "body"),
          createdAt: integer(row, "created_at"),
          attempts: integer(row, "attempts")
        }))
    )
  })
})

export const layer: Layer.Layer<Outbox, never, Sqlite> = Layer.effect(Outbox, make)
