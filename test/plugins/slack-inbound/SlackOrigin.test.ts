import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer, Option, Redacted, Schema } from "effect"
import { TestClock } from "effect/testing"
import { chunksOf } from "../../../plugins/slack-inbound/OutcomePost.ts"
import { makeOwedMarks, maxOwed } from "../../../plugins/slack-inbound/OwedMarks.ts"
import { finalEmoji, makeSlackOrigin, threadOfGroup } from "../../../plugins/slack-inbound/SlackOrigin.ts"
import { MessageTs, SessionId, TurnKey } from "../../../runtime/domain/sandbox/Ids.ts"
import { workingEmoji } from "../../../runtime/domain/slack/BridgeProtocol.ts"
import { sha256Hex } from "../../../runtime/domain/text/Digest.ts"
import { visibleOutcome } from "../../../runtime/domain/turn/OutcomeText.ts"
import { recordOf } from "../../../runtime/domain/turn/TurnRecord.ts"
import { Bridge } from "../../../runtime/ports/Bridge.ts"
import { Ledger } from "../../../runtime/ports/Ledger.ts"
import * as MemoryLedger from "../../../runtime/ports/memory/MemoryLedger.ts"
import * as MemoryTurnQueue from "../../../runtime/ports/memory/MemoryTurnQueue.ts"
import * as MemoryTurnRecords from "../../../runtime/ports/memory/MemoryTurnRecords.ts"
import { Redaction } from "../../../runtime/ports/Redaction.ts"
import { TurnQueue } from "../../../runtime/ports/TurnQueue.ts"
import { TurnRecords } from "../../../runtime/ports/TurnRecords.ts"
import { recordingBridge } from "../../support/RecordingBridge.ts"
import { channel, queueEntry, sandbox, slackRequest, turnRow } from "../../support/turnRows.ts"

const secret = "hunter2-hunter2-hunter2"
const session = SessionId.make("11111111-2222-4333-8444-555555555555")

const originWith = (bridge = recordingBridge(), settled: Effect.Effect<void> = Effect.never) =>
  Effect.gen(function*() {
    const redaction = yield* Redaction
    yield* redaction.add(Redacted.make(secret))
    const queue = yield* TurnQueue
    const port = yield* Bridge
    const marks = makeOwedMarks({
      sandbox,
      bridge: port,
      ledger: yield* Ledger,
      records: yield* TurnRecords,
      redaction
    })
    const origin = makeSlackOrigin({
      sandbox,
      marks,
      bridge: port,
      queue,
      redaction,
      settled: () => settled,
      background: (effect) => Effect.asVoid(Effect.forkChild(effect, { startImmediately: true }))
    })
    return { origin, bridge, queue, marks, ledger: yield* Ledger, records: yield* TurnRecords }
  }).pipe(
    Effect.provide([bridge.layer, Redaction.layer, MemoryTurnQueue.layer, MemoryLedger.layer, MemoryTurnRecords.layer])
  )

const answered = turnRow(slackRequest(1), {
  state: "answered",
  result: "answered",
  attempt: 1,
  session,
  outcome: { _tag: "Answered", text: `the key is ${secret}` }
})

describe("SlackOrigin", () => {
  it.effect("posts the answer in the thread, redacted, and once over any number of settles", () =>
    Effect.gen(function*() {
      const { bridge, origin } = yield* originWith()
      const shown = yield* origin.settle(answered, [])
      assert.deepStrictEqual(yield* origin.settle(answered, []), shown)
      assert.strictEqual(bridge.effects().length, 1)
      const [effect] = bridge.effects()
      assert.strictEqual(effect?.key, `${answered.key}/answer/0`)
      assert.isTrue(effect?.action.action === "post" && effect.action.threadTs === "1700000000.000001")
      assert.notInclude(JSON.stringify(effect), secret)
      assert.strictEqual(shown.length, 1)
    }))

  it.effect("says every half an hour that the agent still works, until the turn is over, and in which thread", () =>
    Effect.gen(function*() {
      const over = yield* Deferred.make<void>()
      const { bridge, origin } = yield* originWith(recordingBridge(), Deferred.await(over))
      const row = turnRow(slackRequest(2, { thread: 1 }), { state: "starting", attempt: 1 })
      yield* origin.starting(row)
      const working = () =>
        bridge.effects().flatMap(({ action, key }) =>
          action.action === "react" ? [`${key} ${action.threadTs ?? "none"}`] : []
        )
      const told = (step: string) => `${row.key}/working/1${step} 1700000000.000001`
      assert.deepStrictEqual(working(), [told("")])
      yield* TestClock.adjust("61 minutes")
      assert.deepStrictEqual(working(), [told(""), told("/1"), told("/2")])
      yield* Deferred.succeed(over, undefined)
      yield* TestClock.adjust("2 hours")
      assert.strictEqual(working().length, 3)
      yield* origin.close({ ...row, state: "posted", result: "answered" }, undefined)
      const away = bridge.effects().find(({ action }) => action.action === "unreact")
      assert.deepInclude(away?.action, { action: "unreact", threadTs: MessageTs.make("1700000000.000001") })
    }))

  it.effect("posts nothing when the whole answer is in the thread already", () =>
    Effect.gen(function*() {
      const { bridge, origin } = yield* originWith()
      const shown = [{ ts: MessageTs.make("1800000000.000001"), sha256: sha256Hex("x") }]
      assert.deepStrictEqual(yield* origin.settle(answered, shown), shown)
      assert.strictEqual(bridge.calls.length, 0)
      // A failure is told although the live message shows what the agent said before.
      const failed = { ...answered, result: "failed" as const, outcome: { _tag: "Crashed" as const, detail: "" } }
      yield* origin.settle(failed, shown)
      assert.strictEqual(bridge.effects()[0]?.key, `${answered.key}/notice/0`)
      // Unless it shows that very failure: one note is enough.
      const told = [{
        ts: MessageTs.make("1800000000.000001"),
        sha256: sha256Hex(visibleOutcome(failed, (text) => text))
      }]
      assert.deepStrictEqual(yield* origin.settle(failed, told), told)
      assert.strictEqual(bridge.effects().length, 1)
    }))

  it.effect("an answer without text is said to be one", () =>
    Effect.gen(function*() {
      const { bridge, origin } = yield* originWith()
      const texts = [" \n", "\u200b", "\u2060\ufeff\u{e0041}", "\u001b[31m\u001b[0m", "\u202e\u0007"]
      for (const text of texts) {
        const key = TurnKey.make(`T1:C1:170000000${texts.indexOf(text)}.000001`)
        yield* origin.settle({ ...answered, key, outcome: { _tag: "Answered", text } }, [])
      }
      assert.deepStrictEqual(
        bridge.effects().map(({ action }) => action.action === "post" ? action.markdown : ""),
        texts.map(() => "_The agent finished without a written answer._")
      )
    }))

  it.effect("whatever refuses the outcome, the thread is told where the outcome is", () =>
    Effect.gen(function*() {
      for (const code of ["slack_refused", "bad_request", "too_large", "already_done", "forbidden"] as const) {
        const { bridge, origin } = yield* originWith(
          recordingBridge({ refuse: ({ key }) => key.includes("/answer/") ? code : undefined })
        )
        const error = yield* Effect.flip(origin.settle(answered, []))
        const [said] = bridge.effects()
        assert.strictEqual(error.code, code)
        assert.lengthOf(error.shown ?? [], 1)
        assert.deepInclude(said?.action, { action: "post", channel, threadTs: MessageTs.make("1700000000.000001") })
        assert.include(JSON.stringify(said?.action), `km replay ${answered.key}`)
        assert.notInclude(JSON.stringify(said?.action), "the key is")
      }
    }))

  it.effect("an answer in many pieces, one of which is refused, is not left half told", () =>
    Effect.gen(function*() {
      const { bridge, origin } = yield* originWith(
        recordingBridge({ refuse: ({ key }) => key.endsWith("/answer/1") ? "slack_refused" : undefined })
      )
      const long = { ...answered, outcome: { _tag: "Answered" as const, text: "word ".repeat(100_000) } }
      const error = yield* Effect.flip(origin.settle(long, []))
      assert.deepStrictEqual(bridge.effects().map(({ key }) => key), [
        `${answered.key}/answer/0`,
        `${answered.key}/instead/0`
      ])
      assert.lengthOf(error.shown ?? [], 2)
    }))

  it.effect("a thread whose first message was deleted gets a line in the channel, without the answer", () =>
    Effect.gen(function*() {
      const { bridge, origin } = yield* originWith(
        recordingBridge({
          refuse: ({ action }) => action.action === "post" && action.threadTs !== undefined ? "thread_gone" : undefined
        })
      )
      for (const result of ["answered", "failed"] as const) {
        const error = yield* Effect.flip(origin.settle({ ...answered, result }, []))
        assert.deepStrictEqual([error.code, error.shown], ["thread_gone", []])
      }
      const [said] = bridge.effects()
      assert.lengthOf(bridge.effects(), 1)
      assert.isTrue(said?.action.action === "post" && said.action.threadTs === undefined)
      assert.include(JSON.stringify(said?.action), "was deleted")
      assert.notInclude(JSON.stringify(said?.action), "the key is")
    }))

  it.effect("every result other than an answer says what happened and what to do", () =>
    Effect.gen(function*() {
      const outcomes = {
        failed: { _tag: "Failed", code: "KM-AGT-001", reason: "no login", remedy: "log in" },
        cancelled: { _tag: "Cancelled", by: "<!channel>" },
        expired: { _tag: "TimedOut", afterMillis: 60_000 },
        parked: { _tag: "Crashed", detail: "" }
      } as const
      for (const [result, outcome] of Object.entries(outcomes)) {
        const { bridge, origin } = yield* originWith()
        yield* origin.settle({ ...answered, result: result as "failed", outcome }, [])
        const text = JSON.stringify(bridge.effects())
        assert.isAbove(text.length, 100, result)
        assert.notInclude(text, "<!channel>")
      }
    }))

  it.effect("a channel that Slack refuses for good makes the turn undeliverable", () =>
    Effect.gen(function*() {
      for (const code of ["is_archived", "token_revoked", "forbidden"] as const) {
        const { origin } = yield* originWith(recordingBridge({ refuse: () => code }))
        const error = yield* Effect.flip(origin.settle(answered, []))
        assert.strictEqual(error.code, code)
        // Marks and rows that are refused as well end nothing.
        yield* origin.close(answered, session)
        assert.isUndefined(yield* origin.prepare(answered))
      }
    }))

  it.effect("marks: the final one is added before ⏳ goes, and each result has its own", () =>
    Effect.gen(function*() {
      const { bridge, origin } = yield* originWith()
      yield* origin.starting(answered)
      yield* origin.close(answered, undefined)
      assert.deepStrictEqual(
        bridge.effects().map(({ action }) => [action.action, "emoji" in action ? action.emoji : ""]),
        [["react", workingEmoji], ["react", "white_check_mark"], ["unreact", workingEmoji]]
      )
      assert.strictEqual(finalEmoji({ ...answered, result: "cancelled" }), "octagonal_sign")
      for (const result of ["failed", "expired", "parked", "undeliverable"] as const) {
        assert.strictEqual(finalEmoji({ ...answered, result }), "x")
      }
    }))

  it.effect("marks that a closed channel does not take are set once it is open again, in any number, once", () =>
    Effect.gen(function*() {
      for (const code of ["not_in_channel", "channel_not_found", "is_archived", "token_revoked"] as const) {
        let closed = true
        const bridge = recordingBridge({ refuse: () => closed ? code : undefined })
        const { marks, origin } = yield* originWith(bridge)
        const turns = [1, 2, 3].map((n) => turnRow(slackRequest(n), { state: "posted", result: "undeliverable" }))
        yield* Effect.forEach(turns, (row) => origin.close(row, undefined))
        const asked = bridge.calls.length
        yield* marks.settle()
        // One call says that the channel is still closed; the others need not be made.
        assert.strictEqual(bridge.calls.length, asked + 1)
        closed = false
        // The next message in the channel.
        yield* origin.starting(turnRow(slackRequest(4)))
        yield* marks.settle()
        assert.deepStrictEqual(
          bridge.effects().map(({ key }) => key).filter((key) => key.includes("/mark/")),
          turns.flatMap(({ key }) => [`${key}/mark/final`, `${key}/mark/working`])
        )
        const done = bridge.calls.length
        yield* marks.settle()
        assert.strictEqual(bridge.calls.length, done)
      }
    }))

  it.effect("marks that Slack takes late do not hold a turn's end up for longer than ten seconds, and are set later", () =>
    Effect.gen(function*() {
      const bridge = recordingBridge()
      let slow = true
      const layer = Layer.effect(
        Bridge,
        Effect.map(Bridge, (port) =>
          Bridge.of({
            call: (call) => slow && call.action.action === "react" ? Effect.never : port.call(call)
          }))
      ).pipe(Layer.provide(bridge.layer))
      const { marks, origin } = yield* originWith({ ...bridge, layer })
      const turns = [1, 2].map((n) => turnRow(slackRequest(n), { state: "posted", result: "cancelled" }))
      const ending = yield* Effect.forkChild(
        Effect.forEach(turns, (row) => origin.close(row, undefined), { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      yield* TestClock.adjust("9999 millis")
      assert.isUndefined(ending.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(ending)
      assert.deepStrictEqual(bridge.effects(), [])
      slow = false
      yield* marks.settle()
      assert.sameMembers(
        bridge.effects().map(({ key }) => key),
        turns.flatMap(({ key }) => [`${key}/mark/final`, `${key}/mark/working`])
      )
    }))

  it.effect("an answer that a closed channel does not take is posted once it is open again, once, and then marked", () =>
    Effect.gen(function*() {
      for (const code of ["not_in_channel", "channel_not_found", "is_archived", "token_revoked"] as const) {
        let closed = true
        const bridge = recordingBridge({ refuse: () => closed ? code : undefined })
        const { ledger, marks, origin, records } = yield* originWith(bridge)
        const cancelled = turnRow(slackRequest(2), {
          state: "answered",
          result: "cancelled",
          outcome: { _tag: "Cancelled", by: "ada" }
        })
        for (const row of [answered, cancelled]) {
          yield* ledger.insert(row)
          yield* Effect.flip(origin.settle(row, []))
          // Also by another life of the process.
          yield* Effect.flip(origin.settle(row, []))
          const posted = { ...row, state: "posted" as const, result: "undeliverable" as const }
          yield* ledger.update(row, posted)
          yield* origin.close(posted, undefined)
          yield* marks.settle()
        }
        assert.deepStrictEqual(bridge.effects(), [])
        closed = false
        // Not before they are over: the record of an undeliverable turn would come after what is shown, and stay.
        yield* marks.settle()
        assert.deepStrictEqual(bridge.effects(), [])
        for (const { key } of [answered, cancelled]) {
          const row = Option.getOrThrow(yield* ledger.get(key))
          yield* records.put(sandbox, recordOf(row, undefined, (text) => text))
          yield* ledger.update(row, { ...row, state: "settled" })
        }
        yield* marks.settle()
        yield* marks.settle()
        assert.deepStrictEqual(
          (yield* records.recent(sandbox, 9)).map(({ key, replay, result }) => [key, result, replay]).toSorted(),
          [[answered.key, "answered", undefined], [cancelled.key, "cancelled", undefined]]
        )
        assert.deepStrictEqual(
          bridge.effects().map(({ action, key }) => [key, action.action, "emoji" in action ? action.emoji : ""]),
          [[answered, "answer", "white_check_mark"] as const, [cancelled, "notice", "octagonal_sign"] as const].flatMap(
            ([{ key }, step, emoji]) => [
              [`${key}/${step}/0`, "post", ""],
              [`${key}/mark/final`, "react", emoji],
              [`${key}/mark/working`, "unreact", workingEmoji]
            ]
          )
        )
        assert.notInclude(JSON.stringify(bridge.effects()), secret)
      }
    }))

  it.effect("an answer that is owed and refused for good leaves the mark of what could not be shown", () =>
    Effect.gen(function*() {
      let code: "not_in_channel" | undefined = "not_in_channel"
      const bridge = recordingBridge({
        refuse: ({ action }) => code ?? (action.action === "post" ? "thread_gone" : undefined)
      })
      const { ledger, marks, origin, records } = yield* originWith(bridge)
      yield* ledger.insert(answered)
      yield* Effect.flip(origin.settle(answered, []))
      const undeliverable = { ...answered, state: "settled" as const, result: "undeliverable" as const }
      yield* records.put(sandbox, recordOf(undeliverable, undefined, (text) => text))
      yield* ledger.update(answered, undeliverable)
      code = undefined
      yield* marks.settle()
      yield* marks.settle()
      assert.deepStrictEqual(
        bridge.effects().map(({ action }) => "emoji" in action ? action.emoji : ""),
        ["x", workingEmoji]
      )
      assert.deepStrictEqual((yield* records.recent(sandbox, 9)).map(({ result }) => result), ["undeliverable"])
    }))

  it.effect("marks that were owed for 30 days, or too many, or refused for good, are given up", () =>
    Effect.gen(function*() {
      let code: "not_in_channel" | "slack_refused" | undefined = "not_in_channel"
      const bridge = recordingBridge({ refuse: () => code })
      const { marks, origin } = yield* originWith(bridge)
      for (let n = 0; n < maxOwed + 5; n++) {
        yield* origin.close(turnRow(slackRequest(n), { result: "failed" }), undefined)
      }
      code = undefined
      yield* marks.settle()
      assert.strictEqual(bridge.effects().length, 2 * maxOwed)
      code = "not_in_channel"
      yield* origin.close(turnRow(slackRequest(9_001), { result: "failed" }), undefined)
      yield* TestClock.adjust("30 days")
      const before = bridge.calls.length
      yield* marks.settle()
      assert.strictEqual(bridge.calls.length, before)
      code = "slack_refused"
      yield* origin.close(turnRow(slackRequest(9_002), { result: "failed" }), undefined)
      yield* marks.settle()
      assert.strictEqual(bridge.calls.length, before + 1)
    }))

  it.effect("the thread's session is looked up and remembered through the bridge", () =>
    Effect.gen(function*() {
      const bridge = recordingBridge({
        answer: ({ action }) =>
          action.action === "thread.lookup"
            ? { thread: { channel, threadTs: MessageTs.make("1700000000.000001"), session } }
            : undefined
      })
      const { origin } = yield* originWith(bridge)
      assert.strictEqual(yield* origin.prepare(answered), session)
      // ⏳ is asked for with it, and not again when the agent starts.
      assert.deepStrictEqual(bridge.calls.map(({ action }) => action.action), ["thread.lookup", "react"])
      yield* origin.starting(answered)
      assert.lengthOf(bridge.calls, 2)
      yield* origin.starting({ ...answered, attempt: 2 })
      assert.lengthOf(bridge.calls, 3)
      yield* origin.close(answered, session)
      assert.deepInclude(bridge.calls[3]?.action, { action: "thread.put", session })
      assert.deepStrictEqual(bridge.calls.slice(4).map(({ action }) => action.action), ["react", "unreact"])
      assert.deepStrictEqual(origin.environment(answered), {
        KM_SLACK_THREAD_TS: "1700000000.000001",
        KM_SLACK_CHANNEL_ID: channel
      })
    }))

  it.effect("a replay edits the parked turn's notice and takes its mark away", () =>
    Effect.gen(function*() {
      const { bridge, origin } = yield* originWith()
      const notice = MessageTs.make("1800000000.000009")
      const parked = turnRow(slackRequest(1), {
        state: "settled",
        result: "parked",
        outcome: { _tag: "Crashed", detail: "" },
        shown: [{ ts: notice, sha256: "" }]
      })
      const again = { ...answered, key: TurnKey.make(`${parked.key}~2`) }
      yield* origin.replaying?.(parked, again) ?? Effect.void
      assert.deepInclude(bridge.effects()[0]?.action, { action: "update", ts: notice })
      assert.deepInclude(bridge.effects()[1]?.action, { action: "unreact", emoji: "x" })
    }))

  it.effect("finish deletes the message, and an expired receipt is no failure", () =>
    Effect.gen(function*() {
      const { origin, queue } = yield* originWith()
      yield* queue.create(sandbox)
      yield* queue.send(sandbox, queueEntry(answered.request))
      const entry = Option.getOrThrow(
        yield* queue.receive(sandbox, { wait: Duration.zero, visibility: Duration.seconds(120) })
      )
      const row = { ...answered, receipt: entry.receipt }
      yield* origin.finish(row)
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(yield* queue.depth(sandbox), { waiting: 0, inFlight: 0, dead: 0 })
      yield* origin.finish(row)
      yield* origin.finish(answered)
    }))

  it.prop("chunks are short enough, whole, and never split a character", [
    Schema.String,
    Schema.Int.check(Schema.isBetween({ minimum: 2, maximum: 40 }))
  ], ([text, size]) => {
    const whole = `${text}\n𝒳𝒳\n${text}`.toWellFormed()
    const chunks = chunksOf(whole, size)
    assert.strictEqual(chunks.join(""), whole)
    for (const chunk of chunks) {
      assert.isAtMost(chunk.length, size)
      assert.isTrue(chunk.isWellFormed())
    }
  })

  it("a group names a thread, or nothing", () => {
    assert.deepStrictEqual(
      threadOfGroup("C0CHANNEL:1700000000.000001"),
      Option.some({
        channel: "C0CHANNEL",
        threadTs: "1700000000.000001"
      })
    )
    assert.isTrue(Option.isNone(threadOfGroup("mail:abc")))
    assert.isTrue(Option.isNone(threadOfGroup("C0CHANNEL:1700000000.000001:more")))
  })
})
