/** What runtimes say of themselves, a row per sandbox. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { reader } from "../../adapters/disk/columns.ts"
import { Sqlite, type Statements } from "../../adapters/disk/Sqlite.ts"
import { SandboxId } from "../../domain/sandbox/Ids.ts"
import { noReport, SandboxReport } from "../../domain/sandbox/Sandbox.ts"
import { Reports } from "../../ports/Reports.ts"

const ReportJson = Schema.fromJsonString(SandboxReport)
const readReport = reader("report", ReportJson)
const encodeReport = Schema.encodeSync(ReportJson)
const readId = reader("sandbox id", SandboxId)

const find = (tables: Statements, id: SandboxId): SandboxReport | undefined => {
  const row = tables.get("SELECT report FROM sandbox_reports WHERE sandbox = ?", id)
  return row === undefined ? undefined : readReport(row["report"])
}

const make = Effect.gen(function*() {
  const sqlite = yield* Sqlite
  return Reports.of({
    put: (id, report) =>
      Effect.asVoid(sqlite.write("Reports", "put", (tables) =>
        tables.run(
          "INSERT OR REPLACE INTO sandbox_reports (sandbox, report) VALUES (?, ?)",
          id,
          encodeReport({ ...find(tables, id) ?? noReport, ...report })
        ))),
    get: (id) => sqlite.read("Reports", "get", (tables) => find(tables, id) ?? noReport),
    of: (ids) =>
      sqlite.read("Reports", "of", (tables) =>
        new Map(
          tables.all(
            "SELECT sandbox, report FROM sandbox_reports WHERE sandbox IN (SELECT value FROM json_each(?))",
            JSON.stringify(ids)
          ).map((row) => [readId(row["sandbox"]), readReport(row["report"])])
        )),
    remove: (id) =>
      Effect.asVoid(
        sqlite.write("Reports", "remove", (tables) => tables.run("DELETE FROM sandbox_reports WHERE sandbox = ?", id))
      )
  })
})

export const layer: Layer.Layer<Reports, never, Sqlite> = Layer.effect(Reports, make)
