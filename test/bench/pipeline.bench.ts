/**
 * 200 whole runtimes beside each other, 50 messages each in 5 threads, every message sent twice, with a stub behind the
 * `Agent` port. First what must be nothing is counted, then the speed is told.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { AgentOutcome } from "../../runtime/domain/turn/Turn.ts"
import { Agent } from "../../runtime/ports/Agent.ts"
import type { BenchRow } from "./BenchRow.ts"
import { type AgentOf, noteStart, runLoad } from "./wholeRuntimes.ts"

const stubAgent: AgentOf = (seen) =>
  Layer.succeed(
    Agent,
    Agent.of({
      start: (run) =>
        Effect.sync(() => {
          noteStart(seen, run.turn)
          return {
            mark: { pid: 1, startTime: "", bootId: "" },
            events: Stream.empty,
            outcome: Effect.as(Effect.sleep(5), AgentOutcome.cases.Answered.make({ text: `answer to ${run.turn}` })),
            interrupt: () => Effect.void,
            timeOut: () => Effect.void
          }
        }),
      recover: () => Effect.succeedNone,
      sessionExists: () => Effect.succeed(true),
      confinement: Effect.succeed({ confined: true, detail: "stub" })
    })
  )

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const load = { sandboxes: 200, threads: 5, perThread: 10, text: "", limit: "200 seconds" } as const
  const { perSecond, rows } = await runLoad("pipeline", "200 sandboxes x 50 messages", load, stubAgent)
  return [...rows, {
    area: "pipeline",
    name: "turns settled with a stub agent, all ledgers synced",
    unit: "1/s",
    value: perSecond,
    target: "",
    ok: true
  }]
}
