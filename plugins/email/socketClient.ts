/**
 * The agent's end of the mail socket, for `km-send` and `km-recv`. Plain Node without Effect: an agent waits for these
 * programs, and most of their time is Node's own start.
 */
import { connect } from "node:net"
import process from "node:process"
import { foreignLine, visibleJson } from "./foreignText.ts"

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
  /** A runtime that restarts does this too: worth another try. */
  readonly passing?: boolean
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

const unreachable = (why: string, passing: boolean): Trouble => ({
  ...trouble(
    "KM-EML-108",
    1,
    "The runtime of the sandbox does not answer.",
    why,
    "run it inside a sandbox whose runtime is up"
  ),
  passing
})

/** Tries for as long as a runtime takes to restart, after a kill at worst until the lease of the old one ends (30 s). */
const restartMillis = 60_000

/** Errors of a runtime that is not there for the moment: no socket, nobody at it, cut off in the middle. */
const away = new Set(["ECONNREFUSED", "ECONNRESET", "ENOENT", "EPIPE", "EAGAIN"])

/** One request, one answer. Rejects with a `Trouble`. */
export const call = (
  header: Readonly<Record<string, unknown>>,
  blobs: ReadonlyArray<Uint8Array> = []
): Promise<Answer> =>
  new Promise((resolve, reject: (trouble: Trouble) => void) => {
    const path = process.env["KM_MAIL_SOCKET"] ?? ""
    if (path === "") return reject(unreachable("KM_MAIL_SOCKET is not set: this is no sandbox with mail", false))
    const chunks: Array<Buffer> = []
    const socket = connect({ path })
    socket.on("error", (error: NodeJS.ErrnoException) => reject(unreachable(error.message, away.has(error.code ?? ""))))
    socket.on("data", (chunk: Buffer) => chunks.push(chunk))
    socket.on("close", () => {
      const all = Buffer.concat(chunks)
      const length = all.length < 4 ? Infinity : all.readUInt32BE(0)
      if (all.length < 4 + length) return reject(unreachable("the answer was cut off", true))
      const answer: unknown = JSON.parse(all.subarray(4, 4 + length).toString("utf8"))
      if (typeof answer !== "object" || answer === null) return reject(unreachable("the answer is no answer", false))
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

/**
 * `call` until there is an answer, for a minute: only for requests that may be made twice, because a runtime may have
 * died after it did what was asked and before it said so.
 */
export const callUntilAnswered = async (
  header: Readonly<Record<string, unknown>>,
  blobs: ReadonlyArray<Uint8Array> = []
): Promise<Answer> => {
  const until = Date.now() + restartMillis
  for (let pause = 50;; pause = Math.min(pause * 2, 1_000)) {
    try {
      return await call(header, blobs)
    } catch (error) {
      if (Object(error)["passing"] !== true || Date.now() + pause > until) throw error
      if (pause === 50) process.stderr.write("the runtime does not answer; trying again for a minute\n")
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }
}

/**
 * As `call`, for who waits until then (Unix milliseconds, or `Infinity`): a runtime that is started again is back within
 * a minute. `undefined` when it was away; ask again.
 */
export const callThroughRestarts = async (
  header: Readonly<Record<string, unknown>>,
  until: number
): Promise<Answer | undefined> => {
  try {
    return await call(header)
  } catch (error) {
    if (Object(error)["passing"] !== true || Date.now() >= until) throw error
    await new Promise((resolve) => setTimeout(resolve, 500))
    return undefined
  }
}

/** As shells have it for a program whose reader has gone. */
const readerGone = 141

/**
 * Ends without a word when nobody reads the output any more, as in `km-recv | head -1`. Progress that nobody reads ends
 * nothing: a letter on its way is sent.
 */
export const endWithReader = (): void => {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? readerGone : 1))
  process.stderr.on("error", () => undefined)
}

/** What is wrong may be said in words of others: an id, a name, a path. */
const reason = (text: string): string => foreignLine(text, 2_000)

/** Tells a person, and a program under `--json`, and ends with the exit code. */
export const fail = (error: unknown, program: string, json: boolean): never => {
  const { code, exit, next, what, why }: Trouble = typeof error === "object" && error !== null && "exit" in error
    ? error as Trouble
    : trouble(
      "KM-EML-105",
      2,
      "The command line is not right.",
      error instanceof Error ? error.message : "",
      `${program} --help`
    )
  if (json) process.stdout.write(`${visibleJson({ ok: false, error: { code, what, why, next } }, 2)}\n`)
  process.stderr.write(`error ${code}: ${reason(what)}\n  why:  ${reason(why)}\n  next: ${reason(next)}\n`)
  process.exit(exit)
}
