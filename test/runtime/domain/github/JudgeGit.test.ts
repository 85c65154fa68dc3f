import { assert, describe, it } from "@effect/vitest"
import type { CanonicalRequest, GitHubPolicy } from "../../../../runtime/domain/github/GitHubPolicy.ts"
import { lookupKey } from "../../../../runtime/domain/github/GitHubPolicy.ts"
import { api } from "../../../support/gitHubPolicy.ts"
import { type Asked, judged, judgedWord } from "../../../support/judged.ts"

const git = (line: string, policy: Partial<GitHubPolicy> = {}, given: Asked = {}) =>
  judgedWord(line, policy, { service: "git", ...given })
const upload: Asked = { contentType: "application/x-git-upload-pack-request" }
const receive: Asked = { contentType: "application/x-git-receive-pack-request" }

describe("git over HTTP", () => {
  it("fetches from allowed repositories with the read token, from public ones without", () => {
    assert.strictEqual(git("GET /my-org/api.git/info/refs?service=git-upload-pack"), "read")
    assert.strictEqual(git("GET /My-Org/API/info/refs?service=git-upload-pack"), "read")
    assert.strictEqual(git("POST /my-org/api.git/git-upload-pack", {}, upload), "read")
    assert.strictEqual(git("GET /nodejs/node.git/info/refs?service=git-upload-pack"), "none")
    assert.strictEqual(git("POST /nodejs/node/git-upload-pack", {}, upload), "none")
  })

  it("pushes with the write token, once the commands are judged", () => {
    assert.strictEqual(git("GET /my-org/api.git/info/refs?service=git-receive-pack"), "write")
    assert.strictEqual(git("POST /my-org/api.git/git-receive-pack", {}, receive), "commands")
  })

  it("refuses a push before it begins where nothing could be pushed", () => {
    for (
      const [line, given] of [["GET /my-org/api/info/refs?service=git-receive-pack", {}], [
        "POST /my-org/api/git-receive-pack",
        receive
      ]] as const
    ) {
      assert.strictEqual(git(line, { allowedRefs: [] }, given), "repository.readonly")
      assert.strictEqual(git(line.replace("my-org/api", "nodejs/node"), {}, given), "repository.public")
      assert.strictEqual(git(line.replace("my-org/api", "evil/repo"), {}, given), "repository.unlisted")
      assert.strictEqual(git(line.replace("my-org/api", "evil/repo"), { mode: "audit" }, given), "repository.unlisted")
    }
  })

  const refused: ReadonlyArray<readonly [line: string, rule: string, given?: Asked]> = [
    ["GET /my-org/api.git/info/refs", "request.malformed"],
    ["GET /my-org/api.git/info/refs?service=git-upload-pack&service=git-receive-pack", "request.malformed"],
    ["GET /my-org/api.git/info/refs?x=y&service=git-upload-pack", "request.malformed"],
    ["GET /my-org/api.git/info/refs?service=git-upload-archive", "route.unknown"],
    ["POST /my-org/api.git/git-upload-archive", "route.unknown"],
    ["GET /my-org/api.git/objects/info/packs", "route.unknown"],
    ["GET /my-org/api.git/HEAD", "route.unknown"],
    ["POST /my-org/api.git/git-upload-pack", "request.malformed"],
    ["POST /my-org/api.git/git-receive-pack?service=git-upload-pack", "request.malformed", receive],
    ["POST /my-org/api.git/git-receive-pack", "request.malformed", upload],
    ["GET /my-org/api.git/git-receive-pack", "route.unknown", receive],
    ["PUT /my-org/api.git/git-receive-pack", "route.unknown", receive],
    ["GET /my-org/api.wiki.git/info/refs?service=git-upload-pack", "repository.unlisted"],
    ["GET /my-org/lost.git/info/refs?service=git-upload-pack", "repository.lost"],
    ["GET /my-org/api.git.git/info/refs?service=git-upload-pack", "repository.unlisted"],
    ["GET /my-org/api", "route.unknown"],
    ["GET /my-org", "route.unknown"],
    ["GET /login/oauth/authorize", "repository.unlisted"],
    ["GET /my-org/api/settings/keys", "route.unknown"],
    ["GET /my-org/api/pulls", "route.unknown"]
  ]
  for (const [line, rule, given] of refused) {
    it(`${line}: ${rule}`, () => {
      assert.strictEqual(git(line, {}, given), rule)
    })
  }
})

const lfs = (path: string, body: unknown, policy: Partial<GitHubPolicy> = {}, given: Asked = {}) =>
  git(`POST /my-org/api.git/info/lfs/${path}`, policy, {
    contentType: "application/vnd.git-lfs+json",
    body,
    ...given
  })
const ref = (name: string) => ({ ref: { name } })

describe("LFS", () => {
  it("downloads for readers, uploads for refs that may be pushed", () => {
    assert.strictEqual(lfs("objects/batch", { operation: "download", objects: [] }, { allowedRefs: [] }), "read")
    assert.strictEqual(lfs("objects/batch", { operation: "upload", ...ref("refs/heads/main"), objects: [] }), "write")
    assert.strictEqual(
      lfs("objects/batch", { operation: "upload", ...ref("refs/heads/other"), objects: [] }),
      "ref.unlisted"
    )
    assert.strictEqual(
      lfs("objects/batch", { operation: "upload", ...ref("refs/heads/main") }, { allowedRefs: [] }),
      "repository.readonly"
    )
  })

  it("takes an upload without a ref for the default branch", () => {
    assert.strictEqual(lfs("objects/batch", { operation: "upload", objects: [] }), "needs defaultBranch 101")
    const facts = new Map([[
      lookupKey({ kind: "defaultBranch", repository: api }),
      { kind: "defaultBranch", ref: "refs/heads/trunk" } as const
    ]])
    assert.strictEqual(lfs("objects/batch", { operation: "upload", objects: [] }, {}, { facts }), "ref.unlisted")
  })

  it("refuses what has no meaning that is known", () => {
    assert.strictEqual(lfs("objects/batch", { operation: "Upload" }), "body.malformed")
    assert.strictEqual(lfs("objects/batch", { operation: "download", adapter: "x" }), "body.malformed")
    assert.strictEqual(lfs("objects/batch", { operation: "upload", ref: "main" }), "ref.malformed")
    assert.strictEqual(lfs("objects/verify", {}), "route.unknown")
    assert.strictEqual(lfs("objects/batch", {}, {}, { contentType: "text/plain" }), "request.malformed")
  })

  it("locks for refs that may be pushed, and breaks another's lock only with force allowed", () => {
    assert.strictEqual(lfs("locks/verify", ref("refs/heads/main")), "write")
    assert.strictEqual(lfs("locks/verify", {}, { allowedRefs: [] }), "repository.readonly")
    assert.strictEqual(lfs("locks", { path: "a", ...ref("refs/heads/other") }), "ref.unlisted")
    assert.strictEqual(lfs("locks/12/unlock", ref("refs/heads/main")), "write")
    assert.strictEqual(lfs("locks/12/unlock", { force: true, ...ref("refs/heads/main") }), "ref.force")
    assert.strictEqual(git("GET /my-org/api.git/info/lfs/locks"), "read")
  })
})

describe("downloads", () => {
  const table: ReadonlyArray<readonly [service: CanonicalRequest["service"], line: string, expected: string]> = [
    ["git", "GET /my-org/api/archive/refs/heads/main.tar.gz", "read"],
    ["git", "GET /my-org/api/releases/download/v1/a.zip", "read"],
    ["git", "HEAD /my-org/api/releases/latest/download/a.zip", "read"],
    ["git", "GET /nodejs/node/releases/download/v1/a.zip", "none"],
    ["git", "GET /evil/repo/releases/download/v1/a.zip", "repository.unlisted"],
    ["git", "GET /my-org/api/releases/download/v1", "route.unknown"],
    ["git", "GET /my-org/api/releases/new", "route.unknown"],
    ["git", "POST /my-org/api/archive/main.zip", "route.unknown"],
    ["codeload", "GET /my-org/api/tar.gz/refs/heads/main", "read"],
    ["codeload", "GET /my-org/api/legacy.zip/main", "read"],
    ["codeload", "GET /evil/repo/tar.gz/main", "repository.unlisted"],
    ["codeload", "GET /my-org/api/other/main", "route.unknown"],
    ["raw", "GET /my-org/api/main/README.md", "read"],
    ["raw", "GET /evil/repo/main/README.md", "repository.unlisted"],
    ["raw", "PUT /my-org/api/main/README.md", "route.unknown"],
    ["media", "GET /media/my-org/api/main/a.bin", "read"],
    ["media", "GET /my-org/api/main/a.bin", "route.unknown"]
  ]
  for (const [service, line, expected] of table) {
    it(`${service} ${line}: ${expected}`, () => {
      assert.strictEqual(judgedWord(line, {}, { service }), expected)
    })
  }

  it("may lead to another host", () => {
    const verdict = judged("GET /my-org/api/archive/main.zip", {}, { service: "git" })
    assert.isTrue(verdict._tag === "Allowed" && verdict.download)
  })
})
