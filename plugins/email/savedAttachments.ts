/** Writes attachments where a person or an agent wants them; plain Node, because `km-recv` waits for nothing else. */
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { foreignText } from "./foreignText.ts"

/** File systems take 255 bytes, and a number may come before it. */
const maxNameBytes = 200

/** No path, no hidden file, nothing that a command would take for an option, and a name that is what it looks like. */
const safeName = (name: string): string => {
  let safe = basename(foreignText(name).replaceAll(/[\t\n\u200c\u200d]/g, "")).trim().replace(/^[.-]+/, "_")
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
