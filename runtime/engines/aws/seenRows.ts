/** Which gestures have become turns: rows beside the bridge's nonces, which end after 30 days. */
import type { TurnKey } from "../../domain/sandbox/Ids.ts"
import { seenRetentionMillis } from "../../ports/Seen.ts"
import type { Attributes } from "./attributes.ts"
import { absent, any, compare } from "./conditions.ts"
import type { Write } from "./Dynamo.ts"
import { ttlOf } from "./rows.ts"
import { noncesTable } from "./tables.ts"

export const seenKey = (key: string): Attributes => ({ nonce: `seen#${key}` })

/** The first turn of a key stays until it has ended. */
export const markSeen = (key: string, turn: TurnKey, now: number): Write => ({
  _tag: "Put",
  table: noncesTable,
  item: {
    ...seenKey(key),
    turn,
    expires_at: now + seenRetentionMillis,
    ttl_expiry: ttlOf(now + seenRetentionMillis)
  },
  when: any(absent("nonce"), compare("expires_at", "<=", now))
})

/** Whether the row still counts. */
export const isSeen = (row: Attributes | undefined, now: number): row is Attributes =>
  row !== undefined && typeof row["expires_at"] === "number" && row["expires_at"] > now
