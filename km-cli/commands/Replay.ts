/**
 * `km replay`: runs a parked turn again, puts a message that died in the queue back into it, or shows what came of a turn
 * that Slack would not show.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { isBlank } from "../../runtime/domain/Blank.ts"
import { TurnKey } from "../../runtime/domain/Ids.ts"
import { outcomeText } from "../../runtime/domain/OutcomeText.ts"
import type { SandboxRow } from "../../runtime/domain/Sandbox.ts"
import { TurnRequest, type TurnRow } from "../../runtime/domain/Turn.ts"
import { replayRequest } from "../../runtime/kernel/TurnMachine.ts"
import { Ledger } from "../../runtime/ports/Ledger.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import type { Backend } from "../Backend.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { data } from "../Output.ts"
import { labelOf } from "../Reference.ts"

const encodeRequest = Schema.encodeSync(Schema.fromJsonString(TurnRequest))
const rootOf = (key: string): string => key.replace(/~\d+$/, "")

/** Every run of the message in one sandbox's ledger: `k`, `k~2`, …, oldest first. */
const runsIn = Effect.fnUntraced(function*(backend: Backend, row: SandboxRow, root: string) {
  return yield* Effect.gen(function*() {
    const ledger = yield* Ledger
    const runs: Array<TurnRow> = []
    for (let n = 1;; n++) {
      const found = yield* ledger.get(TurnKey.make(n === 1 ? root : `${root}~${n}`))
      if (Option.isNone(found)) return runs
      runs.push(found.value)
    }
  }).pipe(
    Effect.provide(backend.ledger(row.id)),
    // A sandbox that has not run here has no turns here.
    Effect.catchTag("KmError", (error) => error.code === "KM-CLI-027" ? Effect.succeed([]) : Effect.fail(error))
  )
})

export const replay = Effect.fn("km.replay")(function*(input: { readonly turn: string; readonly dryRun: boolean }) {
  const { backend } = yield* opened
  yield* backend.install
  const decoded = Schema.decodeOption(TurnKey)(input.turn)
  if (Option.isNone(decoded)) return yield* kmError("KM-CLI-001", `${JSON.stringify(input.turn)} is no turn's key`, "")
  const root = rootOf(decoded.value)
  return yield* Effect.gen(function*() {
    const queue = yield* TurnQueue
    for (const row of yield* (yield* Sandboxes).list) {
      const dead = row.inventory.some(({ kind }) => kind === "queue")
        ? (yield* queue.deadLetters(row.id)).find(({ key }) => key === decoded.value)
        : undefined
      if (dead !== undefined) {
        if (!input.dryRun) yield* queue.redrive(row.id, dead.key)
        return yield* data(
          [`${input.dryRun ? "would put" : "put"} ${dead.key} back into the queue of ${labelOf(row)}`],
          { ok: true, dryRun: input.dryRun, sandbox: row.id, turn: dead.key, how: "redriven" }
        )
      }
      const runs = yield* runsIn(backend, row, root)
      const last = runs.at(-1)
      if (last === undefined) continue
      if (last.result === "undeliverable") {
        // The agent has done its work: what could not be shown is shown, and nothing is done twice.
        const text = outcomeText(last)
        return yield* data(
          [isBlank(text) ? "The agent finished without a written answer." : text],
          { ok: true, dryRun: input.dryRun, sandbox: row.id, turn: last.key, how: "shown", text }
        )
      }
      if (last.result !== "parked") {
        return yield* kmError("KM-CLI-019", `${last.key} is ${last.result ?? last.state}`, "")
      }
      const request = replayRequest(last, runs.length + 1)
      if (!input.dryRun) {
        yield* queue.send(row.id, { key: request.key, group: request.group, body: encodeRequest(request) })
      }
      return yield* data(
        [`${input.dryRun ? "would run" : "runs"} ${last.key} again in ${labelOf(row)} as ${request.key}`],
        { ok: true, dryRun: input.dryRun, sandbox: row.id, turn: request.key, how: "replayed" }
      )
    }
    return yield* kmError("KM-CLI-011", `no sandbox knows the turn ${input.turn}`, "")
  }).pipe(Effect.provide(backend.ports("short")))
})
