/**
 * Slack's own Stop button of an agent's session (`agent_session_stopped`, apps that are declared agents): the thread's turns
 * are stopped by whoever began one of them, or an operator. Slack itself changes nothing, so the session's status is ours.
 * Source: docs.slack.dev/ai/agent-sessions, read 2026-09.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { GroupId } from "../../runtime/domain/sandbox/Ids.ts"
import { TurnRequest } from "../../runtime/domain/turn/Turn.ts"
import { Controls } from "../../runtime/ports/Controls.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { EventRefused } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { Whispers } from "../questions/Whispers.ts"
import { BotIdentity } from "../slack/BotIdentity.ts"
import { SlackApi } from "../slack/SlackApi.ts"
import { Acceptance } from "./Acceptance.ts"
import type { Incoming } from "./Incoming.ts"

const decodeRequest = Schema.decodeUnknownOption(Schema.fromJsonString(TurnRequest))

const notStored = (error: StoreError) =>
  new EventRefused({ reason: "not_stored", detail: `${error.port}.${error.operation}: ${error.reason}` })

/** The 200 waits at most this long for a name. */
const nameMillis = 250

export class SessionStops extends Context.Service<SessionStops, {
  readonly stopped: (
    event: Extract<Incoming, { readonly _tag: "SessionStopped" }>
  ) => Effect.Effect<string, EventRefused>
}>()("km/bridge/events/SessionStops") {
  static readonly layer = Layer.effect(
    SessionStops,
    Effect.gen(function*() {
      const acceptance = yield* Acceptance
      const controls = yield* Controls
      const identity = yield* BotIdentity
      const queue = yield* TurnQueue
      const settings = yield* BridgeSettings
      const slack = yield* SlackApi
      const whispers = yield* Whispers
      const scope = yield* Effect.scope

      return SessionStops.of({
        stopped: Effect.fn("SessionStops.stopped")(function*({ by, channel, eventId, threadTs }) {
          const row = Option.getOrUndefined(yield* acceptance.sandboxOf(channel))
          if (row === undefined) return "no sandbox"
          const group = GroupId.make(`${channel}:${threadTs}`)
          const authors = yield* Effect.mapError(
            queue.keys(row.id, group).pipe(
              Effect.flatMap((entries) => Effect.forEach(entries, ({ key }) => queue.get(row.id, key)))
            ),
            notStored
          )
          const began = authors.some((entry) => {
            const origin = Option.flatMap(entry, ({ body }) => decodeRequest(body)).pipe(
              Option.map((request) => request.origin),
              Option.getOrUndefined
            )
            return origin?.kind === "slack" && origin.user === by
          })
          if (!began && !settings.operators.has(by)) {
            yield* whispers.tell({
              key: `session-stop/${channel}/${threadTs}/${by}/${eventId}`,
              channel,
              threadTs,
              user: by,
              text: authors.length === 0
                ? "Nothing runs or waits in this thread, so there was nothing to stop."
                : "Only who asked the agent here, or an operator, may stop it. Nothing was stopped."
            })
            return "not the author"
          }
          yield* identity.learn([by], nameMillis)
          yield* Effect.mapError(
            controls.send(row.id, {
              kind: "stop",
              id: `session-${eventId === "" ? `${threadTs}-${by}` : eventId}`,
              group,
              by: identity.knownName(by) ?? by,
              at: yield* Clock.currentTimeMillis
            }),
            notStored
          )
          // Slack shows that it works until it is told otherwise; an hour later it stops by itself.
          yield* slack.call(
            "agents.sessions.setStatus",
            { channel_id: channel, thread_ts: threadTs, status: "active" },
            { purpose: "mark" }
          ).pipe(
            Effect.catch((failure) => Effect.logInfo("a session's status stays as it is", failure.error)),
            Effect.forkIn(scope)
          )
          return "stopped"
        })
      })
    })
  )
}
