/** One account's GitHub in memory, outliving the programs that act on it: what was given out, and what was taken back. */
import { Effect, Redacted } from "effect"
import { appPermissions, type Permissions } from "../../runtime/domain/github/Permissions.ts"
import { type FoundRepository, GithubApps, GithubFailed } from "../../runtime/ports/GithubApps.ts"

export class MemoryGithub {
  readonly host = "github.com"
  readonly app = 7
  readonly installation = 4711
  readonly owner = "org"
  readonly repositories: ReadonlyArray<FoundRepository> = ["api", "web"].map((name, n) => ({
    id: 100 + n,
    owner: this.owner,
    name
  }))
  /** Tokens that GitHub takes. */
  readonly living = new Set<string>()
  minted = 0

  /** As the install has it. */
  readonly settings = {
    host: this.host,
    app: this.app,
    slug: "km-test",
    owner: this.owner,
    public: false,
    installations: [{ account: this.owner, id: this.installation }]
  }

  readonly service = GithubApps.of({
    convert: (host) => Effect.fail(new GithubFailed({ host, reason: "Missing", detail: "no code was given" })),
    app: () => Effect.die("unused"),
    installations: () => Effect.succeed([]),
    installation: (_, id) =>
      Effect.succeed({
        id,
        account: this.owner,
        kind: "Organization",
        selection: "selected",
        permissions: appPermissions(["pulls"]),
        suspended: false
      }),
    repositories: () => Effect.succeed(this.repositories),
    rules: () => Effect.succeed({ branch: "main", rules: [] }),
    mint: (_, __, request: { readonly repositories: ReadonlyArray<number>; readonly permissions: Permissions }) =>
      Effect.sync(() => {
        this.minted += 1
        const token = `ghs_${String(this.minted).padStart(36, "0")}`
        this.living.add(token)
        return {
          token: Redacted.make(token),
          livesMillis: 3_600_000,
          repositories: this.repositories.filter(({ id }) => request.repositories.includes(id)),
          permissions: request.permissions
        }
      }),
    revoke: (_, token) => Effect.sync(() => void this.living.delete(Redacted.value(token)))
  })
}
