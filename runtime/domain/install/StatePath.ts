/**
 * Where an install keeps its state unless it is told: one decision for `km` and every program it starts. A directory that
 * holds secrets is never guessed from the working directory, so what is not absolute is no home.
 */
import * as Result from "effect/Result"

/** What a process knows of its home. */
export interface Homes {
  /** `HOME`; empty or relative counts as not set. */
  readonly home?: string | undefined
  /** The account's home as the operating system has it; undefined where the account has no entry. */
  readonly account?: string | undefined
}

/** What a process is told of its state directory, the strongest first. */
export interface StateGiven extends Homes {
  /** `--state`. Empty is a mistake (an unset variable of a script), not a default. */
  readonly flag?: string | undefined
  /** `KM_STATE`; empty counts as not set, as everywhere in the environment. */
  readonly variable?: string | undefined
  /** `XDG_STATE_HOME`; the XDG Base Directory Specification has a relative one ignored. */
  readonly xdg?: string | undefined
}

export interface StatePlace {
  /** As given, or absolute where it is a default; whoever opens it resolves it. */
  readonly path: string
  readonly from: "--state" | "KM_STATE" | "$XDG_STATE_HOME/km" | "~/.local/state/km"
}

const absolute = (path: string | undefined): path is string => path?.startsWith("/") === true

/** `HOME` if it is a place, else the account's. */
export const homeOf = ({ account, home }: Homes): string | undefined =>
  [home, account].find(absolute)?.replace(/(?<=.)\/+$/, "")

const below = (directory: string, rest: string): string => `${directory === "/" ? "" : directory}/${rest}`

/** Shells expand `~` at the start of a word, but not in `--state=~/km`, in files and in units. Fails with the reason. */
export const expandHome = (path: string, homes: Homes): Result.Result<string, string> => {
  if (path.includes("\0")) return Result.fail("a path cannot hold a NUL character")
  if (!/^~[^/]*(\/|$)/.test(path)) return Result.succeed(path)
  const [user = "", ...rest] = path.slice(1).split("/")
  if (user !== "") return Result.fail(`only ~/ is known, not ~${user}; for a file of that name write ./${path}`)
  const home = homeOf(homes)
  if (home === undefined) return Result.fail("~ is not known: HOME is not set and this account has no home")
  return Result.succeed(rest.length === 0 ? home : below(home, rest.join("/")))
}

/** Fails with the reason where no place is known. */
export const statePlace = (given: StateGiven): Result.Result<StatePlace, string> => {
  const { flag, variable, xdg } = given
  if (flag === "") return Result.fail("--state is empty")
  const told = flag ?? (variable === "" ? undefined : variable)
  if (told !== undefined) {
    const from = flag === undefined ? "KM_STATE" as const : "--state" as const
    return Result.map(expandHome(told, given), (path) => ({ path, from }))
  }
  if (absolute(xdg)) return Result.succeed({ path: below(xdg, "km"), from: "$XDG_STATE_HOME/km" })
  const home = homeOf(given)
  return home === undefined
    ? Result.fail("HOME is not set and this account has no home")
    : Result.succeed({ path: below(home, ".local/state/km"), from: "~/.local/state/km" })
}
