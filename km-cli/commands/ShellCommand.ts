/** `km shell`: its flags and help. What it does is imported when it runs. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"

export const shell = Command.make(
  "shell",
  {
    reference: Argument.String("sandbox").pipe(
      Argument.withDescription("Id, alias, or a prefix that fits only one")
    ),
    resume: Flag.String("resume").pipe(Flag.optional, Flag.withDescription("Continue this session (its id)")),
    command: Argument.String("command").pipe(
      Argument.withDescription("A program and its arguments in place of the agent, behind --"),
      Argument.variadic()
    )
  },
  (input) => Effect.flatMap(Effect.promise(() => import("./Shell.ts")), (module) => module.shell(input))
).pipe(
  Command.withShortDescription("Work with a sandbox's agent on this terminal"),
  Command.withDescription(
    "Starts the agent, or a command behind --, on this terminal: in the jail, with the doors, the programs and the network " +
      "that a turn has, and shown in the sandbox's channel as turns are. It ends with the terminal, and with the runtime, " +
      "and says then how it is continued."
  ),
  Command.withExamples([{ command: "km shell demo -- bash", description: "A shell in the jail of demo" }])
)
