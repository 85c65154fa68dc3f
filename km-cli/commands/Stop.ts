/** `km stop`: interrupts what the agent does now, in the whole sandbox or in one turn; the sandbox lives on. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import { TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import type { OpenTurn } from "../../runtime/domain/turn/TurnRecord.ts"
import { Controls } from "../../runtime/ports/Controls.ts"
import { Reports } from "../../runtime/ports/Reports.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { TurnRecords } from "../../runtime/ports/TurnRecords.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { data, talk } from "../Output.ts"
import { recorded } from "../Recorded.ts"
import { labelOf, resolve } from "../Reference.ts"
import * as UpFile from "../up/UpFile.ts"

export interface StopInput {
  readonly reference: string
  readonly turn: Option.Option<string>
  readonly dryRun: boolean
}

export const stop = Effect.fn("km.stop")(function*(input: StopInput) {
  const { backend } = yield* opened
  const install = yield* backend.install
  const turn = Option.map(input.turn, (text) => Schema.decodeOption(TurnKey)(text))
  if (Option.isSome(turn) && Option.isNone(turn.value)) {
    return yield* kmError("KM-CLI-001", `${JSON.stringify(Option.getOrThrow(input.turn))} is no turn's key`, "")
  }
  const key = Option.getOrUndefined(Option.flatten(turn))
  return yield* Effect.gen(function*() {
    const row = yield* resolve(input.reference)
    const name = row.alias ?? row.id
    const turns = yield* stoppable(row, key)
    const json = { ok: true, dryRun: input.dryRun, id: row.id, ...(key === undefined ? {} : { turn: key }), turns }
    if (turns.length === 0) {
      const what = key === undefined ? `nothing runs or waits in ${name}` : yield* overText(row, key)
      return yield* data([`${what}; there is nothing to stop`], { ...json, asked: false })
    }
    const what = key === undefined ? `${turns.length} ${turns.length === 1 ? "turn" : "turns"}` : `turn ${key}`
    if (input.dryRun) return yield* data([`would stop ${what} in ${labelOf(row)}`], { ...json, asked: false })
    yield* recorded("turn.stop", row.id, turns.join(" "))
    const controls = yield* Controls
    // Served late, it spares what was written after it.
    const at = yield* Clock.currentTimeMillis
    yield* controls.send(row.id, {
      kind: "stop",
      id: randomUUID(),
      by: "operator",
      at,
      ...(key === undefined ? {} : { turn: key })
    })
    if (install.local && Option.isNone(yield* UpFile.running(backend.paths.run))) {
      yield* talk("km up is not running; the stop is served when it runs again")
    }
    return yield* data([`asked ${name} to stop ${what}; the thread says when it has`], { ...json, asked: true })
  }).pipe(Effect.provide(backend.ports("short")))
})

const beforeItsEnd: ReadonlyArray<OpenTurn["state"]> = ["received", "starting", "running"]

/** Keys of the turns that a stop would end: those whose agent has not answered, and messages that wait in the queue. */
const stoppable = Effect.fnUntraced(function*(row: SandboxRow, turn: TurnKey | undefined) {
  const { open = [] } = yield* (yield* Reports).get(row.id)
  const hasQueue = row.inventory.some(({ kind }) => kind === "queue")
  const queued = hasQueue ? yield* (yield* TurnQueue).keys(row.id) : []
  const keys = [...new Set([...open, ...queued].map(({ key }) => key))].filter((key) =>
    turn === undefined || key === turn
  )
  const records = yield* (yield* TurnRecords).among(keys.map((key) => ({ sandbox: row.id, key })))
  const over = new Set([
    ...open.filter(({ state }) => !beforeItsEnd.includes(state)).map(({ key }) => key),
    // What the runtime has still to take from its queue.
    ...[...records.values()].map(({ key }) => key)
  ])
  return keys.filter((key) => !over.has(key))
})

/** Why one turn cannot be stopped: it is over. KM-CLI-011 when nobody has heard of it. */
const overText = Effect.fnUntraced(function*(row: SandboxRow, turn: TurnKey) {
  const found = yield* (yield* TurnRecords).get(row.id, turn)
  if (Option.isSome(found)) return `turn ${turn} is over (${found.value.result})`
  const { open = [] } = yield* (yield* Reports).get(row.id)
  const answered = open.find(({ key }) => key === turn)
  if (answered !== undefined) return `turn ${turn} is over (${answered.state})`
  return yield* kmError("KM-CLI-011", `${labelOf(row)} has no turn ${turn}`, "", `km status ${row.alias ?? row.id}`)
})
