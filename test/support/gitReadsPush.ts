/**
 * What git's own receive-pack takes from the beginning of a push: `read_head_info` of builtin/receive-pack.c (git 2.39.5)
 * line by line, with everything it is lenient about. `test/interop/github-push.test.ts` holds it to the real program.
 */
import type { PushCommand } from "../../runtime/domain/github/GitHubPolicy.ts"

export interface GitReading {
  readonly commands: ReadonlyArray<PushCommand>
  readonly options: ReadonlyArray<string>
  /** Where the pack begins; undefined where git gives up before. */
  readonly pack: number | undefined
}

const nothing: GitReading = { commands: [], options: [], pack: undefined }

type Packet = { readonly line: Buffer } | "flush" | "other" | "end" | "dies"

/** `parse_feature_value`: a word of the list, alone or with `=`; isspace() parts words. */
const feature = (list: string, name: string): string | undefined => {
  const found = new RegExp(`(?:^|[ \\t\\n\\v\\f\\r])${name}(?:=([^ \\t\\n]*))?(?=[ \\t\\n\\v\\f\\r]|$)`, "u").exec(list)
  return found === null ? undefined : found[1] ?? ""
}

const hexId = /^[0-9a-fA-F]{40}/u

/** One command line, or undefined where git dies of it. */
const command = (text: string): PushCommand | undefined => {
  const found = /^([0-9a-fA-F]{40}) ([0-9a-fA-F]{40}) (.*)$/su.exec(text)
  const [, old = "", next = "", ref = ""] = found ?? []
  return found === null ? undefined : { old: old.toLowerCase(), new: next.toLowerCase(), ref }
}

export const gitReadsPush = (body: Uint8Array): GitReading => {
  const bytes = Buffer.from(body)
  let at = 0
  const next = (): Packet => {
    if (at === bytes.length) return "end"
    const digits = bytes.subarray(at, at + 4).toString("latin1")
    if (!/^[0-9a-fA-F]{4}$/u.test(digits)) return "dies"
    const length = Number.parseInt(digits, 16)
    at += 4
    if (length === 0) return "flush"
    if (length === 1 || length === 2) return "other"
    if (length < 4 || length >= 65_521 || at + length - 4 > bytes.length) return "dies"
    const line = bytes.subarray(at, at + length - 4)
    at += length - 4
    if (line.subarray(0, 4).toString("latin1") === "ERR ") return "dies"
    return { line: line[line.length - 1] === 0x0a ? line.subarray(0, -1) : line }
  }
  const commands: Array<PushCommand> = []
  /** All of them together: git appends to one buffer. */
  let certificate = ""
  let useOptions = false
  for (;;) {
    const packet = next()
    if (packet === "dies") return nothing
    if (typeof packet === "string") break
    const whole = packet.line.toString("latin1")
    if (
      whole.startsWith("shallow ") && !whole.slice(0, 9).includes("\0") &&
      whole.split("\0", 1)[0]?.startsWith("shallow ")
    ) {
      if (!hexId.test(whole.slice(8))) return nothing
      continue
    }
    const [text = "", ...behind] = whole.split("\0")
    if (behind.length > 0) {
      const list = behind[0] ?? ""
      if ((feature(list, "object-format") ?? "sha1") !== "sha1") return nothing
      if (feature(list, "push-options") !== undefined) useOptions = true
    }
    if (text === "push-cert") {
      // Everything up to its end is the certificate; a flush in it ends the whole list.
      let inner = next()
      while (typeof inner === "object" && inner.line.toString("latin1") !== "push-cert-end") {
        certificate += `${inner.line.toString("latin1").split("\0", 1)[0] ?? ""}\n`
        inner = next()
      }
      if (inner === "dies") return nothing
      if (inner === "flush") break
      continue
    }
    const found = command(text)
    if (found === undefined) return nothing
    commands.push(found)
  }
  if (certificate !== "") {
    const begin = certificate.indexOf("\n\n")
    if (begin < 0) return nothing
    const end = certificate.lastIndexOf("-----BEGIN ")
    const signed = certificate.slice(begin + 2, end < 0 ? certificate.length : end)
    for (const text of signed.split("\n").filter((line) => line !== "")) {
      const found = command(text)
      if (found === undefined) return nothing
      commands.push(found)
    }
  }
  const options: Array<string> = []
  if (commands.length > 0 && useOptions) {
    for (;;) {
      const packet = next()
      if (packet === "dies") return nothing
      if (typeof packet === "string") break
      options.push(packet.line.toString("latin1").split("\0", 1)[0] ?? "")
    }
  }
  return { commands, options, pack: at }
}
