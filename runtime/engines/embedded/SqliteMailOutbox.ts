/**
 * Mail on its way, in tables: what is sent is one transaction, what is delivered another. Large messages are files beside
 * the database; a mailbox gets a second name for the same bytes, so that a message to many is written once.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { integer, reader, text } from "../../adapters/disk/columns.ts"
import { Doorbell } from "../../adapters/disk/Doorbell.ts"
import { type Row, Sqlite, type Statements } from "../../adapters/disk/Sqlite.ts"
import { SenderId } from "../../domain/sandbox/Ids.ts"
import { whenRung } from "../../ports/Bell.ts"
import {
  type Envelope,
  Mailer,
  type MailLimits,
  type MailNote,
  MailOutbox,
  maxMailWaitMillis,
  messageTooLarge,
  type OutgoingMail,
  type OutsideRecipients,
  sizeSentence,
  type WaitingMail
} from "../../ports/Mail.ts"
import {
  hasArrived,
  inlineBytes,
  linkLarge,
  mailTopic,
  outboxTopic,
  outgoingDirectory,
  putArrival,
  putNote,
  putSpool,
  rawFile,
  removeFiles,
  spoolFile,
  spoolTopic,
  writeLarge
} from "./mailTables.ts"

/**
 * 40 MB of content in base64 make 54 MB, and 73 MB when they are encrypted, because the inner message is encoded once
 * more.
 */
export const mailLimits: MailLimits = { maxMessageBytes: 96 * 1024 * 1024 }

/** A file of the outbox without a row after this long was left by a process that was killed while it sent. */
const orphanMillis = 3_600_000

const readOwner = reader("mailbox", SenderId)
const Outside = Schema.fromJsonString(
  Schema.Struct({ owner: SenderId, from: Schema.String, to: Schema.Array(Schema.String) })
)
const encodeOutside = Schema.encodeSync(Outside)
const readOutside = reader("recipients outside", Outside)
const readNames = reader("names of a message", Schema.fromJsonString(Schema.Array(Schema.String)))

/** The row that is held under this receipt; the number before the dot only finds it. */
const held = (tables: Statements, { receipt }: OutgoingMail): Row | undefined =>
  tables.get(
    "SELECT seq, id, size, also_known_as, outside, file, raw FROM mail_outbox WHERE seq = ? AND receipt = ?",
    Number.parseInt(receipt, 10) || 0,
    receipt
  )

const ownersOf = (tables: Statements, seq: number): ReadonlyArray<SenderId> =>
  tables.all("SELECT owner FROM mail_outbox_to WHERE mail = ? ORDER BY owner", seq).map((row) =>
    readOwner(row["owner"])
  )

const outsideOf = (row: Row): OutsideRecipients | undefined =>
  row["outside"] === null ? undefined : readOutside(row["outside"])

const inlineOf = (row: Row): Uint8Array | null => {
  const raw = row["raw"]
  return raw instanceof Uint8Array ? raw : null
}

/** Part of the transaction that removes an owner: nothing of it, and nothing for it, is delivered any more. */
export const removeOutgoing = (tables: Statements, owner: SenderId): void => {
  // Who is just delivering such a message has lost its lease.
  tables.run(
    "UPDATE mail_outbox SET receipt = NULL, visible_at = 0 WHERE seq IN (SELECT mail FROM mail_outbox_to WHERE owner = ?)",
    owner
  )
  tables.run("DELETE FROM mail_outbox_to WHERE owner = ?", owner)
  tables.run(
    "UPDATE mail_outbox SET receipt = NULL, visible_at = 0, outside = NULL, outside_owner = NULL WHERE outside_owner = ?",
    owner
  )
}

const waitingOf = (row: Row | undefined): WaitingMail => {
  const count = row === undefined ? 0 : integer(row, "n")
  return { count, since: row === undefined || count === 0 ? undefined : integer(row, "since") }
}

const take = (tables: Statements, limit: number, now: number, visibleAt: number): ReadonlyArray<OutgoingMail> =>
  tables.all(
    "SELECT seq, id, size, attempts, created_at, outside_owner FROM mail_outbox WHERE visible_at <= ? "
      + "ORDER BY seq LIMIT ?",
    now,
    limit
  ).map((row) => {
    const seq = integer(row, "seq")
    const receipt = `${seq}.${randomUUID()}`
    tables.run("UPDATE mail_outbox SET receipt = ?, visible_at = ? WHERE seq = ?", receipt, visibleAt, seq)
    return {
      id: text(row, "id"),
      receipt,
      to: ownersOf(tables, seq),
      outside: row["outside_owner"] !== null,
      size: integer(row, "size"),
      attempts: integer(row, "attempts"),
      createdAt: integer(row, "created_at")
    }
  })

const make = Effect.fnUntraced(function*(directory: string) {
  const sqlite = yield* Sqlite
  const doorbell = yield* Doorbell
  const ring = (topic: string) => Effect.sync(() => doorbell.topic(topic).ring())
  const outgoing = (name: string) => path.join(outgoingDirectory(directory), name)

  const sendAll = Effect.fn("Mailer.sendAll")(function*(
    mails: ReadonlyArray<Envelope>,
    notes: ReadonlyArray<MailNote> = []
  ) {
    if (mails.some(({ raw }) => raw.length > mailLimits.maxMessageBytes)) {
      return yield* messageTooLarge(sizeSentence(mailLimits))
    }
    // Before the rows: a row whose file is missing could not be read, a file without a row is only space.
    const kept = yield* Effect.forEach(
      mails,
      Effect.fnUntraced(function*(mail) {
        const file = mail.raw.length <= inlineBytes ? undefined : randomUUID()
        if (file !== undefined) yield* writeLarge("Mailer", "send", outgoing(file), mail.raw)
        return { mail, file }
      })
    )
    const now = yield* Clock.currentTimeMillis
    yield* sqlite.write("Mailer", "send", (tables) => {
      for (const { file, mail: { alsoKnownAs = [], id, outside, raw, to } } of kept) {
        tables.run(
          "INSERT INTO mail_outbox (id, size, created_at, also_known_as, outside_owner, outside, file, raw) "
            + "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
          id,
          raw.length,
          now,
          JSON.stringify(alsoKnownAs),
          outside?.owner ?? null,
          outside === undefined ? null : encodeOutside(outside),
          file ?? null,
          file === undefined ? raw : null
        )
        for (const owner of new Set(to)) {
          tables.run("INSERT INTO mail_outbox_to (mail, owner) VALUES (last_insert_rowid(), ?)", owner)
        }
      }
      for (const note of notes) putNote(tables, note)
    })
    if (mails.length > 0) yield* ring(outboxTopic)
  })

  const lease = Effect.fnUntraced(function*(
    { limit, visibility, wait }: Parameters<MailOutbox["Service"]["lease"]>[0]
  ) {
    const until = (yield* Clock.currentTimeMillis) + Math.min(Duration.toMillis(wait), maxMailWaitMillis)
    const bell = doorbell.topic(outboxTopic)
    return yield* whenRung(bell, until, (now) =>
      Effect.gen(function*() {
        const nextAt = yield* sqlite.read("MailOutbox", "lease", (tables) => {
          const row = tables.get("SELECT min(visible_at) AS at FROM mail_outbox")
          return row === undefined || row["at"] === null ? Number.POSITIVE_INFINITY : integer(row, "at")
        })
        if (nextAt > now) return { found: [], enough: false, nextAt }
        const found = yield* sqlite.write(
          "MailOutbox",
          "lease",
          (tables) => take(tables, limit, now, now + Duration.toMillis(visibility))
        )
        return { found, enough: found.length > 0, nextAt }
      }))
  })

  const deliver = Effect.fn("MailOutbox.deliver")(function*(mail: OutgoingMail, gone: ReadonlyArray<SenderId>) {
    const found = yield* sqlite.read("MailOutbox", "deliver", (tables) => {
      const row = held(tables, mail)
      if (row === undefined) return undefined
      const names = [text(row, "id"), ...readNames(row["also_known_as"])]
      const owners = ownersOf(tables, integer(row, "seq")).filter((owner) =>
        !gone.includes(owner) && !hasArrived(tables, owner, names)
      )
      return { file: row["file"] === null ? undefined : text(row, "file"), owners, outside: outsideOf(row) }
    })
    if (found === undefined) return false
    const { file, outside } = found
    const links = file === undefined ? [] : found.owners.map((owner) => rawFile(directory, owner, mail.id))
    const spooled = file === undefined || outside === undefined ? [] : [spoolFile(directory, outside.owner, mail.id)]
    if (file !== undefined) {
      yield* Effect.forEach([...links, ...spooled], (to) => linkLarge("MailOutbox", "deliver", outgoing(file), to), {
        discard: true
      })
    }
    const now = yield* Clock.currentTimeMillis
    const done = yield* sqlite.write("MailOutbox", "deliver", (tables) => {
      const row = held(tables, mail)
      if (row === undefined) return undefined
      const seq = integer(row, "seq")
      const raw = inlineOf(row)
      const names = [mail.id, ...readNames(row["also_known_as"])]
      for (const owner of found.owners) {
        if (!hasArrived(tables, owner, names)) putArrival(tables, owner, mail.id, raw, integer(row, "size"), now)
      }
      const useful = outside !== undefined && putSpool(tables, mail.id, outside, raw, now)
      tables.run("DELETE FROM mail_outbox_to WHERE mail = ?", seq)
      tables.run("DELETE FROM mail_outbox WHERE seq = ?", seq)
      return { useful }
    })
    if (done === undefined) {
      // Its owner may be gone with its directory meanwhile.
      yield* removeFiles("MailOutbox", "deliver", links)
      return false
    }
    if (file !== undefined) {
      yield* removeFiles("MailOutbox", "deliver", [outgoing(file), ...(done.useful ? [] : spooled)])
    }
    yield* Effect.forEach(found.owners, (owner) => ring(mailTopic(owner)), { discard: true })
    if (outside !== undefined) yield* ring(spoolTopic)
    return true
  })

  /** Files that no row names: once in a process' life is enough, since only a kill leaves them. */
  const sweep = Effect.gen(function*() {
    const before = (yield* Clock.currentTimeMillis) - orphanMillis
    const names = yield* Effect.promise(() => fs.promises.readdir(outgoingDirectory(directory)).catch(() => []))
    for (const name of names) {
      const known = yield* sqlite.read(
        "MailOutbox",
        "sweep",
        (tables) => tables.get("SELECT 1 FROM mail_outbox WHERE file = ?", name) !== undefined
      )
      if (known) continue
      yield* Effect.promise(() =>
        fs.promises.stat(outgoing(name)).then(
          ({ mtimeMs }) => mtimeMs < before ? fs.promises.rm(outgoing(name), { force: true }) : undefined,
          () => undefined
        )
      )
    }
  }).pipe(Effect.catchCause((cause) => Effect.logWarning("files of the outbox could not be looked through", cause)))
  yield* Effect.forkScoped(sweep)

  return Layer.merge(
    Layer.succeed(Mailer, Mailer.of({ limits: mailLimits, send: (mail) => sendAll([mail]), sendAll })),
    Layer.succeed(
      MailOutbox,
      MailOutbox.of({
        lease,
        deliver,
        defer: Effect.fnUntraced(function*({ receipt }, delay) {
          const now = yield* Clock.currentTimeMillis
          yield* sqlite.write("MailOutbox", "defer", (tables) =>
            tables.run(
              "UPDATE mail_outbox SET receipt = NULL, visible_at = ?, attempts = attempts + 1 WHERE seq = ? AND receipt = ?",
              now + Duration.toMillis(delay),
              Number.parseInt(receipt, 10) || 0,
              receipt
            ))
        }),
        waiting: sqlite.read("MailOutbox", "waiting", (tables) => ({
          inside: waitingOf(tables.get("SELECT count(*) AS n, min(created_at) AS since FROM mail_outbox")),
          outside: waitingOf(tables.get(
            "SELECT count(*) AS n, min(o.created_at) AS since FROM mail_out_to t "
              + "JOIN mail_out o ON o.owner = t.owner AND o.id = t.id WHERE t.state = 'waiting'"
          ))
        }))
      })
    )
  )
})

/** `directory` is that of the mailboxes. */
export const layer = (directory: string): Layer.Layer<Mailer | MailOutbox, never, Sqlite | Doorbell> =>
  Layer.unwrap(make(directory))
