/** Who still runs on behalf of a directory. */
import { readdirSync, readFileSync } from "node:fs"

/** Processes, agents among them, whose arguments or environment name the directory. */
export const processesNaming = (directory: string): ReadonlyArray<string> =>
  readdirSync("/proc").filter((pid) => /^\d+$/.test(pid)).filter((pid) =>
    ["environ", "cmdline"].some((file) => {
      try {
        return readFileSync(`/proc/${pid}/${file}`, "utf8").includes(directory)
      } catch {
        return false
      }
    })
  )
