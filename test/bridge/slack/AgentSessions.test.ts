/** The status of Slack's agent sessions: set where the app is an agent, and nowhere else. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { AgentSessions } from "../../../bridge/slack/AgentSessions.ts"
import { SlackApi } from "../../../bridge/slack/SlackApi.ts"
import { SlackFailure } from "../../../bridge/slack/SlackErrors.ts"
import { ChannelId, MessageTs } from "../../../runtime/domain/sandbox/Ids.ts"
import { agentScope } from "../../../runtime/domain/slack/SlackNeeds.ts"
import { Errands } from "../../../runtime/ports/Errands.ts"
import { atRest } from "../../support/eventually.ts"

const channel = ChannelId.make("C0CHANNEL")
const thread = (n: number) => ({ channel, threadTs: MessageTs.make(`1700000000.00000${n}`) })

const set = (n: number, status: "processing" | "active", proved?: "proved") =>
  Effect.gen(function*() {
    yield* (yield* AgentSessions).set(thread(n), status, proved)
    yield* atRest
  })

/** Slack as far as it matters here: what it was asked, in order, and what it says. */
const scene = () => {
  const state = {
    calls: [] as Array<string>,
    scopes: [agentScope] as ReadonlyArray<string> | undefined,
    refusal: undefined as { readonly kind: SlackFailure["kind"]; readonly error: string } | undefined,
    warning: undefined as string | undefined
  }
  const layer = AgentSessions.layer.pipe(
    Layer.provide(Errands.layerMemory),
    Layer.provide(Layer.succeed(
      SlackApi,
      SlackApi.of({
        call: (method, args) =>
          Effect.suspend(() => {
            state.calls.push(
              method === "auth.test" ? method : `${String(args["thread_ts"]).slice(-1)} ${String(args["status"])}`
            )
            if (method === "auth.test") {
              return Effect.succeed({
                ok: true,
                ...state.scopes === undefined ? {} : { response_metadata: { scopes: state.scopes } }
              })
            }
            return state.refusal === undefined
              ? Effect.succeed({ ok: true, ...state.warning === undefined ? {} : { warning: state.warning } })
              : Effect.fail(new SlackFailure({ method, ...state.refusal, retryAfterMillis: 0 }))
          })
      })
    ))
  )
  return { layer, state }
}

describe("AgentSessions", () => {
  it.effect("says that a thread works and that it is done, and asks for the scopes once", () => {
    const { layer, state } = scene()
    return Effect.gen(function*() {
      yield* set(1, "processing")
      yield* set(2, "processing")
      yield* set(1, "active")
      yield* set(1, "active")
      // Said again, it counts for another hour.
      yield* set(2, "processing")
      assert.deepStrictEqual(state.calls, [
        "auth.test",
        "1 processing",
        "2 processing",
        "1 active",
        "2 processing"
      ])
      assert.deepStrictEqual((yield* AgentSessions).state(), { allowed: true, stopButton: true })
    }).pipe(Effect.provide(layer))
  })

  it.effect("asks an app that is no agent for nothing, and looks again after an hour", () => {
    const { layer, state } = scene()
    state.scopes = ["chat:write"]
    return Effect.gen(function*() {
      for (let n = 1; n < 6; n++) yield* Effect.andThen(set(n, "processing"), set(n, "active"))
      assert.deepStrictEqual(state.calls, ["auth.test"])
      assert.deepStrictEqual((yield* AgentSessions).state(), { allowed: false, stopButton: null })
      state.scopes = [agentScope]
      yield* TestClock.adjust("61 minutes")
      yield* set(1, "processing")
      assert.deepStrictEqual(state.calls, ["auth.test", "auth.test", "1 processing"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("where Slack does not say the scopes, nothing is set, and it is asked once a minute at most", () => {
    const { layer, state } = scene()
    state.scopes = undefined
    return Effect.gen(function*() {
      for (let n = 0; n < 30; n++) {
        yield* set(1, "processing")
        yield* TestClock.adjust("6 seconds")
      }
      assert.isAtMost(state.calls.length, 4)
      assert.isTrue(state.calls.every((call) => call === "auth.test"))
      assert.deepStrictEqual((yield* AgentSessions).state(), { allowed: null, stopButton: null })
    }).pipe(Effect.provide(layer))
  })

  it.effect("a refusal is remembered, unless it is about the thread alone or will pass", () => {
    const { layer, state } = scene()
    return Effect.gen(function*() {
      for (
        const refusal of [
          { kind: "Refused", error: "channel_not_found" },
          { kind: "Uncertain", error: "timeout" },
          { kind: "RateLimited", error: "ratelimited" }
        ] as const
      ) {
        state.refusal = refusal
        yield* set(1, "processing")
      }
      assert.strictEqual(state.calls.length, 4)
      state.refusal = { kind: "Refused", error: "not_an_agent" }
      yield* set(1, "processing")
      yield* set(1, "processing")
      yield* set(2, "processing")
      assert.strictEqual(state.calls.length, 5)
      // Slack's own word that there is a session counts more.
      state.refusal = undefined
      yield* set(2, "active", "proved")
      assert.strictEqual(state.calls.at(-1), "2 active")
    }).pipe(Effect.provide(layer))
  })

  it.effect("knows that the Stop button is not shown where nobody subscribes to its event", () => {
    const { layer, state } = scene()
    state.warning = "missing_agent_session_stopped_event_subscription"
    return Effect.gen(function*() {
      yield* set(1, "processing")
      assert.deepStrictEqual((yield* AgentSessions).state(), { allowed: true, stopButton: false })
      state.warning = undefined
      yield* set(1, "active")
      assert.deepStrictEqual((yield* AgentSessions).state(), { allowed: true, stopButton: true })
    }).pipe(Effect.provide(layer))
  })
})
