/** Standard output is data, standard error is talk: the two doors every command prints through. */
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import process from "node:process"
import { foreignLine, foreignText, visibleJson } from "../runtime/domain/text/ForeignText.ts"
import type { KmError } from "./KmError.ts"

/** On every command: one JSON document on standard output, of the shape that the command's help names. */
export const JsonFlag = GlobalFlag.Setting("json")({
  flag: Flag.Boolean("json").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Print one JSON document on standard output")
  )
})

/** `--lines`, `-n`: how many lines at most, 0 or more. */
export const linesGiven = Flag.Int("lines").pipe(
  Flag.filter((lines) => lines >= 0, (lines) => `0 or more, not ${lines}`),
  Flag.withAlias("n")
)

/** The same, of commands that show `usual` many otherwise. */
export const linesFlag = (usual: number) =>
  linesGiven.pipe(Flag.withDefault(usual), Flag.withDescription("How many, the newest; 0 for none"))

/** The requirement of everything that prints data. */
export type PrintsData = GlobalFlag.Setting.Identifier<"json">

/** Whether this command line has printed its JSON document; a failure after it must not print a second one. */
export const Printed = Context.Reference<{ json: boolean }>("km/cli/Printed", {
  defaultValue: () => ({ json: false })
})

/**
 * Completes when nobody reads standard output any more. Only what would go on printing for ever ends by it: everything
 * else completes what it has begun, and its output is lost.
 */
export const ReaderGone = Context.Reference<Effect.Effect<void>>("km/cli/ReaderGone", {
  defaultValue: () => Effect.never
})

/** Set by a command that runs until somebody ends it: SIGTERM, which `km down` and systemd send, is then its success. */
export const Serving = Context.Reference<{ serving: boolean }>("km/cli/Serving", {
  defaultValue: () => ({ serving: false })
})

/** From here on the command runs until somebody ends it. */
export const serving = Effect.map(Serving, (ref) => void (ref.serving = true))

/** The command's result, inert whoever wrote what is in it: lines for people, or the same as one JSON document, which says `ok: false` if it is bad news. */
export const data = Effect.fnUntraced(function*(lines: ReadonlyArray<string>, json: unknown) {
  if (yield* JsonFlag) {
    const printed = yield* Printed
    printed.json = true
    return yield* Console.log(visibleJson(json, 2))
  }
  for (const line of lines) yield* Console.log(foreignText(line))
})

/**
 * Whether one person sees both standard output and standard error: what was talked of as it came is then not printed once
 * more as data.
 */
export const OneTerminal = Context.Reference<boolean>("km/cli/OneTerminal", {
  defaultValue: () => process.stdout.isTTY === true && process.stderr.isTTY === true
})

/** Progress, notes and questions: standard error, never parsed; inert as what `data` prints. */
export const talk = (line: string): Effect.Effect<void> => Console.error(foreignText(line))

/** Characters of a reason: it may name paths and quote programs. */
const longestReason = 4_000

/** Three lines at most: code and what, why, what next. Reasons quote what others wrote, and are one line all the same. */
export const errorLines = (error: KmError): ReadonlyArray<string> => [
  `error ${error.code}: ${foreignLine(error.what, longestReason)}`,
  ...(error.why === "" ? [] : [`  why:  ${foreignLine(error.why, longestReason)}`]),
  ...(error.next === "" ? [] : [`  next: ${foreignLine(error.next, longestReason)}`])
]

/** The stable shape of a failure under `--json`. */
export const errorJson = (error: KmError) => ({
  ok: false,
  error: { code: error.code, what: error.what, why: error.why, next: error.next }
})

/** Columns padded to their widest cell, two spaces apart; nothing trails. A row is one line, whatever a cell holds. */
export const columns = (table: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const rows = table.map((row) => row.map((cell) => foreignText(cell).replaceAll("\n", " ")))
  const widths: Array<number> = []
  for (const row of rows) row.forEach((cell, at) => widths[at] = Math.max(widths[at] ?? 0, cell.length))
  return rows.map((row) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join("  ").trimEnd())
}

/** `3m`, `2h 5m`, `4d 1h`: two units at most, for people. */
export const span = (millis: number): string => {
  const seconds = Math.max(0, Math.round(millis / 1_000))
  const units = [[86_400, "d"], [3_600, "h"], [60, "m"], [1, "s"]] as const
  const at = units.findIndex(([size]) => seconds >= size)
  if (at === -1) return "0s"
  const [size, name] = units[at] ?? [1, "s"]
  const [smaller, smallerName] = units[at + 1] ?? [0, ""]
  const rest = smaller === 0 ? 0 : Math.floor((seconds % size) / smaller)
  return `${Math.floor(seconds / size)}${name}${rest === 0 || size === 60 ? "" : ` ${rest}${smallerName}`}`
}
