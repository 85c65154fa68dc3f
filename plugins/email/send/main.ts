#!/usr/bin/env node
/** `km-send`: hands a message to the sandbox's runtime, which signs, encrypts and delivers it. */
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { basename } from "node:path"
import process from "node:process"
import { parseArgs } from "node:util"
import { attachmentType } from "../attachmentType.ts"
import { callUntilAnswered, fail, trouble } from "../socketClient.ts"

const help = `km-send --to WHO [--to WHO] [--cc WHO] [--bcc WHO] --subject TEXT [--body FILE|-] [--attach FILE]
        [--reply-to WHO] [--in-reply-to ID] [--encrypt] [--json]

WHO is a sandbox's id, alias or address; "operator" is the operator of the install. The body is read from FILE, or from standard input with - or without --body.
A runtime that restarts is waited for, for a minute; the message is delivered once.
Exit codes: 0 delivered, 1 failed, 2 usage, 3 no such recipient, 4 no keys, 6 refused.
`

const bytesOf = (file: string): Uint8Array => {
  try {
    return readFileSync(file === "-" ? 0 : file)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : file
    throw trouble("KM-EML-109", 1, "A file cannot be read or written.", why, "check its path and rights")
  }
}

const run = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      to: { type: "string", multiple: true, default: [] },
      cc: { type: "string", multiple: true, default: [] },
      bcc: { type: "string", multiple: true, default: [] },
      subject: { type: "string", default: "" },
      body: { type: "string", default: "-" },
      attach: { type: "string", multiple: true, default: [] },
      "reply-to": { type: "string" },
      "in-reply-to": { type: "string" },
      encrypt: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false }
    }
  })
  if (values.help) return void process.stdout.write(help)
  if (values.to.length === 0) throw new Error("give at least one --to")
  const body = bytesOf(values.body)
  const files = values.attach.map((file) => ({ name: basename(file), bytes: bytesOf(file) }))
  const { header } = await callUntilAnswered({
    op: "send",
    // Of this invocation: asked again after a crash of the runtime, the message is not sent twice.
    invocation: randomBytes(16).toString("base64url"),
    to: values.to,
    cc: values.cc,
    bcc: values.bcc,
    subject: values.subject,
    encrypt: values.encrypt,
    ...(values["reply-to"] === undefined ? {} : { replyTo: values["reply-to"] }),
    ...(values["in-reply-to"] === undefined ? {} : { inReplyTo: values["in-reply-to"] }),
    bodySize: body.length,
    attachments: files.map(({ bytes, name }) => ({
      name,
      type: attachmentType(name),
      size: bytes.length
    }))
  }, [body, ...files.map(({ bytes }) => bytes)])
  if (values.json) process.stdout.write(`${JSON.stringify(header, null, 2)}\n`)
  else process.stdout.write(`${String(header["id"])}\n`)
}

await run().catch((error: unknown) => fail(error, process.argv.includes("--json")))
