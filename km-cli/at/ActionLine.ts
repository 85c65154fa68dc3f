/** What a person types for an action, as words: `agent run sb-a --prompt …`; read whole or refused. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import {
  type ActionKind,
  kindText,
  maxScheduledText,
  maxSteps,
  ScheduledAction,
  type ScheduleStep,
  stepsOf
} from "../../runtime/domain/schedule/ScheduleAction.ts"
import { refusal, type ScheduleRefused } from "../../runtime/kernel/schedules/ScheduleErrors.ts"
import { pathFrom } from "../Configuration.ts"

const quoted = (text: string): string => JSON.stringify(text.length <= 60 ? text : `${text.slice(0, 59)}…`)
const no = (reason: string, remedy?: string) => refusal("KM-SCH-010", reason, remedy)
const fileNamed = (text: string, what: string) =>
  Effect.mapError(pathFrom(text, what), (error) => no(`${error.what}: ${error.why}`))

/** Splits a line as a shell would: spaces, '…', "…" with \" and \\, and \ before anything; nothing is expanded. */
export const wordsOf = (line: string): Result.Result<ReadonlyArray<string>, ScheduleRefused> => {
  const words: Array<string> = []
  const pattern = /\s+|'([^']*)'|"((?:[^"\\]|\\[^])*)"|\\([^])|([^\s'"\\]+)/gy
  let word: string | undefined
  let at = 0
  for (const match of line.matchAll(pattern)) {
    at = match.index + match[0].length
    const [, single, double, escaped, plain] = match
    const piece = single ?? double?.replaceAll(/\\(["\\$`])/g, "$1") ?? escaped ?? plain
    if (piece !== undefined) {
      word = (word ?? "") + piece
      continue
    }
    if (word !== undefined) words.push(word)
    word = undefined
  }
  if (at < line.length) return Result.fail(no(`${quoted(line.slice(at))} has a quotation mark without its partner`))
  return Result.succeed(word === undefined ? words : [...words, word])
}

/** Flags of actions; `true` for those without a value. */
const flagNames = new Map([
  ["alias", false],
  ["unconfined", true],
  ["prompt", false],
  ["expect", false],
  ["to", false],
  ["cc", false],
  ["bcc", false],
  ["subject", false],
  ["body", false],
  ["body-text", false],
  ["encrypt", true],
  ["on-success", false],
  ["on-failure", false]
])

interface Line {
  readonly words: ReadonlyArray<string>
  readonly flags: ReadonlyMap<string, ReadonlyArray<string>>
}

const split = (tokens: ReadonlyArray<string>): Result.Result<Line, ScheduleRefused> => {
  const words: Array<string> = []
  const flags = new Map<string, Array<string>>()
  for (let n = 0; n < tokens.length; n++) {
    const token = tokens[n] ?? ""
    if (!token.startsWith("--")) {
      words.push(token)
      continue
    }
    const [, name = "", value] = /^--([a-z-]+)(?:=([^]*))?$/.exec(token) ?? []
    const bare = flagNames.get(name)
    if (bare === undefined) return Result.fail(no(`${quoted(token)} is no flag of an action`))
    const given = bare ? "" : value ?? tokens[++n]
    if (given === undefined || (bare && value !== undefined)) {
      return Result.fail(no(`--${name} ${bare ? "has no value" : "needs a value"}`))
    }
    flags.set(name, [...flags.get(name) ?? [], given])
  }
  return Result.succeed({ words, flags })
}

/** Each action's words, how many follow them, and the flags that it knows beside those of every step. */
const forms: ReadonlyArray<{
  readonly words: ReadonlyArray<string>
  readonly rest: ReadonlyArray<string>
  readonly kind: ActionKind
  readonly flags: ReadonlyArray<string>
}> = [
  { words: ["create"], rest: ["PROFILE"], kind: "Create", flags: ["alias", "unconfined"] },
  { words: ["destroy"], rest: ["SANDBOX"], kind: "Destroy", flags: [] },
  { words: ["pause"], rest: ["SANDBOX"], kind: "Stop", flags: [] },
  { words: ["resume"], rest: ["SANDBOX"], kind: "Resume", flags: [] },
  { words: ["extend"], rest: ["SANDBOX", "DURATION"], kind: "Extend", flags: [] },
  { words: ["agent", "run"], rest: ["SANDBOX"], kind: "AgentRun", flags: ["prompt", "expect"] },
  {
    words: ["email", "send"],
    rest: [],
    kind: "EmailSend",
    flags: ["to", "cc", "bcc", "subject", "body", "body-text", "encrypt"]
  }
]

/** What `pause` was called before `km stop` came to mean the turn; still read. */
const formerWords = new Map([["stop", "pause"]])

/** The forms as `km at --help` and refusals show them. */
export const formLines = forms.map(({ flags, rest, words }) =>
  [...words, ...rest, ...flags.map((flag) => `[--${flag}]`)].join(" ")
)

const decodeAction = Schema.decodeUnknownResult(ScheduledAction)

const single = (line: Line, name: string): string | undefined => line.flags.get(name)?.at(-1)

const readBody = Effect.fnUntraced(function*(line: Line) {
  const text = single(line, "body-text")
  const given = single(line, "body")
  const file = given === undefined ? undefined : yield* fileNamed(given, "--body")
  if (text !== undefined && file !== undefined) return yield* no("--body-text and --body are two bodies; give one")
  if (file === undefined) return text ?? (yield* no("email send needs --body-text TEXT or --body FILE"))
  const fs = yield* FileSystem.FileSystem
  const unreadable = (error: PlatformError) => no(`--body ${file} cannot be read: ${error.reason._tag}`)
  const { size, type } = yield* Effect.mapError(fs.stat(file), unreadable)
  if (type !== "File") return yield* no(`--body ${file} is no regular file`)
  if (size > BigInt(maxScheduledText) * 4n) return yield* no(`--body ${file} has ${size} bytes; that is too much`)
  return yield* Effect.mapError(fs.readFileString(file), unreadable)
})

/** The action as plain data, before it is checked. */
const raw = Effect.fnUntraced(function*(kind: ActionKind, line: Line, rest: ReadonlyArray<string>) {
  const [first = "", second = ""] = rest
  switch (kind) {
    case "Create": {
      const path = yield* Path.Path
      const alias = single(line, "alias")
      return {
        _tag: kind,
        profile: path.resolve(yield* fileNamed(first, "the profile")),
        unconfined: line.flags.has("unconfined"),
        ...(alias === undefined ? {} : { alias })
      }
    }
    case "Extend":
      return { _tag: kind, target: first, by: second }
    case "AgentRun": {
      const expect = single(line, "expect")
      const prompt = single(line, "prompt")
      if (prompt === undefined) return yield* no("agent run needs --prompt TEXT")
      return { _tag: kind, target: first, prompt, ...(expect === undefined ? {} : { expect }) }
    }
    case "EmailSend": {
      const to = line.flags.get("to")
      const subject = single(line, "subject")
      if (to === undefined) return yield* no("email send needs --to WHO")
      if (subject === undefined) return yield* no("email send needs --subject TEXT")
      return {
        _tag: kind,
        to,
        cc: line.flags.get("cc") ?? [],
        bcc: line.flags.get("bcc") ?? [],
        subject,
        body: yield* readBody(line),
        encrypt: line.flags.has("encrypt")
      }
    }
    default:
      return { _tag: kind, target: first }
  }
})

/** The words of one step, and lines of those that follow it. */
const parse = (
  tokens: ReadonlyArray<string>,
  depth: number
): Effect.Effect<ScheduleStep, ScheduleRefused, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    if (depth > maxSteps) return yield* no(`a schedule has at most ${maxSteps} steps`)
    const typed = yield* Effect.fromResult(split(tokens))
    const line = { ...typed, words: typed.words.map((word, n) => n === 0 ? formerWords.get(word) ?? word : word) }
    const form = forms.find(({ words }) => words.every((word, n) => line.words[n] === word))
    if (form === undefined) {
      const said = line.words.slice(0, 2).join(" ")
      return yield* no(
        said === "" ? "no action was given" : `${quoted(said)} is no action`,
        `say one of: ${formLines.join("; ")}`
      )
    }
    const name = form.words.join(" ")
    const rest = line.words.slice(form.words.length)
    if (rest.length !== form.rest.length) {
      const wanted = form.rest.length === 0 ? "nothing more" : form.rest.join(" ")
      return yield* no(`${name} takes ${wanted}, not ${quoted(rest.join(" "))}`)
    }
    for (const flag of line.flags.keys()) {
      if (!form.flags.includes(flag) && !flag.startsWith("on-")) return yield* no(`${name} knows no --${flag}`)
    }
    const data = yield* raw(form.kind, line, rest)
    const decoded = decodeAction(data)
    if (Result.isFailure(decoded)) return yield* no(`${name}: ${explained(decoded.failure)}`)
    const action = decoded.success
    const follow = (flag: "on-success" | "on-failure") =>
      Effect.gen(function*() {
        const lines = line.flags.get(flag) ?? []
        const [next] = lines
        if (lines.length > 1) return yield* no(`--${flag} is given twice; one step follows, and others follow that one`)
        if (next === undefined) return undefined
        const words = yield* Effect.fromResult(wordsOf(next))
        return yield* parse(words, depth + 1)
      })
    const onSuccess = yield* follow("on-success")
    const onFailure = yield* follow("on-failure")
    return {
      action,
      ...(onSuccess === undefined ? {} : { onSuccess }),
      ...(onFailure === undefined ? {} : { onFailure })
    }
  })

/** One line of what Schema says: the place and what is wanted there. */
const explained = (issue: { readonly message: string }): string => issue.message.replaceAll(/\s*\n\s*/g, " ").trim()

/**
 * Reads a step with all that follows it. `kinds` is what this install can do: anything else is refused now, not when its
 * time comes. Files that are named (`--body`) are read now.
 */
export const parseStep = Effect.fn("ActionLine.parse")(function*(
  tokens: ReadonlyArray<string>,
  kinds: ReadonlyArray<ActionKind>
) {
  const step = yield* parse(tokens, 1)
  const steps = stepsOf(step)
  if (steps.length > maxSteps) return yield* no(`a schedule has at most ${maxSteps} steps, this one ${steps.length}`)
  const unable = steps.find(({ action }) => !kinds.includes(action._tag))
  if (unable !== undefined) return yield* refusal("KM-SCH-020", `this install cannot do ${kindText(unable.action)}`)
  return step
})
