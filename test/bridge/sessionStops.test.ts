/** Slack's own Stop button. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { GroupId } from "../../runtime/domain/sandbox/Ids.ts"
import { Controls } from "../../runtime/ports/Controls.ts"
import { Errands } from "../../runtime/ports/Errands.ts"
import { untilReal } from "../support/untilReal.ts"
import { userIdOf } from "../support/Workspace.ts"
import { bridgeOver, callsOf, furnish, listen, room, sandbox, say, sendEvent } from "./world.ts"

const stops = Effect.gen(function*() {
  const found = yield* Effect.timeoutOption(
    Stream.runCollect(Stream.take((yield* Controls).watch(sandbox), 1)),
    50
  )
  return Option.getOrElse(found, () => [])
})

describe("Slack's Stop button", () => {
  it.live("stops the thread for who began a turn in it, and sets the session's status; others are told", () =>
    Effect.gen(function*() {
      const { ada, bot, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        yield* Effect.promise(() => bot.conversations.invite({ channel, users: userIdOf(workspace, "grace") }))
        const ts = yield* say(ada, channel, "a long task")
        yield* workspace.eventsDelivered
        const pressed = (person: string, id: string, changes: object = {}) =>
          sendEvent(
            workspace.signingSecret,
            JSON.stringify({
              type: "event_callback",
              team_id: workspace.teamId,
              api_app_id: workspace.appId,
              event_id: id,
              event: {
                type: "agent_session_stopped",
                channel,
                user: userIdOf(workspace, person),
                thread_ts: ts,
                streaming_message_ts: [],
                event_ts: "1800000000.000001",
                ...changes
              }
            })
          )
        assert.strictEqual((yield* pressed("grace", "Ev001")).status, 200)
        yield* untilReal(
          "Grace is told",
          Effect.map(workspace.whispers, (all) => all.some(({ text }) => text.includes("may stop it")))
        )
        assert.deepStrictEqual(yield* stops, [])
        assert.strictEqual((yield* pressed("ada", "Ev002", { thread_ts: "1800000000.000009" })).status, 200)
        assert.deepStrictEqual(yield* stops, [], "a thread without turns")
        assert.strictEqual((yield* pressed("ada", "Ev003", { thread_ts: undefined })).status, 400)

        assert.strictEqual((yield* pressed("ada", "Ev004")).status, 200)
        const sent = yield* stops
        assert.deepInclude(sent[0], { kind: "stop", group: GroupId.make(`${channel}:${ts}`) })
        // Asked for in this process or in another one: the answer did not wait for it.
        yield* (yield* Errands).drain("SessionStatus")
        assert.strictEqual(yield* callsOf(workspace, "agents.sessions.setStatus"), 1)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})
