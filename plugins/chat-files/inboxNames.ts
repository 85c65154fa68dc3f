/** Names of people's files as the agent finds them: safe in a path, a shell, a prompt and a message. Pure. */
import { foreignLine } from "../../runtime/domain/text/ForeignText.ts"

/** UTF-8 bytes of a name; a number may come before it, and file systems take 255. */
const maxNameBytes = 120

/** Letters, marks and digits of any script, and the few signs that mean nothing to a shell, to Markdown or to the prompt. */
const unsafe = /[^\p{L}\p{M}\p{N}._-]+/gu

/** No directory, no hidden file, no option, nothing to be quoted; what a name ends with (`.pdf`) stays. */
export const safeName = (name: string): string => {
  const base = foreignLine(name, 1_000).normalize("NFC").split(/[/\\]/).at(-1) ?? ""
  const plain = base.replaceAll(unsafe, "_").replace(/^[._-]+/, "")
  const dot = plain.lastIndexOf(".")
  const suffix = dot > 0 && plain.length - dot <= 16 ? plain.slice(dot) : ""
  let stem = Array.from(plain.slice(0, plain.length - suffix.length))
  while (stem.length > 0 && Buffer.byteLength(stem.join("") + suffix) > maxNameBytes) stem = stem.slice(0, -1)
  return `${stem.join("")}${suffix}`.replace(/^[._-]+/, "") || "file"
}

/** The names of one message's files, in order, each one's own whatever the file system thinks of upper and lower case. */
export const ownNames = (names: ReadonlyArray<string>): ReadonlyArray<string> => {
  const taken = new Set<string>()
  return names.map((name) => {
    const safe = safeName(name)
    for (let n = 1;; n++) {
      const own = n === 1 ? safe : `${n}-${safe}`
      if (taken.has(own.toLowerCase())) continue
      taken.add(own.toLowerCase())
      return own
    }
  })
}

/** For Slack's upload: the protocol's alphabet. */
export const uploadName = (name: string): string =>
  (name.normalize("NFKD").replaceAll(/\p{M}+/gu, "").replaceAll(/[^A-Za-z0-9._-]+/g, "_").replace(/^\.+/, "_")
    .slice(-200)) || "file"
