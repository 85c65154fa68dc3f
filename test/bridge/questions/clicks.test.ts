import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { SocketMode } from "../../../bridge/socket/SocketMode.ts"
import { approveAction, denyAction } from "../../../runtime/domain/slack/Question.ts"
import { auditEntries } from "../../../runtime/ports/Audit.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { profileWith } from "../../support/profiles.ts"
import { untilReal } from "../../support/untilReal.ts"
import { userIdOf } from "../../support/Workspace.ts"
import { bridgeOver, callV2, furnish, listen, type Room, room, sandbox, say } from "../world.ts"
import {
  answers,
  ask,
  formOf,
  kept,
  messageOf,
  payloadOf,
  question,
  sendForm,
  stranger,
  tsOf,
  untilShown
} from "./scene.ts"

const profile = profileWith({
  notifySlackEnabled: true,
  notifySlackPerSandbox: true,
  notifySlackInboundEnabled: true
})

/** A room with the bridge listening, and Ada's message. */
const opened = Effect.fnUntraced(function*(made: Room) {
  yield* furnish(made.workspace, made.channel, profile)
  yield* listen(made.workspace)
  yield* Effect.promise(() =>
    made.bot.conversations.invite({ channel: made.channel, users: userIdOf(made.workspace, "grace") })
  )
  const root = yield* say(made.ada, made.channel, "please push")
  yield* made.workspace.eventsDelivered
  return root
})

const whisperedTo = (made: Room, person: string) =>
  Effect.map(
    made.workspace.whispers,
    (all) => all.filter(({ userId }) => userId === userIdOf(made.workspace, person)).map(({ text }) => text)
  )

const journal = Effect.map(
  Stream.runCollect(auditEntries(false)),
  (links) => links.map(({ entry: { action, actor, verdict } }) => `${action} ${actor} ${verdict}`)
)

describe("clicks", () => {
  it.live("the first valid one decides: journal, agent, message; the second is told so", () =>
    Effect.gen(function*() {
      const made = yield* room()
      yield* Effect.gen(function*() {
        const root = yield* opened(made)
        const { channel, workspace } = made
        const ts = tsOf(yield* ask(made, root, 1))
        const before = yield* messageOf(workspace, channel, root, ts)
        // Shown as it is, in plain text alone.
        assert.include(before, "git push *<!channel>* <@U0ADA0001>")
        assert.notMatch(before, /"mrkdwn","text":"[^"]*channel/)
        const clicks = ["ada", "grace"].map((person) =>
          workspace.clicks.click({ person, channel, ts, action: person === "ada" ? approveAction : denyAction })
        )
        const done = yield* Effect.all(clicks, { concurrency: "unbounded" })
        assert.deepStrictEqual(done.map(({ ok }) => ok), [true, true])
        const shown = yield* untilShown(workspace, channel, root, ts, " by ")
        assert.notInclude(shown, "button")
        const record = yield* question(1)
        assert.strictEqual(record.state, "decided")
        const sent = yield* answers
        assert.deepStrictEqual(sent.map(({ n, verdict }) => [n, verdict]), [[1, record.verdict]])
        const [loser, action] = record.verdict === "approved"
          ? (["grace", "question.approve"] as const)
          : (["ada", "question.deny"] as const)
        yield* untilReal("the other is told", Effect.map(whisperedTo(made, loser), (all) => all.length === 1))
        assert.include((yield* whisperedTo(made, loser))[0], "decided before your click")
        assert.lengthOf((yield* journal).filter((entry) => entry.startsWith("question.")), 1)
        assert.isTrue((yield* journal).some((entry) => entry.startsWith(action)))
      }).pipe(Effect.provide(bridgeOver(made.workspace)))
    }))

  it.live("a quorum takes different people, and says how far it is", () =>
    Effect.gen(function*() {
      const made = yield* room()
      yield* Effect.gen(function*() {
        const root = yield* opened(made)
        const { channel, workspace } = made
        const ts = tsOf(yield* ask(made, root, 1, { quorum: 2 }))
        const click = (person: string) => workspace.clicks.click({ person, channel, ts, action: approveAction })
        yield* click("ada")
        assert.include(yield* untilShown(workspace, channel, root, ts, "1 of 2 approved"), "button")
        yield* click("ada")
        yield* untilReal("Ada is told", Effect.map(whisperedTo(made, "ada"), (all) => all.length === 1))
        assert.strictEqual((yield* question(1)).state, "open")
        yield* click("grace")
        assert.notInclude(yield* untilShown(workspace, channel, root, ts, "✅ Approved by"), "button")
        assert.lengthOf((yield* journal).filter((entry) => entry.startsWith("question.approve")), 2)
      }).pipe(Effect.provide(bridgeOver(made.workspace)))
    }))

  it.live("taken back, it takes no more clicks, and its runtime hears how it had ended", () =>
    Effect.gen(function*() {
      const made = yield* room()
      yield* Effect.gen(function*() {
        const root = yield* opened(made)
        const { channel, workspace } = made
        const ts = tsOf(yield* ask(made, root, 1))
        const value = `${sandbox}/${(yield* question(1)).id}`
        const turn = (yield* question(1)).subject.turn
        const closed = yield* callV2("close", { action: "ask.close", turn, n: 1, why: "stopped" })
        assert.strictEqual(Object(closed.json["question"])["state"], "withdrawn")
        assert.notInclude(yield* untilShown(workspace, channel, root, ts, "the turn was stopped"), "button")
        const late = yield* workspace.clicks.click({ person: "ada", channel, ts, action: approveAction, value })
        assert.isTrue(late.ok)
        yield* untilReal("Ada is told", Effect.map(whisperedTo(made, "ada"), (all) => all.length === 1))
        assert.deepStrictEqual(yield* answers, [])

        const second = tsOf(yield* ask(made, root, 2))
        yield* workspace.clicks.click({ person: "ada", channel, ts: second, action: denyAction })
        const known = yield* callV2("close 2", { action: "ask.close", turn, n: 2, why: "expired" })
        assert.deepInclude(Object(known.json["question"]), { state: "denied" })
      }).pipe(Effect.provide(bridgeOver(made.workspace)))
    }))

  it.live("what Slack did not take at once is shown all the same, and a question that is asked again is the same one", () =>
    Effect.gen(function*() {
      const made = yield* room()
      yield* Effect.gen(function*() {
        const root = yield* opened(made)
        const { channel, workspace } = made
        const deadline = Date.now() + 600_000
        const ts = tsOf(yield* ask(made, root, 1, { deadline }))
        // Slack takes no edit for a while: the message is behind, the decision is not.
        yield* workspace.faults.add({ method: "chat.update", times: 1, fault: { kind: "server-error" } })
        assert.isTrue((yield* workspace.clicks.click({ person: "ada", channel, ts, action: denyAction })).ok)
        yield* untilShown(workspace, channel, root, ts, "Denied by")
        const again = yield* ask(made, root, 1, { deadline })
        assert.strictEqual(tsOf(again), ts)
        assert.lengthOf(yield* kept, 1)
      }).pipe(Effect.provide(bridgeOver(made.workspace)))
    }))

  it.live("30 kinds and more of forged, foreign, stale and re-targeted ones have no effect", () =>
    Effect.gen(function*() {
      const made = yield* room()
      yield* Effect.gen(function*() {
        const root = yield* opened(made)
        const { channel, workspace } = made
        const secret = workspace.signingSecret
        const ts = tsOf(yield* ask(made, root, 1))
        const otherTs = tsOf(yield* ask(made, root, 2, { callSha256: "d".repeat(64) }))
        const record = yield* question(1)
        const other = yield* question(2)
        const right = payloadOf(workspace, channel, record)
        const [action] = right.actions
        const body = formOf(right)
        const now = Math.floor(Date.now() / 1000)
        const eve = userIdOf(workspace, "eve")
        const values = (value: unknown) => ({ ...right, actions: [{ ...action, value }] })

        /** What the wire refuses: each with the status that Slack shows as a warning to who clicked. */
        const wire: ReadonlyArray<readonly [string, ReturnType<typeof sendForm>]> = [
          ["no signature", sendForm(secret, body, { signature: null })],
          ["another secret", sendForm("another", body)],
          ["a signature of another body", sendForm(secret, body, { signature: "v0=" + "0".repeat(64) })],
          ["an old timestamp", sendForm(secret, body, { timestamp: now - 400 })],
          ["a timestamp to come", sendForm(secret, body, { timestamp: now + 400 })],
          ["a body that is too large", sendForm(secret, formOf({ ...right, pad: "x".repeat(1_100_000) }))],
          ["bytes that are no text", sendForm(secret, Buffer.from([0x70, 0x3d, 0xff, 0xfe]))],
          ["a payload that is no JSON", sendForm(secret, "payload=%7Bno")],
          ["no payload", sendForm(secret, new URLSearchParams({ other: JSON.stringify(right) }).toString())],
          ["two payloads", sendForm(secret, `${body}&${body}`)],
          ["JSON in place of a form", sendForm(secret, JSON.stringify(right))],
          ["another method", sendForm(secret, body, { method: "GET" })]
        ]
        for (const [kind, request] of wire) {
          assert.isAtLeast((yield* request).status, 400, kind)
        }

        /** Signed, and not what it says it is. Refused with a status, or answered to who clicked. */
        const told = "told"
        const refused = "refused"
        const ignored = "ignored"
        const payloads: ReadonlyArray<readonly [string, unknown, string]> = [
          ["another workspace", { ...right, team: { id: "T0OTHER01" } }, refused],
          ["no workspace", { ...right, team: null }, refused],
          ["another app", { ...right, api_app_id: "A0OTHER01" }, refused],
          ["no app", { ...right, api_app_id: undefined }, refused],
          ["another kind", { ...right, type: "view_submission" }, ignored],
          ["no kind", { ...right, type: undefined }, refused],
          ["no action", { ...right, actions: [] }, refused],
          ["two actions", { ...right, actions: [action, { ...action, action_id: denyAction }] }, refused],
          ["a button of nobody", { ...right, actions: [{ ...action, action_id: "km_question_force" }] }, ignored],
          ["a button called like a method", { ...right, actions: [{ ...action, action_id: "constructor" }] }, ignored],
          ["an unknown question", values(`${sandbox}/${"A".repeat(43)}`), told],
          ["a question of another sandbox", values(`${stranger}/${record.id}`), told],
          ["a question with a path", values(`${sandbox}/../${record.id}`), told],
          ["a verdict as the value", values("approve"), told],
          ["no value", values(undefined), told],
          ["a value that is no text", values({ id: record.id }), refused],
          ["another message", { ...right, container: { ...right.container, message_ts: root } }, told],
          [
            "the message of another question",
            { ...right, container: { ...right.container, message_ts: otherTs } },
            told
          ],
          ["the question of another message", values(`${sandbox}/${other.id}`), told],
          ["another channel", {
            ...right,
            container: { ...right.container, channel_id: "C0OTHER01" },
            channel: { id: "C0OTHER01" }
          }, told],
          ["two channels", { ...right, channel: { id: "C0OTHER01" } }, refused],
          ["a message that only one person sees", {
            ...right,
            container: { ...right.container, is_ephemeral: true }
          }, refused],
          ["no message", { ...right, container: { ...right.container, message_ts: undefined } }, refused],
          ["a person of another workspace", { ...right, user: { id: eve, team_id: "T0EXTERNAL" } }, told],
          ["a person whose workspace is not said", { ...right, user: { id: eve } }, told],
          ["a person who is none", { ...right, user: { id: "operator", team_id: workspace.teamId } }, refused],
          ["half a character", { ...right, response_url: "\ud800" }, refused],
          ["more authority than a click has", {
            ...right,
            user: { id: eve, team_id: "T0EXTERNAL", is_admin: true },
            verdict: "approved",
            isOperator: true
          }, told]
        ]
        for (const [kind, payload, outcome] of payloads) {
          const { status } = yield* sendForm(secret, formOf(payload))
          assert.strictEqual(status >= 400, outcome === refused, `${kind}: ${status}`)
        }
        // Nothing of it counted.
        assert.deepStrictEqual(yield* question(1), record)
        assert.deepStrictEqual(yield* question(2), other)
        assert.deepStrictEqual(yield* answers, [])
        assert.include(yield* messageOf(workspace, channel, root, ts), "button")
        assert.isFalse((yield* journal).some((entry) => entry.startsWith("question.")))
        assert.isAtLeast(wire.length + payloads.length, 30)
        // Each that was not refused by its status is answered to who clicked: alone, or where that cannot be, in the thread.
        const expected = payloads.filter(([, , outcome]) => outcome === told).length
        const spoken = Effect.gen(function*() {
          const alone = (yield* workspace.whispers).length
          const thread = yield* Effect.orDie(workspace.thread(channel, root))
          const aloud = (thread?.replies ?? []).filter(({ message }) =>
            String(message["text"]).includes("Nothing was decided") || String(message["text"]).includes("not yours")
          ).length
          return alone + aloud
        })
        const elsewhere = payloads.filter(([kind]) => kind === "another channel").length
        yield* untilReal("all are told", Effect.map(spoken, (count) => count >= expected - elsewhere - 2))

        // And what is right goes on.
        yield* (yield* Sandboxes).update(sandbox, { desired: "destroyed" })
        assert.isBelow((yield* sendForm(secret, body)).status, 300)
        assert.deepStrictEqual(yield* question(1), record, "a sandbox that ends")
        yield* (yield* Sandboxes).update(sandbox, { desired: "running" })
        assert.strictEqual((yield* sendForm(secret, body)).status, 200)
        yield* untilShown(workspace, channel, root, ts, "Approved by")
        assert.strictEqual((yield* question(1)).verdict, "approved")
        assert.strictEqual((yield* question(2)).state, "open")
      }).pipe(Effect.provide(bridgeOver(made.workspace)))
    }))

  it.live("come over the socket alike", () =>
    Effect.gen(function*() {
      const made = yield* room({ sockets: { enabled: true } })
      yield* Effect.gen(function*() {
        yield* furnish(made.workspace, made.channel, profile)
        const { channel, workspace } = made
        yield* Effect.forkScoped((yield* SocketMode).run)
        yield* untilReal("it is connected", Effect.sync(() => workspace.sockets.connections().length > 0))
        const root = yield* say(made.ada, channel, "please push")
        const ts = tsOf(yield* ask(made, root, 1))
        const stale = yield* workspace.clicks.click({ person: "ada", channel, ts, action: approveAction, value: "x" })
        assert.isTrue(stale.ok)
        yield* untilReal("Ada is told", Effect.map(whisperedTo(made, "ada"), (all) => all.length === 1))
        assert.deepStrictEqual(yield* workspace.clicks.click({ person: "ada", channel, ts, action: denyAction }), {
          ok: true
        })
        yield* untilShown(workspace, channel, root, ts, "Denied by")
        assert.deepStrictEqual((yield* answers).map(({ verdict }) => verdict), ["denied"])
        assert.strictEqual((yield* sendForm(workspace.signingSecret, "payload=%7B%7D")).status, 404)
      }).pipe(Effect.scoped, Effect.provide(bridgeOver(made.workspace, { transport: "socket" })))
    }))
})
