/** Opening the operator's browser, where there is one. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import process from "node:process"

const programOf = (platform: string, env: NodeJS.ProcessEnv): string | undefined => {
  const chosen = env["BROWSER"]
  if (chosen !== undefined && chosen !== "") return chosen
  // A browser on the other end of an SSH connection is none of the person's.
  if (env["SSH_CONNECTION"] !== undefined) return undefined
  if (platform === "darwin") return "open"
  return env["DISPLAY"] !== undefined || env["WAYLAND_DISPLAY"] !== undefined ? "xdg-open" : undefined
}

/** True when a program took the address; whether a person sees it nobody knows. */
const open = (url: string): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const program = programOf(process.platform, process.env)
    if (program === undefined) return resume(Effect.succeed(false))
    const child = spawn(program, [url], { stdio: "ignore", detached: true })
    child.once("error", () => resume(Effect.succeed(false)))
    child.once("spawn", () => {
      child.unref()
      resume(Effect.succeed(true))
    })
  })

export const Browser = Context.Reference<(url: string) => Effect.Effect<boolean>>("km/cli/Browser", {
  defaultValue: () => open
})
