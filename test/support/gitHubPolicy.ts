import type { GitHubPolicy } from "../../runtime/domain/github/GitHubPolicy.ts"

export const api = { id: 101, owner: "my-org", name: "api" }
export const web = { id: 102, owner: "My-Org", name: "Web" }

/** Two repositories, the branches `main` and `feature/*`, nothing switched on, but for what is given. */
export const gitHubPolicy = (given: Partial<GitHubPolicy> = {}): GitHubPolicy => ({
  host: "github.com",
  allowedRepos: ["my-org/api", "my-org/web", "my-org/lost"],
  repositories: [api, web],
  capabilities: [],
  allowedRefs: ["main", "feature/*"],
  allowDelete: false,
  allowForce: false,
  publicRead: ["nodejs/node"],
  mode: "enforce",
  ...given
})
