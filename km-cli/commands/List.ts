/** `km list`: every sandbox of the install, one line each. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { reported } from "../../runtime/ports/Reports.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { opened } from "../Opened.ts"
import { columns, data, talk } from "../Output.ts"
import { byAge, listCells, listHead, viewOf } from "../SandboxView.ts"

export const list = Effect.fn("km.list")(function*() {
  const { backend } = yield* opened
  yield* backend.install
  const rows = yield* Effect.flatMap(Sandboxes, (sandboxes) => sandboxes.list).pipe(
    Effect.flatMap(reported),
    Effect.provide(backend.ports("short"))
  )
  const now = yield* Clock.currentTimeMillis
  const sorted = byAge(rows)
  if (rows.length === 0) yield* talk("no sandboxes; make one: km create profiles/demo.yaml --alias demo")
  yield* data(
    rows.length === 0 ? [] : columns([listHead, ...sorted.map((row) => listCells(row, now))]),
    { ok: true, sandboxes: sorted.map(viewOf) }
  )
})
