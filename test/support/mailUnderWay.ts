/** Mail that a test holds back and delivers when it wants, straight into the engine's table. */
import { Effect } from "effect"
import type { DatabaseSync } from "node:sqlite"
import type { SandboxId } from "../../runtime/domain/sandbox/Ids.ts"

export const mailUnderWay = (database: DatabaseSync, owner: SandboxId) => ({
  /** The newest message that was delivered, as it travelled; a delivery that is still under way is waited for. */
  newest: Effect.gen(function*() {
    for (;;) {
      const row = database.prepare("SELECT raw FROM mail WHERE owner = ? ORDER BY seq DESC LIMIT 1").get(owner)
      if (row?.["raw"] instanceof Uint8Array) return row["raw"]
      yield* Effect.sleep("50 millis")
    }
  }).pipe(Effect.timeout("5 minutes"), Effect.orDie),
  /** As if it had been under way until now; `name` is the delivery's. What was seen before is forgotten. */
  arrives: (name: string, raw: Uint8Array): void => {
    database.prepare("DELETE FROM mail_seen WHERE owner = ?").run(owner)
    database.prepare(
      "INSERT INTO mail (owner, id, state, received_at, size, raw) VALUES (?, ?, 'arrived', ?, ?, ?)"
    ).run(owner, name, Date.now(), raw.length, raw)
  },
  /** `arrived` until the runtime has decided. */
  stateOf: (name: string): unknown =>
    database.prepare("SELECT state FROM mail WHERE owner = ? AND id = ?").get(owner, name)?.["state"],
  /** What the runtime decided about the delivery, as it keeps it. */
  judged: (name: string): Effect.Effect<string> =>
    Effect.gen(function*() {
      for (;;) {
        const row = database.prepare(
          "SELECT m.state, f.content FROM mail m LEFT JOIN mail_filed f ON f.seq = m.seq WHERE m.owner = ? AND m.id = ?"
        ).get(owner, name)
        if (row !== undefined && row["state"] !== "arrived") return String(row["content"])
        yield* Effect.sleep("50 millis")
      }
    }).pipe(Effect.timeout("5 minutes"), Effect.orDie)
})
