/** What every request of one sandbox's proxy is handled with. */
import type * as Effect from "effect/Effect"
import type { GitHubPolicy, JudgePush, JudgeRequest } from "../../../runtime/domain/github/GitHubPolicy.ts"
import type { RepositoryTokenRefused, RepositoryTokens } from "../../../runtime/ports/RepositoryTokens.ts"
import type { StoreError } from "../../../runtime/ports/StoreError.ts"
import type { Upstream } from "../outside/Upstream.ts"
import type { Downloads } from "../request/Downloads.ts"
import type { askApi } from "./Lookups.ts"
import type { PullHolds } from "./PullHolds.ts"
import type { StagedRefs } from "./StagedRefs.ts"

/** Which run a request belongs to; none where the proxy is not behind a jail's door. */
export interface RunIdentity {
  readonly turn: string
}

export interface Decision {
  readonly run: RunIdentity | undefined
  /** `owner/repo`, a host, or a route where neither is known. */
  readonly subject: string
  readonly rule: string
  readonly verdict: "allowed" | "refused"
  readonly detail: string
  /** Of a refusal, what the client is told: what, the rule, how to allow it. For a person, on one line. */
  readonly told?: string
  /** When the request's head was read, Unix milliseconds. */
  readonly since: number
}

export interface ProxyContext {
  /** `github.com` or an Enterprise host, lower case. */
  readonly github: string
  readonly sandbox: string
  /** The profile's rules with the repositories that tokens are for now. */
  readonly policy: Effect.Effect<GitHubPolicy, RepositoryTokenRefused>
  readonly judgeRequest: JudgeRequest
  readonly judgePush: JudgePush
  readonly tokens: RepositoryTokens["Service"]
  readonly upstream: Upstream
  readonly ask: ReturnType<typeof askApi>
  readonly downloads: Downloads
  readonly holds: PullHolds
  readonly staged: StagedRefs
  /** Durable before it returns for a refusal; at once for what was allowed. */
  readonly journal: (decision: Decision) => Effect.Effect<void, StoreError>
  readonly now: () => number
}
