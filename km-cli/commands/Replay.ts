/**
 * `km replay`: runs a parked turn again, puts a message that died in the queue back into it, or shows what came of a turn
 * that Slack would not show.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { isBlank } from "../../runtime/domain/text/Blank.ts"
import { TurnRequest } from "../../runtime/domain/turn/Turn.ts"
import type { TurnRecord } from "../../runtime/domain/turn/TurnRecord.ts"
import { replayRequest } from "../../runtime/kernel/turns/TurnMachine.ts"
import { Reports } from "../../runtime/ports/Reports.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { TurnRecords } from "../../runtime/ports/TurnRecords.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { data } from "../Output.ts"
import { recorded } from "../Recorded.ts"
import { labelOf } from "../Reference.ts"

const encodeRequest = Schema.encodeSync(Schema.fromJsonString(TurnRequest))
const rootOf = (key: string): string => key.replace(/~\d+$/, "")

/** Every run of the message in one sandbox that is over: `k`, `k~2`, …, oldest first. */
const runsIn = Effect.fnUntraced(function*({ id }: SandboxRow, root: string) {
  const records = yield* TurnRecords
  const runs: Array<TurnRecord> = []
  for (let n = 1;; n++) {
    const found = yield* records.get(id, TurnKey.make(n === 1 ? root : `${root}~${n}`))
    if (Option.isNone(found)) return runs
    runs.push(found.value)
  }
})

/** A run of the message that is not over. */
const openIn = Effect.fnUntraced(function*({ id }: SandboxRow, root: string, over: ReadonlyArray<TurnRecord>) {
  const { open = [] } = yield* (yield* Reports).get(id)
  return open.find(({ key }) => rootOf(key) === root && !over.some((record) => record.key === key))
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
        if (!input.dryRun) yield* queue.redrive(row.id, dead.key, row.generation)
        return yield* data(
          [`${input.dryRun ? "would put" : "put"} ${dead.key} back into the queue of ${labelOf(row)}`],
          { ok: true, dryRun: input.dryRun, sandbox: row.id, turn: dead.key, how: "redriven" }
        )
      }
      const runs = yield* runsIn(row, root)
      const open = yield* openIn(row, root, runs)
      if (open !== undefined) return yield* kmError("KM-CLI-019", `${open.key} is ${open.state}`, "")
      const last = runs.at(-1)
      if (last === undefined) continue
      const { replay: kept } = last
      if (kept?._tag === "Show") {
        // The agent has done its work: what could not be shown is shown, and nothing is done twice.
        if (!input.dryRun) yield* recorded("turn.replay", row.id, `${last.key} shown`)
        const { text } = kept
        return yield* data(
          [isBlank(text) ? "The agent finished without a written answer." : text],
          { ok: true, dryRun: input.dryRun, sandbox: row.id, turn: last.key, how: "shown", text }
        )
      }
      if (kept === undefined) {
        const why = last.result === "parked" ? "its message is too long to be kept; send it again" : ""
        return yield* kmError("KM-CLI-019", `${last.key} is ${last.result}`, why)
      }
      const request = replayRequest({ key: last.key, request: kept.request }, runs.length + 1)
      if (!input.dryRun) {
        const { group, key } = request
        const terms = { generation: row.generation, seen: [] }
        yield* queue.accept(row.id, { key, group, body: encodeRequest(request) }, terms)
      }
      return yield* data(
        [`${input.dryRun ? "would run" : "runs"} ${last.key} again in ${labelOf(row)} as ${request.key}`],
        { ok: true, dryRun: input.dryRun, sandbox: row.id, turn: request.key, how: "replayed" }
      )
    }
    return yield* kmError("KM-CLI-011", `no sandbox knows the turn ${input.turn}`, "")
  }).pipe(Effect.provide(backend.ports("short")))
})
