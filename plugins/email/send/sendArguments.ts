/** The command line of `km-send`. */
import { parseArgs } from "node:util"

/** Seconds of `--wait-reply` without a number. */
export const usualWait = "600"
/** A message lives so long. */
const longestWait = 7 * 24 * 3_600

/** `--wait-reply` may stand alone, which `parseArgs` does not know. */
const withWait = (args: ReadonlyArray<string>): Array<string> =>
  args.flatMap((arg, n) => arg === "--wait-reply" && !/^\d+$/.test(args[n + 1] ?? "") ? [arg, usualWait] : [arg])

/** Throws a sentence about what is wrong. `wait` is in seconds, undefined when nobody waits. */
export const sendArguments = (args: ReadonlyArray<string>) => {
  const { values } = parseArgs({
    args: withWait(args),
    options: {
      "wait-reply": { type: "string" },
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
      help: { type: "boolean", short: "h", default: false }
    }
  })
  const wait = values["wait-reply"] === undefined ? undefined : Number(values["wait-reply"])
  if (values.help) return { ...values, wait }
  if (values.to.length === 0) throw new Error("give at least one --to")
  if (wait !== undefined && !(wait >= 1 && wait <= longestWait)) {
    throw new Error(`--wait-reply takes 1 to ${longestWait} seconds`)
  }
  return { ...values, wait }
}
