/**
 * What stands before the pack of a push (gitprotocol-pack, "Reference Update Request"), read as it comes in: the caller feeds
 * bytes until everything that needs judging is there, and passes on what follows unread.
 *
 * It takes less than git's receive-pack does, never more: `shallow` lines first, capabilities on the first command only,
 * lower-case hex, one kind of object id, a flush as the only end, no ref twice, no certificate, no capability that is not known
 * here. So there is no push in which git would find a command that was not judged.
 */
import type { PushCommand } from "./GitHubPolicy.ts"
import { maxPacketBytes, packetLength } from "./PktLine.ts"
import { isRefName } from "./RefNames.ts"

/** All of it before the pack, bytes. 5,000 commands with names of 100 characters are 1 MB. */
export const maxPreludeBytes = 1_048_576
export const maxCommands = 5_000
/** Shallow boundaries of the pusher's clone. */
export const maxShallow = 5_000
export const maxPushOptions = 32

/**
 * Letters, digits and `._=/-`, at most 128. A host once copied options into a header of its own, where a delimiter became a
 * field (CVE-2026-3854).
 */
const pushOption = /^[A-Za-z0-9._=/-]{1,128}$/u

/** Capabilities that a push may ask for; the advertisement is cut down to the same, so that clients know no others. */
export const pushCapabilities: ReadonlySet<string> = new Set([
  "report-status",
  "report-status-v2",
  "side-band-64k",
  "quiet",
  "atomic",
  "ofs-delta",
  "delete-refs",
  "push-options",
  "no-thin",
  "object-format",
  "agent",
  "session-id"
])

export interface PushPrelude {
  /** None: git's probe before a large push, `0000` and nothing else. */
  readonly commands: ReadonlyArray<PushCommand>
  readonly shallow: ReadonlyArray<string>
  /** By name; the value of those with one (`agent`), empty for others. */
  readonly capabilities: ReadonlyMap<string, string>
  readonly options: ReadonlyArray<string>
  readonly objectFormat: "sha1" | "sha256"
  /** A pack follows, unless every command deletes. Where none follows, not one byte may. */
  readonly pack: boolean
  /** How many of the bytes that were fed belong to the prelude; the rest begins the pack. */
  readonly consumed: number
}

export interface MalformedPush {
  readonly _tag: "Malformed"
  readonly rule: "push.malformed" | "push.certificate" | "push.option" | "push.limit" | "ref.malformed"
  /** A sentence without a stop. */
  readonly why: string
  /** What was read before, so that the refusal can be written in the words that the client asked for. */
  readonly commands: ReadonlyArray<PushCommand>
  readonly capabilities: ReadonlyMap<string, string>
}

export type PushReading =
  | { readonly _tag: "More" }
  | { readonly _tag: "Prelude"; readonly prelude: PushPrelude; readonly bytes: Uint8Array; readonly rest: Uint8Array }
  | MalformedPush

export interface PushReader {
  /** `bytes` are those of the prelude as they came, to be passed on first; `rest` is what of the last chunk is behind it. */
  readonly feed: (chunk: Uint8Array) => PushReading
  /** The body is over: `More` is then a push that was cut off. */
  readonly end: () => MalformedPush
}

class Fault extends Error {
  readonly rule: MalformedPush["rule"]
  constructor(rule: MalformedPush["rule"], why: string) {
    super(why)
    this.rule = rule
  }
}

const malformed = (why: string): never => {
  throw new Fault("push.malformed", why)
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const objectId = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/u

/** Reads one push. Holds at most `maxPreludeBytes` and one packet, whatever the client sends. */
export const pushReader = (): PushReader => {
  let buffer = new Uint8Array(8_192)
  let filled = 0
  let read = 0
  let phase: "commands" | "options" | "over" = "commands"
  let failed: MalformedPush | undefined
  let capabilities: ReadonlyMap<string, string> = new Map()
  let idLength = 0
  const commands: Array<PushCommand> = []
  const refs = new Set<string>()
  const shallow: Array<string> = []
  const options: Array<string> = []

  const fail = ({ message, rule }: Fault): MalformedPush => {
    phase = "over"
    failed = { _tag: "Malformed", rule, why: message, commands: [...commands], capabilities }
    return failed
  }

  const keep = (chunk: Uint8Array): void => {
    if (filled + chunk.length > buffer.length) {
      const larger = new Uint8Array(Math.max(buffer.length * 2, filled + chunk.length))
      larger.set(buffer.subarray(0, filled))
      buffer = larger
    }
    buffer.set(chunk, filled)
    filled += chunk.length
  }

  const objectIdOf = (text: string): string => {
    if (!objectId.test(text)) return malformed("an object id is not 40 or 64 lower-case hex digits")
    if (idLength === 0) idLength = text.length
    return idLength === text.length ? text : malformed("object ids of two lengths are in one push")
  }

  const readCommand = (line: string): void => {
    const nul = line.indexOf("\0")
    if (nul >= 0 && commands.length > 0) malformed("capabilities stand behind a command that is not the first")
    if (nul < 0 && commands.length === 0) malformed("the first command names no capabilities")
    const text = nul < 0 ? line : line.slice(0, nul)
    if (commands.length === 0) {
      capabilities = readCapabilities(line.slice(nul + 1))
      const format = capabilities.get("object-format") ?? "sha1"
      const length = format === "sha256" ? 64 : 40
      if (idLength !== 0 && idLength !== length) malformed(`object ids are not those of ${format}`)
      idLength = length
    }
    const space = text.indexOf(" ")
    const second = text.indexOf(" ", space + 1)
    if (space < 0 || second < 0) malformed("a command is not an old id, a new id and a ref")
    const old = objectIdOf(text.slice(0, space))
    const next = objectIdOf(text.slice(space + 1, second))
    const ref = text.slice(second + 1)
    if (!isRefName(ref)) throw new Fault("ref.malformed", "a ref has a name that git does not take below refs/")
    if (refs.has(ref)) malformed(`${ref} is in one push twice`)
    if (commands.length >= maxCommands) throw new Fault("push.limit", `more than ${maxCommands} refs are in one push`)
    refs.add(ref)
    commands.push({ old, new: next, ref })
  }

  const readLine = (payload: Uint8Array): void => {
    const line = textOf(payload)
    if (phase === "options") {
      if (options.length >= maxPushOptions) {
        throw new Fault("push.option", `more than ${maxPushOptions} push options are in one push`)
      }
      if (!pushOption.test(line)) {
        throw new Fault(
          "push.option",
          "a push option has other characters than letters, digits and ._=/-, or is longer than 128"
        )
      }
      options.push(line)
    } else if (line.startsWith("shallow ")) {
      if (commands.length > 0) malformed("a shallow line stands behind a command")
      if (shallow.length >= maxShallow) {
        throw new Fault("push.limit", `more than ${maxShallow} shallow lines are in one push`)
      }
      shallow.push(objectIdOf(line.slice(8)))
    } else if (line.startsWith("push-cert")) {
      throw new Fault("push.certificate", "the push is signed, and signed pushes are not taken; push with --no-signed")
    } else readCommand(line)
  }

  /** After a flush: whether the prelude is whole. */
  const flushed = (): boolean => {
    if (commands.length === 0 && shallow.length > 0) malformed("shallow lines stand alone, without a command")
    if (phase === "commands" && capabilities.has("push-options")) {
      phase = "options"
      return false
    }
    return true
  }

  /** One packet, or false where it is not there as a whole. */
  const step = (): boolean | "whole" => {
    const length = packetLength(buffer, read, filled)
    if (length === undefined) return false
    if (length === "malformed") return malformed("a packet has a length that git does not write")
    if (read + Math.max(length, 4) > maxPreludeBytes) {
      throw new Fault("push.limit", `the commands are longer than ${maxPreludeBytes} bytes`)
    }
    if (length === 0) {
      read += 4
      return flushed() ? "whole" : true
    }
    if (read + length > filled) return false
    const payload = buffer.subarray(read + 4, read + length)
    read += length
    readLine(payload)
    return true
  }

  const prelude = (): PushPrelude => ({
    commands,
    shallow,
    capabilities,
    options,
    objectFormat: idLength === 64 ? "sha256" : "sha1",
    pack: commands.some((command) => !isZero(command.new)),
    consumed: read
  })

  return {
    feed: (chunk) => {
      if (failed !== undefined) return failed
      if (phase === "over") return fail(new Fault("push.malformed", "bytes were fed after the commands were over"))
      let taken = 0
      try {
        while (taken < chunk.length) {
          const part = chunk.subarray(taken, taken + maxPacketBytes)
          keep(part)
          taken += part.length
          for (;;) {
            const result = step()
            if (result === false) break
            if (result === "whole") {
              phase = "over"
              const rest = joinedRest(buffer.subarray(read, filled), chunk.subarray(taken))
              const whole = prelude()
              if (!whole.pack && rest.length > 0) malformed("bytes follow commands that need no pack")
              return { _tag: "Prelude", prelude: whole, bytes: buffer.slice(0, read), rest }
            }
          }
        }
        return { _tag: "More" }
      } catch (fault) {
        if (fault instanceof Fault) return fail(fault)
        throw fault
      }
    },
    end: () => failed ?? fail(new Fault("push.malformed", "the body ends before the commands do"))
  }
}

const joinedRest = (kept: Uint8Array, unread: Uint8Array): Uint8Array => {
  const rest = new Uint8Array(kept.length + unread.length)
  rest.set(kept)
  rest.set(unread, kept.length)
  return rest
}

/** The payload as text, without one line feed at its end. */
const textOf = (payload: Uint8Array): string => {
  const end = payload[payload.length - 1] === 0x0a ? payload.length - 1 : payload.length
  try {
    return utf8.decode(payload.subarray(0, end))
  } catch {
    return malformed("a line is not UTF-8")
  }
}

/** Space-separated, each once, each known; object-format has one of two values. */
const readCapabilities = (text: string): ReadonlyMap<string, string> => {
  if (/[^\x20-\x7e]/u.test(text)) malformed("the capabilities are not printable ASCII")
  const found = new Map<string, string>()
  for (const word of text.split(" ")) {
    if (word === "") continue
    const equals = word.indexOf("=")
    const name = equals < 0 ? word : word.slice(0, equals)
    if (name === "push-cert") {
      throw new Fault("push.certificate", "the push is signed, and signed pushes are not taken; push with --no-signed")
    }
    if (!pushCapabilities.has(name)) malformed(`the capability ${name.slice(0, 40)} is not known`)
    if (found.has(name)) malformed(`the capability ${name} is named twice`)
    found.set(name, equals < 0 ? "" : word.slice(equals + 1))
  }
  const format = found.get("object-format")
  if (format !== undefined && format !== "sha1" && format !== "sha256") {
    malformed("the object format is not sha1 or sha256")
  }
  return found
}

/** The id of no object: what a ref is before it is created and after it is deleted. */
export const isZero = (id: string): boolean => /^0+$/u.test(id)
