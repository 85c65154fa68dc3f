import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Capability, type Facts, lookupKey, noFacts } from "../../../../runtime/domain/github/GitHubPolicy.ts"
import { judgeRequest } from "../../../../runtime/domain/github/JudgeRequest.ts"
import { routeRules, uploadRoute } from "../../../../runtime/domain/github/RouteRules.ts"
import routes from "../../../../runtime/domain/github/routes.json" with { type: "json" }
import { isRoute, matchRoute } from "../../../../runtime/domain/github/Routes.ts"
import { api, gitHubPolicy, web } from "../../../support/gitHubPolicy.ts"
import { judged, judgedWord, word } from "../../../support/judged.ts"

const all = Capability.literals
const repo = "/repos/my-org/api"
const sha = "c".repeat(40)

const pull = (base: string, head: string, headRepository = api.id, baseRepository = api.id): Facts =>
  new Map([[lookupKey({ kind: "pullRequest", repository: api, number: 7 }), {
    kind: "pullRequest",
    pullRequest: {
      number: 7,
      base: { repositoryId: baseRepository, ref: `refs/heads/${base}` },
      head: { repositoryId: headRepository, ref: `refs/heads/${head}`, sha }
    }
  }]])
const standard = (ref: string): Facts =>
  new Map([[lookupKey({ kind: "defaultBranch", repository: api }), { kind: "defaultBranch", ref }]])
const release = (ref: string): Facts =>
  new Map([[lookupKey({ kind: "release", repository: api, release: 5 }), { kind: "release", ref }]])

const judgedPath = (path: ReadonlyArray<string>): string =>
  word(judgeRequest({ service: "api", method: "GET", path, query: [] }, gitHubPolicy(), noFacts))

const bodyOf = (line: string, body: unknown, facts?: Facts) => {
  const verdict = judged(line, { capabilities: all }, { body, ...(facts === undefined ? {} : { facts }) })
  return verdict._tag === "Allowed" ? JSON.parse(verdict.body ?? "null") : verdict
}

const heldBy = (line: string, body: unknown, facts: Facts = noFacts) => {
  const verdict = judged(line, { capabilities: all }, { body, facts })
  return verdict._tag === "Allowed" ? verdict.pull?.number : word(verdict)
}

const ask = (line: string, capabilities: ReadonlyArray<Capability> = all) =>
  judgedWord(line, { capabilities }, { service: "uploads" })

describe("the tables", () => {
  it("open only routes that GitHub has", () => {
    assert.deepStrictEqual([...routeRules.keys(), uploadRoute].filter((key) => !isRoute(key)), [])
  })

  it("find each of GitHub's routes by its own template", () => {
    const missed = Object.keys(routes.operations).filter((key) => {
      const [method = "", template = ""] = key.split(" ")
      // An example for each parameter; what a template has between braces and dots is one segment.
      const path = template.split("/").filter((part) => part !== "").map((part) => part.replaceAll(/\{\w+\}/gu, "x1"))
      const found = matchRoute(method, path)?.key
      return found !== key && found?.replaceAll(/\{\w+\}/gu, "x1") !== key.replaceAll(/\{\w+\}/gu, "x1") &&
        !key.includes("{base}...{head}")
    })
    assert.deepStrictEqual(missed, [])
  })

  it("write to nothing with a profile that has no capability and no ref, and read nothing outside its repositories", () => {
    const writable = Object.keys(routes.operations).filter((key) => {
      const [method = "", template = ""] = key.split(" ")
      const path = template.replace("{owner}/{repo}", "my-org/api").replaceAll(/\{\w+\}/gu, "1")
      return method !== "GET" && judgedWord(`${method} ${path}`, { allowedRefs: [] }) === "write"
    })
    assert.deepStrictEqual(writable, [])
    const readable = Object.keys(routes.operations).filter((key) => {
      const [method = "", template = ""] = key.split(" ")
      const path = template.replaceAll(/\{\w+\}/gu, "evil")
      return judgedWord(`${method} ${path}`, { capabilities: all }) === "read" && template.includes("{")
    })
    assert.deepStrictEqual(readable.toSorted(), [
      "GET /codes_of_conduct/{key}",
      "GET /gitignore/templates/{name}",
      "GET /licenses/{license}"
    ])
  })
})

describe("repositories", () => {
  const table: ReadonlyArray<readonly [line: string, expected: string]> = [
    [`GET ${repo}`, "read"],
    ["GET /repos/MY-ORG/Api", "read"],
    ["GET /repos/evil/repo", "repository.unlisted"],
    ["GET /repos/my-org/lost", "repository.lost"],
    ["GET /repos/nodejs/node/releases", "none"],
    ["PUT /repos/nodejs/node/contents/x", "repository.public"],
    ["GET /repositories/101/pulls", "read"],
    ["GET /repositories/999/pulls", "repository.unlisted"],
    ["GET /repositories/0101", "repository.unlisted"],
    ["GET /repositories", "repository.unlisted"],
    ["GET /Repos/my-org/api", "route.unknown"],
    ["GET /repos/my-org", "route.unknown"],
    ["GET /repos/my-org/api/nothing", "route.unknown"],
    ["OPTIONS /repos/my-org/api", "request.malformed"],
    [`GET ${repo}/compare/main...evil:main`, "repository.unlisted"],
    [`GET ${repo}/compare/main...feature/x`, "read"],
    [`GET ${repo}/contents/src/main.ts?ref=feature`, "read"],
    [`GET ${repo}/contents`, "read"],
    [`HEAD ${repo}/tarball/main`, "read"],
    [`GET ${repo}/pulls?access_token=x`, "request.malformed"],
    [`GET ${repo}/actions/secrets`, "route.never"],
    [`GET ${repo}/keys`, "route.never"],
    [`GET ${repo}/hooks/1/deliveries`, "route.never"],
    [`GET ${repo}/traffic/views`, "route.never"],
    [`GET ${repo}/collaborators`, "route.never"],
    [`GET ${repo}/secret-scanning/alerts`, "route.never"],
    ["GET /user/repos", "route.never"],
    ["GET /gists", "route.never"],
    ["POST /gists", "route.never"],
    ["GET /search/code?q=x", "route.never"],
    ["DELETE /installation/token", "route.never"],
    ["GET /rate_limit", "read"],
    ["GET /", "read"]
  ]
  for (const [line, expected] of table) {
    it(`${line}: ${expected}`, () => {
      assert.strictEqual(judgedWord(line, { capabilities: all }), expected)
    })
  }

  it("pass without a token in audit mode, to read and not to write", () => {
    const verdict = judged("GET /repos/evil/repo", { mode: "audit" })
    assert.strictEqual(verdict._tag, "Allowed")
    if (verdict._tag !== "Allowed") return
    assert.deepStrictEqual([verdict.credential, verdict.audited[0]?.rule], ["none", "repository.unlisted"])
    assert.strictEqual(
      judgedWord("POST /repos/evil/repo/issues", { mode: "audit", capabilities: all }),
      "repository.unlisted"
    )
  })

  it("say where an answer leads to another host", () => {
    for (
      const path of [
        "tarball/main",
        "releases/assets/1",
        "actions/artifacts/1/zip",
        "actions/runs/1/logs",
        "contents/x"
      ]
    ) {
      const verdict = judged(`GET ${repo}/${path}`)
      assert.isTrue(verdict._tag === "Allowed" && verdict.download, path)
    }
    const verdict = judged(`GET ${repo}/pulls`)
    assert.isTrue(verdict._tag === "Allowed" && !verdict.download)
  })
})

describe("routes that move refs", () => {
  const table: ReadonlyArray<readonly [line: string, body: unknown, expected: string, facts?: Facts]> = [
    [`POST ${repo}/git/refs`, { ref: "refs/heads/feature/x", sha }, "write"],
    [`POST ${repo}/git/refs`, { ref: "refs/heads/other", sha }, "ref.unlisted"],
    [`POST ${repo}/git/refs`, { ref: "feature/x", sha }, "ref.malformed"],
    [`POST ${repo}/git/refs`, { sha }, "ref.malformed"],
    [`POST ${repo}/git/refs`, { ref: ["refs/heads/main"], sha }, "body.malformed"],
    [`POST ${repo}/git/refs?ref=refs/heads/other`, { ref: "refs/heads/main", sha }, "request.malformed"],
    [`PATCH ${repo}/git/refs/heads/main`, { sha }, "write"],
    [`PATCH ${repo}/git/refs/heads/main`, { sha, force: true }, "ref.force"],
    [`PATCH ${repo}/git/refs/heads/main`, { sha, force: "true" }, "body.malformed"],
    [`PATCH ${repo}/git/refs/heads%2Fmain`, { sha }, "write"],
    [`PATCH ${repo}/git/refs/heads/other`, { sha }, "ref.unlisted"],
    [`PATCH ${repo}/git/refs/tags/v1`, { sha }, "ref.unlisted"],
    [`DELETE ${repo}/git/refs/heads/main`, undefined, "ref.delete"],
    [`PUT ${repo}/contents/a/b`, { branch: "main", message: "m", content: "" }, "write"],
    [`PUT ${repo}/contents/a/b`, { branch: "other", message: "m", content: "" }, "ref.unlisted"],
    [`PUT ${repo}/contents/a/b`, { branch: "refs/heads/main", message: "m", content: "" }, "ref.malformed"],
    [`PUT ${repo}/contents/a/b`, { branch: null, message: "m", content: "" }, "body.malformed"],
    [`PUT ${repo}/contents/a/b`, { message: "m", content: "" }, "needs defaultBranch 101"],
    [`PUT ${repo}/contents/a/b`, { message: "m", content: "" }, "write", standard("refs/heads/main")],
    [`PUT ${repo}/contents/a/b`, { message: "m", content: "" }, "ref.unlisted", standard("refs/heads/trunk")],
    [`PUT ${repo}/contents/a/b`, { message: "m", Branch: "main" }, "body.malformed"],
    [`DELETE ${repo}/contents/a/b`, { branch: "other", message: "m", sha }, "ref.unlisted"],
    [`POST ${repo}/merges`, { base: "main", head: "feature/x" }, "write"],
    [`POST ${repo}/merges`, { base: "other", head: "main" }, "ref.unlisted"],
    [`POST ${repo}/merges`, { head: "main" }, "body.malformed"],
    [`POST ${repo}/merge-upstream`, { branch: "other" }, "ref.unlisted"],
    [`POST ${repo}/branches/main/rename`, { new_name: "feature/x" }, "ref.delete"],
    [`POST ${repo}/branches/other/rename`, { new_name: "main" }, "ref.unlisted"],
    [`PUT ${repo}/pulls/7/merge`, {}, "needs pullRequest 101 7"],
    [`PUT ${repo}/pulls/7/merge`, {}, "write", pull("main", "feature/x")],
    [`PUT ${repo}/pulls/7/merge`, {}, "ref.unlisted", pull("other", "feature/x")],
    [`PUT ${repo}/pulls/7/merge`, {}, "lookup.missing", pull("main", "x", api.id, web.id)],
    [`PUT ${repo}/pulls/x/merge`, {}, "request.malformed"],
    [`PUT ${repo}/pulls/7/merge-async`, {}, "ref.unlisted", pull("other", "feature/x")],
    [`PUT ${repo}/pulls/7/update-branch`, {}, "write", pull("other", "feature/x")],
    [`PUT ${repo}/pulls/7/update-branch`, {}, "ref.unlisted", pull("main", "other")],
    [`PUT ${repo}/pulls/7/update-branch`, {}, "repository.unlisted", pull("main", "main", 999)],
    [`PATCH ${repo}/pulls/7`, { title: "t" }, "write"],
    [`PATCH ${repo}/pulls/7`, { base: "other" }, "ref.unlisted"],
    [`POST ${repo}/pulls`, { title: "t", base: "other", head: "feature/x" }, "write"],
    [`POST ${repo}/pulls`, { title: "t", base: "other", head: "My-Org:feature/x" }, "write"],
    [`POST ${repo}/pulls`, { title: "t", base: "main", head: "evil:main" }, "repository.unlisted"],
    [`POST ${repo}/pulls`, { title: "t", base: "main", head: "main", head_repo: "evil" }, "repository.unlisted"],
    [`POST ${repo}/releases`, { tag_name: "v1" }, "ref.unlisted"],
    [`PATCH ${repo}/releases/5`, { draft: false }, "needs release 101 5"],
    [`PATCH ${repo}/releases/5`, { draft: false }, "ref.unlisted", release("refs/tags/v1")],
    [`POST ${repo}/deployments`, { ref: "main" }, "write"],
    [`POST ${repo}/deployments`, { ref: "other", auto_merge: true }, "ref.unlisted"],
    [`POST ${repo}/code-scanning/alerts/1/autofix/commits`, { target_ref: "refs/heads/main" }, "route.never"],
    [`POST /agents/repos/my-org/api/tasks`, { base_ref: "main" }, "route.never"]
  ]
  for (const [line, body, expected, facts] of table) {
    it(`${line} ${JSON.stringify(body) ?? ""}: ${expected}`, () => {
      const given = { ...(body === undefined ? {} : { body }), ...(facts === undefined ? {} : { facts }) }
      assert.strictEqual(judgedWord(line, { capabilities: all }, given), expected)
    })
  }

  it("are refused to a profile without refs, and without the capability", () => {
    assert.strictEqual(judgedWord(`POST ${repo}/git/refs`, { allowedRefs: [] }), "repository.readonly")
    assert.strictEqual(judgedWord(`POST ${repo}/git/blobs`, { allowedRefs: [] }), "repository.readonly")
    for (
      const [method, path] of [
        ["PUT", "pulls/7/merge"],
        ["PUT", "pulls/7/merge-async"],
        ["POST", "pulls"],
        ["POST", "issues"],
        ["POST", "releases"],
        ["POST", "statuses/x"],
        ["POST", "dispatches"],
        ["POST", "deployments"],
        ["POST", "stacks"],
        ["PUT", "pulls/7/reviews/1/dismissals"]
      ]
    ) assert.strictEqual(judgedWord(`${method} ${repo}/${path}`), "route.capability", path)
  })

  it("name the pull request that nobody else may change meanwhile", () => {
    const known = pull("main", "feature/x")
    assert.strictEqual(heldBy(`PUT ${repo}/pulls/7/merge`, {}, known), 7)
    assert.strictEqual(heldBy(`PUT ${repo}/pulls/7/merge-async`, {}, known), 7)
    assert.strictEqual(heldBy(`PUT ${repo}/pulls/7/update-branch`, {}, known), 7)
    assert.strictEqual(heldBy(`PATCH ${repo}/pulls/7`, { base: "main" }), 7)
    assert.isUndefined(heldBy(`PATCH ${repo}/pulls/7`, { title: "t" }))
    assert.isUndefined(heldBy(`PUT ${repo}/pulls/7/reviews/1`, { body: "b" }))
  })

  it("are written anew with what they left to a default", () => {
    assert.deepStrictEqual(bodyOf(`PATCH ${repo}/git/refs/heads/main`, { sha }), { sha, force: false })
    assert.deepStrictEqual(bodyOf(`PUT ${repo}/pulls/7/merge`, {}, pull("main", "x")), { sha })
    assert.deepStrictEqual(bodyOf(`PUT ${repo}/pulls/7/merge`, { sha: "d".repeat(40) }, pull("main", "x")), {
      sha: "d".repeat(40)
    })
    assert.deepStrictEqual(bodyOf(`POST ${repo}/deployments`, { ref: "x" }), { ref: "x", auto_merge: false })
    assert.deepStrictEqual(bodyOf(`PUT ${repo}/contents/x`, { message: "m" }, standard("refs/heads/main")), {
      message: "m",
      branch: "main"
    })
  })

  it("have one meaning where a name stands twice", () => {
    const verdict = judged(`PATCH ${repo}/git/refs/heads/main`, {}, {
      body: `{"force":true,"sha":"${sha}","force":false}`
    })
    assert.deepStrictEqual(verdict._tag === "Allowed" && verdict.body, `{"force":false,"sha":"${sha}"}`)
    assert.strictEqual(
      judgedWord(`PATCH ${repo}/git/refs/heads/main`, {}, { body: `{"force":false,"\\u0066orce":true}` }),
      "ref.force"
    )
  })

  it("name what they move, for who serialises and records", () => {
    const verdict = judged(`PUT ${repo}/pulls/7/merge`, { capabilities: all }, { facts: pull("main", "x") })
    assert.deepStrictEqual(verdict._tag === "Allowed" && verdict.moves, [
      { repository: api, ref: "refs/heads/main", change: "update" }
    ])
  })

  it("in audit mode pass and are told of", () => {
    const verdict = judged(`DELETE ${repo}/git/refs/heads/other`, { mode: "audit" })
    assert.deepStrictEqual(verdict._tag === "Allowed" && verdict.audited.map(({ rule }) => rule), ["ref.unlisted"])
    assert.strictEqual(judgedWord(`DELETE ${repo}/git/refs/km/x`, { mode: "audit" }), "ref.denied")
  })
})

describe("reviews", () => {
  const path = `POST ${repo}/pulls/7/reviews`
  it("may comment and ask for changes, and approve only by an own capability", () => {
    assert.strictEqual(judgedWord(path, { capabilities: ["pulls"] }, { body: { event: "COMMENT" } }), "write")
    assert.strictEqual(judgedWord(path, { capabilities: ["pulls"] }, { body: {} }), "write")
    assert.strictEqual(
      judgedWord(path, { capabilities: ["pulls"] }, { body: { event: "APPROVE" } }),
      "route.capability"
    )
    assert.strictEqual(judgedWord(path, { capabilities: ["pulls"] }, { body: { event: "approve" } }), "body.malformed")
    assert.strictEqual(judgedWord(`${path}/1/events`, { capabilities: ["pulls"] }, { body: {} }), "body.malformed")
    assert.strictEqual(
      judgedWord(path, { capabilities: ["pulls", "approve"] }, { body: { event: "APPROVE" } }),
      "write"
    )
  })
})

describe("bodies", () => {
  it("are asked for before they are judged, and not for what may not be written anyway", () => {
    const request = { service: "api", method: "POST", path: ["repos", "my-org", "api", "issues"], query: [] } as const
    assert.strictEqual(word(judgeRequest(request, gitHubPolicy(), noFacts)), "route.capability")
    assert.strictEqual(word(judgeRequest(request, gitHubPolicy({ capabilities: ["issues"] }), noFacts)), "body")
    assert.strictEqual(
      judgedWord(`POST ${repo}/issues`, { capabilities: ["issues"] }, { body: "not json" }),
      "body.malformed"
    )
    assert.strictEqual(judgedWord(`POST ${repo}/issues`, { capabilities: ["issues"] }, { body: "[]" }), "write")
    const deep = `{"title":${"[".repeat(100)}${"]".repeat(100)}}`
    assert.strictEqual(
      judgedWord(`POST ${repo}/issues`, { capabilities: ["issues"] }, { body: deep }),
      "body.malformed"
    )
    const deepest = `{"title":${"[".repeat(400_000)}${"]".repeat(400_000)}}`
    assert.strictEqual(
      judgedWord(`POST ${repo}/issues`, { capabilities: ["issues"] }, { body: deepest }),
      "body.malformed"
    )
  })

  it.prop("of any kind are never let through with a ref that is not allowed", [Schema.Json], ([body]) => {
    const verdict = judged(`POST ${repo}/git/refs`, {}, { body })
    assert.notStrictEqual(verdict._tag, "Needs")
    assert.isTrue(verdict._tag !== "Allowed")
  })
})

describe("uploads", () => {
  it("take a release's asset unread, with a name, and nothing else", () => {
    assert.strictEqual(ask(`POST ${repo}/releases/5/assets?name=a.zip&label=x`), "write")
    assert.strictEqual(ask(`POST ${repo}/releases/5/assets?tag=x`), "request.malformed")
    assert.strictEqual(ask(`POST ${repo}/releases/5/assets?name=a`, []), "route.capability")
    assert.strictEqual(ask(`POST /repos/evil/repo/releases/5/assets?name=a`), "repository.unlisted")
    assert.strictEqual(ask(`GET ${repo}`), "route.unknown")
    assert.strictEqual(ask(`PATCH ${repo}/git/refs/heads/main`), "route.unknown")
  })
})

describe("paths", () => {
  it("that go up, are empty, or are escaped twice are refused before anything else", () => {
    for (const segment of ["..", ".", "", "a\\b", "%2e%2e", "%252e", "a\0", "a\nb"]) {
      const path = ["repos", "my-org", "api", "contents", segment]
      assert.strictEqual(judgedPath(path), "request.malformed", segment)
    }
    assert.strictEqual(judgedPath(["repos", "my-org/api", "x", "pulls"]), "request.malformed")
    assert.strictEqual(judgedPath(["repos", "my-org", "api", "contents", "a/../b"]), "request.malformed")
    assert.strictEqual(judgedPath(["repos", "my-org", "api", "contents", "a/b"]), "read")
  })
})
