/** What a person does with a command is in the journal before it has an effect, and is not done where it cannot be. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { AuditEntry } from "../../runtime/domain/install/Audit.ts"
import { Alias, GroupId, InstallName, SandboxId, TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import type { TurnRow } from "../../runtime/domain/turn/Turn.ts"
import { auditEntries } from "../../runtime/ports/Audit.ts"
import { World } from "../support/ControlWorld.ts"
import { slackProfile } from "../support/profiles.ts"
import { TestKm } from "../support/TestKm.ts"

const demo: SandboxRow = {
  id: SandboxId.make("sb-1a2b3c4d"),
  install: InstallName.make("km"),
  alias: Alias.make("demo"),
  profile: slackProfile,
  desired: "running",
  status: "running",
  unconfined: false,
  createdAt: 0,
  expiresAt: 8 * 3_600_000,
  generation: "1",
  inventory: [{ kind: "threads", ref: "sb-1a2b3c4d", state: "planned" }]
}

const key = TurnKey.make("T0001:C0DEMO1:1700000001.000001")
const turn: TurnRow = {
  key,
  request: {
    key,
    group: GroupId.make("g"),
    origin: { kind: "operator", label: "test" },
    text: "hello",
    files: [],
    acceptedAt: 0
  },
  state: "running",
  attempt: 1,
  resumed: false,
  shown: [],
  receivedAt: 0
}

const scheduled = ["at", "every day at noon", "stop", "demo", "--name", "noon", "--yes"]

/** Each command, what must have been done before it, and what the journal says of it. */
const commands: ReadonlyArray<{
  readonly first: ReadonlyArray<ReadonlyArray<string>>
  readonly turn?: TurnRow
  readonly words: ReadonlyArray<string>
  readonly action: string
  readonly subject: string
}> = [
  { first: [], words: ["pause", "demo"], action: "sandbox.pause", subject: demo.id },
  { first: [["pause", "demo"]], words: ["resume", "demo"], action: "sandbox.resume", subject: demo.id },
  { first: [], words: ["extend", "demo", "--by", "1h"], action: "sandbox.extend", subject: demo.id },
  { first: [], turn, words: ["stop", "demo"], action: "turn.stop", subject: demo.id },
  {
    first: [],
    turn: { ...turn, state: "settled", result: "undeliverable", outcome: { _tag: "Answered", text: "x" } },
    words: ["replay", key],
    action: "turn.replay",
    subject: demo.id
  },
  { first: [], words: scheduled, action: "schedule.add", subject: "noon" },
  { first: [scheduled], words: ["at", "pause", "noon"], action: "schedule.pause", subject: "noon" },
  {
    first: [scheduled, ["at", "pause", "noon"]],
    words: ["at", "resume", "noon"],
    action: "schedule.resume",
    subject: "noon"
  },
  { first: [scheduled], words: ["at", "run-now", "noon", "--yes"], action: "schedule.run", subject: "noon" },
  { first: [scheduled], words: ["at", "cancel", "noon"], action: "schedule.cancel", subject: "noon" }
]

describe("the journal of what a person does", () => {
  for (const { action, first, subject, turn: known, words } of commands) {
    it.effect(`holds ${action}, once, and before it is done`, () =>
      Effect.gen(function*() {
        const world = new World()
        world.rows.set(demo.id, demo)
        world.runtimes.add(demo.id)
        world.queue.queues.clear()
        const km = new TestKm(world)
        if (known !== undefined) km.knows(demo.id, known)
        for (const before of first) assert.strictEqual((yield* km.run(...before)).exit, 0)
        const entries = Effect.provide(Stream.runCollect(auditEntries(false)), world.layer())
        const earlier = (yield* entries).length
        const state = () =>
          JSON.stringify([
            [...world.rows],
            [...world.schedules.schedules],
            [...world.schedules.requests],
            world.controls.requests.size
          ])
        const untouched = state()
        yield* km.run(...words, "--dry-run")
        assert.lengthOf(yield* entries, earlier)

        world.auditBroken = true
        const refused = yield* km.run(...words)
        assert.notStrictEqual(refused.exit, 0)
        assert.strictEqual(state(), untouched)
        world.auditBroken = false

        const done = yield* km.run(...words)
        assert.strictEqual(done.exit, 0, done.err.join("\n"))
        const mine: ReadonlyArray<Omit<AuditEntry, "at">> = (yield* entries).slice(earlier).map(({ entry }) => entry)
        assert.lengthOf(mine, 1)
        assert.deepInclude(mine[0], { actor: "operator", action, subject, verdict: "allowed" })
      }))
  }
})
