/** Which sandboxes end before a schedule's times: by their time to live, or for want of a turn. */
import { assert, describe, it } from "@effect/vitest"
import { Alias, InstallName, SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { noReport, type ReportedSandbox } from "../../../../runtime/domain/sandbox/Sandbox.ts"
import { ScheduledAction, type ScheduleStep } from "../../../../runtime/domain/schedule/ScheduleAction.ts"
import { earlyEnds } from "../../../../runtime/kernel/schedules/ScheduleEnds.ts"
import { profileWith } from "../../../support/profiles.ts"

const minute = 60_000
const hour = 60 * minute
const id = SandboxId.make("sb-1a2b3c4d")
const demo = Alias.make("demo")

/** Made at 0, ends as idle after an hour. */
const row = (changes: Partial<ReportedSandbox> = {}): ReportedSandbox => ({
  ...noReport,
  id,
  alias: demo,
  install: InstallName.make("km"),
  profile: profileWith({}, { lifecycle: { idleTimeout: "1h" } }),
  desired: "running",
  status: "running",
  unconfined: false,
  createdAt: 0,
  generation: "1",
  inventory: [],
  lastSeenAt: 0,
  ...changes
})
const run: ScheduleStep = { action: ScheduledAction.cases.AgentRun.make({ target: "demo", prompt: "x" }) }
const mail: ScheduleStep = {
  action: ScheduledAction.cases.EmailSend.make({
    to: ["demo@example.test"],
    cc: [],
    bcc: [],
    subject: "x",
    body: "x",
    encrypt: false
  })
}
const stop: ScheduleStep = { action: ScheduledAction.cases.Stop.make({ target: "demo" }) }
const ends = (step: ScheduleStep, instants: ReadonlyArray<number>, changes: Partial<ReportedSandbox> = {}) =>
  earlyEnds([row(changes)], step, instants).map((
    { before, endsAt, reference, why }
  ) => [reference, why, endsAt, before])

describe("earlyEnds", () => {
  it("finds the first time at which the time to live is over, to the millisecond", () => {
    const found = [["demo", "ttl", 30 * minute, 30 * minute]]
    assert.deepStrictEqual(ends(run, [10 * minute, 30 * minute, hour], { expiresAt: 30 * minute }), found)
    assert.deepStrictEqual(ends(run, [10 * minute, 30 * minute - 1], { expiresAt: 30 * minute }), [])
    assert.deepStrictEqual(earlyEnds([], run, [hour]), [])
  })

  it("counts its own runs and mails as turns that keep a sandbox alive, and nothing else", () => {
    const often = [50 * minute, 100 * minute, 150 * minute]
    for (const step of [run, mail]) assert.deepStrictEqual(ends(step, often), [])
    assert.deepStrictEqual(ends(stop, often), [["demo", "idle", hour, 100 * minute]])
    assert.deepStrictEqual(ends(run, [50 * minute, 110 * minute]), [["demo", "idle", 110 * minute, 110 * minute]])
    assert.deepStrictEqual(ends(stop, [hour], { lastActiveAt: minute }), [])
    assert.deepStrictEqual(ends(stop, [hour], { resumedAt: minute }), [])
    assert.deepStrictEqual(ends(stop, [hour], { createdAt: minute }), [])
  })

  it("says nothing of idleness where nobody would end it for that", () => {
    for (
      const changes of [
        { desired: "stopped" },
        { lastSeenAt: undefined },
        { profile: profileWith({}, { lifecycle: { idleTimeout: "0" } }) }
      ] as const
    ) {
      const { lastSeenAt, ...rest } = { ...row(), ...changes }
      const given = lastSeenAt === undefined ? rest : { ...rest, lastSeenAt }
      assert.deepStrictEqual(earlyEnds([given], stop, [10 * hour]), [], JSON.stringify(Object.keys(changes)))
    }
  })

  it("judges a schedule that moves or makes the end by its next time alone", () => {
    const extend: ScheduleStep = {
      ...run,
      onSuccess: { action: ScheduledAction.cases.Extend.make({ target: "demo", by: "1h" }) }
    }
    const destroy: ScheduleStep = {
      ...run,
      onFailure: { action: ScheduledAction.cases.Destroy.make({ target: "demo" }) }
    }
    for (const step of [extend, destroy]) {
      assert.deepStrictEqual(ends(step, [10 * minute, hour], { expiresAt: 30 * minute }), [])
      assert.lengthOf(ends(step, [31 * minute, hour], { expiresAt: 30 * minute }), 1)
    }
  })

  it("asks for each name once, by itself or in an address, and not for what the steps make themselves", () => {
    const both: ScheduleStep = { ...run, onSuccess: mail }
    assert.lengthOf(ends(both, [hour], { expiresAt: 0 }), 1)
    const create = ScheduledAction.cases.Create.make({ profile: "/p.yaml", alias: demo, unconfined: false })
    assert.deepStrictEqual(ends({ action: create, onSuccess: run }, [hour], { expiresAt: 0 }), [])
    const other = ScheduledAction.cases.Create.make({ profile: "/p.yaml", unconfined: false })
    assert.lengthOf(ends({ action: other, onSuccess: run }, [hour], { expiresAt: 0 }), 1)
    const operator: ScheduleStep = {
      action: ScheduledAction.cases.EmailSend.make({
        to: ["operator"],
        cc: [],
        bcc: [],
        subject: "x",
        body: "x",
        encrypt: false
      })
    }
    assert.deepStrictEqual(
      earlyEnds([row({ alias: Alias.make("operator"), expiresAt: 0 })], operator, [hour]),
      []
    )
  })
})
