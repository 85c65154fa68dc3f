import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { FaultRule } from "../../../km-cli/local/workspace/Faults.ts"
import { isJson } from "../../../km-cli/local/workspace/Json.ts"
import { errorOf, slackClient, testWorkspace, testWorkspaceWithEvents, tokenOf } from "../../support/Workspace.ts"

const stage = Effect.fnUntraced(function*() {
  const { bot, receiver, workspace } = yield* testWorkspaceWithEvents()
  const made = yield* Effect.promise(() => bot.conversations.create({ name: "stage" }))
  const channel = made.channel?.id ?? ""
  const ada = slackClient(workspace, tokenOf(workspace, "ada"))
  yield* Effect.promise(() => ada.conversations.join({ channel }))
  yield* workspace.eventsDelivered
  const texts = () => receiver.received.map(({ event }) => event["text"])
  return {
    ada,
    bot,
    channel,
    receiver,
    workspace,
    texts,
    say: (text: string) => ada.chat.postMessage({ channel, text })
  }
})

const shownTexts = (bot: ReturnType<typeof slackClient>, channel: string) =>
  Effect.promise(() => bot.conversations.history({ channel })).pipe(
    Effect.map((answer) => (answer.messages ?? []).map((message) => message.text))
  )

describe("faults of Web API calls", () => {
  it.live("refuse with 429, 500 or Slack's own words, and nothing happens", () =>
    Effect.gen(function*() {
      const { bot, channel, workspace } = yield* stage()
      const cases: ReadonlyArray<readonly [FaultRule, string]> = [
        [{ method: "chat.postMessage", fault: { kind: "rate-limit", retryAfterSeconds: 7 } }, "ratelimited 7"],
        [{ method: "chat.postMessage", fault: { kind: "server-error" } }, "http 500"],
        [{ method: "chat.postMessage", fault: { kind: "refuse", error: "token_revoked" } }, "token_revoked"],
        [{ method: "*", fault: { kind: "drop-before" } }, "connection"]
      ]
      for (const [rule, expected] of cases) {
        yield* workspace.faults.add(rule)
        assert.strictEqual(
          yield* Effect.promise(() => errorOf(bot.chat.postMessage({ channel, text: expected }))),
          expected
        )
        assert.notInclude(yield* shownTexts(bot, channel), expected)
      }
      yield* Effect.promise(() => bot.chat.postMessage({ channel, text: "once only" }))
    }))

  it.live("let the action happen and lose the answer: dropped, or never given", () =>
    Effect.gen(function*() {
      const { bot, channel, receiver, workspace } = yield* stage()
      yield* workspace.faults.add({ method: "chat.postMessage", fault: { kind: "drop-after" } })
      assert.strictEqual(
        yield* Effect.promise(() => errorOf(bot.chat.postMessage({ channel, text: "dropped" }))),
        "connection"
      )
      yield* workspace.faults.add({ method: "chat.postMessage", fault: { kind: "hang-after" } })
      const from = yield* workspace.lastChange
      const hanging = yield* Effect.promise((signal) =>
        fetch(`${workspace.apiUrl}chat.postMessage`, {
          method: "POST",
          headers: { authorization: `Bearer ${workspace.botToken}` },
          body: new URLSearchParams({ channel, text: "hanging" }),
          signal
        })
      ).pipe(Effect.forkChild)
      yield* workspace.waitFor((change) => change.kind === "message", from)
      // The event is told although the call still hangs.
      yield* Effect.promise(() => receiver.until(1, ({ event }) => event["text"] === "hanging"))
      assert.isUndefined(hanging.pollUnsafe())
      yield* Fiber.interrupt(hanging)
      assert.deepStrictEqual((yield* shownTexts(bot, channel)).slice(0, 2), ["hanging", "dropped"])
      yield* Effect.promise(() => receiver.until(1, ({ event }) => event["text"] === "dropped"))
      yield* workspace.waitFor((change) => change.kind === "call" && change.data["fault"] === "hang-after", from)
    }))

  it.live("make a call wait", () =>
    Effect.gen(function*() {
      const { bot, workspace } = yield* stage()
      yield* workspace.faults.add({ method: "auth.test", fault: { kind: "delay", millis: 30 } })
      yield* Effect.promise(() => bot.auth.test())
      const [call] = yield* workspace.calls.list({ method: "auth.test" })
      assert.isAtLeast(call?.millis ?? 0, 29)
    }))

  it.live("hold for one channel, as often as ordered, and until cleared", () =>
    Effect.gen(function*() {
      const { bot, channel, workspace } = yield* stage()
      const other = yield* Effect.promise(() => bot.conversations.create({ name: "other" }))
      const id = yield* workspace.faults.add({
        method: "chat.postMessage",
        channel,
        times: 0,
        fault: { kind: "refuse", error: "fatal_error" }
      })
      const post = (where: string) => Effect.promise(() => errorOf(bot.chat.postMessage({ channel: where, text: "x" })))
      for (let count = 0; count < 3; count++) assert.strictEqual(yield* post(channel), "fatal_error")
      yield* Effect.promise(() => bot.chat.postMessage({ channel: other.channel?.id ?? "", text: "fine" }))
      const [rule] = yield* workspace.faults.list
      assert.strictEqual(rule?.hits, 3)
      assert.strictEqual(yield* workspace.faults.clear(id), 1)
      yield* Effect.promise(() => bot.chat.postMessage({ channel, text: "fine" }))
    }))

  it.live("reach uploads and downloads too", () =>
    Effect.gen(function*() {
      const { bot, channel, workspace } = yield* stage()
      yield* workspace.faults.add({ method: "upload", fault: { kind: "server-error" } })
      const upload = () => bot.filesUploadV2({ channel_id: channel, file: Buffer.from("x"), filename: "x.txt" })
      const failed = yield* Effect.promise(() => upload().then(() => "uploaded", () => "failed"))
      assert.strictEqual(failed, "failed")
      yield* Effect.promise(upload)
    }))
})

describe("faults of events", () => {
  it.live("lose an event", () =>
    Effect.gen(function*() {
      const { say, texts, workspace } = yield* stage()
      yield* workspace.faults.add({ event: "message", fault: { kind: "drop" } })
      yield* Effect.promise(() => say("lost"))
      yield* Effect.promise(() => say("found"))
      yield* workspace.eventsDelivered
      assert.notInclude(texts(), "lost")
      assert.include(texts(), "found")
    }))

  it.live("deliver one event several times at once", () =>
    Effect.gen(function*() {
      const { receiver, say, workspace } = yield* stage()
      yield* workspace.faults.add({ event: "message", fault: { kind: "duplicate", copies: 4 } })
      yield* Effect.promise(() => say("four"))
      yield* workspace.eventsDelivered
      const copies = receiver.received.filter(({ event }) => event["text"] === "four")
      assert.strictEqual(copies.length, 4)
      assert.strictEqual(new Set(copies.map(({ raw }) => raw)).size, 1)
      assert.isTrue(copies.every(({ retryNum, verified }) => verified && retryNum === undefined))
    }))

  it.live("turn the order around, or let go of what was held when the rule is cleared", () =>
    Effect.gen(function*() {
      const { receiver, say, texts, workspace } = yield* stage()
      yield* workspace.faults.add({ event: "message", fault: { kind: "hold-back", behind: 2 } })
      for (const text of ["one", "two", "three"]) {
        yield* Effect.promise(() => say(text))
        yield* workspace.eventsDelivered
      }
      assert.deepStrictEqual(texts().slice(-3), ["two", "three", "one"])
      yield* workspace.faults.add({ event: "message", fault: { kind: "hold-back", behind: 100 } })
      yield* Effect.promise(() => say("held"))
      yield* workspace.eventsDelivered
      assert.notInclude(texts(), "held")
      yield* workspace.faults.clear()
      yield* Effect.promise(() => receiver.until(1, ({ event }) => event["text"] === "held"))
    }))

  it.live("send an answered event again, as when Slack missed the answer", () =>
    Effect.gen(function*() {
      const { receiver, say, workspace } = yield* stage()
      yield* workspace.faults.add({
        event: "message",
        fault: { kind: "ignore-answers", count: 2, reason: "http_timeout" }
      })
      yield* Effect.promise(() => say("again"))
      yield* workspace.eventsDelivered
      const copies = receiver.received.filter(({ event }) => event["text"] === "again")
      assert.deepStrictEqual(copies.map(({ retryNum, retryReason }) => [retryNum, retryReason]), [
        [undefined, undefined],
        ["1", "http_timeout"],
        ["2", "http_timeout"]
      ])
    }))

  it.live("delay an event behind later ones", () =>
    Effect.gen(function*() {
      const { say, texts, workspace } = yield* stage()
      yield* workspace.faults.add({ event: "message", fault: { kind: "delay", millis: 200 } })
      yield* Effect.promise(() => say("late"))
      yield* Effect.promise(() => say("early"))
      yield* workspace.eventsDelivered
      assert.deepStrictEqual(texts().slice(-2), ["early", "late"])
    }))
})

describe("the control API", () => {
  it.live("opens to the control token only", () =>
    Effect.gen(function*() {
      const workspace = yield* testWorkspace()
      for (const token of ["", workspace.botToken, `${workspace.controlToken}x`]) {
        const reply = yield* Effect.promise(() =>
          fetch(`${workspace.url}_km/state`, { headers: { authorization: `Bearer ${token}` } })
        )
        assert.strictEqual(reply.status, 401)
      }
      const open = yield* Effect.promise(() =>
        fetch(`${workspace.url}_km/state`, { headers: { authorization: `Bearer ${workspace.controlToken}` } })
          .then((reply) => reply.json())
      )
      assert.isTrue(isJson(open) && open["teamId"] === workspace.teamId)
      assert.notInclude(JSON.stringify(open), workspace.botToken)
    }))

  it.live("logs calls without tokens", () =>
    Effect.gen(function*() {
      const { bot, channel, workspace } = yield* stage()
      yield* workspace.calls.clear
      yield* Effect.promise(() => bot.chat.postMessage({ channel, text: "logged" }))
      yield* Effect.promise(() => errorOf(slackClient(workspace, "xoxb-wrong").auth.test()))
      const calls = yield* workspace.calls.list()
      assert.deepStrictEqual(calls.map(({ error, method, ok, tokenKind }) => ({ method, tokenKind, ok, error })), [
        { method: "chat.postMessage", tokenKind: "bot", ok: true, error: undefined },
        { method: "auth.test", tokenKind: "none", ok: false, error: "invalid_auth" }
      ])
      assert.isAbove(calls[0]?.millis ?? 0, 0)
      assert.notMatch(JSON.stringify(calls), /xox/)
    }))

  it.live("shows people what is there, as text and never as markup", () =>
    Effect.gen(function*() {
      const { bot, channel, say, workspace } = yield* stage()
      const posted = yield* Effect.promise(() => say("<script>alert(1)</script>"))
      yield* Effect.promise(() => bot.reactions.add({ channel, timestamp: posted.ts ?? "", name: "eyes" }))
      const link = yield* Effect.promise(() => bot.chat.getPermalink({ channel, message_ts: posted.ts ?? "" }))
      const page = yield* Effect.promise(() => fetch(link.permalink ?? "").then((reply) => reply.text()))
      assert.include(page, "&lt;script&gt;alert(1)&lt;/script&gt;")
      assert.notInclude(page, "<script>")
      assert.include(page, ":eyes:")
      const front = yield* Effect.promise(() => fetch(workspace.url).then((reply) => reply.text()))
      assert.include(front, "#stage")
    }))
})
