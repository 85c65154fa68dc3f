/** Signed events to a bridge over a scripted Slack, with one sandbox in the channel. */
import { Clock, Duration, Effect, Layer, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Marks } from "../../../bridge/events/Marks.ts"
import { TurnKey } from "../../../runtime/domain/sandbox/Ids.ts"
import { TurnRequest } from "../../../runtime/domain/turn/Turn.ts"
import { Controls } from "../../../runtime/ports/Controls.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { StoreError } from "../../../runtime/ports/StoreError.ts"
import { TurnQueue } from "../../../runtime/ports/TurnQueue.ts"
import { ada, bridgeOverScript, channel, type ScriptedSlack, secretsStored } from "../scripted.ts"
import { rowOf, sandbox, sendEvent, waiting } from "../world.ts"

export const team = "T0TEAM0001"
export const ts = "1700000000.000100"
export const keyOf = (of: string = ts) => TurnKey.make(`${team}:${channel}:${of}`)
export const decodeRequest = Schema.decodeUnknownSync(Schema.fromJsonString(TurnRequest))

export const said = (changes: object = {}) => ({
  type: "message",
  channel,
  user: ada,
  team,
  text: "hello",
  ts,
  ...changes
})
export const envelope = (event: object, outer: object = {}) => ({
  type: "event_callback",
  team_id: team,
  api_app_id: "A0APP00001",
  event_id: "Ev1",
  authorizations: [{ team_id: team }],
  is_ext_shared_channel: false,
  event,
  ...outer
})
/** The answer to an event that is signed now. */
export const post = Effect.fnUntraced(function*(body: unknown) {
  const timestamp = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
  return yield* sendEvent("secret", typeof body === "string" ? body : JSON.stringify(body), { timestamp })
})
export const event = (changes: object = {}, outer: object = {}) => post(envelope(said(changes), outer))

export type Options = Parameters<typeof bridgeOverScript>[1] & { readonly row?: Parameters<typeof rowOf>[2] | "none" }
/** A bridge with one sandbox in the channel, half a year after the first message. */
export const world =
  (slack: ScriptedSlack, { row = {}, ...options }: Options = {}) =>
  <A, E>(test: Effect.Effect<A, E, Layer.Success<ReturnType<typeof bridgeOverScript>>>) =>
    Effect.andThen(
      TestClock.setTime(1_715_000_000_000),
      Effect.gen(function*() {
        yield* secretsStored
        if (row !== "none") {
          yield* (yield* Sandboxes).insert(rowOf(sandbox, channel, { createdAt: 1_690_000_000_000, ...row }))
        }
        yield* (yield* TurnQueue).create(sandbox)
        return yield* test
      }).pipe(Effect.provide(bridgeOverScript(slack, options)))
    )
export const requests = Effect.map(waiting, (entries) => entries.map(({ body }) => decodeRequest(body)))
export const stops = (count: number) =>
  Effect.flatMap(Controls, (controls) => Stream.runCollect(Stream.take(controls.watch(sandbox), count)))
export const receive = Effect.flatMap(
  TurnQueue,
  (queue) => queue.receive(sandbox, { wait: Duration.zero, visibility: Duration.minutes(2) })
)
/** Lets notes and marks be sent, and gives what is said in the channel: [thread, text]. */
export const told = Effect.fnUntraced(function*(slack: ScriptedSlack) {
  yield* TestClock.adjust(1)
  yield* (yield* Marks).drain
  return slack.argsOf("chat.postMessage").map((args) => [args["thread_ts"], String(args["text"])] as const)
})
export const marksOf = (slack: ScriptedSlack) =>
  slack.argsOf("reactions.add").map((args) => [args["timestamp"], args["name"]])
export const storeError = new StoreError({
  port: "X",
  operation: "y",
  reason: "Unavailable",
  detail: "",
  cause: undefined
})
