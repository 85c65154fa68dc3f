/**
 * The list of refs with which a push begins (`GET …/info/refs?service=git-receive-pack`), cut down on its way to the client to
 * the capabilities that are judged here. Without `push-cert` a client that signs "if asked" does not sign.
 */
import { joined, packet, packetLength } from "./PktLine.ts"
import { pushCapabilities } from "./ReceivePack.ts"

/** Until the capabilities: service line, flush, perhaps `version 1`, and the first ref. git's own are below 1 KiB. */
const maxHeadBytes = 131_072

export type AdvertisementReading =
  | { readonly _tag: "More" }
  /** Send these bytes; everything that follows passes as it is. */
  | { readonly _tag: "Filtered"; readonly bytes: Uint8Array }
  /** Not an advertisement: nothing of it may be passed on. */
  | { readonly _tag: "Malformed"; readonly why: string }

export interface AdvertisementFilter {
  readonly feed: (chunk: Uint8Array) => AdvertisementReading
}

const service = "# service=git-receive-pack"
/** `old name NUL capabilities`; in an empty repository the name is `capabilities^{}`. */
const firstRef = /^((?:[0-9a-f]{40}|[0-9a-f]{64}) [^\0\n]+\0)([^\0\n]*)(\n?)$/u

export const advertisementFilter = (): AdvertisementFilter => {
  let buffer: Uint8Array = new Uint8Array(0)
  let read = 0
  let lines = 0
  let over = false
  const out: Array<Uint8Array> = []
  const malformed = (why: string): AdvertisementReading => {
    over = true
    return { _tag: "Malformed", why }
  }

  /** One whole packet: kept as it is, or the one with the capabilities written anew. */
  const take = (length: number): AdvertisementReading | undefined => {
    const whole = buffer.subarray(read, read + Math.max(length, 4))
    read += whole.length
    // latin1 keeps every byte, so what is not changed goes out as it came in.
    const line = Array.from(whole.subarray(4), (byte) => String.fromCharCode(byte)).join("")
    lines++
    if (lines === 1 && line.replace(/\n$/u, "") !== service) return malformed("it does not begin with its service")
    if (line.includes("\0")) {
      const [, name, capabilities = "", end = ""] = firstRef.exec(line) ?? []
      if (name === undefined) return malformed("its first ref is not written as git writes it")
      const kept = capabilities.split(" ").filter((word) => pushCapabilities.has(word.split("=", 1)[0] ?? ""))
      const text = `${name}${kept.join(" ")}${end}`
      out.push(packet(Uint8Array.from(text, (character) => character.charCodeAt(0))))
      over = true
      return { _tag: "Filtered", bytes: joined([...out, buffer.subarray(read)]) }
    }
    if (lines > 1 && length !== 0 && !/^version 1\n?$/u.test(line)) {
      return malformed("its first ref names no capabilities")
    }
    if (lines > 4) return malformed("it has no refs")
    out.push(whole)
    return undefined
  }

  return {
    feed: (chunk) => {
      if (over) return malformed("bytes were fed after it was read")
      buffer = joined([buffer, chunk])
      for (;;) {
        const length = packetLength(buffer, read, buffer.length)
        if (length === "malformed") return malformed("a packet has a length that git does not write")
        if (length === undefined || read + Math.max(length, 4) > buffer.length) {
          return buffer.length > maxHeadBytes
            ? malformed("its capabilities are too far from its beginning")
            : { _tag: "More" }
        }
        const reading = take(length)
        if (reading !== undefined) return reading
      }
    }
  }
}
