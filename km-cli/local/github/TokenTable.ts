/** Every installation token that was issued: what it opens, until when, and whether it was taken back. */
import { randomBytes } from "node:crypto"
import type { Permissions } from "./GithubOptions.ts"

export interface IssuedToken {
  readonly token: string
  readonly app: number
  readonly installation: number
  /** Undefined: every repository of the installation, also those that come later. */
  readonly repositories: ReadonlyArray<number> | undefined
  readonly permissions: Permissions
  /** Unix milliseconds. */
  readonly issuedAt: number
  readonly expiresAt: number
  revoked: boolean
}

/** An hour. Source: docs.github.com, "Generating an installation access token for a GitHub App". */
const lifeMillis = 3_600_000

const text = (length: number): string =>
  randomBytes(length).toString("base64").replaceAll(/[^A-Za-z0-9]/gu, "x").slice(0, length)

const secretOf = (shape: "short" | "long"): string =>
  shape === "short" ? `ghs_${text(36)}` : `ghs_${text(60)}.${text(370)}.${text(84)}`

export class TokenTable {
  readonly #tokens = new Map<string, IssuedToken>()
  readonly #now: () => number
  readonly #shape: "short" | "long"

  constructor(now: () => number, shape: "short" | "long") {
    this.#now = now
    this.#shape = shape
  }

  issue(what: Pick<IssuedToken, "app" | "installation" | "repositories" | "permissions">): IssuedToken {
    const issuedAt = this.#now()
    const issued: IssuedToken = {
      ...what,
      token: secretOf(this.#shape),
      issuedAt,
      expiresAt: issuedAt + lifeMillis,
      revoked: false
    }
    this.#tokens.set(issued.token, issued)
    return issued
  }

  /** Undefined for one that is unknown, expired or revoked: GitHub answers 401 to all three. */
  find(token: string): IssuedToken | undefined {
    const found = this.#tokens.get(token)
    return found === undefined || found.revoked || found.expiresAt <= this.#now() ? undefined : found
  }

  /** All of them, the oldest first, also those that are over. */
  all(): ReadonlyArray<IssuedToken> {
    return [...this.#tokens.values()]
  }

  /** Takes back what `which` says; an installation that goes takes its tokens with it. */
  revoke(which: (token: IssuedToken) => boolean): void {
    for (const token of this.#tokens.values()) if (which(token)) token.revoked = true
  }
}
