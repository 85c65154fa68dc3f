/**
 * The oldest entries of a turn that has too many: no longer shown, but counted exactly, which takes knowing them again,
 * since three witnesses tell of each and the transcript file tells of all of them once more. Pure.
 */
import * as HashMap from "effect/HashMap"
import * as HashSet from "effect/HashSet"
import * as Option from "effect/Option"
import { type Entry, has, isSubagent } from "./LiveEntries.ts"
import type { Witness } from "./LiveInput.ts"

export interface FoldedSteps {
  /** Entries that were folded. */
  readonly count: number
  /** Ids of their tool calls. */
  readonly tools: HashSet.HashSet<string>
  /** Their subagents and notes, as `agent:{id}` and `note:{id}`. */
  readonly others: HashSet.HashSet<string>
  /** Their texts by SHA-256. */
  readonly texts: HashMap.HashMap<string, Told>
}

/** How often a text stands among the folded ones, and how many of those each witness has told of. */
type Told = Readonly<Record<Witness | "all", number>>

const untold: Told = { all: 0, hook: 0, stdout: 0, file: 0 }
export const noSteps: FoldedSteps = {
  count: 0,
  tools: HashSet.empty(),
  others: HashSet.empty(),
  texts: HashMap.empty()
}

/** Entries that are known again. A flood beyond it is counted at each telling: memory is bounded before counts are exact. */
export const maxKnown = 100_000

/** Would not be known again by what comes later: a text whose end is still to come, a subagent that still works. */
const isOpen = (entry: Entry): boolean =>
  entry.kind === "text" ? !entry.whole : isSubagent(entry) && entry.state === "running"

const plus = (folded: FoldedSteps, entry: Entry): FoldedSteps => {
  const counted = { ...folded, count: folded.count + 1 }
  if (folded.count >= maxKnown) return counted
  switch (entry.kind) {
    case "text": {
      const told = Option.getOrElse(HashMap.get(folded.texts, entry.sha256), () => untold)
      const by = (witness: Witness): number => told[witness] + (has(entry.seenBy, witness) ? 1 : 0)
      const next = { all: told.all + 1, hook: by("hook"), stdout: by("stdout"), file: by("file") }
      return { ...counted, texts: HashMap.set(folded.texts, entry.sha256, next) }
    }
    case "tool":
      return { ...counted, tools: HashSet.add(folded.tools, entry.id) }
    case "subagent": {
      const calls = [...entry.calls, ...entry.tool === undefined ? [] : [entry.tool.id]]
      return {
        ...counted,
        tools: HashSet.union(folded.tools, HashSet.fromIterable(calls)),
        others: HashSet.add(folded.others, `agent:${entry.agent}`)
      }
    }
    case "note":
      return { ...counted, others: HashSet.add(folded.others, `note:${entry.id}`) }
  }
}

/**
 * Folds the oldest entries but for `keep`, open ones only where there are too many of them. `messages` are the hooks' ids
 * of folded texts; `moved` says on which entry whoever stood on one of `entries` stands now (-1: before the first).
 */
export const foldOldest = (folded: FoldedSteps, entries: ReadonlyArray<Entry>, keep: number): {
  readonly folded: FoldedSteps
  readonly entries: ReadonlyArray<Entry>
  readonly messages: ReadonlyArray<string>
  readonly moved: (uid: number) => number
} => {
  const old = entries.slice(0, -keep)
  const closed = old.filter((entry) => !isOpen(entry))
  const going = new Set(closed.length * 2 >= old.length ? closed : old)
  const stand = new Map<number, number>()
  let before = -1
  for (const entry of entries) {
    if (!going.has(entry)) before = entry.uid
    stand.set(entry.uid, before)
  }
  return {
    folded: [...going].reduce(plus, folded),
    entries: entries.filter((entry) => !going.has(entry)),
    messages: [...going].flatMap((entry) =>
      entry.kind === "text" && entry.message !== undefined ? [entry.message] : []
    ),
    moved: (uid) => stand.get(uid) ?? -1
  }
}

/** With a folded text of this digest told of by `by` now; none when there is none that `by` has not told of. */
export const foldedText = (folded: FoldedSteps, sha256: string, by: Witness): FoldedSteps | undefined => {
  const told = Option.getOrElse(HashMap.get(folded.texts, sha256), () => untold)
  return told[by] >= told.all
    ? undefined
    : { ...folded, texts: HashMap.set(folded.texts, sha256, { ...told, [by]: told[by] + 1 }) }
}

/** `by` is going to tell of everything again. */
export const countAgain = (folded: FoldedSteps, by: Witness): FoldedSteps => ({
  ...folded,
  texts: HashMap.map(folded.texts, (told) => ({ ...told, [by]: 0 }))
})
