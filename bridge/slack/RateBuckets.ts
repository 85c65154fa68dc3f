/** Slack's rate limits kept on our side: one token bucket per method and workspace, one per channel for messages. */

interface Bucket {
  tokens: number
  updatedAt: number
  blockedUntil: number
}

/** Calls a minute, and how many may come at once. */
export interface Rate {
  readonly perMinute: number
  readonly burst: number
}

const tier2: Rate = { perMinute: 20, burst: 20 }
const tier3: Rate = { perMinute: 50, burst: 50 }
const tier4: Rate = { perMinute: 100, burst: 100 }
const special: Rate = { perMinute: 600, burst: 100 }

/** Tiers per method. Source: docs.slack.dev/apis/web-api/rate-limits and the methods' pages, read 2026-11. */
const rates: Readonly<Record<string, Rate>> = {
  "auth.test": special,
  "chat.getPermalink": special,
  "chat.postMessage": { perMinute: 300, burst: 60 },
  "chat.update": tier3,
  "chat.delete": tier3,
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

/** One message a second in one channel; Slack tolerates short bursts without a number, so four. Source: docs.slack.dev/apis/web-api/rate-limits, read 2026-11. */
const channelRate: Rate = { perMinute: 60, burst: 4 }

/** The buckets that a call draws from. A method without an entry is treated as tier 3. */
export const bucketsOf = (
  method: string,
  channel: string | undefined
): ReadonlyArray<{ readonly key: string; readonly rate: Rate }> => [
  { key: method, rate: rates[method] ?? tier3 },
  ...(method === "chat.postMessage" && channel !== undefined
    ? [{ key: `${method}/${channel}`, rate: channelRate }]
    : [])
]

export interface RateBuckets {
  /**
   * Milliseconds to wait before the call may go, having taken its place; or the wait it would have been, with no
   * place taken, when that is more than `maxWaitMillis`.
   */
  readonly reserve: (
    method: string,
    channel: string | undefined,
    now: number,
    maxWaitMillis: number
  ) => { readonly waitMillis: number; readonly granted: boolean }
  /** Slack answered 429: nothing goes out of the narrowest bucket before `now + retryAfterMillis`. */
  readonly block: (method: string, channel: string | undefined, now: number, retryAfterMillis: number) => void
}

/** `scale` multiplies every rate. At most 10,000 channels are remembered; the oldest is forgotten first. */
export const makeRateBuckets = (scale: number): RateBuckets => {
  const buckets = new Map<string, Bucket>()
  const bucketAt = (key: string, rate: Rate, now: number): Bucket => {
    const burst = Math.max(rate.burst * scale, 1)
    const found = buckets.get(key)
    if (found === undefined) {
      const fresh = { tokens: burst, updatedAt: now, blockedUntil: 0 }
      buckets.set(key, fresh)
      if (buckets.size > 10_000) {
        const [oldest] = buckets.keys()
        if (oldest !== undefined) buckets.delete(oldest)
      }
      return fresh
    }
    const elapsed = Math.max(0, now - found.updatedAt)
    found.tokens = Math.min(burst, found.tokens + elapsed * rate.perMinute * scale / 60_000)
    found.updatedAt = now
    return found
  }
  return {
    reserve: (method, channel, now, maxWaitMillis) => {
      const drawn = bucketsOf(method, channel).map(({ key, rate }) => ({ bucket: bucketAt(key, rate, now), rate }))
      const waitMillis = Math.ceil(Math.max(
        0,
        ...drawn.map(({ bucket, rate }) =>
          Math.max(bucket.blockedUntil - now, (1 - bucket.tokens) * 60_000 / (rate.perMinute * scale))
        )
      ))
      if (waitMillis > maxWaitMillis) return { waitMillis, granted: false }
      for (const { bucket } of drawn) bucket.tokens -= 1
      return { waitMillis, granted: true }
    },
    block: (method, channel, now, retryAfterMillis) => {
      const narrowest = bucketsOf(method, channel).at(-1)
      if (narrowest === undefined) return
      const bucket = bucketAt(narrowest.key, narrowest.rate, now)
      bucket.blockedUntil = Math.max(bucket.blockedUntil, now + retryAfterMillis)
    }
  }
}
