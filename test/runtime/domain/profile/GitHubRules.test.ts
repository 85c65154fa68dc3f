import { assert, describe, it } from "@effect/vitest"
import { profilePolicy, supposedPolicy } from "../../../../runtime/domain/github/ProfilePolicy.ts"
import { bareContext, profileFindings } from "../../../../runtime/domain/profile/ProfileRules.ts"
import { api } from "../../../support/gitHubPolicy.ts"
import { profileWith } from "../../../support/profiles.ts"

const of = (github: object, mode = "allowlist") =>
  profileWith({ notifySlackEnabled: true }, { sourceAccess: { mode, github } })
const said = (github: object) =>
  profileFindings(of(github), bareContext).map(({ code, path, severity }) =>
    `${severity} ${code} ${path.slice(3).join(".")}`
  )

describe("what a profile says of GitHub", () => {
  it("is taken where every pattern is one", () => {
    const good = {
      allowedRepos: ["my-org/api"],
      allowedRefs: ["main", "!release/**"],
      publicRead: ["nodejs/*", "ghe.corp.example/a/b"]
    }
    assert.deepStrictEqual(said(good), [])
  })

  it("is refused at the pattern that is none", () => {
    assert.deepStrictEqual(said({ allowedRefs: ["main", "a b", "refs/km/x"], publicRead: ["*", "nodejs/node"] }), [
      "error KM-PRO-042 allowedRefs.1",
      "error KM-PRO-042 allowedRefs.2",
      "error KM-PRO-043 publicRead.0"
    ])
  })

  it("is warned of where it has no effect, or is probably meant otherwise", () => {
    assert.deepStrictEqual(said({ allowDelete: true, allowForce: true, allowedRefs: ["!main"] }), [
      "warning KM-PRO-109 allowDelete",
      "warning KM-PRO-109 allowForce"
    ])
    assert.deepStrictEqual(said({ allowedRefs: ["heads/main", "tags/v*"] }), [
      "warning KM-PRO-110 allowedRefs.0",
      "warning KM-PRO-110 allowedRefs.1"
    ])
  })

  it("becomes a policy for each host, with nothing at all for mode none", () => {
    const github = { allowedRepos: ["my-org/api", "ghe.corp.example/a/b"], publicRead: ["nodejs/node"] }
    const policy = profilePolicy(of(github).spec.sourceAccess, "github.com", [api])
    assert.deepStrictEqual([policy.allowedRepos, policy.publicRead, policy.mode], [
      ["my-org/api"],
      ["nodejs/node"],
      "enforce"
    ])
    const other = profilePolicy(of(github, "audit").spec.sourceAccess, "ghe.corp.example", [])
    assert.deepStrictEqual([other.allowedRepos, other.publicRead, other.mode], [["a/b"], [], "audit"])
    const none = profilePolicy(of(github, "none").spec.sourceAccess, "github.com", [api])
    assert.deepStrictEqual([none.allowedRepos, none.repositories, none.publicRead], [[], [], []])
  })

  it("is supposed to be installed only where a pattern names the repository", () => {
    const policy = supposedPolicy(of({ allowedRepos: ["my-org/*"] }).spec.sourceAccess, "github.com", [
      { owner: "My-Org", name: "x" },
      { owner: "evil", name: "x" }
    ])
    assert.deepStrictEqual(policy.repositories, [{ id: 1, owner: "My-Org", name: "x" }])
  })
})
