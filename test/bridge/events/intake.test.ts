/** What becomes of one message after another: stored, told, marked, refused. Signed requests, in virtual time. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { Heard } from "../../../bridge/events/Heard.ts"
import { HttpEvents } from "../../../bridge/events/HttpEvents.ts"
import { Outsiders } from "../../../bridge/events/Outsiders.ts"
import { Progress } from "../../../bridge/events/Progress.ts"
import { GroupId, MessageTs, SandboxId, UserId } from "../../../runtime/domain/sandbox/Ids.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { Seen } from "../../../runtime/ports/Seen.ts"
import { Threads } from "../../../runtime/ports/Threads.ts"
import { TurnQueue } from "../../../runtime/ports/TurnQueue.ts"
import { profileWith, slackProfile } from "../../support/profiles.ts"
import { ada, botUser, channel, scriptedSlack, unclear } from "../scripted.ts"
import { codeOf, rowOf, sandbox, waiting } from "../world.ts"
import {
  envelope,
  event,
  keyOf,
  marksOf,
  type Options,
  post,
  requests,
  stops,
  storeError,
  team,
  told,
  ts,
  world
} from "./scene.ts"

const outcome = (changes: object, outer: object, users: object, allow: ReadonlyArray<string> = []) => {
  const slack = scriptedSlack({ "users.info": users })
  return Effect.gen(function*() {
    const answer = yield* event(changes, outer)
    const marks = yield* Effect.map(told(slack), () => marksOf(slack).map(([, name]) => name))
    return [answer.status, (yield* waiting).length, marks[0], (yield* Progress).takeMissed()]
  }).pipe(
    world(slack, { row: { profile: profileWith({ ...slackProfile.spec.cli, notifySlackInboundAllow: allow }) } })
  )
}

describe("a message", () => {
  it.effect("is stored as a turn, whole, marked, and known again by each of its names", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      yield* Effect.gen(function*() {
        const file = { id: "F1", name: "a.txt", mimetype: "text/plain", size: 3 }
        const answer = yield* event({
          client_msg_id: "c1",
          files: [file],
          thread_ts: "1700000000.000001",
          text: "a &amp; <@U0GRACE001>"
        })
        assert.deepStrictEqual([answer.status, answer.json], [200, { ok: true }])
        const [request] = yield* requests
        assert.deepStrictEqual({ ...request, traceparent: undefined }, {
          key: keyOf(),
          group: `${channel}:1700000000.000001`,
          origin: { kind: "slack", team, channel, ts, threadTs: "1700000000.000001", user: ada, userName: "ada" },
          text: "a & @ada",
          files: [{ id: "F1", name: "a.txt", mimeType: "text/plain", size: 3 }],
          acceptedAt: 1_715_000_000_000,
          traceparent: undefined
        })
        assert.match(request?.traceparent ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/)
        yield* told(slack)
        assert.deepStrictEqual(marksOf(slack), [[ts, "eyes"]])
        // The same event, the same gesture under another event, and the message itself under a third.
        for (
          const [changes, outer] of [
            [{ ts: "1700000000.000200" }, {}],
            [{ ts: "1700000000.000300", client_msg_id: "c1" }, { event_id: "Ev2" }],
            [{}, { event_id: "Ev3" }]
          ] as const
        ) assert.strictEqual((yield* event(changes, outer)).status, 200)
        assert.lengthOf(yield* waiting, 1)
        yield* (yield* Progress).flush
        const row = yield* (yield* Sandboxes).get(sandbox)
        assert.strictEqual(row._tag === "Some" ? row.value.lastAcceptedTs : undefined, ts)
        assert.isFalse((yield* Progress).takeMissed())
      }).pipe(world(slack))
    }))

  it.effect("is not delayed by who somebody is: a quarter of a second for names, and one for who our bot is", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack({ "auth.test": Effect.never, "users.info": Effect.never })
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(event())
        yield* TestClock.adjust(499)
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust(1)
        assert.isDefined(fiber.pollUnsafe())
        const [request] = yield* requests
        assert.strictEqual(request?.origin.kind === "slack" ? request.origin.userName : "", ada)
      }).pipe(world(slack))
    }))

  it.effect("from another workspace needs the profile's word; where Slack does not say, it is asked", () =>
    Effect.gen(function*() {
      const inside = { ok: true, user: { name: "ada", team_id: team } }
      const outside = { ok: true, user: { name: "eve", team_id: "T0OTHER001" } }
      const taken = [200, 1, "eyes", false]
      const no = [200, 0, "no_entry_sign", false]
      const open = { is_ext_shared_channel: true }
      assert.deepStrictEqual(yield* outcome({ user_team: team }, open, outside), taken)
      assert.deepStrictEqual(yield* outcome({ user_team: "T0OTHER001" }, open, inside), no)
      assert.deepStrictEqual(yield* outcome({ user_team: "T0OTHER001" }, open, inside, [ada]), taken)
      assert.deepStrictEqual(yield* outcome({ user_team: "T0OTHER001" }, open, inside, ["U0MAX00001"]), no)
      assert.deepStrictEqual(yield* outcome({ team: null }, open, inside), taken)
      assert.deepStrictEqual(yield* outcome({ team: null }, open, outside), no)
      assert.deepStrictEqual(yield* outcome({ team: null }, {}, outside), taken)
      assert.deepStrictEqual(yield* outcome({ team: null }, open, unclear("x")), [503, 0, undefined, true])
    }))

  it.effect("is refused with its reason in the thread, once for a person and a thread, and a mark each time", () =>
    Effect.gen(function*() {
      for (const row of [{ desired: "destroyed" }, { status: "destroying" }] as const) {
        const slack = scriptedSlack()
        yield* Effect.gen(function*() {
          yield* event({ thread_ts: "1700000000.000001" })
          yield* event({ thread_ts: "1700000000.000001", ts: "1700000000.000200" }, { event_id: "Ev2" })
          yield* event({ ts: "1700000000.000300" }, { event_id: "Ev3" })
          const notes = yield* told(slack)
          assert.deepStrictEqual(notes.map(([thread]) => thread).toSorted(), ["1700000000.000001", "1700000000.000300"])
          assert.include(notes[0]?.[1], "Not taken")
          assert.include(notes[0]?.[1], "Write in another")
          assert.include(notes[0]?.[1], "KM-SLK-013")
          assert.deepStrictEqual(marksOf(slack).map(([, name]) => name), Array(3).fill("no_entry_sign"))
          assert.lengthOf(yield* waiting, 0)
        }).pipe(world(slack, { row }))
      }
    }))

  it.effect("is too long beyond 256 KiB of what is stored, and not a byte before", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      yield* Effect.gen(function*() {
        yield* event({ text: "é" })
        const [entry] = yield* waiting
        const room = 256 * 1024 - Buffer.byteLength(entry?.body ?? "")
        yield* event({ ts: "1700000000.000200", text: `é${"x".repeat(room)}` }, { event_id: "Ev2" })
        assert.lengthOf(yield* waiting, 2)
        yield* event({ ts: "1700000000.000300", text: `é${"x".repeat(room + 1)}` }, { event_id: "Ev3" })
        assert.lengthOf(yield* waiting, 2)
        assert.include(JSON.stringify(yield* told(slack)), "KM-SLK-012")
      }).pipe(world(slack))
    }))

  it.effect("finds its sandbox though the index lags: an error for a minute, then nothing", () =>
    Effect.gen(function*() {
      const young = SandboxId.make("sb-00000003")
      for (const [age, status] of [[59_999, 503], [60_000, 200]] as const) {
        yield* Effect.gen(function*() {
          const now = yield* Clock.currentTimeMillis
          yield* (yield* Sandboxes).insert(rowOf(young, undefined, { createdAt: now - age }))
          const answer = yield* event({ channel: "C0ELSE0001" })
          assert.deepStrictEqual([answer.status, codeOf(answer)], [status, status === 503 ? "KM-SLK-010" : undefined])
          assert.strictEqual(answer.headers.get("retry-after"), status === 503 ? "2" : null)
          assert.strictEqual((yield* Progress).takeMissed(), status === 503)
          // A channel that has a row, though no chat, is not invisible.
          yield* (yield* Sandboxes).update(sandbox, { channelMode: "shared" })
          assert.strictEqual((yield* event()).status, 200)
          assert.lengthOf(yield* waiting, 0)
        }).pipe(world(scriptedSlack()))
      }
    }))

  it.effect("with mention-only is taken when it mentions, or goes on in a thread that is known", () =>
    Effect.gen(function*() {
      const profile = profileWith({ ...slackProfile.spec.cli, notifySlackInboundMentionOnly: true })
      yield* Effect.gen(function*() {
        yield* event({ ts: "1700000000.000200" }, { event_id: "a" })
        yield* event({ ts: "1700000000.000201", thread_ts: "1700000000.000001" }, { event_id: "b" })
        assert.lengthOf(yield* waiting, 0)
        yield* event({ ts: "1700000000.000202", text: `<@${botUser}> x` }, { event_id: "c" })
        yield* event({ ts: "1700000000.000203", thread_ts: "1700000000.000202" }, { event_id: "d" })
        assert.lengthOf(yield* waiting, 2)
        yield* (yield* Threads).put({
          channel,
          threadTs: MessageTs.make(ts),
          sandbox,
          createdAt: 1_715_000_000_000,
          lastTurnAt: 1_715_000_000_000
        })
        yield* event({ ts: "1700000000.000204", thread_ts: ts }, { event_id: "e" })
        assert.lengthOf(yield* waiting, 3)
      }).pipe(world(scriptedSlack(), { row: { profile } }))
    }))

  it.effect("that is `!stop` stops its thread, or all at top level, marks once, and is no turn", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      yield* Effect.gen(function*() {
        yield* event({ text: "!stop", thread_ts: "1700000000.000001" })
        yield* event({ text: "!stop", thread_ts: "1700000000.000001" })
        yield* event({ text: "!stop", ts: "1700000000.000200" }, { event_id: "Ev2" })
        const [first, second] = yield* stops(2)
        assert.deepStrictEqual(first, {
          kind: "stop",
          id: `stop-${keyOf()}`,
          group: GroupId.make(`${channel}:1700000000.000001`),
          by: "ada",
          at: 1_715_000_000_000
        })
        assert.deepStrictEqual(second, {
          kind: "stop",
          id: `stop-${keyOf("1700000000.000200")}`,
          by: "ada",
          at: 1_715_000_000_000
        })
        assert.lengthOf(yield* waiting, 0)
        yield* told(slack)
        assert.deepStrictEqual(marksOf(slack), [[ts, "octagonal_sign"], ["1700000000.000200", "octagonal_sign"]])
        yield* (yield* Progress).flush
        const row = yield* (yield* Sandboxes).get(sandbox)
        assert.strictEqual(row._tag === "Some" ? row.value.lastAcceptedTs : undefined, "1700000000.000200")
      }).pipe(world(slack))
    }))

  it.effect("gets 503 and is fetched later when a store fails before it is in the queue, and 200 after", () =>
    Effect.gen(function*() {
      const find = { find: () => Effect.succeedNone }
      const broken: ReadonlyArray<readonly [string, Options, object, number]> = [
        [
          "seen, of a stop",
          { seen: Layer.mock(Seen, { find: () => Effect.fail(storeError) }) },
          { text: "!stop" },
          503
        ],
        // Of what is to be queued the queue says by itself whether it was seen.
        ["seen, of a message", { seen: Layer.mock(Seen, { find: () => Effect.fail(storeError) }) }, {}, 200],
        ["seen, marking", { seen: Layer.mock(Seen, { ...find, mark: () => Effect.fail(storeError) }) }, {}, 200],
        ["seen, marking a stop", { seen: Layer.mock(Seen, { ...find, mark: () => Effect.fail(storeError) }) }, {
          text: "!stop"
        }, 503],
        [
          "the queue",
          { queue: Layer.mock(TurnQueue, { create: () => Effect.void, accept: () => Effect.fail(storeError) }) },
          {},
          503
        ]
      ]
      for (const [what, options, changes, status] of broken) {
        yield* Effect.gen(function*() {
          assert.strictEqual((yield* event(changes)).status, status, what)
          assert.strictEqual((yield* Progress).takeMissed(), status === 503, what)
        }).pipe(world(scriptedSlack(), options))
      }
    }))
})

const sent = (kind: string, more: object) =>
  Effect.map(post(envelope({ type: kind, ...more }, { event_id: kind })), ({ status }) => status)

describe("an envelope", () => {
  it.effect("that Slack repeats, or that says events were dropped, asks for the catch-up", () =>
    Effect.gen(function*() {
      const progress = yield* Progress
      for (
        const [body, missed] of [
          [{ type: "app_rate_limited", team_id: team }, true],
          [{ type: "something_new", team_id: team }, false],
          [envelope({ type: "app_home_opened" }), false]
        ] as const
      ) {
        const answer = yield* post(body)
        assert.deepStrictEqual([answer.status, answer.json, progress.takeMissed()], [200, { ok: true }, missed])
      }
      const heard = yield* Heard
      const before = yield* heard.state
      assert.deepStrictEqual([before.eventAt, before.challengeAt], [1_715_000_000_000, undefined])
      yield* TestClock.adjust(1_000)
      const bare = yield* post({ type: "url_verification" })
      assert.deepStrictEqual(bare.json, { challenge: "" })
      const after = yield* heard.state
      assert.deepStrictEqual([after.eventAt, after.challengeAt], [1_715_000_000_000, 1_715_000_001_000])
      assert.deepStrictEqual((yield* post({ type: "url_verification", challenge: "c" })).json, { challenge: "c" })
      const control = yield* post("{\"type\":\"url_verification\",\"challenge\":\"\\u0000\"}")
      assert.strictEqual(codeOf(control), "KM-SLK-006")
      const shapeless = yield* post("{\"type\":5,\"x\":\"\\u0000\"}")
      assert.strictEqual(codeOf(shapeless), "KM-SLK-006")
    }).pipe(world(scriptedSlack())))

  it.effect("of an invitation, its approval and the guest's coming is heard in full", () =>
    Effect.gen(function*() {
      const eve = UserId.make("U0EVE00001")
      const row = rowOf(
        sandbox,
        channel,
        {},
        profileWith({ ...slackProfile.spec.cli, notifySlackInviteEmails: ["eve@elsewhere.test"] })
      )
      const invite = { id: "I1", inviting_user: { id: botUser }, recipient_email: "eve@elsewhere.test" }
      const person = { id: eve, profile: { email: "eve@elsewhere.test" } }
      const place = { id: channel }
      const slack = scriptedSlack({ "conversations.members": { ok: true, members: [] } })
      yield* Effect.gen(function*() {
        const may = Effect.flatMap(Outsiders, (outsiders) => outsiders.mayDrive(row, eve))
        assert.strictEqual(
          yield* sent("shared_channel_invite_accepted", { invite, channel: place, accepting_user: person }),
          200
        )
        assert.strictEqual(yield* sent("member_joined_channel", { channel, user: eve }), 200)
        assert.isFalse(yield* may)
        assert.strictEqual(yield* sent("shared_channel_invite_approved", { invite, channel: place }), 200)
        assert.isTrue(yield* may)
        assert.strictEqual(yield* sent("member_left_channel", { channel, user: eve }), 200)
        assert.isFalse(yield* may)
        // In a channel of no sandbox it is noted, and admits nobody.
        for (const kind of ["shared_channel_invite_accepted", "shared_channel_invite_approved"]) {
          assert.strictEqual(yield* sent(kind, { invite, channel: { id: "C0ELSE0001" }, accepting_user: person }), 200)
        }
        assert.strictEqual(yield* sent("member_joined_channel", { channel: "C0ELSE0001", user: eve }), 200)
        assert.isFalse(yield* may)
      }).pipe(world(slack, { row: { profile: row.profile } }))
    }))

  it.effect("whose body broke off, or is over a mebibyte, is refused for good", () =>
    Effect.gen(function*() {
      const events = yield* HttpEvents
      for (const [fault, code, status] of [["broken", "KM-SLK-005", 400], ["too_large", "KM-SLK-001", 413]] as const) {
        const answer = yield* events.judge({}, fault)
        assert.deepInclude(answer, { status, headers: { "x-slack-no-retry": "1" } })
        assert.strictEqual(JSON.parse(answer.body).error.code, code)
        const { refused } = yield* (yield* Heard).state
        assert.deepInclude(refused, fault === "broken" ? { code, detail: "cut short" } : { code, detail: "" })
      }
    }).pipe(world(scriptedSlack())))

  it.effect("needs a workspace, an app and a secret", () =>
    Effect.gen(function*() {
      assert.strictEqual(codeOf(yield* event({}, { authorizations: [], team_id: "none" })), "KM-SLK-007")
      assert.strictEqual(codeOf(yield* event({}, { api_app_id: null })), "KM-SLK-008")
      assert.strictEqual((yield* event({}, { authorizations: null })).status, 200)
      yield* (yield* Secrets).put("slack/signing-secret", Redacted.make(" "))
      yield* TestClock.adjust(31_000)
      const answer = yield* event()
      assert.deepStrictEqual([answer.status, codeOf(answer)], [503, "KM-SLK-011"])
    }).pipe(world(scriptedSlack())))

  it.effect("with a fault beside what is read is refused; its message gets its verdict", () =>
    Effect.gen(function*() {
      const slack = scriptedSlack()
      yield* Effect.gen(function*() {
        const beside = yield* event({ blocks: "a\u0007b" })
        assert.deepStrictEqual([beside.status, (yield* waiting).length], [200, 1])
        const within = yield* event({ ts: "1700000000.000200", text: "a\u0007b" }, { event_id: "Ev2" })
        assert.deepStrictEqual([within.status, codeOf(within)], [400, "KM-SLK-006"])
        assert.include(JSON.stringify(yield* told(slack)), "KM-SLK-006")
        const reaction = {
          type: "reaction_added",
          user: ada,
          reaction: "heart\u0007",
          item: { type: "message", channel, ts }
        }
        assert.strictEqual(codeOf(yield* post(envelope(reaction))), "KM-SLK-006")
        assert.lengthOf(yield* waiting, 1)
      }).pipe(world(slack))
    }))
})
