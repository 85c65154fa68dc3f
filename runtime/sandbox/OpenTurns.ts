/** Writes down which turns of a sandbox are not over and what its agents have spent, as part of what its runtime says of itself. */
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import type { SandboxId } from "../domain/sandbox/Ids.ts"
import { TurnPipeline } from "../kernel/turns/TurnPipeline.ts"
import { Agent } from "../ports/Agent.ts"
import { Reports } from "../ports/Reports.ts"
import { Turns } from "../ports/Turns.ts"
import { unending } from "../ports/Unending.ts"

/** Turns change a dozen times; what changes together is written once. */
const gatherFor = "200 millis"
/** A turn that somebody else took over leaves without a change (docs/architecture.md: readers look every 5 s anyway). */
const lookEvery = "5 seconds"

/** Follows the pipeline until interrupted; writes only what differs from what it wrote last. */
export const reportOpenTurns = Effect.fnUntraced(function*(sandbox: SandboxId) {
  const pipeline = yield* TurnPipeline
  const { spentUsd } = yield* Agent
  const reports = yield* Reports
  const changes = yield* (yield* Turns).changes
  let told: string | undefined
  const look = Effect.gen(function*() {
    const report = { open: yield* pipeline.open, ...(spentUsd === undefined ? {} : { spentUsd: yield* spentUsd }) }
    const text = JSON.stringify(report)
    if (text === told) return
    yield* reports.put(sandbox, report)
    told = text
  }).pipe(Effect.catch((error) => Effect.logWarning("the open turns were not stored", error.message)))
  const changed = Effect.gen(function*() {
    yield* PubSub.take(changes)
    yield* Effect.sleep(gatherFor)
    yield* PubSub.takeUpTo(changes, 1_024)
  })
  return yield* unending(
    "the open turns were not stored because of a defect",
    lookEvery,
    Effect.andThen(look, Effect.timeoutOption(changed, lookEvery))
  )
})
