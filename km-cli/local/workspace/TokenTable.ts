/**
 * Which tokens exist and whom they stand for. The emulator takes any unknown token for its first user, so nothing
 * reaches it before this table has said who is calling.
 */
import * as crypto from "node:crypto"

/**
 * Whom a token stands for. Bot tokens carry `botId`; a person's token posts as if the person had typed; an app-level
 * token (`xapp-`) stands for no user and opens sockets only.
 */
export interface Caller {
  readonly kind: "bot" | "person" | "app"
  readonly userId: string
  readonly teamId: string
  readonly botId: string | undefined
  readonly scopes: ReadonlyArray<string>
  /** The next token under which the emulator knows this caller; a new one before its limiter is reached. */
  readonly innerToken: () => string
  /** Gives up the present inner token, because the emulator's limiter refused it. */
  readonly rotate: () => void
}

/**
 * The emulator answers 403 from the 5,000th call of one token within an hour (measured, 0.12.2); every caller
 * has this many aliases, 4,900 calls each.
 */
export const aliasesPerToken = 400
const callsPerAlias = 4_900

/** The names under which the emulator is told about one token. */
export const aliasesOf = (token: string): ReadonlyArray<string> =>
  Array.from({ length: aliasesPerToken }, (_, index) => `${token}~${index}`)

const digest = (token: string): string => crypto.createHash("sha256").update(token).digest("hex")

/** What is known of a token when it is entered. */
export interface TokenEntry {
  readonly token: string
  readonly kind: "bot" | "person" | "app"
  readonly userId: string
  readonly teamId: string
  readonly botId: string | undefined
  readonly scopes: ReadonlyArray<string>
}

const callerOf = (entry: TokenEntry): Caller => {
  let used = 0
  let alias = 0
  const rotate = () => {
    alias = (alias + 1) % aliasesPerToken
    used = 0
  }
  return {
    kind: entry.kind,
    userId: entry.userId,
    teamId: entry.teamId,
    botId: entry.botId,
    scopes: entry.scopes,
    innerToken: () => {
      if (used >= callsPerAlias) rotate()
      used++
      return `${entry.token}~${alias}`
    },
    rotate
  }
}

/**
 * Tokens by digest, so that a look-up compares no secret byte by byte. Slack tells no token (`not_authed`) from a
 * wrong one (`invalid_auth`): docs.slack.dev/reference/methods/auth.test.
 */
export class TokenTable {
  readonly #callers = new Map<string, Caller>()
  readonly #revoked = new Set<string>()

  enter(entry: TokenEntry): Caller {
    const caller = callerOf(entry)
    this.#callers.set(digest(entry.token), caller)
    return caller
  }

  find(token: string): Caller | undefined {
    return this.#callers.get(digest(token))
  }

  /** The token stops working: calls with it answer `token_revoked`. */
  revoke(token: string): boolean {
    this.#revoked.add(digest(token))
    return this.#callers.delete(digest(token))
  }

  isRevoked(token: string): boolean {
    return this.#revoked.has(digest(token))
  }

  /** A caller for a user id, for reads that the front makes on its own. */
  ofUser(userId: string): Caller | undefined {
    for (const caller of this.#callers.values()) if (caller.userId === userId) return caller
    return undefined
  }
}
