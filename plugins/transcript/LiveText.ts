/** How a turn looks in its thread: the model as Markdown, redacted. Pure. */
import type { Entry, SubagentEntry, TextEntry, ToolEntry } from "./LiveEntries.ts"
import type { LiveModel } from "./LiveModel.ts"

/** Characters of a tool line, name and marks included. */
export const maxToolLine = 120
/** Characters of one live message's whole text; `live.set` takes 400,000. */
export const maxLiveCharacters = 380_000
/** Characters of a person's prompt that are quoted above an interactive turn. */
const maxQuote = 300
/** Characters of a tool's input that are looked at; redacted before they are cut to a line, or a cut token would pass. */
const maxLooked = 4_096

const halfSurrogate = /[\uD800-\uDBFF]$/

/** At most `limit` characters, never half of one; an ellipsis stands for the rest. */
const cut = (text: string, limit: number): string =>
  text.length <= limit ? text : `${text.slice(0, limit - 1).replace(halfSurrogate, "")}…`

const oneLine = (text: string): string => text.replace(/[\s\p{Cc}]+/gu, " ").replaceAll("`", "'").trim()

/** The one part of a tool's input that says what it is about. Others show no input. */
const subject: Readonly<Record<string, string>> = {
  Bash: "command",
  Read: "file_path",
  Write: "file_path",
  Edit: "file_path",
  MultiEdit: "file_path",
  NotebookEdit: "notebook_path",
  Grep: "pattern",
  Glob: "pattern",
  WebFetch: "url",
  WebSearch: "query",
  Skill: "skill",
  Agent: "description",
  Task: "description"
}

const subjectOf = (name: string, input: unknown): string => {
  const key = Object.hasOwn(subject, name) ? subject[name] : undefined
  if (key === undefined || typeof input !== "object" || input === null || !Object.hasOwn(input, key)) return ""
  const value: unknown = Reflect.get(input, key)
  return typeof value === "string" ? value : ""
}

/**
 * The beginning of a long text, redacted. A secret that the cut went through is not known any more, so what is shown
 * must end well before it: text that escapes have made long and redaction short is not shown at all.
 */
const looked = (text: string, redact: (text: string) => string): string => {
  if (text.length <= maxLooked) return redact(text)
  const beginning = redact(text.slice(0, maxLooked))
  return beginning.length < maxLooked / 2 ? "" : beginning
}

/** ASCII, and what shows as nothing: neither letter, number, punctuation, symbol nor white space, also half a pair. */
const ofWord = /[!-~]|[^\s\p{L}\p{N}\p{P}\p{S}]|[\u115f\u1160\u3164\uffa0]/u

/** Where the last word begins: what has no white space and is ASCII, as tokens are, with what is hidden in it. */
const lastWord = (text: string): number => {
  let end = text.length
  while (end > 0 && ofWord.test(text.charAt(end - 1))) end--
  return end
}

/** HTML that is closed, as the redactor reads it: shown as nothing, with white space in it. */
const tag =
  /<!--(?:(?!-->)[^]){0,300}-->|<\?(?:(?!\?>)[^]){0,300}\?>|<\/?[A-Za-z](?:[^<>"']|"[^"]{0,300}"|'[^']{0,300}'){0,300}>|<(?![!?/A-Za-z])[^<>\n]{0,300}>/g

/** Where HTML within a paragraph ends at the latest. */
const emptyLine = /\n[^\S\n]*\n/g

const lastEnd = (text: string, pattern: RegExp): number => {
  let end = 0
  for (const match of text.matchAll(pattern)) end = match.index + match[0].length
  return end
}

/** Where HTML was opened and not closed: the first in the last paragraph that looks like some, else the first on the last line. */
const opened = (text: string): number => {
  const paragraph = lastEnd(text, emptyLine)
  const tagged = text.slice(paragraph).search(/<[!?/A-Za-z]/)
  return tagged < 0 ? text.indexOf("<", text.lastIndexOf("\n") + 1) : paragraph + tagged
}

/** Where what is still being written begins: the last word with the HTML in it, also where that is not closed yet. */
const unfinished = (text: string): number => {
  const words = text.replace(tag, (found) => "-".repeat(found.length))
  const open = opened(words)
  return lastWord(open < 0 ? words : words.slice(0, open))
}

/**
 * A text of which a hook has told only pieces: without the word that is being written, and without the
 * paragraph that goes on behind a piece that was lost, because half a token has no shape to know it by.
 */
const growing = (entry: TextEntry, redact: (text: string) => string): string => {
  const stretches: Array<string> = [""]
  for (const piece of entry.pieces) {
    if (piece === undefined) stretches.push("")
    else stretches.push((stretches.pop() ?? "") + piece)
  }
  return stretches.map((stretch, index) => {
    // Half a character, its other half in the piece that is missing, would look like a word of its own.
    const told = redact(stretch.replace(/\p{Cs}/gu, ""))
    const kept = told.slice(0, unfinished(told))
    const begin = index === 0 ? 0 : kept.search(emptyLine)
    return begin < 0 ? "" : kept.slice(begin)
  }).join(" … ")
}

const textOf = (entry: TextEntry, redact: (text: string) => string): string =>
  entry.whole || entry.pieces.length === 0 ? redact(entry.text) : growing(entry, redact)

const line = (mark: string, name: string, about: string, end: string): string => {
  const head = `${mark} ${cut(oneLine(name), 60)}`
  const room = maxToolLine - head.length - end.length - 4
  return about === "" || room < 8 ? `${head}${end}` : `${head}: \`${cut(oneLine(about), room)}\`${end}`
}

/** One line, at most 120 characters: never a tool's whole input or output. */
export const toolLine = (tool: Pick<ToolEntry, "name" | "input" | "state">, redact: (text: string) => string): string =>
  line(
    "🔧",
    redact(tool.name),
    looked(subjectOf(tool.name, tool.input), redact),
    tool.state === "failed" ? " — failed" : ""
  )

const subagentLine = (entry: SubagentEntry, redact: (text: string) => string): string => {
  const calls = entry.calls.size === 0 ? "" : `, ${entry.calls.size} tool call${entry.calls.size === 1 ? "" : "s"}`
  const about = entry.tool === undefined ? "" : looked(subjectOf(entry.tool.name, entry.tool.input), redact)
  const name = entry.type === "" ? "subagent" : `subagent ${redact(entry.type)}`
  return line("🤖", name, about, `${calls}${entry.state === "done" ? ", done" : ""}`)
}

const entryText = (entry: Entry, redact: (text: string) => string): string => {
  switch (entry.kind) {
    case "text":
      return textOf(entry, redact).trim()
    case "tool":
      return toolLine(entry, redact)
    case "subagent":
      return subagentLine(entry, redact)
    case "note":
      return cut(oneLine(redact(entry.text)), maxToolLine)
  }
}

/** Lines of tools follow each other; a text stands in its own paragraphs. */
const separator = (before: Entry | undefined, entry: Entry): string =>
  before === undefined ? "" : before.kind !== "text" && entry.kind !== "text" ? "\n" : "\n\n"

/** What a person wrote in an interactive session, as a quote. */
export const quoted = (prompt: string, redact: (text: string) => string): string => {
  const text = cut(looked(prompt, redact).trim(), maxQuote)
  return text === "" ? "" : text.split("\n").map((row) => `> ${row}`).join("\n")
}

const cutMark = "_… the beginning is in the attached session_\n\n"
/** A text of `liveText` that was too long to be whole. */
export const isCut = (text: string): boolean => text.startsWith(cutMark)

/**
 * Empty when there is nothing to show yet. `head` stands above everything. Well-formed: what comes from the agent's side
 * may hold half a character, which the bridge refuses.
 */
export const liveText = (model: LiveModel, redact: (text: string) => string, head = ""): string => {
  const { count } = model.folded
  const pieces: Array<string> = [
    ...(head === "" ? [] : [`${head}\n\n`]),
    ...(count === 0 ? [] : [`_… ${count} earlier step${count === 1 ? "" : "s"}, in the attached session_\n\n`])
  ]
  let before: Entry | undefined
  for (const entry of model.entries) {
    const text = entryText(entry, redact)
    if (text === "") continue
    pieces.push(separator(before, entry) + text)
    before = entry
  }
  const tail = model.status === undefined ? [] : [`_⏳ ${cut(oneLine(redact(model.status)), maxToolLine)}_`]
  const whole = (pieces.join("") + (tail.length === 0 ? "" : `\n\n${tail.join("\n")}`)).trim().toWellFormed()
  if (whole.length <= maxLiveCharacters) return whole
  const kept = whole.slice(-maxLiveCharacters)
  const paragraph = kept.indexOf("\n\n")
  return `${cutMark}${(paragraph < 0 ? kept : kept.slice(paragraph + 2)).toWellFormed()}`
}
