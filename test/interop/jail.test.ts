/** The jail on this machine's kernel and bubblewrap. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { marked } from "../../runtime/adapters/claude/ProcessTree.ts"
import * as RunFiles from "../../runtime/adapters/claude/RunFiles.ts"
import { Jail } from "../../runtime/adapters/jail/Bubblewrap.ts"
import { bashScript, runOf, scriptedAgent, until } from "../support/ScriptedModel.ts"

const markerOf = (runDir: string) =>
  Option.match(RunFiles.readRecord(RunFiles.runFiles(runDir)), { onNone: () => "none", onSome: ({ marker }) => marker })

describe("jail", () => {
  it.live("is what status says", () =>
    Effect.gen(function*() {
      const { agent } = yield* scriptedAgent({ jail: Jail.layer })
      const { confined, detail } = yield* agent.confinement
      assert.isTrue(confined, detail)
      assert.match(detail, /^jailed by bubblewrap/)
    }))

  it.live("runs a whole turn with real tools in home and workspace", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent({ jail: Jail.layer })
      const run = runOf(directories, "hello jail")
      const outcome = yield* Effect.flatMap(agent.start(run), (process) => process.outcome)
      assert.strictEqual(outcome._tag, "Answered", JSON.stringify(outcome))
      assert.include(Fs.readFileSync(Path.join(directories.workspace, "NOTES.md"), "utf8"), "hello jail")
      assert.isTrue(yield* agent.sessionExists(run.session))
    }))

  it.live("an interrupt reaches the CLI, and nothing of the run is left", () =>
    Effect.gen(function*() {
      const { agent, directories } = yield* scriptedAgent({ jail: Jail.layer })
      const ready = Path.join(directories.workspace, "ready")
      const run = runOf(
        directories,
        bashScript(`trap '' TERM INT; setsid tail -f /dev/null & touch ${ready}; tail -f /dev/null`)
      )
      const process = yield* agent.start(run)
      yield* until(() => Fs.existsSync(ready))
      const marker = markerOf(run.runDir)
      assert.isNotEmpty(marked(marker))
      yield* process.interrupt("Ada")
      assert.deepStrictEqual(yield* process.outcome, { _tag: "Cancelled", by: "Ada" })
      assert.deepStrictEqual(marked(marker), [])
      // The polite request came through: the CLI itself wrote how it was interrupted.
      assert.include(Fs.readFileSync(RunFiles.runFiles(run.runDir).stdout, "utf8"), "aborted_tools")
    }))
})
