/** What starting an agent costs before the CLI itself begins to work, and what the model door adds to a request. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Http from "node:http"
import * as ScriptedModel from "../../km-cli/local/model/ScriptedModel.ts"
import { Jail } from "../../runtime/adapters/jail/Bubblewrap.ts"
import * as Budget from "../../runtime/adapters/model/Budget.ts"
import { ModelDoor } from "../../runtime/adapters/model/ModelDoor.ts"
import { SessionId } from "../../runtime/domain/sandbox/Ids.ts"
import { runOf, scriptedAgent } from "../support/ScriptedModel.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

const startRounds = 40
const turnRounds = 8
const requestRounds = 300

/** Milliseconds from `start` to the running process; the run is ended at once. */
const starts = (jail: Layer.Layer<Jail>) =>
  Effect.scoped(Effect.gen(function*() {
    const { agent, directories } = yield* scriptedAgent({ jail })
    const samples: Array<number> = []
    for (let round = 0; round < startRounds; round++) {
      const run = runOf(directories, "script:text")
      const begun = performance.now()
      yield* Effect.scoped(Effect.map(agent.start(run), () => void samples.push(performance.now() - begun)))
    }
    return { samples: samples.slice(5), ...(yield* agent.confinement) }
  }))

/** Milliseconds of a whole turn with one text answer: start, CLI, model, exit, everything gone. */
const turns = (jail: Layer.Layer<Jail>) =>
  Effect.scoped(Effect.gen(function*() {
    const { agent, directories } = yield* scriptedAgent({ jail })
    const samples: Array<number> = []
    for (let round = 0; round < turnRounds; round++) {
      const run = runOf(directories, "script:text")
      const begun = performance.now()
      const outcome = yield* Effect.scoped(Effect.flatMap(agent.start(run), (process) => process.outcome))
      if (outcome._tag !== "Answered") return yield* Effect.die(`no answer: ${JSON.stringify(outcome)}`)
      samples.push(performance.now() - begun)
    }
    return samples
  }))

const body = JSON.stringify({
  model: "claude-opus-5-5",
  stream: true,
  messages: [{ role: "user", content: `script:text ${"x".repeat(50_000)}` }]
})

const request = (agent: Http.Agent, url: string, key: string) =>
  Effect.callback<number, Error>((resume) => {
    const begun = performance.now()
    const sent = Http.request(`${url}/v1/messages`, {
      method: "POST",
      agent,
      headers: { "content-type": "application/json", "x-api-key": key }
    }, (response) => {
      let text = ""
      response.on("data", (chunk: Buffer) => {
        text += chunk.toString("utf8")
      })
      response.on("end", () =>
        resume(
          text.includes("message_stop")
            ? Effect.succeed(performance.now() - begun)
            : Effect.die(new Error(`no answer: ${response.statusCode} ${text.slice(0, 200)}`))
        ))
    })
    sent.on("error", (error) => resume(Effect.die(error)))
    sent.end(body)
  })

/** The same request straight to the model and through the door, in turns. */
const door = Effect.scoped(Effect.gen(function*() {
  const model = yield* ScriptedModel.start()
  const context = yield* Layer.build(
    ModelDoor.layer({ upstream: model.url, scripted: true, key: Effect.succeedNone })
  )
  const opened = yield* Effect.provide(ModelDoor, context)
  const session = SessionId.make("0b0e6a40-1111-4222-8333-444444444444")
  const { key } = yield* opened.admit({ session, budget: Budget.memory(0) })
  const agent = new Http.Agent({ keepAlive: true })
  yield* Effect.addFinalizer(() => Effect.sync(() => agent.destroy()))
  const direct: Array<number> = []
  const through: Array<number> = []
  for (let round = 0; round < requestRounds; round++) {
    direct.push(yield* request(agent, model.url, "any"))
    through.push(yield* request(agent, opened.url, key))
  }
  return { direct: direct.slice(50), through: through.slice(50) }
}))

const startTarget = "<= 150"

const program = Effect.gen(function*() {
  const bare = yield* starts(Jail.layerUnconfined("measured without a jail"))
  const jailed = yield* starts(Jail.layer)
  const rows: Array<BenchRow> = [{
    area: "agent",
    name: "start called → process spawned, unconfined, p95",
    unit: "ms",
    value: percentile(bare.samples, 95),
    p50: percentile(bare.samples, 50),
    p99: percentile(bare.samples, 99),
    target: startTarget,
    ok: meets(percentile(bare.samples, 95), startTarget)
  }]
  const bareTurns = yield* turns(Jail.layerUnconfined("measured without a jail"))
  if (jailed.confined) {
    rows.push({
      area: "agent",
      name: "start called → process spawned, jailed, p95",
      unit: "ms",
      value: percentile(jailed.samples, 95),
      p50: percentile(jailed.samples, 50),
      p99: percentile(jailed.samples, 99),
      target: startTarget,
      ok: meets(percentile(jailed.samples, 95), startTarget)
    })
    const jailedTurns = yield* turns(Jail.layer)
    rows.push({
      area: "agent",
      name: "whole turn with one text answer, jailed, against unconfined",
      unit: "ms",
      value: percentile(jailedTurns, 50),
      p50: percentile(jailedTurns, 50),
      p99: percentile(jailedTurns, 99),
      target: "",
      baseline: percentile(bareTurns, 50),
      ratio: percentile(jailedTurns, 50) / percentile(bareTurns, 50),
      ok: true
    })
  }
  const { direct, through } = yield* door
  rows.push({
    area: "agent",
    name: "50 kB request and its stream through the model door, against none",
    unit: "ms",
    value: percentile(through, 50),
    p50: percentile(through, 50),
    p99: percentile(through, 99),
    target: "",
    baseline: percentile(direct, 50),
    ratio: percentile(through, 50) / percentile(direct, 50),
    ok: true
  })
  return rows
})

export const run = (): Promise<ReadonlyArray<BenchRow>> => Effect.runPromise(program)
