/** Ways round the proxy, each tried: nothing of them may reach GitHub, or a host that the profile does not name. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { gitOnlyJudge } from "./gitOnlyJudge.ts"
import { type ProxyWorld, proxyWorld, runCredential } from "./proxyWorld.ts"
import { plain, statusOf, tunnelled } from "./rawClient.ts"

const get = (target: string, ...fields: ReadonlyArray<string>): string =>
  [`GET ${target} HTTP/1.1`, "Host: github.com", ...fields, "", ""].join("\r\n")

const api = (target: string): string =>
  get(target, "Connection: close").replace("Host: github.com", "Host: api.github.com")

const basic = (text: string): string => `Proxy-Authorization: Basic ${Buffer.from(text).toString("base64")}\r\n`

/** With a judge that lets everything of an allowed repository pass: what is refused here, the transport refuses. */
const transport = (options: Parameters<typeof proxyWorld>[0] = {}) => proxyWorld({ judge: gitOnlyJudge, ...options })

/** Nothing left the proxy. */
const nothingLeft = (world: ProxyWorld): void => {
  assert.deepStrictEqual(world.gitHub.requests, [])
  assert.deepStrictEqual(world.gitHub.resolved, [])
  assert.deepStrictEqual(world.gitHub.dialled, [])
}

describe("requests that two programs could read differently", () => {
  const good = "/my-org/api.git/info/refs?service=git-upload-pack"
  const bodies: Readonly<Record<string, string>> = {
    "two Hosts": get(good, "Host: github.com"),
    "another Host": get(good).replace("Host: github.com", "Host: api.github.com"),
    "a Host with another port": get(good).replace("Host: github.com", "Host: github.com:8443"),
    "a Host with a dot at its end": get(good).replace("Host: github.com", "Host: github.com."),
    "no Host": get(good).replace("Host: github.com\r\n", ""),
    "a folded field": get(good, "Accept: a", " b"),
    "a space before the colon": get(good, "Accept : a"),
    "bare line feeds": get(good).replaceAll("\r\n", "\n"),
    "a bare carriage return": get(good, "Accept: a\rHost: evil.com"),
    "both lengths": get(good, "Content-Length: 5", "Transfer-Encoding: chunked").replace("GET", "POST") + "0\r\n\r\n",
    "two lengths": get(good, "Content-Length: 0", "Content-Length: 5").replace("GET", "POST"),
    "a length with a sign": get(good, "Content-Length: +0").replace("GET", "POST"),
    "two transfer codings": get(good, "Transfer-Encoding: gzip, chunked").replace("GET", "POST") + "0\r\n\r\n",
    "an unknown transfer coding": get(good, "Transfer-Encoding: xchunked").replace("GET", "POST") + "0\r\n\r\n",
    "an unknown content coding": get(good, "Content-Encoding: br", "Content-Length: 0").replace("GET", "POST"),
    "a GET with a body": get(good, "Content-Length: 3") + "abc",
    "another protocol": get(good, "Connection: Upgrade", "Upgrade: websocket"),
    "HTTP/1.0": get(good).replace("HTTP/1.1", "HTTP/1.0"),
    "HTTP/0.9": `GET ${good}\r\n\r\n`,
    "HTTP/2 by prior knowledge": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an absolute target": get("https://github.com" + good),
    "an absolute target elsewhere": get("http://evil.com/"),
    "a target that is a star": get("*").replace("GET", "OPTIONS"),
    "a tunnel in the tunnel": "CONNECT evil.com:443 HTTP/1.1\r\nHost: evil.com:443\r\n\r\n",
    "two content types": get(good, "Content-Type: a/b", "Content-Type: application/json", "Content-Length: 0")
      .replace("GET", "POST")
  }
  for (const [name, bytes] of Object.entries(bodies)) {
    it.live(name, () =>
      Effect.gen(function*() {
        const world = yield* transport()
        const answer = yield* tunnelled(world, "github.com:443", bytes)
        assert.include([0, 400, 403], statusOf(answer), answer)
        nothingLeft(world)
      }))
  }

  it.live("a request behind another one is judged for itself", () =>
    Effect.gen(function*() {
      const world = yield* transport()
      const smuggled = get("/my-org/api/x", "Content-Length: 0").replace("GET", "POST") +
        get("/evil/repo.git/info/refs?service=git-upload-pack", "Connection: close")
      const answer = yield* tunnelled(world, "github.com:443", smuggled)
      assert.include(answer, "evil/repo is not a repository of this sandbox")
      assert.isTrue(world.gitHub.requests.every(({ url }) => url.startsWith("/my-org/api")))
    }))
})

const chunk = (text: string): string => `${Buffer.byteLength(text, "latin1").toString(16)}\r\n${text}\r\n`
const line = (text: string): string => `${(text.length + 4).toString(16).padStart(4, "0")}${text}`

describe("a push whose body comes in pieces", () => {
  const zero = "0".repeat(40)
  const hidden = line(`${zero} ${"1".repeat(40)} refs/heads/main\0 report-status`)
  const cases: Readonly<Record<string, ReadonlyArray<string>>> = {
    "a probe with commands behind it": ["0000", `${hidden}0000PACK`],
    "a delete with commands behind it": [
      `${line(`${"1".repeat(40)} ${zero} refs/heads/feature/x\0 report-status`)}0000`,
      `${hidden}0000PACK`
    ],
    "a probe in pieces with one byte behind it": ["00", "00", "x"]
  }
  for (const [name, pieces] of Object.entries(cases)) {
    it.live(`is refused as a whole: ${name}`, () =>
      Effect.gen(function*() {
        const world = yield* transport({ policy: { allowDelete: true, allowedRefs: ["feature/*"] } })
        const answer = yield* tunnelled(
          world,
          "github.com:443",
          [
            "POST /my-org/api.git/git-receive-pack HTTP/1.1",
            "Host: github.com",
            "Content-Type: application/x-git-receive-pack-request",
            "Transfer-Encoding: chunked",
            "Connection: close",
            "",
            `${pieces.map(chunk).join("")}0\r\n\r\n`
          ].join("\r\n")
        )
        assert.match(answer, /push\.malformed/)
        nothingLeft(world)
      }))
  }
})

describe("paths that hide another repository", () => {
  const paths = [
    "//evil/repo.git/info/refs?service=git-upload-pack",
    "/my-org/api/../../evil/repo.git/info/refs?service=git-upload-pack",
    "/my-org/api/%2e%2e/%2e%2e/evil/repo",
    "/my-org/api/.%2E/../evil/repo",
    "/my-org/api/..;/evil/repo",
    "/my-org/api/./x",
    "/my-org//api/x",
    "/my-org/api/x/",
    "/my-org%2Fapi/x",
    "/my-org/api%2f..%2f..%2fevil/repo",
    "/my-org/api\\..\\evil/repo",
    "/my-org/api/%5c..%5cevil",
    "/my-org/api/%252e%252e/evil",
    "/my-org/api/x%00",
    "/my-org/api/x%0d%0aHost:%20evil.com",
    "/my-org/api/%ff%fe",
    "/my-org/api/%zz",
    "/my-org/api/x#/evil/repo",
    "/my-org/api/info/refs?service=git-upload-pack&service=git-receive-pack",
    "/my-org/api/info/refs?service=git-upload-pack&%73ervice=git-receive-pack",
    "/evil/repo.git/info/refs?service=git-upload-pack",
    "/Evil/Repo.GIT/info/refs",
    "/"
  ]
  for (const path of paths) {
    it.live(JSON.stringify(path), () =>
      Effect.gen(function*() {
        const world = yield* transport()
        const answer = yield* tunnelled(world, "github.com:443", get(path))
        assert.include([400, 403], statusOf(answer), answer)
        nothingLeft(world)
      }))
  }

  it.live("what is forwarded is written anew from what was judged", () =>
    Effect.gen(function*() {
      const world = yield* transport()
      yield* tunnelled(
        world,
        "github.com:443",
        get("/My-Org/%61pi.git/info/refs?service=git-%75pload-pack&x", "Connection: close")
      )
      assert.deepStrictEqual(
        world.gitHub.requests.map(({ url }) => url),
        ["/My-Org/api.git/info/refs?service=git-upload-pack&x="]
      )
    }))

  it.live("a name of the API may hold an encoded slash, behind its repository alone", () =>
    Effect.gen(function*() {
      const world = yield* transport()
      yield* tunnelled(world, "api.github.com:443", api("/repos/my-org/api/contents/a%2Fb"))
      const refused = yield* tunnelled(world, "api.github.com:443", api("/repos/my-org%2Fapi/x/y"))
      assert.strictEqual(statusOf(refused), 400)
      assert.deepStrictEqual(world.gitHub.requests.map(({ url }) => url), ["/repos/my-org/api/contents/a%2Fb"])
    }))
})

describe("hosts", () => {
  const refused = [
    "evil.com:443",
    "github.com.evil.com:443",
    "evilgithub.com:443",
    "github.com.:443",
    "github.com:22",
    "github.com:9418",
    "127.0.0.1:443",
    "[::1]:443",
    "[::ffff:127.0.0.1]:443",
    "2130706433:443",
    "0x7f000001:443",
    "0x7f.1:443",
    "127.1:443",
    "140.82.112.3:443",
    "localhost:443",
    "169.254.169.254:80",
    "registry.npmjs.org:22",
    "registry.npmjs.org:80",
    "github.com:443@evil.com:443",
    "github.com%2eevil.com:443",
    "github.com\u0000.evil.com:443",
    "github.com:",
    "github.com:0",
    "github.com:65536",
    ":443",
    "ghcr.io:443"
  ]
  for (const authority of refused) {
    it.live(`no tunnel to ${JSON.stringify(authority)}`, () =>
      Effect.gen(function*() {
        const world = yield* transport({ allowedHosts: ["registry.npmjs.org"] })
        const answer = yield* plain(world.port, `CONNECT ${authority} HTTP/1.1\r\nHost: x\r\n\r\n`)
        assert.include([400, 403], statusOf(answer), answer)
        nothingLeft(world)
      }))
  }

  for (
    const host of ["gist.github.com", "ssh.github.com", "alive.github.com", "pipelines.actions.githubusercontent.com"]
  ) {
    it.live(`${host} is read and refused, never passed on unread`, () =>
      Effect.gen(function*() {
        // Also where a profile names it: an interception cannot be switched off.
        const world = yield* transport({ allowedHosts: ["*.github.com", "*.actions.githubusercontent.com"] })
        const answer = yield* tunnelled(world, `${host}:443`, get("/").replace("Host: github.com", `Host: ${host}`))
        assert.strictEqual(statusOf(answer), 403)
        assert.include(answer, `${host} is a name of GitHub that no sandbox uses`)
        nothingLeft(world)
      }))
  }

  it.live("letter case changes nothing", () =>
    Effect.gen(function*() {
      const world = yield* transport({ allowedHosts: ["*.github.com"] })
      const answer = yield* tunnelled(
        world,
        "GitHub.COM:443",
        get("/evil/repo.git/info/refs").replace("Host: github.com", "Host: GITHUB.com"),
        "gitHub.com"
      )
      assert.include(answer, "evil/repo is not a repository of this sandbox")
      nothingLeft(world)
    }))

  it.live("the name that TLS asks for must be that of the tunnel", () =>
    Effect.gen(function*() {
      const world = yield* transport()
      for (const name of ["api.github.com", "evil.com", "raw.githubusercontent.com"]) {
        assert.strictEqual(statusOf(yield* tunnelled(world, "github.com:443", get("/my-org/api/x"), name)), 0)
      }
      nothingLeft(world)
    }))

  it.live("tunnel, TLS and Host must agree, in every combination", () =>
    Effect.gen(function*() {
      const world = yield* transport()
      const names = ["github.com", "api.github.com", "codeload.github.com"]
      for (const tunnel of names) {
        for (const tls of names) {
          for (const host of names) {
            if (tunnel === tls && tls === host) continue
            const bytes = get("/repos/my-org/api", "Connection: close").replace("Host: github.com", `Host: ${host}`)
            assert.include([0, 400], statusOf(yield* tunnelled(world, `${tunnel}:443`, bytes, tls)))
          }
        }
      }
      nothingLeft(world)
    }))

  const hidden = [
    "127.0.0.1",
    "::1",
    "169.254.169.254",
    "10.1.2.3",
    "192.168.0.1",
    "172.16.0.1",
    "100.100.100.200",
    "fd00:ec2::254",
    "fe80::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "0.0.0.0",
    "224.0.0.1",
    "2002:a00:1::1"
  ]
  for (const address of hidden) {
    it.live(`a name that resolves to ${address} is not dialled, alone or beside a good one`, () =>
      Effect.gen(function*() {
        const world = yield* transport({ allowedHosts: ["inside.example.com"] })
        for (const addresses of [[address], ["140.82.112.3", address]]) {
          world.gitHub.addresses.set("inside.example.com", addresses)
          world.gitHub.addresses.set("github.com", addresses)
          const tunnel = yield* plain(world.port, "CONNECT inside.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
          assert.strictEqual(statusOf(tunnel), 403)
          const http = yield* plain(
            world.port,
            "GET http://inside.example.com:80/ HTTP/1.1\r\nHost: inside.example.com\r\nConnection: close\r\n\r\n"
          )
          assert.strictEqual(statusOf(http), 403)
          const git = yield* tunnelled(world, "github.com:443", get("/my-org/api/x", "Connection: close"))
          assert.strictEqual(statusOf(git), 503)
        }
        assert.deepStrictEqual(world.gitHub.dialled, [])
      }))
  }
})

describe("requests without a tunnel", () => {
  const cases: ReadonlyArray<readonly [name: string, bytes: string, status: number]> = [
    ["a host that is not named", "GET http://evil.com/ HTTP/1.1\r\nHost: evil.com\r\n\r\n", 403],
    ["GitHub", "GET http://github.com/my-org/api HTTP/1.1\r\nHost: github.com\r\n\r\n", 403],
    ["GitHub by address", "GET http://140.82.112.3/ HTTP/1.1\r\nHost: github.com\r\n\r\n", 400],
    ["an allowed host with another Host", "GET http://ok.example.com/ HTTP/1.1\r\nHost: evil.com\r\n\r\n", 400],
    [
      "an allowed host with two Hosts",
      "GET http://ok.example.com/ HTTP/1.1\r\nHost: ok.example.com\r\nHost: evil.com\r\n\r\n",
      400
    ],
    [
      "an allowed host before an @",
      "GET http://ok.example.com@evil.com/ HTTP/1.1\r\nHost: ok.example.com\r\n\r\n",
      400
    ],
    [
      "an allowed host and another port",
      "GET http://ok.example.com:22/ HTTP/1.1\r\nHost: ok.example.com:22\r\n\r\n",
      403
    ],
    ["another scheme", "GET ftp://ok.example.com/ HTTP/1.1\r\nHost: ok.example.com\r\n\r\n", 400],
    ["https in the open", "GET https://ok.example.com/ HTTP/1.1\r\nHost: ok.example.com\r\n\r\n", 400],
    ["the proxy itself", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400],
    ["another protocol", "GET http://ok.example.com/ HTTP/1.1\r\nHost: ok.example.com\r\nUpgrade: h2c\r\n\r\n", 400]
  ]
  for (const [name, bytes, status] of cases) {
    it.live(name, () =>
      Effect.gen(function*() {
        const world = yield* transport({ allowedHosts: ["ok.example.com"] })
        const answer = yield* plain(world.port, bytes)
        assert.strictEqual(statusOf(answer), status, answer)
        nothingLeft(world)
      }))
  }
})

describe("credentials", () => {
  it.live("whatever the agent sends for one is replaced by ours", () =>
    Effect.gen(function*() {
      const world = yield* transport()
      const bytes = get(
        "/repos/my-org/api",
        "Authorization: token ghp_of-the-attacker",
        "Cookie: user_session=x",
        "X-GitHub-Otp: 1",
        "X-HTTP-Method-Override: DELETE",
        "Proxy-Authorization: Basic eA==",
        "Connection: close"
      ).replace("Host: github.com", "Host: api.github.com")
      assert.strictEqual(statusOf(yield* tunnelled(world, "api.github.com:443", bytes)), 200)
      const [seen] = world.gitHub.requests
      assert.deepStrictEqual(Object.keys(seen?.headers ?? {}).toSorted(), [
        "authorization",
        "connection",
        "host",
        "user-agent"
      ])
      assert.strictEqual(seen?.headers.authorization, "Bearer ghs_memory_read_1")
    }))

  it.live("who comes by no door shows a credential of a run under way, or gets nowhere", () =>
    Effect.gen(function*() {
      const world = yield* transport({ allowedHosts: ["ok.example.com"] })
      for (const field of ["", basic("km:of-another-sandbox"), basic("km:"), "Proxy-Authorization: Bearer x\r\n"]) {
        for (const first of ["CONNECT github.com:443", "CONNECT ok.example.com:443", "GET http://ok.example.com/"]) {
          const answer = yield* plain(
            world.strangerPort,
            `${first} HTTP/1.1\r\nHost: ok.example.com\r\n${field}Connection: close\r\n\r\n`
          )
          assert.strictEqual(statusOf(answer), 407, answer)
        }
      }
      nothingLeft(world)
      // Who shows it is judged like the agent in its jail, whatever name stands beside it, and is known as that run.
      for (const first of ["CONNECT other.example.com:443", "GET http://other.example.com/"]) {
        for (const user of ["km", "t-9", ""]) {
          const answer = yield* plain(
            world.strangerPort,
            `${first} HTTP/1.1\r\nHost: other.example.com\r\n${
              basic(`${user}:${runCredential}`)
            }Connection: close\r\n\r\n`
          )
          assert.strictEqual(statusOf(answer), 403, answer)
        }
      }
      assert.deepStrictEqual(world.decisions.map(({ run }) => run?.turn), Array.from({ length: 6 }, () => "t-2"))
    }))
})
