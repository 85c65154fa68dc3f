/**
 * A message becomes an answer in its thread over Socket Mode: real programs, an address of the bridge that nobody can
 * deliver to, and a workspace that ends every connection in between.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { readInstall } from "../../runtime/adapters/disk/StateDirectory.ts"
import { botTexts, startStack } from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"

const Health = Schema.Struct({
  transport: Schema.String,
  socket: Schema.Struct({
    state: Schema.String,
    lastFrameAgeMillis: Schema.NullOr(Schema.Finite),
    lastDisconnect: Schema.NullOr(Schema.Struct({ reason: Schema.String }))
  })
})

describe("Socket Mode", () => {
  it.live("carries messages to answers through a warning, a drop and a bridge that was killed", () =>
    Effect.gen(function*() {
      const stack = yield* startStack({ workspace: { sockets: { enabled: true } } })
      const { sockets } = stack.workspace
      const { bridgeUrl } = yield* readInstall(stack.state)
      const health = Effect.promise(() => fetch(`${bridgeUrl}/healthz`).then((answer) => answer.json())).pipe(
        Effect.flatMap(Schema.decodeUnknownEffect(Health)),
        Effect.orDie
      )
      const { say, thread, untilReaction } = yield* stack.sandbox()
      const answered = Effect.fnUntraced(function*(word: string) {
        const ts = yield* say(`script:text ${word}`)
        yield* untilReaction(ts, "white_check_mark")
        assert.include(botTexts(yield* thread(ts), stack.workspace.botUserId).join("\n"), word)
      })
      yield* answered("first")
      const closed = yield* Effect.promise(() =>
        fetch(`${bridgeUrl}/events`, { method: "POST", body: "{}" }).then(({ status }) => status)
      )
      assert.strictEqual(closed, 404)

      const connected = Effect.map(health, ({ socket }) => socket.state === "connected")
      yield* untilReal("the first connection lasts", connected)
      yield* sockets.disconnect("warning")
      yield* answered("second")
      yield* sockets.drop("all")
      yield* answered("third")
      // The history may have been quicker than the next connection.
      yield* untilReal("it is connected again", connected)
      const after = yield* health
      assert.strictEqual(after.transport, "socket")
      assert.isNotNull(after.socket.lastDisconnect)

      yield* stack.bridge.kill9
      const missed = yield* say("script:text while nobody listened")
      yield* stack.startBridge
      yield* untilReaction(missed, "white_check_mark")
    }).pipe(Effect.scoped))
})
