/** Removes a sandbox's directory, whatever its agent has left in it, and nothing else. */
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { errorCode } from "../../adapters/disk/PrivateFiles.ts"

/** The path is not a plain directory directly below the given parent; nothing was removed. */
export class NotOurs extends Error {
  override readonly name = "NotOurs"
}

/** As `rm -r`, but opens directories that the agent has closed to itself. Symbolic links are removed, never followed. */
const removeClosed = async (file: string): Promise<void> => {
  const stat = await fs.lstat(file)
  if (!stat.isDirectory()) return fs.unlink(file)
  if ((stat.mode & 0o700) !== 0o700) await fs.chmod(file, 0o700)
  for (const name of await fs.readdir(file)) await removeClosed(path.join(file, name))
  return fs.rmdir(file)
}

const removeAll = async (file: string): Promise<void> => {
  try {
    await fs.rm(file, { recursive: true, force: true, maxRetries: 3 })
  } catch (cause) {
    if (errorCode(cause) !== "EACCES" && errorCode(cause) !== "EPERM") throw cause
    await removeClosed(file)
  }
}

/** Directories that are being removed have this before their name: a crash in the middle is finished by the next call. */
const gonePrefix = ".gone-"

/**
 * Removes `{parent}/{name}`: first out of sight by a rename, then for good. True when there was something. Throws
 * `NotOurs` for a name that is a path, or when a symbolic link or file stands in the directory's place.
 */
export const removeDirectoryBelow = async (parent: string, name: string): Promise<boolean> => {
  const directory = path.join(parent, name)
  if (name === "" || name.startsWith(".") || path.basename(directory) !== name || path.dirname(directory) !== parent) {
    throw new NotOurs(`${JSON.stringify(name)} is not the name of a directory below ${parent}`)
  }
  const gone = path.join(parent, `${gonePrefix}${name}`)
  await removeAll(gone)
  const stat = await fs.lstat(directory).catch((cause: unknown) => {
    if (errorCode(cause) === "ENOENT") return undefined
    throw cause
  })
  if (stat === undefined) return false
  if (!stat.isDirectory()) throw new NotOurs(`${directory} is not a plain directory`)
  await fs.rename(directory, gone)
  await removeAll(gone)
  return true
}
