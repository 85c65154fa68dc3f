/**
 * The control API under `/_km/`: what tests and `km` do with a workspace in another process. It needs the control
 * token; no Slack token opens it.
 */
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as crypto from "node:crypto"
import { ClickOrder } from "./Clicks.ts"
import { FaultRule } from "./Faults.ts"
import type { FrontParts } from "./Front.ts"
import { channelMessages, channelView, threadView } from "./Snapshot.ts"
import type { Change } from "./Watch.ts"

const Switch = Schema.Struct({ enabled: Schema.Boolean })
const decodeSwitch = Schema.decodeEffect(Schema.fromJsonString(Switch))
const Reason = Schema.Literals(["warning", "refresh_requested", "link_disabled", "too_many_websockets"])
const decodeReason = Schema.decodeUnknownEffect(Reason)
const EventsUrl = Schema.Struct({ url: Schema.NonEmptyString })
const decodeClick = Schema.decodeEffect(Schema.fromJsonString(ClickOrder))
const decodeRule = Schema.decodeEffect(Schema.fromJsonString(FaultRule))
const decodeEventsUrl = Schema.decodeEffect(Schema.fromJsonString(EventsUrl))

const json = (body: unknown, status = 200) => HttpServerResponse.jsonUnsafe(body, { status })

const problem = (status: number, message: string) => json({ ok: false, error: message }, status)

const digest = (text: string): Buffer => crypto.createHash("sha256").update(text).digest()

const sse = (change: Change): string => `id: ${change.seq}\nevent: ${change.kind}\ndata: ${JSON.stringify(change)}\n\n`

/** Browsers and proxies close silent streams; a comment every 15 s keeps them. */
const heartbeat = Stream.tick("15 seconds").pipe(Stream.map(() => ": still here\n\n"))

const changes = (parts: FrontParts, filter: URLSearchParams, after: number | undefined) => {
  const { watch } = parts.state
  const kinds = filter.get("kinds")?.split(",")
  const channel = filter.get("channel") ?? undefined
  const wanted = (change: Change) =>
    (kinds === undefined || kinds.includes(change.kind)) && (channel === undefined || change.channel === channel)
  return Stream.callback<Change>((queue) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        if (after !== undefined) { for (const change of watch.since(after)) Queue.offerUnsafe(queue, change) }
        return watch.listen((change) => {
          Queue.offerUnsafe(queue, change)
        })
      }),
      (stop) => Effect.sync(stop)
    ), { bufferSize: Number.POSITIVE_INFINITY }).pipe(Stream.filter(wanted), Stream.map(sse))
}

/**
 * `GET state` (people, channels, events URL), `GET channels/{id or name}/messages?limit=`,
 * `GET channels/{id or name}/threads/{ts}`, `GET watch?kinds=&channel=` (server-sent events; `Last-Event-ID` or
 * `?after=` resumes), `GET calls?method=&since=`, `DELETE calls`, `GET faults`, `POST faults`,
 * `DELETE faults[/{id}]`, `PUT events-url`, `DELETE events-url`, `POST drain`; `GET sockets`, `PUT sockets` (`enabled`),
 * `POST sockets/disconnect?reason=`, `POST sockets/drop`, `POST sockets/freeze` (all connections, or `?connection=`).
 */
export const control = (parts: FrontParts, token: string) => {
  const expected = digest(`Bearer ${token}`)
  const { state } = parts
  const channelOf = (reference: string) => state.channels.find(reference) ?? state.channels.byName(reference)

  const stateView = () => ({
    ok: true,
    url: state.team.url,
    teamId: state.installation.teamId,
    appId: state.bot.appId,
    bot: { userId: state.bot.userId, botId: state.bot.botId, name: state.bot.name },
    people: state.people.all(),
    channels: state.channels.all().map((channel) => channelView(state, channel)),
    eventsUrl: state.events.url() ?? null,
    lastChange: state.watch.seq
  })

  const socketsView = () => ({
    ok: true,
    enabled: state.sockets.isOn(),
    connections: state.sockets.connections(),
    counts: state.sockets.counts()
  })

  const onSockets = Effect.fnUntraced(function*(part: string, query: URLSearchParams) {
    const which = query.has("connection") ? Number(query.get("connection")) : "all"
    if (part === "disconnect") {
      yield* state.sockets.disconnect(yield* decodeReason(query.get("reason")), which)
    } else if (part === "drop") yield* state.sockets.drop(which)
    else if (part === "freeze") yield* state.sockets.freeze(which)
    else return problem(404, `nothing can be done to sockets by the name of ${part}`)
    return json(socketsView())
  })

  return Effect.fnUntraced(
    function*(path: string, query: URLSearchParams) {
      const request = yield* HttpServerRequest.HttpServerRequest
      if (!crypto.timingSafeEqual(digest(request.headers["authorization"] ?? ""), expected)) {
        return problem(
          401,
          "the control token is missing or wrong; it is in the file written when the workspace started"
        )
      }
      const [area = "", reference = "", part = "", ts = ""] = path.split("/").map(decodeURIComponent)
      const route = `${request.method} ${area}`
      if (route === "GET state") return json(stateView())
      if (route === "GET channels" && reference !== "") {
        const channel = channelOf(reference)
        if (channel === undefined) return problem(404, `no channel ${reference}`)
        if (part === "threads") {
          const thread = yield* threadView(state, channel, ts)
          return thread === undefined ? problem(404, `no message ${ts} in ${reference}`) : json({ ok: true, thread })
        }
        const limit = Number(query.get("limit") ?? "100")
        const messages = yield* channelMessages(state, channel, limit)
        return json({ ok: true, channel: channelView(state, channel), messages })
      }
      if (route === "GET watch") {
        const after = request.headers["last-event-id"] ?? query.get("after") ?? undefined
        const stream = Stream.merge(changes(parts, query, after === undefined ? undefined : Number(after)), heartbeat)
        return HttpServerResponse.stream(Stream.concat(Stream.make(": watching\n\n"), stream).pipe(Stream.encodeText), {
          contentType: "text/event-stream",
          headers: { "cache-control": "no-store" }
        })
      }
      if (route === "GET calls") {
        const method = query.get("method")
        const since = Number(query.get("since") ?? "0")
        return json({ ok: true, calls: parts.calls.list({ since, ...(method === null ? {} : { method }) }) })
      }
      if (route === "DELETE calls") {
        parts.calls.clear()
        return json({ ok: true })
      }
      if (route === "GET faults") {
        return json({ ok: true, faults: parts.faults.list().map(({ hits, id, rule }) => ({ id, hits, rule })) })
      }
      if (route === "POST faults") {
        const rule = yield* decodeRule(yield* request.text)
        return json({ ok: true, id: parts.faults.add(rule) })
      }
      if (route === "DELETE faults") {
        const cleared = parts.faults.clear(reference === "" ? undefined : reference)
        state.events.release()
        return json({ ok: true, cleared })
      }
      if (route === "PUT events-url") {
        const { url } = yield* decodeEventsUrl(yield* request.text)
        yield* state.events.setUrl(url)
        return json({ ok: true, url })
      }
      if (route === "DELETE events-url") {
        state.events.clearUrl()
        return json({ ok: true })
      }
      if (route === "POST clicks") {
        return json({ ...(yield* parts.clicking.click(yield* decodeClick(yield* request.text))) })
      }
      if (route === "GET whispers") return json({ ok: true, whispers: state.whispered })
      if (route === "GET sockets") return json(socketsView())
      if (route === "PUT sockets") {
        const { enabled } = yield* decodeSwitch(yield* request.text)
        yield* state.sockets.switch(enabled)
        return json(socketsView())
      }
      if (route === "POST sockets") return yield* onSockets(reference, query)
      if (route === "POST drain") {
        yield* state.events.drained
        return json({ ok: true })
      }
      return problem(404, `nothing at ${request.method} /_km/${path}`)
    },
    Effect.catchTags({
      SchemaError: (error) => Effect.succeed(problem(400, error.message)),
      WorkspaceError: (error) => Effect.succeed(problem(409, error.message)),
      ClickImpossible: (error) => Effect.succeed(problem(409, error.message)),
      SlackRefusal: (error) => Effect.succeed(problem(409, error.message))
    })
  )
}
