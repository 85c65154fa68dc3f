/**
 * Turns of the real CLI that take their steps in turn: the model is asked through a gate that lets one of them at a time
 * go on, from the answer to one request until its next request. So the kinds of turns that are compared meet the same
 * disturbances, step by step, however busy the machine is.
 */
import { spawn } from "node:child_process"
import * as Http from "node:http"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

const claude = fileURLToPath(new URL("../../node_modules/.bin/claude", import.meta.url))

export interface Lane {
  readonly name: string
  /** File for `--settings`. */
  readonly settings: string
  readonly session: string
}

/**
 * Who goes on. A lane waits for its turn before each request, and hands on when its next request comes or it ends. Every
 * second round goes backwards, so that no lane always has what another one left behind before it.
 */
class Baton {
  #lanes: ReadonlyArray<string>
  /** Of this round. */
  #left: ReadonlyArray<string>
  readonly #waiting = new Map<string, () => void>()
  readonly steps = new Map<string, Array<number>>()
  #startedAt = 0

  constructor(lanes: ReadonlyArray<string>) {
    this.#lanes = lanes
    this.#left = lanes
    for (const lane of lanes) this.steps.set(lane, [])
  }

  /** Resolves when the lane may send its request. */
  arrive(lane: string): Promise<void> {
    const mayGoOn = new Promise<void>((resolve) => this.#waiting.set(lane, resolve))
    if (this.#left[0] === lane) {
      if (this.#startedAt > 0) {
        this.steps.get(lane)?.push(performance.now() - this.#startedAt)
        this.#handOn(lane)
      }
      this.#next()
    } else if (this.#startedAt === 0) this.#next()
    return mayGoOn
  }

  end(lane: string): void {
    const first = this.#left[0] === lane
    this.#lanes = this.#lanes.filter((other) => other !== lane)
    this.#handOn(lane)
    if (first) this.#next()
  }

  #handOn(lane: string): void {
    this.#left = this.#left.filter((other) => other !== lane)
    if (this.#left.length > 0) return
    this.#lanes = this.#lanes.toReversed()
    this.#left = this.#lanes
  }

  #next(): void {
    const lane = this.#left[0] ?? ""
    const go = this.#waiting.get(lane)
    this.#startedAt = 0
    if (go === undefined) return
    this.#waiting.delete(lane)
    this.#startedAt = performance.now()
    go()
  }
}

const runClaude = (lane: Lane, directory: string, url: string, calls: number) =>
  new Promise<void>((resolve, reject) => {
    const args = ["-p", "--output-format", "stream-json", "--verbose", "--dangerously-skip-permissions"]
    const child = spawn(
      claude,
      [...args, "--setting-sources", "", "--settings", lane.settings, "--session-id", lane.session],
      {
        cwd: Path.join(directory, "workspace"),
        env: {
          PATH: process.env["PATH"],
          HOME: Path.join(directory, "home"),
          IS_SANDBOX: "1",
          ANTHROPIC_API_KEY: "sk-ant-dummy",
          ANTHROPIC_BASE_URL: url,
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
          DISABLE_TELEMETRY: "1",
          DISABLE_AUTOUPDATER: "1"
        },
        stdio: ["pipe", "pipe", "inherit"]
      }
    )
    let output = ""
    child.stdout.on("data", (chunk) => output += String(chunk))
    child.on("error", reject)
    child.on("close", () =>
      output.includes(`Ran ${calls} commands.`)
        ? resolve()
        : reject(new Error(`the turn of ${lane.name} did not end as scripted: ${output.slice(-500)}`)))
    child.stdin.end(`From Ada:\nscript:tools:${calls}`)
  })

/** Milliseconds of each step (one tool call) of each lane, oldest first. */
export const turnsInStep = async (options: {
  readonly lanes: ReadonlyArray<Lane>
  /** Holds `home` and `workspace`. */
  readonly directory: string
  readonly model: string
  readonly calls: number
}): Promise<ReadonlyMap<string, ReadonlyArray<number>>> => {
  const baton = new Baton(options.lanes.map(({ name }) => name))
  const gate = Http.createServer((request, response) => {
    const [, lane = "", ...rest] = (request.url ?? "").split("/")
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", async () => {
      const path = `/${rest.join("/")}`
      if (request.method === "POST" && path.startsWith("/v1/messages") && !path.includes("count_tokens")) {
        await baton.arrive(lane)
      }
      const { host: _, ...headers } = request.headers
      const onward = Http.request(options.model + path, { method: request.method ?? "GET", headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      })
      onward.on("error", () => response.destroy())
      onward.end(Buffer.concat(chunks))
    })
  })
  await new Promise<void>((resolve) => gate.listen(0, "127.0.0.1", resolve))
  const address = gate.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  try {
    await Promise.all(options.lanes.map(async (lane) => {
      await runClaude(lane, options.directory, `http://127.0.0.1:${port}/${lane.name}`, options.calls)
      baton.end(lane.name)
    }))
  } finally {
    gate.close()
    gate.closeAllConnections()
  }
  return baton.steps
}
