/**
 * The same count as `pipeline`, with the real CLI behind the `Agent` port and the scripted model behind its door: 200
 * turns in 4 sandboxes, 10 in each of 5 threads, so that all but the first of a thread resume its session.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import * as path from "node:path"
import * as ScriptedModel from "../../km-cli/local/model/ScriptedModel.ts"
import * as ClaudeAgent from "../../runtime/adapters/claude/ClaudeAgent.ts"
import { Jail } from "../../runtime/adapters/jail/Bubblewrap.ts"
import { ModelDoor } from "../../runtime/adapters/model/ModelDoor.ts"
import { Agent } from "../../runtime/ports/Agent.ts"
import { claudeCommand, networkOf } from "../support/ScriptedModel.ts"
import type { BenchRow } from "./BenchRow.ts"
import { type AgentOf, messagesOf, noteStart, runLoad } from "./wholeRuntimes.ts"

const claude = (directory: string) => {
  const [home, workspace] = ["home", "workspace"].map((name) => {
    const made = path.join(directory, name)
    fs.mkdirSync(made, { recursive: true, mode: 0o700 })
    return made
  })
  return ClaudeAgent.layer({
    command: claudeCommand,
    home: home ?? "",
    workspace: workspace ?? "",
    locks: path.join(directory, "locks"),
    spendFile: path.join(directory, "spend.json"),
    policy: { permissions: "bypass", model: "default", trustRepoSettings: false },
    budgetUsd: 0,
    unconfinedAccepted: false,
    readOnly: [],
    settings: () => Effect.succeed({}),
    network: networkOf("shared")
  })
}

/** The real agent; each start is noted. */
const noted: (shared: Layer.Layer<Jail | ModelDoor>) => AgentOf = (shared) => (seen, directory) =>
  Layer.effect(
    Agent,
    Effect.map(Agent, (agent) =>
      Agent.of({
        ...agent,
        start: (run) => Effect.andThen(Effect.sync(() => noteStart(seen, run.turn)), agent.start(run))
      }))
  ).pipe(Layer.provide(claude(directory)), Layer.provide(shared))

export const run = (): Promise<ReadonlyArray<BenchRow>> =>
  Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const model = yield* ScriptedModel.start()
    const context = yield* Layer.build(
      Layer.merge(Jail.layer, ModelDoor.layer({ upstream: model.url, scripted: true, key: Effect.succeedNone }))
    )
    const load = { sandboxes: 4, threads: 5, perThread: 10, text: "script:text", limit: "220 seconds" } as const
    const { perSecond, resumed, rows } = yield* Effect.promise(() =>
      runLoad("realTurns", `${messagesOf(load)} turns of the real CLI`, load, noted(Layer.succeedContext(context)))
    )
    const speed: BenchRow = {
      area: "realTurns",
      name: "turns of the real CLI, 8 at a time",
      unit: "1/s",
      value: perSecond,
      target: "",
      ok: true
    }
    const again = messagesOf(load) - load.sandboxes * load.threads
    const continued: BenchRow = {
      area: "realTurns",
      name: "turns that went on in their thread's session",
      unit: "count",
      value: resumed,
      target: `= ${again}`,
      ok: resumed === again
    }
    return [...rows, continued, speed]
  })))
