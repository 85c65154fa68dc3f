/** One runner process: asked for one run at a time, replaced when a run does not end. */
import type { ChildProcess } from "node:child_process"
import { fork } from "node:child_process"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import type { Numbered } from "./instrument.ts"
import type { Reply, Request } from "./runner.ts"

/** What became of a mutant. `timeout`: a test did not end in several times its usual time, which counts as noticed. */
export type Outcome = "killed" | "timeout" | "survived" | "not covered"

export type Ran = Extract<Reply, { _tag: "Ran" }> | { readonly _tag: "Late" }

/** A runner is replaced after so many runs: modules that were loaded stay in its memory. */
const runsPerRunner = 40

/** A run that waits, without a deadline's worth of processor, ends after so many deadlines: the machine may be busy. */
const patience = 4

/** Milliseconds of processor that a process has had; on systems without `/proc`, more than any deadline. */
const processorOf = (pid: number | undefined): number => {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? []
    // User and system, in ticks of 10 ms.
    return (Number(fields[11]) + Number(fields[12])) * 10
  } catch {
    return Infinity
  }
}

export class Lane {
  readonly #mutants: ReadonlyArray<Numbered>
  readonly #temporary: string
  #runner: ChildProcess | undefined
  #runs = 0

  private constructor(mutants: ReadonlyArray<Numbered>, temporary: string) {
    this.#mutants = mutants
    this.#temporary = temporary
  }

  /** `temporary`: where tests put their files; a test that is ended from outside leaves them. */
  static async start(mutants: ReadonlyArray<Numbered>, temporary: string): Promise<Lane> {
    const lane = new Lane(mutants, temporary)
    await lane.#renew()
    return lane
  }

  async run(run: Omit<Extract<Request, { _tag: "Run" }>, "_tag"> & { readonly deadline: number }): Promise<Ran> {
    if (this.#runner === undefined || ++this.#runs > runsPerRunner) await this.#renew()
    const { deadline, ...request } = run
    const answer = await this.#ask({ _tag: "Run", ...request }, deadline)
    if (answer?._tag === "Ran") return answer
    this.stop()
    return { _tag: "Late" }
  }

  /** Ends the runner and the test processes below it: they are a process group of their own. */
  stop(): void {
    const pid = this.#runner?.pid
    this.#runner = undefined
    if (pid === undefined) return
    try {
      process.kill(-pid, "SIGKILL")
    } catch {
      // It is gone already.
    }
  }

  async #renew(): Promise<void> {
    this.stop()
    this.#runs = 0
    this.#runner = fork(path.join(import.meta.dirname, "runner.ts"), [], {
      detached: true,
      serialization: "advanced",
      env: { ...process.env, TMPDIR: this.#temporary }
    })
    const answer = await this.#ask({ _tag: "Mutate", mutants: this.#mutants }, 120_000)
    if (answer?._tag !== "Ready") throw new Error("a runner did not start")
  }

  #ask(request: Request, deadline: number): Promise<Reply | undefined> {
    const runner = this.#runner
    return new Promise((resolve) => {
      if (runner === undefined) return resolve(undefined)
      const settle = (answer: Reply | undefined) => {
        clearTimeout(timer)
        runner.removeAllListeners("message").removeAllListeners("exit")
        resolve(answer)
      }
      const before = processorOf(runner.pid)
      let looks = 0
      const look = () => {
        if (++looks >= patience || processorOf(runner.pid) - before >= deadline) settle(undefined)
        else timer = setTimeout(look, deadline)
      }
      let timer = setTimeout(look, deadline)
      runner.once("message", (answer) => settle(answer as Reply))
      runner.once("exit", () => settle(undefined))
      // One that ended since the last run takes no more.
      runner.send(request, (error) => {
        if (error !== null) settle(undefined)
      })
    })
  }
}
