/** Files that only their owner reads, written so that a reader or a power loss sees all of them or nothing. */
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { StoreError } from "../../ports/StoreError.ts"

export const privateFileMode = 0o600
export const privateDirectoryMode = 0o700

/** Makes the directory and its missing parents, each 0700 whatever the umask. */
export const makeDirectory = (directory: string): void => {
  if (fs.existsSync(directory)) return
  makeDirectory(path.dirname(directory))
  try {
    fs.mkdirSync(directory, { mode: privateDirectoryMode })
    syncDirectory(path.dirname(directory))
  } catch (cause) {
    // Somebody else made it meanwhile, or the parent is one that we may enter but not read: then nobody can sync it.
    if (!["EEXIST", "EACCES", "EPERM"].includes(errorCode(cause)) || !fs.existsSync(directory)) throw cause
  }
}

/** Makes a new name, or the loss of one, survive a power loss. */
export const syncDirectory = (directory: string): void => {
  const handle = fs.openSync(directory, "r")
  try {
    fs.fsyncSync(handle)
  } finally {
    fs.closeSync(handle)
  }
}

/** Removes directories that have become empty, from `directory` up to but not including `root`. */
export const pruneEmpty = (directory: string, root: string): void => {
  if (!directory.startsWith(root + path.sep)) return
  try {
    fs.rmdirSync(directory)
  } catch {
    // Not empty, or gone already: so are those above it.
    return
  }
  pruneEmpty(path.dirname(directory), root)
}

const temporaryPattern = /^\..*\.tmp$/

/** True for the name of a file that a killed process may have left half written. */
export const isTemporary = (name: string): boolean => temporaryPattern.test(name)

/** A name beside `file` that no reader looks at. */
export const temporaryBeside = (file: string): string => path.join(path.dirname(file), `.${randomUUID()}.tmp`)

/** Synced and 0600 once it returns; replaces an older file in one step. */
export const writeFileAtomically = (file: string, content: string | Uint8Array): void => {
  const temporary = temporaryBeside(file)
  try {
    const handle = fs.openSync(temporary, "wx", privateFileMode)
    try {
      fs.writeFileSync(handle, content)
      fs.fsyncSync(handle)
    } finally {
      fs.closeSync(handle)
    }
    fs.renameSync(temporary, file)
  } catch (cause) {
    fs.rmSync(temporary, { force: true })
    throw cause
  }
  syncDirectory(path.dirname(file))
}

/** The `E…` code of a system call that failed, or "". */
export const errorCode = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string" ? cause.code : ""

/** The reason that a failed system call stands for. An I/O error counts as a full disk: stop taking work, look at it. */
const fileReasons: Readonly<Record<string, StoreError["reason"]>> = {
  ENOSPC: "Full",
  EDQUOT: "Full",
  EFBIG: "Full",
  EIO: "Full",
  EACCES: "Denied",
  EPERM: "Denied",
  EROFS: "Denied",
  ELOOP: "Denied"
}

export const fileError = (port: string, operation: string) => (cause: unknown): StoreError =>
  cause instanceof StoreError ? cause : new StoreError({
    port,
    operation,
    reason: fileReasons[errorCode(cause)] ?? "Unavailable",
    detail: cause instanceof Error ? cause.message : "unknown failure",
    cause
  })

/** Runs `change` and translates what it throws. */
export const fileEffect = <A>(port: string, operation: string, change: () => A): Effect.Effect<A, StoreError> =>
  Effect.try({ try: change, catch: fileError(port, operation) })

/** The same for what the system does beside this process' loop. */
export const promisedFile = <A>(port: string, operation: string, act: () => Promise<A>): Effect.Effect<A, StoreError> =>
  Effect.tryPromise({ try: act, catch: fileError(port, operation) })
