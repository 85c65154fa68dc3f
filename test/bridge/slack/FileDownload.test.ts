import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { BridgeSettings } from "../../../bridge/BridgeSettings.ts"
import { FileDownload, holdsFiles } from "../../../bridge/slack/FileDownload.ts"
import { SlackSecrets } from "../../../bridge/slack/SlackSecrets.ts"
import * as MemorySecrets from "../../../runtime/ports/memory/MemorySecrets.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { certifier, host, install } from "../world.ts"

interface Heard {
  readonly path: string
  readonly authorization: string | undefined
}

/** A server on loopback, and who asked it what. */
const serving = (answer: (path: string, response: http.ServerResponse) => void) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly heard: Array<Heard>; readonly server: http.Server }>((resume) => {
      const heard: Array<Heard> = []
      const server = http.createServer((request, response) => {
        heard.push({ path: request.url ?? "", authorization: request.headers.authorization })
        answer(request.url ?? "", response)
      })
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, heard, server }))
      })
    }),
    ({ server }) => Effect.sync(() => void (server.close(), server.closeAllConnections()))
  )

const over = (url: string) =>
  FileDownload.layer.pipe(
    Layer.provideMerge(SlackSecrets.layer),
    Layer.provideMerge(MemorySecrets.layer),
    Layer.provideMerge(BridgeSettings.layer({
      install,
      host,
      certifierPublicKey: certifier.publicKey,
      slackApiUrl: `${url}/api/`,
      operators: new Set(),
      rateScale: 1
    }))
  )

/** What came of an address: its bytes, or what came in their place. */
const fetched = (url: string, path: string, token = "xoxb-of-a-test") =>
  Effect.gen(function*() {
    if (token !== "") yield* (yield* Secrets).put("slack/bot-token", Redacted.make(token))
    const answer = yield* (yield* FileDownload).open(path.startsWith("/") ? url + path : path)
    if (answer._tag !== "Bytes") return answer
    const chunks = yield* Stream.runCollect(answer.bytes)
    return { ...answer, bytes: Buffer.concat(chunks).toString() }
  }).pipe(Effect.scoped, Effect.provide(over(url)))

const answers: Readonly<Record<string, (response: http.ServerResponse) => void>> = {
  "/plain": (response) => response.writeHead(200, { "content-type": "Text/Plain; charset=utf-8" }).end("seven words"),
  "/once": (response) => response.writeHead(302, { location: "/plain" }).end(),
  "/twice": (response) => response.writeHead(307, { location: "/once" }).end(),
  "/thrice": (response) => response.writeHead(302, { location: "/twice" }).end(),
  "/nowhere": (response) => response.writeHead(302, { location: "http://" }).end(),
  "/pathless": (response) => response.writeHead(302).end(),
  "/gone": (response) => response.writeHead(404).end("no"),
  "/slow": (response) => response.writeHead(429, { "retry-after": "7" }).end(),
  "/broken": (response) => response.writeHead(503).end(),
  "/cut": (response) => {
    response.writeHead(200, { "content-length": 100 })
    response.write("half", () => response.destroy())
  },
  "/unanswered": (response) => response.destroy()
}

describe("FileDownload", () => {
  it.live("brings the bytes with the bot's token, through two redirects", () =>
    Effect.gen(function*() {
      const { heard, url } = yield* serving((path, response) => answers[path]?.(response))
      const plain = yield* fetched(url, "/plain")
      assert.deepStrictEqual(plain, {
        _tag: "Bytes",
        type: "text/plain",
        length: undefined,
        redirected: false,
        bytes: "seven words"
      })
      for (const path of ["/once", "/twice"]) {
        const answer = yield* fetched(url, path)
        assert.deepInclude(answer, { redirected: true, bytes: "seven words" }, path)
      }
      assert.deepStrictEqual(yield* fetched(url, "/thrice"), { _tag: "Refused", status: 310 })
      assert.deepStrictEqual(yield* fetched(url, "/nowhere"), { _tag: "Foreign" })
      assert.deepStrictEqual(yield* fetched(url, "/pathless"), { _tag: "Refused", status: 302 })
      assert.deepStrictEqual(yield* fetched(url, "/gone"), { _tag: "Refused", status: 404 })
      assert.isTrue(heard.every(({ authorization }) => authorization === "Bearer xoxb-of-a-test"))
    }))

  it.live("gives the token to no other host, whoever leads there", () =>
    Effect.gen(function*() {
      const other = yield* serving((_, response) => response.end("thank you"))
      const slack = yield* serving((_, response) => response.writeHead(302, { location: other.url }).end())
      assert.deepStrictEqual(yield* fetched(slack.url, "/x"), { _tag: "Foreign" })
      assert.deepStrictEqual(yield* fetched(slack.url, `${other.url}/direct`), { _tag: "Foreign" })
      assert.lengthOf(slack.heard, 1)
      assert.deepStrictEqual(other.heard, [])
    }))

  it.live("tells what may pass from what does not", () =>
    Effect.gen(function*() {
      const { url } = yield* serving((path, response) => answers[path]?.(response))
      const failureOf = (path: string, token?: string) =>
        Effect.map(
          Effect.flip(fetched(url, path, token)),
          (failure) => failure._tag === "SlackFailure" ? [failure.kind, failure.retryAfterMillis] : [failure.message]
        )
      assert.deepStrictEqual(yield* failureOf("/slow"), ["RateLimited", 7_000])
      assert.deepStrictEqual(yield* failureOf("/broken"), ["Uncertain", 1_000])
      assert.deepStrictEqual(yield* failureOf("/cut"), ["Uncertain", 1_000])
      assert.deepStrictEqual(yield* failureOf("/unanswered"), ["Uncertain", 1_000])
      assert.deepStrictEqual(yield* failureOf("/plain", ""), ["Unready", 5_000])
    }))

  it("believes Slack's own hosts by https, and the host of its API", () => {
    const api = "http://127.0.0.1:7000/api/"
    const good = [
      "https://files.slack.com/files-pri/T1-F1/download/a.png",
      "https://slack.com/x",
      "https://lab.enterprise.slack.com/files/x",
      "http://127.0.0.1:7000/files-pri/T1-F1/a.png"
    ]
    const bad = [
      "http://files.slack.com/x",
      "https://files.slack.com:8443/x",
      "https://files.slack.com.example.com/x",
      "https://notslack.com/x",
      "https://someone@files.slack.com/x",
      "http://127.0.0.1:7001/x",
      "http://localhost:7000/x",
      "file:///etc/passwd",
      "//files.slack.com/x",
      ""
    ]
    for (const url of good) assert.isDefined(holdsFiles(url, api), url)
    for (const url of bad) assert.isUndefined(holdsFiles(url, api), url)
  })
})
