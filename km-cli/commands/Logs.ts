/** `km logs`: what the parts of the stack wrote, merged by time; with a sandbox only the lines that are about it. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { foreignLine, visibleJson } from "../../runtime/domain/text/ForeignText.ts"
import { opened } from "../Opened.ts"
import { data, JsonFlag, ReaderGone } from "../Output.ts"
import { resolve } from "../Reference.ts"
import { logFile } from "../up/Child.ts"

const parts = ["workspace", "model", "bridge", "control", "runtime", "mail-in", "mail-out"] as const

export interface LogsInput {
  readonly reference: Option.Option<string>
  readonly part: Option.Option<typeof parts[number]>
  readonly lines: number
  readonly follow: boolean
}

const Entry = Schema.fromJsonString(Schema.Struct({
  timestamp: Schema.String,
  level: Schema.String,
  message: Schema.Unknown,
  /** With the errors that caused it and their stacks, one a line. */
  cause: Schema.optionalKey(Schema.String),
  annotations: Schema.optionalKey(Schema.Record(Schema.String, Schema.Unknown))
}))
const decodeEntry = Schema.decodeUnknownOption(Entry)

interface Line {
  readonly part: string
  /** A line that is none of our logger's, such as the stack of a crash, belongs to the one before it. */
  readonly at: string
  readonly text: string
  readonly json: unknown
}

const shown = (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value)

/** Characters of one entry. */
const longestEntry = 20_000

/** Programs log what others wrote, and one line in the file stays one line on the screen. */
const inert = (text: string): string => foreignLine(text, longestEntry)

/** A line that no logger of ours wrote; its indent stays, as that of a stack trace. */
const rawLine = (text: string): string => `${/^ {0,20}/.exec(text)?.[0] ?? ""}${inert(text)}`

const lineOf = (part: string, raw: string, before: string): Line => {
  const decoded = decodeEntry(raw)
  if (Option.isNone(decoded)) {
    return { part, at: before, text: `${part}: ${rawLine(raw)}`, json: { part, line: raw } }
  }
  const { annotations = {}, cause = "", level, message, timestamp } = decoded.value
  const notes = Object.entries(annotations).map(([key, value]) => `${key}=${shown(value)}`).join(" ")
  const head = `${inert(timestamp)} ${inert(level).padEnd(5)} ${part}: ${inert([message].flat().map(shown).join(" "))}${
    notes === "" ? "" : `  ${inert(notes)}`
  }`
  const chain = cause.split("\n").filter((line) => line.trim() !== "")
  return {
    part,
    at: timestamp,
    text: [head, ...chain.map((line) => `    ${inert(line)}`)].join("\n"),
    json: { part, ...decoded.value }
  }
}

/** Milliseconds between two looks at files that are followed. */
const lookEvery = 500

export const logs = Effect.fn("km.logs")(function*(input: LogsInput) {
  const { backend } = yield* opened
  yield* backend.install
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const wanted = Option.match(input.part, { onNone: () => [...parts], onSome: (part) => [part] })
  const about = Option.isNone(input.reference)
    ? undefined
    : (yield* Effect.provide(resolve(input.reference.value), backend.ports("short"))).id
  const read = Effect.fnUntraced(function*() {
    const all: Array<Line> = []
    for (const part of wanted) {
      const file = logFile(path.join(backend.paths.run, "logs"), part)
      const text = yield* Effect.orElseSucceed(fs.readFileString(file), () => "")
      let at = ""
      for (const raw of text.split("\n")) {
        if (raw === "") continue
        const line = lineOf(part, raw, at)
        at = line.at
        if (about === undefined || raw.includes(about)) all.push(line)
      }
    }
    return all.toSorted((a, b) => a.at < b.at ? -1 : a.at > b.at ? 1 : 0)
  })
  /** Sizes tell whether there is anything to read again. */
  const sizes = Effect.map(
    Effect.forEach(wanted, (part) =>
      fs.stat(logFile(path.join(backend.paths.run, "logs"), part)).pipe(
        Effect.map(({ size }) => String(size)),
        Effect.orElseSucceed(() => "")
      )),
    (all) => all.join()
  )
  let before = yield* sizes
  const first = yield* read()
  const last = input.lines === 0 ? [] : first.slice(-input.lines)
  yield* data(last.map(({ text }) => text), { ok: true, lines: last.map(({ json }) => json) })
  if (!input.follow) return
  const json = yield* JsonFlag
  const seen = new Set(first.map(({ text }) => text))
  const following = Effect.gen(function*() {
    while (true) {
      yield* Effect.sleep(lookEvery)
      const after = yield* sizes
      if (after === before) continue
      before = after
      for (const line of yield* read()) {
        if (seen.has(line.text)) continue
        seen.add(line.text)
        yield* Console.log(json ? visibleJson(line.json) : line.text)
      }
    }
  })
  yield* Effect.raceFirst(following, yield* ReaderGone)
})
