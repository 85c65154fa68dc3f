/**
 * What happens in the workspace, as it happens: for people who watch a thread live, and for benches that need times.
 */
import type { Json } from "./Json.ts"

/**
 * One change. `at` is milliseconds since 1970, `seq` counts from 1. Kinds: `message`, `message_changed`,
 * `message_deleted`, `reaction_added`, `reaction_removed`, `channel` (created, archived, renamed, …), `member`
 * (joined, left), `call` (a Web API call was answered), `delivery` (an attempt to deliver an event ended), `socket` (a
 * connection of Socket Mode opened, was told to go, closed), `interaction` (a person clicked) and `ephemeral` (one person
 * was shown something).
 */
export interface Change {
  readonly seq: number
  readonly at: number
  readonly kind: ChangeKind
  readonly channel?: string
  readonly ts?: string
  readonly threadTs?: string
  readonly data: Json
}

export type ChangeKind =
  | "message"
  | "message_changed"
  | "message_deleted"
  | "reaction_added"
  | "reaction_removed"
  | "channel"
  | "member"
  | "call"
  | "delivery"
  | "socket"
  | "interaction"
  | "ephemeral"

/** Changes are kept this far back for watchers that come late or reconnect. */
const kept = 5_000

/** Tells watchers of changes, in order, at once. */
export class Watch {
  readonly #now: () => number
  readonly #listeners = new Set<(change: Change) => void>()
  readonly #recent: Array<Change> = []
  #seq = 0

  /** `now` is milliseconds. */
  constructor(now: () => number) {
    this.#now = now
  }

  tell(kind: ChangeKind, place: { channel?: string; ts?: string; threadTs?: string }, data: Json): void {
    const change: Change = { seq: ++this.#seq, at: this.#now(), kind, ...place, data }
    this.#recent.push(change)
    if (this.#recent.length > kept * 2) this.#recent.splice(0, this.#recent.length - kept)
    for (const listener of this.#listeners) listener(change)
  }

  /** The number of the last change, 0 before the first. */
  get seq(): number {
    return this.#seq
  }

  /** Changes after `seq`, as far as they are kept. */
  since(seq: number): ReadonlyArray<Change> {
    return this.#recent.filter((change) => change.seq > seq)
  }

  /** Calls the listener for every change from now on; the result ends that. */
  listen(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }
}
