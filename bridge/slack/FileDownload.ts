/**
 * The bytes of a file that Slack holds, as a stream: with the bot's token, which goes to Slack's own hosts and to nobody
 * else. Slack answers a wrong token with its sign-in page (github.com/preset-io/agor/issues/1883), so who asks looks at
 * the type of what comes.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as http from "node:http"
import * as https from "node:https"
import * as v8 from "node:v8"
import * as vm from "node:vm"
import { BridgeSettings } from "../BridgeSettings.ts"
import { SlackFailure } from "./SlackErrors.ts"
import { SlackSecrets } from "./SlackSecrets.ts"

/** Milliseconds without any progress after which a transfer is given up. */
const idleMillis = 20_000

/** Redirects that are followed. Slack needs none or one. */
const maxRedirects = 2

/** Longest `Retry-After` that is believed, in seconds. */
const maxRetryAfterSeconds = 300

/** What came in place of the bytes. `foreign`: an address, of the file or of a redirect, that is not Slack's. */
export type Download = Data.TaggedEnum<{
  Bytes: {
    /** Lower case, without parameters; empty where none was named. */
    readonly type: string
    /** As announced; undefined where it was not. */
    readonly length: number | undefined
    readonly redirected: boolean
    readonly bytes: Stream.Stream<Uint8Array, SlackFailure>
  }
  Foreign: {}
  Refused: { readonly status: number }
}>
export const Download = Data.taggedEnum<Download>()

const failed = (error: string, kind: SlackFailure["kind"] = "Uncertain", seconds = 1) =>
  new SlackFailure({ method: "a file's address", kind, error, retryAfterMillis: seconds * 1_000 })

/** Slack's own, or where its API is for this install. */
export const holdsFiles = (address: string, slackApiUrl: string): URL | undefined => {
  const url = URL.parse(address)
  if (url === null || url.username !== "" || url.password !== "") return undefined
  if (url.origin === new URL(slackApiUrl).origin) return url
  const slacks = url.hostname === "slack.com" || url.hostname.endsWith(".slack.com")
  return url.protocol === "https:" && url.port === "" && slacks ? url : undefined
}

/** Bytes of a body after which what was read of it is let go. */
const collectEvery = 2 * 1024 * 1024

/** The collector of what is young, where the engine has one that can be called. */
const collector = (): () => void => {
  try {
    v8.setFlagsFromString("--expose-gc")
    const collect: unknown = vm.runInNewContext("gc")
    return typeof collect === "function" ? () => void collect({ type: "minor" }) : () => undefined
  } catch {
    return () => undefined
  }
}
let collect: (() => void) | undefined

/**
 * A body as it comes. Node reads a socket into new memory outside of its heap, 64 KiB a time, which hardly presses the
 * collector: a file of 100 MiB would take 45 of them at its peak (measured, Node 24).
 */
async function* bodyOf(response: http.IncomingMessage): AsyncGenerator<Uint8Array> {
  let read = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    yield chunk
    read += chunk.length
    if (read < collectEvery) continue
    read = 0
    collect ??= collector()
    collect()
  }
}

const opened = (url: URL, token: string): Effect.Effect<http.IncomingMessage, SlackFailure, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const answer = Promise.withResolvers<http.IncomingMessage>()
      // Looked at below; a failure after the answer is the stream's.
      answer.promise.catch(() => undefined)
      const { request: open } = url.protocol === "https:" ? https : http
      const request = open(url, {
        headers: { authorization: `Bearer ${token}`, "accept-encoding": "identity" },
        timeout: idleMillis
      }, answer.resolve)
      request.on("error", answer.reject)
      request.on("timeout", () => request.destroy(new Error("no progress")))
      request.end()
      return { answer: answer.promise, request }
    }),
    ({ request }) => Effect.sync(() => void request.destroy())
  ).pipe(
    Effect.flatMap(({ answer }) => Effect.tryPromise({ try: () => answer, catch: () => failed("no answer") }))
  )

const secondsOf = (header: string | undefined): number => {
  const seconds = Number(header ?? "1")
  return Number.isFinite(seconds) ? Math.min(Math.max(1, Math.ceil(seconds)), maxRetryAfterSeconds) : 1
}

export class FileDownload extends Context.Service<FileDownload, {
  /** Until the scope closes. Failures may pass: nothing is changed by asking. */
  readonly open: (address: string) => Effect.Effect<Download, SlackFailure, Scope.Scope>
}>()("km/bridge/slack/FileDownload") {
  static readonly layer = Layer.effect(
    FileDownload,
    Effect.gen(function*() {
      const { slackApiUrl } = yield* BridgeSettings
      const secrets = yield* SlackSecrets
      return FileDownload.of({
        open: Effect.fn("FileDownload.open")(function*(address) {
          const stored = yield* Effect.mapError(secrets.botToken, (error) => failed(error.message, "Unready", 5))
          if (Option.isNone(stored)) return yield* failed("no bot token is stored", "Unready", 5)
          const token = Redacted.value(stored.value)
          let next = address
          for (let redirects = 0; redirects <= maxRedirects; redirects++) {
            const url = holdsFiles(next, slackApiUrl)
            if (url === undefined) return Download.Foreign()
            const response = yield* opened(url, token)
            const status = response.statusCode ?? 0
            const { location } = response.headers
            if (status >= 300 && status < 400 && location !== undefined) {
              response.destroy()
              next = URL.parse(location, url.href)?.href ?? ""
              continue
            }
            if (status === 429) {
              return yield* failed("ratelimited", "RateLimited", secondsOf(response.headers["retry-after"]))
            }
            if (status >= 500 || status < 200) return yield* failed(`HTTP ${status}`)
            if (status !== 200) return Download.Refused({ status })
            const length = Number(response.headers["content-length"] ?? Number.NaN)
            return Download.Bytes({
              type: (response.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? "",
              length: Number.isSafeInteger(length) ? length : undefined,
              redirected: redirects > 0,
              bytes: Stream.fromAsyncIterable(bodyOf(response), () => failed("the connection broke"))
            })
          }
          return Download.Refused({ status: 310 })
        })
      })
    })
  )
}
