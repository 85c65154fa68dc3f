/**
 * `RepositoryTokens` for one sandbox, from what the refresher wrote: grants in the sandbox's row, tokens among its secrets.
 * There is no right to mint here; a fresh token is asked for at the bridge, which tells the refresher.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { maxRepositories, readStoredToken, type RepositoryGrant, type StoredToken } from "../../domain/github/Grant.ts"
import { repositoryText } from "../../domain/github/Repository.ts"
import { Bridge } from "../../ports/Bridge.ts"
import { Reports } from "../../ports/Reports.ts"
import {
  findReachable,
  queryText,
  type ReachableRepository,
  type RepositoryAccess,
  type RepositoryQuery,
  type RepositoryToken,
  RepositoryTokens,
  tokenRefused
} from "../../ports/RepositoryTokens.ts"
import { Sandboxes } from "../../ports/Sandboxes.ts"
import { SandboxInfo } from "../../ports/SandboxInfo.ts"
import { Secrets } from "../../ports/Secrets.ts"
import { unending } from "../../ports/Unending.ts"
import { tokenPath } from "./SandboxTokens.ts"

/** Milliseconds that a token must still have: longer than a request takes to begin. */
const leastLife = 60_000
/** How often the use of tokens is told. */
const tellEvery = "1 minute"
/** Milliseconds after which a token past half of its life is read again: a newer one is there soon. */
const lookAgain = 30_000
/** How long a fresh token is waited for, and how often it is looked for. */
const freshWithin = "20 seconds"
const looks = Schedule.spaced("500 millis")

interface Cached extends StoredToken {
  readonly readAt: number
}

interface Found {
  readonly grant: RepositoryGrant
  readonly repository: ReachableRepository
}

const unavailable = (detail: string, retryAfterMillis?: number) => tokenRefused("Unavailable", detail, retryAfterMillis)

const asToken = (
  { repository }: Found,
  access: RepositoryAccess,
  { expiresAt, mintedAt, permissions, token }: StoredToken
): RepositoryToken => ({ repository, access, token, mintedAt, expiresAt, permissions })

/** What the refresher wrote about a grant that has no good token. */
const troubled = ({ grant: { account, trouble } }: Found) =>
  trouble === undefined
    ? unavailable(`there is no fresh token for ${account} now; it is being made`)
    : tokenRefused(trouble.reason, trouble.detail)

const reachableOf = (grants: ReadonlyArray<RepositoryGrant>): ReadonlyArray<ReachableRepository> =>
  grants.flatMap(({ account, host, installation, repositories }) =>
    repositories.map(({ id, name }) => ({ host, owner: account, name, id, installation }))
  ).toSorted((a, b) => repositoryText(a) < repositoryText(b) ? -1 : 1)

const make = Effect.gen(function*() {
  const { id: sandbox } = yield* SandboxInfo
  const sandboxes = yield* Sandboxes
  const secrets = yield* Secrets
  const bridge = yield* Bridge
  const reports = yield* Reports
  const asking = yield* Semaphore.make(1)
  /** As the row was when it was last seen; undefined before that. */
  let grants: ReadonlyArray<RepositoryGrant> | undefined
  const cache = new Map<string, Cached>()
  /** By host and number: when a token was last given out; told with the report. */
  const used = new Map<string, { readonly host: string; readonly id: number; readonly at: number }>()
  let told = 0

  yield* sandboxes.watch(sandbox).pipe(
    Stream.runForEach((row) =>
      Effect.sync(() => {
        grants = Option.getOrUndefined(row)?.github ?? []
      })
    ),
    Effect.tapError((error) => Effect.logWarning("what may be reached on GitHub is not followed", error.message)),
    Effect.retry(Schedule.spaced("5 seconds")),
    Effect.forkScoped
  )

  const readGrants = Effect.map(sandboxes.get(sandbox), (row) => {
    grants = Option.getOrUndefined(row)?.github ?? []
    return grants
  }).pipe(Effect.mapError(() => unavailable("what this sandbox may reach on GitHub cannot be read now")))

  const current = Effect.suspend(() => grants === undefined ? readGrants : Effect.succeed(grants))

  const find = Effect.fnUntraced(function*(query: RepositoryQuery) {
    const known = yield* current
    const repository = findReachable(reachableOf(known), query)
    const grant = known.find((one) => one.host === repository?.host && one.installation === repository.installation)
    return repository === undefined || grant === undefined
      ? yield* tokenRefused("NotAllowed", `${queryText(query)} is not among this sandbox's repositories`)
      : { grant, repository }
  })

  const read = Effect.fnUntraced(function*(path: string) {
    const found = yield* secrets.get(path).pipe(
      Effect.mapError(() => unavailable("this sandbox's token for GitHub cannot be read now"))
    )
    const stored = Option.isSome(found) ? readStoredToken(found.value) : undefined
    if (stored === undefined) return void cache.delete(path)
    const cached = { ...stored, readAt: yield* Clock.currentTimeMillis }
    cache.set(path, cached)
    return cached
  })

  const stored = Effect.fnUntraced(function*(path: string) {
    const now = yield* Clock.currentTimeMillis
    const cached = cache.get(path)
    const isYoung = cached !== undefined && now < (cached.mintedAt + cached.expiresAt) / 2
    const isNew = cached !== undefined && now - cached.readAt < lookAgain && cached.expiresAt - now >= leastLife
    return isYoung || isNew ? cached : yield* read(path)
  })

  const token = Effect.fn("RepositoryTokens.token")(function*(query: RepositoryQuery, access: RepositoryAccess) {
    const found = yield* find(query)
    const { grant, repository } = found
    const name = repositoryText(repository)
    if (grant.missing?.includes(repository.id) === true) {
      return yield* tokenRefused(
        "NotInstalled",
        `the GitHub App does not see ${name} any more; let it see the repository in ${grant.account}'s settings on GitHub`
      )
    }
    if (access === "write" && !grant.writes) {
      return yield* tokenRefused("ReadOnly", `this sandbox may read ${name} and not write to it`)
    }
    const kept = yield* stored(tokenPath(sandbox, grant, access))
    // A token of an installation that is held back is refused by GitHub with words that help nobody.
    const isBlocked = grant.trouble?.reason === "Suspended" || grant.trouble?.reason === "NotInstalled"
    if (kept === undefined || isBlocked || kept.expiresAt - (yield* Clock.currentTimeMillis) < leastLife) {
      return yield* troubled(found)
    }
    used.set(`${repository.host} ${repository.id}`, {
      host: repository.host,
      id: repository.id,
      at: yield* Clock.currentTimeMillis
    })
    return asToken(found, access, kept)
  })

  const newestUse = () => [...used.values()].toSorted((a, b) => b.at - a.at).slice(0, maxRepositories)
  const tell = Effect.gen(function*() {
    const list = newestUse()
    const newest = list[0]?.at ?? 0
    if (newest === told) return
    yield* reports.put(sandbox, { repositoriesUsed: list })
    told = newest
  }).pipe(Effect.catch((error) => Effect.logWarning("the use of repositories was not stored", error.message)))
  yield* Effect.forkScoped(unending(
    "storing the use of repositories ended in a defect; it goes on",
    tellEvery,
    Effect.andThen(tell, Effect.sleep(tellEvery))
  ))

  /** What was wrong before is wrong still, and the refresher does not write it down again. */
  const noneInTime = Effect.fnUntraced(function*({ repository: { host, id } }: RepositoryToken) {
    const found = yield* find({ host, id })
    return found.grant.trouble === undefined
      ? yield* unavailable("GitHub refused the token and no other was made in time; the control plane may be down")
      : yield* troubled(found)
  })

  /** Waits until the refresher has written something newer than `asked`: a token, or why there is none. */
  const awaitFresh = Effect.fnUntraced(function*(stale: RepositoryToken, asked: number) {
    const look = Effect.gen(function*() {
      yield* readGrants
      const found = yield* find({ host: stale.repository.host, id: stale.repository.id })
      const kept = yield* read(tokenPath(sandbox, found.grant, stale.access))
      if (kept !== undefined && Redacted.value(kept.token) !== Redacted.value(stale.token)) {
        return asToken(found, stale.access, kept)
      }
      const { trouble } = found.grant
      return trouble !== undefined && trouble.since >= asked ? yield* troubled(found) : undefined
    })
    return yield* Effect.repeat(look, { schedule: looks, until: (fresh) => fresh !== undefined }).pipe(
      Effect.timeoutOrElse({ duration: freshWithin, orElse: () => Effect.undefined }),
      Effect.filterOrElse((fresh) => fresh !== undefined, () => noneInTime(stale))
    )
  })

  const refreshed = Effect.fn("RepositoryTokens.refreshed")(function*(stale: RepositoryToken) {
    const found = yield* find({ host: stale.repository.host, id: stale.repository.id })
    const kept = yield* read(tokenPath(sandbox, found.grant, stale.access))
    if (kept !== undefined && Redacted.value(kept.token) !== Redacted.value(stale.token)) {
      return asToken(found, stale.access, kept)
    }
    const asked = yield* Clock.currentTimeMillis
    yield* bridge.call({
      key: `repository.refresh/${sandbox}/${asked}`,
      action: { action: "repository.refresh" },
      patience: "besteffort"
    }).pipe(
      Effect.catch((error) =>
        error.code !== "rate_limited"
          ? unavailable(`GitHub refused the token, and a new one cannot be asked for: ${error.code}`)
          : found.grant.trouble === undefined
          ? unavailable("GitHub refused the token, and a new one was asked for less than a minute ago", 60_000)
          : troubled(found)
      )
    )
    return yield* awaitFresh(stale, asked)
    // One after another: who waited meanwhile finds the fresh one.
  }, (effect) => asking.withPermits(1)(effect))

  return RepositoryTokens.of({ repositories: Effect.map(current, reachableOf), token, refreshed })
})

export const layer = Layer.effect(RepositoryTokens, make)
