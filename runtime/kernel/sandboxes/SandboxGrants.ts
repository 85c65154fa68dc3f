/** What a sandbox may reach on GitHub: its grants, and the first tokens of each. */
import * as Effect from "effect/Effect"
import { grantRef, isSameGrant } from "../../domain/github/Grant.ts"
import type { SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { GithubApps } from "../../ports/GithubApps.ts"
import { InstallStore } from "../../ports/InstallStore.ts"
import { compileGrants, githubRefused } from "../github/compileGrants.ts"
import { makeSandboxTokens, type RenewFailed, writesOf } from "../github/SandboxTokens.ts"
import { failed } from "./CreateRequest.ts"
import type { PlannedItems } from "./PlannedItems.ts"
import { SandboxRefused } from "./SandboxErrors.ts"

/** A store's failure stays one: the whole create translates it. */
const renewRefused = (error: RenewFailed) => error._tag === "GithubFailed" ? githubRefused(error) : error

export const makeSandboxGrants = Effect.fnUntraced(function*(items: PlannedItems) {
  const apps = yield* GithubApps
  const installs = yield* InstallStore
  const tokens = yield* makeSandboxTokens

  /**
   * Resolved once: a create that goes on keeps the grants that the row has. Each grant's tokens are in the inventory before
   * they are made.
   */
  const make = Effect.fnUntraced(function*(begun: SandboxRow) {
    const { allowedRepos } = begun.profile.spec.sourceAccess.github
    if (allowedRepos.length === 0) return begun
    const compiled = begun.github ?? (yield* compileGrants(begun.profile, (yield* installs.get).github ?? []))
    let row = begun
    for (const grant of compiled) {
      row = yield* items.add(
        row,
        "github",
        grantRef(grant),
        Effect.map(Effect.mapError(tokens.renew(row.id, grant, writesOf(row.profile)), renewRefused), (renewed) => ({
          github: (row.github ?? compiled).map((one) => isSameGrant(one, grant) ? renewed : one)
        }))
      )
    }
    return row
  }, (effect, { id }) =>
    effect.pipe(
      Effect.provideService(GithubApps, apps),
      Effect.catchTags({
        GrantRefused: ({ code, reason, remedy }) =>
          Effect.fail(new SandboxRefused({ code, sandbox: id, step: "github", reason, remedy })),
        InstallMissing: ({ message }) => Effect.fail(failed(id, "github", message))
      })
    ))

  return { make }
})
