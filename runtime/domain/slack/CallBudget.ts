/**
 * Whose turn it is to call Slack: one budget per workspace and method, shared by all sandboxes. Nothing is ever refused; what
 * has to wait goes by its purpose first and by its age then. Pure but for its own rows: every step is told the time.
 */

/** How many calls may touch a stretch of time. */
interface Limit {
  readonly calls: number
  readonly windowMillis: number
}

/** Calls a minute of Slack's tiers. Source: docs.slack.dev/apis/web-api/rate-limits and the methods' pages, read 2026-11. */
const tier2 = 20
const tier3 = 50
const tier4 = 100
/** "Hundreds of requests per minute" (the same page). */
const special = 600
/** Messages a minute in a workspace: "several hundred", with no number (the same page). */
const posts = 300
const minute = 60_000

const perMinute: Readonly<Record<string, number>> = {
  "auth.test": special,
  "chat.getPermalink": special,
  "chat.postMessage": posts,
  "conversations.archive": tier2,
  "conversations.create": tier2,
  "conversations.inviteShared": tier2,
  "conversations.list": tier2,
  "conversations.setTopic": tier2,
  "files.completeUploadExternal": tier4,
  "files.getUploadURLExternal": tier4,
  "files.info": tier4,
  "reactions.remove": tier2,
  "users.info": tier4
}

/** A method without an entry is treated as tier 3, as `chat.update` is: for the whole workspace, not for each channel. */
const limitOf = (method: string, scale: number): Limit => ({
  calls: Math.max(1, Math.floor((perMinute[method] ?? tier3) * scale)),
  windowMillis: minute
})

/**
 * Messages in one channel: one a second, and three at once. Slack tolerates "short bursts" without a number (the same
 * page); a message that arrives a little early must not be the one too many.
 */
const channelGapMillis = 1_000
const channelBurst = 3

/** A 429 that names no time. */
const leastBlockMillis = 1_000

/**
 * What a call is for, the most urgent first. Texts and marks have budgets of their own, so they share the ranks. `spare`
 * calls leave a tenth of the budget free, so that what is more urgent finds a place at once; `paced` ones go evenly, so that
 * of n live messages each changes every n × 60/45 s (tier 3 less its tenth).
 */
const purposes = {
  /** An answer, a notice, a failure: what somebody waits for. */
  outcome: { rank: 0 },
  /** 👀: stored. */
  seen: { rank: 0 },
  /** Asks a person, or shows what the person decided. */
  question: { rank: 1 },
  /** ✅ ❌ 🛑 🚫. */
  mark: { rank: 1 },
  /** The first text of a live message. */
  first: { rank: 2 },
  /** Channels, look-ups, files. */
  work: { rank: 2 },
  /** Live text after the first. */
  live: { rank: 3, spare: true, paced: true },
  /** ⏳, added and taken away. */
  working: { rank: 3, spare: true }
} as const satisfies Record<string, { readonly rank: number; readonly spare?: boolean; readonly paced?: boolean }>

export type CallPurpose = keyof typeof purposes

/** What a place is asked for. */
export interface PlannedCall {
  readonly method: string
  /** Where a message is posted; other methods have no limit per channel. */
  readonly channel: string | undefined
  readonly purpose: CallPurpose
}

interface Waiting<Id> extends PlannedCall {
  readonly id: Id
  /** Rises with every call that asks. */
  readonly order: number
}

/** A call under way, or one that was and whose minute is not over. Slack may have counted it at any time between. */
interface Place {
  endedAt: number | undefined
}

interface Method<Id> {
  readonly limit: Limit
  readonly places: Set<Place>
  readonly waiting: Array<Waiting<Id>>
  blockedUntil: number
  /** When the next paced call may go. */
  pacedAt: number
  readonly channels: Map<string, Channel>
}

interface Channel {
  /** When the channel's next message is due if every message so far had come in its own second. */
  dueAt: number
  blockedUntil: number
}

const rankOf = (call: PlannedCall): number => purposes[call.purpose].rank
const isSpare = (call: PlannedCall): boolean => "spare" in purposes[call.purpose]
const isPaced = (call: PlannedCall): boolean => "paced" in purposes[call.purpose]

/** Places that only urgent calls may take. */
const reserveOf = (limit: Limit): number => Math.min(limit.calls - 1, Math.ceil(limit.calls / 10))

/** Milliseconds between two paced calls. */
export const paceMillis = (method: string, scale = 1): number => {
  const limit = limitOf(method, scale)
  return limit.windowMillis / (limit.calls - reserveOf(limit))
}

/** `Id` names a call for its caller, once. All times are Unix milliseconds and never go back. */
export class CallBudget<Id> {
  readonly #scale: number
  readonly #methods = new Map<string, Method<Id>>()
  readonly #held = new Map<
    Id,
    { readonly call: PlannedCall; readonly place: Place; readonly pacedAt: readonly [number, number] }
  >()
  #order = 0

  /** `scale` multiplies every rate; 1 is Slack's. */
  constructor(scale = 1) {
    this.#scale = scale
  }

  /** Calls that wait. */
  get waiting(): number {
    let count = 0
    for (const { waiting } of this.#methods.values()) count += waiting.length
    return count
  }

  #methodOf(name: string): Method<Id> {
    const known = this.#methods.get(name)
    if (known !== undefined) return known
    const fresh: Method<Id> = {
      limit: limitOf(name, this.#scale),
      places: new Set(),
      waiting: [],
      blockedUntil: 0,
      pacedAt: 0,
      channels: new Map()
    }
    this.#methods.set(name, fresh)
    return fresh
  }

  #channelOf(method: Method<Id>, { channel, method: name }: PlannedCall): Channel | undefined {
    if (name !== "chat.postMessage" || channel === undefined) return undefined
    const known = method.channels.get(channel)
    if (known !== undefined) return known
    const fresh = { dueAt: 0, blockedUntil: 0 }
    method.channels.set(channel, fresh)
    return fresh
  }

  /** The call waits for its place. */
  ask(id: Id, call: PlannedCall): void {
    const { waiting } = this.#methodOf(call.method)
    const asked = { ...call, id, order: this.#order++ }
    const at = waiting.findIndex((other) => rankOf(other) > rankOf(asked))
    waiting.splice(at === -1 ? waiting.length : at, 0, asked)
  }

  /** The call is not wanted any more; false when it does not wait (any more). */
  withdraw(id: Id): boolean {
    for (const { waiting } of this.#methods.values()) {
      const at = waiting.findIndex((other) => other.id === id)
      if (at === -1) continue
      waiting.splice(at, 1)
      return true
    }
    return false
  }

  /** The earliest time at which this call may go by what is known now; `undefined`: when a call under way has ended. */
  #earliest(method: Method<Id>, call: PlannedCall, now: number): number | undefined {
    const { limit, places } = method
    const may = isSpare(call) ? limit.calls - reserveOf(limit) : limit.calls
    let free = now
    if (places.size >= may) {
      const ends = [...places].flatMap(({ endedAt }) => endedAt === undefined ? [] : [endedAt + limit.windowMillis])
      const needed = places.size - may + 1
      const end = ends.toSorted((a, b) => a - b)[needed - 1]
      if (end === undefined) return undefined
      free = end
    }
    const channel = this.#channelOf(method, call)
    const gap = channelGapMillis / this.#scale
    return Math.ceil(Math.max(
      now,
      free,
      method.blockedUntil,
      isPaced(call) ? method.pacedAt : 0,
      channel === undefined ? 0 : Math.max(channel.blockedUntil, channel.dueAt - (channelBurst - 1) * gap)
    ))
  }

  #sweep(method: Method<Id>, now: number): void {
    for (const place of method.places) {
      if (place.endedAt !== undefined && place.endedAt + method.limit.windowMillis <= now) method.places.delete(place)
    }
    if (method.channels.size < 1_000) return
    for (const [name, { blockedUntil, dueAt }] of method.channels) {
      if (Math.max(blockedUntil, dueAt) <= now) method.channels.delete(name)
    }
  }

  /**
   * The calls whose turn it is; they hold their places from now on, until `finish`. A call that its channel keeps back keeps
   * nobody else back but later messages of the same channel.
   */
  grant(now: number): ReadonlyArray<Id> {
    const granted: Array<Id> = []
    for (const method of this.#methods.values()) {
      this.#sweep(method, now)
      const heldBack = new Set<string>()
      for (const call of method.waiting.slice()) {
        const name = call.method === "chat.postMessage" ? call.channel ?? "" : ""
        if (heldBack.has(name)) continue
        const at = this.#earliest(method, call, now)
        if (at === undefined || at > now) {
          heldBack.add(name)
          continue
        }
        method.waiting.splice(method.waiting.indexOf(call), 1)
        const place: Place = { endedAt: undefined }
        method.places.add(place)
        const { pacedAt } = method
        if (isPaced(call)) method.pacedAt = now + paceMillis(call.method, this.#scale)
        this.#held.set(call.id, { call, place, pacedAt: [pacedAt, method.pacedAt] })
        const channel = this.#channelOf(method, call)
        if (channel !== undefined) channel.dueAt = Math.max(channel.dueAt, now) + channelGapMillis / this.#scale
        granted.push(call.id)
      }
    }
    return granted
  }

  /** When `grant` should be asked next; `undefined`: when something has been asked for or has ended. */
  next(now: number): number | undefined {
    let next: number | undefined
    for (const method of this.#methods.values()) {
      for (const call of method.waiting) {
        const at = this.#earliest(method, call, now)
        if (at !== undefined && (next === undefined || at < next)) next = at
      }
    }
    return next
  }

  /** The call has ended, however; `made` is false when Slack was never asked and its place is free again. */
  finish(id: Id, now: number, made = true): void {
    const held = this.#held.get(id)
    if (held === undefined) return
    this.#held.delete(id)
    if (made) {
      held.place.endedAt = now
      return
    }
    const method = this.#methodOf(held.call.method)
    method.places.delete(held.place)
    const [before, after] = held.pacedAt
    if (method.pacedAt === after) method.pacedAt = before
  }

  /**
   * Slack answered 429: what was refused does not go again before `retryAfterMillis` have passed. A message is refused for
   * its channel, or for the workspace where another channel is blocked at the same time. A shorter time never shortens a
   * longer one.
   */
  block(call: PlannedCall, now: number, retryAfterMillis: number): void {
    const method = this.#methodOf(call.method)
    const until = now + Math.max(leastBlockMillis, retryAfterMillis)
    const channel = this.#channelOf(method, call)
    if (channel === undefined) {
      method.blockedUntil = Math.max(method.blockedUntil, until)
      return
    }
    const others = [...method.channels.values()].some((other) => other !== channel && other.blockedUntil > now)
    channel.blockedUntil = Math.max(channel.blockedUntil, until)
    if (others) method.blockedUntil = Math.max(method.blockedUntil, until)
  }
}
