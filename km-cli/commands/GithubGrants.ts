/** `km github grants`: what sandboxes can reach on GitHub now. Asks nobody: it is what the refresher wrote down. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { RepositoryGrant } from "../../runtime/domain/github/Grant.ts"
import { repositoryText } from "../../runtime/domain/github/Repository.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { makeSandboxTokens } from "../../runtime/kernel/github/SandboxTokens.ts"
import { Reports } from "../../runtime/ports/Reports.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { opened } from "../Opened.ts"
import { columns, data, span } from "../Output.ts"
import { resolve } from "../Reference.ts"
import { enforcesRefs, refsNotEnforced } from "../SandboxView.ts"

const accessText = (grant: RepositoryGrant, id: number): string =>
  grant.missing?.includes(id) === true ? "not seen any more" : grant.writes ? "read, write" : "read"

const grantsOf = Effect.fnUntraced(function*(row: SandboxRow) {
  const tokens = yield* makeSandboxTokens
  const report = yield* (yield* Reports).get(row.id)
  const now = yield* Clock.currentTimeMillis
  return yield* Effect.forEach(row.github ?? [], (grant) =>
    Effect.gen(function*() {
      const token = yield* tokens.stored(row.id, grant, "read")
      const isGood = token !== undefined && token.expiresAt > now
      const age = token === undefined ? undefined : now - token.mintedAt
      return grant.repositories.map(({ id, name }) => {
        const used = report.repositoriesUsed?.find((one) => one.host === grant.host && one.id === id)
        const repository = repositoryText({ host: grant.host, owner: grant.account, name })
        const access = accessText(grant, id)
        return {
          line: [
            row.alias ?? row.id,
            repository,
            access,
            isGood && age !== undefined ? `token ${span(age)} old` : "no token",
            used === undefined ? "never used" : `used ${span(now - used.at)} ago`,
            [
              ...(enforcesRefs(row) ? [] : [refsNotEnforced]),
              ...(grant.trouble === undefined ? [] : [grant.trouble.detail])
            ]
              .join("; ")
          ],
          json: {
            sandbox: row.id,
            repository,
            id,
            access,
            token: isGood ? "good" : "none",
            tokenAgeMillis: age ?? null,
            lastUsedAt: used?.at ?? null,
            trouble: grant.trouble?.detail ?? null
          }
        }
      })
    }))
})

export const githubGrants = Effect.fn("km.github.grants")(
  function*(input: { readonly reference: Option.Option<string> }) {
    const { backend } = yield* opened
    yield* backend.install
    const grants = yield* Effect.gen(function*() {
      const rows = Option.isSome(input.reference)
        ? [yield* resolve(input.reference.value)]
        : yield* (yield* Sandboxes).list
      return (yield* Effect.forEach(rows, grantsOf)).flat(2)
    }).pipe(Effect.provide(backend.ports("short")))
    yield* data(
      grants.length === 0 ? ["nothing on GitHub can be reached"] : columns(grants.map(({ line }) => line)),
      { ok: true, grants: grants.map(({ json }) => json) }
    )
  }
)
