/** Writes attachments where a person or an agent wants them; plain Node, because `km-recv` waits for nothing else. */
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"

/**
 * Written by others, whoever shows it: nothing of it may drive the terminal. `km email` has the same of its own: the jail shows
 * the agent's programs this folder alone, so they import nothing from other rooms.
 */
// oxlint-disable-next-line no-control-regex
export const plainText = (text: string): string => text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "")

/** What shows nothing or reorders what is shown, so that a name would look like another one. */
const unseen = /[\t\n\u0085\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g

/** File systems take 255 bytes, and a number may come before it. */
const maxNameBytes = 200

/** No path, no hidden file, and nothing that a command would take for an option. */
const safeName = (name: string): string => {
  let safe = basename(plainText(name).replaceAll(unseen, "")).replace(/^[.-]+/, "_")
  while (Buffer.byteLength(safe) > maxNameBytes) safe = Array.from(safe).slice(0, -1).join("")
  return safe || "attachment"
}

/** Never over a file that is there: a second one gets a number before its name. */
const writeBeside = (directory: string, name: string, bytes: Uint8Array): string => {
  const safe = safeName(name)
  for (let n = 1;; n++) {
    const file = join(directory, n === 1 ? safe : `${n}-${safe}`)
    try {
      writeFileSync(file, bytes, { flag: "wx" })
      return file
    } catch (cause) {
      if (Object(cause)["code"] !== "EEXIST") throw cause
    }
  }
}

/**
 * With its parents. Node's own `recursive` never ends where a directory is there and takes no other one, as in `/proc`.
 */
const makeDirectory = (directory: string): void => {
  try {
    mkdirSync(directory)
  } catch (cause) {
    const code = Object(cause)["code"]
    if (code === "EEXIST" && statSync(directory).isDirectory()) return
    const parent = dirname(directory)
    if (code !== "ENOENT" || existsSync(parent)) throw cause
    makeDirectory(parent)
    mkdirSync(directory)
  }
}

/** The files written, in order. Throws what the file system says. */
export const savedAttachments = (
  directory: string,
  parts: ReadonlyArray<{ readonly name: string; readonly bytes: Uint8Array }>
): ReadonlyArray<string> => {
  makeDirectory(directory)
  return parts.map(({ bytes, name }) => writeBeside(directory, name, bytes))
}
