/**
 * Driving a workspace that runs in another process, through its control API and with its people's tokens: what
 * `km demo` and `km chat` use.
 */
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ClickOrder } from "./Clicks.ts"
import type { Credentials } from "./Credentials.ts"
import { FaultRule } from "./Faults.ts"
import type { Json } from "./Json.ts"
import { refusal, type SlackRefusal, WorkspaceError } from "./WorkspaceError.ts"

const Anything = Schema.Record(Schema.String, Schema.Unknown)

/** A message and its replies, as `GET /_km/channels/…` gives them; `message` is what Slack would show. */
export interface RemoteMessage {
  readonly ts: string
  readonly message: Json
  readonly replies: ReadonlyArray<RemoteMessage>
}

const RemoteMessage: Schema.Codec<RemoteMessage> = Schema.Struct({
  ts: Schema.String,
  message: Anything,
  replies: Schema.Array(Schema.suspend((): Schema.Codec<RemoteMessage> => RemoteMessage))
})

/** A channel in short. */
export const RemoteChannel = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  isPrivate: Schema.Boolean,
  isArchived: Schema.Boolean,
  isExtShared: Schema.Boolean,
  creator: Schema.String,
  members: Schema.Array(Schema.String),
  messageCount: Schema.Int
})

/** One line of `/_km/watch`. */
export const RemoteChange = Schema.Struct({
  seq: Schema.Int,
  at: Schema.Finite,
  kind: Schema.String,
  channel: Schema.optionalKey(Schema.String),
  ts: Schema.optionalKey(Schema.String),
  threadTs: Schema.optionalKey(Schema.String),
  data: Anything
})
export type RemoteChange = typeof RemoteChange.Type

const StateAnswer = Schema.Struct({
  channels: Schema.Array(RemoteChannel),
  eventsUrl: Schema.NullOr(Schema.String),
  lastChange: Schema.Int
})
const MessagesAnswer = Schema.Struct({ messages: Schema.Array(RemoteMessage) })
const ThreadAnswer = Schema.Struct({ thread: RemoteMessage })
const CallsAnswer = Schema.Struct({ calls: Schema.Array(Anything) })
const ClickAnswer = Schema.Struct({ ok: Schema.Boolean, status: Schema.optionalKey(Schema.Int) })
const WhispersAnswer = Schema.Struct({
  whispers: Schema.Array(Schema.Struct({ channel: Schema.String, userId: Schema.String, text: Schema.String }))
})
const FaultAnswer = Schema.Struct({ id: Schema.String })
const Problem = Schema.Struct({ error: Schema.String })
const SlackAnswer = Schema.Struct({ ok: Schema.Boolean, error: Schema.optionalKey(Schema.String) })
const decodeChange = Schema.decodeEffect(Schema.fromJsonString(RemoteChange))

const failed = (what: string) => (error: { readonly message: string }) =>
  new WorkspaceError({
    reason: "control",
    detail: `${what} failed: ${error.message}.`,
    remedy: "Look whether the workspace still runs; its credentials file is removed when it ends."
  })

/** A client for the workspace that wrote these credentials. */
export const connect = Effect.fnUntraced(function*(credentials: Credentials) {
  const http = yield* HttpClient.HttpClient
  const base = `${credentials.url}_km/`

  const ask = <A>(what: string, request: HttpClientRequest.HttpClientRequest, answer: Schema.Codec<A, unknown>) =>
    http.execute(HttpClientRequest.bearerToken(request, credentials.controlToken)).pipe(
      Effect.flatMap((response) =>
        response.status < 400
          ? HttpClientResponse.schemaBodyJson(answer)(response)
          : Effect.flatMap(HttpClientResponse.schemaBodyJson(Problem)(response), (problem) =>
            Effect.fail({ message: problem.error }))
      ),
      Effect.mapError(failed(what))
    )

  /** Calls a Slack method with any token of the workspace; arguments go out as a form. */
  const slack = Effect.fnUntraced(function*(
    token: string,
    method: string,
    args: Record<string, string>
  ): Effect.fn.Return<Json, WorkspaceError | SlackRefusal> {
    const request = HttpClientRequest.post(credentials.apiUrl + method).pipe(
      HttpClientRequest.bearerToken(token),
      HttpClientRequest.bodyUrlParams(args)
    )
    const answer = yield* http.execute(request).pipe(
      Effect.flatMap(HttpClientResponse.schemaBodyJson(Anything)),
      Effect.mapError(failed(method))
    )
    const verdict = yield* Schema.decodeUnknownEffect(SlackAnswer)(answer).pipe(Effect.mapError(failed(method)))
    return verdict.ok ? answer : yield* refusal(verdict.error ?? "unknown")
  })

  return {
    /** Channels, and where events go. */
    state: ask("reading the workspace", HttpClientRequest.get(`${base}state`), StateAnswer),
    /** The newest messages with their threads, oldest first; the channel by id or name. */
    messages: (channel: string, limit = 100) =>
      ask(
        `reading #${channel}`,
        HttpClientRequest.get(`${base}channels/${encodeURIComponent(channel)}/messages?limit=${limit}`),
        MessagesAnswer
      ).pipe(Effect.map((answer) => answer.messages)),
    /** A thread by its root or a reply. */
    thread: (channel: string, ts: string) =>
      ask(
        `reading a thread of #${channel}`,
        HttpClientRequest.get(`${base}channels/${encodeURIComponent(channel)}/threads/${encodeURIComponent(ts)}`),
        ThreadAnswer
      ).pipe(Effect.map((answer) => answer.thread)),
    /** Changes from `after` on (default: from now), until interrupted. */
    watch: (
      filter: { readonly kinds?: ReadonlyArray<string>; readonly channel?: string; readonly after?: number } = {}
    ) => {
      const query = new URLSearchParams()
      if (filter.kinds !== undefined) query.set("kinds", filter.kinds.join(","))
      if (filter.channel !== undefined) query.set("channel", filter.channel)
      if (filter.after !== undefined) query.set("after", String(filter.after))
      const request = HttpClientRequest.get(`${base}watch?${query.toString()}`).pipe(
        HttpClientRequest.bearerToken(credentials.controlToken)
      )
      return HttpClientResponse.stream(Effect.flatMap(http.execute(request), HttpClientResponse.filterStatusOk)).pipe(
        Stream.decodeText,
        Stream.splitLines,
        Stream.filter((line) => line.startsWith("data: ")),
        Stream.mapEffect((line) => decodeChange(line.slice("data: ".length))),
        Stream.mapError(failed("watching"))
      )
    },
    /** The Web API calls so far, oldest first. */
    calls: (filter: { readonly method?: string; readonly since?: number } = {}) =>
      ask(
        "reading the call log",
        HttpClientRequest.get(
          `${base}calls?since=${filter.since ?? 0}${filter.method === undefined ? "" : `&method=${filter.method}`}`
        ),
        CallsAnswer
      ).pipe(Effect.map((answer) => answer.calls)),
    /** Shakes hands with the receiver, then delivers events there. */
    setEventsUrl: (url: string) =>
      ask(
        `setting the events URL to ${url}`,
        HttpClientRequest.put(`${base}events-url`).pipe(HttpClientRequest.bodyJsonUnsafe({ url })),
        Anything
      ).pipe(Effect.asVoid),
    /** A person presses a button. */
    click: (order: ClickOrder) =>
      ask(
        "a click",
        HttpClientRequest.post(`${base}clicks`).pipe(HttpClientRequest.bodyJsonUnsafe(order)),
        ClickAnswer
      ),
    /** What single persons were shown, oldest first. */
    whispers: ask("reading what single persons were shown", HttpClientRequest.get(`${base}whispers`), WhispersAnswer)
      .pipe(
        Effect.map((answer) => answer.whispers)
      ),
    addFault: (rule: FaultRule) =>
      ask(
        "ordering a fault",
        HttpClientRequest.post(`${base}faults`).pipe(
          HttpClientRequest.bodyJsonUnsafe(Schema.encodeSync(FaultRule)(rule))
        ),
        FaultAnswer
      ).pipe(Effect.map((answer) => answer.id)),
    clearFaults: ask("clearing faults", HttpClientRequest.delete(`${base}faults`), Anything).pipe(Effect.asVoid),
    slack
  }
})
