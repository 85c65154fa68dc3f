import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { Acceptance } from "../../bridge/events/Acceptance.ts"
import { Marks } from "../../bridge/events/Marks.ts"
import type { WorkspaceHandle } from "../../km-cli/local/workspace/Workspace.ts"
import { ChannelId, MessageTs, SandboxId, TeamId, UserId } from "../../runtime/domain/sandbox/Ids.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { Seen } from "../../runtime/ports/Seen.ts"
import { profileWith } from "../support/profiles.ts"
import { userIdOf } from "../support/Workspace.ts"
import { bridgeOver, callsOf, codeOf, furnish, room, rowOf, sandbox, say, sendEvent, waiting } from "./world.ts"

interface EventFields {
  readonly ts?: string
  readonly text?: string
  readonly user?: string
  readonly [key: string]: unknown
}

/** A full envelope as Slack sends it. */
const envelope = (
  workspace: WorkspaceHandle,
  channel: string,
  event: EventFields = {},
  outer: Readonly<Record<string, unknown>> = {}
) => ({
  token: "unused",
  team_id: workspace.teamId,
  api_app_id: workspace.appId,
  type: "event_callback",
  event_id: `Ev${event.ts ?? "1"}`,
  authorizations: [{ team_id: workspace.teamId, user_id: workspace.botUserId, is_bot: true }],
  is_ext_shared_channel: false,
  event: {
    type: "message",
    channel,
    user: userIdOf(workspace, "ada"),
    team: workspace.teamId,
    text: "hello",
    ts: "1700000000.000100",
    channel_type: "channel",
    ...event
  },
  ...outer
})

describe("POST /events refuses", () => {
  it.live("what is not Slack's, with a stable code, and stores nothing", () =>
    Effect.gen(function*() {
      const { channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const secret = workspace.signingSecret
        const good = JSON.stringify(envelope(workspace, channel))
        const now = Math.floor(Date.now() / 1000)
        const cases: ReadonlyArray<readonly [string, number, string, Parameters<typeof sendEvent>]> = [
          ["wrong signature", 401, "KM-SLK-002", [secret, good, { signature: `v0=${"0".repeat(64)}` }]],
          ["missing signature", 401, "KM-SLK-002", [secret, good, { signature: "" }]],
          ["another secret", 401, "KM-SLK-002", ["another", good]],
          ["stale", 401, "KM-SLK-003", [secret, good, { timestamp: now - 302 }]],
          ["future", 401, "KM-SLK-003", [secret, good, { timestamp: now + 3_000 }]],
          ["over the cap", 413, "KM-SLK-001", [secret, " ".repeat(1024 * 1024 + 1)]],
          ["not UTF-8", 400, "KM-SLK-004", [secret, Buffer.from([0x7b, 0xff, 0x7d])]],
          ["not JSON", 400, "KM-SLK-005", [secret, "{"]],
          ["half a character", 400, "KM-SLK-006", [secret, good.replace("hello", "\\ud83d")]],
          ["a control character", 400, "KM-SLK-006", [secret, good.replace("hello", "\\u0000")]],
          ["no envelope", 400, "KM-SLK-007", [secret, "[]"]],
          ["an event of another shape", 400, "KM-SLK-007", [
            secret,
            good.replace("\"ts\":\"1700000000.000100\"", "\"ts\":1")
          ]],
          [
            "another app",
            403,
            "KM-SLK-008",
            [secret, JSON.stringify(envelope(workspace, channel, {}, { api_app_id: "A0OTHER001" }))]
          ],
          [
            "another workspace",
            403,
            "KM-SLK-008",
            [secret, JSON.stringify(envelope(workspace, channel, {}, { authorizations: [{ team_id: "T0OTHER001" }] }))]
          ]
        ]
        for (const [what, status, code, input] of cases) {
          const answer = yield* sendEvent(...input)
          assert.strictEqual(answer.status, status, what)
          assert.strictEqual(codeOf(answer), code, what)
          assert.strictEqual(answer.headers.get("x-slack-no-retry"), "1", what)
        }
        assert.lengthOf(yield* waiting, 0)
        assert.isTrue(
          (yield* (yield* Seen).find([`turn:${workspace.teamId}:${channel}:1700000000.000100`]))._tag === "None"
        )
        assert.strictEqual((yield* sendEvent(secret, good)).status, 200)
        assert.lengthOf(yield* waiting, 1)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("the handshake only when it is signed, and takes either secret while one is rotated", () =>
    Effect.gen(function*() {
      const { channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* (yield* Secrets).put("slack/signing-secret", Redacted.make("new-secret\nold-secret"))
        const body = JSON.stringify({ type: "url_verification", challenge: "c-1" })
        assert.deepStrictEqual((yield* sendEvent("new-secret", body)).json, { challenge: "c-1" })
        assert.deepStrictEqual((yield* sendEvent("old-secret", body)).json, { challenge: "c-1" })
        const unsigned = yield* sendEvent("stranger", body)
        assert.strictEqual(unsigned.status, 401)
        assert.notProperty(unsigned.json, "challenge")
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("with 503 what cannot be stored, and a channel that may only be invisible yet", () =>
    Effect.gen(function*() {
      const { channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const send = (to: string) =>
          sendEvent(workspace.signingSecret, JSON.stringify(envelope(workspace, to, { ts: "1700000000.000200" })))
        const sandboxes = yield* Sandboxes
        const young = SandboxId.make("sb-00000003")
        yield* sandboxes.insert(rowOf(young, undefined, { createdAt: Date.now(), status: "creating" }))
        const hidden = yield* send("C0UNKNOWN1")
        assert.deepStrictEqual([hidden.status, codeOf(hidden)], [503, "KM-SLK-010"])
        assert.isNull(hidden.headers.get("x-slack-no-retry"))
        // A row with a channel but without a queue: the message has nowhere to go.
        yield* sandboxes.update(young, { channel: ChannelId.make("C0UNKNOWN1") })
        const nowhere = yield* send("C0UNKNOWN1")
        assert.deepStrictEqual([nowhere.status, codeOf(nowhere)], [503, "KM-SLK-009"])
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})

describe("POST /events takes", () => {
  it.live("the same event four times at once, and message beside app_mention, as one turn with one 👀", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const ts = yield* say(ada, channel, "hello")
        const body = JSON.stringify(envelope(workspace, channel, { ts, client_msg_id: "c-1" }))
        const mention = JSON.stringify(
          envelope(workspace, channel, { ts, type: "app_mention" }, { event_id: "EvMENTION" })
        )
        const answers = yield* Effect.forEach(
          [body, body, body, body, mention],
          (each) => sendEvent(workspace.signingSecret, each),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(answers.map(({ status }) => status), [200, 200, 200, 200, 200])
        yield* sendEvent(workspace.signingSecret, body)
        yield* (yield* Marks).drain
        assert.lengthOf(yield* waiting, 1)
        assert.strictEqual(yield* callsOf(workspace, "reactions.add"), 1)
        // The same gesture under another ts, as a second event.
        const again = { ts: "1700000000.000900", client_msg_id: "c-1" }
        yield* sendEvent(workspace.signingSecret, JSON.stringify(envelope(workspace, channel, again)))
        assert.lengthOf(yield* waiting, 1)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("only what a person said: no bots, no subtypes, nothing of our own", () =>
    Effect.gen(function*() {
      const { channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const send = (event: EventFields) =>
          sendEvent(workspace.signingSecret, JSON.stringify(envelope(workspace, channel, event)))
        const ignored: ReadonlyArray<EventFields> = [
          { ts: "1700000000.000301", bot_id: "B0OTHER001" },
          { ts: "1700000000.000302", user: workspace.botUserId },
          { ts: "1700000000.000303", subtype: "channel_join" },
          { ts: "1700000000.000304", text: "  " },
          { ts: "1700000000.000305", type: "reaction_removed" }
        ]
        for (const event of ignored) assert.strictEqual((yield* send(event)).status, 200)
        const elsewhere = JSON.stringify(envelope(workspace, "C0UNKNOWN1"))
        assert.strictEqual((yield* sendEvent(workspace.signingSecret, elsewhere)).status, 200)
        assert.lengthOf(yield* waiting, 0)
        yield* send({ ts: "1700000000.000306", subtype: "thread_broadcast", thread_ts: "1700000000.000001" })
        yield* send({
          ts: "1700000000.000307",
          subtype: "file_share",
          text: "",
          files: [{ id: "F1", name: "a.txt", mimetype: "text/plain", size: 3 }]
        })
        const entries = yield* waiting
        assert.deepStrictEqual(entries.map(({ group }) => group), [
          `${channel}:1700000000.000001`,
          `${channel}:1700000000.000307`
        ])
        assert.include(entries[1]?.body, "\"a.txt\"")
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("our own team and named outsiders; others get 🚫 once", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* room()
      const eve = userIdOf(workspace, "eve")
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const ts = yield* say(ada, channel, "hello")
        const outside = { ts, user: eve, user_team: "T0ELSEWHERE", team: "T0ELSEWHERE" }
        const body = JSON.stringify(envelope(workspace, channel, outside, { is_ext_shared_channel: true }))
        for (let delivery = 0; delivery < 3; delivery++) {
          assert.strictEqual((yield* sendEvent(workspace.signingSecret, body)).status, 200)
        }
        yield* (yield* Marks).drain
        assert.lengthOf(yield* waiting, 0)
        const message = yield* workspace.thread(channel, ts)
        assert.include(JSON.stringify(message?.message["reactions"]), "no_entry_sign")
        assert.strictEqual(yield* callsOf(workspace, "reactions.add"), 1)
        yield* (yield* Sandboxes).update(sandbox, {
          profile: profileWith({
            notifySlackEnabled: true,
            notifySlackPerSandbox: true,
            notifySlackInboundEnabled: true,
            notifySlackInboundAllow: [eve]
          })
        })
        yield* sendEvent(workspace.signingSecret, body)
        assert.lengthOf(yield* waiting, 1)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("with mention-only, mentions and replies in an engaged thread", () =>
    Effect.gen(function*() {
      const { channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(
          workspace,
          channel,
          profileWith({
            notifySlackEnabled: true,
            notifySlackPerSandbox: true,
            notifySlackInboundEnabled: true,
            notifySlackInboundMentionOnly: true
          })
        )
        const send = (event: EventFields) =>
          sendEvent(workspace.signingSecret, JSON.stringify(envelope(workspace, channel, event)))
        yield* send({ ts: "1700000000.000401", text: "not for you" })
        yield* send({ ts: "1700000000.000402", text: "nor this", thread_ts: "1700000000.000401" })
        assert.lengthOf(yield* waiting, 0)
        yield* send({ ts: "1700000000.000403", text: `<@${workspace.botUserId}> for you` })
        yield* send({ ts: "1700000000.000404", text: "and this", thread_ts: "1700000000.000403" })
        assert.lengthOf(yield* waiting, 2)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))

  it.live("the first app and workspace for good where none is configured", () =>
    Effect.gen(function*() {
      const { channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const send = (app: string) =>
          sendEvent(workspace.signingSecret, JSON.stringify(envelope(workspace, channel, {}, { api_app_id: app })))
        assert.strictEqual((yield* send("A0FIRST001")).status, 200)
        assert.strictEqual(codeOf(yield* send("A0SECOND01")), "KM-SLK-008")
        assert.strictEqual((yield* send("A0FIRST001")).status, 200)
      }).pipe(Effect.provide(bridgeOver(workspace, { pinned: false })))
    }))

  it.live("one verdict for one message, by event, by the catch-up and as an edit, with its reason in the thread", () =>
    Effect.gen(function*() {
      const { ada, channel, workspace } = yield* room()
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        const notesOf = (ts: string) =>
          Effect.map(workspace.thread(channel, ts), (thread) => JSON.stringify(thread?.replies ?? []))
        const settled = (ts: string, code: string) =>
          notesOf(ts).pipe(Effect.repeat({ until: (replies) => replies.includes(code) }))
        for (
          const [what, text, code] of [
            ["a control character", "a\u0007b", "KM-SLK-006"],
            ["over the limit", "x".repeat(300_000), "KM-SLK-012"]
          ] as const
        ) {
          const ts = yield* say(ada, channel, what)
          const event = { ts, text }
          const answer = yield* sendEvent(workspace.signingSecret, JSON.stringify(envelope(workspace, channel, event)))
          assert.strictEqual(answer.status, code === "KM-SLK-006" ? 400 : 200, what)
          assert.include(yield* settled(ts, code), "Not taken", what)
          const message = {
            team: TeamId.make(workspace.teamId),
            channel: ChannelId.make(channel),
            ts: MessageTs.make(ts),
            user: UserId.make(userIdOf(workspace, "ada")),
            userTeam: workspace.teamId,
            text,
            files: [],
            mention: false,
            externalPossible: false,
            gestures: []
          }
          assert.strictEqual(yield* (yield* Acceptance).take(message, undefined), "refused", what)
          yield* (yield* Marks).drain
          const shown = yield* workspace.thread(channel, ts)
          assert.include(JSON.stringify(shown?.message["reactions"]), "no_entry_sign")
          // A message that waits keeps its words when an edit is refused.
          const waits = { ts: ts.replace(/.$/, (digit) => String((Number(digit) + 1) % 10)), text: `first ${what}` }
          yield* sendEvent(workspace.signingSecret, JSON.stringify(envelope(workspace, channel, waits)))
          yield* sendEvent(
            workspace.signingSecret,
            JSON.stringify(envelope(workspace, channel, {
              subtype: "message_changed",
              ts: "1700000001.000900",
              message: { user: userIdOf(workspace, "ada"), ts: waits.ts, text },
              previous_message: { user: userIdOf(workspace, "ada"), ts: waits.ts, text: waits.text }
            }))
          )
          assert.isTrue((yield* waiting).some(({ body }) => body.includes(`first ${what}`)), what)
        }
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})
