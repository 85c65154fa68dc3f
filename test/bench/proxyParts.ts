/** The two programs beside the client in the proxy's benches, each in a process of its own: a GitHub, and the plugin before it. */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import type { ProxyProcess } from "../support/proxyProcess.ts"

export interface Part<A> {
  readonly child: ChildProcess
  readonly said: A
}

const start = async <A>(program: string, given: object = {}): Promise<Part<A>> => {
  const child = fork(fileURLToPath(new URL(program, import.meta.url)), [JSON.stringify(given)], {
    stdio: ["ignore", "ignore", "inherit", "ipc"]
  })
  const [said] = await once(child, "message")
  return { child, said }
}

export interface BenchGitHub {
  readonly port: number
  /** PEM of who certified it. */
  readonly authority: string
  /** Path of `my-org/api`. */
  readonly bare: string
}

export const startGitHub = (): Promise<Part<BenchGitHub>> => start("./gitHubProcess.ts")

/** Says what its agent is given. */
export const startSandboxProxy = (
  { authority, port }: BenchGitHub,
  root: string
): Promise<Part<{ readonly env: Readonly<Record<string, string>> }>> => {
  const options: ProxyProcess = {
    sandbox: "sb-0a1b2c3d",
    port,
    authority,
    state: path.join(root, "state"),
    allowedRefs: ["feature/*", "fix/*", "!feature/release"],
    repository: "my-org/api",
    id: 7
  }
  return start("../support/proxyProcess.ts", options)
}
