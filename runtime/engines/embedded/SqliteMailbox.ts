/** Mailboxes in tables; large messages are files beside the database, so that its log and its pages stay small. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { integer, text } from "../../adapters/disk/columns.ts"
import { Doorbell } from "../../adapters/disk/Doorbell.ts"
import { promisedFile } from "../../adapters/disk/PrivateFiles.ts"
import { type Row, Sqlite, type Statements } from "../../adapters/disk/Sqlite.ts"
import { RowUnreadable } from "../../adapters/disk/SqliteErrors.ts"
import type { SenderId } from "../../domain/sandbox/Ids.ts"
import { whenRung } from "../../ports/Bell.ts"
import { type FiledMail, Mailbox, type MailFolder, maxMailWaitMillis, maxSummaryBytes } from "../../ports/Mail.ts"
import { StoreError } from "../../ports/StoreError.ts"
import {
  contentFile,
  contentOf,
  inlineBytes,
  mailTopic,
  putNote,
  raiseRevision,
  rawFile,
  removeFiles,
  removeSpool,
  writeLarge
} from "./mailTables.ts"
import { removeOutgoing } from "./SqliteMailOutbox.ts"

const folderOf = (row: Row): MailFolder => {
  const state = text(row, "state")
  if (state === "inbox" || state === "quarantine") return state
  throw new RowUnreadable("column state names no folder")
}

const filedOf = (row: Row): FiledMail => ({
  seq: integer(row, "seq"),
  id: text(row, "id"),
  folder: folderOf(row),
  receivedAt: integer(row, "received_at"),
  size: integer(row, "size"),
  contentSize: integer(row, "content_size"),
  read: integer(row, "unread") === 0,
  summary: text(row, "summary")
})

/** Of a page that is sorted by the mailbox alone; what an earlier version filed has its content in its own row. */
const filedColumns = "m.seq, m.id, m.state, m.received_at, m.size, m.unread, coalesce(f.summary, '') AS summary, "
  + "coalesce(f.content_size, octet_length(m.content)) AS content_size"
const filedTables = "mail m LEFT JOIN mail_filed f ON f.seq = m.seq"

const tooLong = (bytes: number): StoreError =>
  new StoreError({
    port: "Mailbox",
    operation: "file",
    reason: "TooLarge",
    detail: `a summary of ${bytes} bytes; at most ${maxSummaryBytes}`,
    cause: undefined
  })

const takeOldest = (tables: Statements, owner: SenderId, now: number, visibleAt: number) => {
  const found = tables.get(
    "SELECT seq, id, received_at, size FROM mail WHERE owner = ? AND state = 'arrived' AND visible_at <= ? "
      + "ORDER BY seq LIMIT 1",
    owner,
    now
  )
  if (found === undefined) return undefined
  const receipt = randomUUID()
  tables.run("UPDATE mail SET receipt = ?, visible_at = ? WHERE seq = ?", receipt, visibleAt, integer(found, "seq"))
  return { id: text(found, "id"), receipt, size: integer(found, "size"), receivedAt: integer(found, "received_at") }
}

const make = Effect.fnUntraced(function*(directory: string) {
  const sqlite = yield* Sqlite
  const doorbell = yield* Doorbell
  const bell = (owner: SenderId) => doorbell.topic(mailTopic(owner))
  const ring = (owner: SenderId) => Effect.sync(() => bell(owner).ring())

  /** Looks until there is something or the time is over: at a ring, and when `soonest` says so. */
  const waiting = Effect.fnUntraced(function*<A, E>(
    owner: SenderId,
    wait: Duration.Duration,
    look: (now: number) => Effect.Effect<A, E>,
    enough: (found: A) => boolean,
    soonest: (found: A) => number
  ) {
    const until = (yield* Clock.currentTimeMillis) + Math.min(Duration.toMillis(wait), maxMailWaitMillis)
    return yield* whenRung(bell(owner), until, (now) =>
      Effect.map(look(now), (found) => ({
        found,
        enough: enough(found),
        nextAt: Math.max(now + 1, soonest(found))
      })))
  })

  const revision = (owner: SenderId) =>
    sqlite.read("Mailbox", "revision", (tables) => {
      const row = tables.get("SELECT revision FROM mail_revisions WHERE owner = ?", owner)
      return row === undefined ? 0 : integer(row, "revision")
    })

  return Mailbox.of({
    lease: Effect.fnUntraced(function*(owner, visibility, wait = Duration.zero) {
      const looked = yield* waiting(
        owner,
        wait,
        Effect.fnUntraced(function*(now) {
          // The writer is asked only when there is something.
          const next = yield* sqlite.read("Mailbox", "lease", (tables) => {
            const row = tables.get(
              "SELECT min(visible_at) AS at FROM mail WHERE owner = ? AND state = 'arrived'",
              owner
            )
            return row === undefined || row["at"] === null ? Number.POSITIVE_INFINITY : integer(row, "at")
          })
          if (next > now) return { next, taken: undefined }
          const taken = yield* sqlite.write(
            "Mailbox",
            "lease",
            (tables) => takeOldest(tables, owner, now, now + Duration.toMillis(visibility))
          )
          return { next: now, taken }
        }),
        ({ taken }) => taken !== undefined,
        ({ next }) => next
      )
      return Option.fromNullishOr(looked.taken)
    }),
    release: (owner) =>
      Effect.asVoid(sqlite.write("Mailbox", "release", (tables) =>
        tables.run(
          "UPDATE mail SET receipt = NULL, visible_at = 0 WHERE owner = ? AND state = 'arrived' AND visible_at > 0",
          owner
        ))),
    file: Effect.fnUntraced(function*(owner, receipt, { content, folder, keys = {}, summary }) {
      const bytes = Buffer.byteLength(summary)
      if (bytes > maxSummaryBytes) return yield* tooLong(bytes)
      const held = (tables: Statements) =>
        tables.get("SELECT seq, id FROM mail WHERE owner = ? AND receipt = ?", owner, receipt)
      const found = yield* sqlite.read("Mailbox", "file", held)
      if (found === undefined) return false
      const id = text(found, "id")
      const large = folder !== "dropped" && Buffer.byteLength(content) > inlineBytes
      // Before the row, which would else name a file that is not there.
      if (large) yield* writeLarge("Mailbox", "file", contentFile(directory, owner, id), content)
      const filed = yield* sqlite.write("Mailbox", "file", (tables) => {
        const row = held(tables)
        if (row === undefined) return false
        const seq = integer(row, "seq")
        if (folder === "dropped") {
          // The id stays known, so that the same delivery does not come again as new.
          tables.run("UPDATE mail SET state = 'dropped', receipt = NULL, raw = NULL, unread = 0 WHERE seq = ?", seq)
        } else {
          tables.run(
            "UPDATE mail SET state = ?, receipt = NULL, message_id = ?, in_reply_to = ? WHERE seq = ?",
            folder,
            keys.messageId ?? null,
            keys.inReplyTo ?? null,
            seq
          )
          tables.run(
            "INSERT OR REPLACE INTO mail_filed (seq, summary, content_size, content) VALUES (?, ?, ?, ?)",
            seq,
            summary,
            Buffer.byteLength(content),
            large ? null : content
          )
        }
        raiseRevision(tables, owner)
        return true
      })
      if (!filed) return false
      if (folder === "dropped") yield* removeFiles("Mailbox", "file", [rawFile(directory, owner, id)])
      yield* ring(owner)
      return true
    }),
    reopen: Effect.fnUntraced(function*(owner, id) {
      const reopened = yield* sqlite.write("Mailbox", "reopen", (tables) => {
        const row = tables.get("SELECT seq FROM mail WHERE owner = ? AND id = ? AND state = 'quarantine'", owner, id)
        if (row === undefined) return false
        const seq = integer(row, "seq")
        tables.run("DELETE FROM mail_filed WHERE seq = ?", seq)
        // As if it came now: who reads on from the newest `seq` that it has seen finds it.
        tables.run(
          "UPDATE mail SET seq = (SELECT max(seq) + 1 FROM mail), state = 'arrived', receipt = NULL, visible_at = 0, "
            + "message_id = NULL, in_reply_to = NULL WHERE seq = ?",
          seq
        )
        raiseRevision(tables, owner)
        return true
      })
      if (reopened) yield* ring(owner)
      return reopened
    }),
    list: (owner, folder, wanted) => {
      const { after, before = Number.MAX_SAFE_INTEGER, keys = {}, limit, settledOnly = false, unreadOnly = false } =
        wanted
      const { inReplyTo, messageId } = keys
      const only = [
        unreadOnly ? " AND m.unread = 1" : "",
        settledOnly
          ? " AND m.seq < coalesce((SELECT min(seq) FROM mail WHERE owner = ? AND state = 'arrived'), 9223372036854775807)"
          : "",
        after === undefined ? "" : " AND m.seq > ?",
        messageId === undefined ? "" : " AND m.message_id = ?",
        inReplyTo === undefined ? "" : " AND m.in_reply_to = ?"
      ].join("")
      const values = [settledOnly ? owner : undefined, after, messageId, inReplyTo].filter((value) =>
        value !== undefined
      )
      const order = after === undefined ? "DESC" : "ASC"
      return sqlite.read("Mailbox", "list", (tables) =>
        tables.all(
          `SELECT ${filedColumns} FROM ${filedTables} WHERE m.owner = ? AND m.state = ? AND m.seq < ?${only} `
            + `ORDER BY m.seq ${order} LIMIT ?`,
          owner,
          folder,
          before,
          ...values,
          limit
        ).map(filedOf))
    },
    get: (owner, id) =>
      sqlite.read("Mailbox", "get", (tables) => {
        const row = tables.get(
          `SELECT ${filedColumns} FROM ${filedTables} WHERE m.owner = ? AND m.id = ? AND m.state IN ('inbox', 'quarantine')`,
          owner,
          id
        )
        return row === undefined ? Option.none() : Option.some(filedOf(row))
      }),
    content: (owner, id) =>
      sqlite.read("Mailbox", "content", (tables) => {
        const row = tables.get(
          "SELECT CASE WHEN f.seq IS NULL THEN m.content ELSE f.content END AS content "
            + `FROM ${filedTables} WHERE m.owner = ? AND m.id = ? AND m.state IN ('inbox', 'quarantine')`,
          owner,
          id
        )
        return row === undefined
          ? Option.none()
          : Option.some(contentOf(row["content"], "content", contentFile(directory, owner, id)))
      }),
    raw: (owner, id) =>
      sqlite.read("Mailbox", "raw", (tables) => {
        const row = tables.get("SELECT raw FROM mail WHERE owner = ? AND id = ? AND state <> 'dropped'", owner, id)
        return row === undefined
          ? Option.none()
          : Option.some(contentOf(row["raw"], "raw", rawFile(directory, owner, id)))
      }),
    revision: (owner, other) =>
      other === undefined ? revision(owner) : waiting(
        owner,
        other.wait,
        () => revision(owner),
        (now) => now !== other.than,
        () => Number.POSITIVE_INFINITY
      ),
    markRead: (owner, ids) =>
      Effect.asVoid(sqlite.write("Mailbox", "markRead", (tables) => {
        for (const id of ids) tables.run("UPDATE mail SET unread = 0 WHERE owner = ? AND id = ?", owner, id)
      })),
    recordSeen: (owner, copy) =>
      sqlite.write("Mailbox", "recordSeen", (tables) => {
        const added = tables.run(
          "INSERT OR IGNORE INTO mail_seen (owner, sender, nonce, manifest, delivery, keep_until) VALUES (?, ?, ?, ?, ?, ?)",
          owner,
          copy.sender,
          copy.nonce,
          copy.manifestSha256,
          copy.delivery,
          copy.keepUntilSeconds * 1_000
        )
        if (added > 0) return "first"
        const known = tables.get(
          "SELECT manifest, delivery FROM mail_seen WHERE owner = ? AND sender = ? AND nonce = ?",
          owner,
          copy.sender,
          copy.nonce
        )
        if (known === undefined || text(known, "manifest") !== copy.manifestSha256) return "replayed"
        return text(known, "delivery") === copy.delivery ? "first" : "duplicate"
      }),
    note: (note) => sqlite.write("Mailbox", "note", (tables) => putNote(tables, note)),
    noted: Effect.fnUntraced(function*(owner, key) {
      const now = yield* Clock.currentTimeMillis
      return yield* sqlite.read("Mailbox", "noted", (tables) => {
        const row = tables.get(
          "SELECT value FROM mail_notes WHERE owner = ? AND key = ? AND keep_until > ?",
          owner,
          key,
          now
        )
        return row === undefined ? Option.none() : Option.some(text(row, "value"))
      })
    }),
    removeAll: Effect.fnUntraced(function*(owner) {
      yield* sqlite.write("Mailbox", "removeAll", (tables) => {
        tables.run("DELETE FROM mail_notes WHERE owner = ?", owner)
        tables.run("DELETE FROM mail_filed WHERE seq IN (SELECT seq FROM mail WHERE owner = ?)", owner)
        tables.run("DELETE FROM mail WHERE owner = ?", owner)
        tables.run("DELETE FROM mail_revisions WHERE owner = ?", owner)
        tables.run("DELETE FROM mail_seen WHERE owner = ?", owner)
        removeSpool(tables, owner)
        removeOutgoing(tables, owner)
      })
      yield* promisedFile(
        "Mailbox",
        "removeAll",
        () => fs.promises.rm(path.join(directory, owner), { recursive: true, force: true })
      )
      yield* doorbell.forget(mailTopic(owner))
    })
  })
})

/** `directory` holds the large messages, one directory per owner; made when needed, 0700. */
export const layer = (directory: string): Layer.Layer<Mailbox, never, Sqlite | Doorbell> =>
  Layer.effect(Mailbox, make(directory))
