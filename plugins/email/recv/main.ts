#!/usr/bin/env node
/** `km-recv`: shows what the sandbox's runtime received and verified, newest first. */
import process from "node:process"
import { foreignLine, visibleJson } from "../foreignText.ts"
import { savedAttachments } from "../savedAttachments.ts"
import { print, shown, type ShownMail } from "../shownMail.ts"
import { call, callThroughRestarts, endWithReader, fail, trouble } from "../socketClient.ts"
import { recvArguments } from "./recvArguments.ts"

const help = `km-recv [--json] [--id ID] [--from WHO] [--subject TEXT] [--in-reply-to ID] [--wait SECONDS] [--watch]
        [--mark-read] [--save-attachments DIR] [--raw] [--limit N]

Shows the newest unread messages, 20 unless --limit says otherwise (1 to 500), with --id one message whether read or not.
--from takes the sender's id or address, --subject a part of the subject, --in-reply-to the id that km-send printed.
--mark-read marks what was printed as read. --wait waits for a first one, --watch goes on until Ctrl-C, oldest first, with
all that comes, one message a line under --json. --save-attachments makes DIR and writes over nothing; --raw is the message as it travelled.
Exit codes: 0 done, 1 failed, 2 usage, 3 no such message, 6 refused, 7 nothing came within --wait.
`

/** Source: PATH_MAX of Linux. */
const longestPath = 4_096

const saveAttachments = async (mail: ShownMail, directory: string): Promise<void> => {
  if (mail.attachments.length === 0) return
  const { blob } = await call({ op: "attachments", delivery: mail.delivery })
  let at = 0
  const parts = mail.attachments.map(({ name, size }) => ({ name, bytes: blob.subarray(at, at += size) }))
  try {
    for (const file of savedAttachments(directory, parts)) {
      process.stderr.write(`saved ${foreignLine(file, longestPath)}\n`)
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : directory
    throw trouble("KM-EML-109", 1, "A file cannot be read or written.", why, "check its path and rights")
  }
}

const messagesIn = (header: Readonly<Record<string, unknown>> | undefined): ReadonlyArray<ShownMail> =>
  (header?.["messages"] ?? []) as ReadonlyArray<ShownMail>

const run = async (): Promise<void> => {
  const values = recvArguments(process.argv.slice(2))
  if (values.help) return void process.stdout.write(help)
  const { limit, wait } = values
  const filter = {
    ...(values.id === undefined ? {} : { id: values.id }),
    ...(values.from === undefined ? {} : { from: values.from }),
    ...(values.subject === undefined ? {} : { subject: values.subject }),
    ...(values["in-reply-to"] === undefined ? {} : { inReplyTo: values["in-reply-to"] })
  }
  const until = Date.now() + wait * 1_000
  const ask = async (waitSeconds: number): Promise<ReadonlyArray<ShownMail>> =>
    messagesIn((await callThroughRestarts({ op: "list", limit, waitSeconds, ...filter }, until))?.header)
  const hand = async (messages: ReadonlyArray<ShownMail>): Promise<void> => {
    if (values.raw) {
      for (const { delivery } of messages) process.stdout.write((await call({ op: "raw", delivery })).blob)
    } else if (values.json && values.watch) { for (const mail of messages) await print(`${visibleJson(mail)}\n`) }
    else if (values.json) await print(`${visibleJson(messages, 2)}\n`)
    else for (const mail of messages) await print(shown(mail))
    const directory = values["save-attachments"]
    if (directory !== undefined) { for (const mail of messages) await saveAttachments(mail, directory) }
    if (values["mark-read"] && messages.length > 0) {
      await call({ op: "read", deliveries: messages.map(({ delivery }) => delivery) })
    }
  }
  if (values.watch) {
    // How far the runtime has looked; absent until it has.
    let place: { readonly after?: unknown } = {}
    while (true) {
      const request = { op: "list", limit, waitSeconds: 30, watch: true, ...place, ...filter }
      const answer = await callThroughRestarts(request, Infinity)
      const messages = messagesIn(answer?.header)
      if (messages.length > 0) await hand(messages)
      if (answer !== undefined) place = { after: answer.header["upTo"] }
    }
  }
  let messages = await ask(Math.min(30, wait))
  while (messages.length === 0 && Date.now() < until) {
    messages = await ask(Math.min(30, Math.max(0, (until - Date.now()) / 1_000)))
  }
  if (messages.length === 0 && wait > 0) {
    throw trouble("KM-EML-110", 7, "No message came within the time.", `${wait} s`, "wait longer with --wait")
  }
  if (messages.length === 0 && values.id !== undefined) {
    throw trouble("KM-EML-106", 3, "No message has this id.", values.id, "km-recv --json shows the ids")
  }
  await hand(messages)
}

endWithReader()
run().catch((error: unknown) => fail(error, "km-recv", process.argv.includes("--json")))
