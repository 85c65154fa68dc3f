/** The commands by which an operator works with an agent from a terminal: names, flags and help. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"

/** Loads a handler when its command runs. */
const lazy = <Input, A, E, R>(load: () => Promise<(input: Input) => Effect.Effect<A, E, R>>) => (input: Input) =>
  Effect.flatMap(Effect.promise(load), (run) => run(input))

const reference = Argument.String("sandbox").pipe(
  Argument.withDescription("Id, alias, or a prefix that fits only one")
)

export const chat = Command.make(
  "chat",
  {
    reference,
    text: Argument.String("message").pipe(Argument.withDescription("What to write")),
    thread: Flag.String("thread").pipe(Flag.optional, Flag.withDescription("Continue this thread (its ts)")),
    noWait: Flag.Boolean("no-wait").pipe(Flag.withDefault(false), Flag.withDescription("Post and return"))
  },
  lazy(() => import("./Chat.ts").then((module) => module.chat))
).pipe(
  Command.withShortDescription("Write to a sandbox in the local workspace and show the answer"),
  Command.withDescription(
    "Posts as a person of the local workspace; the thread goes to standard error as it grows, " +
      "the answer to standard output."
  )
)

export const shell = Command.make(
  "shell",
  {
    reference,
    resume: Flag.String("resume").pipe(Flag.optional, Flag.withDescription("Continue this session (its id)")),
    command: Argument.String("command").pipe(
      Argument.withDescription("A program and its arguments in place of the agent, behind --"),
      Argument.variadic()
    )
  },
  lazy(() => import("./Shell.ts").then((module) => module.shell))
).pipe(
  Command.withShortDescription("Work with a sandbox's agent on this terminal"),
  Command.withDescription(
    "Starts the agent, or a command behind --, on this terminal: in the jail, with the doors, the programs and the network " +
      "that a turn has, and shown in the sandbox's channel as turns are. It ends with the terminal, and with the runtime, " +
      "and says then how it is continued."
  ),
  Command.withExamples([{ command: "km shell demo -- bash", description: "A shell in the jail of demo" }])
)
