/**
 * GitHub's tokens for one sandbox, as the proxy asks for them. Whoever holds this port holds no right to mint: tokens are
 * made by the refresher, for exactly the repositories that the sandbox was created with, and only read here.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { RepositoryRef } from "../domain/github/Repository.ts"

/** `write` only for a request that the policy has approved; it reads too. */
export type RepositoryAccess = "read" | "write"

/** A repository as a request names it: by its names, in any case, or by GitHub's number of it. */
export type RepositoryQuery = RepositoryRef | { readonly host: string; readonly id: number }

/** A repository that the sandbox may reach; names in lower case, as they were when its token was made. */
export interface ReachableRepository extends RepositoryRef {
  readonly id: number
  /** GitHub's number of the App's installation on the owner's account. */
  readonly installation: number
}

export interface RepositoryToken {
  readonly repository: ReachableRepository
  readonly access: RepositoryAccess
  /** `ghs_` and 36 characters, or about 520 with dots: treat it as opaque. */
  readonly token: Redacted.Redacted<string>
  /** Unix milliseconds. GitHub's tokens live an hour. */
  readonly mintedAt: number
  readonly expiresAt: number
  /** What GitHub granted, such as `contents: read`. */
  readonly permissions: Readonly<Record<string, string>>
}

/**
 * Why there is no token; `message` is a sentence for git, gh and the agent.
 * - `NotAllowed`: the repository is not among the sandbox's.
 * - `ReadOnly`: the sandbox may read it and not write.
 * - `NotInstalled`, `Suspended`: the owner's account took the App away, or holds it back.
 * - `NotPermitted`: the installation lacks a permission that is needed, such as `contents: write`.
 * - `Unavailable`: no token that is still good, because GitHub or the refresher does not answer; it passes by itself.
 */
export const TokenTrouble = Schema.Literals([
  "NotAllowed",
  "ReadOnly",
  "NotInstalled",
  "Suspended",
  "NotPermitted",
  "Unavailable"
])
export type TokenTrouble = typeof TokenTrouble.Type

export class RepositoryTokenRefused extends Schema.TaggedError<RepositoryTokenRefused>()("RepositoryTokenRefused", {
  reason: TokenTrouble,
  /** One of `KM-GHA-…`. */
  code: Schema.String,
  /** What is so and what to do, one sentence without a full stop; holds no secret. */
  detail: Schema.String,
  /** When it is worth asking again, where that is known. */
  retryAfterMillis: Schema.optionalKey(Schema.Int)
}) {
  override get message(): string {
    return `${this.code}: ${this.detail}`
  }
}

const codes: Readonly<Record<TokenTrouble, string>> = {
  NotAllowed: "KM-GHA-020",
  ReadOnly: "KM-GHA-021",
  NotInstalled: "KM-GHA-022",
  Suspended: "KM-GHA-023",
  NotPermitted: "KM-GHA-024",
  Unavailable: "KM-GHA-025"
}

/** The refusal with the code that belongs to its reason. */
export const tokenRefused = (reason: TokenTrouble, detail: string, retryAfterMillis?: number): RepositoryTokenRefused =>
  new RepositoryTokenRefused({
    reason,
    code: codes[reason],
    detail,
    ...(retryAfterMillis === undefined ? {} : { retryAfterMillis })
  })

/** What a request names, for a sentence. */
export const queryText = (query: RepositoryQuery): string =>
  "id" in query ? `repository ${query.id} of ${query.host}` : `${query.owner}/${query.name}`

/** The one repository that a query means, if it is among these. */
export const findReachable = (
  repositories: ReadonlyArray<ReachableRepository>,
  query: RepositoryQuery
): ReachableRepository | undefined => {
  const host = query.host.toLowerCase()
  if ("id" in query) return repositories.find((one) => one.host === host && one.id === query.id)
  const [owner, name] = [query.owner.toLowerCase(), query.name.toLowerCase()]
  return repositories.find((one) => one.host === host && one.owner === owner && one.name === name)
}

export interface MemoryRepositoryTokensState {
  readonly repositories: Array<ReachableRepository>
  /** Refuses every token with this, while set. */
  trouble: RepositoryTokenRefused | undefined
  readOnly: boolean
  /** Counts up with each `refreshed`; part of the token. */
  generation: number
}
export const makeMemoryRepositoryTokensState = (
  repositories: ReadonlyArray<ReachableRepository>
): MemoryRepositoryTokensState => ({
  repositories: [...repositories],
  trouble: undefined,
  readOnly: false,
  generation: 1
})

export class RepositoryTokens extends Context.Service<RepositoryTokens, {
  /**
   * What the sandbox may reach now, sorted by name; empty without GitHub. Cheap: kept in memory, at most some seconds
   * behind the refresher.
   */
  readonly repositories: Effect.Effect<ReadonlyArray<ReachableRepository>, RepositoryTokenRefused>
  /** A token with at least a minute to live. Cheap: one a request is fine. */
  readonly token: (
    query: RepositoryQuery,
    access: RepositoryAccess
  ) => Effect.Effect<RepositoryToken, RepositoryTokenRefused>
  /**
   * GitHub answered 401 to `stale`: has the refresher make another one and waits for it, at most 20 s. One request for
   * all that ask at once, and at most one a minute for the sandbox; within that minute `Unavailable` says when.
   */
  readonly refreshed: (stale: RepositoryToken) => Effect.Effect<RepositoryToken, RepositoryTokenRefused>
}>()("km/runtime/ports/RepositoryTokens") {
  /** Tokens `ghs_memory_{access}_{generation}` that live an hour. */
  static readonly memory = (state: MemoryRepositoryTokensState): Layer.Layer<RepositoryTokens> => {
    const token = Effect.fnUntraced(function*(query: RepositoryQuery, access: RepositoryAccess) {
      const repository = findReachable(state.repositories, query)
      if (repository === undefined) {
        return yield* tokenRefused("NotAllowed", `${queryText(query)} is not among this sandbox's repositories`)
      }
      if (state.trouble !== undefined) return yield* state.trouble
      if (access === "write" && state.readOnly) {
        return yield* tokenRefused("ReadOnly", `this sandbox may read ${queryText(query)} and not write`)
      }
      const now = yield* Clock.currentTimeMillis
      return {
        repository,
        access,
        token: Redacted.make(`ghs_memory_${access}_${state.generation}`),
        mintedAt: now,
        expiresAt: now + 3_600_000,
        permissions: { contents: access, metadata: "read" }
      }
    })
    return Layer.succeed(
      RepositoryTokens,
      RepositoryTokens.of({
        repositories: Effect.sync(() => [...state.repositories]),
        token,
        refreshed: (stale) =>
          Effect.suspend(() => {
            // Who comes with a token that was replaced meanwhile gets the newer one.
            if (Redacted.value(stale.token).endsWith(`_${state.generation}`)) state.generation += 1
            return token(stale.repository, stale.access)
          })
      })
    )
  }

  /** For a sandbox that has no GitHub. */
  static readonly layerNone: Layer.Layer<RepositoryTokens> = Layer.suspend(() =>
    RepositoryTokens.memory(makeMemoryRepositoryTokensState([]))
  )
}
