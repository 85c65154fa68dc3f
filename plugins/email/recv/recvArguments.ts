/** The command line of `km-recv`. */
import { parseArgs } from "node:util"

/** Throws a sentence about what is wrong. `wait` is in seconds, `limit` 1 to 500. */
export const recvArguments = (args: ReadonlyArray<string>) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: "boolean", default: false },
      watch: { type: "boolean", default: false },
      "mark-read": { type: "boolean", default: false },
      id: { type: "string" },
      "save-attachments": { type: "string" },
      raw: { type: "boolean", default: false },
      wait: { type: "string", default: "0" },
      from: { type: "string" },
      subject: { type: "string" },
      "in-reply-to": { type: "string" },
      limit: { type: "string", default: "20" },
      help: { type: "boolean", short: "h", default: false }
    }
  })
  const wait = Number(values.wait)
  const limit = Number(values.limit)
  if (values.help) return { ...values, limit, wait }
  if (values.raw && values.json) throw new Error("--raw and --json are two forms; give one of them")
  if (values.wait === "" || !(wait >= 0)) throw new Error("--wait takes seconds")
  if (!Number.isInteger(limit) || limit < 1 || limit > 500) throw new Error("--limit takes 1 to 500")
  for (const name of ["id", "from", "subject", "in-reply-to"] as const) {
    if (values[name] === "") throw new Error(`--${name} is empty; leave it out, or say what is looked for`)
  }
  return { ...values, limit, wait }
}
