/**
 * Ways round a filter of repositories that were once found open in one, each tried on this proxy with its own tables: every
 * one is refused, and nothing of it reaches GitHub.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { capabilityPolicy } from "./everyCapability.ts"
import { type ProxyWorld, proxyWorld } from "./proxyWorld.ts"
import { plain, statusOf, tunnelled } from "./rawClient.ts"

const ask = (world: ProxyWorld, host: string, line: string, inner = host, body = "") => {
  const fields = body === ""
    ? []
    : ["Content-Type: application/json", `Content-Length: ${body.length}`]
  return tunnelled(
    world,
    `${host}:443`,
    [
      `${line} HTTP/1.1`,
      `Host: ${inner}`,
      "Authorization: token ghp_brought-along",
      ...fields,
      "Connection: close",
      "",
      body
    ]
      .join("\r\n")
  )
}

const refs = "/info/refs?service=git-upload-pack"

/** Name, host of the tunnel, request line, Host inside where it is another one. */
const probes: ReadonlyArray<readonly [name: string, host: string, line: string, inner?: string]> = [
  ["another repository", "github.com", `GET /evil/repo.git${refs}`],
  ["another repository, by its API", "api.github.com", "GET /repos/evil/repo"],
  [
    "another repository's commits through a comparison",
    "api.github.com",
    "GET /repos/my-org/api/compare/main...evil:main"
  ],
  ["a number of no repository of ours", "api.github.com", "GET /repositories/1296269"],
  ["a number of no repository of ours, below it", "api.github.com", "GET /repositories/1296269/contents/x"],
  ["gists", "api.github.com", "GET /gists"],
  ["the user's repositories", "api.github.com", "GET /user/repos"],
  ["search", "api.github.com", "GET /search/code?q=secret"],
  ["an organisation", "api.github.com", "GET /orgs/evil/repos"],
  ["repositories by the letter case of their route", "api.github.com", "GET /Repos/evil/repo"],
  ["a new repository", "api.github.com", "POST /user/repos"],
  ["the installation's own repositories", "api.github.com", "GET /installation/repositories"],
  ["the end of our token", "api.github.com", "DELETE /installation/token"],
  ["the App", "api.github.com", "GET /app"],
  ["device login", "github.com", "POST /login/device/code"],
  ["a token by OAuth", "github.com", "POST /login/oauth/access_token"],
  ["two slashes on github.com", "github.com", `GET //evil/repo.git${refs}`],
  ["two slashes on raw", "raw.githubusercontent.com", "GET //evil/repo/main/x"],
  ["two slashes on the API", "api.github.com", "GET //repos/evil/repo"],
  ["a way up", "github.com", `GET /my-org/api/../../evil/repo.git${refs}`],
  ["a way up on the API", "api.github.com", "GET /repos/my-org/api/../../evil/repo"],
  ["a way up, encoded", "github.com", `GET /my-org/api/%2e%2e/%2e%2e/evil/repo${refs}`],
  ["an encoded slash", "github.com", `GET /evil%2Frepo${refs}`],
  ["another name inside, by case", "github.com", `GET /evil/repo.git${refs}`, "GitHub.com"],
  ["another name inside, with a dot", "github.com", `GET /my-org/api.git${refs}`, "github.com."],
  ["another name inside, of a cloud", "github.com", `GET /evil/repo.git${refs}`, "sts.amazonaws.com"],
  ["another name inside, of GitHub's", "github.com", "GET /repos/my-org/api", "api.github.com"],
  ["archives of another repository", "codeload.github.com", "GET /evil/repo/tar.gz/refs/heads/main"],
  ["files of another repository", "raw.githubusercontent.com", "GET /evil/repo/main/x"],
  ["media of another repository", "media.githubusercontent.com", "GET /media/evil/repo/main/x"],
  ["a release's file of another repository", "github.com", "GET /evil/repo/releases/download/v1/x"],
  ["uploads to another repository", "uploads.github.com", "POST /repos/evil/repo/releases/1/assets?name=x"],
  ["presigned objects that nobody named", "objects.githubusercontent.com", "GET /x?X-Amz-Signature=y"],
  ["release assets that nobody named", "release-assets.githubusercontent.com", "GET /x?sig=y"],
  ["gist.github.com", "gist.github.com", "GET /evil/1"],
  ["packages", "npm.pkg.github.com", "GET /evil"],
  ["the dumb protocol", "github.com", "GET /my-org/api.git/objects/info/packs"],
  ["the dumb protocol's list of refs", "github.com", "GET /my-org/api.git/info/refs"],
  ["git archive", "github.com", "POST /my-org/api.git/git-upload-archive"],
  ["a wiki of another repository", "github.com", `GET /evil/repo.wiki.git${refs}`],
  ["another method by a query", "api.github.com", "GET /repos/my-org/api?_method=DELETE"],
  ["a token in the query", "api.github.com", "GET /repos/my-org/api?access_token=ghp_x"]
]

const queries: Readonly<Record<string, string>> = {
  "reads another repository": "{ repository(owner: \"evil\", name: \"repo\") { id } }",
  "reads another one beside ours":
    "{ repository(owner: \"my-org\", name: \"api\") { id } b: repository(owner: \"evil\", name: \"repo\") { id } }",
  "hops by the owner":
    "{ repository(owner: \"my-org\", name: \"api\") { owner { repositories(first: 1) { nodes { id } } } } }",
  "hops by forks": "{ repository(owner: \"my-org\", name: \"api\") { forks(first: 1) { nodes { id } } } }",
  "searches": "{ search(query: \"secret\", type: REPOSITORY, first: 1) { nodes { __typename } } }",
  "lists the viewer's repositories": "{ viewer { repositories(first: 1) { nodes { id } } } }",
  "commits elsewhere":
    "mutation { createCommitOnBranch(input: { branch: { repositoryNameWithOwner: \"evil/repo\", branchName: \"main\" }, message: { headline: \"x\" }, expectedHeadOid: \"0\" }) { clientMutationId } }",
  "commits where the policy refuses":
    "mutation { createCommitOnBranch(input: { branch: { repositoryNameWithOwner: \"my-org/api\", branchName: \"main\" }, message: { headline: \"x\" }, expectedHeadOid: \"0\" }) { clientMutationId } }",
  "calls a query a mutation": "query { createRef(input: {}) { clientMutationId } }",
  "hides a mutation behind a fragment":
    "mutation { ...F } fragment F on Mutation { deleteRef(input: { refId: \"x\" }) { clientMutationId } }"
}

/** Everything that a profile can switch on is on: what is refused here no capability opens. */
const open = () => proxyWorld({ policy: capabilityPolicy })

describe("a way round the repositories of a sandbox", () => {
  for (const [name, host, line, inner] of probes) {
    it.live(`is closed: ${name}`, () =>
      Effect.gen(function*() {
        const world = yield* open()
        const answer = yield* ask(world, host, line, inner)
        assert.include([0, 400, 403], statusOf(answer), answer)
        assert.deepStrictEqual(world.gitHub.requests, [])
      }))
  }

  for (const [name, query] of Object.entries(queries)) {
    it.live(`is closed: a document that ${name}`, () =>
      Effect.gen(function*() {
        const world = yield* open()
        const answer = yield* ask(world, "api.github.com", "POST /graphql", undefined, JSON.stringify({ query }))
        assert.strictEqual(statusOf(answer), 403, answer)
        assert.deepStrictEqual(world.gitHub.requests, [])
      }))
  }

  it.live("is closed: several operations at once, a list of them, one that is not named, one in the query", () =>
    Effect.gen(function*() {
      const world = yield* open()
      const good = "query A { viewer { login } }"
      const bodies = [
        JSON.stringify({ query: `${good} query B { viewer { login } }` }),
        JSON.stringify([{ query: good }]),
        JSON.stringify({
          query: `${good} mutation B { deleteRef(input: { refId: "x" }) { clientMutationId } }`,
          operationName: "B"
        })
      ]
      for (const body of bodies) {
        assert.strictEqual(statusOf(yield* ask(world, "api.github.com", "POST /graphql", undefined, body)), 403, body)
      }
      const byGet = yield* ask(world, "api.github.com", "GET /graphql?query=%7Bviewer%7Blogin%7D%7D")
      assert.strictEqual(statusOf(byGet), 403)
      // The second mutation's id is looked up, with the read token, and found nowhere.
      assert.isTrue(world.gitHub.requests.every(({ headers }) => headers.authorization === "Bearer ghs_memory_read_1"))
    }))

  it.live("is closed where a profile names nothing: no repository is not every repository", () =>
    Effect.gen(function*() {
      const world = yield* proxyWorld({
        policy: { allowedRepos: [], repositories: [], allowedRefs: [] },
        allowedHosts: ["*.com"]
      })
      for (const host of ["github.com", "GitHub.com", "api.github.com", "codeload.github.com"]) {
        const answer = yield* tunnelled(
          world,
          `${host}:443`,
          `GET /my-org/api.git${refs} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
          host.toLowerCase()
        )
        assert.strictEqual(statusOf(answer), 403, answer)
      }
      assert.deepStrictEqual(world.gitHub.requests, [])
    }))

  it.live("is closed: ssh through the tunnel, and names that end in a dot", () =>
    Effect.gen(function*() {
      const world = yield* proxyWorld({ allowedHosts: ["*.github.com", "*.com"] })
      const connect = (authority: string) => plain(world.port, `CONNECT ${authority} HTTP/1.1\r\nHost: x\r\n\r\n`)
      for (const authority of ["ssh.github.com:22", "github.com:22", "github.com.:443", "GITHUB.COM.:443"]) {
        assert.strictEqual(statusOf(yield* connect(authority)), 403, authority)
      }
      // On 443 it is read as TLS and HTTP, which ssh is not.
      const ssh = yield* tunnelled(world, "ssh.github.com:443", "SSH-2.0-x\r\nConnection: close\r\n\r\n")
      assert.strictEqual(statusOf(ssh), 400)
      assert.deepStrictEqual(world.gitHub.dialled, [])
    }))
})

const chunked = (target: string, body: string, fields: ReadonlyArray<string> = []) =>
  [
    `POST ${target} HTTP/1.1`,
    "Host: api.github.com",
    "Content-Type: application/json",
    "Transfer-Encoding: chunked",
    ...fields,
    "Connection: close",
    "",
    body
  ].join("\r\n")

describe("what stands between the pieces of a body", () => {
  it.live("does not go on: extensions of chunks and fields behind the body", () =>
    Effect.gen(function*() {
      const world = yield* open()
      const text = JSON.stringify({ query: "{ viewer { login } }" })
      const half = Math.floor(text.length / 2)
      const pieces = [text.slice(0, half), text.slice(half)]
        .map((one) => `${one.length.toString(16)};x=1;y\r\n${one}\r\n`).join("")
      const seen: Array<string> = []
      world.gitHub.intercept = (_, request, response) => {
        request.on("data", (chunk: Buffer) => seen.push(chunk.toString()))
        request.on("end", () => {
          assert.deepStrictEqual(request.rawTrailers, [])
          response.end("{}")
        })
        return true
      }
      const answer = yield* tunnelled(
        world,
        "api.github.com:443",
        chunked("/graphql", `${pieces}0\r\nHost: evil.com\r\nAuthorization: x\r\n\r\n`, ["Trailer: Host"])
      )
      assert.strictEqual(statusOf(answer), 200, answer)
      assert.include(seen.join(""), "viewer")
      const [asked] = world.gitHub.requests
      assert.strictEqual(asked?.headers["transfer-encoding"], undefined)
      assert.strictEqual(asked?.headers.host, "api.github.com")
    }))

  for (
    const [name, body] of [
      ["a length that is no number", "zz\r\n{}\r\n0\r\n\r\n"],
      ["a length with a sign", "+2\r\n{}\r\n0\r\n\r\n"],
      ["a length with 0x", "0x2\r\n{}\r\n0\r\n\r\n"],
      ["a length that is too large", "ffffffffffffffffff\r\n{}\r\n0\r\n\r\n"],
      ["a bare line feed behind the length", "2\n{}\r\n0\r\n\r\n"],
      ["a chunk longer than it says", "2\r\n{}{}\r\n0\r\n\r\n"]
    ] as const
  ) {
    it.live(`is refused: ${name}`, () =>
      Effect.gen(function*() {
        const world = yield* open()
        const answer = yield* tunnelled(world, "api.github.com:443", chunked("/graphql", body))
        assert.include([0, 400], statusOf(answer), answer)
        assert.deepStrictEqual(world.gitHub.requests, [])
      }))
  }
})
