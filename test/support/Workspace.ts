/**
 * A local workspace for a test, with a real Slack client for the bot and for each person, and a receiver that
 * verifies Slack's signatures on the bytes it got.
 */
import { ErrorCode, type Logger, LogLevel, WebClient } from "@slack/web-api"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as crypto from "node:crypto"
import * as http from "node:http"
import { isJson, type Json, objectOf, parseJson, textOf } from "../../km-cli/local/workspace/Json.ts"
import { start, type WorkspaceHandle } from "../../km-cli/local/workspace/Workspace.ts"
import type { WorkspaceError } from "../../km-cli/local/workspace/WorkspaceError.ts"
import type { WorkspaceInput } from "../../km-cli/local/workspace/WorkspaceOptions.ts"

/** Ada and Grace of the team, Eve of another one. */
export const cast: WorkspaceInput["users"] = [
  { name: "ada", realName: "Ada Lovelace", email: "ada@lab.test" },
  { name: "grace", realName: "Grace Hopper", email: "grace@lab.test" },
  { name: "eve", realName: "Eve Outside", email: "eve@elsewhere.test", external: true }
]

const quiet = () => undefined

/** Refusals are what tests look for; the client's own complaints about them would fill the report. */
const silentLogger: Logger = {
  debug: quiet,
  info: quiet,
  warn: quiet,
  error: quiet,
  setLevel: quiet,
  getLevel: () => LogLevel.ERROR,
  setName: quiet
}

/** A client that neither retries nor waits out rate limits: a test sees every answer. */
export const slackClient = (workspace: WorkspaceHandle, token: string): WebClient =>
  new WebClient(token, {
    slackApiUrl: workspace.apiUrl,
    retryConfig: { retries: 0 },
    rejectRateLimitedCalls: true,
    logger: silentLogger,
    allowAbsoluteUrls: true
  })

/** A workspace with limits off and quick retries; give `limits: {}` for Slack's own pace. */
export const testWorkspace = (
  input: Partial<WorkspaceInput> = {}
): Effect.Effect<WorkspaceHandle, WorkspaceError, Scope.Scope> =>
  start({ users: cast, limits: { tiers: false }, retryDelays: [0, 10, 20], ...input })

/** The token of a person of the cast. */
export const tokenOf = (workspace: WorkspaceHandle, name: string): string => {
  const person = workspace.people.get(name)
  if (person === undefined) throw new Error(`no person ${name} in this workspace`)
  return person.token
}

/** The user id of a person of the cast. */
export const userIdOf = (workspace: WorkspaceHandle, name: string): string => {
  const person = workspace.people.get(name)
  if (person === undefined) throw new Error(`no person ${name} in this workspace`)
  return person.userId
}

/** Slack's error code of a failed call; throws when the call succeeded or failed otherwise. */
export const errorOf = async (call: Promise<unknown>): Promise<string> => {
  try {
    await call
  } catch (error) {
    if (isJson(error) || error instanceof Error) {
      const fields: Json = { ...error }
      if (fields["code"] === ErrorCode.PlatformError) return textOf(objectOf(fields, "data"), "error") ?? "?"
      if (fields["code"] === ErrorCode.RateLimitedError) return `ratelimited ${String(fields["retryAfter"])}`
      if (fields["code"] === ErrorCode.HTTPError) return `http ${String(fields["statusCode"])}`
      if (fields["code"] === ErrorCode.RequestError) return "connection"
    }
    throw error
  }
  throw new Error("the call succeeded")
}

/** One delivery as it arrived. */
export interface Received {
  readonly body: Json
  readonly event: Json
  readonly raw: string
  readonly verified: boolean
  readonly retryNum: string | undefined
  readonly retryReason: string | undefined
}

/** How to answer a delivery. */
export interface Reaction {
  readonly status?: number
  readonly headers?: Record<string, string>
  /** Never answer. */
  readonly hang?: boolean
}

/** A receiver of events. */
export interface Receiver {
  readonly url: string
  /** All deliveries so far, in order of arrival. */
  readonly received: ReadonlyArray<Received>
  /** Decides how deliveries are answered from now on; default 200. */
  readonly answerWith: (decide: (delivery: Received) => Reaction) => void
  /** Waits until as many deliveries match. */
  readonly until: (count: number, matches: (delivery: Received) => boolean) => Promise<ReadonlyArray<Received>>
}

const accept = (): Reaction => ({})

/** Recomputes Slack's signature (docs.slack.dev/authentication/verifying-requests-from-slack). */
const verify = (secret: string, request: http.IncomingMessage, raw: Buffer): boolean => {
  const seconds = String(request.headers["x-slack-request-timestamp"])
  const expected = `v0=${
    crypto.createHmac("sha256", secret).update(`v0:${seconds}:${raw.toString("utf8")}`).digest("hex")
  }`
  const given = String(request.headers["x-slack-signature"])
  return Math.abs(Date.now() / 1000 - Number(seconds)) < 300 && given.length === expected.length &&
    crypto.timingSafeEqual(Buffer.from(given), Buffer.from(expected))
}

/** Starts a receiver that shakes hands and collects deliveries. */
export const startReceiver = (signingSecret: string): Effect.Effect<Receiver, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ receiver: Receiver; server: http.Server }>((resume) => {
      const received: Array<Received> = []
      const waiting = new Set<() => void>()
      let decide: (delivery: Received) => Reaction = accept
      const server = http.createServer((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk))
        request.on("end", () => {
          const raw = Buffer.concat(chunks)
          const parsed = parseJson(raw.toString("utf8"))
          const body = isJson(parsed) ? parsed : {}
          if (body["type"] === "url_verification") {
            response.end(verify(signingSecret, request, raw) ? textOf(body, "challenge") : "unsigned")
            return
          }
          const delivery: Received = {
            body,
            event: objectOf(body, "event"),
            raw: raw.toString("utf8"),
            verified: verify(signingSecret, request, raw),
            retryNum: request.headers["x-slack-retry-num"]?.toString(),
            retryReason: request.headers["x-slack-retry-reason"]?.toString()
          }
          received.push(delivery)
          const reaction = decide(delivery)
          if (reaction.hang !== true) {
            response.writeHead(reaction.status ?? 200, reaction.headers ?? {})
            response.end()
          }
          for (const look of waiting) look()
        })
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        const receiver: Receiver = {
          url: `http://127.0.0.1:${port}/events`,
          received,
          answerWith: (next) => {
            decide = next
          },
          until: (count, matches) =>
            new Promise((resolve) => {
              const look = () => {
                const found = received.filter(matches)
                if (found.length < count) return
                waiting.delete(look)
                resolve(found)
              }
              waiting.add(look)
              look()
            })
        }
        resume(Effect.succeed({ receiver, server }))
      })
    }),
    ({ server }) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  ).pipe(Effect.map(({ receiver }) => receiver))

/** A workspace with a receiver already listening to its events. */
export const testWorkspaceWithEvents = Effect.fn("testWorkspaceWithEvents")(
  function*(input: Partial<WorkspaceInput> = {}) {
    const workspace = yield* testWorkspace(input)
    const receiver = yield* startReceiver(workspace.signingSecret)
    yield* workspace.setEventsUrl(receiver.url)
    return { workspace, receiver, bot: slackClient(workspace, workspace.botToken) }
  }
)
