/**
 * Opens a session's transcript, which lies where the agent can write, without being led elsewhere: the path is computed
 * from the session id under the agent's own home, every step refuses links, and only a regular file with one name and a
 * bounded size is read. The path that a hook names is never used.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { constants, existsSync } from "node:fs"
import * as FileSystem from "node:fs/promises"
import * as Path from "node:path"
import type { SessionId } from "../../domain/sandbox/Ids.ts"
import { type SessionFile, SessionFileSkipped, Sessions } from "../../ports/Sessions.ts"
import { toldBy } from "./TranscriptLines.ts"

/** Bytes; a larger file is not read at all. The CLI's own sessions stay below 50 MiB. */
const maxSessionBytes = 256 * 1024 * 1024
/** Bytes; a longer line is left out. */
const maxLineBytes = 16 * 1024 * 1024
/** Directories of conversations that are looked through: one per working directory the agent ever had. */
const maxProjects = 2_000
const chunkBytes = 256 * 1024

const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : ""

/** Names the reason for which a session's file cannot be opened. */
const skipped = (session: SessionId) => (cause: unknown): SessionFileSkipped => {
  if (cause instanceof SessionFileSkipped) return cause
  const code = codeOf(cause)
  const reason = code === "ENOENT"
    ? "Missing" as const
    : code === "ELOOP" || code === "EMLINK"
    ? "Linked" as const
    : code === "ENOTDIR" || code === "ENXIO" || code === "EISDIR"
    ? "NotRegular" as const
    : "Unreadable" as const
  return new SessionFileSkipped({ session, reason, cause })
}

/** Deno answers for /proc only to a process that may do everything. */
const hasDescriptorPaths = (): boolean => {
  try {
    return existsSync("/proc/self/fd")
  } catch {
    return false
  }
}

/** `openat` for Node: a name below an open directory, however the path to that directory changes meanwhile. */
const below = (directory: FileSystem.FileHandle, path: string, name: string): string =>
  hasDescriptorPaths() ? `/proc/self/fd/${directory.fd}/${name}` : Path.join(path, name)

const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
/** `O_NONBLOCK`, because opening a FIFO would otherwise wait for a writer for ever. */
const fileFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** As the CLI names the directory of a working directory's conversations. */
const slugOf = (directory: string): string => directory.replace(/[^A-Za-z0-9]/g, "-")

const readLines = async function*(
  handle: FileSystem.FileHandle,
  from: number,
  size: number
): AsyncGenerator<string, void, void> {
  const buffer = Buffer.alloc(chunkBytes)
  let parts: Array<Buffer> = []
  let held = 0
  for (let position = from; position < size;) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(chunkBytes, size - position), position)
    // Truncated meanwhile.
    if (bytesRead === 0) return
    position += bytesRead
    let start = 0
    for (let end = buffer.indexOf(10); end >= 0 && end < bytesRead; end = buffer.indexOf(10, start)) {
      held += end - start
      if (held <= maxLineBytes) {
        yield Buffer.concat([...parts, buffer.subarray(start, end)]).toString("utf8")
      }
      parts = []
      held = 0
      start = end + 1
    }
    held += bytesRead - start
    // Copied, because the buffer is used again.
    if (held <= maxLineBytes) parts.push(Buffer.from(buffer.subarray(start, bytesRead)))
    else parts = []
  }
}

/** Closed with the scope. `workspace` only decides where is looked first: the agent may see it under another path. */
const openSession = (input: {
  readonly home: string
  readonly workspace: string
  readonly session: SessionId
}): Effect.Effect<SessionFile, SessionFileSkipped, Scope.Scope> =>
  Effect.gen(function*() {
    const fail = skipped(input.session)
    const name = `${input.session}.jsonl`
    const opened = (path: string, flags: number) =>
      Effect.acquireRelease(
        Effect.tryPromise({ try: () => FileSystem.open(path, flags), catch: fail }),
        (handle) => Effect.promise(() => handle.close().catch(() => undefined))
      )
    let path = input.home
    let directory = yield* opened(path, directoryFlags)
    for (const step of [".claude", "projects"]) {
      directory = yield* opened(below(directory, path, step), directoryFlags)
      path = Path.join(path, step)
    }
    const projects = yield* Effect.tryPromise({
      try: () => FileSystem.readdir(below(directory, path, ".")),
      catch: fail
    })
    const first = slugOf(input.workspace)
    const ordered = [...new Set([...projects.filter((project) => project === first), ...projects.toSorted()])]
    let missing = fail({ code: "ENOENT" })
    for (const project of ordered.slice(0, maxProjects)) {
      const file = yield* Effect.result(Effect.gen(function*() {
        const parent = yield* opened(below(directory, path, project), directoryFlags)
        const handle = yield* opened(below(parent, Path.join(path, project), name), fileFlags)
        const stat = yield* Effect.tryPromise({ try: () => handle.stat(), catch: fail })
        const refuse = (reason: SessionFileSkipped["reason"]) =>
          new SessionFileSkipped({ session: input.session, reason, cause: name })
        if (!stat.isFile()) return yield* refuse("NotRegular")
        if (stat.nlink !== 1) return yield* refuse("Linked")
        if (stat.size > maxSessionBytes) return yield* refuse("TooLarge")
        return { size: stat.size, lines: (from: number) => readLines(handle, from, stat.size) }
      }))
      if (file._tag === "Success") return file.success
      // Said in the end, unless a good file turns up; other directories hold other conversations.
      if (file.failure.reason !== "Missing" && missing.reason === "Missing") missing = file.failure
    }
    return yield* missing
  })

/** Sessions of the agent that has these two directories. */
export const layer = (where: { readonly home: string; readonly workspace: string }): Layer.Layer<Sessions> =>
  Layer.succeed(Sessions, Sessions.of({ open: (session) => openSession({ ...where, session }), toldBy }))
