/** Requests that overtake the queue: items that whoever serves them looks for, every 2 s. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import { whenRung } from "../../ports/Bell.ts"
import { controlKinds, ControlRequest, Controls } from "../../ports/Controls.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { Bells } from "./Bells.ts"
import { absent } from "./conditions.ts"
import { Dynamo } from "./Dynamo.ts"
import { makeArrivals, reader } from "./rows.ts"
import { itemOf, itemsOf, keysOf } from "./stateItems.ts"
import { stateTable } from "./tables.ts"

const lookEvery = Duration.seconds(2)

const readRequest = reader("control request", ControlRequest)
const encodeRequest = Schema.encodeSync(ControlRequest)

const of = (operation: string): Purpose => ({ port: "Controls", operation })

/** Written by a later version: whoever serves stops goes on past it. Before there were kinds there were stops. */
const isOfUnknownKind = (request: unknown): boolean =>
  typeof request === "object" && request !== null && "kind" in request && typeof request.kind === "string" &&
  !controlKinds.has(request.kind)

const byArrival = (a: Attributes, b: Attributes): number => String(a["arrival"]) < String(b["arrival"]) ? -1 : 1

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo
  const arrivals = makeArrivals()
  const bell = (yield* Bells).of("controls")
  const pending = Effect.fnUntraced(function*(sandbox: SandboxId) {
    const items = yield* dynamo.query(of("watch"), itemsOf(sandbox, "control"))
    const known = items.toSorted(byArrival).filter((item) => !isOfUnknownKind(item["request"]))
    return yield* Effect.forEach(known, (item) => readRequest(of("watch"), item["request"]))
  })

  return Controls.of({
    send: Effect.fn("Controls.send")(function*(sandbox, request) {
      const now = yield* Clock.currentTimeMillis
      const item = {
        ...itemOf(sandbox, "control", request.id),
        arrival: arrivals(now),
        request: encodeRequest(request)
      }
      yield* dynamo.change(of("send"), { _tag: "Put", table: stateTable, item, when: absent("item") })
      bell.ring()
    }),
    watch: (sandbox) =>
      Stream.suspend(() => {
        let emitted: ReadonlySet<string> = new Set()
        const next = whenRung(bell, Infinity, (now) =>
          Effect.map(pending(sandbox), (requests) => {
            const fresh = requests.filter(({ id }) => !emitted.has(id))
            // What was acknowledged is forgotten, so the set does not grow.
            emitted = new Set(requests.map(({ id }) => id))
            return { found: fresh, enough: fresh.length > 0, nextAt: now + Duration.toMillis(lookEvery) }
          }))
        return Stream.fromIterableEffectRepeat(next)
      }),
    acknowledge: (sandbox, id) =>
      Effect.asVoid(
        dynamo.change(of("acknowledge"), { _tag: "Delete", table: stateTable, key: itemOf(sandbox, "control", id) })
      ),
    clear: Effect.fn("Controls.clear")(function*(sandbox) {
      const items = yield* dynamo.query(of("clear"), itemsOf(sandbox, "control"))
      yield* dynamo.deleteAll(of("clear"), stateTable, keysOf(items))
    })
  })
})

export const layer: Layer.Layer<Controls, never, Bells | Dynamo> = Layer.effect(Controls, make)
