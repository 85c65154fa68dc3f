/**
 * The status of Slack's agent sessions: a thread whose turn runs is `processing`, by which Slack shows that somebody works
 * and its own Stop button; else `active`. Only an app that is declared an agent has sessions, so the token's scopes are
 * asked once before anything is set, and a refusal is remembered. Slack itself lets `processing` go after an hour.
 * Source: docs.slack.dev/ai/agent-sessions, read 2026-09.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { ChannelId, MessageTs } from "../../runtime/domain/sandbox/Ids.ts"
import { agentScope } from "../../runtime/domain/slack/SlackNeeds.ts"
import { Errands } from "../../runtime/ports/Errands.ts"
import { SlackApi } from "./SlackApi.ts"
import type { SlackFailure } from "./SlackErrors.ts"

/** An app may be installed again as an agent, or otherwise: what was found is good for an hour. */
const rememberedMillis = 3_600_000
/** After a look that found nothing out; calls in between are left out. */
const lookAgainMillis = 60_000
/** Threads whose status is known; the oldest are forgotten, and set once more than needed. */
const maxKnown = 5_000

/** What Slack says where nobody subscribes to the event of the Stop button, so that it is not shown. */
const missingStop = "missing_agent_session_stopped_event_subscription"

/** Refusals that are about one thread and say nothing of the app. */
const aboutThePlace: ReadonlySet<string> = new Set([
  "channel_not_found",
  "not_in_channel",
  "is_archived",
  "channel_is_archived",
  "thread_not_found",
  "invalid_thread_ts",
  "message_not_found"
])

const Metadata = Schema.Struct({
  scopes: Schema.optionalKey(Schema.Array(Schema.String)),
  warnings: Schema.optionalKey(Schema.Array(Schema.String))
})
const decodeAnswer = Schema.decodeUnknownOption(
  Schema.Struct({ warning: Schema.optionalKey(Schema.String), response_metadata: Schema.optionalKey(Metadata) })
)

export type SessionStatus = "processing" | "active"

export interface SessionPlace {
  readonly channel: ChannelId
  readonly threadTs: MessageTs
}

/** As `/healthz` shows it. */
export interface AgentSessionsState {
  /** Null: not asked yet. */
  readonly allowed: boolean | null
  /** Whether Slack shows its Stop button; null before the first session. */
  readonly stopButton: boolean | null
}

export class AgentSessions extends Context.Service<AgentSessions, {
  /**
   * Nobody waits for it, and it never fails. `proved`: Slack itself has spoken of the thread's session, so there is one.
   */
  readonly set: (place: SessionPlace, status: SessionStatus, proved?: "proved") => Effect.Effect<void>
  readonly state: () => AgentSessionsState
}>()("km/bridge/slack/AgentSessions") {
  static readonly layer = Layer.effect(
    AgentSessions,
    Effect.gen(function*() {
      const slack = yield* SlackApi
      const errands = yield* Errands
      const known = new Map<string, SessionStatus>()
      let verdict: { readonly allowed: boolean; readonly until: number } | undefined
      let lookedAt = Number.NEGATIVE_INFINITY
      let stopButton: boolean | null = null

      const judge = (allowed: boolean) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          verdict = { allowed, until: now + rememberedMillis }
        })

      /** An agent's token alone has the scope. */
      const isAllowed = Effect.fnUntraced(function*() {
        const now = yield* Clock.currentTimeMillis
        if (verdict !== undefined && now < verdict.until) return verdict.allowed
        if (now - lookedAt < lookAgainMillis) return verdict?.allowed ?? false
        lookedAt = now
        const answer = Option.getOrUndefined(decodeAnswer(yield* slack.call("auth.test", {}, { purpose: "mark" })))
        const scopes = answer?.response_metadata?.scopes
        if (scopes === undefined) return verdict?.allowed ?? false
        const allowed = scopes.includes(agentScope)
        yield* judge(allowed)
        return allowed
      })

      const refused = (failure: SlackFailure) =>
        Effect.andThen(
          Effect.logInfo("a session's status stays as it is", failure.error),
          failure.kind === "Refused" && !aboutThePlace.has(failure.error) ? judge(false) : Effect.void
        )

      const setNow = Effect.fnUntraced(function*(place: SessionPlace, status: SessionStatus, proved: boolean) {
        if (!proved && !(yield* isAllowed())) return
        const id = `${place.channel}:${place.threadTs}`
        const answer = decodeAnswer(
          yield* slack.call(
            "agents.sessions.setStatus",
            { channel_id: place.channel, thread_ts: place.threadTs, status },
            { purpose: "mark" }
          )
        )
        known.delete(id)
        if (known.size >= maxKnown) { for (const oldest of [...known.keys()].slice(0, 1)) known.delete(oldest) }
        known.set(id, status)
        const told = Option.getOrUndefined(answer)
        const warnings = [told?.warning ?? "", ...told?.response_metadata?.warnings ?? []]
        stopButton = !warnings.some((warning) => warning.includes(missingStop))
      })

      yield* errands.handle("SessionStatus", {
        run: ({ channel, proved, status, threadTs }) =>
          Effect.catchTag(setNow({ channel, threadTs }, status, proved), "SlackFailure", refused),
        // Slack shows that it works until it is told otherwise; an hour later it stops by itself.
        dropped: () => undefined
      })

      return AgentSessions.of({
        set: (place, status, proved) =>
          Effect.suspend(() => {
            // A thread that is at rest is left so; one that works is said again, which renews it.
            const rests = status === "active" && known.get(`${place.channel}:${place.threadTs}`) === "active"
            if (rests && proved === undefined) return Effect.void
            return Effect.sync(() =>
              errands.give({ _tag: "SessionStatus", ...place, status, proved: proved !== undefined })
            )
          }),
        state: () => ({ allowed: verdict?.allowed ?? null, stopButton })
      })
    })
  )
}
