/** What a person may have meant by a command, flag or choice that there is not. */
import * as CliError from "effect/cli/CliError"
import type * as Command from "effect/cli/Command"
import * as Completion from "effect/cli/Completions"
import { distance, nearest } from "../runtime/domain/profile/ProfileDecode.ts"
import { childrenOf } from "./CommandTree.ts"

/** The command that a path names. */
const commandAt = (root: Command.Command.Any, path: ReadonlyArray<string>): Command.Command.Any =>
  path.slice(1).reduce<Command.Command.Any>(
    (command, word) => childrenOf(command).find(({ alias, name }) => name === word || alias === word) ?? command,
    root
  )

/** `did you mean X?` where one is so near that it may be a slip; empty otherwise. */
export const meant = (root: Command.Command.Any, error: Error): string => {
  if (!CliError.isCliError(error)) return ""
  const near = nearOf(root, error)
  return near === undefined ? "" : `did you mean ${near}?`
}

const nearOf = (root: Command.Command.Any, error: CliError.CliError): string | undefined => {
  switch (error._tag) {
    case "UnknownSubcommand": {
      const names = childrenOf(commandAt(root, error.parent ?? ["km"])).filter(({ unlisted }) => !unlisted)
        .flatMap(({ alias, name }) => alias === undefined ? [name] : [name, alias])
      return slip(error.subcommand, names)
    }
    case "UnrecognizedOption": {
      const path = error.command ?? ["km"]
      const flags = [
        ...flagsOf(commandAt(root, path)),
        "--json",
        "--state",
        "--config",
        "--install",
        "--help",
        "--version",
        "--log-level"
      ]
      return slip(error.option, flags)
    }
    case "InvalidValue":
      return slip(error.value, Array.from(error.expected.matchAll(/"([^"]*)"/g), ([, choice = ""]) => choice))
    default:
      return undefined
  }
}

const flagsOf = (command: Command.Command.Any): ReadonlyArray<string> =>
  Completion.fromCommand(command).flags.map(({ name }) => `--${name}`)

/** The nearest of them, unless so much would have to be changed that it is another word. */
const slip = (word: string, names: ReadonlyArray<string>): string | undefined => {
  if (word.length > 40) return undefined
  const beginning = names.filter((name) =>
    word.length >= 2 && name.replace(/^-+/, "").startsWith(word.replace(/^-+/, ""))
  )
  if (beginning.length === 1) return beginning[0]
  const best = nearest(word, names)
  if (best === undefined) return undefined
  const changed = distance(word, best)
  // Two letters that changed places are two edits.
  return changed <= Math.max(2, Math.floor(best.length / 3)) && changed < word.length ? best : undefined
}
