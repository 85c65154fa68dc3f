/** Where one attempt of a turn keeps its files: turn keys contain `:` and may start with a dot, directory names may not. */
import * as path from "node:path"
import type { TurnKey } from "../domain/Ids.ts"

/**
 * The key as a directory name: `:` becomes `=`, and a leading `.` or `-` gets a `+` before it. Different keys give
 * different names, because a key contains neither `=` nor `+`; at most 129 characters.
 */
export const turnDirectoryName = (key: TurnKey): string => key.replaceAll(":", "=").replace(/^[.-]/, "+$&")

/** `{runs}/{turn}/{attempt}`. */
export const runDirectory = (runs: string, key: TurnKey, attempt: number): string =>
  path.join(runs, turnDirectoryName(key), String(attempt))
