/**
 * Slack's rate limits: a tier per method, and one message a second per channel. The emulator has none but a limiter
 * made for another service.
 */

/**
 * Calls a minute that a tier allows per method and workspace.
 * Source: docs.slack.dev/apis/web-api/rate-limits ("1+", "20+", "50+", "100+ per minute"); the special tier of
 * `auth.test`, `chat.getPermalink` and the like is "hundreds of requests per minute".
 */
export const perMinute = { 1: 1, 2: 20, 3: 50, 4: 100, special: 600 } as const

/** The tier of a method; `channel` is the rule of `chat.postMessage`. */
export type Tier = keyof typeof perMinute | "channel"

/** Messages a minute that one app may post in the whole workspace: "several hundred" (same page); 300 here. */
const postsPerMinute = 300

interface Bucket {
  tokens: number
  at: number
}

/** What the limits are multiplied with, and the message rate of a channel. */
export interface RateLimits {
  readonly scale: number
  readonly postPerSecond: number
  readonly postBurst: number
}

/**
 * Token buckets. Slack tolerates a short burst: a bucket of a tier holds a minute's worth, a channel's holds
 * `postBurst`. A refused call takes nothing.
 */
export class RateTiers {
  readonly #limits: RateLimits | undefined
  readonly #now: () => number
  readonly #buckets = new Map<string, Bucket>()

  /** `limits` undefined turns all limits off. `now` is milliseconds. */
  constructor(limits: RateLimits | undefined, now: () => number) {
    this.#limits = limits
    this.#now = now
  }

  #take(key: string, capacity: number, perSecond: number): number {
    const now = this.#now()
    const bucket = this.#buckets.get(key) ?? { tokens: capacity, at: now }
    bucket.tokens = Math.min(capacity, bucket.tokens + (now - bucket.at) / 1000 * perSecond)
    bucket.at = now
    this.#buckets.set(key, bucket)
    if (bucket.tokens < 1) return Math.max(1, Math.ceil((1 - bucket.tokens) / perSecond))
    bucket.tokens -= 1
    return 0
  }

  /** 0 when the call may pass, else the whole seconds for `Retry-After`, at least 1. */
  check(owner: string, method: string, tier: Tier, channel: string | undefined): number {
    const limits = this.#limits
    if (limits === undefined) return 0
    if (tier === "channel") {
      const wait = this.#take(
        `${owner} ${method} ${channel ?? ""}`,
        limits.postBurst * limits.scale,
        limits.postPerSecond * limits.scale
      )
      if (wait > 0) return wait
      const all = postsPerMinute * limits.scale
      return this.#take(`${owner} ${method}`, all, all / 60)
    }
    const capacity = Math.max(1, perMinute[tier] * limits.scale)
    return this.#take(`${owner} ${method}`, capacity, perMinute[tier] * limits.scale / 60)
  }
}
