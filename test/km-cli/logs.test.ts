import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, FileSystem, Logger, Path } from "effect"
import { StoreError } from "../../runtime/ports/StoreError.ts"
import { World } from "../support/ControlWorld.ts"
import { TestKm } from "../support/TestKm.ts"

/** What our programs write on standard error for an effect: their own logger, one line an entry. */
const written = Effect.fnUntraced(function*(effect: Effect.Effect<void>) {
  const lines: Array<string> = []
  const keep = Logger.map(Logger.formatJson, (line) => void lines.push(line))
  yield* Effect.provide(effect, Logger.layer([keep]))
  return lines
})

const disk = new Error("the store answered 13", { cause: new Error("SQLITE_FULL: database or disk is full") })
const failure = new StoreError({
  port: "Ledger",
  operation: "insert",
  reason: "Full",
  detail: "no space",
  cause: disk
})

const entry = (second: number, message: string) =>
  JSON.stringify({ timestamp: `2026-05-01T00:00:0${second}.000Z`, level: "INFO", message })

/** `km logs` over the logs of two parts. */
const withLogs = <A, E, R>(
  logs: Readonly<Record<string, ReadonlyArray<string>>>,
  body: (km: TestKm) => Effect.Effect<A, E, R>
) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const root = yield* fs.makeTempDirectoryScoped()
    yield* fs.makeDirectory(path.join(root, "run/logs"), { recursive: true })
    for (const [part, lines] of Object.entries(logs)) {
      yield* fs.writeFileString(path.join(root, "run/logs", `${part}.log`), lines.map((line) => `${line}\n`).join(""))
    }
    const km = new TestKm(new World())
    km.env = { HOME: "/nowhere", KM_STATE: root }
    return yield* body(km)
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

describe("km logs", () => {
  it.effect("shows the whole chain of causes, for people and as JSON", () =>
    Effect.gen(function*() {
      const lines = yield* written(Effect.logError("the pipeline crashed", Cause.die(failure)))
      yield* withLogs({ runtime: lines }, (km) =>
        Effect.gen(function*() {
          const { out } = yield* km.run("logs")
          const text = out.join("\n")
          for (const link of ["the pipeline crashed", "no space", "the store answered 13", "SQLITE_FULL: database"]) {
            assert.include(text, link)
          }
          const json: { lines: ReadonlyArray<{ cause: string }> } = JSON.parse(
            (yield* km.run("logs", "--json")).out.join("\n")
          )
          assert.include(json.lines[0]?.cause, "SQLITE_FULL: database or disk is full")
        }))
    }))

  it.effect("keeps what is none of our logger's beside the line that it followed", () =>
    withLogs({
      bridge: [entry(1, "first"), entry(3, "third")],
      runtime: [entry(2, "second"), "Error: out of memory", "    at main.ts:1", entry(4, "fourth\u001b[2J")]
    }, (km) =>
      Effect.gen(function*() {
        const { out } = yield* km.run("logs")
        assert.deepStrictEqual(out.map((line) => line.replace(/^\S+Z INFO {2}/, "")), [
          "bridge: first",
          "runtime: second",
          "runtime: Error: out of memory",
          "runtime:     at main.ts:1",
          "bridge: third",
          "runtime: fourth"
        ])
        assert.lengthOf((yield* km.run("logs", "-n", "2")).out, 2)
        assert.deepStrictEqual((yield* km.run("logs", "-n", "0")).out, [])
        assert.strictEqual((yield* km.run("logs", "-n", "-1")).exit, 2)
      })))
})
