/** Where the bridge listens and who may connect: one decision, by the connection's own address and nothing that is forwarded. */

export interface BridgeListen {
  readonly host: string
  readonly port: number
}

/** `ADDRESS:PORT` of an IP address, `[…]` around one of version 6; undefined for anything else. */
export const parseListen = (text: string): BridgeListen | undefined => {
  const match = /^(?:\[([0-9a-f:.]+)\]|(\d{1,3}(?:\.\d{1,3}){3})):(\d{1,5})$/i.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port > 65_535 || !isIpAddress(host)) return undefined
  return { host, port }
}

const isV4 = (text: string): boolean => {
  const parts = text.split(".")
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)
}

/** A literal address of version 4 or 6, without a zone. */
export const isIpAddress = (text: string): boolean =>
  isV4(text) || (/^[0-9a-f:.]{2,45}$/i.test(text) && text.includes(":") && URL.canParse(`http://[${text}]/`))

/** One spelling for each address: a version 4 address that a version 6 socket reports is that version 4 address. */
export const plainAddress = (address: string): string => {
  const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  return address.includes(":") && isIpAddress(address) ? new URL(`http://[${address}]/`).hostname.slice(1, -1) : address
}

export const isLoopback = (address: string): boolean => {
  const plain = plainAddress(address)
  return plain === "::1" || (isV4(plain) && plain.startsWith("127."))
}

/** Paths that a reverse proxy forwards; everything else is for this machine. */
const publicPath = /^\/(events|interactive)$|^\/files\//

/** The address under which this machine's own programs reach what listens there. */
export const ownUrl = ({ host, port }: BridgeListen): string => {
  const plain = plainAddress(host)
  const reached = plain === "0.0.0.0" ? "127.0.0.1" : plain === "::" ? "::1" : plain
  return `http://${reached.includes(":") ? `[${reached}]` : reached}:${port}`
}

/** By the connection alone: loopback, or our own address at both ends. */
export const isThisMachine = (peer: string, own: string | undefined): boolean =>
  isLoopback(peer) || (own !== undefined && plainAddress(peer) === plainAddress(own))

/** Whether a connection is taken at all: this machine's own, and the one trusted proxy's. */
export const mayConnect = (
  peer: string | undefined,
  own: string | undefined,
  trustedProxy: string | undefined
): boolean =>
  peer !== undefined &&
  (isThisMachine(peer, own) || (trustedProxy !== undefined && plainAddress(peer) === plainAddress(trustedProxy)))

/** What a connection may ask for: this machine everything, everybody else what is public. */
export const mayAsk = (peer: string, own: string | undefined, path: string): boolean =>
  isThisMachine(peer, own) || publicPath.test(path)
