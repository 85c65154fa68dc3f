/**
 * The front: the HTTP application that clients meet. It knows tokens, limits and faults, lets methods run to their
 * end whatever the client does, and opens the gate for events when the answer is out.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as ByteSize from "effect/ByteSize"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Stream from "effect/Stream"
import type { Method } from "./Call.ts"
import type { CallLog } from "./CallLog.ts"
import type { Clicking } from "./Clicks.ts"
import type { ApiFault, Faults } from "./Faults.ts"
import { slackId } from "./Identifiers.ts"
import { type Json, objectOf, textOf, textsOf } from "./Json.ts"
import type { RateTiers } from "./RateTiers.ts"
import { type RawCall, readArguments } from "./RequestArguments.ts"
import type { Caller } from "./TokenTable.ts"
import { type EmulatorFailure, refusal, SlackRefusal } from "./WorkspaceError.ts"
import { requireScope, type WorkspaceState } from "./WorkspaceState.ts"

/** Bodies of Web API calls beyond this are refused. Slack's own cap is not documented. */
const maxApiBytes = ByteSize.mebibytes(4)

/** Uploads are held in memory by the emulator, so the 1 GB that Slack allows is cut down. */
const maxUploadBytes = ByteSize.mebibytes(256)

/** What the front is made of. */
export interface FrontParts {
  readonly state: WorkspaceState
  readonly clicking: Clicking
  readonly methods: ReadonlyMap<string, Method>
  readonly faults: Faults
  readonly tiers: RateTiers
  readonly calls: CallLog
}

type Request = HttpServerRequest.HttpServerRequest

const readBody = (request: Request, max: ByteSize.ByteSize) =>
  request.arrayBuffer.pipe(
    Effect.map((buffer) => new Uint8Array(buffer)),
    Effect.provideService(HttpIncomingMessage.MaxBodySize, max)
  )

/** Closes the connection without a word and never answers. */
const hangUp = (request: Request): Effect.Effect<never> =>
  Effect.suspend(() => {
    NodeHttpServerRequest.toIncomingMessage(request).socket.destroy()
    return Effect.never
  })

/** The head of an answer with all of its length, half of its bytes, and the end of the connection. */
const breakOff = (body: Uint8Array): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.stream(
    Stream.concat(Stream.make(body.subarray(0, Math.ceil(body.length / 2))), Stream.fail("cut off on purpose")),
    { contentLength: body.length }
  )

/** Opens the gate when the response has left, or the client is gone. */
const openWhenAnswered = (request: Request, answered: Deferred.Deferred<void>): Effect.Effect<void> => {
  const open = () => {
    Deferred.doneUnsafe(answered, Effect.void)
  }
  return Effect.sync(() => {
    const response = NodeHttpServerRequest.toServerResponse(request)
    response.once("finish", open)
    response.once("close", open)
  })
}

interface Outcome {
  readonly status: number
  readonly body: Json
  readonly headers: Record<string, string>
}

const refused = (error: SlackRefusal): Outcome => ({
  status: 200,
  body: { ok: false, error: error.code, ...error.extra },
  headers: {}
})

const limited = (seconds: number): Outcome => ({
  status: 429,
  body: { ok: false, error: "ratelimited" },
  headers: { "retry-after": String(seconds) }
})

const broken: Outcome = { status: 500, body: { ok: false, error: "internal_error" }, headers: {} }

const withWarnings = (body: Json, warnings: ReadonlyArray<string>): Json => {
  if (warnings.length === 0) return body
  const metadata = objectOf(body, "response_metadata")
  const all = [...textsOf(metadata, "warnings"), ...warnings]
  return { ...body, warning: all.join(","), response_metadata: { ...metadata, warnings: all } }
}

const unshared = (answer: Json): Json => ({
  ...answer,
  file: { ...objectOf(answer, "file"), shares: {}, channels: [], groups: [] }
})

/** The fault before the work: an outcome, or undefined to go on. */
const before = Effect.fnUntraced(function*(
  request: Request,
  fault: ApiFault | undefined
): Effect.fn.Return<Outcome | undefined> {
  if (fault === undefined) return undefined
  if (fault.kind === "delay") yield* Effect.sleep(fault.millis)
  if (fault.kind === "drop-before") return yield* hangUp(request)
  if (fault.kind === "rate-limit") return limited(fault.retryAfterSeconds)
  if (fault.kind === "server-error") return broken
  if (fault.kind === "refuse") return refused(refusal(fault.error))
  return undefined
})

/** Everything after the arguments are read: token, fault, limits, scopes, the method itself. */
const handle = Effect.fnUntraced(function*(
  parts: FrontParts,
  request: Request,
  name: string,
  raw: RawCall,
  found: { caller?: Caller; fault?: string }
): Effect.fn.Return<Outcome, SlackRefusal | EmulatorFailure> {
  const method = parts.methods.get(name)
  if (method === undefined) return yield* refusal("unknown_method", { req_method: name })
  if (raw.token === undefined) return yield* refusal("not_authed")
  const caller = parts.state.tokens.find(raw.token)
  if (caller === undefined) {
    return yield* refusal(parts.state.tokens.isRevoked(raw.token) ? "token_revoked" : "invalid_auth")
  }
  found.caller = caller
  if (method.appLevel === true ? caller.kind !== "app" : caller.kind === "app") {
    return yield* refusal("not_allowed_token_type")
  }
  // "Passing it as a POST parameter will result in an error" (docs.slack.dev/reference/methods/apps.connections.open);
  // which error is assumed.
  if (method.appLevel === true && !raw.inHeader) return yield* refusal("not_authed")
  const channel = textOf(raw.args, "channel") ?? textOf(raw.args, "channel_id")
  const fault = parts.faults.forCall(name, channel)
  if (fault !== undefined) found.fault = fault.kind
  const early = yield* before(request, fault)
  if (early !== undefined) return early
  const wait = parts.tiers.check(caller.userId, name, method.tier, channel)
  if (wait > 0) return limited(wait)
  yield* requireScope(caller, method.scopes)
  const answered = Deferred.makeUnsafe<void>()
  yield* openWhenAnswered(request, answered)
  // A caller who hangs up does not undo what Slack has begun.
  const answer = yield* Effect.uninterruptible(method.run({ method: name, caller, args: raw.args, answered }))
  if (fault?.kind === "hang-after" || fault?.kind === "drop-after") {
    Deferred.doneUnsafe(answered, Effect.void)
    return yield* fault.kind === "drop-after" ? hangUp(request) : Effect.never
  }
  const seen = fault?.kind === "unshared" ? unshared(answer) : answer
  return { status: 200, body: withWarnings({ ok: true, ...seen }, raw.warnings), headers: {} }
})

/** `/api/{method}`, by POST or GET. */
export const apiCall = (parts: FrontParts) =>
  Effect.fnUntraced(function*(name: string, query: string) {
    const request = yield* HttpServerRequest.HttpServerRequest
    const { state } = parts
    const started = performance.now()
    const found: { caller?: Caller; fault?: string; channel?: string } = {}
    const finish = (outcome: Pick<Outcome, "status" | "body">) =>
      Effect.sync(() => {
        const millis = performance.now() - started
        const logged = parts.calls.add({
          at: state.now(),
          method: name,
          tokenKind: found.caller?.kind ?? "none",
          userId: found.caller?.userId,
          channel: found.channel,
          ok: outcome.body["ok"] === true,
          error: textOf(outcome.body, "error"),
          status: outcome.status,
          millis,
          fault: found.fault
        })
        state.watch.tell("call", {}, { ...logged })
        return millis
      })
    const work = Effect.gen(function*() {
      const body = yield* readBody(request, maxApiBytes)
      const raw = yield* readArguments({
        verb: request.method,
        method: name,
        query,
        authorization: request.headers["authorization"],
        contentType: request.headers["content-type"],
        body
      })
      const channel = textOf(raw.args, "channel") ?? textOf(raw.args, "channel_id")
      if (channel !== undefined) found.channel = channel
      return yield* handle(parts, request, name, raw, found)
    }).pipe(
      Effect.catchTags({
        SlackRefusal: (error) => Effect.succeed(refused(error)),
        EmulatorFailure: (error) => Effect.as(Effect.logError("workspace call failed", error.message), broken),
        HttpServerError: () => Effect.succeed(refused(refusal("request_too_large")))
      }),
      // Dropped and hanging calls are logged too; they have no answer.
      Effect.onInterrupt(() => finish({ status: 0, body: { ok: false, error: "no answer" } }))
    )
    const outcome = yield* work
    const millis = yield* finish(outcome)
    const method = parts.methods.get(name)
    return HttpServerResponse.jsonUnsafe(outcome.body, {
      status: outcome.status,
      headers: {
        ...outcome.headers,
        "x-slack-req-id": slackId("", 32).toLowerCase(),
        "x-km-workspace-millis": millis.toFixed(3),
        ...(found.caller === undefined ? {} : { "x-oauth-scopes": found.caller.scopes.join(",") }),
        ...(method === undefined ? {} : { "x-accepted-oauth-scopes": method.scopes.join(",") })
      }
    })
  })

/** `POST /upload/v1/{file}`: the second step of an upload; Slack asks for no token here. */
export const upload = (parts: FrontParts) =>
  Effect.fnUntraced(function*(path: string) {
    const request = yield* HttpServerRequest.HttpServerRequest
    const fault = parts.faults.forCall("upload", undefined)
    const early = yield* before(request, fault)
    if (early !== undefined) return HttpServerResponse.text("", { status: early.status, headers: early.headers })
    const body = yield* readBody(request, maxUploadBytes)
    const contentType = request.headers["content-type"]
    const reply = yield* Effect.uninterruptible(parts.state.emulator.raw(
      parts.state.tokens.ofUser(parts.state.bot.userId),
      { path, method: "POST", body: Buffer.from(body), ...(contentType === undefined ? {} : { contentType }) }
    ))
    if (fault?.kind === "drop-after") return yield* hangUp(request)
    if (fault?.kind === "hang-after") return yield* Effect.never
    return HttpServerResponse.uint8Array(reply.body, { status: reply.status })
  })

/**
 * `GET /files-pri/…`: needs a token in the header. Without one Slack leads to its sign-in page with a 302, which a
 * careless client stores as the file; the emulator answers JSON.
 */
export const download = (parts: FrontParts) =>
  Effect.fnUntraced(function*(path: string) {
    const request = yield* HttpServerRequest.HttpServerRequest
    const header = /^Bearer\s+(\S+)\s*$/i.exec(request.headers["authorization"] ?? "")
    const caller = parts.state.tokens.find(header?.[1] ?? "")
    if (caller === undefined) return HttpServerResponse.redirect("/signin", { status: 302 })
    const fault = parts.faults.forCall("download", undefined)
    const early = yield* before(request, fault)
    if (early !== undefined) return HttpServerResponse.text("", { status: early.status, headers: early.headers })
    if (fault?.kind === "sign-in") return HttpServerResponse.html("<!DOCTYPE html><title>Sign in</title>")
    if (fault?.kind === "redirect") return HttpServerResponse.redirect(fault.to, { status: 302 })
    const reply = yield* parts.state.emulator.raw(caller, { path, method: "GET" })
    if (fault?.kind === "no-end") return breakOff(reply.body)
    const disposition = reply.headers["content-disposition"]
    return HttpServerResponse.uint8Array(reply.body, {
      status: reply.status,
      contentType: reply.headers["content-type"] ?? "application/octet-stream",
      headers: disposition === undefined ? {} : { "content-disposition": disposition }
    })
  })
