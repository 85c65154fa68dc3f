/** `km list`: every sandbox of the install, one line each. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { reported } from "../../runtime/ports/Reports.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Scheduler } from "../../runtime/ports/Scheduler.ts"
import { endLine, endsOf } from "../at/EndNotes.ts"
import { opened } from "../Opened.ts"
import { columns, data, talk } from "../Output.ts"
import { firstCreate } from "../Programs.ts"
import { byAge, listCells, listHead, viewOf } from "../SandboxView.ts"

export const list = Effect.fn("km.list")(function*() {
  const { backend } = yield* opened
  yield* backend.install
  const { rows, schedules } = yield* Effect.gen(function*() {
    const sandboxes = yield* Sandboxes
    return { rows: yield* reported(yield* sandboxes.list), schedules: yield* (yield* Scheduler).list }
  }).pipe(Effect.provide(backend.ports("short")))
  const now = yield* Clock.currentTimeMillis
  const sorted = byAge(rows)
  if (rows.length === 0) yield* talk(`no sandboxes; make one: ${firstCreate()}`)
  yield* data(
    rows.length === 0 ? [] : columns([listHead, ...sorted.map((row) => listCells(row, now))]),
    { ok: true, sandboxes: sorted.map(viewOf) }
  )
  for (const schedule of schedules) {
    for (const end of endsOf(rows, schedule, now)) {
      yield* talk(`warning: schedule ${schedule.name}: ${endLine(end, schedule.zone, now)}`)
    }
  }
})
