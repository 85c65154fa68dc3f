/**
 * How soon a click is seen and has its effect: real bridge and runtime, the real agent with the scripted model, the local
 * workspace, Slack's own budgets kept by the bridge. A turn makes `questions` calls, each of them asked about.
 */
import { Effect } from "effect"
import { objectsOf, textOf } from "../../km-cli/local/workspace/Json.ts"
import { approveAction } from "../../runtime/domain/slack/Question.ts"
import buildOnce from "../support/buildOnce.ts"
import { slackProfile } from "../support/profiles.ts"
import { startStack } from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

const questions = 20

const profile = {
  ...slackProfile,
  spec: { ...slackProfile.spec, agent: { ...slackProfile.spec.agent, permissions: "ask" as const } }
}

const isQuestion = (message: unknown): boolean =>
  typeof message === "object" && message !== null &&
  objectsOf({ ...message }, "blocks").some((block) => textOf(block, "type") === "actions")

const measured = Effect.gen(function*() {
  const stack = yield* startStack()
  const sandbox = yield* stack.sandbox(profile)
  const { workspace } = stack
  const shown: Array<number> = []
  const went: Array<number> = []
  let after = yield* workspace.lastChange
  yield* sandbox.say(`script:tools:${questions}`)
  for (let n = 0; n < questions; n++) {
    const asked = yield* workspace.waitFor(
      ({ data, kind }) => kind === "message" && isQuestion(data["message"]),
      after
    )
    after = asked.seq
    const before = (yield* stack.model.requests).length
    const clickedAt = Date.now()
    yield* workspace.clicks.click({
      person: "ada",
      channel: sandbox.channel,
      ts: asked.ts ?? "",
      action: approveAction
    })
    const edited = yield* workspace.waitFor(
      ({ data, kind, ts }) =>
        kind === "message_changed" && ts === asked.ts && JSON.stringify(data).includes("Approved by"),
      after
    )
    shown.push(edited.at - clickedAt)
    // The model hears of the call's result.
    const next = yield* untilReal(
      "the model is asked again",
      Effect.map(stack.model.requests, (all) => all[before]?.at)
    )
    went.push(next - clickedAt)
  }
  return { shown, went }
})

const row = (name: string, samples: ReadonlyArray<number>, target: string): BenchRow => {
  const value = percentile(samples, 95)
  return {
    area: "ask",
    name,
    unit: "ms",
    value,
    p50: percentile(samples, 50),
    p99: percentile(samples, 99),
    target,
    ok: meets(value, target)
  }
}

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  await buildOnce()
  const { shown, went } = await Effect.runPromise(Effect.scoped(measured))
  return [
    row(`click → message shows the decision, p95 of ${questions}`, shown, "<= 1000"),
    row(`click → the agent's next request, p95 of ${questions}`, went, "<= 1500")
  ]
}
