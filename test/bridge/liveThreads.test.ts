/** Fifty threads that stream for ten minutes against a workspace that counts as Slack does, in virtual time. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer, Schedule } from "effect"
import { TestClock } from "effect/testing"
import { LiveMessages } from "../../bridge/actions/LiveMessages.ts"
import { Messages } from "../../bridge/actions/Messages.ts"
import { SlackApi, SlackTransport } from "../../bridge/slack/SlackApi.ts"
import { SlackFailure } from "../../bridge/slack/SlackErrors.ts"
import { RateTiers, type Tier } from "../../km-cli/local/workspace/RateTiers.ts"
import { ChannelId, MessageTs, RequestId } from "../../runtime/domain/sandbox/Ids.ts"
import { workingEmoji } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { bridgeOverScript, secretsStored, threadTs } from "./scripted.ts"
import { sandbox } from "./world.ts"

const threads = 50
const minutes = 10
/** What Slack takes for a call. */
const latencyMillis = 150
const tiers: Readonly<Record<string, Tier>> = {
  "chat.postMessage": "channel",
  "chat.update": 3,
  "reactions.add": 3,
  "reactions.remove": 2
}

const textOf = (args: Readonly<Record<string, unknown>>): string => String(args["text"])

/** A workspace with the real limits that keeps what its messages say. */
const makeWorkspace = () => {
  let now = 0
  const limits = new RateTiers({ scale: 1, postPerSecond: 1, postBurst: 4 }, () => now)
  const texts = new Map<string, string>()
  const updates: Array<number> = []
  let posted = 0
  let refused = 0
  const send = Effect.fnUntraced(function*(method: string, args: Readonly<Record<string, unknown>>) {
    yield* Effect.sleep(latencyMillis / 2)
    now = yield* Clock.currentTimeMillis
    const wait = limits.check("bot", method, tiers[method] ?? 4, String(args["channel"]))
    if (wait > 0) {
      refused += 1
      return yield* new SlackFailure({
        method,
        kind: "RateLimited",
        error: "ratelimited",
        retryAfterMillis: wait * 1_000
      })
    }
    if (method === "chat.update") {
      updates.push(now)
      texts.set(`${args["channel"]}/${args["ts"]}`, textOf(args))
    }
    const ts = `1700000001.${String(++posted).padStart(6, "0")}`
    if (method === "chat.postMessage") texts.set(`${args["channel"]}/${ts}`, textOf(args))
    yield* Effect.sleep(latencyMillis / 2)
    return {
      ok: true,
      ts,
      message: { thread_ts: args["thread_ts"] ?? null },
      user_id: "U0BOT00001",
      team_id: "T0TEAM0001"
    }
  })
  return { texts, updates, refused: () => refused, send }
}

const overWorkspace = (workspace: ReturnType<typeof makeWorkspace>) => {
  const api = SlackApi.layerNoDeps.pipe(
    Layer.provide(Layer.succeed(
      SlackTransport,
      SlackTransport.of({ send: (_token, method, args) => workspace.send(method, args) })
    ))
  )
  return bridgeOverScript({ layer: api })
}

describe("fifty live threads for ten minutes", () => {
  it.effect("get no refusal, from Slack or from us, and each ends with its whole text, in time", () => {
    const workspace = makeWorkspace()
    /** Milliseconds from a final answer to its standing in Slack, what Slack takes for it excluded. */
    const finals: Array<number> = []
    const firsts: Array<number> = []
    const expected = new Map<string, string>()
    let failures = 0

    const thread = Effect.fnUntraced(function*(index: number) {
      const lives = yield* LiveMessages
      const messages = yield* Messages
      const channel = ChannelId.make(`C0THREAD${String(index).padStart(2, "0")}`)
      const id = RequestId.make("a".repeat(43))
      const mark = (action: "react" | "unreact", emoji: string) =>
        messages.mark({ action, channel, ts: threadTs, emoji })
      const ends = (index + 1) * minutes * 60_000 / threads
      // Each ends one turn in its own time and begins the next; all end together with the ten minutes.
      for (const [turn, until] of [ends, minutes * 60_000].entries()) {
        const live = `live-thread-${index}-${turn}`.padEnd(20, "0")
        let seq = 0
        const set = Effect.fnUntraced(function*(markdown: string, draft: boolean) {
          const began = yield* Clock.currentTimeMillis
          const answer = yield* lives.set({ sender: sandbox, id }, {
            action: "live.set",
            channel,
            threadTs,
            live,
            seq: seq++,
            markdown,
            ...(draft ? { draft: true } : {})
          })
          return {
            ts: answer.parts?.[0]?.ts ?? MessageTs.make("1.000000"),
            tookMillis: (yield* Clock.currentTimeMillis) - began
          }
        })
        yield* mark("react", workingEmoji)
        if ((yield* Clock.currentTimeMillis) < until) firsts.push((yield* set("first", true)).tookMillis)
        while ((yield* Clock.currentTimeMillis) < until) {
          yield* set(`draft ${seq}`, true)
          yield* Effect.sleep(1_000)
        }
        const end = yield* set(`the whole of turn ${turn} in thread ${index}`, false)
        if (until < minutes * 60_000) finals.push(end.tookMillis - latencyMillis)
        expected.set(`${channel}/${end.ts}`, `the whole of turn ${turn} in thread ${index}`)
        yield* Effect.forkChild(Effect.andThen(mark("react", "white_check_mark"), mark("unreact", workingEmoji)))
      }
    })

    return Effect.gen(function*() {
      yield* secretsStored
      const all = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: threads }, (_, index) => index),
          (index) => thread(index).pipe(Effect.catch(() => Effect.sync(() => void (failures += 1)))),
          {
            concurrency: "unbounded",
            discard: true
          }
        )
      )
      yield* Effect.suspend(() => TestClock.adjust(250)).pipe(
        Effect.repeat(Schedule.recurs(minutes * 60 * 4)),
        Effect.andThen(Effect.repeat(TestClock.adjust(1_000), { until: () => all.pollUnsafe() !== undefined }))
      )
      yield* Fiber.join(all)
      assert.deepStrictEqual([workspace.refused(), failures], [0, 0])
      for (const [message, text] of expected) assert.strictEqual(workspace.texts.get(message), text)
      assert.lengthOf(finals, threads - 1)
      assert.isAtMost(Math.max(...finals), 1_500)
      assert.isAtMost(Math.max(...firsts), 1_500)
    }).pipe(Effect.provide(overWorkspace(workspace)))
  }, 180_000)
})
