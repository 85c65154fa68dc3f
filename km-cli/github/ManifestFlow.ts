/**
 * The operator's browser goes to GitHub with a manifest and comes back with a code: a server on loopback for as long as that
 * takes. Only a callback with our own state is believed, once; everything else is answered and waited past.
 */
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { randomBytes, timingSafeEqual } from "node:crypto"
import * as http from "node:http"
import type { Permissions } from "../../runtime/domain/github/Permissions.ts"
import { manifestOf, messagePage, pageHeaders, registrationUrl, startPage } from "./manifest.ts"

/** The server could not be opened. */
export class FlowFailed extends Data.TaggedError("FlowFailed")<{ readonly message: string }> {}

export interface FlowOptions {
  /** GitHub's pages, without a trailing slash. */
  readonly web: string
  readonly organization: string | undefined
  readonly name: string
  readonly permissions: Permissions
  readonly public: boolean
  /** On 127.0.0.1; 0 for a free one. */
  readonly port: number
}

export interface Flow {
  /** What the browser has to open; nobody else can guess it. */
  readonly startUrl: string
  readonly port: number
  /** The code of the first callback with our state. */
  readonly code: Effect.Effect<string>
}

const isSame = (a: string, b: string): boolean => {
  const [one, two] = [Buffer.from(a), Buffer.from(b)]
  return one.length === two.length && timingSafeEqual(one, two)
}

/** A code as GitHub makes them; anything else is not worth a request. */
const codePattern = /^[A-Za-z0-9_-]{1,200}$/u

/** Serves for the life of the scope. */
export const openFlow = Effect.fn("ManifestFlow.open")(function*(options: FlowOptions) {
  const state = randomBytes(32).toString("base64url")
  const path = `/start/${randomBytes(16).toString("base64url")}`
  const came = yield* Deferred.make<string>()
  const server = http.createServer()
  const port = yield* Effect.acquireRelease(
    Effect.callback<number, FlowFailed>((resume) => {
      server.once("error", (error) => resume(Effect.fail(new FlowFailed({ message: error.message }))))
      server.listen(options.port, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : options.port))
      })
    }),
    () =>
      Effect.sync(() => {
        server.close()
        server.closeAllConnections()
      })
  )
  const origin = `http://127.0.0.1:${port}`
  const target = registrationUrl(options.web, options.organization, state)
  const manifest = manifestOf({ ...options, redirectUrl: `${origin}/callback` })
  server.on("request", (request: http.IncomingMessage, response: http.ServerResponse) => {
    const nonce = randomBytes(16).toString("base64url")
    const say = (status: number, body: string) => {
      response.writeHead(status, pageHeaders(target, nonce)).end(body)
    }
    // A page that points a name of its own at 127.0.0.1 gets nothing.
    if (request.headers.host !== `127.0.0.1:${port}` || request.method !== "GET") {
      return say(404, messagePage("Not found."))
    }
    const url = URL.parse(request.url ?? "/", origin)
    if (url?.pathname === path) return say(200, startPage(target, manifest, nonce))
    if (url?.pathname !== "/callback") return say(404, messagePage("Not found."))
    const [code = "", given = ""] = [url.searchParams.get("code") ?? "", url.searchParams.get("state") ?? ""]
    if (!isSame(given, state) || !codePattern.test(code)) {
      return say(400, messagePage("This did not come from the App that km asked for. Nothing was taken over."))
    }
    if (!Deferred.doneUnsafe(came, Effect.succeed(code))) return say(410, messagePage("This was used already."))
    return say(200, messagePage("The App is made. Go on in the terminal."))
  })
  return { startUrl: origin + path, port, code: Deferred.await(came) } satisfies Flow
})
