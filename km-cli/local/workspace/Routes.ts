/**
 * Which address leads where.
 */
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { control } from "./Control.ts"
import { apiCall, download, type FrontParts, upload } from "./Front.ts"
import { inspector } from "./Inspector.ts"

const notFound = HttpServerResponse.text("Not found. The Web API is under /api/, the inspector at /.\n", {
  status: 404
})

/**
 * Only these names may be used for this server: a web page that points a name of its own at 127.0.0.1 gets nothing.
 */
const isLocal = (host: string | undefined): boolean => /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(host ?? "")

/** The whole application. */
export const routes = (parts: FrontParts, controlToken: string) => {
  const api = apiCall(parts)
  const put = upload(parts)
  const get = download(parts)
  const steer = control(parts, controlToken)
  const show = inspector(parts)
  return Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    if (!isLocal(request.headers["host"])) return notFound
    const url = URL.parse(request.url, "http://127.0.0.1")
    if (url === null) return notFound
    const path = url.pathname
    const method = /^\/api\/([A-Za-z0-9._]+)$/.exec(path)?.[1]
    if (method !== undefined) return yield* api(method, url.search.slice(1))
    if (request.method === "POST" && /^\/upload\/v1\/[A-Z0-9]+$/.test(path)) return yield* put(path)
    if (path.startsWith("/files-pri/")) return yield* get(path + url.search)
    if (path.startsWith("/_km/")) return yield* steer(path.slice("/_km/".length), url.searchParams)
    if (request.method === "GET") return yield* show(path)
    return notFound
  }).pipe(
    Effect.catch((error) =>
      Effect.as(Effect.logError("workspace request failed", error), HttpServerResponse.empty({ status: 500 }))
    ),
    // Handlers start uninterruptible; one that hangs on purpose must end with its caller, or with the workspace.
    Effect.interruptible
  )
}
