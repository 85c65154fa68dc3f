/**
 * The agent's end of the mail socket, for `km-send` and `km-recv`. Plain Node without Effect: an agent waits for these
 * programs, and most of their time is Node's own start.
 */
import { connect } from "node:net"
import process from "node:process"

/** First field of every request. */
export const protocolVersion = 1

/** A 4-byte big-endian length, that many bytes of JSON, then the blobs one after the other. */
export const frame = (header: unknown, blobs: ReadonlyArray<Uint8Array>): Uint8Array => {
  const json = Buffer.from(JSON.stringify(header), "utf8")
  const length = Buffer.alloc(4)
  length.writeUInt32BE(json.length)
  return Buffer.concat([length, json, ...blobs])
}

export interface Trouble {
  readonly code: string
  readonly exit: number
  readonly what: string
  readonly why: string
  readonly next: string
}

export interface Answer {
  readonly header: Readonly<Record<string, unknown>>
  readonly blob: Buffer
}

export const trouble = (code: string, exit: number, what: string, why: string, next: string): Trouble => ({
  code,
  exit,
  what,
  why,
  next
})

const unreachable = (why: string): Trouble =>
  trouble(
    "KM-EML-108",
    1,
    "The runtime of the sandbox does not answer.",
    why,
    "run it inside a sandbox whose runtime is up"
  )

/** One request, one answer. Rejects with a `Trouble`. */
export const call = (
  header: Readonly<Record<string, unknown>>,
  blobs: ReadonlyArray<Uint8Array> = []
): Promise<Answer> =>
  new Promise((resolve, reject: (trouble: Trouble) => void) => {
    const path = process.env["KM_MAIL_SOCKET"] ?? ""
    if (path === "") return reject(unreachable("KM_MAIL_SOCKET is not set"))
    const chunks: Array<Buffer> = []
    const socket = connect({ path })
    socket.on("error", (error) => reject(unreachable(error.message)))
    socket.on("data", (chunk: Buffer) => chunks.push(chunk))
    socket.on("close", () => {
      const all = Buffer.concat(chunks)
      const length = all.length < 4 ? Infinity : all.readUInt32BE(0)
      if (all.length < 4 + length) return reject(unreachable("the answer was cut off"))
      const answer: unknown = JSON.parse(all.subarray(4, 4 + length).toString("utf8"))
      if (typeof answer !== "object" || answer === null) return reject(unreachable("the answer is no answer"))
      const fields: Record<string, unknown> = { ...answer }
      if (fields["ok"] === true) return resolve({ header: fields, blob: all.subarray(4 + length) })
      const error = Object(fields["error"])
      reject(trouble(
        String(error["code"]),
        Number(error["exit"]),
        String(error["what"]),
        String(error["why"]),
        String(error["next"])
      ))
    })
    socket.end(frame({ v: protocolVersion, ...header }, blobs))
  })

/** Tells a person, and a program under `--json`, and ends with the exit code. */
export const fail = (error: unknown, json: boolean): never => {
  const { code, exit, next, what, why }: Trouble = typeof error === "object" && error !== null && "exit" in error
    ? error as Trouble
    : trouble("KM-EML-105", 2, "The command line is not right.", error instanceof Error ? error.message : "", "--help")
  if (json) process.stdout.write(`${JSON.stringify({ ok: false, error: { code, what, why, next } }, null, 2)}\n`)
  process.stderr.write(`error ${code}: ${what}\n  why:  ${why}\n  next: ${next}\n`)
  process.exit(exit)
}
