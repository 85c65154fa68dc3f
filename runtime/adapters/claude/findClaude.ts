/** Where the Claude Code CLI is. It is not ours to hand on, so whoever runs km has installed it. */
import * as fs from "node:fs"
import * as path from "node:path"

const isProgram = (file: string): boolean => {
  try {
    fs.accessSync(file, fs.constants.X_OK)
    return fs.statSync(file).isFile()
  } catch {
    return false
  }
}

/** Relative directories are passed over: what lies in the current one is not for us to start. */
const onPath = (name: string, searched: string): string | undefined =>
  searched.split(path.delimiter).filter(path.isAbsolute).map((directory) => path.join(directory, name)).find(isProgram)

/**
 * `given` (`KM_CLAUDE`, a path or a name on the PATH) when it is not empty, else `claude` on the PATH, else the first of
 * `beside`. What cannot be found is named as it was asked for, so that the failure says what was missing.
 */
export const findClaude = (
  { beside, given, searched }: {
    readonly given: string
    /** `PATH`. */
    readonly searched: string
    readonly beside: ReadonlyArray<string>
  }
): string => {
  if (given.includes("/")) return path.resolve(given)
  const name = given === "" ? "claude" : given
  return onPath(name, searched) ?? (given === "" ? beside.find(isProgram) : undefined) ?? name
}
