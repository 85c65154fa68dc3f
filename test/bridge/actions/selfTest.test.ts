/** What `km slack test` finds, check by check. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SelfTest } from "../../../bridge/actions/SelfTest.ts"
import { privateScopes, requiredScopes } from "../../../runtime/domain/slack/SlackNeeds.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { botUser, bridgeOverScript, channel, limited, refused, scriptedSlack } from "../scripted.ts"
import { otherSandbox, rowOf, sandbox } from "../world.ts"

const all = [...requiredScopes, ...privateScopes]

const auth = (scopes: ReadonlyArray<string> | undefined, changes: object = {}) => ({
  ok: true,
  user_id: botUser,
  bot_id: "B0BOT00001",
  team_id: "T0TEAM0001",
  team: "Lab",
  ...(scopes === undefined ? {} : { response_metadata: { scopes } }),
  ...changes
})

/** The message that was posted last, as the channel's history shows it. */
const history = (slack: () => ReturnType<typeof scriptedSlack>) => () => ({
  ok: true,
  messages: slack().argsOf("chat.postMessage").map((args) => ({
    ts: "1700000001.000001",
    user: botUser,
    metadata: args["metadata"]
  }))
})

const tested = (
  answers: Parameters<typeof scriptedSlack>[0],
  action: { readonly channel?: typeof channel } = { channel },
  rows: ReadonlyArray<ReturnType<typeof rowOf>> = []
) => {
  const slack: ReturnType<typeof scriptedSlack> = scriptedSlack({
    "auth.test": auth(all),
    "conversations.history": history(() => slack),
    ...answers
  })
  return Effect.gen(function*() {
    for (const row of rows) yield* (yield* Sandboxes).insert(row)
    const { checks = [] } = yield* (yield* SelfTest).run({ action: "test", ...action })
    return { checks, slack }
  }).pipe(Effect.provide(bridgeOverScript(slack)))
}

describe("the self-test", () => {
  it.effect("is satisfied with a token that can do all, and takes its message away", () =>
    Effect.gen(function*() {
      const { checks, slack } = yield* tested({})
      assert.deepStrictEqual(checks, [
        { name: "token", ok: true, detail: `${botUser} in Lab` },
        { name: "scopes", ok: true, detail: "all are granted" },
        { name: "metadata", ok: true, detail: "read back" }
      ])
      assert.strictEqual(all.length, 16)
      assert.deepStrictEqual(slack.calls.at(-1), {
        method: "chat.delete",
        args: { channel, ts: "1700000001.000001" }
      })
      const { team: _, ...nameless } = auth(all)
      assert.strictEqual(
        (yield* tested({ "auth.test": nameless })).checks[0]?.detail,
        `${botUser} in the workspace`
      )
      const shapeless = yield* tested({ "auth.test": { ok: true } })
      assert.deepInclude(shapeless.checks[0], { name: "token", ok: false })
    }))

  it.effect("ends with the token when Slack refuses that", () =>
    Effect.gen(function*() {
      const { checks, slack } = yield* tested({ "auth.test": refused("invalid_auth") })
      assert.deepStrictEqual(checks.map(({ name, ok }) => [name, ok]), [["token", false]])
      assert.include(checks[0]?.detail, "invalid_auth")
      assert.deepStrictEqual(slack.methods(), ["auth.test"])
    }))

  it.effect("names the scopes that are missing, or says that Slack did not tell", () =>
    Effect.gen(function*() {
      const some = yield* tested({ "auth.test": auth([...requiredScopes.slice(2), "extra"]) })
      assert.strictEqual(some.checks[1]?.ok, false)
      assert.include(some.checks[1]?.detail, `missing: ${requiredScopes.slice(0, 2).join(", ")};`)
      const open = yield* tested({ "auth.test": auth(requiredScopes) })
      assert.deepStrictEqual(open.checks[1], {
        name: "scopes",
        ok: true,
        detail: `all ${requiredScopes.length} are granted; private channels are not wanted`
      })
      const none = yield* tested({ "auth.test": auth(undefined) })
      assert.deepInclude(none.checks[1], { ok: false, detail: "Slack did not say which scopes the token has" })
      const silent = yield* tested({ "auth.test": auth(undefined, { response_metadata: {} }) })
      assert.deepInclude(silent.checks[1], { ok: false, detail: "Slack did not say which scopes the token has" })
    }))

  it.effect("tells what the metadata came to, and takes its message away all the same", () =>
    Effect.gen(function*() {
      const blind = yield* tested({ "conversations.history": { ok: true, messages: [] } })
      assert.deepInclude(blind.checks[2], { name: "metadata", ok: false })
      assert.include(blind.checks[2]?.detail, "channels:history")
      assert.strictEqual(blind.slack.methods().at(-1), "chat.delete")
      const failing = yield* tested({ "conversations.history": refused("missing_scope") })
      assert.deepInclude(failing.checks[2], { name: "metadata", ok: false })
      assert.include(failing.checks[2]?.detail, "missing_scope")
      assert.strictEqual(failing.slack.methods().at(-1), "chat.delete")
      const stays = yield* tested({ "chat.delete": limited("x") })
      assert.isTrue(stays.checks[2]?.ok)
    }))

  it.effect("takes the channel of any sandbox that is not destroyed, where none is named", () =>
    Effect.gen(function*() {
      const row = rowOf(otherSandbox, channel)
      const found = yield* tested({}, {}, [rowOf(sandbox, "C0ENDED001", { desired: "destroyed" }), row])
      assert.deepStrictEqual(found.slack.argsOf("chat.postMessage").map((args) => args["channel"]), [channel])
      const none = yield* tested({}, {}, [rowOf(sandbox, undefined)])
      assert.deepInclude(none.checks[2], { name: "metadata", ok: false })
      assert.include(none.checks[2]?.detail, "--channel")
      assert.notInclude(none.slack.methods(), "chat.postMessage")
    }))
})
