#!/usr/bin/env node
/**
 * `km-attach`: shows files of the agent's in the thread that it works for. It opens them itself, as the agent, so what
 * the agent cannot read cannot be attached, whatever a link points to.
 */
import { closeSync, constants, fstatSync, openSync, read, readSync } from "node:fs"
import { connect } from "node:net"
import { basename } from "node:path"
import process from "node:process"
import { parseArgs } from "node:util"
import { frame, protocolVersion } from "../attachWire.ts"

const help = `km-attach FILE… [--json]

Shows each FILE in the Slack thread whose message you work on. Regular files only, as they are when they are read; how large
they may be is told with the message. What they hold is not redacted.
Exit codes: 0 attached, 1 failed, 2 usage, 6 refused.
`

interface Trouble {
  readonly code: string
  readonly exit: number
  readonly what: string
  readonly why: string
  readonly next: string
  readonly passing?: boolean
}

const unreachable = (why: string, passing: boolean): Trouble => ({
  code: "KM-SLK-313",
  exit: 1,
  what: "The runtime of the sandbox does not answer.",
  why,
  next: "run it inside a sandbox whose runtime is up",
  passing
})

const unreadable = (why: string): Trouble => ({
  code: "KM-SLK-315",
  exit: 1,
  what: "The file cannot be attached.",
  why,
  next: "check its path and rights"
})

/** Errors of a runtime that is not there for the moment, or was cut off in the middle. */
const away = new Set(["ECONNREFUSED", "ECONNRESET", "ENOENT", "EPIPE", "EAGAIN"])
/** Tries for as long as a runtime takes to restart. */
const restartMillis = 60_000
const pieceBytes = 64 * 1024

/** 16 random bytes in base64url. */
const randomName = (): string => {
  const bytes = Buffer.alloc(16)
  const device = openSync("/dev/urandom", "r")
  readSync(device, bytes)
  closeSync(device)
  return bytes.toString("base64url")
}

const reasonOf = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

/** Open to the end: whatever happens to the path meanwhile, it is this file that is read. A pipe is not waited for. */
const opened = (file: string): { readonly descriptor: number; readonly size: number } => {
  let descriptor: number
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    throw unreadable(reasonOf(cause))
  }
  const found = fstatSync(descriptor)
  if (found.isFile()) return { descriptor, size: found.size }
  closeSync(descriptor)
  throw unreadable(`${file} is no regular file`)
}

/** One piece at `position`; empty at the end. */
const piece = (descriptor: number, buffer: Buffer, position: number, most: number): Promise<Buffer> =>
  new Promise((resolve, reject) =>
    read(
      descriptor,
      buffer,
      0,
      Math.min(buffer.length, most),
      position,
      (error, size) => error === null ? resolve(buffer.subarray(0, size)) : reject(error)
    )
  )

const isWhole = (chunks: ReadonlyArray<Buffer>): boolean => {
  const all = Buffer.concat(chunks)
  return all.length >= 4 && all.length >= 4 + all.readUInt32BE(0)
}

const answerOf = (chunks: ReadonlyArray<Buffer>): Readonly<Record<string, unknown>> => {
  const all = Buffer.concat(chunks)
  const length = all.length < 4 ? Infinity : all.readUInt32BE(0)
  if (all.length < 4 + length) throw unreachable("the answer was cut off", true)
  const answer: Record<string, unknown> = Object(JSON.parse(all.subarray(4, 4 + length).toString("utf8")))
  if (answer["ok"] === true) return answer
  const error = Object(answer["error"])
  const text = (key: string): string => String(error[key])
  throw {
    code: text("code"),
    exit: Number(error["exit"]),
    what: text("what"),
    why: text("why"),
    next: text("next")
  } satisfies Trouble
}

/** One request, one answer; never more than a piece of the file in memory. */
const call = (path: string, header: object, descriptor: number, size: number) =>
  new Promise<Readonly<Record<string, unknown>>>((resolve, reject) => {
    const chunks: Array<Buffer> = []
    let refused: unknown
    const socket = connect({ path })
    socket.on("error", (error: NodeJS.ErrnoException) => {
      refused ??= unreachable(error.message, away.has(error.code ?? ""))
    })
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk)
      // A refusal comes before the file is read to its end: nobody takes the rest.
      if (isWhole(chunks)) socket.destroy()
    })
    socket.on("close", () => {
      try {
        if (chunks.length === 0 && refused !== undefined) throw refused
        resolve(answerOf(chunks))
      } catch (error) {
        reject(error)
      }
    })
    const written = (bytes: Uint8Array) =>
      new Promise<boolean>((done) => socket.write(bytes, (error) => done(error === null || error === undefined)))
    const send = async () => {
      let going = await written(frame(header))
      for (let at = 0; going && at < size;) {
        const buffer = Buffer.allocUnsafe(pieceBytes)
        const next = await piece(descriptor, buffer, at, size - at)
        if (next.length === 0) {
          refused = unreadable("it became shorter while it was read")
          return void socket.destroy()
        }
        going = await written(next)
        at += next.length
      }
      socket.end()
    }
    send().catch((cause: unknown) => {
      refused = unreadable(reasonOf(cause))
      socket.destroy()
    })
  })

const attach = async (path: string, threadTs: string, file: string) => {
  const { descriptor, size } = opened(file)
  try {
    const header = {
      v: protocolVersion,
      op: "attach",
      // Of this file of this invocation: asked again after a crash of the runtime, it is not attached twice.
      invocation: randomName(),
      threadTs,
      name: basename(file),
      size
    }
    const until = Date.now() + restartMillis
    for (let pause = 50;; pause = Math.min(pause * 2, 1_000)) {
      try {
        return await call(path, header, descriptor, size)
      } catch (error) {
        if (Object(error)["passing"] !== true || Date.now() + pause > until) throw error
        await new Promise((resolve) => setTimeout(resolve, pause))
      }
    }
  } finally {
    closeSync(descriptor)
  }
}

const run = async (): Promise<void> => {
  const { positionals, values } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    options: { json: { type: "boolean", default: false }, help: { type: "boolean", short: "h", default: false } }
  })
  if (values.help) return void process.stdout.write(help)
  if (positionals.length === 0) throw new Error("give at least one FILE")
  const path = process.env["KM_FILES_SOCKET"] ?? ""
  if (path === "") throw unreachable("KM_FILES_SOCKET is not set: this is no sandbox with chat", false)
  for (const file of positionals) {
    const { name, size } = await attach(path, process.env["KM_SLACK_THREAD_TS"] ?? "", file)
    process.stdout.write(
      values.json ? `${JSON.stringify({ ok: true, file: name, size })}\n` : `attached ${String(name)}\n`
    )
  }
}

/** One line without what drives a terminal. */
const line = (text: string): string => text.replaceAll(/[\p{Cc}\p{Cf}]+/gu, " ").slice(0, 1_000)

const fail = (error: unknown): void => {
  const trouble: Trouble = typeof error === "object" && error !== null && "exit" in error
    ? error as Trouble
    : {
      code: "KM-SLK-314",
      exit: 2,
      what: "The command line is not right.",
      why: reasonOf(error),
      next: "km-attach --help"
    }
  const { code, exit, next: then, what, why } = trouble
  if (process.argv.includes("--json")) {
    process.stdout.write(`${JSON.stringify({ ok: false, error: { code, what, why, next: then } })}\n`)
  }
  process.stderr.write(`error ${code}: ${line(what)}\n  why:  ${line(why)}\n  next: ${line(then)}\n`)
  process.exitCode = exit
}

run().catch(fail)
