/**
 * From the repositories that a profile lists to grants: each owner's installation, each repository's number. What cannot be
 * resolved is an error; nothing is ever looked for under another owner or another App.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { GithubAppSettings } from "../../domain/github/AppSettings.ts"
import { grantCodes } from "../../domain/github/GithubErrors.ts"
import { maxRepositories, type RepositoryGrant } from "../../domain/github/Grant.ts"
import { writesAnything } from "../../domain/github/Permissions.ts"
import { type HostedPattern, parseHostedPattern, repositoryText } from "../../domain/github/Repository.ts"
import type { Profile } from "../../domain/profile/Profile.ts"
import { GithubApps, type GithubFailed } from "../../ports/GithubApps.ts"
import { writesOf } from "./SandboxTokens.ts"

/** A profile's repositories cannot be had as they are listed. `code` is one of `GithubErrors`. */
export class GrantRefused extends Schema.TaggedError<GrantRefused>()("GrantRefused", {
  code: Schema.Literals(grantCodes),
  reason: Schema.String,
  remedy: Schema.String
}) {
  override get message(): string {
    return `${this.code}: ${this.reason}; ${this.remedy}`
  }
}

const discover = "km configure github --discover"

/** What GitHub said at create. */
export const githubRefused = (error: GithubFailed): GrantRefused => {
  switch (error.reason) {
    case "Suspended":
      return new GrantRefused({
        code: "KM-GHA-014",
        reason: error.detail,
        remedy: "its owner ends that in the account's settings on GitHub, then run the same command again"
      })
    case "NotGranted":
      return new GrantRefused({
        code: "KM-GHA-015",
        reason: error.detail,
        remedy: "accept the App's permissions in the account's settings on GitHub, or ask for less in the profile"
      })
    case "Missing":
      return new GrantRefused({
        code: "KM-GHA-010",
        reason: error.detail,
        remedy: `install the App there and run "${discover}"`
      })
    default:
      return new GrantRefused({
        code: "KM-GHA-016",
        reason: error.message,
        remedy: `see "km github status", then run the same command again`
      })
  }
}

/** The App that is installed on an owner's account; its own before another's that is installed there too. */
export const appFor = (
  settings: ReadonlyArray<GithubAppSettings>,
  { host, owner }: Pick<HostedPattern, "host" | "owner">
): { readonly app: GithubAppSettings; readonly installation: number } | undefined => {
  const found = settings.flatMap((app) => {
    const known = app.host === host ? app.installations.find(({ account }) => account === owner) : undefined
    return known === undefined ? [] : [{ app, installation: known.id }]
  })
  return found.find(({ app }) => app.owner === owner) ?? found[0]
}

const patternsOf = Effect.fnUntraced(function*(texts: ReadonlyArray<string>) {
  const patterns: Array<HostedPattern> = []
  for (const text of texts) {
    const parsed = parseHostedPattern(text)
    if (Result.isFailure(parsed)) {
      return yield* new GrantRefused({
        code: "KM-GHA-012",
        reason: parsed.failure,
        remedy: "correct spec.sourceAccess.github.allowedRepos"
      })
    }
    patterns.push(parsed.success)
  }
  return patterns
})

const tooMany = (owner: string) =>
  new GrantRefused({
    code: "KM-GHA-013",
    reason: `${owner} would be more than ${maxRepositories} repositories, the most that GitHub puts into one token`,
    remedy: "list the repositories that are needed, or let the App see fewer"
  })

/** One grant for the patterns of one owner. */
const grantOf = Effect.fnUntraced(function*(
  settings: ReadonlyArray<GithubAppSettings>,
  patterns: readonly [HostedPattern, ...Array<HostedPattern>],
  writes: boolean
) {
  const apps = yield* GithubApps
  const { host, owner } = patterns[0]
  const found = appFor(settings, patterns[0])
  if (found === undefined) {
    return yield* new GrantRefused({
      code: "KM-GHA-010",
      reason: `no GitHub App of this install is installed on ${owner} of ${host}`,
      remedy: settings.some((app) => app.host === host)
        ? `install it there and run "${discover}"`
        : `run "km github" to make one`
    })
  }
  const { app, installation } = found
  const ref = { host, app: app.app }
  const facts = yield* Effect.mapError(apps.installation(ref, installation), githubRefused)
  // A number that now belongs to another account, or an account that was renamed: never taken for the one that was meant.
  if (facts.account !== owner) {
    return yield* new GrantRefused({
      code: "KM-GHA-010",
      reason: `what was the App's installation on ${owner} is now on ${facts.account}`,
      remedy: `run "${discover} --force"`
    })
  }
  const all = patterns.some(({ name }) => name === undefined)
  const shown = yield* Effect.mapError(
    apps.repositories(ref, installation, all ? maxRepositories : Infinity),
    githubRefused
  )
  if (all && shown.length > maxRepositories) return yield* tooMany(owner)
  const named = patterns.flatMap(({ name }) => name === undefined ? [] : [name])
  const absent = named.filter((name) => !shown.some((one) => one.owner === owner && one.name === name))
  if (absent.length > 0 || shown.length === 0) {
    return yield* new GrantRefused({
      code: "KM-GHA-011",
      reason: `the GitHub App does not see ${
        absent.map((name) => `${owner}/${name}`).join(", ") || `any repository of ${owner}`
      }`,
      remedy: "check the name, and let the App see it in the account's settings on GitHub"
    })
  }
  const repositories = (all ? shown : shown.filter(({ name }) => named.includes(name))).map(({ id, name }) => ({
    id,
    name
  }))
  if (repositories.length > maxRepositories) return yield* tooMany(owner)
  const grant: RepositoryGrant = { host, app: app.app, installation, account: owner, all, repositories, writes }
  return grant
})

/** The grants of a profile; none where it asks for none. Asks GitHub, and mints nothing that lasts. */
export const compileGrants = Effect.fn("compileGrants")(function*(
  profile: Profile,
  settings: ReadonlyArray<GithubAppSettings>
) {
  const { github, mode } = profile.spec.sourceAccess
  if (mode === "none") return []
  const patterns = yield* patternsOf(github.allowedRepos)
  const owners = Map.groupBy(patterns, ({ host, owner }) => repositoryText({ host, owner, name: undefined }))
  const writes = writesAnything(writesOf(profile))
  return yield* Effect.forEach(
    owners.values(),
    ([first, ...rest]) =>
      first === undefined ? Effect.die("a group is never empty") : grantOf(settings, [first, ...rest], writes)
  )
})
