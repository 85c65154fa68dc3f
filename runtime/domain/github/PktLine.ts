/**
 * git's pkt-line (gitprotocol-common): four hex digits of length, themselves counted, then the payload; `0000` is a flush.
 * Narrower than git in reading: lower-case hex, and of the packets without payload the flush alone.
 */

/** Bytes of one packet with its length: git's LARGE_PACKET_MAX. */
export const maxPacketBytes = 65_520
export const maxPayloadBytes = maxPacketBytes - 4

export const flushPacket: Uint8Array = Uint8Array.of(0x30, 0x30, 0x30, 0x30)

/** `undefined`: the length is not there yet. `malformed`: no reading on. Lengths are those of the whole packet, 0 for a flush. */
export type PacketLength = number | "malformed" | undefined

const digit = (byte: number): number =>
  byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : byte >= 0x61 && byte <= 0x66 ? byte - 0x57 : -1

export const packetLength = (bytes: Uint8Array, at: number, end: number): PacketLength => {
  let length = 0
  for (let index = 0; index < 4; index++) {
    if (at + index >= end) return undefined
    const value = digit(bytes[at + index] ?? 0)
    if (value < 0) return "malformed"
    length = length * 16 + value
  }
  // 1 and 2 are delimiter and end of response, which no push has; 3 is nothing; 4 would be an empty line.
  return length === 0 || (length > 4 && length <= maxPacketBytes) ? length : "malformed"
}

const hex = (length: number): string => length.toString(16).padStart(4, "0")

/** One packet; the payload is at most 65,516 bytes. */
export const packet = (payload: Uint8Array): Uint8Array => {
  const whole = new Uint8Array(payload.length + 4)
  whole.set(new TextEncoder().encode(hex(whole.length)))
  whole.set(payload, 4)
  return whole
}

/** One packet of text in UTF-8; the line feed is the caller's. */
export const textPacket = (text: string): Uint8Array => packet(new TextEncoder().encode(text))

export const joined = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
