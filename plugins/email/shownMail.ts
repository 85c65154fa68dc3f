/** Messages as the agent's mail programs print them. Plain Node, as `socketClient.ts`. */
import process from "node:process"
import { foreignAddress, foreignLine, foreignText } from "./foreignText.ts"

/** As the runtime hands it over; under `--json` it is printed whole. */
export interface ShownMail {
  readonly delivery: string
  readonly seq: number
  readonly status: string
  readonly reason: string
  readonly from: string
  readonly subject: string
  readonly date: string | null
  readonly body: string
  readonly attachments: ReadonlyArray<{ readonly name: string; readonly size: number }>
}

/** No line of a body stands where our own begin, so that no body passes for the head of another message. */
const indented = (body: string): string => body.split("\n").map((line) => line === "" ? "" : `  ${line}`).join("\n")

/** Characters of a subject and of a file's name: what signed ones may have at most. */
const longestSubject = 998
const longestName = 255

/**
 * For people: the status first, because it alone is ours to say, then one line for each field whatever is in it; bodies are
 * indented.
 */
export const shown = (mail: ShownMail): string =>
  [
    `${foreignLine(mail.status)}${mail.reason === "" ? "" : ` (${foreignLine(mail.reason)})`}  ${
      foreignAddress(mail.from)
    }${mail.date === null ? "" : `  ${foreignLine(mail.date)}`}`,
    `Subject: ${foreignLine(mail.subject, longestSubject)}`,
    `Id: ${foreignLine(mail.delivery, longestName)}`,
    ...mail.attachments.map(({ name, size }) =>
      `Attachment: ${foreignLine(name, longestName)} (${size} ${size === 1 ? "byte" : "bytes"})`
    ),
    "",
    indented(foreignText(mail.body)),
    ""
  ].join("\n")

/** Printed means written out: what is marked as read afterwards was seen by whoever reads our output. */
export const print = (text: string): Promise<void> =>
  new Promise((resolve, reject) =>
    process.stdout.write(text, (error) => error === undefined || error === null ? resolve() : reject(error))
  )
