import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { MessageTs, SessionId } from "../../../runtime/domain/sandbox/Ids.ts"
import { Audit } from "../../../runtime/ports/Audit.ts"
import { Reports } from "../../../runtime/ports/Reports.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { Threads } from "../../../runtime/ports/Threads.ts"
import { TurnQueue } from "../../../runtime/ports/TurnQueue.ts"
import { profileWith } from "../../support/profiles.ts"
import { channel, scriptedSlack } from "../scripted.ts"
import { sandbox } from "../world.ts"
import { event, keyOf, marksOf, receive, requests, stops, told, ts, world } from "./scene.ts"

const chatting = (cli: object = {}) =>
  profileWith({ notifySlackEnabled: true, notifySlackPerSandbox: true, notifySlackInboundEnabled: true, ...cli })
const session = SessionId.make("00000000-0000-4000-8000-000000000001")
const at = (n: number): string => `1700000000.${String(n).padStart(6, "0")}`
const texts = (notes: ReadonlyArray<readonly [unknown, string]>) => notes.map(([, text]) => text)

describe("words in a thread", () => {
  it.effect("are answered there, once, and are no turns", () => {
    const slack = scriptedSlack()
    return world(slack, { row: { profile: chatting() } })(Effect.gen(function*() {
      const words = ["!help", "!status", "!model", "!new", "!stop the music", "!hlep"]
      for (const [n, text] of words.entries()) {
        for (let delivery = 0; delivery < 3; delivery++) {
          const answer = yield* event({ text, ts: at(n), thread_ts: ts }, { event_id: `Ev${n}` })
          assert.strictEqual(answer.status, 200)
        }
      }
      const notes = yield* told(slack)
      assert.deepStrictEqual(notes.map(([thread]) => thread), words.map(() => ts))
      assert.match(notes[0]?.[1] ?? "", /!aside/)
      assert.match(notes[1]?.[1] ?? "", /is starting\.[^]*In this thread nothing runs or waits/)
      assert.match(notes[2]?.[1] ?? "", /spec\.agent\.model/)
      assert.match(notes[3]?.[1] ?? "", /fresh session/)
      assert.match(notes[4]?.[1] ?? "", /Nothing was stopped/)
      assert.match(notes[5]?.[1] ?? "", /!help/)
      assert.deepStrictEqual(yield* requests, [])
      assert.deepStrictEqual(marksOf(slack), [])
    }))
  })

  it.effect("asides are seen by nobody but people, whoever writes them", () => {
    const slack = scriptedSlack()
    return world(slack, { row: { profile: chatting() } })(Effect.gen(function*() {
      yield* event({ text: "!aside is it slow today?", ts: at(1), thread_ts: ts })
      yield* event({ text: "!aside yes", ts: at(2), thread_ts: ts, user_team: "T0ELSEWHERE" })
      const notes = yield* told(slack)
      assert.lengthOf(notes, 1)
      assert.include(notes[0]?.[1], "does not see")
      assert.deepStrictEqual(marksOf(slack), [[at(1), "shushing_face"], [at(2), "shushing_face"]])
      assert.deepStrictEqual(yield* requests, [])
    }))
  })

  it.effect("are refused to whoever may not drive the agent", () => {
    const slack = scriptedSlack()
    return world(slack, { row: { profile: chatting() } })(Effect.gen(function*() {
      yield* event({ text: "!status", ts: at(1), thread_ts: ts, user_team: "T0ELSEWHERE" })
      const notes = yield* told(slack)
      assert.lengthOf(notes, 1)
      assert.include(notes[0]?.[1], "Not taken")
    }))
  })

  it.effect("!new forgets the thread's session, once nothing runs or waits there", () => {
    const slack = scriptedSlack()
    return world(slack, { row: { profile: chatting() } })(Effect.gen(function*() {
      const threads = yield* Threads
      const row = {
        channel,
        threadTs: MessageTs.make(ts),
        sandbox,
        session,
        createdAt: 1,
        lastTurnAt: 1_715_000_000_000
      }
      yield* threads.put(row)
      const sessionNow = Effect.map(threads.get(channel, row.threadTs), (found) => Option.getOrThrow(found).session)
      yield* event({ text: "do it", ts: at(1), thread_ts: ts }, { event_id: "Ev1" })
      yield* event({ text: "!new", ts: at(2), thread_ts: ts }, { event_id: "Ev2" })
      assert.strictEqual(yield* sessionNow, session)
      const received = Option.getOrThrow(yield* receive)
      yield* event({ text: "!new", ts: at(3), thread_ts: ts }, { event_id: "Ev3" })
      assert.strictEqual(yield* sessionNow, session)
      yield* (yield* TurnQueue).delete(sandbox, received.receipt)
      yield* event({ text: "!new", ts: at(4), thread_ts: ts }, { event_id: "Ev4" })
      assert.isUndefined(yield* sessionNow)
      // Delivered again when the thread has another session, it takes that one not away.
      yield* threads.put(row)
      yield* event({ text: "!new", ts: at(4), thread_ts: ts }, { event_id: "Ev4" })
      assert.strictEqual(yield* sessionNow, session)
      const said = texts(yield* told(slack))
      assert.deepStrictEqual(said.map((text) => /not done|fresh session/.exec(text)?.[0]), [
        "not done",
        "not done",
        "fresh session"
      ])
    }))
  })

  it.effect("!status says what the runtime says of itself, and what it does not", () => {
    const slack = scriptedSlack()
    return world(slack, { row: { profile: chatting() } })(Effect.gen(function*() {
      const reports = yield* Reports
      const now = 1_715_000_000_000
      yield* reports.put(sandbox, { ready: true, lastSeenAt: now, spentUsd: 1.5, confined: false })
      yield* event({ text: "one", ts: at(1), thread_ts: ts }, { event_id: "Ev1" })
      yield* receive
      yield* event({ text: "two", ts: at(2), thread_ts: ts }, { event_id: "Ev2" })
      yield* event({ text: "!status", ts: at(3), thread_ts: ts }, { event_id: "Ev3" })
      yield* reports.put(sandbox, { lastSeenAt: now - 600_000 })
      yield* event({ text: "!status", ts: at(4) }, { event_id: "Ev4" })
      const [ready = "", silent = ""] = texts(yield* told(slack))
      assert.match(ready, /is ready\./)
      assert.match(ready, /In this thread the agent works on a message, 1 message waits\./)
      assert.match(ready, /1 of at most 2 threads at work, 1 message waiting\./)
      assert.match(ready, /\$1\.50/)
      assert.match(ready, /unconfined/)
      assert.match(silent, /does not answer: its runtime was last heard/)
      assert.notInclude(silent, "In this thread")
    }))
  })

  it.effect("an edit that makes a waiting message a word withdraws it", () => {
    const slack = scriptedSlack()
    return world(slack, { row: { profile: chatting() } })(Effect.gen(function*() {
      for (const [n, text] of ["!aside never mind", "!stop it all", "!help"].entries()) {
        yield* event({ text: "do it", ts: at(n) }, { event_id: `Ev${n}` })
        assert.lengthOf(yield* requests, 1)
        const message = { user: "U0ADA00001", ts: at(n), text }
        yield* event(
          { subtype: "message_changed", message, previous_message: { ...message, text: "do it" } },
          { event_id: `Edit${n}` }
        )
        assert.deepStrictEqual(yield* requests, [], text)
      }
    }))
  })
})

describe("who waits", () => {
  it.effect("is told its place where it is not the next one", () => {
    const slack = scriptedSlack()
    return world(slack, { row: { profile: chatting({ slackMaxConcurrentThreads: 1 }) } })(Effect.gen(function*() {
      yield* event({ text: "one", ts: at(1), thread_ts: ts }, { event_id: "Ev1" })
      yield* receive
      yield* event({ text: "two", ts: at(2), thread_ts: ts }, { event_id: "Ev2" })
      assert.deepStrictEqual(yield* told(slack), [])
      yield* event({ text: "three", ts: at(3), thread_ts: ts }, { event_id: "Ev3" })
      yield* event({ text: "elsewhere", ts: at(9) }, { event_id: "Ev9" })
      const notes = yield* told(slack)
      assert.deepStrictEqual(notes.map(([thread]) => thread), [ts, at(9)])
      assert.include(notes[0]?.[1], "number 3 in the thread")
      assert.include(notes[1]?.[1], "works in another thread")
      // Who writes much at once is not told of each: answers need the place in the channel.
      for (let n = 20; n < 30; n++) {
        yield* event({ text: `more ${n}`, ts: at(n), thread_ts: ts }, { event_id: `Ev${n}` })
        yield* event({ text: `elsewhere ${n}`, ts: at(100 + n) }, { event_id: `Ev1${n}` })
      }
      assert.lengthOf(yield* told(slack), 2)
      yield* TestClock.adjust("10 seconds")
      yield* event({ text: "later", ts: at(31), thread_ts: ts }, { event_id: "Ev31" })
      yield* event({ text: "elsewhere later", ts: at(32) }, { event_id: "Ev32" })
      assert.lengthOf(yield* told(slack), 4)
    }))
  })
})

describe("a message that interrupts", () => {
  const interrupting = { profile: chatting({ slackBusyPolicy: "interrupt" }) }

  it.effect("stops what runs and waits before it in its thread, and nothing else", () => {
    const slack = scriptedSlack()
    return world(slack, { row: interrupting })(Effect.gen(function*() {
      yield* event({ text: "elsewhere", ts: at(9) }, { event_id: "Ev9" })
      yield* event({ text: "one", ts: at(1), thread_ts: ts }, { event_id: "Ev1" })
      yield* receive
      yield* receive
      yield* event({ text: "two", ts: at(2), thread_ts: ts }, { event_id: "Ev2" })
      const [first] = yield* stops(1)
      assert.deepInclude(first, { kind: "stop", turn: keyOf(at(1)), by: "a newer message of ada" })
      yield* event({ text: "three", ts: at(3), thread_ts: ts }, { event_id: "Ev3" })
      // Delivered again, it asks for the same once more, which is one request.
      yield* event({ text: "three", ts: at(3), thread_ts: ts }, { event_id: "Ev3" })
      const asked = yield* stops(2)
      assert.deepStrictEqual(asked.map(({ turn }) => turn), [keyOf(at(1)), keyOf(at(2))])
      yield* event({ text: "!stop", ts: at(4), thread_ts: ts }, { event_id: "Ev4" })
      const [, , last] = yield* stops(3)
      assert.strictEqual(last?.id, `stop-${keyOf(at(4))}`)
      assert.deepStrictEqual(yield* told(slack), [])
    }))
  })

  it.effect("costs one request, however many wait before it", () =>
    world(scriptedSlack(), { row: interrupting })(Effect.gen(function*() {
      for (let n = 1; n <= 40; n++) {
        yield* event({ text: `${n}`, ts: at(n), ...(n === 1 ? {} : { thread_ts: at(1) }) }, { event_id: `Ev${n}` })
      }
      yield* event({ text: "!stop", ts: at(99), thread_ts: at(1) }, { event_id: "Ev99" })
      const asked = yield* stops(40)
      assert.deepStrictEqual(
        asked.map(({ turn }) => turn),
        [...Array.from({ length: 39 }, (_, n) => keyOf(at(n + 1))), undefined]
      )
    })))
})

describe("a message to a paused sandbox", () => {
  const paused = { desired: "stopped", status: "stopped" } as const

  it.effect("wakes it, says so once, and is in the journal before", () => {
    const slack = scriptedSlack()
    return world(slack, { row: { ...paused, profile: chatting() } })(Effect.gen(function*() {
      yield* event({ ts: at(1) }, { event_id: "Ev1" })
      yield* event({ ts: at(2), thread_ts: at(1) }, { event_id: "Ev2" })
      const row = Option.getOrThrow(yield* (yield* Sandboxes).get(sandbox))
      assert.deepStrictEqual([row.desired, row.status, row.resumedAt], ["running", "running", 1_715_000_000_000])
      const notes = yield* told(slack)
      assert.lengthOf(notes, 1)
      assert.include(notes[0]?.[1], "wakes up now")
      assert.lengthOf(yield* requests, 2)
      const audit = yield* Audit
      const [chain] = yield* audit.chains
      assert.isDefined(chain)
      if (chain === undefined) return
      const lines = yield* Stream.runCollect(audit.lines(chain, 0))
      assert.lengthOf(lines.filter((line) => line.includes("sandbox.wake")), 1)
    }))
  })

  it.effect("waits for an operator where the profile says so", () => {
    const slack = scriptedSlack()
    return world(slack, { row: { ...paused, profile: chatting({ slackWakeOnMessage: false }) } })(
      Effect.gen(function*() {
        yield* event({ ts: at(1) }, { event_id: "Ev1" })
        const row = Option.getOrThrow(yield* (yield* Sandboxes).get(sandbox))
        assert.strictEqual(row.desired, "stopped")
        const [note = ""] = texts(yield* told(slack))
        assert.include(note, `km resume ${sandbox}`)
        assert.lengthOf(yield* requests, 1)
      })
    )
  })

  it.effect("that is only a word, or refused, does not", () => {
    const slack = scriptedSlack()
    return world(slack, { row: { ...paused, profile: chatting() } })(Effect.gen(function*() {
      yield* event({ text: "!status", ts: at(1) }, { event_id: "Ev1" })
      yield* event({ text: "!aside sleep well", ts: at(2) }, { event_id: "Ev2" })
      yield* event({ text: "hello", ts: at(3), user_team: "T0ELSEWHERE" }, { event_id: "Ev3" })
      const row = Option.getOrThrow(yield* (yield* Sandboxes).get(sandbox))
      assert.strictEqual(row.desired, "stopped")
      assert.include(texts(yield* told(slack))[0], "is paused")
    }))
  })
})
