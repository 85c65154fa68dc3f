import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { once } from "node:events"
import { createServer } from "node:net"
import { bridgeErrors, errorCodes, eventErrors } from "../../../bridge/BridgeErrors.ts"
import { BridgeSettings } from "../../../bridge/BridgeSettings.ts"
import { CallQueue } from "../../../bridge/slack/CallQueue.ts"
import { maxRetryAfterMillis, SlackApi } from "../../../bridge/slack/SlackApi.ts"
import { isBlockError, kindOfSlackError, refusalOfSlack, SlackFailure } from "../../../bridge/slack/SlackErrors.ts"
import { SlackSecrets } from "../../../bridge/slack/SlackSecrets.ts"
import type { FaultRule } from "../../../km-cli/local/workspace/Faults.ts"
import { BridgeErrorCode } from "../../../runtime/domain/slack/BridgeProtocol.ts"
import * as MemorySecrets from "../../../runtime/ports/memory/MemorySecrets.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { testWorkspace } from "../../support/Workspace.ts"
import { certifier, host, install } from "../world.ts"

const apiOver = (slackApiUrl: string) =>
  SlackApi.layer.pipe(
    Layer.provide(SlackSecrets.layer),
    Layer.provide(CallQueue.layer),
    Layer.provideMerge(MemorySecrets.layer),
    Layer.provideMerge(BridgeSettings.layer({
      install,
      host,
      publicUrl: "http://bridge.test",
      certifierPublicKey: certifier.publicKey,
      slackApiUrl,
      operators: new Set(),
      rateScale: 1_000
    }))
  )

/** A port that was free a moment ago and on which nobody listens. */
const closedPort = Effect.promise(async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return typeof address === "object" && address !== null ? address.port : 0
})

const failure = (error: string, kind: SlackFailure["kind"] = kindOfSlackError(error)) =>
  new SlackFailure({ method: "chat.postMessage", kind, error, retryAfterMillis: 0 })

describe("SlackApi", () => {
  it.live("says of every failure whether something may have happened, and never the token", () =>
    Effect.gen(function*() {
      const workspace = yield* testWorkspace()
      yield* Effect.gen(function*() {
        const slack = yield* SlackApi
        const none = yield* Effect.flip(slack.call("auth.test", {}))
        assert.deepStrictEqual([none.kind, none.error], ["Unready", "no bot token is stored under slack/bot-token"])
      }).pipe(Effect.provide(apiOver(workspace.apiUrl)))
      yield* Effect.gen(function*() {
        const slack = yield* SlackApi
        yield* (yield* Secrets).put("slack/bot-token", Redacted.make(workspace.botToken))
        const cases: ReadonlyArray<readonly [FaultRule, SlackFailure["kind"], string, number]> = [
          [{ method: "auth.test", fault: { kind: "server-error" } }, "Uncertain", "HTTP 500", 0],
          [
            { method: "auth.test", fault: { kind: "drop-after" } },
            "Uncertain",
            "no answer (timeout or broken connection)",
            0
          ],
          [{ method: "auth.test", fault: { kind: "refuse", error: "fatal_error" } }, "Uncertain", "fatal_error", 0],
          [{ method: "auth.test", fault: { kind: "refuse", error: "is_archived" } }, "Refused", "is_archived", 0],
          [
            { method: "auth.test", fault: { kind: "rate-limit", retryAfterSeconds: 61 } },
            "RateLimited",
            "ratelimited",
            61_000
          ]
        ]
        for (const [rule, kind, error, retryAfterMillis] of cases) {
          yield* workspace.faults.add(rule)
          const seen = yield* Effect.flip(slack.call("auth.test", {}))
          assert.deepStrictEqual([seen.kind, seen.error, seen.retryAfterMillis], [kind, error, retryAfterMillis])
          assert.notInclude(JSON.stringify(seen) + String(seen), workspace.botToken)
        }
        // What waits out Slack's Retry-After makes no call meanwhile.
        assert.isAbove(61_000, maxRetryAfterMillis)
        const held = yield* Effect.forkChild(slack.call("auth.test", {}), { startImmediately: true })
        yield* slack.call("api.test", {})
        assert.isUndefined(held.pollUnsafe())
        assert.lengthOf(yield* workspace.calls.list({ method: "auth.test" }), cases.length)
      }).pipe(Effect.provide(apiOver(workspace.apiUrl)))
    }))

  it.live("knows that nothing was sent where nobody listens", () =>
    Effect.gen(function*() {
      const port = yield* closedPort
      yield* Effect.gen(function*() {
        yield* (yield* Secrets).put("slack/bot-token", Redacted.make("xoxb-test"))
        const slack = yield* SlackApi
        const seen = yield* Effect.flip(slack.call("auth.test", {}))
        assert.deepStrictEqual([seen.kind, seen.error], ["Unready", "no connection (ECONNREFUSED)"])
      }).pipe(Effect.provide(apiOver(`http://127.0.0.1:${port}/api/`)))
    }))
})

describe("errors", () => {
  it("of Slack become the protocol's codes by one table", () => {
    const expected: Readonly<Record<string, string>> = {
      is_archived: "is_archived",
      channel_not_found: "channel_not_found",
      not_in_channel: "not_in_channel",
      token_revoked: "token_revoked",
      account_inactive: "token_revoked",
      missing_scope: "slack_refused",
      something_new: "slack_refused",
      ratelimited: "rate_limited",
      internal_error: "unavailable",
      "<html>gateway</html>": "unavailable"
    }
    for (const [error, code] of Object.entries(expected)) {
      assert.strictEqual(refusalOfSlack(failure(error)).code, code, error)
    }
    assert.isTrue(refusalOfSlack(failure("internal_error")).uncertain)
    assert.isUndefined(refusalOfSlack(failure("x", "RateLimited")).uncertain)
  })

  it("about blocks are told from errors about places", () => {
    for (
      const error of [
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_attachments",
        "msg_blocks_too_long",
        "msg_too_long"
      ]
    ) {
      assert.isTrue(isBlockError(error), error)
    }
    for (const error of ["channel_not_found", "is_archived", "not_in_channel", "token_revoked"]) {
      assert.isFalse(isBlockError(error), error)
    }
  })

  it("have one code each, with a remedy", () => {
    const codes = errorCodes.map(({ code }) => code)
    assert.strictEqual(new Set(codes).size, codes.length)
    assert.deepStrictEqual(Object.keys(bridgeErrors).toSorted(), [...BridgeErrorCode.literals].toSorted())
    assert.isAtLeast(codes.length, Object.keys(bridgeErrors).length + Object.keys(eventErrors).length)
    for (const { code, remedy, what } of errorCodes) {
      assert.match(code, /^KM-SLK-\d{3}$/)
      assert.isAbove(Math.min(what.length, remedy.length), 10)
    }
  })
})
