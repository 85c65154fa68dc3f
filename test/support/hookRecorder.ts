/** A hook listener that answers `{}` at once and remembers what came, and the settings that point every hook at it. */
import * as Effect from "effect/Effect"
import * as Http from "node:http"

/** Every hook that the CLI calls over http. */
export const httpHookEvents = [
  "UserPromptSubmit",
  "MessageDisplay",
  "PreToolUse",
  "PostToolUse",
  "PostToolUseFailure",
  "PostToolBatch",
  "SubagentStart",
  "SubagentStop",
  "Stop",
  "StopFailure",
  "SessionEnd",
  "SessionStart"
] as const

export interface HookCall {
  readonly event: string
  readonly body: Readonly<Record<string, unknown>>
}

export interface HookRecorderOptions {
  /** What is done instead of answering `{}`. */
  readonly answer?: (response: Http.ServerResponse, event: string) => void
}

/** Settings that point every hook at this origin. */
export const hooksTo = (origin: string) => ({
  hooks: Object.fromEntries(
    httpHookEvents.map((event) => [event, [{ hooks: [{ type: "http", url: `${origin}/${event}`, timeout: 3 }] }]])
  )
})

/** Listens on loopback as long as the scope lives. */
export const makeHookRecorder = Effect.fnUntraced(function*(options: HookRecorderOptions = {}) {
  const calls: Array<HookCall> = []
  const server = yield* Effect.acquireRelease(
    Effect.callback<Http.Server>((resume) => {
      const listening = Http.createServer((request, response) => {
        let text = ""
        request.on("data", (chunk: Buffer) => {
          text += chunk.toString("utf8")
        })
        request.on("end", () => {
          const event = (request.url ?? "/").slice(1)
          if (request.method === "POST") calls.push({ event, body: JSON.parse(text) })
          if (options.answer !== undefined) return options.answer(response, event)
          response.writeHead(200, { "content-type": "application/json" })
          response.end("{}")
        })
      })
      listening.listen(0, "127.0.0.1", () => resume(Effect.succeed(listening)))
    }),
    (listening) =>
      Effect.callback<void>((resume) => {
        listening.close(() => resume(Effect.void))
        listening.closeAllConnections()
      })
  )
  const address = server.address()
  const url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
  return {
    url,
    settings: hooksTo(url),
    calls: Effect.sync((): ReadonlyArray<HookCall> => [...calls])
  }
})

/** The recorder with nothing special. */
export const hookRecorder = makeHookRecorder()
