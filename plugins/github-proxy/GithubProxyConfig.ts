/** What the proxy needs of a profile: `spec.network.allowedHosts` and `spec.sourceAccess`. */
import * as Schema from "effect/Schema"
import { Capability } from "../../runtime/domain/github/GitHubPolicy.ts"

export const GithubProxyConfig = Schema.Struct({
  allowedRepos: Schema.Array(Schema.String),
  allowedRefs: Schema.Array(Schema.String),
  allowDelete: Schema.Boolean,
  allowForce: Schema.Boolean,
  publicRead: Schema.Array(Schema.String),
  capabilities: Schema.Array(Capability),
  allowedHosts: Schema.Array(Schema.String),
  mode: Schema.Literals(["allowlist", "audit", "none"])
})
export type GithubProxyConfig = typeof GithubProxyConfig.Type
