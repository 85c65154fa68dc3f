/**
 * What `km-attach` and the runtime say to each other: a 4-byte big-endian length, that many bytes of JSON, and behind a
 * request the file's bytes, whose number the JSON announces. Plain Node: the program waits for nothing else.
 */

/** First field of every request. */
export const protocolVersion = 1

export const maxHeaderBytes = 16 * 1024

export interface AttachRequest {
  readonly v: number
  readonly op: "attach"
  /** The same when the program asks again, so that nothing is attached twice. */
  readonly invocation: string
  readonly threadTs: string
  readonly name: string
  readonly size: number
}

export const frame = (header: unknown): Uint8Array => {
  const json = Buffer.from(JSON.stringify(header), "utf8")
  const length = Buffer.alloc(4)
  length.writeUInt32BE(json.length)
  return Buffer.concat([length, json])
}
