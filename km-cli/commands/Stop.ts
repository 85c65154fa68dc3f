/** `km stop`: interrupts what the agent does now, in the whole sandbox or in one turn; the sandbox lives on. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import { TurnKey } from "../../runtime/domain/Ids.ts"
import { Controls } from "../../runtime/ports/Controls.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { data } from "../Output.ts"
import { labelOf, resolve } from "../Reference.ts"

export interface StopInput {
  readonly reference: string
  readonly turn: Option.Option<string>
  readonly dryRun: boolean
}

export const stop = Effect.fn("km.stop")(function*(input: StopInput) {
  const { backend } = yield* opened
  yield* backend.install
  const turn = Option.map(input.turn, (text) => Schema.decodeOption(TurnKey)(text))
  if (Option.isSome(turn) && Option.isNone(turn.value)) {
    return yield* kmError("KM-CLI-001", `${JSON.stringify(Option.getOrThrow(input.turn))} is no turn's key`, "")
  }
  const key = Option.getOrUndefined(Option.flatten(turn))
  return yield* Effect.gen(function*() {
    const row = yield* resolve(input.reference)
    const what = key === undefined ? "whatever runs" : `turn ${key}`
    if (input.dryRun) {
      return yield* data([`would stop ${what} in ${labelOf(row)}`], { ok: true, dryRun: true, id: row.id })
    }
    const controls = yield* Controls
    // Served late, it spares what was written after it.
    const at = yield* Clock.currentTimeMillis
    yield* controls.send(row.id, { id: randomUUID(), by: "operator", at, ...(key === undefined ? {} : { turn: key }) })
    return yield* data(
      [`asked ${row.alias ?? row.id} to stop ${what}; the thread says when it has`],
      { ok: true, id: row.id, ...(key === undefined ? {} : { turn: key }) }
    )
  }).pipe(Effect.provide(backend.ports("short")))
})
