import { assert, describe, it } from "@effect/vitest"
import {
  matchesRepository,
  parseRepository,
  parseRepositoryPattern,
  repositoryText
} from "../../../../runtime/domain/github/Repository.ts"

const pattern = (text: string) => {
  const parsed = parseRepositoryPattern(text)
  assert.isDefined(parsed, text)
  return parsed
}

describe("names of repositories", () => {
  it("are read without regard to case, and github.com unless a host is named", () => {
    assert.deepStrictEqual(parseRepository("Org/API.js"), { host: "github.com", owner: "org", name: "api.js" })
    assert.deepStrictEqual(parseRepository("GHE.example.com/Org/api"), {
      host: "ghe.example.com",
      owner: "org",
      name: "api"
    })
    assert.deepStrictEqual(parseRepository("127.0.0.1:4801/org/api")?.host, "127.0.0.1:4801")
  })

  it("are refused unless they are names on GitHub", () => {
    const wrong = [
      "",
      "api",
      "org/",
      "/api",
      "org/api/",
      "org/..",
      "org/.",
      "org/api.git",
      "org/a b",
      "org/a\nb",
      "org/a,b",
      "org/a%2fb",
      "-org/api",
      "o'rg/api",
      `${"o".repeat(40)}/api`,
      `org/${"n".repeat(101)}`,
      "https://github.com/org/api",
      "localhost/org/api",
      "10.0.0.1/org/api",
      "a.b/c/d/e",
      "org/*",
      "github.com:0/org/api"
    ]
    assert.deepStrictEqual(wrong.filter((text) => parseRepository(text) !== undefined), [])
  })
})

describe("patterns of repositories", () => {
  it("are never a bare star, a star within a name, or a star for an owner", () => {
    const wrong = ["*", "*/*", "*/api", "org/a*", "org/**", "o*/api", "*/org/api", "org"]
    assert.deepStrictEqual(wrong.filter((text) => parseRepositoryPattern(text) !== undefined), [])
  })

  it("match without regard to case, on their own host and owner only", () => {
    const api = { host: "GitHub.com", owner: "ORG", name: "Api" }
    assert.isTrue(matchesRepository(pattern("org/api"), api))
    assert.isTrue(matchesRepository(pattern("Org/*"), api))
    assert.isFalse(matchesRepository(pattern("org/ap"), api))
    assert.isFalse(matchesRepository(pattern("or/*"), api))
    assert.isFalse(matchesRepository(pattern("ghe.example.com/org/*"), api))
    assert.isFalse(matchesRepository(pattern("org/*"), { ...api, host: "ghe.example.com" }))
  })

  it("are written as people write them", () => {
    assert.strictEqual(repositoryText(pattern("Org/*")), "org/*")
    assert.strictEqual(repositoryText(pattern("github.com/org/api")), "org/api")
    assert.strictEqual(repositoryText(pattern("ghe.example.com/org/api")), "ghe.example.com/org/api")
  })
})
