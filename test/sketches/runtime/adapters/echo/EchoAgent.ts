/** A coding agent as one folder: it says what it was told last. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import process from "node:process"
import { AgentOutcome } from "../../../../../runtime/domain/turn/Turn.ts"
import { Agent, AgentEvent } from "../../../../../runtime/ports/Agent.ts"
import { Sessions } from "../../../../../runtime/ports/Sessions.ts"

const agent = Layer.succeed(Agent)(Agent.of({
  start: ({ prompt }) => {
    const text = `echo of ${prompt.trim().split("\n").at(-1) ?? "nothing"}`
    return Effect.succeed({
      mark: { pid: process.pid, startTime: "", bootId: "" },
      events: Stream.make(AgentEvent.Text({ ordinal: 0, text })),
      outcome: Effect.succeed(AgentOutcome.cases.Answered.make({ text })),
      interrupt: () => Effect.void,
      timeOut: () => Effect.void
    })
  },
  recover: () => Effect.succeedNone,
  sessionExists: () => Effect.succeed(false),
  confinement: Effect.succeed({ confined: false, detail: "it runs no program" })
}))

export const layer: Layer.Layer<Agent | Sessions> = Layer.merge(agent, Sessions.layerNone)
