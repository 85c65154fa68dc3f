/** What a message gets on its way in: trace headers (RFC 5321 §4.4) and a name under which a repetition is known. */
import { sha256Hex } from "../../domain/text/Digest.ts"

export interface Hop {
  /** What the client called itself: anything. */
  readonly helo: string
  readonly remoteAddress: string
  /** Our own name. */
  readonly by: string
  /** `ESMTP`, `ESMTPS`, … */
  readonly protocol: string
  readonly id: string
  /** Unix milliseconds. */
  readonly at: number
  /** The envelope's sender; empty for bounces. */
  readonly mailFrom: string
}

/** A client's word as an atom of a trace header; nothing in it can end the line or begin a comment. */
const plain = (text: string): string => text.replaceAll(/[^A-Za-z0-9.:_-]/g, "").slice(0, 255) || "unknown"

/** What can stand between `<` and `>` without changing the header; others are left out, as a reader cannot use them. */
const isPlainPath = (address: string): boolean => /^[\x21-\x7e]{0,254}$/.test(address) && !/[<>\\"(),]/.test(address)

const date = (at: number): string => new Date(at).toUTCString().replace("GMT", "+0000")

/** `Return-Path` and `Received`, with CRLF line ends. The recipients are not named: one of them may be a blind one. */
export const traceHeaders = (hop: Hop): string =>
  (isPlainPath(hop.mailFrom) ? `Return-Path: <${hop.mailFrom}>\r\n` : "")
  + `Received: from ${plain(hop.helo)} ([${plain(hop.remoteAddress)}])\r\n`
  + `\tby ${plain(hop.by)} with ${plain(hop.protocol)} id ${plain(hop.id)};\r\n\t${date(hop.at)}\r\n`

/** Bytes in which headers are looked for. */
const lookedThrough = 256 * 1024

/** The header section, as Latin-1. */
const headOf = (raw: Uint8Array): string => {
  const text = Buffer.from(raw.buffer, raw.byteOffset, Math.min(raw.length, lookedThrough)).toString("latin1")
  const end = /\r?\n\r?\n/.exec(text)?.index
  return text.slice(0, end)
}

/** How many servers say that they passed it on. */
export const hopsOf = (raw: Uint8Array): number => headOf(raw).match(/^received:/gim)?.length ?? 0

/**
 * The same bytes from the same sender without a message id are one message for as long as this: a client that lost our
 * answer repeats within seconds, a job that mails the same words repeats after minutes.
 */
const sameForMillis = 2 * 60_000

/**
 * The delivery's names, newest first. Who sends the same message again, because our answer was lost, finds it under one of
 * them. With a `Message-ID` there is one name, for ever; without, one for each span of time, and the one before it is
 * looked up too.
 */
export const deliveryIds = (mailFrom: string, raw: Uint8Array, at: number): readonly [string, ...Array<string>] => {
  const id = `smtp/${sha256Hex(`${mailFrom}\n${sha256Hex(raw)}`)}`
  if (/^message-id:[ \t\r\n]*\S/im.test(headOf(raw))) return [id]
  const span = Math.floor(at / sameForMillis)
  return [`${id}/${span}`, `${id}/${span - 1}`]
}
