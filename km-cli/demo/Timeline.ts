/**
 * What happened to one message, seen from the workspace, the bridge's log and the turn's record: pure, so that it can be
 * trusted. A stage that was not observed has no time.
 */
import type { RemoteChange } from "../local/workspace/WorkspaceClient.ts"

/** In the order in which they happen. */
export const stages = [
  "event received",
  "stored",
  "200",
  "👀",
  "agent started",
  "first text visible",
  "answer settled",
  "✅",
  // Beside the turns, so after the mark.
  "transcript uploaded"
] as const
export type Stage = typeof stages[number]

/** Which message is followed, and what the bot is called there. */
export interface Followed {
  readonly channel: string
  /** The person's message: what is marked. */
  readonly ts: string
  /** The thread that the answer goes to. */
  readonly threadTs: string
  readonly botUserId: string
}

export interface Observed {
  /** Unix milliseconds at which each stage was first seen; `answer settled` the last change of text before the mark. */
  readonly at: Readonly<Partial<Record<Stage, number>>>
  /** How the turn ended in the thread; absent while it runs. */
  readonly end?: "✅" | "❌" | "🛑" | "🚫"
  /** The newest text of each message of the bot in the thread, in order of the messages. */
  readonly texts: ReadonlyMap<string, string>
  /** Files the bot attached to the thread. */
  readonly files: ReadonlyArray<string>
}

export const nothingObserved: Observed = { at: {}, texts: new Map(), files: [] }

const text = (value: unknown, key: string): string | undefined => {
  const found: unknown = typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? Reflect.get(value, key)
    : undefined
  return typeof found === "string" ? found : undefined
}

const ends: Readonly<Record<string, NonNullable<Observed["end"]>>> = {
  white_check_mark: "✅",
  x: "❌",
  octagonal_sign: "🛑",
  no_entry_sign: "🚫"
}

const first = (observed: Observed, stage: Stage, at: number): Observed =>
  observed.at[stage] === undefined ? { ...observed, at: { ...observed.at, [stage]: at } } : observed

const onReaction = (observed: Observed, followed: Followed, change: RemoteChange): Observed => {
  if (change.ts !== followed.ts || text(change.data, "user") !== followed.botUserId) return observed
  const name = text(change.data, "name") ?? ""
  if (name === "eyes") return first(observed, "👀", change.at)
  const end = ends[name]
  if (end === undefined) return observed
  return { ...(end === "✅" ? first(observed, "✅", change.at) : observed), end: observed.end ?? end }
}

/** The blocks hold a message as it was written; `text` is what a notification shows, and is cut at 3,000 characters. */
const shownText = (message: unknown): string => {
  const blocks: unknown = typeof message === "object" && message !== null ? Reflect.get(message, "blocks") : undefined
  const parts = Array.isArray(blocks)
    ? blocks.flatMap((block) => text(block, "type") === "markdown" ? text(block, "text") ?? [] : [])
    : []
  return parts.length === 0 ? text(message, "text") ?? "" : parts.join("\n\n")
}

const onMessage = (observed: Observed, followed: Followed, change: RemoteChange): Observed => {
  const message: unknown = change.data["message"]
  if (change.threadTs !== followed.threadTs || change.ts === followed.ts || change.ts === undefined) return observed
  if (text(message, "user") !== followed.botUserId) return observed
  const files: unknown = typeof message === "object" && message !== null ? Reflect.get(message, "files") : undefined
  if (Array.isArray(files) && files.length > 0) {
    const names = files.flatMap((file) => text(file, "name") ?? [])
    return { ...first(observed, "transcript uploaded", change.at), files: [...observed.files, ...names] }
  }
  const shown = shownText(message)
  if (shown === "" || observed.texts.get(change.ts) === shown) return observed
  const seen = first(observed, "first text visible", change.at)
  return {
    ...seen,
    // The mark closes the turn: what is edited after it is no part of the answer.
    at: seen.end === undefined ? { ...seen.at, "answer settled": change.at } : seen.at,
    texts: new Map([...seen.texts, [change.ts, shown]])
  }
}

/** What is known after one more change of the workspace. */
export const observe = (observed: Observed, followed: Followed, change: RemoteChange): Observed => {
  if (change.kind === "delivery") {
    const { data } = change
    if (text(data, "event_message_ts") !== followed.ts || text(data, "channel") !== followed.channel) return observed
    if (data["ok"] !== true || data["status"] !== 200) return observed
    const millis = typeof data["millis"] === "number" ? data["millis"] : 0
    return first(first(observed, "event received", change.at - millis), "200", change.at)
  }
  if (change.channel !== followed.channel) return observed
  if (change.kind === "reaction_added") return onReaction(observed, followed, change)
  return change.kind === "message" || change.kind === "message_changed"
    ? onMessage(observed, followed, change)
    : observed
}

/** Everything has been said: the turn has its mark and, where it is expected, the session is attached. */
export const isOver = (observed: Observed, transcript: boolean): boolean =>
  observed.end !== undefined &&
  (!transcript || observed.at["transcript uploaded"] !== undefined || observed.end !== "✅")

/** The stages that were not seen; empty when all were. */
export const missing = (observed: Observed): ReadonlyArray<Stage> =>
  stages.filter((stage) => observed.at[stage] === undefined)

/** One line a stage: name, milliseconds since the message was posted, milliseconds since the stage before. */
export const timelineLines = (observed: Observed, postedAt: number): ReadonlyArray<string> => {
  let before = postedAt
  return stages.map((stage) => {
    const at = observed.at[stage]
    if (at === undefined) return `  ${stage.padEnd(20)}  not observed`
    const line = `  ${stage.padEnd(20)} ${String(at - postedAt).padStart(7)} ms  ${
      `${at >= before ? "+" : ""}${at - before}`.padStart(7)
    }`
    before = at
    return line
  })
}

/** Slack escapes these three in text; a terminal shows what was meant. Source: docs.slack.dev, formatting text. */
export const unescaped = (line: string): string =>
  line.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&")

/** What is new in the thread between two views of it, as lines for a terminal. */
export const newLines = (before: Observed, after: Observed): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const [ts, now] of after.texts) {
    const then = (before.texts.get(ts) ?? "").split("\n")
    if (before.texts.get(ts) === now) continue
    now.split("\n").forEach((line, at) => {
      if (line !== then[at] && line.trim() !== "") lines.push(`  │ ${unescaped(line)}`)
    })
  }
  for (const file of after.files.slice(before.files.length)) lines.push(`  │ 📎 ${file}`)
  if (before.at["👀"] === undefined && after.at["👀"] !== undefined) lines.push("  │ 👀")
  if (before.end === undefined && after.end !== undefined) lines.push(`  │ ${after.end}`)
  return lines
}
