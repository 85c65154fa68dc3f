/** Mailboxes in tables; large messages are files beside the database, so that its log and its pages stay small. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { sha256Hex } from "../../domain/Digest.ts"
import type { SenderId } from "../../domain/Ids.ts"
import { type Envelope, type FiledMail, Mailbox, Mailer, type MailFolder, maxRawMailBytes } from "../../ports/Mail.ts"
import { StoreError } from "../../ports/StoreError.ts"
import { integer, text } from "./columns.ts"
import { Doorbell } from "./Doorbell.ts"
import { inlineBytes, mailTopic, putArrival } from "./mailTables.ts"
import { fileEffect, makeDirectory, writeFileAtomically } from "./PrivateFiles.ts"
import { type Row, Sqlite } from "./Sqlite.ts"
import { RowUnreadable } from "./SqliteErrors.ts"
import { putSpool, removeSpool, spoolFile, spoolTopic } from "./SqliteMailSpool.ts"

const bytesOf = (row: Row): Uint8Array | undefined => {
  const raw = row["raw"]
  if (raw === null) return undefined
  if (raw instanceof Uint8Array) return raw
  throw new RowUnreadable("column raw holds no bytes")
}

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
  read: integer(row, "unread") === 0,
  content: text(row, "content")
})

/** Of what judges wrote down; texts may have 40 MB each, and a page is in memory several times. */
const maxPageBytes = 16 * 1024 * 1024

const filedColumns = "seq, id, state, received_at, size, unread, content"

const make = Effect.fnUntraced(function*(directory: string) {
  const sqlite = yield* Sqlite
  const doorbell = yield* Doorbell
  const bell = (owner: SenderId) => doorbell.topic(mailTopic(owner))
  const ring = (owner: SenderId) => Effect.sync(() => bell(owner).ring())
  const fileOf = (owner: SenderId, id: string) => path.join(directory, owner, sha256Hex(id))
  const rawOf = (owner: SenderId, id: string, row: Row) =>
    fileEffect("Mailbox", "raw", () => bytesOf(row) ?? new Uint8Array(fs.readFileSync(fileOf(owner, id))))

  const sendAll = Effect.fn("Mailer.sendAll")(function*(mails: ReadonlyArray<Envelope>) {
    for (const { raw } of mails) {
      if (raw.length <= maxRawMailBytes) continue
      return yield* new StoreError({
        port: "Mailer",
        operation: "send",
        reason: "TooLarge",
        detail: `a message of ${raw.length} bytes; this engine takes ${maxRawMailBytes}`,
        cause: undefined
      })
    }
    const outside = mails.flatMap((mail) => mail.outside === undefined ? [] : [{ ...mail, outside: mail.outside }])
    const deliveries = mails.flatMap(({ id, raw, to }) => [...new Set(to)].map((owner) => ({ id, owner, raw })))
    // Before the rows: a row whose file is missing could not be read, a file without a row is only space.
    yield* fileEffect("Mailer", "send", () => {
      for (const { id, owner, raw } of deliveries) {
        if (raw.length <= inlineBytes) continue
        makeDirectory(path.join(directory, owner))
        if (!fs.existsSync(fileOf(owner, id))) writeFileAtomically(fileOf(owner, id), raw)
      }
      for (const { id, outside: { owner }, raw } of outside) {
        if (raw.length <= inlineBytes) continue
        makeDirectory(path.join(directory, owner))
        writeFileAtomically(spoolFile(directory, owner, id), raw)
      }
    })
    const now = yield* Clock.currentTimeMillis
    const useless = yield* sqlite.write("Mailer", "send", (tables) => {
      for (const { id, owner, raw } of deliveries) {
        putArrival(tables, owner, id, raw, now)
      }
      return outside.filter(({ id, outside: beyond, raw }) =>
        !putSpool(tables, id, beyond, raw.length > inlineBytes ? null : raw, now)
      )
    })
    yield* fileEffect("Mailer", "send", () => {
      for (const { id, outside: { owner } } of useless) fs.rmSync(spoolFile(directory, owner, id), { force: true })
    })
    if (outside.length > 0) yield* Effect.sync(() => doorbell.topic(spoolTopic).ring())
    yield* Effect.forEach(new Set(deliveries.map(({ owner }) => owner)), ring, { discard: true })
  })
  const mailer = Mailer.of({ send: (mail) => sendAll([mail]), sendAll })

  const mailbox = Mailbox.of({
    bell,
    lease: Effect.fnUntraced(function*(owner, visibility) {
      const now = yield* Clock.currentTimeMillis
      const receipt = randomUUID()
      const row = yield* sqlite.write("Mailbox", "lease", (tables) => {
        const found = tables.get(
          "SELECT seq, id, received_at, raw FROM mail WHERE owner = ? AND state = 'arrived' AND visible_at <= ? " +
            "ORDER BY seq LIMIT 1",
          owner,
          now
        )
        if (found === undefined) return undefined
        const until = now + Duration.toMillis(visibility)
        tables.run("UPDATE mail SET receipt = ?, visible_at = ? WHERE seq = ?", receipt, until, integer(found, "seq"))
        return found
      })
      if (row === undefined) return Option.none()
      const id = text(row, "id")
      const raw = yield* rawOf(owner, id, row)
      return Option.some({ id, receipt, raw, receivedAt: integer(row, "received_at") })
    }),
    release: (owner) =>
      Effect.asVoid(sqlite.write("Mailbox", "release", (tables) =>
        tables.run(
          "UPDATE mail SET receipt = NULL, visible_at = 0 WHERE owner = ? AND state = 'arrived' AND visible_at > 0",
          owner
        ))),
    file: Effect.fnUntraced(function*(owner, receipt, folder, content, keys = {}) {
      const id = yield* sqlite.write("Mailbox", "file", (tables) => {
        const row = tables.get("SELECT seq, id FROM mail WHERE owner = ? AND receipt = ?", owner, receipt)
        if (row === undefined) return undefined
        const seq = integer(row, "seq")
        if (folder === "dropped") {
          // The id stays known, so that the same delivery does not come again as new.
          tables.run("UPDATE mail SET state = 'dropped', receipt = NULL, raw = NULL, unread = 0 WHERE seq = ?", seq)
        } else {
          tables.run(
            "UPDATE mail SET state = ?, receipt = NULL, content = ?, message_id = ?, in_reply_to = ? WHERE seq = ?",
            folder,
            content,
            keys.messageId ?? null,
            keys.inReplyTo ?? null,
            seq
          )
        }
        return text(row, "id")
      })
      if (id === undefined) return false
      if (folder === "dropped") {
        yield* fileEffect("Mailbox", "file", () => fs.rmSync(fileOf(owner, id), { force: true }))
      }
      yield* ring(owner)
      return true
    }),
    list: (owner, folder, wanted) => {
      const { after, before = Number.MAX_SAFE_INTEGER, keys = {}, limit, settledOnly = false, unreadOnly = false } =
        wanted
      const { inReplyTo, messageId } = keys
      const only = [
        unreadOnly ? " AND unread = 1" : "",
        settledOnly
          ? " AND seq < coalesce((SELECT min(seq) FROM mail WHERE owner = ? AND state = 'arrived'), 9223372036854775807)"
          : "",
        after === undefined ? "" : " AND seq > ?",
        messageId === undefined ? "" : " AND message_id = ?",
        inReplyTo === undefined ? "" : " AND in_reply_to = ?"
      ].join("")
      const values = [settledOnly ? owner : undefined, after, messageId, inReplyTo].filter((value) =>
        value !== undefined
      )
      const order = after === undefined ? "DESC" : "ASC"
      const rest = `FROM mail WHERE owner = ? AND state = ? AND seq < ?${only} ORDER BY seq ${order} LIMIT ?`
      return sqlite.read("Mailbox", "list", (tables) => {
        const page = (columns: string, most: number) =>
          tables.all(`SELECT ${columns} ${rest}`, owner, folder, before, ...values, most)
        let bytes = 0
        const fitting = limit === 1
          ? 1
          : page("octet_length(content) AS bytes", limit).filter((row) =>
            (bytes += integer(row, "bytes")) <= maxPageBytes
          ).length
        return page(filedColumns, Math.max(1, fitting)).map(filedOf)
      })
    },
    get: (owner, id) =>
      sqlite.read("Mailbox", "get", (tables) => {
        const row = tables.get(
          `SELECT ${filedColumns} FROM mail WHERE owner = ? AND id = ? AND state IN ('inbox', 'quarantine')`,
          owner,
          id
        )
        return row === undefined ? Option.none() : Option.some(filedOf(row))
      }),
    raw: Effect.fnUntraced(function*(owner, id) {
      const row = yield* sqlite.read(
        "Mailbox",
        "raw",
        (tables) => tables.get("SELECT raw FROM mail WHERE owner = ? AND id = ? AND state <> 'dropped'", owner, id)
      )
      return row === undefined ? Option.none() : Option.some(yield* rawOf(owner, id, row))
    }),
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
    note: Effect.fnUntraced(function*(owner, key, value, keepUntilSeconds) {
      yield* sqlite.write("Mailbox", "note", (tables) =>
        tables.run(
          "INSERT OR REPLACE INTO mail_notes (owner, key, value, keep_until) VALUES (?, ?, ?, ?)",
          owner,
          key,
          value,
          keepUntilSeconds * 1_000
        ))
    }),
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
        tables.run("DELETE FROM mail WHERE owner = ?", owner)
        tables.run("DELETE FROM mail_seen WHERE owner = ?", owner)
        removeSpool(tables, owner)
      })
      yield* fileEffect("Mailbox", "removeAll", () => {
        fs.rmSync(path.join(directory, owner), { recursive: true, force: true })
      })
      yield* doorbell.forget(mailTopic(owner))
    })
  })
  return Layer.merge(Layer.succeed(Mailer, mailer), Layer.succeed(Mailbox, mailbox))
})

/** `directory` holds the large messages, one directory per owner; made when needed, 0700. */
export const layer = (directory: string): Layer.Layer<Mailer | Mailbox, never, Sqlite | Doorbell> =>
  Layer.unwrap(make(directory))
