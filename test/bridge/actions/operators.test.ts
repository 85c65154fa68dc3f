import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ChannelId, MessageTs, requestIdOf, UserId } from "../../../runtime/domain/sandbox/Ids.ts"
import { Idempotency } from "../../../runtime/ports/Idempotency.ts"
import { Posts } from "../../../runtime/ports/Posts.ts"
import { Reports } from "../../../runtime/ports/Reports.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { profileWith } from "../../support/profiles.ts"
import { userIdOf } from "../../support/Workspace.ts"
import { bridgeOver, callV2, furnish, install, sandbox } from "../world.ts"
import { channelIn, ensureNamed, operate, partsOf, scene } from "./scene.ts"

/** Asks for a channel with people in it. */
const ensureWith = (key: string, changes: object) =>
  operate(key, {
    action: "channel.ensure",
    sandbox,
    name: "sb-demo",
    private: false,
    topic: "a topic",
    inviteEmails: ["grace@lab.test", "nobody@lab.test"],
    ...changes
  })

describe("operators", () => {
  it.live("get a channel with people in it, a second name where the first is taken, and the old one linked", () =>
    Effect.gen(function*() {
      const { bot, channel, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const made: { channel?: { id: string; name: string; created: boolean; warnings: Array<string> } } =
          (yield* ensureWith("a", {})).json
        assert.strictEqual(made.channel?.name, "sb-demo-2")
        assert.isTrue(made.channel?.created)
        const members = yield* Effect.promise(() => bot.conversations.members({ channel: made.channel?.id ?? "" }))
        assert.isTrue(members.members?.includes(userIdOf(workspace, "grace")))
        const again: typeof made = (yield* ensureWith("b", { previous: made.channel?.id })).json
        assert.deepStrictEqual([again.channel?.id, again.channel?.created], [made.channel?.id, false])
        assert.strictEqual((yield* operate("c", { action: "archive", channel: made.channel?.id })).status, 200)
        assert.strictEqual((yield* operate("d", { action: "archive", channel: made.channel?.id })).status, 200)
        const third: typeof made = (yield* ensureWith("e", { previous: made.channel?.id })).json
        assert.strictEqual(third.channel?.name, "sb-demo-3")
        const texts = (yield* workspace.messages(third.channel?.id ?? "")).map(({ message }) => String(message["text"]))
        assert.isTrue(texts.some((text) => text.includes(made.channel?.id ?? "none")), texts.join())
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("find a sandbox's channel as it is: no second topic, nobody invited again, no link to what is not archived", () =>
    Effect.gen(function*() {
      const { channel, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const before = yield* workspace.messages(channel)
        for (const key of ["a", "b"]) {
          const again = yield* ensureWith(key, { previous: channel })
          assert.deepStrictEqual(
            [again.json["channel"]],
            [{ id: channel, name: channelIn(again).name, created: false, warnings: [] }]
          )
        }
        assert.deepStrictEqual(yield* workspace.messages(channel), before)
        // A workspace that does not know the channel before has nothing to link.
        const fresh = channelIn(yield* ensureWith("c", { previous: "C0000UNKNOWN" }))
        assert.strictEqual(fresh.name, "sb-demo-2")
        const texts = (yield* workspace.messages(fresh.id)).map(({ message }) => String(message["text"]))
        assert.isFalse(texts.some((text) => text.includes("continues")), texts.join())
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("get the channel that a bridge made before it died, and one shared channel for all who share", () =>
    Effect.gen(function*() {
      const { channel, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const made = channelIn(yield* ensureNamed("a", "sb-lost"))
        // The same request again, as if its first attempt had died after Slack's answer.
        yield* (yield* Idempotency).begin(`${install}/operator`, requestIdOf("b"), "", 0)
        assert.strictEqual(channelIn(yield* ensureNamed("b", "sb-lost")).id, made.id)
        // Another request is another sandbox's: it must not move in.
        assert.strictEqual(channelIn(yield* ensureNamed("c", "sb-lost")).name, "sb-lost-2")

        yield* (yield* Sandboxes).update(sandbox, { profile: profileWith({ notifySlackEnabled: true }) })
        const first = channelIn(yield* ensureNamed("d", "km-shared"))
        const second = channelIn(yield* ensureNamed("e", "km-shared"))
        assert.deepStrictEqual([second.id, second.name, second.created], [first.id, "km-shared", false])
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("prove the token, the scopes and the metadata, and leave nothing behind", () =>
    Effect.gen(function*() {
      const { channel, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const answer: { checks?: Array<{ name: string; ok: boolean }> } = (yield* operate("a", { action: "test" })).json
        assert.deepStrictEqual(
          answer.checks?.map(({ name, ok }) => [name, ok]),
          [["token", true], ["scopes", true], ["metadata", true]],
          JSON.stringify(answer)
        )
        assert.lengthOf(yield* workspace.messages(channel), 1)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("purge what the bridge remembers; a sandbox reports that it is alive and finds its thread", () =>
    Effect.gen(function*() {
      const { channel, ts, workspace } = yield* scene
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const session = "3f0c1f1e-0000-4000-8000-000000000001"
        yield* callV2("a", { action: "thread.put", channel, threadTs: ts, session })
        const found = yield* callV2("b", { action: "thread.lookup", threadTs: ts })
        assert.deepStrictEqual(found.json["thread"], { channel, threadTs: ts, session })
        assert.deepStrictEqual(
          (yield* callV2("c", { action: "thread.lookup", session })).json["thread"],
          found.json["thread"]
        )
        const user = UserId.make(userIdOf(workspace, "eve"))
        assert.deepNestedInclude((yield* callV2("d", { action: "user.lookup", user })).json, { "user.external": true })
        yield* callV2("e", {
          action: "activity",
          lastActiveAt: Date.now() + 3_600_000,
          ready: true,
          confined: true,
          plugins: [{ id: "transcript", state: "running", detail: "" }]
        })
        const report = yield* (yield* Reports).get(sandbox)
        assert.isAtMost(report.lastActiveAt ?? Number.POSITIVE_INFINITY, Date.now())
        assert.deepInclude(report, { ready: true, confined: true })
        const [own] = partsOf(yield* callV2("f", { action: "post", channel, threadTs: ts, markdown: "x" }))
        assert.strictEqual((yield* operate("g", { action: "purge", sandbox })).status, 200)
        assert.notProperty((yield* callV2("h", { action: "thread.lookup", threadTs: ts })).json, "thread")
        const owner = yield* (yield* Posts).owner(ChannelId.make(channel), MessageTs.make(own ?? ""))
        assert.strictEqual(owner._tag, "None")
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})
