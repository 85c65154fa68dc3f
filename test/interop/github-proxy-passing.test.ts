/** What passes beside git's own requests: tunnels, plain HTTP, downloads by signed addresses, LFS. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { decodeLfsAnswer, makeDownloads, openLfs } from "../../plugins/github-proxy/request/Downloads.ts"
import { proxyWorld } from "../plugins/github-proxy/proxyWorld.ts"
import { plain, statusOf } from "../plugins/github-proxy/rawClient.ts"

const signed = "https://objects.githubusercontent.com/release/1?X-Amz-Signature=abc&x=%2F"

describe("hosts that the profile names", () => {
  it.live("are reached by a tunnel that is not read, at the address that was judged", () =>
    Effect.gen(function*() {
      const world = yield* proxyWorld({ allowedHosts: ["*.example.com", "build.example.com:8443"] })
      world.gitHub.intercept = (_, request, response) => {
        request.resume()
        response.end(`said ${request.headers.authorization}`)
        return true
      }
      for (const host of ["a.example.com", "b.a.example.com", "build.example.com:8443"]) {
        const { stdout, stderr } = yield* world.run([
          "curl",
          "-sSk",
          "-H",
          "Authorization: the agent's own",
          `https://${host}/x`
        ])
        assert.strictEqual(stdout, "said the agent's own", stderr)
      }
      const { stderr } = yield* world.run(["curl", "-sS", "https://example.com/"])
      assert.include(stderr, "403")
      assert.deepStrictEqual(world.gitHub.dialled, ["140.82.112.3:443", "140.82.112.3:443", "140.82.112.3:8443"])
    }))

  it.live("are reached by http, without what was for the proxy, and a tunnel's end ends both sides", () =>
    Effect.gen(function*() {
      const world = yield* proxyWorld({ allowedHosts: ["a.example.com"], outside: (outside) => outside })
      const answer = yield* plain(
        world.port,
        "GET http://a.example.com/x?y HTTP/1.1\r\nHost: a.example.com\r\nProxy-Authorization: Basic eA==\r\nConnection: close\r\n\r\n"
      )
      // The double speaks TLS only: what matters is that it was dialled, once, and that the client hears of it.
      assert.include([400, 503], statusOf(answer), answer)
      assert.deepStrictEqual(world.gitHub.dialled, ["140.82.112.3:80"])
    }))
})

describe("addresses that GitHub signs", () => {
  it.live("open by an allowed answer, for that address alone, without any token", () =>
    Effect.gen(function*() {
      const world = yield* proxyWorld()
      world.gitHub.intercept = ({ host, url }, request, response) => {
        request.resume()
        if (host === "objects.githubusercontent.com") response.end("the file")
        else if (url.startsWith("/my-org/api/releases/download/")) response.writeHead(302, { location: signed }).end()
        else return false
        return true
      }
      const fetch = (url: string) => world.run(["curl", "-sS", "-w", "|%{http_code}", url])
      assert.include((yield* fetch(signed)).stdout, "|403")
      const asked = yield* fetch("https://github.com/my-org/api/releases/download/v1/file")
      assert.include(asked.stdout, "|302")
      assert.strictEqual((yield* fetch(signed)).stdout, "the file|200")
      for (
        const other of [
          `${signed}&y=1`,
          signed.replace("1?", "2?"),
          signed.replace("%2F", "/"),
          signed.replace("objects.", "release-assets.")
        ]
      ) {
        assert.include((yield* fetch(other)).stdout, "|403")
      }
      assert.include(
        (yield* world.run(["curl", "-sS", "-X", "PUT", "-d", "x", "-w", "|%{http_code}", signed])).stdout,
        "|403"
      )
      const toStore = world.gitHub.requests.filter(({ host }) => host === "objects.githubusercontent.com")
      assert.deepStrictEqual(toStore.map(({ headers, url }) => [url, headers.authorization]), [
        ["/release/1?X-Amz-Signature=abc&x=%2F", undefined]
      ])
    }))

  it.live("elsewhere open nothing: a redirect to another host stays closed", () =>
    Effect.gen(function*() {
      const world = yield* proxyWorld()
      world.gitHub.intercept = (_, request, response) => {
        request.resume()
        response.writeHead(302, { location: "https://evil.example.com/x" }).end()
        return true
      }
      const { stdout } = yield* world.run([
        "curl",
        "-sSL",
        "-w",
        "|%{http_connect}",
        "https://github.com/my-org/api/releases/download/v1/file"
      ])
      assert.include(stdout, "|403")
      assert.deepStrictEqual(world.gitHub.resolved, ["github.com"])
    }))

  it("close by time, and the oldest make room", () => {
    let at = 0
    const downloads = makeDownloads(() => at)
    downloads.open(signed, "GET")
    const target = signed.slice("https://objects.githubusercontent.com".length)
    const find = (method = "GET") => downloads.find(method, "objects.githubusercontent.com", target)
    assert.isDefined(find())
    assert.isDefined(find("HEAD"))
    assert.isUndefined(find("PUT"))
    at = 299_999
    assert.isDefined(find())
    at = 300_000
    assert.isUndefined(find())
    downloads.open(signed, "GET", { millis: 100 * 3_600_000 })
    at += 3_600_000
    assert.isUndefined(find())
    downloads.open(signed, "GET")
    for (let index = 0; index < 4_096; index++) downloads.open(`https://objects.githubusercontent.com/${index}`, "GET")
    assert.isUndefined(find())
    for (
      const url of ["http://objects.githubusercontent.com/x", "https://objects.githubusercontent.com:8443/x", "nothing"]
    ) {
      downloads.open(url, "GET")
    }
    assert.isUndefined(downloads.find("GET", "objects.githubusercontent.com", "/x"))
  })

  it("of LFS open with the fields of their signature and no others", () => {
    const downloads = makeDownloads(() => 0)
    const answer = decodeLfsAnswer(JSON.stringify({
      transfer: "basic",
      objects: [
        {
          oid: "a",
          size: 1,
          actions: {
            upload: {
              href: "https://github-cloud.s3.amazonaws.com/a",
              header: { Authorization: "AWS4-HMAC-SHA256 x", "x-amz-date": "1", Cookie: "no", Host: "evil" },
              expires_in: 60
            }
          }
        },
        { oid: "b", size: 1, error: { code: 404, message: "no" } }
      ]
    }))
    assert.strictEqual(answer._tag, "Some")
    if (answer._tag === "Some") openLfs(downloads, answer.value)
    assert.deepStrictEqual(downloads.find("PUT", "github-cloud.s3.amazonaws.com", "/a"), {
      Authorization: "AWS4-HMAC-SHA256 x",
      "x-amz-date": "1"
    })
    assert.isUndefined(downloads.find("GET", "github-cloud.s3.amazonaws.com", "/a"))
  })
})

describe("the API", () => {
  it.live("answers with a message where the proxy refuses", () =>
    Effect.gen(function*() {
      const world = yield* proxyWorld()
      const good = yield* world.run(["curl", "-sS", "https://api.github.com/repos/my-org/api"])
      assert.strictEqual(good.stdout, "{\"full_name\":\"my-org/api\"}")
      const bad = yield* world.run(["curl", "-sS", "https://api.github.com/repos/evil/repo"])
      assert.match(bad.stdout, /^\{"message":"km: refused: evil\/repo is not a repository of this sandbox/)
    }))
})
