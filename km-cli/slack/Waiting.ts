/** What the running bridge says of its connection to Slack, and the waits for it: the Events URL, or a socket. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { Install } from "../../runtime/domain/install/Install.ts"
import type { HeardState } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import type { Backend } from "../Backend.ts"

/** When the running bridge heard Slack; undefined where it does not say. */
export const heardBy = Effect.fn("Slack.heard")(function*(backend: Backend, install: Install) {
  const now = yield* Clock.currentTimeMillis
  const { heard } = yield* Effect.flatMap(
    Bridge,
    (bridge) => bridge.call({ key: `slack-state/${now}`, patience: "besteffort", action: { action: "state" } })
  ).pipe(Effect.provide(backend.bridge(install).pipe(Layer.provide(backend.ports("short")))))
  return heard
})

/** Of `/healthz`, as much as is judged here. */
const Health = Schema.Struct({
  ok: Schema.Boolean,
  transport: Schema.optionalKey(Schema.Literals(["http", "socket"])),
  agentSessions: Schema.optionalKey(Schema.Struct({
    allowed: Schema.NullOr(Schema.Boolean),
    stopButton: Schema.NullOr(Schema.Boolean)
  })),
  socket: Schema.optionalKey(Schema.Struct({
    state: Schema.String,
    connections: Schema.Int,
    lastFrameAt: Schema.NullOr(Schema.Finite),
    lastFrameAgeMillis: Schema.NullOr(Schema.Finite),
    lastDisconnect: Schema.NullOr(Schema.Struct({ reason: Schema.String, at: Schema.Finite })),
    trouble: Schema.NullOr(Schema.Struct({ name: Schema.String, what: Schema.String, detail: Schema.String }))
  }))
})
export type Health = typeof Health.Type

/** The bridge's health, with the state of its sockets; undefined when it does not answer within 3 s. */
export const healthOf = (install: Install): Effect.Effect<Health | undefined> =>
  HttpClient.HttpClient.pipe(
    Effect.flatMap((http) => http.get(`${install.bridgeUrl}/healthz`)),
    Effect.flatMap(HttpClientResponse.schemaBodyJson(Health)),
    Effect.map((health): Health | undefined => health.ok ? health : undefined),
    Effect.timeoutOrElse({ duration: "3 seconds", orElse: () => Effect.undefined }),
    Effect.orElseSucceed(() => undefined),
    Effect.provide(FetchHttpClient.layer)
  )

const until = <R>(holds: Effect.Effect<boolean, never, R>, within: Duration.Input) =>
  holds.pipe(
    Effect.flatMap((yes) => yes ? Effect.succeed(true) : Effect.fail("not yet" as const)),
    Effect.retry(Schedule.spaced("500 millis")),
    Effect.timeoutOrElse({ duration: within, orElse: () => Effect.succeed(false) }),
    Effect.orElseSucceed(() => false)
  )

/** True once what the bridge heard is as wanted; false when the time is over. */
export const untilState = (
  backend: Backend,
  install: Install,
  wanted: (heard: HeardState) => boolean,
  within: Duration.Input
) =>
  until(
    heardBy(backend, install).pipe(
      Effect.map((heard) => heard !== undefined && wanted(heard)),
      Effect.orElseSucceed(() => false)
    ),
    within
  )

/** True once a connection of Socket Mode is open. */
export const untilConnected = (install: Install, within: Duration.Input) =>
  until(Effect.map(healthOf(install), (health) => health?.socket?.state === "connected"), within)
