import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import {
  matchesHosted,
  parseHostedPattern,
  RepositoryName,
  RepositoryOwner,
  repositoryText
} from "../../../../runtime/domain/github/Repository.ts"

const pattern = (text: string) => Result.getOrThrow(parseHostedPattern(text))

describe("patterns of repositories on any host", () => {
  it("are on github.com unless a host is named", () => {
    assert.deepStrictEqual(pattern("Org/API.js"), { host: "github.com", owner: "org", name: "api.js" })
    assert.deepStrictEqual(pattern("GHE.example.com/Org/*"), { host: "ghe.example.com", owner: "org", name: undefined })
    assert.strictEqual(pattern("127.0.0.1:4801/org/api").host, "127.0.0.1:4801")
  })

  it("are refused with a sentence unless they are names on GitHub", () => {
    const wrong = [
      "",
      "*",
      "*/*",
      "*/api",
      "api",
      "org/",
      "org/api/",
      "org/a*",
      "org/**",
      "org/..",
      "org/a b",
      "org/a\nb",
      "org/a,b",
      "https://github.com/org/api",
      "localhost/org/api",
      "10.0.0.1/org/api",
      "*/org/api",
      "a.b/c/d/e",
      "github.com:0/org/api"
    ]
    for (const text of wrong) {
      const parsed = parseHostedPattern(text)
      assert.isTrue(Result.isFailure(parsed) && parsed.failure.length > 10, JSON.stringify(text))
    }
  })

  it("match without regard to case, on their own host and owner only", () => {
    const api = { host: "GitHub.com", owner: "ORG", name: "Api" }
    assert.isTrue(matchesHosted(pattern("org/api"), api))
    assert.isTrue(matchesHosted(pattern("Org/*"), api))
    assert.isFalse(matchesHosted(pattern("org/ap"), api))
    assert.isFalse(matchesHosted(pattern("or/*"), api))
    assert.isFalse(matchesHosted(pattern("ghe.example.com/org/*"), api))
    assert.isFalse(matchesHosted(pattern("org/*"), { ...api, host: "ghe.example.com" }))
  })

  it("are written as people write them", () => {
    assert.strictEqual(repositoryText(pattern("Org/*")), "org/*")
    assert.strictEqual(repositoryText(pattern("github.com/org/api")), "org/api")
    assert.strictEqual(repositoryText(pattern("ghe.example.com/org/api")), "ghe.example.com/org/api")
  })

  it("are kept in lower case", () => {
    assert.isTrue(Schema.is(RepositoryOwner)("my-org"))
    assert.isTrue(Schema.is(RepositoryName)("api.js"))
    for (const wrong of ["Org", "", "a/b", "*", "a b"]) {
      assert.isFalse(Schema.is(RepositoryOwner)(wrong), wrong)
      assert.isFalse(Schema.is(RepositoryName)(wrong), wrong)
    }
  })
})
