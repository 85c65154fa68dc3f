/** Starts the emulators on this machine's loopback, and ends them with the run. `make test-aws` has installed them. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { TestProject } from "vitest/node"

declare module "vitest" {
  interface ProvidedContext {
    /** `http://127.0.0.1:…` of moto, whose clock a request moves. */
    readonly moto: string
    /** The same on this machine's own clock, for processes. */
    readonly motoInRealTime: string
  }
}

const root = fileURLToPath(new URL("../..", import.meta.url))
const python = `${root}node_modules/.km-aws/bin/python`

const startMoto = async (
  ...flags: ReadonlyArray<string>
): Promise<{ readonly url: string; readonly child: ChildProcess }> => {
  if (!existsSync(python)) throw new Error("the emulators are not installed: run `make test-aws`, which installs them")
  const child = spawn(python, [`${root}test/aws/steered_moto.py`, ...flags], { stdio: ["pipe", "pipe", "inherit"] })
  const lines = createInterface({ input: child.stdout })
  const [port] = await Promise.race([
    once(lines, "line"),
    once(child, "exit").then(([code]) => Promise.reject(new Error(`moto ended with ${code} before it listened`)))
  ])
  return { child, url: `http://127.0.0.1:${port}` }
}

export default async ({ provide }: TestProject) => {
  const started = await Promise.all([startMoto(), startMoto("--real-time")])
  provide("moto", started[0].url)
  provide("motoInRealTime", started[1].url)
  return async () => {
    for (const { child } of started) {
      const ended = once(child, "exit")
      child.stdin?.end()
      await ended
    }
  }
}
