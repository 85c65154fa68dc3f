/** Programs of plugins that the agent starts by name, run by the runtime's own engine. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { AgentContribution } from "./Agent.ts"
import type { StoreError } from "./StoreError.ts"

export interface AgentProgram {
  /** What the agent calls it; in a build it is `{name}.cjs` beside the runtime's own program. */
  readonly name: string
  /** Absolute path of its `main.ts`, for a runtime that runs from the source tree. */
  readonly source: string
  /** Absolute path of a folder that holds all of its source. */
  readonly folder: string
}

export class AgentPrograms extends Context.Service<AgentPrograms, {
  /**
   * Makes a directory of the sandbox's own (`name` below its state directory, 0700) with something to start each program
   * by its name, and says what shows them to the agent, which reads the directory and cannot write there. The same again
   * changes nothing.
   */
  readonly place: (name: string, programs: ReadonlyArray<AgentProgram>) => Effect.Effect<
    { readonly directory: string; readonly contribution: Required<Pick<AgentContribution, "path" | "readOnly">> },
    StoreError
  >
}>()("km/runtime/ports/AgentPrograms") {}
