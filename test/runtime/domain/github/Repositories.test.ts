import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import {
  anyPatternMatches,
  parseRepositoryPattern,
  repositoryKey,
  RepositoryPatternText
} from "../../../../runtime/domain/github/Repositories.ts"

describe("a repository pattern", () => {
  it("names one repository or all of an owner, without letter case and git's ending", () => {
    assert.isTrue(anyPatternMatches(["My-Org/API"], "my-org", "api"))
    assert.isTrue(anyPatternMatches(["my-org/api.git"], "MY-ORG", "Api.git"))
    assert.isTrue(anyPatternMatches(["x/y", "my-org/*"], "my-org", "anything"))
    assert.isFalse(anyPatternMatches(["my-org/*"], "my-org-2", "api"))
    assert.isFalse(anyPatternMatches(["my-org/api"], "my-org", "api2"))
    assert.isFalse(anyPatternMatches([], "my-org", "api"))
  })

  it("is refused with a sentence where it is none", () => {
    const refused = [
      "*",
      "*/*",
      "*/api",
      "**",
      "api",
      "",
      "/",
      "my-org/",
      "/api",
      "github.com/my-org/api",
      "https://github.com/my-org/api",
      "git@github.com:my-org/api",
      "my-org/a*",
      "my-org/**",
      "my-org/.",
      "my-org/..",
      "my org/api",
      "my-org/a b",
      "-x/api",
      "x-/api",
      "a--b/api",
      "my-org/api\n",
      "my-org/.git",
      "my-org/api.git.git",
      `${"a".repeat(40)}/x`,
      `a/${"x".repeat(101)}`,
      "my-org/api,other",
      "m\u212Aorg/api"
    ]
    assert.deepStrictEqual(refused.filter((text) => Result.isSuccess(parseRepositoryPattern(text))), [])
    assert.isFalse(Schema.is(RepositoryPatternText)("*"))
    assert.isTrue(Schema.is(RepositoryPatternText)("my-org/*"))
  })

  it("matches nothing by a name that GitHub could not have", () => {
    for (
      const [owner, name] of [["my-org", ".."], ["my-org", "a/b"], ["my-org/x", "y"], ["", "x"], [
        "my-org",
        ""
      ]] as const
    ) {
      assert.isUndefined(repositoryKey(owner, name))
      assert.isFalse(anyPatternMatches(["my-org/*"], owner, name))
    }
  })

  it.prop("two texts name the same repository only where they differ in case or git's ending", [
    Schema.String,
    Schema.String
  ], ([owner, name]) => {
    const key = repositoryKey(owner, name)
    assert.isTrue(key === undefined || key === `${owner}/${name}`.replace(/\.git$/iu, "").toLowerCase())
  })
})
