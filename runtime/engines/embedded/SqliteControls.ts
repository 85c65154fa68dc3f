/** Requests that overtake the queue: a table and a doorbell. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { reader } from "../../adapters/disk/columns.ts"
import { Doorbell } from "../../adapters/disk/Doorbell.ts"
import { Sqlite } from "../../adapters/disk/Sqlite.ts"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import { whenRung } from "../../ports/Bell.ts"
import { controlKinds, ControlRequest, Controls } from "../../ports/Controls.ts"

const RequestJson = Schema.fromJsonString(ControlRequest)
const readRequest = reader("control request", RequestJson)
const encodeRequest = Schema.encodeSync(RequestJson)

const readKind = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ kind: Schema.String })))
/** Written by a later version: whoever serves stops goes on past it. */
const isOfUnknownKind = (stored: unknown): boolean =>
  Option.exists(readKind(stored), ({ kind }) => !controlKinds.has(kind))

/** The doorbell that says: look again. */
const topic = (sandbox: SandboxId): string => `controls-${sandbox}`

const make = Effect.gen(function*() {
  const sqlite = yield* Sqlite
  const doorbell = yield* Doorbell
  const pending = (sandbox: SandboxId) =>
    sqlite.read(
      "Controls",
      "watch",
      (tables) =>
        tables.all("SELECT request FROM controls WHERE sandbox = ? ORDER BY seq", sandbox)
          .flatMap((row) => isOfUnknownKind(row["request"]) ? [] : [readRequest(row["request"])])
    )

  return Controls.of({
    send: (sandbox, request) =>
      Effect.map(
        sqlite.write("Controls", "send", (tables) =>
          tables.run(
            "INSERT OR IGNORE INTO controls (sandbox, id, request) VALUES (?, ?, ?)",
            sandbox,
            request.id,
            encodeRequest(request)
          )),
        () => doorbell.topic(topic(sandbox)).ring()
      ),
    watch: (sandbox) =>
      Stream.suspend(() => {
        const bell = doorbell.topic(topic(sandbox))
        let emitted: ReadonlySet<string> = new Set()
        const next = whenRung(bell, Infinity, () =>
          Effect.map(pending(sandbox), (requests) => {
            const fresh = requests.filter(({ id }) => !emitted.has(id))
            // What was acknowledged is forgotten, so the set does not grow.
            emitted = new Set(requests.map(({ id }) => id))
            return { found: fresh, enough: fresh.length > 0, nextAt: Infinity }
          }))
        return Stream.fromIterableEffectRepeat(next)
      }),
    acknowledge: (sandbox, id) =>
      Effect.asVoid(
        sqlite.write("Controls", "acknowledge", (tables) =>
          tables.run("DELETE FROM controls WHERE sandbox = ? AND id = ?", sandbox, id))
      ),
    clear: (sandbox) =>
      Effect.andThen(
        sqlite.write("Controls", "clear", (tables) => tables.run("DELETE FROM controls WHERE sandbox = ?", sandbox)),
        doorbell.forget(topic(sandbox))
      )
  })
})

export const layer: Layer.Layer<Controls, never, Sqlite | Doorbell> = Layer.effect(Controls, make)
