/** Writes attachments where a person or an agent wants them; plain Node, because `km-recv` waits for nothing else. */
import { mkdirSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"

/** Written by others, whoever shows it: nothing of it may drive the terminal. */
// oxlint-disable-next-line no-control-regex
export const plainText = (text: string): string => text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "")

/** Never over a file that is there: a second one gets a number before its name. */
const writeBeside = (directory: string, name: string, bytes: Uint8Array): string => {
  const safe = basename(plainText(name)).replace(/^\.+/, "_") || "attachment"
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

/** The files written, in order. Throws what the file system says. */
export const savedAttachments = (
  directory: string,
  parts: ReadonlyArray<{ readonly name: string; readonly bytes: Uint8Array }>
): ReadonlyArray<string> => {
  mkdirSync(directory, { recursive: true })
  return parts.map(({ bytes, name }) => writeBeside(directory, name, bytes))
}
