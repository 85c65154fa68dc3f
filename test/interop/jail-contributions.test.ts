/** What plugins add to a run is there in the jail: programs, files, variables and doors; and no door where there is a network. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Jail } from "../../runtime/adapters/jail/Bubblewrap.ts"
import type { AgentContribution, DoorRun } from "../../runtime/ports/Agent.ts"
import { bashScript, networkOf, runOf, scriptedAgent } from "../support/ScriptedModel.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const node = Fs.realpathSync(process.execPath)

const contribution = (place: string, opened: Array<DoorRun>): AgentContribution => {
  const programs = Path.join(place, "programs")
  Fs.mkdirSync(programs)
  Fs.writeFileSync(Path.join(programs, "added"), "#!/bin/sh\necho started by name\n", { mode: 0o700 })
  Fs.writeFileSync(Path.join(place, "bundle.pem"), "our own certificates\n")
  Fs.writeFileSync(Path.join(place, "notes.txt"), "at its own place\n")
  return {
    env: { ADDED: "a variable", "NOT=one": "x", HOME: "/elsewhere", NO_PROXY: "*" },
    path: [programs],
    readOnly: [
      Path.join(place, "notes.txt"),
      { source: Path.join(place, "bundle.pem"), target: "/etc/hosts" },
      { source: Path.join(place, "bundle.pem"), target: "/run/km/bundle.pem" }
    ],
    doors: [{
      name: "greeter",
      port: 4_703,
      env: { GREETER: "127.0.0.1:4703" },
      open: (run) =>
        Effect.sync(() => {
          opened.push(run)
          return (connection) => void connection.end(`hello from outside, ${run.session}\n`)
        })
    }]
  }
}

describe("what plugins add to the agent", () => {
  it.live.each(["none", "shared"] as const)(
    "is there for the run it was added to (network %s)",
    (mode) =>
      Effect.gen(function*() {
        const opened: Array<DoorRun> = []
        const place = yield* temporaryDirectory
        const added = contribution(place, opened)
        const { agent, directories } = yield* scriptedAgent({
          jail: Jail.layer,
          readOnly: [node],
          network: networkOf(mode)
        })
        const asks = "added; echo \"$ADDED, $HOME, $NO_PROXY\"; cat /etc/hosts /run/km/bundle.pem; "
          + `cat ${place}/notes.txt; (echo x >> ${place}/notes.txt) 2>/dev/null || echo read only; `
          + "echo \"greeter: ${GREETER-none}\"; "
          + "cat < /dev/tcp/127.0.0.1/4703 2>/dev/null || echo nobody there"
        const run = runOf(directories, bashScript(asks), { contributions: [added] })
        const process = yield* agent.start(run)
        const outcome = yield* process.outcome
        const said = outcome._tag === "Answered" ? outcome.text : JSON.stringify(outcome)
        assert.include(said, "started by name")
        assert.include(said, `a variable, ${directories.home}, 127.0.0.1,localhost`)
        assert.lengthOf(said.split("our own certificates"), 3)
        assert.include(said, "at its own place")
        assert.include(said, "read only")
        assert.strictEqual(Fs.readFileSync(Path.join(place, "notes.txt"), "utf8"), "at its own place\n")
        if (mode === "none") {
          assert.include(said, "greeter: 127.0.0.1:4703")
          assert.include(said, `hello from outside, ${run.session}`)
          assert.deepStrictEqual(opened, [{ session: run.session, turn: run.turn }])
        } else {
          assert.include(said, "greeter: none")
          assert.include(said, "nobody there")
          assert.deepStrictEqual(opened, [])
        }
        // The next run has what is added to it alone.
        const bare = yield* Effect.flatMap(
          agent.start(runOf(directories, bashScript("added || echo \"no such program, $ADDED.\""))),
          (next) => next.outcome
        )
        assert.include(JSON.stringify(bare), "no such program, .")
      })
  )
})
