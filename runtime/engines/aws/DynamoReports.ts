/** What runtimes say of themselves: an item per sandbox, whose parts are attributes that change singly. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { SandboxId } from "../../domain/sandbox/Ids.ts"
import { noReport, SandboxReport } from "../../domain/sandbox/Sandbox.ts"
import { Reports } from "../../ports/Reports.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { Dynamo } from "./Dynamo.ts"
import { reader } from "./rows.ts"
import { itemOf } from "./stateItems.ts"
import { stateTable } from "./tables.ts"

const readReport = reader("report", SandboxReport)
const readId = reader("sandbox id", SandboxId)
const encodeReport = Schema.encodeSync(SandboxReport)

const of = (operation: string): Purpose => ({ port: "Reports", operation })

const reportOf = (purpose: Purpose, item: Attributes) => readReport(purpose, { ...noReport, ...item })

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo
  return Reports.of({
    put: (id, report) => {
      const encoded: Attributes = encodeReport({ ...noReport, ...report })
      const set = Object.fromEntries(Object.entries(encoded).filter(([name]) => Object.hasOwn(report, name)))
      return Effect.asVoid(
        dynamo.change(of("put"), { _tag: "Update", table: stateTable, key: itemOf(id, "report"), changes: { set } })
      )
    },
    get: Effect.fnUntraced(function*(id) {
      const item = yield* dynamo.get(of("get"), stateTable, itemOf(id, "report"))
      return item === undefined ? noReport : yield* reportOf(of("get"), item)
    }),
    of: Effect.fnUntraced(function*(ids) {
      const purpose = of("of")
      const items = yield* dynamo.getAll(purpose, stateTable, [...new Set(ids)].map((id) => itemOf(id, "report")))
      const reports = yield* Effect.forEach(
        items,
        (item) => Effect.all([readId(purpose, item["sandbox_id"]), reportOf(purpose, item)])
      )
      return new Map(reports)
    }),
    remove: (id) =>
      Effect.asVoid(dynamo.change(of("remove"), { _tag: "Delete", table: stateTable, key: itemOf(id, "report") }))
  })
})

export const layer: Layer.Layer<Reports, never, Dynamo> = Layer.effect(Reports, make)
