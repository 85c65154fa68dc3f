/**
 * What a turn has shown so far, folded from three witnesses that disagree: hooks (fast, but may be lost, doubled or
 * late), the agent's standard output (in order, ends where the process ended) and the transcript file (whole, but only
 * afterwards). Each text appears once and in order, each tool call is one line. Pure.
 *
 * Hooks and the other two share no message id: a text is known by its place among the texts and by its SHA-256, a tool
 * call by its `tool_use_id`. Standard output and the file put a new entry where they are; a hook puts it at the end,
 * because whatever standard output has told so far came before it.
 */
import * as HashSet from "effect/HashSet"
import { isBlank } from "../../runtime/domain/text/Blank.ts"
import { sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { countAgain, type FoldedSteps, foldedText, foldOldest, noSteps } from "./FoldedSteps.ts"
import {
  type Entry,
  gluedFrom,
  has,
  isSubagent,
  isText,
  runOfTexts,
  squash,
  type SubagentEntry,
  type TextEntry,
  type ToolEntry
} from "./LiveEntries.ts"
import type { LiveInput, Witness } from "./LiveInput.ts"

export interface LiveModel {
  readonly entries: ReadonlyArray<Entry>
  /** The last entry that the witness told of; -1 before the first. */
  readonly cursors: Readonly<Record<"stdout" | "file", number>>
  /** What the file tells of began after this entry: an earlier run of the turn had another session. */
  readonly fileStart: number
  /** Ordinal of the next text block on standard output of this run. */
  readonly nextOrdinal: number
  readonly nextUid: number
  /** Hook messages whose text is shown under another entry. */
  readonly merged: HashSet.HashSet<string>
  /** One line about what the agent waits for; gone with its next sign of life. */
  readonly status: string | undefined
  /** The oldest entries of a turn that has too many: counted and known again, no longer shown. */
  readonly folded: FoldedSteps
}

/** Entries that are kept; one more, and the oldest are folded until `keptEntries` are left, so that parts rarely shift. */
export const maxEntries = 1_000
export const keptEntries = 500

/** The names under which Claude Code starts a subagent. */
const subagentTools: ReadonlySet<string> = new Set(["Agent", "Task"])

export const emptyModel: LiveModel = {
  entries: [],
  cursors: { stdout: -1, file: -1 },
  fileStart: -1,
  nextOrdinal: 0,
  nextUid: 0,
  merged: HashSet.empty(),
  status: undefined,
  folded: noSteps
}

const keyOf = (text: string): string => sha256Hex(text.trim())
const plus = <A>(set: ReadonlySet<A>, item: A): ReadonlySet<A> => set.has(item) ? set : new Set([...set, item])

const replace = (model: LiveModel, entry: Entry): LiveModel => ({
  ...model,
  entries: model.entries.map((old) => old.uid === entry.uid ? entry : old)
})

/** Adds a new entry after `index` (-1: in front of all that are kept). */
const insert = (model: LiveModel, index: number, entry: Entry): LiveModel =>
  bounded({ ...model, entries: model.entries.toSpliced(index + 1, 0, entry), nextUid: model.nextUid + 1 })

/** Folds the oldest entries when there are too many. A witness that stood on one then stands before all that are kept. */
const bounded = (model: LiveModel): LiveModel => {
  if (model.entries.length <= maxEntries) return model
  const { entries, folded, messages, moved } = foldOldest(model.folded, model.entries, keptEntries)
  return {
    ...model,
    entries,
    folded,
    merged: HashSet.union(model.merged, HashSet.fromIterable(messages)),
    fileStart: moved(model.fileStart),
    cursors: { stdout: moved(model.cursors.stdout), file: moved(model.cursors.file) }
  }
}

const atEnd = (model: LiveModel, entry: Entry): LiveModel => insert(model, model.entries.length - 1, entry)

const indexOfUid = (model: LiveModel, uid: number): number => model.entries.findIndex((entry) => entry.uid === uid)

/** Takes an entry out; a witness that stood on it then stands on the one before. */
const remove = (model: LiveModel, uid: number): LiveModel => {
  const index = indexOfUid(model, uid)
  if (index < 0) return model
  const before = model.entries[index - 1]?.uid ?? -1
  const moved = (cursor: number): number => cursor === uid ? before : cursor
  return {
    ...model,
    entries: model.entries.toSpliced(index, 1),
    cursors: { stdout: moved(model.cursors.stdout), file: moved(model.cursors.file) }
  }
}

/** The witness tells that `entry` comes next: it stays where it is when it lies ahead, and is moved up otherwise. */
const advance = (model: LiveModel, by: "stdout" | "file", entry: TextEntry | ToolEntry): LiveModel => {
  const from = indexOfUid(model, entry.uid)
  const cursor = indexOfUid(model, model.cursors[by])
  const cursors = { ...model.cursors, [by]: entry.uid }
  if (from > cursor) return { ...replace(model, entry), cursors }
  // Taken out from before the cursor, so the cursor's index falls by one.
  return { ...model, entries: model.entries.toSpliced(from, 1).toSpliced(cursor, 0, entry), cursors }
}

/** The witness has told of a new entry last; of one that was folded at once, it stands before all that are kept. */
const stoodOn = (model: LiveModel, by: "stdout" | "file", entry: Entry): LiveModel =>
  indexOfUid(model, entry.uid) < 0 ? model : { ...model, cursors: { ...model.cursors, [by]: entry.uid } }

/**
 * After the CLI falls back to requests without streaming, one hook carries several blocks glued together: the hook's
 * entry goes when the blocks themselves have come.
 */
const dropGlued = (model: LiveModel, come: TextEntry): LiveModel => {
  // Only a text of which the new one is a part can have become whole by it.
  const part = squash(come.text)
  const lone = model.entries.filter((entry): entry is TextEntry =>
    isText(entry) && entry.seenBy.size === 1 && has(entry.seenBy, "hook") && entry.whole
    && entry.text.length > part.length && squash(entry.text).includes(part)
  )
  return lone.reduce((current, entry) => {
    const others = runOfTexts(current.entries.filter((other) => other.uid !== entry.uid), "hook")
    if (gluedFrom(others, entry.text) === undefined) return current
    const merged = entry.message === undefined ? current.merged : HashSet.add(current.merged, entry.message)
    return { ...remove(current, entry.uid), merged }
  }, model)
}

/** A text that hooks streamed with holes, or whose end never came, and that `text` fills. */
const isFilledBy = (entry: TextEntry, text: string): boolean =>
  !entry.whole && entry.pieces.some((piece) => piece !== undefined && piece.trim() !== "")
  && entry.pieces.every((piece) => piece === undefined || text.includes(piece.trim()))

const textFrom = (model: LiveModel, by: "stdout" | "file", text: string): LiveModel => {
  if (isBlank(text)) return model
  const sha256 = keyOf(text)
  const cursor = indexOfUid(model, model.cursors[by])
  const folded = foldedText(model.folded, sha256, by)
  // What is folded came before all that is kept.
  if (cursor < 0 && folded !== undefined) return { ...model, folded }
  const ahead = model.entries.slice(cursor + 1)
  const behind = model.entries.slice(0, cursor + 1)
  const same = (entry: Entry): entry is TextEntry => isText(entry) && entry.sha256 === sha256 && !has(entry.seenBy, by)
  const filled = (entry: Entry): entry is TextEntry =>
    isText(entry) && !has(entry.seenBy, by) && isFilledBy(entry, text)
  const found = ahead.find(same) ?? behind.find(same) ?? (folded === undefined ? ahead.find(filled) : undefined)
  if (found !== undefined) {
    return advance(model, by, { ...found, text, sha256, whole: true, seenBy: plus(found.seenBy, by) })
  }
  if (folded !== undefined) return { ...model, folded }
  const entry: TextEntry = {
    kind: "text",
    uid: model.nextUid,
    text,
    sha256,
    seenBy: new Set([by]),
    pieces: [],
    last: undefined,
    whole: true,
    message: undefined
  }
  return dropGlued(stoodOn(insert(model, cursor, entry), by, entry), entry)
}

const pieceFrom = (model: LiveModel, input: Extract<LiveInput, { _tag: "Piece" }>): LiveModel => {
  const message = input.message ?? `sha256:${keyOf(input.delta)}`
  if (HashSet.has(model.merged, message) || input.index < 0 || input.index > 10_000) return model
  const known = model.entries.find((entry): entry is TextEntry => isText(entry) && entry.message === message)
  if (known !== undefined && (known.whole || known.pieces[input.index] !== undefined)) return model
  const pieces = Array.from(
    { length: Math.max(known?.pieces.length ?? 0, input.index + 1) },
    (_, index) => index === input.index ? input.delta : known?.pieces[index]
  )
  const text = pieces.map((piece) => piece ?? " … ").join("")
  const last = input.final ? input.index : known?.last
  const whole = last !== undefined && pieces.length > last && !pieces.includes(undefined)
  const sha256 = keyOf(text)
  if (whole) {
    const twin = model.entries.find((entry): entry is TextEntry =>
      isText(entry) && entry.sha256 === sha256 && entry.uid !== known?.uid && !has(entry.seenBy, "hook")
    )
    const folded = twin === undefined ? foldedText(model.folded, sha256, "hook") : undefined
    if (folded !== undefined) {
      const rest = known === undefined ? model : remove(model, known.uid)
      return { ...rest, folded, merged: HashSet.add(rest.merged, message) }
    }
    const glued = twin === undefined ? gluedFrom(runOfTexts(model.entries, "hook"), text) : undefined
    if (twin !== undefined || glued !== undefined) {
      const rest = known === undefined ? model : remove(model, known.uid)
      return (glued ?? [twin]).reduce<LiveModel>(
        (current, entry) =>
          entry === undefined ? current : replace(current, { ...entry, seenBy: plus(entry.seenBy, "hook") }),
        { ...rest, merged: HashSet.add(rest.merged, message) }
      )
    }
  }
  if (known !== undefined) return replace(model, { ...known, pieces, last, text, sha256, whole })
  // An empty text is no text (a streamed one may begin or end with an empty piece).
  if (whole && isBlank(text)) return model
  return atEnd(model, {
    kind: "text",
    uid: model.nextUid,
    text,
    sha256,
    seenBy: new Set<Witness>(["hook"]),
    pieces,
    last,
    whole,
    message
  })
}

const toolFrom = (model: LiveModel, input: Extract<LiveInput, { _tag: "Tool" }>): LiveModel => {
  const { by, id, name } = input
  if (HashSet.has(model.folded.tools, id)) return model
  if (model.entries.some((entry) => isSubagent(entry) && (entry.calls.has(id) || entry.tool?.id === id))) return model
  const known = model.entries.find((entry): entry is ToolEntry => entry.kind === "tool" && entry.id === id)
  if (known !== undefined) {
    if (has(known.seenBy, by)) return model
    const seen = { ...known, seenBy: plus(known.seenBy, by) }
    return by === "hook" ? replace(model, seen) : advance(model, by, seen)
  }
  const tool: ToolEntry = {
    kind: "tool",
    uid: model.nextUid,
    id,
    name,
    input: input.input,
    state: "running",
    seenBy: new Set([by])
  }
  const waiting = subagentTools.has(name)
    ? model.entries.find((entry): entry is SubagentEntry => isSubagent(entry) && entry.tool === undefined)
    : undefined
  if (waiting !== undefined) {
    const ahead = by !== "hook" && indexOfUid(model, waiting.uid) > indexOfUid(model, model.cursors[by])
    const cursors = ahead ? { ...model.cursors, [by]: waiting.uid } : model.cursors
    return { ...replace(model, { ...waiting, tool }), cursors }
  }
  if (by === "hook") return atEnd(model, tool)
  return stoodOn(insert(model, indexOfUid(model, model.cursors[by]), tool), by, tool)
}

const toolEnd = (model: LiveModel, id: string, failed: boolean): LiveModel => {
  const state = failed ? "failed" : "done"
  const subagent = model.entries.find((entry): entry is SubagentEntry => isSubagent(entry) && entry.tool?.id === id)
  if (subagent !== undefined) return replace(model, { ...subagent, state: "done" })
  const known = model.entries.find((entry): entry is ToolEntry => entry.kind === "tool" && entry.id === id)
  // A failure is told by two witnesses, and one of them may only know that it ended.
  return known === undefined || known.state === "failed" || known.state === state
    ? model
    : replace(model, { ...known, state })
}

/** The subagent's entry, made if it is new: in the place of the call that started it (`parent`) when that is known. */
const subagentOf = (
  model: LiveModel,
  agent: string,
  type: string,
  parent?: string
): readonly [LiveModel, SubagentEntry | undefined] => {
  const known = model.entries.find((entry): entry is SubagentEntry => isSubagent(entry) && entry.agent === agent)
    ?? model.entries.find((entry): entry is SubagentEntry =>
      isSubagent(entry) && parent !== undefined && entry.tool?.id === parent
    )
  if (known !== undefined) return [model, known]
  if (HashSet.has(model.folded.others, `agent:${agent}`)) return [model, undefined]
  const call = model.entries.find((entry): entry is ToolEntry =>
    entry.kind === "tool"
    && (parent === undefined ? subagentTools.has(entry.name) && entry.state === "running" : entry.id === parent)
  )
  const entry: SubagentEntry = {
    kind: "subagent",
    uid: call?.uid ?? model.nextUid,
    agent,
    tool: call,
    type,
    calls: new Set(),
    state: "running"
  }
  const next = call === undefined ? atEnd(model, entry) : replace(model, entry)
  return [next, next.entries.find((other): other is SubagentEntry => isSubagent(other) && other.agent === agent)]
}

/** One more thing that a witness told. A sign of life takes the status line away. */
export const fold = (model: LiveModel, input: LiveInput): LiveModel => {
  const alive = model.status === undefined || input._tag === "Status" ? model : { ...model, status: undefined }
  switch (input._tag) {
    case "Text": {
      if (input.by === "file" || input.ordinal === undefined) return textFrom(alive, input.by, input.text)
      if (input.ordinal < model.nextOrdinal) return model
      return { ...textFrom(alive, "stdout", input.text), nextOrdinal: input.ordinal + 1 }
    }
    case "Piece":
      return pieceFrom(alive, input)
    case "Tool":
      return toolFrom(alive, input)
    case "ToolEnd":
      return toolEnd(alive, input.id, input.failed)
    case "SubagentStart":
      return subagentOf(alive, input.agent, input.type)[0]
    case "SubagentEnd": {
      const [next, entry] = subagentOf(alive, input.agent, "")
      return entry === undefined ? next : replace(next, { ...entry, state: "done" })
    }
    case "SubagentTool": {
      const [next, entry] = subagentOf(alive, input.agent, input.type, input.parent)
      if (entry === undefined) return next
      const shown = next.entries.find((other) => other.kind === "tool" && other.id === input.id)
      const hidden = shown === undefined ? next : remove(next, shown.uid)
      return replace(hidden, { ...entry, calls: plus(entry.calls, input.id) })
    }
    case "Note":
      return HashSet.has(model.folded.others, `note:${input.id}`)
          || model.entries.some((entry) => entry.kind === "note" && entry.id === input.id)
        ? model
        : atEnd(alive, { kind: "note", uid: model.nextUid, id: input.id, text: input.text })
    case "Retract": {
      const last = model.entries.findLast(isText)
      const said = squash(last?.text ?? "").slice(0, 200)
      const isIt = last !== undefined && last.seenBy.size === 1 && has(last.seenBy, "hook")
        // A word or two could stand in any reason by chance.
        && said.length >= 8 && squash(input.text).includes(said)
      if (!isIt) return model
      const merged = last.message === undefined ? model.merged : HashSet.add(model.merged, last.message)
      return { ...remove(model, last.uid), merged }
    }
    case "Status":
      return { ...model, status: input.text }
  }
}

/**
 * A new process of the same turn: its standard output begins where the model now ends. With a `fresh` session its file
 * does as well.
 */
export const beginRun = (model: LiveModel, fresh: boolean): LiveModel => {
  const end = model.entries.at(-1)?.uid ?? -1
  return {
    ...model,
    status: undefined,
    nextOrdinal: 0,
    fileStart: fresh ? end : model.fileStart,
    cursors: { ...model.cursors, stdout: end }
  }
}

/** Folds the whole of what the transcript file says of the turn, in its order; may be done again. */
export const reconcile = (model: LiveModel, told: Iterable<LiveInput>): LiveModel => {
  const forgotten = new Set<Witness>(["file"])
  let current: LiveModel = {
    ...model,
    status: undefined,
    folded: countAgain(model.folded, "file"),
    cursors: { ...model.cursors, file: model.fileStart },
    entries: model.entries.map((entry) =>
      entry.kind === "text" || entry.kind === "tool"
        ? { ...entry, seenBy: new Set([...entry.seenBy].filter((by) => !forgotten.has(by))) }
        : entry
    )
  }
  for (const input of told) current = fold(current, input)
  return current
}

/** The texts shown last are `text`, white space aside. */
export const endsWith = (model: LiveModel, text: string, redact: (text: string) => string): boolean => {
  const wanted = squash(text)
  let joined = ""
  for (const entry of model.entries.toReversed()) {
    if (!isText(entry)) continue
    joined = squash(redact(entry.text)) + joined
    if (joined.length >= wanted.length) break
  }
  return joined.endsWith(wanted)
}
