/** Where the proxy alone stands between a sandbox and a repository's default branch: its policy beside GitHub's own rules. */
import * as Effect from "effect/Effect"
import { installedAs, type RepositoryGrant } from "../../runtime/domain/github/Grant.ts"
import { refJudge } from "../../runtime/domain/github/JudgeRefs.ts"
import { profilePolicy } from "../../runtime/domain/github/ProfilePolicy.ts"
import { repositoryText } from "../../runtime/domain/github/Repository.ts"
import { isEnding, type SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { type BranchRules, GithubApps } from "../../runtime/ports/GithubApps.ts"

/** Repositories that are looked at; each costs four requests. The rest is only counted. */
const mostLooked = 20

/** Rules by which GitHub itself keeps an App from moving a branch as it likes. Source: GitHub's REST description, "Get rules for a branch". */
const closing = new Set(["update", "pull_request"])

export interface RuleCheck {
  readonly name: string
  readonly status: "ok" | "warn" | "skip"
  readonly detail: string
  readonly remedy: string
}

interface Written {
  readonly sandbox: string
  readonly row: SandboxRow
  readonly grant: RepositoryGrant
  readonly repository: RepositoryGrant["repositories"][number]
}

/** What stands between, in a sentence; `warn` where it is less than it seems. */
export const standing = (
  { profile }: Pick<SandboxRow, "profile">,
  { branch, rules }: BranchRules
): Pick<RuleCheck, "detail" | "status"> => {
  const policy = profilePolicy(profile.spec.sourceAccess, "github.com", [])
  const mayPush = refJudge(policy).judge(`refs/heads/${branch}`, "update", false) === undefined
  const isClosed = rules.some((rule) => closing.has(rule))
  const noForce = rules.includes("non_fast_forward") || isClosed
  if (policy.mode === "audit" && !mayPush && !isClosed) {
    return {
      status: "warn",
      detail: `nothing keeps it from ${branch}: refs are not enforced, and GitHub has no rule for it`
    }
  }
  if (!mayPush) {
    return isClosed
      ? { status: "ok", detail: `${branch} is closed by GitHub's own rules too` }
      : { status: "warn", detail: `the proxy alone keeps it from ${branch}: GitHub has no rule for it` }
  }
  if (policy.allowForce || noForce) return { status: "ok", detail: `${branch} may be pushed, as the profile says` }
  return policy.mode === "audit"
    ? {
      status: "warn",
      detail: `nothing keeps ${branch} from being forced: refs are not enforced, and GitHub has no rule for it`
    }
    : { status: "warn", detail: `the proxy alone keeps ${branch} from being forced: GitHub has no rule for it` }
}

/** One line for each repository that a sandbox may write. */
export const ruleChecks = Effect.fnUntraced(function*(rows: ReadonlyArray<SandboxRow>) {
  const apps = yield* GithubApps
  const written = rows.filter((row) => !isEnding(row)).flatMap((row) =>
    (row.github ?? []).filter(({ trouble, writes }) => writes && trouble === undefined).flatMap((grant) =>
      grant.repositories.map((repository): Written => ({ sandbox: row.alias ?? row.id, row, grant, repository }))
    )
  )
  const checks = yield* Effect.forEach(written.slice(0, mostLooked), ({ grant, repository, row, sandbox }) => {
    const name = `rules ${sandbox}`
    const { account: owner, app, host } = grant
    const subject = repositoryText({ host, owner, name: repository.name })
    return apps.rules({ host, app }, installedAs(grant), repository.id).pipe(
      Effect.map((found): RuleCheck => {
        const { detail, status } = standing(row, found)
        const remedy = `add a ruleset for ${found.branch} at GitHub, in the settings of ${subject}`
        return { name, status, detail: `${subject}: ${detail}`, remedy: status === "ok" ? "" : remedy }
      }),
      Effect.catch((error) =>
        Effect.succeed<RuleCheck>({ name, status: "skip", detail: `${subject}: ${error.detail}`, remedy: "" })
      )
    )
  }, { concurrency: 4 })
  const left = written.length - mostLooked
  return left > 0
    ? [...checks, {
      name: "rules",
      status: "skip" as const,
      detail: `${left} more repositories were not looked at`,
      remedy: ""
    }]
    : checks
})
