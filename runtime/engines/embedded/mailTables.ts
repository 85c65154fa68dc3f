/** What mailboxes, outbox and the relay's spool do to the same tables and files. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import * as path from "node:path"
import {
  errorCode,
  fileError,
  makeDirectory,
  privateFileMode,
  promisedFile,
  temporaryBeside
} from "../../adapters/disk/PrivateFiles.ts"
import type { Statements } from "../../adapters/disk/Sqlite.ts"
import type { SenderId } from "../../domain/sandbox/Ids.ts"
import { sha256Hex } from "../../domain/text/Digest.ts"
import type { MailNote, OutsideRecipients } from "../../ports/Mail.ts"
import type { StoreError } from "../../ports/StoreError.ts"

/** Above this a message is a file of its own, and its row has no bytes. */
export const inlineBytes = 64 * 1024

/** Rung for each arrival and each filing. */
export const mailTopic = (owner: SenderId): string => `mail-${owner}`

/** Rung when something waits for a courier. */
export const outboxTopic = "mail-outbox"

/** Rung when something waits for a relay. */
export const spoolTopic = "mail-out"

/** Where the large messages of the outbox are; no owner is called so. */
export const outgoingDirectory = (directory: string): string => path.join(directory, "outgoing")

/** The file of a large message in a mailbox. */
export const rawFile = (directory: string, owner: SenderId, id: string): string =>
  path.join(directory, owner, sha256Hex(id))

/** The file of what a judge wrote down. */
export const contentFile = (directory: string, owner: SenderId, id: string): string =>
  path.join(directory, owner, `content-${sha256Hex(id)}`)

/** The file of a large message for a relay, in its owner's directory, so that it goes with the owner. */
export const spoolFile = (directory: string, owner: SenderId, id: string): string =>
  path.join(directory, owner, `out-${sha256Hex(id)}`)

/** A link in the place of a message is refused, whoever put it there. */
const readFlags = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW
const chunkBytes = 256 * 1024

async function* chunksOf(file: string): AsyncGenerator<Uint8Array> {
  const handle = await fs.promises.open(file, readFlags)
  try {
    for (;;) {
      const { buffer, bytesRead } = await handle.read(new Uint8Array(chunkBytes), 0, chunkBytes)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}

/** Piece by piece: the loop that renews leases goes on between them. */
export const fileStream = (port: string, operation: string, file: string): Stream.Stream<Uint8Array, StoreError> =>
  Stream.suspend(() => Stream.fromAsyncIterable(chunksOf(file), fileError(port, operation)))

/** What of a message or of its content lies in a column, or else in a file. */
export const contentOf = (
  inline: unknown,
  operation: string,
  file: string,
  port = "Mailbox"
): Stream.Stream<Uint8Array, StoreError> =>
  inline instanceof Uint8Array
    ? Stream.succeed(inline)
    : typeof inline === "string"
    ? Stream.succeed(new TextEncoder().encode(inline))
    : fileStream(port, operation, file)

const syncDirectory = async (directory: string): Promise<void> => {
  const handle = await fs.promises.open(directory, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** All of it or nothing, synced, 0600; replaces an older file in one step. */
export const writeLarge = (
  port: string,
  operation: string,
  file: string,
  bytes: Uint8Array | string
): Effect.Effect<void, StoreError> =>
  promisedFile(port, operation, async () => {
    makeDirectory(path.dirname(file))
    const temporary = temporaryBeside(file)
    try {
      const handle = await fs.promises.open(temporary, "wx", privateFileMode)
      try {
        await handle.writeFile(bytes)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await fs.promises.rename(temporary, file)
    } catch (cause) {
      await fs.promises.rm(temporary, { force: true })
      throw cause
    }
    await syncDirectory(path.dirname(file))
  })

/** A second name for the same bytes, synced; in the place of what a killed process left there. */
export const linkLarge = (
  port: string,
  operation: string,
  from: string,
  to: string
): Effect.Effect<void, StoreError> =>
  promisedFile(port, operation, async () => {
    makeDirectory(path.dirname(to))
    try {
      await fs.promises.link(from, to)
    } catch (cause) {
      if (errorCode(cause) !== "EEXIST") throw cause
      await fs.promises.rm(to, { force: true })
      await fs.promises.link(from, to)
    }
    await syncDirectory(path.dirname(to))
  })

export const removeFiles = (
  port: string,
  operation: string,
  files: ReadonlyArray<string>
): Effect.Effect<void, StoreError> =>
  promisedFile(port, operation, async () => {
    for (const file of files) await fs.promises.rm(file, { force: true })
  })

/** Whoever waits for the mailbox's revision sees another one. */
export const raiseRevision = (tables: Statements, owner: SenderId): void =>
  void tables.run(
    "INSERT INTO mail_revisions (owner, revision) VALUES (?, 1) ON CONFLICT DO UPDATE SET revision = revision + 1",
    owner
  )

/** True when the mailbox has, or had, a message of one of these names. */
export const hasArrived = (tables: Statements, owner: SenderId, ids: ReadonlyArray<string>): boolean =>
  ids.some((id) => tables.get("SELECT 1 FROM mail WHERE owner = ? AND id = ?", owner, id) !== undefined)

/** One arrival; the same id again changes nothing. */
export const putArrival = (
  tables: Statements,
  owner: SenderId,
  id: string,
  raw: Uint8Array | null,
  size: number,
  now: number
): void => {
  const added = tables.run(
    "INSERT OR IGNORE INTO mail (owner, id, state, received_at, size, raw) VALUES (?, ?, 'arrived', ?, ?, ?)",
    owner,
    id,
    now,
    size,
    raw
  )
  if (added > 0) raiseRevision(tables, owner)
}

export const putNote = (tables: Statements, { keepUntilSeconds, key, owner, value }: MailNote): void =>
  void tables.run(
    "INSERT OR REPLACE INTO mail_notes (owner, key, value, keep_until) VALUES (?, ?, ?, ?)",
    owner,
    key,
    value,
    keepUntilSeconds * 1_000
  )

/** What a relay has taken or given up stays known this long, so that the same envelope is not sent again. */
export const keptMillis = 30 * 24 * 3_600_000

/** Part of the transaction that delivers. False when this message has left already, so that its file is of no use. */
export const putSpool = (
  tables: Statements,
  id: string,
  { from, owner, to }: OutsideRecipients,
  raw: Uint8Array | null,
  now: number
): boolean => {
  const added = tables.run(
    "INSERT OR IGNORE INTO mail_out (owner, id, mail_from, created_at, raw) VALUES (?, ?, ?, ?, ?)",
    owner,
    id,
    from,
    now,
    raw
  )
  if (added === 0) {
    const known = tables.get("SELECT done_at FROM mail_out WHERE owner = ? AND id = ?", owner, id)
    return known?.["done_at"] === null
  }
  for (const address of new Set(to)) {
    tables.run("INSERT INTO mail_out_to (owner, id, address, next_at) VALUES (?, ?, ?, ?)", owner, id, address, now)
  }
  return true
}

/** Part of the transaction that removes an owner. */
export const removeSpool = (tables: Statements, owner: SenderId): void => {
  tables.run("DELETE FROM mail_out_to WHERE owner = ?", owner)
  tables.run("DELETE FROM mail_out WHERE owner = ?", owner)
}
