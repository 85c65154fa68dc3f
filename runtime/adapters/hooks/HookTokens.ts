/** Who may speak for which session, and how often: tokens of runs, the sandbox's own token, and a rate for each. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import type { SessionId } from "../../domain/sandbox/Ids.ts"

/** Calls a token may make at once, and per second from then on. A busy turn makes about 30 a second. */
export const callBurst = 600
export const callsPerSecond = 300

/** 256 random bits; the prefix lets the redactor know it by its shape. */
export const newToken = (): string => `kmh_${randomBytes(32).toString("base64url")}`

const digestOf = (token: string): Buffer => createHash("sha256").update(token).digest()

interface Holder {
  readonly digest: Buffer
  /** Absent: the sandbox's own token, which speaks for every session that no run holds. */
  readonly session: SessionId | undefined
  /** A person began the session, and may begin and take up others in it. */
  readonly byPerson: boolean
  credit: number
  /** Milliseconds at which `credit` was right. */
  at: number
}

export type Verdict = "unknown" | "too-many" | {
  readonly maySpeakFor: (session: SessionId) => boolean
  readonly dispatched: boolean
}

/** The valid tokens of one sandbox. Not durable: run tokens die with their run, the sandbox's own is kept by its file. */
export class HookTokens {
  readonly #holders = new Set<Holder>()
  /** Sessions whose agent has a door of its own. */
  readonly #doors = new Set<SessionId>()

  /** The returned function takes it back. */
  add(token: string, session: SessionId | undefined, byPerson = session === undefined): () => void {
    const holder: Holder = { digest: digestOf(token), session, byPerson, credit: callBurst, at: 0 }
    this.#holders.add(holder)
    return () => void this.#holders.delete(holder)
  }

  /** From now on the session's token is good only by its door. The returned function ends that. */
  openDoor(session: SessionId): () => void {
    this.#doors.add(session)
    return () => void this.#doors.delete(session)
  }

  /**
   * Compares digests in constant time with every valid token, and takes one call from the token's allowance. `door`: the
   * session whose door the call came by; by a door no token but that session's is known.
   */
  check(authorization: string | undefined, nowMillis: number, door?: SessionId): Verdict {
    const presented = digestOf(authorization?.startsWith("Bearer ") === true ? authorization.slice(7).trim() : "")
    let found: Holder | undefined
    for (const holder of this.#holders) if (timingSafeEqual(holder.digest, presented)) found = holder
    if (found === undefined) return "unknown"
    const ownDoor = found.session !== undefined && this.#doors.has(found.session) ? found.session : undefined
    if (ownDoor !== door) return "unknown"
    const elapsed = Math.max(0, nowMillis - found.at)
    found.credit = Math.min(callBurst, found.credit + elapsed * callsPerSecond / 1_000)
    found.at = nowMillis
    if (found.credit < 1) return "too-many"
    found.credit -= 1
    const { byPerson, session: own } = found
    return {
      dispatched: !byPerson,
      maySpeakFor: (session) => byPerson ? !this.#isDispatched(session) : own === session
    }
  }

  #isDispatched(session: SessionId): boolean {
    for (const holder of this.#holders) if (!holder.byPerson && holder.session === session) return true
    return false
  }
}
