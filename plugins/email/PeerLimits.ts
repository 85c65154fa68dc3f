/** What stops two agents that write to each other without end: how often a peer may write, and no repetitions. */

const windowMillis = 60_000
/** Messages of one peer within a minute: far above what people and agents do, far below what a loop does. */
export const maxPerMinute = 120
/** Peers remembered; the one that was quiet longest goes first. */
const maxPeers = 10_000

interface Seen {
  readonly at: number
  readonly delivery: string
}

/** In memory: a restart forgets a minute, the hop count goes on. */
export class PeerLimits {
  private readonly times = new Map<string, Array<number>>()
  private readonly digests = new Map<string, Map<string, Seen>>()

  private static keep<A>(map: Map<string, A>, key: string, value: A): A {
    map.delete(key)
    map.set(key, value)
    const [oldest] = map.keys()
    if (map.size > maxPeers && oldest !== undefined) map.delete(oldest)
    return value
  }

  /** Counts a message of this peer; true when it is one too many. */
  exceeds(peer: string, now: number): boolean {
    const recent = (this.times.get(peer) ?? []).filter((at) => at > now - windowMillis)
    PeerLimits.keep(this.times, peer, recent)
    if (recent.length >= maxPerMinute) return true
    recent.push(now)
    return false
  }

  /** Notes the content; true when the same peer sent the same within a minute in another delivery. */
  repeats(peer: string, digest: string, delivery: string, now: number): boolean {
    const before = this.digests.get(peer) ?? new Map<string, Seen>()
    const recent = new Map([...before].filter(([, seen]) => seen.at > now - windowMillis))
    PeerLimits.keep(this.digests, peer, recent)
    const known = recent.get(digest)
    if (known !== undefined) return known.delivery !== delivery
    recent.set(digest, { at: now, delivery })
    return false
  }
}
