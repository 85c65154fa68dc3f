/** What the mailboxes and the relay's spool do to the same table. */
import type { SenderId } from "../../domain/Ids.ts"
import type { Statements } from "./Sqlite.ts"

/** Above this a message is a file of its own, and its row has no bytes. */
export const inlineBytes = 64 * 1024

/** Rung for each arrival. */
export const mailTopic = (owner: SenderId): string => `mail-${owner}`

/** One arrival; the same id again changes nothing. */
export const putArrival = (tables: Statements, owner: SenderId, id: string, raw: Uint8Array, now: number): void => {
  tables.run(
    "INSERT OR IGNORE INTO mail (owner, id, state, received_at, size, raw) VALUES (?, ?, 'arrived', ?, ?, ?)",
    owner,
    id,
    now,
    raw.length,
    raw.length > inlineBytes ? null : raw
  )
}
