/** What is started for one run: the CLI itself, or bubblewrap with the jail that the CLI is to have. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Path from "node:path"
import { confinementOf, exposes, Jail, jailFilter, jailOptions, loosened, optionsText } from "../jail/Bubblewrap.ts"
import { type Door, withDoors } from "../jail/Doors.ts"
import { withThreeDescriptors } from "../jail/probeScript.ts"
import type { ClaudeAgentOptions } from "./AgentOptions.ts"
import type { Contributed } from "./Contributions.ts"
import { agentErrors } from "./ErrorCodes.ts"
import { markerVariable } from "./ProcessTree.ts"
import { jailDescriptors, type RunFiles } from "./RunFiles.ts"
import { notStarted } from "./Spawn.ts"

/** Where the jail shows the settings. */
const settingsInJail = "/run/km/settings.json"

export interface Invocation {
  readonly program: string
  readonly args: ReadonlyArray<string>
  /** Of the program itself: bubblewrap gets the agent's by its options. */
  readonly env: Readonly<Record<string, string>>
  /** What bubblewrap reads; none without a jail. */
  readonly jail: { readonly options: string; readonly filter: Uint8Array | undefined } | undefined
}

/** How the runs of one sandbox are confined, and how one is put together. */
export const makeInvocations = Effect.fnUntraced(function*(
  options: Pick<
    ClaudeAgentOptions,
    "home" | "workspace" | "locks" | "spendFile" | "readOnly" | "network" | "nestedSandboxes"
  >
) {
  const machine = yield* Jail
  const nested = options.nestedSandboxes === true
  const jail = nested ? loosened(machine) : machine
  const confinement = confinementOf(machine, options.network.mode, nested)
  const hasDoors = confinement.network === "none"
  const filter = jailFilter()

  const invocation = Effect.fnUntraced(function*(run: {
    /** The agent's program, absolute. */
    readonly cli: string
    /** The whole command, given where the agent sees its settings. */
    readonly command: (settings: string) => ReadonlyArray<string>
    readonly runDir: string
    readonly files: RunFiles
    readonly added: Contributed
    readonly doors: ReadonlyArray<Door>
    readonly env: Readonly<Record<string, string>>
    readonly marker: string
  }) {
    if (Option.isNone(jail.program)) {
      const [program = "", ...args] = run.command(run.files.settings)
      return { program, args, env: run.env, jail: undefined }
    }
    const { entrypoint } = options.network
    const view = {
      writable: [options.home, options.workspace],
      readOnly: [
        Path.dirname(run.cli),
        ...options.readOnly,
        ...run.added.path,
        ...run.added.readOnly,
        ...(hasDoors ? [entrypoint.engine, entrypoint.program] : [])
      ],
      files: [...run.added.files, [run.files.settings, settingsInJail] as const],
      cwd: options.workspace,
      hostname: "sandbox",
      network: confinement.network
    }
    const exposed = exposes(
      [...view.writable, ...view.readOnly, ...run.added.files.map(([from]) => from)],
      [run.runDir, options.locks, options.spendFile]
    )
    if (Option.isSome(exposed)) {
      return yield* notStarted(
        agentErrors.notStarted,
        `the jail would show the agent our own files in ${exposed.value}`
      )
    }
    const agent = withThreeDescriptors(run.command(settingsInJail))
    const { filter: seccomp, info, options: read } = jailDescriptors
    return {
      program: jail.program.value,
      args: [
        "--args",
        String(read),
        "--",
        ...(hasDoors ? withDoors(entrypoint, run.doors, agent) : agent)
      ],
      // By it the run's processes are found, bubblewrap's own included.
      env: { [markerVariable]: run.marker },
      jail: {
        options: optionsText(
          jailOptions(view, filter === undefined ? { info } : { info, seccomp }, jail.ground),
          run.env
        ),
        filter
      }
    }
  })
  return { confinement, hasDoors, isJailed: Option.isSome(jail.program), invocation }
})
