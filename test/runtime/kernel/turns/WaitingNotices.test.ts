/** What people are told of messages that waited when their sandbox went: in each thread, or summed up in the channel. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import {
  ChannelId,
  GroupId,
  InstallName,
  MessageTs,
  SandboxId,
  slackTurnKey,
  TeamId,
  UserId
} from "../../../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../../../runtime/domain/sandbox/Sandbox.ts"
import { TurnRequest } from "../../../../runtime/domain/turn/Turn.ts"
import { maxThreadNotes, waitingNotices } from "../../../../runtime/kernel/turns/WaitingNotices.ts"
import { slackProfile } from "../../../support/profiles.ts"

const row: SandboxRow = {
  id: SandboxId.make("sb-1a2b3c4d"),
  install: InstallName.make("km"),
  profile: slackProfile,
  desired: "destroyed",
  status: "destroying",
  unconfined: false,
  createdAt: 17,
  generation: "g1",
  inventory: []
}
const encode = Schema.encodeSync(Schema.fromJsonString(TurnRequest))
const team = TeamId.make("T0001")
const tsOf = (n: number) => MessageTs.make(`${1_700_000_000 + n}.000001`)

/** The n-th message, in the thread of another where one is named. */
const message = (
  n: number,
  { channel: name = "C0001", inThread = n, state = "waiting", text = "hello", userName = "Ann" }: {
    readonly channel?: string
    readonly inThread?: number
    readonly state?: "waiting" | "in-flight" | "dead"
    readonly text?: string
    readonly userName?: string
  } = {}
) => {
  const channel = ChannelId.make(name)
  const key = slackTurnKey(team, channel, tsOf(n))
  const group = GroupId.make(`${channel}:${tsOf(inThread)}`)
  const origin = {
    kind: "slack",
    team,
    channel,
    ts: tsOf(n),
    threadTs: tsOf(inThread),
    user: UserId.make("U0001"),
    userName
  } as const
  const body = encode({ key, group, origin, text, files: [], acceptedAt: 0 })
  return { key, group, body, ...(state === "dead" ? {} : { state }) }
}
const markdownOf = ({ groups }: ReturnType<typeof waitingNotices>) =>
  groups.map(({ post }) => post.action.action === "post" ? post.action.markdown : "")

describe("in each thread", () => {
  it("one message is told of once, by a note and a mark of its own keys", () => {
    const { groups, summed } = waitingNotices(row, [message(1, { inThread: 0 })])
    const { key } = message(1)
    assert.isFalse(summed)
    assert.deepStrictEqual(groups, [{
      post: {
        key: `${key}/teardown/0`,
        action: {
          action: "post",
          channel: ChannelId.make("C0001"),
          threadTs: tsOf(0),
          markdown: "**Not run.** The sandbox was destroyed before this message's turn came. " +
            "Ask again in another sandbox's channel. (KM-TRN-020)"
        }
      },
      marks: [{
        key: `${key}/teardown/1`,
        action: { action: "react", channel: ChannelId.make("C0001"), ts: tsOf(1), emoji: "x" }
      }]
    }])
  })

  it("messages of one thread share a note, which is the first one's; of another channel none is", () => {
    const notices = waitingNotices(row, [
      message(1),
      message(2),
      message(3, { inThread: 1 }),
      message(1, { channel: "C0002" })
    ])
    assert.deepStrictEqual(notices.groups.map(({ marks, post }) => [post.key, marks.map(({ key }) => key)]), [
      [`${message(1).key}/teardown/0`, [`${message(1).key}/teardown/1`, `${message(3).key}/teardown/1`]],
      [`${message(2).key}/teardown/0`, [`${message(2).key}/teardown/1`]],
      [`${message(1, { channel: "C0002" }).key}/teardown/0`, [`${message(1, { channel: "C0002" }).key}/teardown/1`]]
    ])
    assert.include(markdownOf(notices)[0], "before the turn of these 2 messages came.")
    assert.include(markdownOf(notices)[1], "before this message's turn came.")
  })

  it("what was worked on may have done something, and nobody is told that it has not", () => {
    const [first, second, third] = markdownOf(waitingNotices(row, [
      message(1),
      message(2, { inThread: 1, state: "in-flight" }),
      message(3, { state: "in-flight" }),
      message(4, { state: "dead" })
    ]))
    assert.include(first, "**Not finished.** The sandbox was destroyed before the turn of these 2 messages had ended.")
    assert.include(second, "**Not finished.** The sandbox was destroyed before this message's turn had ended.")
    assert.include(third, "**Not run.**")
  })

  it("mail and what cannot be read is nobody's to be told of here", () => {
    const other = { key: message(1).key, group: message(1).group, state: "waiting" } as const
    assert.deepStrictEqual(waitingNotices(row, [{ ...other, body: "{}" }]), { groups: [], summed: false })
    assert.deepStrictEqual(waitingNotices(row, []), { groups: [], summed: false })
  })
})

const many = (count: number, more: Parameters<typeof message>[1] = {}) =>
  Array.from({ length: count }, (_, n) => message(n + 1, more))

/** The line of a summary for a message with these words. */
const line = (text: string, userName = "Ann") =>
  markdownOf(waitingNotices(row, [message(1, { text, userName }), ...many(21).slice(1)]))[0]?.split("\n")[2]

describe("summed up in the channel", () => {
  it("begins with one thread more than Slack takes notes of in a while", () => {
    assert.strictEqual(maxThreadNotes, 20)
    const most = waitingNotices(row, many(20))
    assert.isFalse(most.summed)
    assert.lengthOf(most.groups, 20)
    const more = waitingNotices(row, many(21))
    assert.isTrue(more.summed)
    assert.lengthOf(more.groups, 1)
    // Threads count, not messages.
    assert.isFalse(waitingNotices(row, many(60, { inThread: 1 })).summed)
  })

  it("names who wrote what and when, and marks each message", () => {
    const { groups } = waitingNotices(row, many(21))
    const [group] = groups
    assert.deepStrictEqual(group?.marks.map(({ key }) => key), many(21).map(({ key }) => `${key}/teardown/1`))
    assert.match(group?.post.key ?? "", /^end\/sb-1a2b3c4d\/17\/waiting\/[0-9a-f]{64}$/)
    const { action } = group?.post ?? {}
    assert.isUndefined(action?.action === "post" ? action.threadTs : "")
    const [head, gap, first, ...others] = action?.action === "post" ? action.markdown.split("\n") : []
    assert.strictEqual(
      head,
      "**Not run.** 21 messages waited when the sandbox was destroyed; none of them was run. " +
        "Ask again in another sandbox's channel. (KM-TRN-020)"
    )
    assert.strictEqual(gap, "")
    assert.strictEqual(first, "- Ann, 2023-11-14 22:13 UTC: hello")
    assert.lengthOf(others, 20)
  })

  it("says so when one of them was worked on", () => {
    assert.include(
      markdownOf(waitingNotices(row, [...many(20), message(21, { state: "in-flight" })]))[0],
      "**Not finished.** 21 messages waited or were worked on when the sandbox was destroyed; none of them has ended. Ask"
    )
  })

  it("takes 80 messages for a post, each channel its own", () => {
    const notices = waitingNotices(row, [...many(81), ...many(2, { channel: "C0002" })])
    assert.deepStrictEqual(notices.groups.map(({ marks }) => marks.length), [80, 1, 2])
    const [first, second, third] = markdownOf(notices)
    assert.match(first ?? "", /^\*\*Not run\.\*\* 81 messages waited/)
    assert.match(second ?? "", /^\*\*Continued:\*\*\n\n- Ann, [^\n]+$/)
    assert.match(third ?? "", /^\*\*Not run\.\*\* 2 messages waited/)
    assert.strictEqual(new Set(notices.groups.map(({ post }) => post.key)).size, 3)
    assert.deepStrictEqual(
      notices.groups.map(({ post }) => post.key),
      waitingNotices(row, [...many(81), ...many(2, { channel: "C0002" })]).groups.map(({ post }) => post.key),
      "the same on every attempt"
    )
  })

  it("shows 60 characters of what a person wrote, and no markup of theirs", () => {
    assert.strictEqual(line("x".repeat(60)), `- Ann, 2023-11-14 22:13 UTC: ${"x".repeat(60)}`)
    assert.strictEqual(line("x".repeat(61)), `- Ann, 2023-11-14 22:13 UTC: ${"x".repeat(60)}…`)
    assert.strictEqual(line("é😀".repeat(30)), `- Ann, 2023-11-14 22:13 UTC: ${"é ".repeat(30).trim()}`)
    assert.strictEqual(line("  <@U1>\n\n*go* — `rm`  "), "- Ann, 2023-11-14 22:13 UTC: U1 go rm")
    assert.strictEqual(line("don't: a/b, c; d? e! 1.5-2"), "- Ann, 2023-11-14 22:13 UTC: don't: a/b, c; d? e! 1.5-2")
    assert.strictEqual(line("<>", "<!here>"), "- !here, 2023-11-14 22:13 UTC: (no words)")
  })
})
