/** A sandbox that ends before its schedule's time: said when it is planned, when it is listed, and by the run. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { Alias, InstallName, SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import { noReport, type SandboxRow } from "../../../runtime/domain/sandbox/Sandbox.ts"
import { World } from "../../support/ControlWorld.ts"
import { profileWith } from "../../support/profiles.ts"
import { TestKm } from "../../support/TestKm.ts"

/** Monday. */
const now = Date.parse("2026-11-30T12:00:00Z")
const hour = 3_600_000

const lives = (lifecycle: { readonly ttl: number; readonly idleHours: number }): SandboxRow => ({
  id: SandboxId.make("sb-1a2b3c4d"),
  alias: Alias.make("smoke"),
  install: InstallName.make("km"),
  profile: profileWith(
    { notifySlackEnabled: true },
    { lifecycle: { idleTimeout: lifecycle.idleHours === 0 ? 0 : `${lifecycle.idleHours}h` } }
  ),
  desired: "running",
  status: "running",
  unconfined: false,
  createdAt: now,
  ...(lifecycle.ttl === 0 ? {} : { expiresAt: now + lifecycle.ttl * hour }),
  generation: "1",
  inventory: []
})

const over = <A, E>(row: SandboxRow, body: (km: TestKm, world: World) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(now)
    const world = new World()
    world.rows.set(row.id, row)
    world.reports.reports.set(row.id, { ...noReport, ready: true, lastSeenAt: now })
    return yield* body(new TestKm(world), world)
  })

const run = ["agent", "run", "smoke", "--prompt", "test", "--yes", "--zone", "UTC", "--name", "weekly"]
const warnings = (err: ReadonlyArray<string>) => err.filter((line) => line.startsWith("warning"))

describe("a sandbox that ends before its schedule fires", () => {
  it.effect("by its time to live: every command says so, with the command that helps and does", () =>
    over(lives({ ttl: 8, idleHours: 0 }), (km) =>
      Effect.gen(function*() {
        const planned = yield* km.run("at", "every monday at 9am", ...run)
        assert.strictEqual(planned.exit, 0)
        assert.deepStrictEqual(warnings(planned.err), [
          "warning: smoke (sb-1a2b3c4d) reaches the end of its time to live in 8h, before Mon 2026-12-07 09:00 UTC; " +
          "`km extend smoke --ttl 8d`, or create it from a profile with lifecycle.ttl: 0"
        ])
        for (const command of [["list"], ["at", "list"], ["at", "show", "weekly"]]) {
          const { err, exit } = yield* km.run(...command)
          assert.deepStrictEqual([exit, warnings(err).length], [0, 1], command.join(" "))
          assert.include(err.join("\n"), "km extend smoke --ttl 8d")
        }
        const json = JSON.parse((yield* km.run("at", "list", "--json")).out.join("\n"))
        assert.deepStrictEqual(json.schedules[0].ends, [{
          reference: "smoke",
          id: "sb-1a2b3c4d",
          why: "ttl",
          endsAt: "2026-11-30T20:00:00.000Z",
          before: "2026-12-07T09:00:00.000Z"
        }])
        assert.strictEqual((yield* km.run("extend", "smoke", "--ttl", "60d")).exit, 0)
        assert.deepStrictEqual(warnings((yield* km.run("at", "list")).err), [])
      })))

  it.effect("by idleness, or after its first times: said too; what stays long enough is not warned of", () =>
    Effect.gen(function*() {
      const cases = [
        [
          { ttl: 0, idleHours: 1 },
          "every monday at 9am",
          "ends in 1h if it has no turn until then, before Mon 2026-12-07"
        ],
        [{ ttl: 200, idleHours: 0 }, "every monday at 9am", "in 8d 8h, before Mon 2026-12-14"],
        [{ ttl: 0, idleHours: 2 }, "every 3 hours", "ends in 2h if it has no turn"],
        // Its own runs keep it from being idle.
        [{ ttl: 0, idleHours: 4 }, "every 3 hours", undefined],
        [{ ttl: 0, idleHours: 0 }, "every monday at 9am", undefined],
        [{ ttl: 2, idleHours: 2 }, "in 1 hour", undefined]
      ] as const
      for (const [life, when, warning] of cases) {
        yield* over(lives(life), (km) =>
          Effect.gen(function*() {
            const { err } = yield* km.run("at", when, ...run)
            assert.strictEqual(warnings(err).length, warning === undefined ? 0 : 1, `${when} ${warnings(err).join()}`)
            if (warning !== undefined) assert.include(warnings(err)[0] ?? "", warning)
          }))
      }
      // Each run puts the end off before it comes.
      yield* over(lives({ ttl: 25, idleHours: 0 }), (km) =>
        Effect.gen(function*() {
          const words = ["extend", "smoke", "1d", "--yes", "--zone", "UTC"]
          assert.deepStrictEqual(warnings((yield* km.run("at", "daily at 9am", ...words)).err), [])
        }))
    }))

  it.effect("and that has ended: the lists say what became of its schedules", () =>
    over(lives({ ttl: 8, idleHours: 0 }), (km) =>
      Effect.gen(function*() {
        yield* km.run("at", "every monday at 9am", ...run)
        yield* km.run("at", "daily at 9am", "pause", "sb-1a2b3c4d", "--yes", "--name", "by-id")
        assert.strictEqual((yield* km.run("destroy", "smoke", "--yes")).exit, 0)
        const { err, out } = yield* km.run("at", "list")
        assert.lengthOf(out, 2)
        assert.include(err.join("\n"), "note: weekly: smoke (sb-1a2b3c4d) was destroyed")
        assert.include(err.join("\n"), "note: 1 ended with its sandbox; km at list --all")
      })))
})
