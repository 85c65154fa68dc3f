/** What the channel and the operator are told of sandboxes' lives: each thing once, whatever crashes. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Random } from "effect"
import { TestClock } from "effect/testing"
import { Alias, InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { announcementsOf, decodeNotice, encodeNotice, noticePrefix } from "../../../../runtime/domain/sandbox/Notice.ts"
import { noReport, type SandboxReport, type SandboxRow } from "../../../../runtime/domain/sandbox/Sandbox.ts"
import { ControlPlane } from "../../../../runtime/kernel/sandboxes/ControlPlane.ts"
import { sendNotices } from "../../../../runtime/kernel/sandboxes/Notices.ts"
import { Provisioning } from "../../../../runtime/kernel/sandboxes/Provisioning.ts"
import { Teardown } from "../../../../runtime/kernel/sandboxes/Teardown.ts"
import { World } from "../../../support/ControlWorld.ts"
import { profileWith, slackProfile } from "../../../support/profiles.ts"

const minute = 60_000
const hour = 60 * minute
const budgetUsd = 10

const layerOf = (world: World) =>
  ControlPlane.layer.pipe(
    Layer.provideMerge(Provisioning.layer),
    Layer.provideMerge(Teardown.layer),
    Layer.provideMerge(world.layer())
  )

/** One round of the control plane, as a process of its own: what crashes is gone, the rest is tried by the next. */
const round = (world: World) =>
  Effect.gen(function*() {
    const control = yield* ControlPlane
    yield* control.round
    yield* sendNotices
    // What another round left half done is gone on with by one that has seen it so.
    yield* control.round
    yield* sendNotices
  }).pipe(Effect.provide(layerOf(world)), Effect.exit, Effect.asVoid)

const create = (world: World, id: SandboxId, alias: string, profile = slackProfile) =>
  Effect.flatMap(Provisioning, (provisioning) =>
    provisioning.create({
      id,
      install: InstallName.make("km"),
      alias: Alias.make(alias),
      profile,
      unconfined: false,
      readyWithin: Duration.seconds(60)
    })).pipe(Effect.provide(layerOf(world)))

const change = (world: World, id: SandboxId, changes: Partial<SandboxRow>) => {
  const row = world.rows.get(id)
  if (row !== undefined) world.rows.set(id, { ...row, ...changes })
}
const report = (world: World, id: SandboxId, changes: Partial<SandboxReport>) =>
  world.reports.reports.set(id, { ...world.reports.reports.get(id) ?? noReport, ...changes })

const subjects = (world: World) => [...world.letters.values()].map(({ subject }) => subject).toSorted()
const posts = (world: World) =>
  world.effects.flatMap(({ action }) => action.action === "post" ? [action.markdown] : []).toSorted()

/** A life with everything in it, by the hour of its beginning. */
const life = (world: World, id: SandboxId, atHour: number, ttlHours: number) => {
  if (atHour === 1) report(world, id, { ready: true, lastSeenAt: 0, failureReason: "" })
  if (atHour === 3) report(world, id, { spentUsd: 0.81 * budgetUsd })
  if (atHour === 4) report(world, id, { ready: false, failureReason: "plugin slack-inbound: KM-RTM-004" })
  if (atHour === 5) report(world, id, { ready: true, failureReason: "" })
  if (atHour === 6) report(world, id, { spentUsd: 1.02 * budgetUsd })
  if (atHour === 2) change(world, id, { expiresAt: ttlHours * hour })
}

const expectedSubjects = (alias: string) =>
  [
    `Sandbox ${alias} was created`,
    `Sandbox ${alias} is ready`,
    `Sandbox ${alias} has spent 80 % of its budget`,
    `Sandbox ${alias} has spent 100 % of its budget`,
    `Sandbox ${alias} has a fault`,
    `Sandbox ${alias} ends in 15 minutes`,
    `Sandbox ${alias} has expired`
  ].toSorted()

const rich = profileWith({ ...slackProfile.spec.cli })
const withBudget = { ...rich, spec: { ...rich.spec, agent: { ...rich.spec.agent, budgetUsd } } }
const week = 7 * 24

const mailed = (at: number) =>
  encodeNotice({ at, subject: `at ${at}`, text: "*so* `it` is", slack: "none", mail: "due" })

describe("notices", () => {
  for (const seed of ["one", "two"]) {
    it.effect(`in a week with twenty crashes are told once each, by mail and in the channel (${seed})`, () => {
      const world = new World()
      const ids = ["sb-00000001", "sb-00000002"].map((id) => SandboxId.make(id))
      return Effect.gen(function*() {
        for (const [n, id] of ids.entries()) yield* create(world, id, `demo${n}`, withBudget)
        let crashes = 0
        const quarters = week * 4
        for (let quarter = 0, step = 1; quarter <= quarters + 4; quarter += step) {
          if (quarter % 4 === 0) {
            for (const [n, id] of ids.entries()) life(world, id, quarter / 4 - n, week - 20 * n)
          }
          // Where something happens a crash hurts most: half of them are put there.
          const busy = quarter < 40 || quarter > quarters - 90
          step = busy ? 1 : 8
          const crashing = crashes < 20 && (yield* Random.nextBetween(0, 1)) < (busy ? 0.25 : 0.05)
          if (crashing) {
            crashes += 1
            world.crashing(1 + (yield* Random.nextIntBetween(0, 25)), (yield* Random.nextBoolean) ? "before" : "after")
            yield* round(world)
            world.crashing(0, "before")
          } else yield* round(world)
          yield* TestClock.adjust(Duration.minutes(15 * step))
        }
        yield* round(world)
        yield* round(world)
        assert.strictEqual(crashes, 20)
        assert.strictEqual(world.rows.size, 0)
        assert.deepStrictEqual(subjects(world), ids.flatMap((_, n) => expectedSubjects(`demo${n}`)).toSorted())
        const said = posts(world)
        assert.strictEqual(new Set(said).size, said.length, "nothing twice")
        // Readiness is greeted by the runtime; all else is here, the end in the teardown's own words.
        assert.lengthOf(said, ids.length * (expectedSubjects("x").length - 1))
        assert.strictEqual(world.facts.facts.size, 0, "nothing is kept of what is gone")
      }).pipe(Random.withSeed(seed))
    }, 120_000)
  }

  it.effect("are not mailed where the profile says so, and not posted where there is no channel", () =>
    Effect.gen(function*() {
      const world = new World()
      const id = SandboxId.make("sb-00000001")
      yield* create(world, id, "quiet", profileWith({ ...slackProfile.spec.cli, notifyEmailEnabled: false }))
      yield* round(world)
      assert.deepStrictEqual(subjects(world), [])
      assert.lengthOf(posts(world), 1)
      const mute = new World()
      yield* create(mute, id, "mute", profileWith({ notifyEmailEnabled: true }))
      yield* round(mute)
      assert.deepStrictEqual(subjects(mute), ["Sandbox mute was created"])
      assert.deepStrictEqual(posts(mute), [])
    }))

  it.effect("wait while bridge or mail is away, each way by itself, and outlive their sandbox", () =>
    Effect.gen(function*() {
      const world = new World()
      const id = SandboxId.make("sb-00000001")
      yield* create(world, id, "demo")
      world.bridgeDown = true
      yield* round(world)
      assert.deepStrictEqual([subjects(world), posts(world)], [["Sandbox demo was created"], []])
      world.bridgeDown = false
      world.mailDown = { code: "KM-EML-103", what: "away", why: "" }
      yield* round(world)
      assert.lengthOf(posts(world), 1)
      yield* Effect.flatMap(Teardown, (teardown) => teardown.run(id, "destroyed")).pipe(Effect.provide(layerOf(world)))
      yield* round(world)
      assert.isFalse(world.rows.has(id))
      assert.deepStrictEqual(subjects(world), ["Sandbox demo was created"])
      world.mailDown = undefined
      yield* round(world)
      assert.deepStrictEqual(subjects(world), ["Sandbox demo was created", "Sandbox demo was destroyed"])
      yield* round(world)
      assert.strictEqual(world.facts.facts.size, 0)
    }))

  it.effect("are struck off each way by itself, so that nobody is asked again while the sandbox lives", () =>
    Effect.gen(function*() {
      const world = new World()
      const id = SandboxId.make("sb-00000001")
      yield* create(world, id, "demo")
      const ways = () =>
        [...world.facts.facts.values()].flatMap(({ key, value }) => {
          const notice = key.startsWith(noticePrefix) ? decodeNotice(value) : undefined
          return notice === undefined ? [] : [[notice.slack, notice.mail]]
        })
      world.bridgeDown = true
      yield* round(world)
      assert.deepStrictEqual(ways(), [["due", "done"]])
      world.bridgeDown = false
      world.mailDown = { code: "KM-EML-103", what: "away", why: "" }
      yield* round(world)
      assert.deepStrictEqual(ways(), [["done", "done"]])
      const asked = new Set(world.answers.keys())
      world.answers.clear()
      world.letters.clear()
      world.mailDown = undefined
      yield* round(world)
      assert.isAbove(asked.size, 0)
      assert.deepStrictEqual([world.answers.size, world.letters.size], [0, 0])
    }))

  it.effect("go out in the order in which they were due, and one that cannot be read is left out", () =>
    Effect.gen(function*() {
      const world = new World()
      const id = SandboxId.make("sb-00000001")
      const other = SandboxId.make("sb-00000002")
      const fact = (sandbox: SandboxId, key: string, value: string) =>
        world.facts.facts.set(`${sandbox}\n${key}`, { sandbox, key, value })
      fact(id, `${noticePrefix}1/a`, mailed(30))
      fact(id, `${noticePrefix}1/b`, "of another version")
      fact(id, `${noticePrefix}1/c`, mailed(10))
      fact(other, `${noticePrefix}1/a`, mailed(20))
      fact(other, "something/else", "rubbish")
      yield* sendNotices.pipe(Effect.provide(layerOf(world)))
      assert.deepStrictEqual(
        [...world.letters],
        [10, 20, 30].map((at, n) => {
          const key = n === 1 ? `${other}/${noticePrefix}1/a` : `${id}/${noticePrefix}1/${n === 0 ? "c" : "a"}`
          return [key, { key, subject: `at ${at}`, body: "so it is" }]
        })
      )
      // Neither has a row: what was told is forgotten, and what is no notice stays.
      assert.deepStrictEqual([...world.facts.facts.values()].map(({ key }) => key), ["something/else"])
    }))

  it.effect("say what extends a life, and what a budget's end means", () =>
    Effect.gen(function*() {
      const world = new World()
      const id = SandboxId.make("sb-00000001")
      yield* create(world, id, "demo", withBudget)
      const row = world.rows.get(id)
      assert.isDefined(row)
      if (row === undefined) return
      const at = (changes: Partial<SandboxRow & SandboxReport>, now: number) =>
        announcementsOf({ ...row, ...noReport, ...changes }, now).map((
          { id: what, text }
        ) => [what.split("/")[0], text])
      const told = at({ expiresAt: 8 * hour, spentUsd: 10 }, 8 * hour - 15 * minute)
      assert.deepStrictEqual(told.map(([what]) => what), ["created", "ttl", "budget", "budget"])
      assert.include(told[1]?.[1], "`km extend demo --by 1h`")
      assert.include(told[3]?.[1], "no further turn begins")
      assert.deepStrictEqual(
        at({ expiresAt: 8 * hour, spentUsd: 7.99 }, 8 * hour - 15 * minute - 1).map(([what]) => what),
        [
          "created"
        ]
      )
      // Extended, it is warned of anew; a life shorter than the notice is announced when it begins.
      assert.notDeepEqual(at({ expiresAt: 9 * hour }, 9 * hour - minute)[1], told[1])
      assert.deepStrictEqual(at({ expiresAt: 15 * minute }, minute).map(([what]) => what), ["created"])
      assert.deepStrictEqual(at({ status: "creating" }, 0), [])
    }))
})
