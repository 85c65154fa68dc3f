import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { MessageIndex } from "../../../km-cli/local/workspace/MessageIndex.ts"
import { perMinute, RateTiers } from "../../../km-cli/local/workspace/RateTiers.ts"
import { mentions, normaliseText, updateBytes } from "../../../km-cli/local/workspace/Text.ts"
import { errorOf, slackClient, testWorkspace } from "../../support/Workspace.ts"

describe("rate tiers", () => {
  it("allow a minute's worth at once, then the pace of the tier", () => {
    let now = 0
    const tiers = new RateTiers({ scale: 1, postPerSecond: 1, postBurst: 4 }, () => now)
    for (let count = 0; count < perMinute[2]; count++) assert.strictEqual(tiers.check("app", "m", 2, undefined), 0)
    // 20 a minute is one in three seconds.
    assert.strictEqual(tiers.check("app", "m", 2, undefined), 3)
    assert.strictEqual(tiers.check("app", "other", 2, undefined), 0)
    assert.strictEqual(tiers.check("another app", "m", 2, undefined), 0)
    now = 2999
    assert.strictEqual(tiers.check("app", "m", 2, undefined), 1)
    now = 3001
    assert.strictEqual(tiers.check("app", "m", 2, undefined), 0)
  })

  it("allow a short burst of messages in a channel, then one a second, and each channel its own", () => {
    let now = 0
    const tiers = new RateTiers({ scale: 1, postPerSecond: 1, postBurst: 4 }, () => now)
    const post = (channel: string) => tiers.check("app", "chat.postMessage", "channel", channel)
    assert.deepStrictEqual([post("a"), post("a"), post("a"), post("a"), post("a")], [0, 0, 0, 0, 1])
    assert.strictEqual(post("b"), 0)
    now = 1001
    assert.deepStrictEqual([post("a"), post("a")], [0, 1])
  })

  it("are wider when scaled and absent when turned off", () => {
    const scaled = new RateTiers({ scale: 10, postPerSecond: 1, postBurst: 4 }, () => 0)
    for (let count = 0; count < 10; count++) assert.strictEqual(scaled.check("app", "m", 1, undefined), 0)
    assert.strictEqual(scaled.check("app", "m", 1, undefined), 6)
    const off = new RateTiers(undefined, () => 0)
    for (let count = 0; count < 1000; count++) assert.strictEqual(off.check("app", "m", 1, undefined), 0)
  })

  it.live("hold by default, with 429 and Retry-After", () =>
    Effect.gen(function*() {
      const workspace = yield* testWorkspace({ limits: {} })
      const bot = slackClient(workspace, workspace.botToken)
      const made = yield* Effect.promise(() => bot.conversations.create({ name: "limits" }))
      const channel = made.channel?.id ?? ""
      const post = () => bot.chat.postMessage({ channel, text: "x" })
      for (let count = 0; count < 4; count++) yield* Effect.promise(post)
      assert.strictEqual(yield* Effect.promise(() => errorOf(post())), "ratelimited 1")
      const other = yield* Effect.promise(() => bot.conversations.create({ name: "limits-2" }))
      yield* Effect.promise(() => bot.chat.postMessage({ channel: other.channel?.id ?? "", text: "x" }))
    }))
})

describe("message text", () => {
  it("is escaped as Slack escapes it, and links are wrapped", () => {
    assert.strictEqual(normaliseText("a & b < c > d"), "a &amp; b &lt; c &gt; d")
    assert.strictEqual(
      normaliseText("<@U0ABC> see <#C0ABC|x> <!here> <https://a.b|c>"),
      "<@U0ABC> see <#C0ABC|x> <!here> <https://a.b|c>"
    )
    assert.strictEqual(normaliseText("see https://a.b/c?d=1&e=2."), "see <https://a.b/c?d=1&amp;e=2>.")
    assert.strictEqual(normaliseText("> quoted\n> twice\na > b"), "> quoted\n> twice\na &gt; b")
    assert.strictEqual(updateBytes("&"), 5)
    assert.strictEqual(updateBytes("<@U0ABC>"), 8)
    assert.deepStrictEqual([...mentions("<@U0ABC> and <@W0DEF|name> not @U0GHI")], ["U0ABC", "W0DEF"])
  })

  it.prop("once normalised does not change any more", [Schema.String], ([text]) => {
    const once = normaliseText(text)
    assert.strictEqual(normaliseText(once), once)
  })
})

const ts = (index: number) => `${1_700_000_000 + Math.floor(index / 3)}.${String(index + 1).padStart(6, "0")}`

const Bound = Schema.UndefinedOr(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 29 })))

describe("the message index", () => {
  it.prop("gives exactly the window that was asked for", [Bound, Bound, Schema.Boolean], ([from, to, inclusive]) => {
    const index = new MessageIndex()
    for (let count = 0; count < 30; count++) {
      index.add("C", { ts: ts(count), userId: "U", root: undefined, broadcast: false })
    }
    const window = {
      oldest: from === undefined ? undefined : ts(from),
      latest: to === undefined ? undefined : ts(to),
      inclusive
    }
    const expected = Array.from({ length: 30 }, (_, count) => count).filter((count) =>
      (from === undefined || (inclusive ? count >= from : count > from)) &&
      (to === undefined || (inclusive ? count <= to : count < to))
    )
    assert.deepStrictEqual(index.history("C", window), expected.toReversed().map(ts))
  })
})
