/** `km at` as it is typed: exact refusals, what is stored, and what becomes of it. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Result, Terminal } from "effect"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import { TestClock, TestConsole } from "effect/testing"
import { parseStep, wordsOf } from "../../../km-cli/at/ActionLine.ts"
import { confirmed } from "../../../km-cli/at/Confirm.ts"
import { Alias, InstallName, SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../../runtime/domain/sandbox/Sandbox.ts"
import { ScheduleName } from "../../../runtime/domain/schedule/Schedule.ts"
import { type ActionKind, retryClass } from "../../../runtime/domain/schedule/ScheduleAction.ts"
import { World } from "../../support/ControlWorld.ts"
import { slackProfile } from "../../support/profiles.ts"
import { TestKm } from "../../support/TestKm.ts"

const demo: SandboxRow = {
  id: SandboxId.make("sb-1a2b3c4d"),
  alias: Alias.make("demo"),
  install: InstallName.make("km"),
  profile: slackProfile,
  desired: "running",
  status: "running",
  unconfined: false,
  createdAt: 0,
  generation: "1",
  inventory: []
}

const worldOf = () => {
  const world = new World()
  world.rows.set(demo.id, demo)
  return world
}

/** Friday. */
const now = Date.parse("2026-04-10T12:00:00Z")
const berlin = ["--zone", "Europe/Berlin"]

const onFriday = <A, E>(body: (km: TestKm, world: World) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    yield* TestClock.setTime(now)
    const world = worldOf()
    return yield* body(new TestKm(world), world)
  })

const stored = (world: World, name: string) => world.schedules.schedules.get(ScheduleName.make(name))

const split = (line: string) => Result.getOrElse(wordsOf(line), () => ["refused"])

/** What a person on a terminal is taken to have said. */
const answered = (answer: string) =>
  confirmed("Commit?", false).pipe(
    Effect.provide(TestConsole.layer),
    Effect.provideService(TerminalCapabilities.TerminalCapabilities, {
      canColor: false,
      canAnimate: false,
      canPrompt: true
    }),
    Effect.provideService(
      Terminal.Terminal,
      Terminal.make({
        columns: Effect.succeed(80),
        rows: Effect.succeed(24),
        size: Effect.die("unused"),
        readInput: Effect.die("unused"),
        readLine: Effect.succeed(answer),
        display: () => Effect.void
      })
    )
  )

describe("km at", () => {
  it.effect("plans a create only where km up may use the certifier's key", () =>
    onFriday((km, world) =>
      Effect.gen(function*() {
        const words = ["at", "tomorrow at 9am", "create", "profiles/demo.yaml", "--name", "new", "--yes", ...berlin]
        const follows = [
          "at",
          "tomorrow at 9am",
          "destroy",
          "demo",
          "--on-success",
          "create profiles/demo.yaml",
          "--yes"
        ]
        for (const line of [words, [...follows, ...berlin]]) {
          const { err, exit, out } = yield* km.run(...line)
          assert.deepStrictEqual([exit, out], [6, []], err.join("\n"))
          assert.match(err[0] ?? "", /^error KM-SCH-027: .*certifier's key/)
          assert.match(err.join("\n"), /km create.*unattendedCertifier: true \(KM_UNATTENDED_CERTIFIER\)/)
        }
        assert.strictEqual(world.schedules.schedules.size, 0)
        km.env = { ...km.env, KM_UNATTENDED_CERTIFIER: "true" }
        assert.strictEqual((yield* km.run(...words)).exit, 0)
        assert.strictEqual(stored(world, "new")?.step.action._tag, "Create")
      })
    ))

  it.effect("shows the next five times, and stores only after a yes", () =>
    onFriday((km, world) =>
      Effect.gen(function*() {
        const words = [
          "at",
          "every monday at 9am",
          "agent",
          "run",
          "demo",
          "--prompt",
          "smoke",
          "--name",
          "nightly",
          ...berlin
        ]
        const asked = yield* km.run(...words)
        assert.strictEqual(asked.exit, 2)
        assert.isTrue(asked.err.some((line) => line.startsWith("error KM-CLI-005")))
        assert.strictEqual(world.schedules.schedules.size, 0)

        const dry = yield* km.run(...words, "--dry-run")
        const times = [
          "nightly: cron(0 9 ? * MON *) in Europe/Berlin",
          "  agent run demo \"smoke\"",
          "next times:",
          "  Mon 2026-04-13 09:00 Europe/Berlin (+02:00)",
          "  Mon 2026-04-20 09:00 Europe/Berlin (+02:00)",
          "  Mon 2026-04-27 09:00 Europe/Berlin (+02:00)",
          "  Mon 2026-05-04 09:00 Europe/Berlin (+02:00)",
          "  Mon 2026-05-11 09:00 Europe/Berlin (+02:00)"
        ]
        assert.deepStrictEqual(dry.out, [...times, "nothing was stored"])
        assert.deepStrictEqual(dry.err, ["demo is sb-1a2b3c4d today; it is looked up when the time comes"])
        assert.strictEqual(world.schedules.schedules.size, 0)

        const done = yield* km.run(...words, "--yes")
        assert.deepStrictEqual([done.exit, done.out], [0, times])
        assert.deepInclude(stored(world, "nightly"), {
          when: { _tag: "Cron", fields: "0 9 ? * MON *" },
          zone: "Europe/Berlin",
          said: "every monday at 9am",
          overlap: "skip",
          state: "active",
          createdAt: now,
          nextAt: Date.parse("2026-04-13T07:00:00Z")
        })
        const again = yield* km.run(...words, "--yes")
        assert.deepStrictEqual([again.exit, again.err.find((line) => line.startsWith("error"))?.slice(0, 17)], [
          5,
          "error KM-SCH-011:"
        ])
      })
    ))

  it.effect("refuses times and actions with their codes, and stores nothing", () =>
    onFriday((km, world) =>
      Effect.gen(function*() {
        const cases: ReadonlyArray<readonly [code: string, exit: number, ...words: ReadonlyArray<string>]> = [
          ["KM-SCH-001", 2, "in 5 minutes blah", "destroy", "demo"],
          ["KM-SCH-002", 2, "2026-04-10T11:00Z", "destroy", "demo"],
          ["KM-SCH-003", 2, "tomorrow", "destroy", "demo"],
          ["KM-SCH-004", 2, "tomorrow at 9am", "destroy", "demo", "--zone", "EST"],
          ["KM-SCH-006", 2, "rate(0 minutes)", "destroy", "demo"],
          ["KM-SCH-010", 2, "hourly", "explode", "demo"],
          ["KM-SCH-010", 2, "hourly", "destroy"],
          ["KM-SCH-010", 2, "hourly", "destroy", "demo", "prod"],
          ["KM-SCH-010", 2, "hourly", "destroy", "demo", "--prompt", "x"],
          ["KM-SCH-010", 2, "hourly", "agent", "run", "demo"],
          ["KM-SCH-010", 2, "hourly", "agent", "run", "demo", "--prompt", ""],
          ["KM-SCH-010", 2, "hourly", "extend", "demo", "soon"],
          ["KM-SCH-010", 2, "hourly", "destroy", "DEMO"],
          ["KM-SCH-010", 2, "hourly", "stop", "demo", "--on-success", "resume 'demo"],
          ["KM-SCH-010", 2, "hourly", "stop", "demo", "--on-success", "resume demo --frob"],
          ["KM-SCH-010", 2, "hourly", "stop", "demo", "--name", "No Name"],
          ["KM-SCH-010", 2, "hourly", "agent", "run", "demo", "--prompt", "x", "--expect", "PASSED\n"],
          ["KM-SCH-010", 2, "hourly", "email", "send", "--to", "sb-b", "--subject", "s"],
          ["KM-SCH-010", 2, "hourly", "stop", "demo", "--on-success", "email send --to sb-b --body-text t"]
        ]
        for (const [code, exit, ...words] of cases) {
          const ran = yield* km.run("at", ...words, "--yes")
          const error = ran.err.find((line) => line.startsWith("error"))
          assert.deepStrictEqual(
            [ran.exit, error?.slice(6, 16), ran.out],
            [exit, code, []],
            `${words.join(" ")}: ${error}`
          )
        }
        const reasons = [
          [["agent", "run", "demo"], "agent run needs --prompt TEXT"],
          [["email", "send", "--subject", "s", "--body-text", "t"], "email send needs --to WHO"],
          [["email", "send", "--to", "sb-b", "--body-text", "t"], "email send needs --subject TEXT"],
          [["email", "send", "--to", "sb-b", "--subject", "s"], "email send needs --body-text TEXT or --body FILE"],
          [
            ["email", "send", "--to", "sb-b", "--subject", "s", "--body", "none"],
            "--body none cannot be read: NotFound"
          ]
        ] as const
        for (const [words, reason] of reasons) {
          assert.include((yield* km.run("at", "hourly", ...words, "--yes")).err, `error KM-SCH-010: ${reason}`)
        }
        assert.strictEqual((yield* km.run("at", "hourly", "--yes")).exit, 2)
        assert.strictEqual(world.schedules.schedules.size, 0)
      })
    ))

  it.effect("keeps what follows success and failure, as deep as it was said", () =>
    onFriday((km, world) =>
      Effect.gen(function*() {
        const line =
          "agent run prod --prompt \"deploy \\\"v2\\\"\" --on-failure 'agent run prod --prompt \"roll back\"'"
        const words = ["agent", "run", "demo", "--prompt", "test", "--on-success", line, "--on-failure", "stop demo"]
        const rest = ["--name", "release", "--yes", "--overlap", "queue", "--zone", "UTC"]
        const ran = yield* km.run("at", "in 1 hour", ...words, ...rest)
        assert.strictEqual(ran.exit, 0)
        assert.deepStrictEqual(ran.out, [
          "release: at(2026-04-10T13:00:00Z) in UTC",
          "  agent run demo \"test\"",
          "  on success: agent run prod \"deploy \\\"v2\\\"\"",
          "    on failure: agent run prod \"roll back\"",
          "  on failure: pause demo",
          "fires once:",
          "  Fri 2026-04-10 13:00 UTC"
        ])
        assert.include(ran.err.join("\n"), "warning: no sandbox is called prod today")
        assert.deepInclude(stored(world, "release"), {
          overlap: "queue",
          step: {
            action: { _tag: "AgentRun", target: "demo", prompt: "test" },
            onSuccess: {
              action: { _tag: "AgentRun", target: "prod", prompt: "deploy \"v2\"" },
              onFailure: { action: { _tag: "AgentRun", target: "prod", prompt: "roll back" } }
            },
            onFailure: { action: { _tag: "Stop", target: "demo" } }
          }
        })
      })
    ))

  it.effect("lists, shows, pauses, resumes and cancels, by a beginning of the name", () =>
    onFriday((km, world) =>
      Effect.gen(function*() {
        yield* km.run("at", "every day at noon", "stop", "demo", "--name", "lunch", "--yes", "--zone", "UTC")
        const listed = yield* km.run("at", "list")
        assert.deepStrictEqual(listed.out, [
          "NAME   STATE   NEXT                      WHEN                LAST  ACTION",
          "lunch  active  Sat 2026-04-11 12:00 UTC  cron(0 12 * * ? *)  -     pause demo"
        ])
        // A mail about the failure was sent; the firing failed all the same.
        const ended = { manual: false, missed: 0, state: "ended", attempts: 1, claimedAt: 1, endedAt: 2 } as const
        const run = {
          ...ended,
          schedule: ScheduleName.make("lunch"),
          instant: 1,
          step: { action: { _tag: "Stop", target: "demo" } }
        } as const
        world.schedules.runs.set("lunch:1", { ...run, id: "lunch:1", outcome: "failed" })
        world.schedules.runs.set("lunch:1+f", { ...run, id: "lunch:1+f", outcome: "succeeded" })
        assert.match((yield* km.run("at", "list")).out[1] ?? "", / failed {2}pause demo$/)
        world.schedules.runs.clear()
        const shown = yield* km.run("at", "show", "lun", "--json")
        const view = JSON.parse(shown.out.join("\n"))
        assert.strictEqual(view.next.length, 5)
        assert.deepStrictEqual([view.schedule.name, view.next[0]], ["lunch", "2026-04-11T12:00:00.000Z"])
        assert.deepStrictEqual(shown.err, ["lun is lunch"])

        assert.deepStrictEqual((yield* km.run("at", "pause", "lunch", "--dry-run")).out, ["lunch would be paused"])
        assert.strictEqual(stored(world, "lunch")?.state, "active")
        assert.deepStrictEqual((yield* km.run("at", "pause", "lunch")).out, ["lunch is paused"])
        assert.isUndefined(stored(world, "lunch")?.nextAt)
        assert.strictEqual((yield* km.run("at", "pause", "lunch")).exit, 5)
        yield* TestClock.adjust("3 days")
        assert.deepStrictEqual((yield* km.run("at", "resume", "lunch")).out, [
          "lunch is resumed; next Tue 2026-04-14 12:00 UTC"
        ])
        yield* km.run("at", "cancel", "lunch")
        assert.strictEqual(stored(world, "lunch")?.state, "cancelled")
        assert.deepStrictEqual((yield* km.run("at", "list")).out, [])
        assert.strictEqual((yield* km.run("at", "list", "--all")).out.length, 2)
        assert.strictEqual((yield* km.run("at", "run-now", "lunch")).exit, 5)
        assert.strictEqual((yield* km.run("at", "show", "none")).exit, 3)
      })
    ))

  it.effect("a run out of turn is asked for once it is sure", () =>
    onFriday((km, world) =>
      Effect.gen(function*() {
        yield* km.run("at", "every day at noon", "destroy", "demo", "--name", "end", "--yes")
        assert.strictEqual((yield* km.run("at", "run-now", "end")).exit, 2)
        assert.strictEqual(world.schedules.requests.size, 0)
        assert.strictEqual((yield* km.run("at", "run-now", "end", "--yes")).exit, 0)
        assert.deepStrictEqual([...world.schedules.requests.values()], [{
          schedule: "end",
          instant: now,
          manual: true
        }])
      })
    ))

  it.effect("km destroy ends the schedules of the sandbox's id and marks those of its alias", () =>
    onFriday((km, world) =>
      Effect.gen(function*() {
        yield* km.run("at", "every day at noon", "stop", demo.id, "--name", "by-id", "--yes")
        yield* km.run("at", "every day at noon", "stop", "demo", "--name", "by-alias", "--yes")
        const begun = yield* km.run("at", "every day at noon", "stop", "sb-1a", "--name", "by-beginning", "--yes")
        assert.include(begun.err, "sb-1a is sb-1a2b3c4d")
        const mail = ["email", "send", "--to", "de", "--subject", "s", "--body-text", "t"]
        yield* km.run("at", "every day at noon", ...mail, "--name", "mail", "--yes")
        const later = ["stop", "sb-other", "--on-success", "email send --to demo --subject s --body-text t"]
        yield* km.run("at", "every day at noon", ...later, "--name", "later", "--yes")
        assert.strictEqual((yield* km.run("destroy", "demo", "--yes")).exit, 0)
        const names = ["by-id", "by-alias", "by-beginning", "mail", "later"]
        assert.deepStrictEqual(names.map((name) => stored(world, name)?.state), [
          "orphaned",
          "active",
          "orphaned",
          "orphaned",
          "active"
        ])
        assert.match(stored(world, "later")?.note ?? "", /^sb-1a2b3c4d was destroyed; the step that names it/)
        const shown = yield* km.run("at", "show", "by-alias")
        assert.include(shown.out[0] ?? "", "was destroyed; it fails until another sandbox has the alias")
      })
    ))

  it.effect("asks on a terminal, and takes nothing but yes for a yes", () =>
    Effect.gen(function*() {
      const answers = ["y", "YES", " yes ", "", "n", "yep", "no"]
      assert.deepStrictEqual(yield* Effect.forEach(answers, answered), [true, true, true, false, false, false, false])
    }))

  const everything = Object.keys(retryClass) as ReadonlyArray<ActionKind>
  const parsed = (line: string) =>
    Effect.fromResult(wordsOf(line)).pipe(
      Effect.flatMap((words) => parseStep(words, everything)),
      Effect.provide(NodeServices.layer)
    )

  it.effect("mail in a pipeline names its recipients, and its file is read now; who cannot send mail says so now", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const file = yield* fs.makeTempFileScoped()
      yield* fs.writeFileString(file, "smoke tests passed\n")
      const mail = `email send --to sb-b --to ada@example.com --subject \\"deploy v2\\" --body ${file} --encrypt`
      const step = yield* parsed(`agent run sb-a --prompt smoke --on-success "${mail}"`)
      assert.deepStrictEqual(step.onSuccess?.action, {
        _tag: "EmailSend",
        to: ["sb-b", "ada@example.com"],
        cc: [],
        bcc: [],
        subject: "deploy v2",
        body: "smoke tests passed\n",
        encrypt: true
      })
      const refused = [
        "email send --subject s --body-text t",
        "email send --to b --subject s",
        "email send --to b --subject s --body-text t --body x",
        "email send --to b --subject s --body /nowhere/at/all",
        "email send --to 'b c' --subject s --body-text t",
        "email send --to 'b\r\nBcc: c' --subject s --body-text t",
        "email send --to b --subject 's\r\nBcc: c@d' --body-text t",
        "email send sb-b --to b --subject s --body-text t",
        "email send --from a --to b --subject s --body-text t"
      ]
      for (const line of refused) assert.strictEqual((yield* Effect.flip(parsed(line))).code, "KM-SCH-010", line)
      const unable = parseStep(["stop", "a", "--on-success", "email send --to b --subject s --body-text t"], ["Stop"])
      assert.strictEqual((yield* Effect.flip(unable)).code, "KM-SCH-020")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it("splits a line as a shell would", () => {
    assert.deepStrictEqual(split("a  'b c' \"d \\\"e\\\"\" f\\ g h'i'\"j\" ''"), [
      "a",
      "b c",
      "d \"e\"",
      "f g",
      "hij",
      ""
    ])
    assert.deepStrictEqual(split(" $HOME `x` *"), ["$HOME", "`x`", "*"])
    assert.deepStrictEqual(split("a 'b"), ["refused"])
    assert.deepStrictEqual(split("a \\"), ["refused"])
    assert.deepStrictEqual(split(""), [])
  })
})
