/** What schedules do with sandboxes, over ports in memory; killed at every call and asked again, each effect is one. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Duration, Effect, Exit, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import type { Install } from "../../../../runtime/domain/install/Install.ts"
import {
  Alias,
  InstallName,
  MessageTs,
  SandboxId,
  slackTurnKey,
  TeamId,
  TurnKey
} from "../../../../runtime/domain/sandbox/Ids.ts"
import { noReport, type SandboxRow } from "../../../../runtime/domain/sandbox/Sandbox.ts"
import { ScheduleName } from "../../../../runtime/domain/schedule/Schedule.ts"
import { ScheduledAction } from "../../../../runtime/domain/schedule/ScheduleAction.ts"
import { endOfSandbox } from "../../../../runtime/domain/turn/OutcomeText.ts"
import { AgentOutcome, TurnRequest, type TurnResult, type TurnRow } from "../../../../runtime/domain/turn/Turn.ts"
import { recordOf, type TurnRecord } from "../../../../runtime/domain/turn/TurnRecord.ts"
import { endOf } from "../../../../runtime/kernel/sandboxes/ControlPlane.ts"
import { Provisioning } from "../../../../runtime/kernel/sandboxes/Provisioning.ts"
import { makeSandboxActions } from "../../../../runtime/kernel/sandboxes/SandboxActions.ts"
import { Teardown } from "../../../../runtime/kernel/sandboxes/Teardown.ts"
import { endsWith } from "../../../../runtime/kernel/schedules/WaitingRuns.ts"
import type {
  ActionDone,
  ActionFailed,
  ActionRequest,
  ActionRunner,
  ActionStarted
} from "../../../../runtime/ports/ActionRunner.ts"
import { World } from "../../../support/ControlWorld.ts"
import { profileWith, slackProfile } from "../../../support/profiles.ts"

const id = SandboxId.make("sb-1a2b3c4d")
const team = TeamId.make("T0TEAM")
const install: Install = {
  version: 1,
  install: InstallName.make("km"),
  certifierPublicKey: Buffer.alloc(32).toString("base64"),
  bridgeUrl: "http://127.0.0.1:9",
  bridgeHost: "127.0.0.1:9",
  slackApiUrl: "http://127.0.0.1:9/api/",
  teamId: team,
  botUserId: "U0BOT",
  local: true
}
const { AgentRun, Create, Destroy, EmailSend, Extend, Resume, Stop } = ScheduledAction.cases
const decodeRequest = Schema.decodeUnknownSync(Schema.fromJsonString(TurnRequest))

/** A world with one running sandbox, and the records of its turns. */
class Place {
  readonly world = new World()
  readonly seen = this.world.queue.seen
  creates = true

  layer() {
    return Provisioning.layer.pipe(
      Layer.provideMerge(Teardown.layer),
      Layer.provideMerge(this.world.layer())
    )
  }

  readonly prepare = Effect.gen(function*() {
    yield* (yield* Provisioning).create({
      id,
      install: install.install,
      alias: Alias.make("demo"),
      profile: slackProfile,
      unconfined: false,
      readyWithin: Duration.seconds(60)
    })
  })

  private acting<A>(
    action: ScheduledAction,
    options: { readonly target?: SandboxId; readonly id?: string },
    question: (runner: ActionRunner, request: ActionRequest) => Effect.Effect<A, ActionFailed>
  ): Effect.Effect<A, ActionFailed> {
    return Effect.gen({ self: this }, function*() {
      const actions = yield* makeSandboxActions({
        install,
        creates: this.creates,
        readProfile: (path) =>
          path === "/broken.yaml" ? Effect.fail({ message: "it is broken" }) : Effect.succeed(slackProfile)
      })
      return yield* question(actions, {
        id: options.id ?? "nightly:60000",
        schedule: ScheduleName.make("nightly"),
        action,
        target: options.target ?? id
      })
    }).pipe(Effect.provide(this.layer(), { local: true }))
  }

  /** In a process of its own. */
  start(
    action: ScheduledAction,
    options: { readonly target?: SandboxId; readonly id?: string } = {}
  ): Effect.Effect<ActionStarted, ActionFailed> {
    return this.acting(action, options, (runner, request) => runner.start(request))
  }

  /** Of an action that is over once it has begun. */
  run(action: ScheduledAction, options: { readonly target?: SandboxId; readonly id?: string } = {}) {
    return Effect.map(this.start(action, options), (started) => {
      if (started._tag === "Waiting") return assert.fail("it waits for a turn")
      return started
    })
  }

  /** In another process, by the record of the turn that it waited for. */
  resume(action: ScheduledAction, turn: TurnKey): Effect.Effect<ActionDone, ActionFailed> {
    const record = this.world.records.records.get(id)?.get(turn)
    if (record === undefined) return assert.fail("the turn is not over")
    return this.acting(action, {}, (runner, request) => runner.resume(request, record))
  }

  /** The one message in the sandbox's queue. */
  queued(): TurnRequest | undefined {
    const messages = this.world.queue.queues.get(id)?.messages ?? []
    assert.isAtMost(messages.length, 1)
    return messages[0] === undefined ? undefined : decodeRequest(messages[0].body)
  }

  /** The turn has run: its record is there, and its message gone. */
  settle(request: TurnRequest, result: TurnResult, outcome: AgentOutcome) {
    const own = this.world.records.records.get(id) ?? new Map<TurnKey, TurnRecord>()
    const row: TurnRow = {
      key: request.key,
      request,
      state: "posted",
      result,
      attempt: 1,
      resumed: false,
      outcome,
      shown: [],
      receivedAt: 0
    }
    this.world.records.records.set(id, own.set(request.key, recordOf(row, undefined, (text) => text)))
    this.world.queue.queues.get(id)?.messages.splice(0)
  }
}

const at = <A, E>(body: (place: Place) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const place = new Place()
    yield* Effect.provide(place.prepare, place.layer(), { local: true })
    return yield* body(place)
  })

const codeOf = (place: Place, action: ScheduledAction, target: SandboxId = id) =>
  Effect.map(Effect.flip(place.start(action, { target })), ({ code }) => code)

/** As it travels, without brands. */
const plain = (request: TurnRequest): Record<string, unknown> =>
  JSON.parse(JSON.stringify(request)) as Record<string, unknown>

const prompt = AgentRun.make({ target: "demo", prompt: "run the *tests*\n<!channel>" })

describe("SandboxActions", () => {
  it.effect("an agent run is a turn in a new thread, and ends as its turn does", () =>
    at((place) =>
      Effect.gen(function*() {
        const started = yield* place.start(prompt)
        const request = place.queued()
        if (request === undefined) return assert.fail("nothing was sent")
        const channel = place.world.rows.get(id)?.channel
        const ts = MessageTs.make("1700000000.000001")
        assert.deepInclude(plain(request), {
          key: "at:nightly:60000",
          group: `${channel}:${ts}`,
          text: "run the *tests*\n<!channel>",
          origin: {
            kind: "slack",
            team,
            channel,
            ts,
            threadTs: ts,
            user: "U0BOT",
            userName: "schedule nightly"
          }
        })
        const post = place.world.effects.at(-1)?.action
        assert.strictEqual(
          post?.action === "post" ? post.markdown : "",
          "⏰ **Scheduled** by `nightly`:\n\n> run the *tests*\n> <!channel>"
        )
        const own = channel === undefined ? undefined : place.seen.rows.get(`turn:${slackTurnKey(team, channel, ts)}`)
        assert.strictEqual(own?.turn, request.key)
        assert.deepStrictEqual(started, { _tag: "Waiting", turn: request.key })
        place.settle(request, "answered", AgentOutcome.cases.Answered.make({ text: "all green" }))
        assert.deepStrictEqual(yield* place.resume(prompt, request.key), { detail: "all green", turn: request.key })
      })
    ))

  it.effect("killed at any call and asked again, there is one message, one turn and one end", () =>
    Effect.gen(function*() {
      let points = 0
      for (const phase of ["before", "after"] as const) {
        for (let n = 1;; n++) {
          const place = new Place()
          yield* Effect.provide(place.prepare, place.layer(), { local: true })
          const before = place.world.effects.length
          place.world.crashing(n, phase)
          const first = yield* Effect.exit(place.start(prompt))
          if (Exit.isSuccess(first)) break
          points += 1
          place.world.crashing(0, phase)
          // The queue may have forgotten the key by then.
          yield* TestClock.adjust("1 hour")
          const started = yield* place.start(prompt)
          const request = place.queued()
          if (request === undefined) return assert.fail(`nothing was sent after ${n}`)
          assert.deepStrictEqual(started, { _tag: "Waiting", turn: request.key })
          assert.strictEqual(place.world.effects.length, before + 1, `posted once, killed ${phase} ${n}`)
        }
      }
      assert.isAbove(points, 8)
    }))

  it.effect("what waits, runs or is over is not announced or sent again, whatever has become of the sandbox", () =>
    at((place) =>
      Effect.gen(function*() {
        const started = yield* place.start(prompt)
        const request = place.queued()
        if (request === undefined) return assert.fail("nothing was sent")
        // The queue has forgotten the key by then, and would take it again.
        yield* TestClock.adjust("1 hour")
        const effects = place.world.effects.length
        const row = place.world.rows.get(id)
        if (row === undefined) return assert.fail("no row")
        place.world.rows.set(id, { ...row, desired: "stopped" })
        assert.deepStrictEqual(yield* place.start(prompt), started)
        assert.isDefined(place.queued())
        place.settle(request, "answered", AgentOutcome.cases.Answered.make({ text: "done" }))
        assert.deepStrictEqual(yield* place.start(prompt), started)
        assert.isUndefined(place.queued())
        assert.strictEqual(place.world.effects.length, effects)
      })
    ))

  it.effect("an agent run whose message was deleted before it was taken has failed, and is no turn", () =>
    at((place) =>
      Effect.gen(function*() {
        yield* place.start(prompt, { id: "nightly:1" })
        const first = place.queued()
        if (first?.origin.kind !== "slack") return assert.fail("nothing was sent")
        const { channel, ts } = first.origin
        // The world's messages are numbered: the next one is known, and marked as a deletion marks it.
        const next = MessageTs.make(`1700000000.${String(Number(ts.split(".")[1]) + 1).padStart(6, "0")}`)
        const turn = TurnKey.make("deleted")
        place.seen.rows.set(`turn:${slackTurnKey(team, channel, next)}`, { turn, expiresAt: Infinity })
        const refused = yield* Effect.flip(place.start(prompt, { id: "nightly:2" }))
        assert.deepInclude(refused, {
          code: "KM-SCH-022",
          reason: "its message was deleted before its turn could start",
          passing: false
        })
        assert.strictEqual(place.queued()?.key, first.key)
      })
    ))

  it.effect("a turn that does not answer, and a sandbox that cannot take one, fail with their codes", () =>
    at((place) =>
      Effect.gen(function*() {
        for (const [n, result] of (["failed", "cancelled", "expired", "parked"] as const).entries()) {
          const runId = `nightly:${n}`
          yield* place.start(prompt, { id: runId })
          const request = place.queued()
          if (request === undefined) return assert.fail("nothing was sent")
          place.settle(request, result, AgentOutcome.cases.Crashed.make({ detail: "" }))
          const error = yield* Effect.flip(place.resume(prompt, TurnKey.make(`at:${runId}`)))
          assert.deepStrictEqual([error.code, error.passing], ["KM-SCH-025", false])
        }
        yield* place.start(prompt, { id: "nightly:9" })
        const stopped = place.queued()
        if (stopped === undefined) return assert.fail("nothing was sent")
        place.settle(stopped, "cancelled", AgentOutcome.cases.Cancelled.make({ by: endOfSandbox }))
        assert.strictEqual((yield* Effect.flip(place.resume(prompt, stopped.key))).code, "KM-SCH-028")
        const row = place.world.rows.get(id)
        if (row === undefined) return assert.fail("no row")
        const set = (changes: Partial<SandboxRow>) => place.world.rows.set(id, { ...row, ...changes })
        set({ desired: "stopped" })
        assert.strictEqual(yield* codeOf(place, prompt), "KM-SCH-022")
        set({ profile: profileWith() })
        assert.strictEqual(yield* codeOf(place, prompt), "KM-SCH-022")
        set({ status: "destroying" })
        assert.strictEqual(yield* codeOf(place, prompt), "KM-SCH-021")
        set({})
        place.world.bridgeDown = true
        const down = yield* Effect.flip(place.start(prompt))
        assert.deepStrictEqual([down.code, down.passing], ["KM-SCH-022", true])
        assert.strictEqual(yield* codeOf(place, prompt, SandboxId.make("sb-0")), "KM-SCH-021")
      })
    ))

  it.effect("pauses, resumes, extends and destroys; what is so already is no failure", () =>
    at((place) =>
      Effect.gen(function*() {
        const status = () => place.world.rows.get(id)?.status
        yield* place.run(Stop.make({ target: "demo" }))
        assert.deepStrictEqual([[...place.world.runtimes], status()], [[], "stopped"])
        assert.include((yield* place.run(Stop.make({ target: "demo" }))).detail, "already")
        yield* TestClock.adjust("2 hours")
        yield* place.run(Resume.make({ target: "demo" }))
        assert.deepStrictEqual([[...place.world.runtimes], status()], [[id], "running"])
        assert.include((yield* place.run(Resume.make({ target: "demo" }))).detail, "already")
        // Two hours of sleep are no two hours of idleness.
        const row = place.world.rows.get(id)
        if (row === undefined) return assert.fail("no row")
        const now = yield* Clock.currentTimeMillis
        assert.isUndefined(endOf({ ...row, ...noReport, lastSeenAt: now, lastActiveAt: row.createdAt }, now, 0))
        const expiry = place.world.rows.get(id)?.expiresAt ?? 0
        yield* place.run(Extend.make({ target: "demo", by: "2h" }))
        assert.strictEqual(place.world.rows.get(id)?.expiresAt, expiry + 7_200_000)
        yield* TestClock.setTime(expiry + 100_000_000)
        yield* place.run(Extend.make({ target: "demo", by: "1h" }))
        assert.strictEqual(place.world.rows.get(id)?.expiresAt, expiry + 103_600_000)
        yield* place.run(Destroy.make({ target: "demo" }))
        assert.isUndefined(place.world.rows.get(id))
        // Asked again after a crash, what is gone is gone.
        yield* place.run(Destroy.make({ target: "demo" }))
        assert.strictEqual(yield* codeOf(place, Stop.make({ target: "demo" })), "KM-SCH-021")
      })
    ))

  it.effect("a sandbox without a time to live cannot be extended, a broken host is worth another try", () =>
    at((place) =>
      Effect.gen(function*() {
        const row = place.world.rows.get(id)
        if (row === undefined) return assert.fail("no row")
        const { expiresAt: _, ...rest } = row
        place.world.rows.set(id, rest)
        assert.strictEqual(yield* codeOf(place, Extend.make({ target: "demo", by: "1h" })), "KM-SCH-022")
        yield* place.run(Stop.make({ target: "demo" }))
        place.world.hostBroken = true
        assert.isTrue((yield* Effect.flip(place.run(Resume.make({ target: "demo" })))).passing)
      })
    ))

  it.effect("a create makes a new sandbox for each firing and the same one for the same run", () =>
    at((place) =>
      Effect.gen(function*() {
        const create = Create.make({ profile: "/nightly.yaml", unconfined: false })
        yield* place.run(create)
        yield* place.run(create)
        assert.strictEqual(place.world.rows.size, 2)
        yield* place.run(create, { id: "nightly:120000" })
        assert.strictEqual(place.world.rows.size, 3)
        assert.strictEqual(
          yield* codeOf(place, Create.make({ profile: "/broken.yaml", unconfined: false })),
          "KM-SCH-022"
        )
        const taken = Create.make({ profile: "/nightly.yaml", alias: Alias.make("demo"), unconfined: false })
        assert.strictEqual((yield* Effect.flip(place.run(taken, { id: "nightly:3" }))).code, "KM-CLI-101")
      })
    ))

  it.effect("without the certifier's key a create is refused for good, and says how to allow it", () =>
    at((place) =>
      Effect.gen(function*() {
        place.creates = false
        const refused = yield* Effect.flip(place.run(Create.make({ profile: "/nightly.yaml", unconfined: false })))
        assert.deepInclude(refused, { code: "KM-SCH-027", passing: false })
        assert.include(refused.reason, "KM_UNATTENDED_CERTIFIER")
        assert.strictEqual(place.world.rows.size, 1)
      })
    ))

  it.effect("with --expect only an answer that ends in it is a success, and the agent is told", () =>
    at((place) =>
      Effect.gen(function*() {
        const gated = AgentRun.make({ target: "demo", prompt: "test", expect: "PASSED" })
        const cases: ReadonlyArray<readonly [answer: string, good: boolean]> = [
          ["12 tests\nPASSED", true],
          ["12 tests\r\n**PASSED** \n\n", true],
          ["`PASSED`", true],
          ["PASSED\n3 of them", false],
          ["not PASSED", false],
          ["passed", false],
          ["PASSED.", false],
          ["", false]
        ]
        for (const [n, [answer, good]] of cases.entries()) {
          yield* place.start(gated, { id: `gate:${n}` })
          const request = place.queued()
          if (request === undefined) return assert.fail("nothing was sent")
          assert.match(request.text, /^test\n\n.*exactly:\nPASSED\n/s)
          place.settle(request, "answered", AgentOutcome.cases.Answered.make({ text: answer }))
          const exit = yield* Effect.exit(place.resume(gated, request.key))
          assert.strictEqual(Exit.isSuccess(exit), good, answer)
          if (Exit.isSuccess(exit)) continue
          const [failure] = Cause.prettyErrors(exit.cause)
          assert.include(failure?.message, "KM-SCH-026")
          if (answer.startsWith("PASSED\n")) assert.include(failure?.message, "3 of them", "what went wrong is kept")
        }
      })
    ))

  it.effect("mail is another runner's", () =>
    at((place) =>
      Effect.gen(function*() {
        const mail = EmailSend.make({
          to: ["sb-b"],
          cc: [],
          bcc: [],
          subject: "s",
          body: "b",
          encrypt: false
        })
        assert.strictEqual(yield* codeOf(place, mail), "KM-SCH-020")
      })
    ))

  it.effect("an agent is only asked where the profile takes chat in and an agent may run, and each refusal says so", () =>
    at((place) =>
      Effect.gen(function*() {
        const row = place.world.rows.get(id)
        if (row === undefined) return assert.fail("no row")
        const reason = Effect.map(Effect.flip(place.start(prompt)), ({ passing, reason: said }) => `${passing} ${said}`)
        const takesNone = `false ${id} takes no messages: its profile has chat into the sandbox turned off`
        const { channel: _, ...nowhere } = row
        for (
          const other of [
            { ...row, profile: profileWith({ notifySlackEnabled: true, notifySlackInboundEnabled: false }) },
            nowhere
          ]
        ) {
          place.world.rows.set(id, other)
          assert.strictEqual(yield* reason, takesNone)
        }
        place.world.rows.set(id, { ...row, desired: "stopped" })
        assert.strictEqual(yield* reason, `false ${id} is paused; km resume demo lets it run`)
        place.world.rows.set(id, row)
        place.world.archived.add(row.channel ?? "")
        assert.strictEqual(yield* reason, "false the bridge refused post: archived (is_archived)")
        place.world.rows.delete(id)
        assert.strictEqual(yield* reason, `false ${id} is not there any more`)
      })
    ))

  it.effect("a long prompt is shown from its beginning and sent whole, a long answer is kept from its end", () =>
    at((place) =>
      Effect.gen(function*() {
        const long = AgentRun.make({ target: "demo", prompt: `${"p".repeat(1_999)}xy` })
        yield* place.start(long)
        const request = place.queued()
        if (request === undefined) return assert.fail("nothing was sent")
        assert.strictEqual(request.text, long.prompt)
        const post = place.world.effects.at(-1)?.action
        assert.isTrue(post?.action === "post" && post.markdown.endsWith(`> ${"p".repeat(1_999)}…`))
        place.settle(request, "answered", AgentOutcome.cases.Answered.make({ text: `xy${"a".repeat(7_999)} ` }))
        assert.strictEqual((yield* place.resume(long, request.key)).detail, `…${"a".repeat(7_999)}`)
        const fits = AgentRun.make({ target: "demo", prompt: "p".repeat(2_000) })
        yield* place.start(fits, { id: "nightly:2" })
        const second = place.queued()
        const shown = place.world.effects.at(-1)?.action
        assert.isTrue(shown?.action === "post" && shown.markdown.endsWith(`> ${"p".repeat(2_000)}`))
        if (second === undefined) return assert.fail("nothing was sent")
        place.settle(second, "undeliverable", AgentOutcome.cases.Answered.make({ text: "a".repeat(8_000) }))
        assert.deepStrictEqual(yield* place.resume(fits, second.key), {
          detail: `(not delivered) ${"a".repeat(8_000)}`,
          turn: second.key
        })
      })
    ))

  it("an answer ends in the expected text on its last line, but for the marks of stress around it", () => {
    const cases: Readonly<Record<string, boolean>> = {
      "PASSED": true,
      "x\n__PASSED__\n\n": true,
      "x\r\n `PASSED` ": true,
      "**PASSED": true,
      "PASSED**": true,
      "PASSED x": false,
      "x PASSED": false,
      "PAS*SED": false,
      "PASSED\nx": false,
      "": false
    }
    for (const [answer, expected] of Object.entries(cases)) {
      assert.strictEqual(endsWith(answer, "PASSED"), expected, JSON.stringify(answer))
    }
  })

  it.effect("what was done is said", () =>
    at((place) =>
      Effect.gen(function*() {
        const said = (action: ScheduledAction) => Effect.map(place.run(action), ({ detail }) => detail)
        assert.strictEqual(yield* said(Stop.make({ target: "demo" })), `${id} is paused`)
        assert.strictEqual(yield* said(Resume.make({ target: "demo" })), `${id} is resumed`)
        const expiresAt = (place.world.rows.get(id)?.expiresAt ?? 0) + 3_600_000
        assert.strictEqual(
          yield* said(Extend.make({ target: "demo", by: "1h" })),
          `${id} now lives until ${new Date(expiresAt).toISOString()}`
        )
        assert.match(yield* said(Create.make({ profile: "/p.yaml", unconfined: false })), /^sb-[0-9a-f]{8} is ready$/)
        assert.strictEqual(yield* said(Destroy.make({ target: "demo" })), `${id} is destroyed`)
      })
    ))
})
