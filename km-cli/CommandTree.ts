/** What a command has below it; the rest of the tree is `Km.ts`. */
import type * as Command from "effect/cli/Command"

export const childrenOf = (command: Command.Command.Any): ReadonlyArray<Command.Command.Any> =>
  command.subcommands.flatMap(({ commands }) => commands)
