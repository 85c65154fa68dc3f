/**
 * A sandbox's tokens: made for exactly its repositories, reading and writing apart, written among its own secrets, taken back.
 * The token before the newest is kept until the next, since a transfer may still run with it, and is taken back with it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { tokensPath } from "../../domain/github/AppSettings.ts"
import {
  installedAs,
  maxRepositories,
  readStoredToken,
  type RepositoryGrant,
  type StoredToken,
  storedTokenText
} from "../../domain/github/Grant.ts"
import { type Permissions, readPlan, writePlan, type Writes, writesAnything } from "../../domain/github/Permissions.ts"
import type { Profile } from "../../domain/profile/Profile.ts"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import { type FoundInstallation, GithubApps, GithubFailed, type MintedToken } from "../../ports/GithubApps.ts"
import type { RepositoryAccess } from "../../ports/RepositoryTokens.ts"
import { Secrets } from "../../ports/Secrets.ts"
import type { StoreError } from "../../ports/StoreError.ts"

/** The newest token of a grant, and the one before it. */
export const tokenPath = (
  sandbox: SandboxId,
  grant: Pick<RepositoryGrant, "host" | "installation">,
  access: RepositoryAccess
) => `${tokensPath(sandbox, grant)}/${access}`
const formerPath = (path: string): string => `${path}-before`

/** Taking a token back may not hold up the end of a sandbox: it ends by itself within the hour. */
const revokeWithin = "10 seconds"

/** What a profile lets its sandbox change on GitHub. */
export const writesOf = ({ spec: { sourceAccess: { github } } }: Profile): Writes => ({
  // A list of denials alone allows nothing.
  pushes: github.allowedRefs.some((text) => !text.startsWith("!")),
  capabilities: github.capabilities
})

/** A renewal that did not come to tokens: what GitHub said, or a store. */
export type RenewFailed = GithubFailed | StoreError

const failed = (host: string, reason: GithubFailed["reason"], detail: string) =>
  new GithubFailed({ host, reason, detail })

/** What both tokens may do; refused where they would be of no use. */
const permissionsFor = Effect.fnUntraced(function*(
  { account, host }: RepositoryGrant,
  writes: Writes,
  { permissions, suspended }: FoundInstallation
) {
  if (suspended) return yield* failed(host, "Suspended", `the GitHub App's installation on ${account} is suspended`)
  const reading = readPlan(permissions)
  const writing = writePlan(writes, permissions)
  const lacking = [
    ...reading.lacking.filter((one) => one.startsWith("contents:")),
    ...writing.lacking
  ]
  return lacking.length === 0
    ? { read: reading.permissions, write: writesAnything(writes) ? writing.permissions : undefined }
    : yield* failed(
      host,
      "NotGranted",
      `the GitHub App's installation on ${account} does not have ${lacking.join(", ")}; the account has to accept that`
    )
})

/** Functions over the ports; whoever has them can mint. */
export const makeSandboxTokens = Effect.gen(function*() {
  const apps = yield* GithubApps
  const secrets = yield* Secrets

  const revoke = (host: string, token: Redacted.Redacted<string>) =>
    apps.revoke(host, token).pipe(
      Effect.timeoutOrElse({
        duration: revokeWithin,
        orElse: () => Effect.fail(failed(host, "Unreachable", "GitHub does not answer"))
      }),
      Effect.catch((error) =>
        Effect.logWarning("a token was not taken back; it ends by itself within the hour", error.message)
      )
    )

  /** A token for these and nothing else; GitHub's answer is not believed to be what was asked for. */
  const mint = Effect.fnUntraced(function*(
    grant: RepositoryGrant,
    repositories: ReadonlyArray<number>,
    permissions: Permissions
  ) {
    const { app, host } = grant
    const minted = yield* apps.mint({ host, app }, installedAs(grant), { repositories, permissions })
    const asked = new Set(repositories)
    const excess = minted.repositories.length === 0 || minted.repositories.some(({ id }) => !asked.has(id))
      || Object.keys(minted.permissions).some((name) => name !== "metadata" && !Object.hasOwn(permissions, name))
    if (!excess) return minted
    yield* revoke(host, minted.token)
    return yield* failed(host, "Refused", "GitHub's token is for more than was asked for, so it was taken back")
  })

  /** The repositories to ask for: those of the grant, or for `owner/*` all that there are now. */
  const wanted = Effect.fnUntraced(function*(grant: RepositoryGrant) {
    const pinned = grant.repositories.map(({ id }) => id)
    if (!grant.all) return pinned
    const found = yield* apps.repositories({ host: grant.host, app: grant.app }, installedAs(grant), maxRepositories)
    if (found.length === 0) {
      return yield* failed(grant.host, "Missing", `the GitHub App sees no repository of ${grant.account}`)
    }
    if (found.length <= maxRepositories) return found.map(({ id }) => id)
    yield* Effect.logWarning(
      `${grant.account} shows more than ${maxRepositories} repositories; those that were there before stay, newer ones are left out`
    )
    return pinned
  })

  /** Some of the pinned ones may be gone: then for those that are left. */
  const mintRead = Effect.fnUntraced(function*(grant: RepositoryGrant, permissions: Permissions) {
    const repositories = yield* wanted(grant)
    return yield* mint(grant, repositories, permissions).pipe(
      Effect.catchIf((error) => error.reason === "NotGranted", (error) =>
        Effect.gen(function*() {
          const { account, app, host } = grant
          const found = yield* apps.repositories({ host, app }, installedAs(grant), Infinity)
          const shown = new Set(found.map(({ id }) => id))
          const left = repositories.filter((id) => shown.has(id))
          if (left.length === repositories.length) return yield* error
          if (left.length === 0) {
            return yield* failed(
              host,
              "Missing",
              `the GitHub App sees none of the sandbox's repositories of ${account} any more`
            )
          }
          return yield* mint(grant, left, permissions)
        }))
    )
  })

  /**
   * What an account has installed again, which GitHub gives another number. Its name may be another owner's by now: it is
   * the same one only where it shows a repository of the grant by its number.
   */
  const again = Effect.fnUntraced(function*(grant: RepositoryGrant) {
    const { account, app, host } = grant
    const found = (yield* apps.installations({ host, app })).find((one) => one.account === account)
    if (found === undefined) {
      return yield* failed(host, "Missing", `the GitHub App is not installed on ${account} any more`)
    }
    const facts = { facts: found, grant: { ...grant, reinstalled: found.id } }
    if (found.suspended) return facts
    const shown = yield* apps.repositories({ host, app }, found.id, Infinity)
    return shown.some(({ id }) => grant.repositories.some((one) => one.id === id)) ? facts : yield* failed(
      host,
      "Missing",
      `the GitHub App is installed on ${account} again, and sees none of the sandbox's repositories`
    )
  })

  /** The installation as it now is, and the grant with its number. */
  const present = (grant: RepositoryGrant) =>
    apps.installation({ host: grant.host, app: grant.app }, installedAs(grant)).pipe(
      Effect.map((facts) => ({ facts, grant })),
      Effect.catchIf((error) => error.reason === "Missing", () => again(grant))
    )

  /** A token that could not be kept is taken back. */
  const keep = Effect.fnUntraced(function*(path: string, _host: string, minted: MintedToken, now: number) {
    const stored = storedTokenText({
      token: minted.token,
      mintedAt: now,
      expiresAt: now + minted.livesMillis,
      permissions: minted.permissions
    })
    const before = yield* secrets.get(path)
    if (Option.isSome(before)) yield* secrets.put(formerPath(path), before.value)
    yield* secrets.put(path, stored)
  }, (effect, _path, host, { token }) => Effect.tapError(effect, () => revoke(host, token)))

  /** Makes both tokens anew and writes them down, or changes nothing. Returns the grant as GitHub now shows it. */
  const renew = Effect.fn("SandboxTokens.renew")(function*(sandbox: SandboxId, known: RepositoryGrant, writes: Writes) {
    const { facts, grant } = yield* present(known)
    const { app, host, installation, reinstalled } = grant
    const permissions = yield* permissionsFor(grant, writes, facts)
    const now = yield* Clock.currentTimeMillis
    const read = yield* mintRead(grant, permissions.read)
    const found = read.repositories.map(({ id, name }) => ({ id, name }))
    if (permissions.write !== undefined) {
      const write = yield* mint(grant, found.map(({ id }) => id), permissions.write).pipe(
        Effect.tapError(() => revoke(host, read.token))
      )
      yield* keep(tokenPath(sandbox, grant, "write"), host, write, now).pipe(
        Effect.tapError(() => revoke(host, read.token))
      )
    }
    yield* keep(tokenPath(sandbox, grant, "read"), host, read, now)
    const shown = new Set(found.map(({ id }) => id))
    const missing = grant.all ? [] : grant.repositories.filter(({ id }) => !shown.has(id))
    const renewed: RepositoryGrant = {
      host,
      app,
      installation,
      ...(reinstalled === undefined ? {} : { reinstalled }),
      account: read.repositories[0]?.owner ?? grant.account,
      all: grant.all,
      repositories: grant.all ? found : [...found, ...missing],
      writes: permissions.write !== undefined,
      ...(missing.length === 0 ? {} : { missing: missing.map(({ id }) => id) })
    }
    return renewed
  })

  /** Takes every token of a grant back and forgets it. Idempotent; GitHub's silence is no obstacle. */
  const withdraw = Effect.fn("SandboxTokens.withdraw")(function*(
    sandbox: SandboxId,
    grant: Pick<RepositoryGrant, "host" | "installation">
  ) {
    const found = yield* secrets.under(tokensPath(sandbox, grant))
    const tokens = found.flatMap(({ value }) => readStoredToken(value) ?? [])
    const now = yield* Clock.currentTimeMillis
    yield* Effect.forEach(
      tokens.filter(({ expiresAt }) => expiresAt > now),
      ({ token }) => revoke(grant.host, token),
      { concurrency: 4, discard: true }
    )
    yield* secrets.deleteUnder(tokensPath(sandbox, grant))
    return tokens.length > 0
  })

  /** The newest token, if there is one that can be read. */
  const stored = (
    sandbox: SandboxId,
    grant: Pick<RepositoryGrant, "host" | "installation">,
    access: RepositoryAccess
  ): Effect.Effect<StoredToken | undefined, StoreError> =>
    Effect.map(
      secrets.get(tokenPath(sandbox, grant, access)),
      (found) => Option.isSome(found) ? readStoredToken(found.value) : undefined
    )

  return { renew, withdraw, stored }
})

export type SandboxTokens = Effect.Success<typeof makeSandboxTokens>
