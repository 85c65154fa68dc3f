/** The bridge as one Effect HTTP application: its routes and the layers behind them, for any server that can run it. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpTraceContext from "effect/http/HttpTraceContext"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { mayAsk } from "../runtime/domain/install/BridgeListen.ts"
import { Errands } from "../runtime/ports/Errands.ts"
import { Actions } from "./actions/Actions.ts"
import { Authenticator } from "./actions/Authenticator.ts"
import { Channels } from "./actions/Channels.ts"
import { ExpiringLinks } from "./actions/ExpiringLinks.ts"
import { FetchedFiles } from "./actions/FetchedFiles.ts"
import { LiveMessages } from "./actions/LiveMessages.ts"
import { Lookups } from "./actions/Lookups.ts"
import { Messages } from "./actions/Messages.ts"
import { Once } from "./actions/Once.ts"
import { Ownership } from "./actions/Ownership.ts"
import { PullHolds } from "./actions/PullHolds.ts"
import { SelfTest } from "./actions/SelfTest.ts"
import { TokenRequests } from "./actions/TokenRequests.ts"
import { Uploads } from "./actions/Uploads.ts"
import { V2Handler } from "./actions/V2Handler.ts"
import { EventRefused } from "./BridgeErrors.ts"
import { BridgeSettings } from "./BridgeSettings.ts"
import { Acceptance } from "./events/Acceptance.ts"
import { CatchUp } from "./events/CatchUp.ts"
import { ChannelChanges } from "./events/ChannelChanges.ts"
import { Corrections } from "./events/Corrections.ts"
import { EventIntake } from "./events/EventIntake.ts"
import { Heard } from "./events/Heard.ts"
import { brokenAnswer, HttpEvents, refusalAnswer, responseOf } from "./events/HttpEvents.ts"
import { Installation } from "./events/Installation.ts"
import { Marks } from "./events/Marks.ts"
import { Notes } from "./events/Notes.ts"
import { Outsiders } from "./events/Outsiders.ts"
import { Progress } from "./events/Progress.ts"
import { Refusals } from "./events/Refusals.ts"
import { SessionStops } from "./events/SessionStops.ts"
import { SignedRequests } from "./events/SignedRequests.ts"
import { Words } from "./events/Words.ts"
import { Deciders } from "./questions/Deciders.ts"
import { HttpInteractive } from "./questions/HttpInteractive.ts"
import { Interactions } from "./questions/Interactions.ts"
import { Questions } from "./questions/Questions.ts"
import { Whispers } from "./questions/Whispers.ts"
import { AgentSessions } from "./slack/AgentSessions.ts"
import { BotIdentity } from "./slack/BotIdentity.ts"
import { CallQueue } from "./slack/CallQueue.ts"
import { FileDownload } from "./slack/FileDownload.ts"
import { FileTransfer } from "./slack/FileTransfer.ts"
import { Poster } from "./slack/Poster.ts"
import { SlackApi } from "./slack/SlackApi.ts"
import { SlackSecrets } from "./slack/SlackSecrets.ts"
import { SocketMode } from "./socket/SocketMode.ts"

export class BridgeApp extends Context.Service<BridgeApp, {
  /** Answers every request; never fails. */
  readonly app: Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest>
  /** `POST /events` without its HTTP, for a server that has read the body itself; none where nobody has a reason to come. */
  readonly events: HttpEvents["Service"]["judge"] | undefined
}>()("km/bridge/BridgeApp") {
  static readonly layerNoDeps = Layer.effect(
    BridgeApp,
    Effect.gen(function*() {
      const events = yield* HttpEvents
      const interactive = yield* HttpInteractive
      const v2 = yield* V2Handler
      const links = yield* ExpiringLinks
      const errands = yield* Errands
      const settings = yield* BridgeSettings
      const { listensOn } = settings
      const socket = yield* SocketMode

      const sessions = yield* AgentSessions
      const health = Effect.map(
        settings.transport === "socket" ? Effect.asSome(socket.status) : Effect.succeedNone,
        (status) => {
          const agentSessions = sessions.state()
          return HttpServerResponse.jsonUnsafe({
            ok: true,
            transport: settings.transport === "socket" ? "socket" : "http",
            ...(Option.isSome(status) ? { socket: status.value } : {}),
            ...(agentSessions.allowed === null ? {} : { agentSessions })
          })
        }
      )

      const routed = (
        request: HttpServerRequest.HttpServerRequest
      ): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
        const path = request.url.split("?")[0] ?? ""
        // The connection's own address; what a proxy says of somebody else's decides nothing.
        if (Option.isSome(request.peerAddress) && !mayAsk(request.peerAddress.value, listensOn, path)) {
          return Effect.succeed(nothing)
        }
        if (request.method === "POST" && path === "/events") {
          return settings.transport === "socket"
            ? Effect.succeed(responseOf(refusalAnswer(notHere)))
            : events.handle(request)
        }
        if (request.method === "POST" && path === "/interactive") {
          return settings.transport === "socket"
            ? Effect.succeed(responseOf(refusalAnswer(notHere)))
            : interactive.handle(request)
        }
        if (request.method === "POST" && path === "/v2") return v2.handle(request)
        if (request.method === "GET" && path === "/healthz") return health
        if (request.method === "GET" && path.startsWith("/files/")) return links.serve(path.slice("/files/".length))
        return Effect.succeed(nothing)
      }

      const answering = <A>(answer: Effect.Effect<A>, whenBroken: A): Effect.Effect<A> =>
        Effect.flatMap(
          Effect.catchDefect(answer, (defect) =>
            Effect.as(Effect.logError("a request ended in a defect", defect), whenBroken)),
          (answered) =>
            Effect.as(errands.handedOver, answered)
        )

      const app = Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        // A server that traces has taken the header up already; without one the trace must not break off here.
        const current = yield* Effect.option(Effect.currentSpan)
        const parent = Option.isSome(current) ? Option.none() : HttpTraceContext.fromHeaders(request.headers)
        const answered = answering(routed(request), broken)
        return yield* (Option.isSome(parent) ? Effect.withParentSpan(answered, parent.value) : answered)
      })
      return BridgeApp.of({
        app,
        events: settings.transport === "socket"
          ? undefined
          : (headers, body) => answering(events.judge(headers, body), brokenAnswer)
      })
    })
  )
}

/** With Socket Mode nobody has a reason to come to `/events` or `/interactive`. */
const notHere = new EventRefused({ reason: "socket_mode", detail: "" })
const nothing = HttpServerResponse.jsonUnsafe({ ok: false, error: { code: "not_found" } }, { status: 404 })
const broken = responseOf(brokenAnswer)

const slackLayer = BotIdentity.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(SlackApi.layer, FileTransfer.layer, FileDownload.layer)),
  Layer.provideMerge(Layer.merge(SlackSecrets.layer, CallQueue.layer))
)

/** Everything between the HTTP application and Slack's API; tests put their own API underneath. */
export const layerOverSlack = BridgeApp.layerNoDeps.pipe(
  Layer.provideMerge(
    Layer.mergeAll(HttpEvents.layer, HttpInteractive.layer, SocketMode.layer, V2Handler.layer, CatchUp.layer)
  ),
  Layer.provideMerge(Layer.merge(EventIntake.layer, Interactions.layer)),
  Layer.provideMerge(Layer.mergeAll(Actions.layer, Corrections.layer, SignedRequests.layer, SessionStops.layer)),
  Layer.provideMerge(Layer.mergeAll(Questions.layer, Whispers.layer, Deciders.layer)),
  Layer.provideMerge(Layer.mergeAll(
    LiveMessages.layer,
    Uploads.layer,
    FetchedFiles.layer,
    Lookups.layer,
    Channels.layer,
    SelfTest.layer,
    PullHolds.layer,
    TokenRequests.layer
  )),
  Layer.provideMerge(Layer.mergeAll(Messages.layer, ExpiringLinks.layer, Acceptance.layer)),
  Layer.provideMerge(Layer.mergeAll(Outsiders.layer, ChannelChanges.layer, Words.layer)),
  Layer.provideMerge(Layer.merge(Notes.layer, Refusals.layer)),
  Layer.provideMerge(
    Layer.mergeAll(
      Once.layer,
      Ownership.layer,
      Authenticator.layer,
      Installation.layer,
      Marks.layer,
      Poster.layer
    )
  ),
  Layer.provideMerge(Layer.mergeAll(Progress.layer, Heard.layer, AgentSessions.layer))
)

/** The whole bridge over the ports and its settings. */
export const layer = Layer.provideMerge(layerOverSlack, slackLayer)
