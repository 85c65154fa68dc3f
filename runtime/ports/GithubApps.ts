/**
 * GitHub as an App sees it: its installations, their repositories, and tokens for exactly what is asked. Whoever has this
 * port can mint: commands of the operator and the refresher, never a bridge or a runtime.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { AppRef } from "../domain/github/AppSettings.ts"
import type { Permissions } from "../domain/github/Permissions.ts"

/**
 * - `NoKey`: this install has no key of that App.
 * - `BadKey`: GitHub does not take the key (replaced there, or of another App).
 * - `Missing`: there is no such App, installation or code, or none that the caller may see.
 * - `Suspended`: the installation is.
 * - `NotGranted`: more was asked for than the installation has.
 * - `RateLimited`, `Unreachable`: later, perhaps at `retryAfterMillis`.
 * - `Refused`: anything else that GitHub said.
 */
export class GithubFailed extends Schema.TaggedError<GithubFailed>()("GithubFailed", {
  host: Schema.String,
  reason: Schema.Literals([
    "NoKey",
    "BadKey",
    "Missing",
    "Suspended",
    "NotGranted",
    "RateLimited",
    "Unreachable",
    "Refused"
  ]),
  /** A sentence without a full stop; holds no secret. */
  detail: Schema.String,
  retryAfterMillis: Schema.optionalKey(Schema.Int)
}) {
  override get message(): string {
    return `${this.host}: ${this.detail}`
  }
}

export interface AppIdentity {
  readonly app: number
  readonly slug: string
  readonly name: string
  /** In lower case. */
  readonly owner: string
  readonly permissions: Permissions
}

export interface FoundInstallation {
  readonly id: number
  /** In lower case. */
  readonly account: string
  readonly kind: "User" | "Organization" | "Enterprise"
  readonly selection: "all" | "selected"
  readonly permissions: Permissions
  readonly suspended: boolean
}

/** Names in lower case. */
export interface FoundRepository {
  readonly id: number
  readonly owner: string
  readonly name: string
}

export interface BranchRules {
  /** The default branch, without `refs/heads/`. */
  readonly branch: string
  /** Types of the repository's and its organisation's rules for it, such as `pull_request` and `non_fast_forward`. */
  readonly rules: ReadonlyArray<string>
}

export interface MintRequest {
  /** By number; 1 to 500. */
  readonly repositories: ReadonlyArray<number>
  readonly permissions: Permissions
}

export interface MintedToken {
  readonly token: Redacted.Redacted<string>
  /** Milliseconds from its making by GitHub's clock, which may not be ours. */
  readonly livesMillis: number
  readonly repositories: ReadonlyArray<FoundRepository>
  readonly permissions: Permissions
}

/** What GitHub gives for a manifest's code, once. */
export interface MadeApp extends AppIdentity {
  readonly key: Redacted.Redacted<string>
}

const none = (host: string) =>
  Effect.fail(new GithubFailed({ host, reason: "NoKey", detail: "there is no GitHub App in this install" }))

export class GithubApps extends Context.Service<GithubApps, {
  /** Changes the code that a browser brought back for the App; works once. */
  readonly convert: (host: string, code: string) => Effect.Effect<MadeApp, GithubFailed>
  readonly app: (ref: AppRef) => Effect.Effect<AppIdentity, GithubFailed>
  /** All of them, over every page. */
  readonly installations: (ref: AppRef) => Effect.Effect<ReadonlyArray<FoundInstallation>, GithubFailed>
  readonly installation: (ref: AppRef, installation: number) => Effect.Effect<FoundInstallation, GithubFailed>
  /** What the installation shows, over every page; more than `most` of them are not read. */
  readonly repositories: (
    ref: AppRef,
    installation: number,
    most: number
  ) => Effect.Effect<ReadonlyArray<FoundRepository>, GithubFailed>
  /** Of a repository's default branch. */
  readonly rules: (ref: AppRef, installation: number, repository: number) => Effect.Effect<BranchRules, GithubFailed>
  /** A new token each time, never one that was given out before. */
  readonly mint: (ref: AppRef, installation: number, request: MintRequest) => Effect.Effect<MintedToken, GithubFailed>
  /** Takes a token back; one that is over already is no failure. */
  readonly revoke: (host: string, token: Redacted.Redacted<string>) => Effect.Effect<void, GithubFailed>
}>()("km/runtime/ports/GithubApps") {
  /** An install without GitHub. */
  static readonly layerNone: Layer.Layer<GithubApps> = Layer.succeed(
    GithubApps,
    GithubApps.of({
      convert: none,
      app: ({ host }) => none(host),
      installations: ({ host }) => none(host),
      installation: ({ host }) => none(host),
      repositories: ({ host }) => none(host),
      rules: ({ host }) => none(host),
      mint: ({ host }) => none(host),
      revoke: () => Effect.void
    })
  )
}
