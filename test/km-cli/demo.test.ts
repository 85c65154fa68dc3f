/** `km demo` as it is installed: what it shows of a turn and of GitHub, and that nothing of it stays. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as UpFile from "../../km-cli/up/UpFile.ts"
import { km, kmStarted } from "../support/KmProcess.ts"
import { processesNaming } from "../support/processesNaming.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { untilReal } from "../support/untilReal.ts"

const Shown = Schema.fromJsonString(Schema.Struct({
  ok: Schema.Boolean,
  timeline: Schema.Array(Schema.Struct({ stage: Schema.String, millis: Schema.Finite })),
  github: Schema.NullOr(Schema.Struct({
    pushed: Schema.String,
    mainMoved: Schema.Boolean,
    refused: Schema.Array(Schema.String),
    tokens: Schema.Int,
    tokensFoundIn: Schema.Array(Schema.String)
  }))
}))

const stages = [
  "event received",
  "stored",
  "200",
  "👀",
  "agent started",
  "first text visible",
  "answer settled",
  "✅",
  "transcript uploaded"
]

/** A state that the demo does not use, and the temporary directory that it does. */
const places = Effect.map(temporaryDirectory, (state) => {
  const temporary = path.join(state, "tmp")
  fs.mkdirSync(temporary)
  return { state, temporary }
})

/** One demo to its end: what it shows, and what it says; nothing of it is left. */
const once = Effect.fnUntraced(function*(env: Record<string, string> = {}) {
  const { state, temporary } = yield* places
  const ran = yield* km(state, ["demo", "--once", "--json"], { TMPDIR: temporary, ...env })
  assert.strictEqual(ran.exit, 0, ran.err)
  assert.deepStrictEqual(fs.readdirSync(temporary), [])
  assert.deepStrictEqual(processesNaming(temporary), [])
  return { shown: yield* Schema.decodeEffect(Shown)(ran.out), said: ran.err }
})

describe("km demo", () => {
  it.live("--once observes every stage, a push and two refusals, and leaves neither processes nor files", () =>
    Effect.gen(function*() {
      const { said, shown } = yield* once()
      assert.deepStrictEqual(shown.timeline.map(({ stage }) => stage), stages)
      assert.isTrue(shown.timeline.every(({ millis }) => millis >= 0))
      assert.include(said, "SCRIPTED")
      const { github } = shown
      assert.match(github?.pushed ?? "", /^[0-9a-f]{40}$/)
      assert.deepInclude(github, {
        mainMoved: false,
        refused: ["ref.unlisted", "repository.unlisted"],
        tokensFoundIn: []
      })
      assert.isAbove(github?.tokens ?? 0, 1)
      for (
        const line of [
          " * [new branch]      HEAD -> feature/hello",
          " ! [remote rejected] HEAD -> main (km: refs/heads/main may not be moved; allowed are: feature/* (ref.unlisted))",
          "remote: km: refused: acme/web is not a repository of this sandbox; allowed are: acme/api (repository.unlisted)",
          "GH_TOKEN=held-by-the-proxy",
          "🚫 `acme/api: refs/heads/main may not be moved; allowed are: feature/* (ref.unlisted); to allow it: add main"
        ]
      ) {
        assert.include(said, `  │ ${line}`)
      }
      assert.notMatch(said, /ghs_/)
    }).pipe(Effect.scoped))

  it.live("goes on without GitHub where the machine's git serves none", () =>
    Effect.gen(function*() {
      const programs = execFileSync("git", ["--exec-path"], { encoding: "utf8" }).trim()
      const some = yield* temporaryDirectory
      for (const name of fs.readdirSync(programs).filter((program) => program !== "git-http-backend")) {
        fs.symlinkSync(path.join(programs, name), path.join(some, name))
      }
      const { said, shown } = yield* once({ GIT_EXEC_PATH: some })
      assert.include(said, "\nwithout GitHub: this machine's git has no http-backend\n")
      assert.notInclude(said, "github.test")
      assert.strictEqual(shown.github, null)
      assert.deepStrictEqual(shown.timeline.map(({ stage }) => stage), stages)
    }).pipe(Effect.scoped))

  it.live(
    "killed or ended in the middle of a push it leaves neither processes nor files; what a whole crash left, the next removes",
    () =>
      Effect.gen(function*() {
        const { state, temporary } = yield* places
        const demos = () => fs.readdirSync(temporary).filter((name) => name.startsWith("km-demo-"))
        const demo = Effect.fnUntraced(function*(said: string) {
          const before = new Set(demos())
          const process = yield* kmStarted(state, ["demo"], { TMPDIR: temporary })
          const directory = yield* untilReal(
            `the demo says ${said}`,
            Effect.sync(() => process.err().includes(said) && demos().find((name) => !before.has(name))),
            Effect.map(Effect.promise(() => process.ended), (code) => `km demo ended with ${code}: ${process.err()}`)
          )
          const run = path.join(temporary, directory, "run")
          const { children } = Option.getOrThrow(yield* UpFile.read(run))
          assert.lengthOf(children, 5)
          return { directory, children, process }
        })

        const first = yield* demo("🔧 Bash: `git -C work push")
        first.process.child.kill("SIGKILL")
        yield* untilReal("its processes are gone", Effect.sync(() => processesNaming(temporary).length === 0))
        assert.deepStrictEqual(demos(), [])

        // The part that would have removed the directory is killed with the demo.
        const second = yield* demo("it stays up")
        for (const { name, process } of second.children) {
          if (name === "workspace") yield* UpFile.signal(process, "SIGSTOP")
        }
        second.process.child.kill("SIGKILL")
        for (const { process } of second.children) yield* UpFile.signal(process, "SIGKILL")
        yield* untilReal("its processes are gone", Effect.sync(() => processesNaming(temporary).length === 0))
        assert.deepStrictEqual(demos(), [second.directory])
        const third = yield* demo("🔧 Bash: `git -C work push")
        assert.deepStrictEqual(demos(), [third.directory])
        third.process.child.kill("SIGINT")
        yield* Effect.promise(() => third.process.ended)
        assert.deepStrictEqual(demos(), [])
        assert.deepStrictEqual(processesNaming(temporary), [])
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
