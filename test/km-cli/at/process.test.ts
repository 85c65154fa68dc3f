/** Schedules in real processes: a pipeline fires in `km up`, which is then killed in the middle of runs, twice. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import type { ChildProcess } from "node:child_process"
import { DatabaseSync } from "node:sqlite"
import { km, kmUp } from "../../support/KmProcess.ts"
import { untilReal } from "../../support/untilReal.ts"

const stateDirectory = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped({ prefix: "km-at-" }))

interface Run {
  readonly id: string
  readonly state: string
  readonly outcome?: string
  readonly detail?: string
  readonly code?: string
  readonly turn?: string
}

/** Oldest first, read beside the running `km up`. */
const runsOf = (state: string, schedule: string): ReadonlyArray<Run> => {
  const database = new DatabaseSync(`${state}/engine.db`, { readOnly: true })
  try {
    return database.prepare("SELECT row FROM schedule_runs WHERE schedule = ? ORDER BY seq").all(schedule)
      .map(({ row }) => JSON.parse(String(row)) as Run)
  } finally {
    database.close()
  }
}

/** The turns that the sandbox's runtime knows of. */
const turnsOf = (state: string, id: string): ReadonlyArray<{ readonly key: string; readonly attempt: number }> => {
  const database = new DatabaseSync(`${state}/sandboxes/${id}/ledger.db`, { readOnly: true })
  try {
    return database.prepare("SELECT key, attempt FROM turns ORDER BY seq").all()
      .map(({ attempt, key }) => ({ key: String(key), attempt: Number(attempt) }))
  } finally {
    database.close()
  }
}

/** Unix milliseconds. */
const expiryOf = (state: string, id: string): number => {
  const database = new DatabaseSync(`${state}/engine.db`, { readOnly: true })
  try {
    const row = database.prepare("SELECT attributes FROM sandboxes WHERE id = ?").get(id)
    return (JSON.parse(String(row?.["attributes"])) as { readonly expiresAt: number }).expiresAt
  } finally {
    database.close()
  }
}

const killed = ({ child, ended }: { readonly child: ChildProcess; readonly ended: Promise<number | null> }) =>
  Effect.promise(() => {
    child.kill("SIGKILL")
    return ended
  })

const at = (state: string, ...words: ReadonlyArray<string>) =>
  Effect.tap(
    km(state, ["at", ...words, "--yes"]),
    ({ err, exit }) => Effect.sync(() => assert.strictEqual(exit, 0, err))
  )

describe("km at in real processes", () => {
  it.live(
    "a pipeline runs to its end; killed in the middle, and again, what was due runs once",
    () =>
      Effect.gen(function*() {
        const state = yield* stateDirectory
        const first = yield* kmUp(state)
        const created = yield* km(state, ["create", "profiles/demo.yaml", "--alias", "demo", "--json"])
        assert.strictEqual(created.exit, 0, created.err)
        const { id } = (JSON.parse(created.out) as { readonly sandbox: { readonly id: string } }).sandbox

        const next = "agent run demo --prompt 'script:text deployed'"
        const run = ["agent", "run", "demo", "--prompt", "script:text smoke is green"]
        yield* at(state, "in 1 second", ...run, "--on-success", next, "--name", "release")
        yield* untilReal(
          "both runs have ended",
          Effect.sync(() => runsOf(state, "release").filter(({ outcome }) => outcome !== undefined).length === 2)
        )
        const [smoke, deploy] = runsOf(state, "release")
        assert.deepStrictEqual([smoke?.outcome, deploy?.outcome], ["succeeded", "succeeded"])
        assert.include(smoke?.detail, "smoke is green")
        assert.strictEqual(deploy?.id, `${smoke?.id}+s`)
        assert.deepStrictEqual(turnsOf(state, id).map(({ key }) => key), [smoke?.turn, deploy?.turn])
        const shown = yield* km(state, ["at", "history", "release"])
        assert.match(shown.out, /succeeded/)

        yield* at(state, "in 1 second", "agent", "run", "demo", "--prompt", "script:slow:4000", "--name", "slow")
        yield* untilReal(
          "the slow turn has begun",
          Effect.sync(() => turnsOf(state, id).some(({ attempt, key }) => key.startsWith("at:slow:") && attempt > 0))
        )
        yield* killed(first)
        assert.strictEqual(runsOf(state, "slow")[0]?.state, "waiting")

        // Planned while nobody is there to run them, and due before anybody is.
        yield* at(state, "in 1 second", "agent", "run", "demo", "--prompt", "script:text late", "--name", "late")
        const extensions = ["extend-a", "extend-b", "extend-c", "extend-d"]
        for (const name of extensions) yield* at(state, "in 1 second", "extend", "demo", "1h", "--name", name)
        const before = expiryOf(state, id)
        const second = yield* kmUp(state)
        yield* untilReal(
          "an extension has begun",
          Effect.sync(() => extensions.some((name) => runsOf(state, name).length > 0))
        )
        yield* killed(second)
        yield* kmUp(state)
        const all = ["slow", "late", ...extensions]
        yield* untilReal(
          "every run has ended",
          Effect.sync(() => all.every((name) => runsOf(state, name)[0]?.outcome !== undefined))
        )

        // Killed before the model was asked, the turn was begun again; after that it failed, because the local model died
        // with its km up. It was one turn and one run.
        const [slow] = runsOf(state, "slow")
        assert.isTrue(slow?.outcome === "succeeded" || slow?.code === "KM-SCH-025", slow?.detail)
        assert.strictEqual(runsOf(state, "late")[0]?.outcome, "succeeded", runsOf(state, "late")[0]?.detail)
        for (const name of ["slow", "late"]) {
          assert.lengthOf(runsOf(state, name), 1)
          assert.lengthOf(turnsOf(state, id).filter(({ key }) => key.startsWith(`at:${name}:`)), 1, name)
        }
        // What must not be repeated happened once for each that says so, and at most once for each that does not know.
        const outcomes = extensions.map((name) => runsOf(state, name)[0]?.outcome)
        const times = (expiryOf(state, id) - before) / 3_600_000
        const sure = outcomes.filter((outcome) => outcome === "succeeded").length
        const unsure = outcomes.filter((outcome) => outcome === "unknown").length
        assert.strictEqual(sure + unsure, extensions.length)
        assert.isTrue(times >= sure && times <= sure + unsure, `${times} extensions, ${outcomes.join(", ")}`)
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
