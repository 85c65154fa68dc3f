import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { TestClock } from "effect/testing"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { text } from "node:stream/consumers"
import {
  signature,
  slackEventTimeoutMillis,
  slackRetryDelays,
  startEventSender
} from "../../../km-cli/local/workspace/EventSender.ts"
import { Faults } from "../../../km-cli/local/workspace/Faults.ts"
import type { Json } from "../../../km-cli/local/workspace/Json.ts"
import { Watch } from "../../../km-cli/local/workspace/Watch.ts"
import { errorOf, slackClient, startReceiver, testWorkspace } from "../../support/Workspace.ts"

const installation = {
  appId: "A0TEST0000",
  teamId: "T000000001",
  botUserId: "U0TEST0000",
  signingSecret: "8f742231b10e8888abcd99yyyzzz85a5",
  verificationToken: "token"
}

/** A sender on the test's clock; its sockets are real. */
const sender = Effect.gen(function*() {
  const receiver = yield* startReceiver(installation.signingSecret)
  const watch = new Watch(() => Date.now())
  const started = yield* startEventSender({
    installation,
    faults: new Faults(),
    watch,
    now: () => Date.now(),
    retryDelays: slackRetryDelays,
    timeoutMillis: slackEventTimeoutMillis
  })
  yield* started.setUrl(receiver.url)
  const ended = () => watch.since(0).filter((change) => change.kind === "delivery")
  /** Waits until that attempt has ended; the sender then sleeps until its next retry. */
  const attemptEnded = (attempt: number) =>
    Effect.callback<Json>((resume) => {
      const look = () => {
        const change = ended().find(({ data }) => data["attempt"] === attempt)
        if (change === undefined) return
        stop()
        resume(Effect.succeed(change.data))
      }
      const stop = watch.listen(look)
      look()
      return Effect.sync(stop)
    })
  const events = { ...started, attempts: () => ended().length }
  const answered = yield* Deferred.make<void>()
  const publish = Effect.sync(() =>
    events.publish({ event: { type: "message", text: "x" }, channel: "C1", isExtShared: false, answered })
  )
  return { answered, attemptEnded, events, publish, receiver }
})

const any = () => true

describe("the event sender", () => {
  it("signs as Slack's documentation shows", () => {
    // The example of docs.slack.dev/authentication/verifying-requests-from-slack.
    const body = Buffer.from(
      "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&" +
        "channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&" +
        "response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F" +
        "96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    assert.strictEqual(
      signature(installation.signingSecret, 1_531_420_618, body),
      "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    )
  })

  it.effect("sends nothing before the call that caused the event was answered", () =>
    Effect.gen(function*() {
      const { answered, events, publish, receiver } = yield* sender
      yield* publish
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(receiver.received.length, 0)
      yield* Deferred.succeed(answered, undefined)
      yield* Effect.promise(() => receiver.until(1, any))
      yield* events.drained
    }))

  it.effect("retries at once, after a minute and after five more, and then no more", () =>
    Effect.gen(function*() {
      const { answered, attemptEnded, events, publish, receiver } = yield* sender
      receiver.answerWith(() => ({ status: 500 }))
      yield* Deferred.succeed(answered, undefined)
      yield* publish
      yield* attemptEnded(0)
      assert.strictEqual(receiver.received.length, 1)
      yield* TestClock.adjust("0 millis")
      yield* attemptEnded(1)
      yield* TestClock.adjust("59999 millis")
      assert.strictEqual(receiver.received.length, 2)
      yield* TestClock.adjust("1 millis")
      yield* attemptEnded(2)
      yield* TestClock.adjust("299999 millis")
      assert.strictEqual(receiver.received.length, 3)
      yield* TestClock.adjust("1 millis")
      yield* attemptEnded(3)
      yield* events.drained
      assert.deepStrictEqual(receiver.received.map(({ retryNum }) => retryNum), [undefined, "1", "2", "3"])
    }))

  it.effect("gives a receiver three seconds, not less", () =>
    Effect.gen(function*() {
      const { answered, attemptEnded, events, publish, receiver } = yield* sender
      receiver.answerWith(({ retryNum }) => ({ hang: retryNum === undefined }))
      yield* Deferred.succeed(answered, undefined)
      yield* publish
      yield* Effect.promise(() => receiver.until(1, any))
      yield* TestClock.adjust("2999 millis")
      assert.strictEqual(events.attempts(), 0)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* attemptEnded(0))["reason"], "http_timeout")
      yield* TestClock.adjust("0 millis")
      yield* attemptEnded(1)
      yield* events.drained
      assert.strictEqual(receiver.received[1]?.retryReason, "http_timeout")
    }))
})

describe("an event sender and a receiver that closes a connection just when it is used again", () => {
  it.live("delivers every event at the first attempt", () =>
    Effect.gen(function*() {
      const served = new WeakSet<object>()
      const server = yield* Effect.acquireRelease(
        Effect.callback<http.Server>((resume) => {
          const receiver = http.createServer((request, response) => {
            if (served.has(request.socket)) return void request.socket.destroy()
            served.add(request.socket)
            void text(request).then((body) => response.end((JSON.parse(body) as Json)["challenge"] ?? ""))
          })
          receiver.listen(0, "127.0.0.1", () => resume(Effect.succeed(receiver)))
        }),
        (receiver) => Effect.sync(() => receiver.close())
      )
      const watch = new Watch(() => Date.now())
      const started = yield* startEventSender({
        installation,
        faults: new Faults(),
        watch,
        now: () => Date.now(),
        retryDelays: slackRetryDelays,
        timeoutMillis: 60_000
      })
      yield* started.setUrl(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
      const answered = yield* Deferred.make<void>()
      yield* Deferred.succeed(answered, undefined)
      for (let event = 0; event < 3; event++) {
        started.publish({ event: { type: "message", text: "x" }, channel: "C1", isExtShared: false, answered })
        yield* started.drained
      }
      const deliveries = watch.since(0).filter(({ kind }) => kind === "delivery")
      assert.deepStrictEqual(deliveries.map(({ data }) => [data["attempt"], data["ok"]]), [[0, true], [0, true], [
        0,
        true
      ]])
    }).pipe(Effect.scoped))
})

describe("what a workspace says when it cannot be", () => {
  it.live("names the port that is taken, the name that is used twice, and the receiver that is silent", () =>
    Effect.gen(function*() {
      const first = yield* testWorkspace()
      const port = Number(new URL(first.url).port)
      const taken = yield* Effect.flip(testWorkspace({ port }))
      assert.include(taken.message, String(port))
      const twin = { name: "ada", realName: "Ada", email: "a@lab.test" }
      const twice = yield* Effect.flip(testWorkspace({ users: [twin, twin] }))
      assert.include(twice.message, "the name ada")
      const silent = yield* Effect.flip(testWorkspace({ eventsUrl: "http://127.0.0.1:1/" }))
      assert.strictEqual(silent.reason, "events-url")
      // What had been started was ended again: the port is free.
      yield* first.close
      yield* testWorkspace({ port })
    }))

  it.live("says that a token was revoked", () =>
    Effect.gen(function*() {
      const workspace = yield* testWorkspace()
      const bot = slackClient(workspace, workspace.botToken)
      yield* workspace.revoke(workspace.botToken)
      assert.strictEqual(yield* Effect.promise(() => errorOf(bot.auth.test())), "token_revoked")
    }))
})
