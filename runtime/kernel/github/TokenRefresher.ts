/**
 * Keeps every sandbox's tokens fresh: renewed at 50 to 70 % of their life, at once when a proxy asks, taken back at a pause.
 * One per install, a part of the control plane. All that it knows is in rows and secrets, so that the next one continues.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { grantRef, type GrantTrouble, isSameGrant, type RepositoryGrant } from "../../domain/github/Grant.ts"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import { isEnding, type SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { type Backoff, pauseAfter } from "../../ports/Backoff.ts"
import type { GithubFailed } from "../../ports/GithubApps.ts"
import { Sandboxes } from "../../ports/Sandboxes.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import { makeSandboxTokens, writesOf } from "./SandboxTokens.ts"

/** Looks so often at what is due; nothing is read or asked unless something is. */
const lookEvery = "5 seconds"
/** Renewals at one time on one host. GitHub's secondary limits begin at 100. Source: "Rate limits for the REST API". */
const atOnce = 4
/** Milliseconds after which a token that was not renewed is an alarm: ten minutes before its end. */
export const alarmMillis = 50 * 60_000
/** Between attempts. */
const afterFailure: Backoff = { firstMillis: 15_000, longestMillis: 300_000 }

/** Why there is no token, as the sandbox's side is told. */
export const troubleOf = (error: GithubFailed | StoreError, since: number): GrantTrouble => {
  const reason = error._tag === "StoreError" ? "Unavailable" : ({
    Missing: "NotInstalled",
    Suspended: "Suspended",
    NotGranted: "NotPermitted",
    NoKey: "Unavailable",
    BadKey: "Unavailable",
    RateLimited: "Unavailable",
    Unreachable: "Unavailable",
    Refused: "Unavailable"
  } as const)[error.reason]
  return { reason, detail: error._tag === "StoreError" ? "the tokens' store does not answer" : error.detail, since }
}

/** When a token made at `mintedAt` is renewed; `jitter` is 0 to 1. All Unix milliseconds. */
export const dueAt = (token: { readonly mintedAt: number; readonly expiresAt: number }, jitter: number): number =>
  token.mintedAt + Math.round((token.expiresAt - token.mintedAt) * (0.5 + 0.2 * jitter))

interface Entry {
  readonly sandbox: SandboxId
  readonly grant: Pick<RepositoryGrant, "host" | "installation">
  /** 0 before there was a token. */
  mintedAt: number
  due: number
  /** When it was last tried, and before when GitHub wants no other try. */
  triedAt: number
  notBefore: number
  failures: number
  alarmed: boolean
  busy: boolean
}

const keyOf = (sandbox: SandboxId, grant: Pick<RepositoryGrant, "host" | "installation">) =>
  `${sandbox} ${grantRef(grant)}`

const make = Effect.gen(function*() {
  const sandboxes = yield* Sandboxes
  const scope = yield* Effect.scope
  const tokens = yield* makeSandboxTokens
  const entries = new Map<string, Entry>()

  const forget = (sandbox: SandboxId) => {
    for (const [key, entry] of entries) if (entry.sandbox === sandbox) entries.delete(key)
  }

  /** One grant of the row as it now is; other writers change other attributes. */
  const writeGrant = Effect.fnUntraced(function*(
    sandbox: SandboxId,
    change: (grant: RepositoryGrant) => RepositoryGrant,
    of: Pick<RepositoryGrant, "host" | "installation">
  ) {
    const row = Option.getOrUndefined(yield* sandboxes.get(sandbox))
    if (row?.github === undefined) return
    const github = row.github.map((grant) => isSameGrant(grant, of) ? change(grant) : grant)
    if (JSON.stringify(github) === JSON.stringify(row.github)) return
    yield* sandboxes.update(sandbox, { github }, { generation: row.generation, ending: false })
  })

  const took = Effect.fnUntraced(function*(row: SandboxRow, grant: RepositoryGrant, entry: Entry) {
    const renewed = yield* tokens.renew(row.id, grant, writesOf(row.profile))
    const now = Option.getOrUndefined(yield* sandboxes.get(row.id))
    // Its end or a pause began meanwhile, and did not see these.
    if (now === undefined || now.generation !== row.generation || isEnding(now) || now.status === "stopped") {
      yield* tokens.withdraw(row.id, grant)
      return
    }
    const stored = yield* tokens.stored(row.id, grant, "read")
    const mintedAt = stored?.mintedAt ?? (yield* Clock.currentTimeMillis)
    entry.mintedAt = mintedAt
    entry.due = stored === undefined ? mintedAt : dueAt(stored, yield* Random.next)
    entry.failures = 0
    entry.notBefore = 0
    entry.alarmed = false
    yield* writeGrant(row.id, () => renewed, grant)
    yield* Effect.logDebug("tokens renewed")
  })

  const missed = Effect.fnUntraced(function*(row: SandboxRow, entry: Entry, error: GithubFailed | StoreError) {
    const now = yield* Clock.currentTimeMillis
    const wait = pauseAfter(afterFailure, entry.failures + 1)
    const told = error._tag === "GithubFailed" ? error.retryAfterMillis ?? 0 : 0
    entry.failures += 1
    entry.notBefore = now + told
    entry.due = now + Math.max(wait * (0.8 + 0.4 * (yield* Random.next)), told)
    const isOld = entry.mintedAt > 0 && now - entry.mintedAt > alarmMillis
    if (isOld && !entry.alarmed) {
      entry.alarmed = true
      yield* Effect.logError(
        `KM-GHA-026: the token of ${row.id} for ${grantRef(entry.grant)} is older than 50 minutes and was not renewed`,
        error.message
      )
    } else yield* Effect.logWarning("tokens not renewed", error.message)
    const trouble = troubleOf(error, now)
    yield* writeGrant(
      row.id,
      // What is wrong now, since when it is wrong in this way.
      (grant) => ({
        ...grant,
        trouble: grant.trouble?.reason === trouble.reason && grant.trouble.detail === trouble.detail
          ? grant.trouble
          : trouble
      }),
      entry.grant
    ).pipe(
      Effect.catch((failure) => Effect.logWarning("what is wrong with tokens was not written down", failure.message))
    )
  })

  const renew = Effect.fnUntraced(function*(entry: Entry) {
    const row = Option.getOrUndefined(yield* sandboxes.get(entry.sandbox))
    const grant = row?.github?.find((one) => isSameGrant(one, entry.grant))
    if (row === undefined || grant === undefined || isEnding(row) || row.status === "stopped") {
      entries.delete(keyOf(entry.sandbox, entry.grant))
      return
    }
    entry.triedAt = yield* Clock.currentTimeMillis
    yield* took(row, grant, entry).pipe(
      Effect.catchTags({
        GithubFailed: (error) => missed(row, entry, error),
        StoreError: (error) => missed(row, entry, error)
      })
    )
  }, (effect, entry) =>
    effect.pipe(
      Effect.catch((error) => Effect.logWarning("a sandbox's row could not be read for its tokens", error.message)),
      Effect.catchDefect((defect) => Effect.logError("renewing tokens ended in a defect", defect)),
      Effect.ensuring(Effect.sync(() => {
        entry.busy = false
      })),
      Effect.annotateLogs({ sandbox: entry.sandbox, grant: grantRef(entry.grant) })
    ))

  /** What is to be done about one sandbox, whose row may have changed. */
  const look = Effect.fnUntraced(function*(sandbox: SandboxId) {
    const row = Option.getOrUndefined(yield* sandboxes.get(sandbox))
    const grants = row?.github ?? []
    if (row === undefined || isEnding(row) || grants.length === 0) return forget(sandbox)
    // Its create makes the first ones.
    if (row.status === "creating") return
    if (row.status === "stopped") {
      forget(sandbox)
      for (const grant of grants) {
        if (yield* tokens.withdraw(sandbox, grant)) yield* Effect.logInfo("tokens taken back for the pause")
      }
      return
    }
    for (const grant of grants) {
      const key = keyOf(sandbox, grant)
      let entry = entries.get(key)
      if (entry === undefined) {
        const stored = yield* tokens.stored(sandbox, grant, "read")
        entry = {
          sandbox,
          grant: { host: grant.host, installation: grant.installation },
          mintedAt: stored?.mintedAt ?? 0,
          due: stored === undefined ? 0 : dueAt(stored, yield* Random.next),
          triedAt: 0,
          notBefore: 0,
          failures: 0,
          alarmed: false,
          busy: false
        }
        entries.set(key, entry)
      }
      // Whatever wait there is after a failure ends when somebody asks, but GitHub's own.
      if ((row.tokensWantedAt ?? 0) > Math.max(entry.mintedAt, entry.triedAt)) entry.due = entry.notBefore
    }
  }, (effect, sandbox) =>
    effect.pipe(
      Effect.catch((error) => Effect.logWarning("a sandbox's tokens were not looked at", error.message)),
      Effect.annotateLogs({ sandbox })
    ))

  /** A host that hangs holds up its own sandboxes only. */
  const limits = new Map<string, Semaphore.Semaphore>()
  const limitOf = (host: string): Semaphore.Semaphore => {
    const limit = limits.get(host) ?? Semaphore.makeUnsafe(atOnce)
    limits.set(host, limit)
    return limit
  }

  /** Begins what is due; returns what is under way. */
  const begin = Effect.fnUntraced(function*() {
    const now = yield* Clock.currentTimeMillis
    const due = [...entries.values()].filter((entry) => !entry.busy && entry.due <= now)
    for (const entry of due) entry.busy = true
    return yield* Effect.forEach(
      due,
      (entry) => Effect.forkIn(limitOf(entry.grant.host).withPermits(1)(renew(entry)), scope)
    )
  })

  const follow = sandboxes.changes.pipe(
    Stream.runForEach((id) => Effect.andThen(look(id), begin())),
    Effect.tapError((error) => Effect.logWarning("sandboxes are not followed for their tokens", error.message)),
    Effect.retry(Schedule.spaced("30 seconds")),
    Effect.orDie
  )

  return TokenRefresher.of({
    look,
    round: Effect.flatMap(begin(), (fibers) => Effect.forEach(fibers, Fiber.join, { discard: true })),
    run: Effect.all([follow, Effect.repeat(begin(), Schedule.spaced(lookEvery))], {
      concurrency: "unbounded",
      discard: true
    }).pipe(Effect.andThen(Effect.never))
  })
})

export class TokenRefresher extends Context.Service<TokenRefresher, {
  /** Looks at one sandbox: what is due, what a pause ends. Never fails. */
  readonly look: (sandbox: SandboxId) => Effect.Effect<void>
  /** Renews what is due, and waits for it. Never fails. */
  readonly round: Effect.Effect<void>
  /** For as long as the control plane lives. */
  readonly run: Effect.Effect<never>
}>()("km/runtime/kernel/github/TokenRefresher") {
  static readonly layer = Layer.effect(TokenRefresher, Effect.suspend(() => make))
}
