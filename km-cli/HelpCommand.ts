/** `km help` and `km version`: what the flags of those names say, as commands. */
import * as Argument from "effect/cli/Argument"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { fullVersion as version } from "../runtime/domain/install/Version.ts"
import { childrenOf } from "./CommandTree.ts"
import { data } from "./Output.ts"

export const versionCommand = Command.make("version", {}, () => data([version], { ok: true, version })).pipe(
  Command.withShortDescription("Show the version"),
  Command.withDescription("The same as `km --version`.")
)

/** Fails with what the parser fails with, so that one place tells both. */
const helpOf = (root: Command.Command.Any, words: ReadonlyArray<string>): Effect.Effect<void, CliError.CliError> => {
  let command = root
  const commandPath = ["km"]
  for (const word of words) {
    const next = childrenOf(command).find(({ alias, name }) => name === word || alias === word)
    if (next === undefined) {
      const unknown = new CliError.UnknownSubcommand({ subcommand: word, parent: commandPath, suggestions: [] })
      return Effect.fail(new CliError.ShowHelp({ commandPath, errors: [unknown] }))
    }
    command = next
    commandPath.push(next.name)
  }
  return Effect.fail(new CliError.ShowHelp({ commandPath, errors: [] }))
}

/** `tree` is asked when it runs: the command is part of what it explains. */
export const helpCommand = (tree: () => Command.Command.Any) =>
  Command.make(
    "help",
    { words: Argument.String("command").pipe(Argument.variadic(), Argument.withDescription("Whose; all if left out")) },
    // The tree that it is part of, asked as `km COMMAND --help` asks it.
    ({ words }): Effect.Effect<void, CliError.CliError, never> => helpOf(tree(), words)
  ).pipe(
    Command.withShortDescription("Show the help of a command"),
    Command.withDescription("The same as --help after the command.")
  )
