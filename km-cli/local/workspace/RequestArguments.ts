/**
 * Reading a Web API request: which method, which token, which arguments, however they were sent.
 */
import * as Effect from "effect/Effect"
import { isJson, type Json, parseJson, textOf, without } from "./Json.ts"
import { refusal, type SlackRefusal } from "./WorkspaceError.ts"

/** What the request says, not yet believed. */
export interface RawCall {
  readonly token: string | undefined
  /** The token came in the `Authorization` header. */
  readonly inHeader: boolean
  readonly args: Json
  /** Warnings about the encoding, as Slack gives them. */
  readonly warnings: ReadonlyArray<string>
}

/**
 * Methods that do not read JSON bodies: "users.lookupByEmail, conversations.info, files.info reject JSON bodies,
 * chat.getPermalink must be GET", as others found by failure. The permalink is taken by form too.
 */
const formOnly = new Set(["users.lookupByEmail", "users.info", "conversations.info", "files.info", "chat.getPermalink"])

const fromForm = (text: string): Json => Object.fromEntries(new URLSearchParams(text))

const fromMultipart = (contentType: string, body: Uint8Array<ArrayBuffer>): Effect.Effect<Json, SlackRefusal> =>
  Effect.tryPromise({
    try: () => new Response(body, { headers: { "content-type": contentType } }).formData(),
    catch: () => refusal("invalid_form_data")
  }).pipe(
    Effect.map((form) =>
      Object.fromEntries([...form].flatMap(([key, value]) => typeof value === "string" ? [[key, value]] : []))
    )
  )

const bearer = (header: string | undefined): string | undefined => {
  const match = /^Bearer\s+(\S+)\s*$/i.exec(header ?? "")
  return match?.[1]
}

/**
 * Forms, multipart, JSON and query strings, as docs.slack.dev/apis/web-api describes: a token comes in the
 * `Authorization` header or as a form field, never inside JSON; a JSON body that is none is `invalid_json`, another
 * content type `invalid_post_type`, JSON without charset is warned of (`missing_charset`).
 */
export const readArguments = Effect.fnUntraced(function*(request: {
  readonly verb: string
  readonly method: string
  readonly query: string
  readonly authorization: string | undefined
  readonly contentType: string | undefined
  readonly body: Uint8Array<ArrayBuffer>
}): Effect.fn.Return<RawCall, SlackRefusal> {
  const header = bearer(request.authorization)
  const inHeader = header !== undefined
  const query = fromForm(request.query)
  if (request.verb === "GET" || request.body.byteLength === 0) {
    return { inHeader, token: header ?? textOf(query, "token"), args: without(query, ["token"]), warnings: [] }
  }
  const contentType = request.contentType ?? ""
  const kind = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? ""
  if (kind === "multipart/form-data") {
    const form = yield* fromMultipart(contentType, request.body)
    return {
      inHeader,
      token: header ?? textOf(form, "token"),
      args: without({ ...query, ...form }, ["token"]),
      warnings: []
    }
  }
  const text = new TextDecoder().decode(request.body)
  if (kind === "application/x-www-form-urlencoded") {
    const form = fromForm(text)
    return {
      inHeader,
      token: header ?? textOf(form, "token"),
      args: without({ ...query, ...form }, ["token"]),
      warnings: []
    }
  }
  if (kind === "application/json") {
    const parsed = parseJson(text)
    if (parsed === undefined) return yield* refusal("invalid_json")
    if (!isJson(parsed)) return yield* refusal("json_not_object")
    return {
      inHeader,
      token: header,
      args: formOnly.has(request.method) ? query : without({ ...query, ...parsed }, ["token"]),
      warnings: /charset=/i.test(contentType) ? [] : ["missing_charset"]
    }
  }
  return yield* refusal("invalid_post_type")
})
