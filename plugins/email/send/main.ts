#!/usr/bin/env node
/** `km-send`: hands a message to the sandbox's runtime, which signs, encrypts and delivers it. */
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from "node:fs"
import { basename } from "node:path"
import process from "node:process"
import { attachmentType } from "../attachmentType.ts"
import { foreignText, visibleJson } from "../foreignText.ts"
import { print, shown, type ShownMail } from "../shownMail.ts"
import { callThroughRestarts, callUntilAnswered, endWithReader, fail, trouble } from "../socketClient.ts"
import { sendArguments, usualWait } from "./sendArguments.ts"

const help = `km-send --to WHO [--to WHO] [--cc WHO] [--bcc WHO] --subject TEXT [--body FILE|-] [--attach FILE]
        [--reply-to WHO] [--in-reply-to ID] [--encrypt] [--wait-reply [SECONDS]] [--json]

WHO is a sandbox's id, alias or address; "operator" is the operator of the install. --to, --cc, --bcc and --attach may be
repeated. The body is read from FILE, or from standard input with - or without --body; with attachments at most 40 MB.
--encrypt refuses rather than send plain text. The message's id is printed, which --in-reply-to takes.
A runtime that restarts is waited for, for a minute; the message is delivered once.
--wait-reply waits, ten minutes unless told, for the verified reply of every recipient, prints each as it comes and marks
it as read: the text of one recipient's, with several each as km-recv shows it, under --json one object a line.
Exit codes: 0 delivered, 1 failed, 2 usage, 3 no such recipient, 4 no keys, 6 refused, 7 a reply did not come in time.
`

const pieceBytes = 64 * 1024

/** The runtime says what the install takes, which is less. */
const mostBodyBytes = 128 * 1024 * 1024

/**
 * All of standard input. Read at once where it is there, because to load Node's streams takes a tenth of this program's
 * time; a pipe may be non-blocking, and whoever writes into it may take their time: then the rest comes as a stream.
 */
const standardInput = async (): Promise<Uint8Array> => {
  const pieces: Array<Uint8Array> = []
  try {
    for (;;) {
      const piece = Buffer.allocUnsafe(pieceBytes)
      const size = readSync(0, piece)
      if (size === 0) return Buffer.concat(pieces)
      pieces.push(piece.subarray(0, size))
    }
  } catch (cause) {
    if (Object(cause).code !== "EAGAIN") throw cause
  }
  for await (const piece of process.stdin) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** Somebody types. To look at `process.stdin` alone would make a pipe non-blocking. */
const isTyped = (): boolean => {
  try {
    return fstatSync(0).isCharacterDevice() && process.stdin.isTTY
  } catch {
    // Closed: reading it says so.
    return false
  }
}

/** What is no file may have no end, or never begin; a pipe is not waited for. */
const regularFile = (file: string): Uint8Array => {
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    if (!fstatSync(descriptor).isFile()) throw new Error(`${file} is no regular file`)
    return readFileSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Of the body's pieces no more than any install takes: a device has no end. */
const bodyFile = (file: string): Uint8Array => {
  const descriptor = openSync(file, "r")
  try {
    const pieces: Array<Uint8Array> = []
    for (let total = 0;;) {
      const piece = Buffer.allocUnsafe(pieceBytes)
      const size = readSync(descriptor, piece)
      if (size === 0) return Buffer.concat(pieces)
      pieces.push(piece.subarray(0, size))
      if ((total += size) > mostBodyBytes) throw new Error(`${file} has more than ${mostBodyBytes} bytes`)
    }
  } finally {
    closeSync(descriptor)
  }
}

const bytesOf = async (file: string, of: "body" | "attachment"): Promise<Uint8Array> => {
  try {
    if (of === "attachment") return regularFile(file)
    return file === "-" ? await standardInput() : bodyFile(file)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : file
    throw trouble("KM-EML-109", 1, "A file cannot be read or written.", why, "check its path and rights")
  }
}

/** Prints the replies to a message as they come, until everybody has answered. */
const collect = async (id: string, recipients: number, waitSeconds: number, json: boolean): Promise<void> => {
  const until = Date.now() + waitSeconds * 1_000
  const seen = new Set<string>()
  for (;;) {
    const left = Math.max(0, (until - Date.now()) / 1_000)
    const request = { op: "replies", id, known: [...seen], waitSeconds: Math.min(30, left) }
    const answer = await callThroughRestarts(request, until)
    const replies = (answer?.header["messages"] ?? []) as ReadonlyArray<ShownMail>
    for (const mail of replies) {
      if (seen.has(mail.delivery)) continue
      await print(json ? `${visibleJson(mail)}\n` : recipients === 1 ? `${foreignText(mail.body)}\n` : shown(mail))
      seen.add(mail.delivery)
    }
    if (replies.length > 0) await callUntilAnswered({ op: "read", deliveries: replies.map(({ delivery }) => delivery) })
    if (answer === undefined) continue
    const missing = answer.header["missing"] as ReadonlyArray<string>
    const gone = answer.header["gone"] as ReadonlyArray<string>
    if (missing.length === 0) return
    if (missing.length === gone.length || Date.now() >= until) {
      const silent = missing.filter((who) => !gone.includes(who))
      const why = [
        ...(silent.length === 0 ? [] : [`within ${waitSeconds} s ${silent.join(", ")} did not answer ${id}`]),
        ...(gone.length === 0 ? [] : [`${gone.join(", ")} was destroyed without an answer`])
      ].join("; ")
      const next = silent.length === 0
        ? "ask another sandbox"
        : `later: km-recv --in-reply-to '${id}' --wait ${usualWait}`
      throw trouble("KM-EML-110", 7, "No message came within the time.", why, next)
    }
  }
}

/** 16 random bytes in base64url. Node's own generator costs 3 ms to load, a twelfth of this program. */
const randomName = (): string => {
  const bytes = Buffer.alloc(16)
  const device = openSync("/dev/urandom", "r")
  readSync(device, bytes)
  closeSync(device)
  return bytes.toString("base64url")
}

const run = async (): Promise<void> => {
  const values = sendArguments(process.argv.slice(2))
  if (values.help) return void process.stdout.write(help)
  const { wait } = values
  if (values.body === "-" && isTyped()) process.stderr.write("type the body, then Ctrl-D\n")
  const body = await bytesOf(values.body, "body")
  const files = await Promise.all(
    values.attach.map(async (file) => ({ name: basename(file), bytes: await bytesOf(file, "attachment") }))
  )
  const { header } = await callUntilAnswered({
    op: "send",
    // Of this invocation: asked again after a crash of the runtime, the message is not sent twice.
    invocation: randomName(),
    to: values.to,
    cc: values.cc,
    bcc: values.bcc,
    subject: values.subject,
    encrypt: values.encrypt,
    ...(wait === undefined ? {} : { awaitSeconds: wait }),
    ...(values["reply-to"] === undefined ? {} : { replyTo: values["reply-to"] }),
    ...(values["in-reply-to"] === undefined ? {} : { inReplyTo: values["in-reply-to"] }),
    bodySize: body.length,
    attachments: files.map(({ bytes, name }) => ({
      name,
      type: attachmentType(name),
      size: bytes.length
    }))
  }, [body, ...files.map(({ bytes }) => bytes)])
  const id = String(header["id"])
  if (wait !== undefined) {
    process.stderr.write(`sent ${id}\n`)
    return collect(id, values.to.length + values.cc.length + values.bcc.length, wait, values.json)
  }
  process.stdout.write(values.json ? `${visibleJson(header, 2)}\n` : `${id}\n`)
}

endWithReader()
run().catch((error: unknown) => fail(error, "km-send", process.argv.includes("--json")))
