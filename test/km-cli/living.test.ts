/** What a person does to a sandbox while it lives: stop a turn, pause, resume, extend; and what the doctor says of it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { Alias, ChannelId, GroupId, InstallName, SandboxId, TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import type { TurnRow } from "../../runtime/domain/turn/Turn.ts"
import { World } from "../support/ControlWorld.ts"
import { slackProfile } from "../support/profiles.ts"
import { TestKm } from "../support/TestKm.ts"

const hour = 3_600_000

const rowOf = (id: string, changes: Partial<SandboxRow> = {}): SandboxRow => ({
  id: SandboxId.make(id),
  install: InstallName.make("km"),
  profile: slackProfile,
  desired: "running",
  status: "running",
  unconfined: false,
  createdAt: 0,
  generation: "1",
  inventory: [{ kind: "threads", ref: id, state: "planned" }],
  ...changes
})
const demo = rowOf("sb-1a2b3c4d", {
  alias: Alias.make("demo"),
  channel: ChannelId.make("C0DEMO1"),
  channelName: "sb-demo",
  expiresAt: 8 * hour
})

const kmOver = (...rows: ReadonlyArray<SandboxRow>) => {
  const world = new World()
  for (const row of rows) {
    world.rows.set(row.id, row)
    if (row.desired === "running") world.runtimes.add(row.id)
  }
  return { km: new TestKm(world), world }
}

const turn = (n: number, changes: Partial<TurnRow>): TurnRow => {
  const key = TurnKey.make(`T1:C0DEMO1:1700000000.00000${n}`)
  return {
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
    receivedAt: 0,
    ...changes
  }
}

describe("km stop", () => {
  it.effect("asks the runtime for what runs, and nobody where nothing does", () =>
    Effect.gen(function*() {
      const { km, world } = kmOver(demo)
      const idle = yield* km.run("stop", "demo")
      assert.deepStrictEqual([idle.exit, idle.out], [0, ["nothing runs or waits in demo; there is nothing to stop"]])
      const json = JSON.parse((yield* km.run("stop", "demo", "--json")).out.join("\n"))
      assert.deepStrictEqual(json, { ok: true, dryRun: false, id: demo.id, turns: [], asked: false })
      const running = turn(1, {})
      const shown = turn(2, { state: "answered", result: "answered" })
      const over = turn(3, { state: "settled", result: "failed" })
      for (const row of [running, shown, over]) km.knows(demo.id, row)
      assert.deepStrictEqual((yield* km.run("stop", "demo", "--turn", over.key)).out, [
        `turn ${over.key} is over (failed); there is nothing to stop`
      ])
      assert.strictEqual((yield* km.run("stop", "demo", "--turn", turn(9, {}).key)).exit, 3)
      assert.strictEqual((yield* km.run("stop", "demo", "--turn", "?")).exit, 2)
      assert.deepStrictEqual((yield* km.run("stop", "demo", "--dry-run")).out, [
        "would stop 1 turn in sb-1a2b3c4d (demo)"
      ])
      assert.strictEqual(world.controls.requests.size, 0)
      assert.deepStrictEqual((yield* km.run("stop", "demo")).out, [
        "asked demo to stop 1 turn; the thread says when it has"
      ])
      const [request] = [...world.controls.requests.get(demo.id)?.values() ?? []]
      assert.strictEqual(request?.by, "operator")
    }))
})

describe("km pause and resume", () => {
  it.effect("let a sandbox rest and run again; what is so already is done", () =>
    Effect.gen(function*() {
      const { km, world } = kmOver(demo)
      const state = () => [world.rows.get(demo.id)?.desired, world.rows.get(demo.id)?.status]
      assert.deepStrictEqual((yield* km.run("pause", "demo", "--dry-run")).out, ["would pause sb-1a2b3c4d (demo)"])
      assert.deepStrictEqual(state(), ["running", "running"])
      const paused = yield* km.run("pause", "demo")
      assert.deepStrictEqual([paused.exit, paused.out], [0, ["demo is paused; a message or km resume demo wakes it"]])
      assert.deepStrictEqual(state(), ["stopped", "stopped"])
      assert.deepStrictEqual((yield* km.run("pause", "demo")).out, ["demo is paused already"])
      assert.match((yield* km.run("list")).out[1] ?? "", / paused /)
      assert.deepStrictEqual((yield* km.run("resume", "demo", "--dry-run")).out, ["would resume sb-1a2b3c4d (demo)"])
      assert.deepStrictEqual(state(), ["stopped", "stopped"])
      const resumed = yield* km.run("resume", "demo", "--json")
      assert.deepInclude(JSON.parse(resumed.out.join("\n")), { ok: true, id: demo.id, changed: true })
      assert.deepStrictEqual(state(), ["running", "running"])
      assert.deepStrictEqual((yield* km.run("resume", "demo")).out, ["demo runs already"])
    }))

  it.effect("are refused where the sandbox ends or is not made yet, exit 5, and where there is none, exit 3", () =>
    Effect.gen(function*() {
      for (const status of ["destroying", "creating"] as const) {
        const { km } = kmOver({ ...demo, status })
        for (const command of ["pause", "resume"]) {
          assert.strictEqual((yield* km.run(command, "demo")).exit, 5, `${command} ${status}`)
          assert.strictEqual((yield* km.run(command, "demo", "--dry-run")).exit, 5, `${command} ${status}`)
          assert.strictEqual((yield* km.run(command, "nobody")).exit, 3)
        }
      }
    }))
})

describe("km extend", () => {
  it.effect("moves the end, from where it is or from now, and never backwards", () =>
    Effect.gen(function*() {
      const { km, world } = kmOver(demo)
      yield* TestClock.setTime(hour)
      const end = () => (world.rows.get(demo.id)?.expiresAt ?? 0) / hour
      const dry = yield* km.run("extend", "demo", "--by", "2h", "--dry-run")
      assert.deepStrictEqual(dry.out, ["demo would live until 1970-01-01T10:00:00.000Z, 9h from now"])
      assert.strictEqual(end(), 8)
      assert.strictEqual((yield* km.run("extend", "demo", "--by", "2h")).exit, 0)
      assert.strictEqual(end(), 10)
      assert.strictEqual((yield* km.run("extend", "demo", "30m")).exit, 0)
      assert.strictEqual(end(), 10.5)
      const json = JSON.parse((yield* km.run("extend", "demo", "--ttl", "2d", "--json")).out.join("\n"))
      assert.deepStrictEqual(json, { ok: true, dryRun: false, id: demo.id, expiresAt: "1970-01-03T01:00:00.000Z" })
      assert.strictEqual(end(), 49)
      const earlier = yield* km.run("extend", "demo", "--ttl", "1h")
      assert.deepStrictEqual([earlier.exit, end()], [5, 49])
      // Over, but not destroyed yet: counted from now.
      yield* TestClock.setTime(100 * hour)
      assert.strictEqual((yield* km.run("extend", "demo", "--by", "1h")).exit, 0)
      assert.strictEqual(end(), 101)
    }))

  it.effect("says what is wrong, with a duration that would do", () =>
    Effect.gen(function*() {
      const { expiresAt: _, ...eternal } = demo
      const { km } = kmOver(demo, { ...eternal, id: SandboxId.make("sb-ffffffff"), alias: Alias.make("eternal") })
      assert.strictEqual((yield* km.run("extend", "eternal", "--by", "1h")).exit, 5)
      assert.strictEqual((yield* km.run("extend", "nobody", "--by", "1h")).exit, 3)
      assert.strictEqual((yield* km.run("extend", "demo")).exit, 2)
      assert.strictEqual((yield* km.run("extend", "demo", "--by", "1h", "--ttl", "2h")).exit, 2)
      assert.strictEqual((yield* km.run("extend", "demo", "--by", "0h")).exit, 2)
      const wrong = yield* km.run("extend", "demo", "--by", "90 minutes")
      assert.deepStrictEqual([wrong.exit, wrong.err[0]], [
        2,
        "error KM-CLI-001: \"90 minutes\" is no duration such as 30m, 8h or 2d; write 90m"
      ])
    }))
})

describe("km list, status and doctor", () => {
  it.effect("list sandboxes in one order, oldest first", () =>
    Effect.gen(function*() {
      const ids = ["sb-cccccccc", "sb-aaaaaaaa", "sb-bbbbbbbb", "sb-dddddddd"]
      const { km } = kmOver(...ids.map((id, n) => rowOf(id, { createdAt: Math.min(n, 2) })))
      const expected = ["sb-cccccccc", "sb-aaaaaaaa", "sb-bbbbbbbb", "sb-dddddddd"]
      for (const command of ["list", "status"]) {
        const { out } = yield* km.run(command)
        assert.deepStrictEqual(out.flatMap((line) => /sb-[a-d]{8}/.exec(line)?.[0] ?? []), expected, command)
        const json = JSON.parse((yield* km.run(command, "--json")).out.join("\n"))
        assert.deepStrictEqual(json.sandboxes.map(({ id }: { id: string }) => id), expected, command)
      }
    }))

  it.live("the doctor tells one cause once: without km up nothing else is an error", () =>
    Effect.gen(function*() {
      const queue = { kind: "queue", ref: demo.id, state: "made" } as const
      const { km, world } = kmOver(
        { ...demo, inventory: [queue] },
        rowOf("sb-ffffffff")
      )
      world.reports.reports.set(demo.id, {
        ready: false,
        plugins: [{ id: "transcript", state: "stopped", detail: "" }]
      })
      const ran = yield* km.run("doctor", "--json")
      assert.strictEqual(ran.exit, 1)
      const { checks }: { checks: ReadonlyArray<{ name: string; status: string; remedy: string }> } = JSON.parse(
        ran.out.join("\n")
      )
      // What the machine that runs the test lacks is no matter here.
      const ours = checks.filter(({ name }) => /^(km up|bridge|clock|slack|sandbox|mail|model)/.test(name))
      const wrong = ours.filter(({ status }) => status === "error" || status === "warn")
      assert.deepStrictEqual(wrong.map(({ name, remedy, status }) => [name, status, remedy]), [
        ["km up", "error", "km up"]
      ])
    }))
})
