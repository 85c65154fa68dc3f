/** Messages as the agent's mail programs print them. Plain Node, as `socketClient.ts`. */
import process from "node:process"
import { plainText } from "./savedAttachments.ts"

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

/** For people; bodies are indented. */
export const shown = (mail: ShownMail): string =>
  [
    `${plainText(mail.from)}  ${mail.status}${mail.reason === "" ? "" : ` (${mail.reason})`}  ${mail.date ?? ""}`,
    `Subject: ${plainText(mail.subject)}`,
    `Id: ${mail.delivery}`,
    ...mail.attachments.map(({ name, size }) =>
      `Attachment: ${plainText(name)} (${size} ${size === 1 ? "byte" : "bytes"})`
    ),
    "",
    indented(plainText(mail.body)),
    ""
  ].join("\n")

/** Printed means written out: what is marked as read afterwards was seen by whoever reads our output. */
export const print = (text: string): Promise<void> =>
  new Promise((resolve, reject) =>
    process.stdout.write(text, (error) => error === undefined || error === null ? resolve() : reject(error))
  )
