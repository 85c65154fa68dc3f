/** What is read of a mailbox in order: what waits to be judged, and what is filed. */
import * as Effect from "effect/Effect"
import type { SenderId } from "../../domain/sandbox/Ids.ts"
import type { FiledMail, Mailbox, MailFolder } from "../../ports/Mail.ts"
import type { Purpose } from "./Aws.ts"
import { between, is, startsWith } from "./conditions.ts"
import type { Dynamo, Query } from "./Dynamo.ts"
import {
  boxKey,
  filedKey,
  filedPrefix,
  newPrefix,
  pointerPrefix,
  readBox,
  readFiled,
  readNew,
  seqOf,
  seqRange
} from "./mailRows.ts"
import { stateTable } from "./tables.ts"

/** Rows that one request looks at where it leaves some out. */
const filteredRows = 100

type Filed = Effect.Success<ReturnType<typeof readFiled>>

export const filedOf = (folder: MailFolder, row: Filed): FiledMail => ({
  seq: seqOf(row.item),
  id: row.mail_id,
  folder,
  receivedAt: row.received_at,
  size: row.size,
  contentSize: row.content_size,
  read: !row.unread,
  summary: row.summary
})

export const boxOf = Effect.fnUntraced(function*(dynamo: Dynamo["Service"], purpose: Purpose, owner: SenderId) {
  const item = yield* dynamo.get(purpose, stateTable, boxKey(owner))
  return item === undefined ? undefined : yield* readBox(purpose, item)
})

/** What is not filed yet, oldest first. */
export const arrivedMail = Effect.fnUntraced(function*(
  dynamo: Dynamo["Service"],
  purpose: Purpose,
  owner: SenderId,
  limit?: number
) {
  const items = yield* dynamo.query(purpose, {
    table: stateTable,
    key: [is("sandbox_id", owner), startsWith("item", newPrefix)],
    consistent: true,
    ...(limit === undefined ? {} : { limit })
  })
  return yield* Effect.forEach(items, (item) => readNew(purpose, item))
})

export const listMail = (dynamo: Dynamo["Service"]): Mailbox["Service"]["list"] => {
  /** Everything below this number that will ever be filed is filed. */
  const settledBelow = Effect.fnUntraced(function*(purpose: Purpose, owner: SenderId) {
    // The count first: what comes after it is above it.
    const box = yield* boxOf(dynamo, purpose, owner)
    const [oldest] = yield* arrivedMail(dynamo, purpose, owner, 1)
    return Math.min(oldest === undefined ? Infinity : seqOf(oldest.item), (box?.seq ?? 0) + 1)
  })

  return Effect.fnUntraced(function*(
    owner: SenderId,
    folder: MailFolder,
    wanted: Parameters<Mailbox["Service"]["list"]>[2]
  ) {
    const purpose: Purpose = { port: "Mailbox", operation: "list" }
    const { after, before = Number.MAX_SAFE_INTEGER, keys = {}, limit, settledOnly = false, unreadOnly = false } =
      wanted
    const bound = settledOnly ? yield* settledBelow(purpose, owner) : Infinity
    const low = (after ?? -1) + 1
    const high = Math.min(before, bound) - 1
    if (high < low) return []
    const within = (prefix: string, more: Partial<Query>) =>
      dynamo.query(purpose, {
        table: stateTable,
        key: [is("sandbox_id", owner), between("item", ...seqRange(prefix, low, high))],
        consistent: true,
        newestFirst: after === undefined,
        ...more
      })
    const named = keys.messageId ?? keys.inReplyTo
    if (named === undefined) {
      const items = yield* within(
        filedPrefix(folder),
        unreadOnly ? { filter: is("unread", true), limit: Math.max(limit, filteredRows) } : { limit }
      )
      const rows = yield* Effect.forEach(items.slice(0, limit), (item) => readFiled(purpose, item))
      return rows.map((row) => filedOf(folder, row))
    }
    const pointers = yield* within(pointerPrefix(keys.messageId === undefined ? "reply" : "id", named), {
      filter: is("folder", folder)
    })
    const items = yield* dynamo.getAll(
      purpose,
      stateTable,
      pointers.map(({ item }) => filedKey(owner, folder, seqOf(String(item))))
    )
    const rows = yield* Effect.forEach(items, (item) => readFiled(purpose, item))
    return rows
      .filter(({ in_reply_to, unread }) =>
        (keys.inReplyTo === undefined || in_reply_to === keys.inReplyTo) && (unread || !unreadOnly)
      )
      .map((row) => filedOf(folder, row))
      .toSorted((a, b) => after === undefined ? b.seq - a.seq : a.seq - b.seq)
      .slice(0, limit)
  })
}
