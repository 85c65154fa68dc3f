/** Where one attempt of a turn keeps its files: turn keys contain `:` and may start with a dot, directory names may not. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as path from "node:path"
import { TurnKey } from "../../domain/sandbox/Ids.ts"

/**
 * The key as a directory name: `:` becomes `=`, and a leading `.` or `-` gets a `+` before it. Different keys give
 * different names, because a key contains neither `=` nor `+`; at most 129 characters.
 */
export const turnDirectoryName = (key: TurnKey): string => key.replaceAll(":", "=").replace(/^[.-]/, "+$&")

const decodeKey = Schema.decodeUnknownOption(TurnKey)

/** The turn whose directory has this name; none for a name that `turnDirectoryName` never gives. */
export const turnOfDirectory = (name: string): Option.Option<TurnKey> =>
  Option.filter(
    decodeKey(name.replace(/^\+(?=[.-])/, "").replaceAll("=", ":")),
    (key) => turnDirectoryName(key) === name
  )

/** `{runs}/{turn}/{attempt}`. */
export const runDirectory = (runs: string, key: TurnKey, attempt: number): string =>
  path.join(runs, turnDirectoryName(key), String(attempt))
