/**
 * The order and the threading of messages. The emulator keeps their content; it ignores time windows, does not page
 * threads, lets a reply to a reply open a second thread, and forgets a deleted root, so the front keeps the order.
 */

/** Where a message stands. */
export interface MessageEntry {
  readonly ts: string
  readonly userId: string
  /** The root of its thread when it is a reply. */
  readonly root: string | undefined
  /** A reply also shown in the channel (`reply_broadcast`). */
  readonly broadcast: boolean
  /** A deleted root that still holds replies: Slack shows "This message was deleted." */
  tombstone: boolean
  /** False after a change by blocks: Slack shows no `edited` then. */
  editedByText: boolean
  /** Files of the message that were deleted; Slack keeps a tombstone of each. */
  readonly deletedFiles: Set<string>
}

interface ChannelLog {
  readonly entries: Map<string, MessageEntry>
  /** What the channel shows, oldest first. */
  readonly shown: Array<string>
  readonly replies: Map<string, Array<string>>
  /** Messages that were deleted without leaving a tombstone. */
  readonly gone: Set<string>
}

/** The bounds of a page of history. Source: docs.slack.dev/reference/methods/conversations.history */
export interface Window {
  readonly oldest: string | undefined
  readonly latest: string | undefined
  readonly inclusive: boolean
}

/** Seconds and microseconds compare as text once the parts have one length, which Slack's have. */
const padded = (ts: string): string => {
  const [seconds = "0", micros = "0"] = ts.split(".")
  return `${seconds.padStart(12, "0")}.${micros.padEnd(6, "0")}`
}

const inWindow = (window: Window) => {
  const oldest = window.oldest === undefined ? undefined : padded(window.oldest)
  const latest = window.latest === undefined ? undefined : padded(window.latest)
  return (ts: string): boolean => {
    const at = padded(ts)
    if (oldest !== undefined && (window.inclusive ? at < oldest : at <= oldest)) return false
    return latest === undefined || (window.inclusive ? at <= latest : at < latest)
  }
}

/** The messages of all channels, in the order in which they were posted. */
export class MessageIndex {
  readonly #channels = new Map<string, ChannelLog>()

  #log(channel: string): ChannelLog {
    const known = this.#channels.get(channel)
    if (known !== undefined) return known
    const log: ChannelLog = { entries: new Map(), shown: [], replies: new Map(), gone: new Set() }
    this.#channels.set(channel, log)
    return log
  }

  add(channel: string, entry: Pick<MessageEntry, "ts" | "userId" | "root" | "broadcast">): void {
    const log = this.#log(channel)
    if (log.entries.has(entry.ts)) return
    log.entries.set(entry.ts, { ...entry, tombstone: false, editedByText: true, deletedFiles: new Set() })
    if (entry.root !== undefined) {
      const replies = log.replies.get(entry.root)
      if (replies === undefined) log.replies.set(entry.root, [entry.ts])
      else replies.push(entry.ts)
    }
    if (entry.root === undefined || entry.broadcast) log.shown.push(entry.ts)
  }

  find(channel: string, ts: string): MessageEntry | undefined {
    return this.#channels.get(channel)?.entries.get(ts)
  }

  /** There was such a message, and it was deleted. */
  isGone(channel: string, ts: string): boolean {
    return this.#channels.get(channel)?.gone.has(ts) === true
  }

  /** The root that a reply to `ts` belongs to: replies to a reply join its thread, as in Slack. */
  rootOf(channel: string, ts: string): string | undefined {
    const entry = this.find(channel, ts)
    return entry === undefined ? undefined : entry.root ?? entry.ts
  }

  /** The replies to a root, oldest first. */
  replies(channel: string, root: string): ReadonlyArray<string> {
    return this.#channels.get(channel)?.replies.get(root) ?? []
  }

  /** Removes a message; a root with replies becomes a tombstone instead, and `false` is returned. */
  remove(channel: string, ts: string): boolean {
    const log = this.#log(channel)
    const entry = log.entries.get(ts)
    if (entry === undefined) return true
    if (this.replies(channel, ts).length > 0) {
      entry.tombstone = true
      return false
    }
    log.entries.delete(ts)
    log.gone.add(ts)
    const shown = log.shown.lastIndexOf(ts)
    if (shown >= 0) log.shown.splice(shown, 1)
    const replies = entry.root === undefined ? undefined : log.replies.get(entry.root)
    const place = replies?.indexOf(ts) ?? -1
    if (place >= 0) replies?.splice(place, 1)
    return true
  }

  /** What the channel shows within the window, newest first, as `conversations.history` answers. */
  history(channel: string, window: Window): ReadonlyArray<string> {
    return (this.#channels.get(channel)?.shown ?? []).filter(inWindow(window)).toReversed()
  }

  /** The replies within the window, oldest first, without the root. */
  thread(channel: string, root: string, window: Window): ReadonlyArray<string> {
    return this.replies(channel, root).filter(inWindow(window))
  }
}
