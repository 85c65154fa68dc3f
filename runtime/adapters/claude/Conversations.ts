/** What the CLI has written of its sessions below the agent's home, which the agent can write too. */
import * as Fs from "node:fs"
import * as Path from "node:path"

/** Directories that are looked into: one per working directory the agent ever had. It can make any number of them. */
export const maxProjects = 2_000

const firstNames = (directory: string): ReadonlyArray<string> => {
  const open = Fs.opendirSync(directory)
  try {
    const names: Array<string> = []
    for (let entry = open.readSync(); entry !== null && names.length < maxProjects; entry = open.readSync()) {
      names.push(entry.name)
    }
    return names
  } finally {
    open.closeSync()
  }
}

/** The files of a session, in whichever project the CLI put it. */
export const conversations = (home: string, session: string): ReadonlyArray<string> => {
  const projects = Path.join(home, ".claude", "projects")
  try {
    return firstNames(projects).map((project) => Path.join(projects, project, `${session}.jsonl`)).filter(
      (file) => {
        // lstat: a link planted by the agent leads nowhere.
        const entry = Fs.lstatSync(file, { throwIfNoEntry: false })
        return entry?.isFile() === true && entry.size > 0
      }
    )
  } catch {
    // No directory yet: no conversation.
    return []
  }
}

/** The newest message is at the end; a message has at most 256 KiB, and its line little more. */
const mentionBytes = 1024 * 1024

/** True also when the file cannot be read: what is not known is taken to have happened. */
export const endsWithMention = (file: string, text: string): boolean => {
  try {
    const fd = Fs.openSync(file, Fs.constants.O_RDONLY | Fs.constants.O_NOFOLLOW)
    try {
      const size = Fs.fstatSync(fd).size
      const buffer = Buffer.alloc(Math.min(size, mentionBytes))
      Fs.readSync(fd, buffer, 0, buffer.length, size - buffer.length)
      return buffer.includes(text)
    } finally {
      Fs.closeSync(fd)
    }
  } catch {
    return true
  }
}
