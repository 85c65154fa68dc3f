/** A policy with everything that a profile can switch on, for the one repository and for `feature/*`. */
import { Capability, type GitHubPolicy } from "../../../runtime/domain/github/GitHubPolicy.ts"

export const capabilityPolicy: Partial<GitHubPolicy> = {
  capabilities: Capability.literals,
  allowDelete: true,
  allowForce: true
}
