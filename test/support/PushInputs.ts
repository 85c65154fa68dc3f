/** Bodies of pushes, good and bent, from a seed: what tests of the command-list parser feed to it and to git. */
import { flushPacket, joined, packet, textPacket } from "../../runtime/domain/github/PktLine.ts"

export type Random = () => number

/** mulberry32: 32 bits of state, good enough to spread inputs, and the same everywhere. */
export const randomFrom = (seed: number): Random => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

const pick = <A>(random: Random, from: ReadonlyArray<A>): A => {
  const found = from[Math.floor(random() * from.length)]
  if (found === undefined) throw new Error("nothing to pick from")
  return found
}

const often = (random: Random, chance: number): boolean => random() < chance

/** An empty pack of version 2: header, no objects, and the SHA-1 of the header. */
export const emptyPack = Uint8Array.from(
  Buffer.from("5041434b0000000200000000029d08823bd8a8eab510ad6ac75c823cfd3ed31e", "hex")
)

export const zeroId = "0".repeat(40)

export interface PushWorld {
  /** Ids of objects that the repository has. */
  readonly ids: ReadonlyArray<string>
  /** Names of refs, those that exist among them. */
  readonly refs: ReadonlyArray<string>
}

const capabilityWords = [
  "report-status",
  "report-status-v2",
  "side-band-64k",
  "quiet",
  "ofs-delta",
  "agent=git/2.39.5",
  "object-format=sha1"
]
const oddWords = [
  "atomic",
  "push-options",
  "push-options=1",
  "object-format=sha256",
  "push-cert=nonce",
  "unknown",
  "a\tpush-options",
  "session-id=x"
]

const line = (random: Random, text: string): Uint8Array => textPacket(often(random, 0.3) ? `${text}\n` : text)

const capabilitiesOf = (random: Random, odd: number): string => {
  const words = capabilityWords.filter(() => often(random, 0.6))
  while (often(random, odd)) words.push(pick(random, oddWords))
  return `${often(random, 0.8) ? " " : ""}${words.join(" ")}`
}

const bend = (random: Random, text: string): string => {
  const at = Math.floor(random() * (text.length + 1))
  switch (Math.floor(random() * 12)) {
    case 0:
      return text.toUpperCase()
    case 1:
      return `${text}\n`
    case 2:
      return `${text}\r`
    case 3:
      return `${text}\0 push-options report-status`
    case 4:
      return `${text}\0`
    case 5:
      return text.replace(" ", "  ")
    case 6:
      return text.replace(" ", "\t")
    case 7:
      return ` ${text}`
    case 8:
      return `${text.slice(0, at)}\0${text.slice(at)}`
    case 9:
      return `${text.slice(0, at)}\n${text.slice(at)}`
    case 10:
      return text.slice(0, at)
    default:
      return `${text}/../main`
  }
}

/** Lines of a signed push, with commands inside that a parser which skips what it does not know would take or miss. */
const certificate = (random: Random, commands: ReadonlyArray<string>, caps: string): ReadonlyArray<Uint8Array> => [
  textPacket(`push-cert\0${caps}\n`),
  textPacket("certificate version 0.1\n"),
  textPacket("pusher A <a@example.com> 1 +0000\n"),
  textPacket("nonce x\n"),
  textPacket("\n"),
  ...commands.map((command) => textPacket(`${command}\n`)),
  textPacket("-----BEGIN PGP SIGNATURE-----\n"),
  ...(often(random, 0.8) ? [textPacket("push-cert-end\n")] : [])
]

/** A whole body. `odd` is how often something of it is not as git writes it, 0 to 1; 0 gives what clients send. */
export const pushBody = (random: Random, world: PushWorld, odd: number): Uint8Array => {
  const some = 1 + Math.floor(random() * 3)
  const commands = Array.from(
    { length: some },
    () => `${pick(random, [zeroId, ...world.ids])} ${pick(random, [zeroId, ...world.ids])} ${pick(random, world.refs)}`
  )
  const caps = capabilitiesOf(random, odd / 2)
  const shallow = often(random, 0.2) ? [line(random, `shallow ${pick(random, world.ids)}`)] : []
  const lines = commands.map((command, index) => {
    const bent = often(random, odd / some) ? bend(random, command) : command
    return index === 0 || often(random, odd / 4) ? line(random, `${bent}\0${caps}`) : line(random, bent)
  })
  const packets: Array<Uint8Array> = [...shallow, ...lines]
  const strike = (change: () => void): void => {
    if (often(random, odd / 3)) change()
  }
  const place = () => Math.floor(random() * (packets.length + 1))
  strike(() => packets.splice(place(), 0, line(random, `shallow ${pick(random, world.ids)}`)))
  strike(() =>
    packets.splice(
      place(),
      0,
      textPacket(pick(random, ["ERR no", "unknown line", "push-cert-end", "shallow x", "PACK"]))
    )
  )
  strike(() =>
    packets.splice(place(), 0, new TextEncoder().encode(pick(random, ["0001", "0002", "0003", "0004", "0000"])))
  )
  strike(() => packets.splice(place(), 0, ...certificate(random, commands, caps)))
  strike(() => packets.push(packets[0] ?? flushPacket))
  strike(() => packets.splice(place(), 1))
  const end = often(random, odd / 4) ? [] : [flushPacket]
  const options = / push-options/u.test(caps) && !often(random, odd / 4)
    ? [...(often(random, 0.7) ? [line(random, pick(random, ["ci.skip", "a=b", "x y", "k\0v"]))] : []), flushPacket]
    : []
  const pack = often(random, odd / 4) ? [] : [emptyPack]
  const body = joined([...packets, ...end, ...options, ...pack])
  if (often(random, odd / 4)) return body.subarray(0, Math.floor(random() * body.length))
  if (often(random, odd / 4)) {
    const flipped = body.slice()
    const at = Math.floor(random() * Math.min(flipped.length, 200))
    flipped[at] = often(random, 0.5) ? Math.floor(random() * 256) : (flipped[at] ?? 0) ^ 0x20
    return flipped
  }
  return body
}

/** The body in pieces of random lengths, empty ones among them. */
export const inPieces = (random: Random, body: Uint8Array): ReadonlyArray<Uint8Array> => {
  const pieces: Array<Uint8Array> = []
  let at = 0
  while (at < body.length) {
    const end = at + Math.floor(random() * (often(random, 0.3) ? 4 : 90))
    pieces.push(body.subarray(at, end))
    at = end
  }
  return pieces
}

/** One packet from bytes that are no text. */
export const rawPacket = (...bytes: ReadonlyArray<number>): Uint8Array => packet(Uint8Array.from(bytes))
