/** Facts as items of their sandbox; changed only while they are what the changer saw. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SenderId } from "../../domain/sandbox/Ids.ts"
import { checkFact, Facts } from "../../ports/Facts.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { absent, is, startsWith } from "./conditions.ts"
import { Dynamo } from "./Dynamo.ts"
import { reader } from "./rows.ts"
import { itemOf, itemsOf } from "./stateItems.ts"
import { stateTable } from "./tables.ts"

const readStored = reader("fact", Schema.Struct({ sandbox_id: SenderId, fact: Schema.String, value: Schema.String }))

const of = (operation: string): Purpose => ({ port: "Facts", operation })

const factOf = Effect.fnUntraced(function*(purpose: Purpose, item: Attributes) {
  const { fact, sandbox_id, value } = yield* readStored(purpose, item)
  return { sandbox: sandbox_id, key: fact, value }
})

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo
  return Facts.of({
    get: Effect.fnUntraced(function*(sandbox, key) {
      const item = yield* dynamo.get(of("get"), stateTable, itemOf(sandbox, "fact", key))
      return item === undefined ? Option.none() : Option.some((yield* factOf(of("get"), item)).value)
    }),
    put: Effect.fnUntraced(function*(sandbox, key, value, only) {
      yield* checkFact(key, value)
      const { done } = yield* dynamo.change(of("put"), {
        _tag: "Put",
        table: stateTable,
        item: { ...itemOf(sandbox, "fact", key), fact: key, value },
        ...(only === undefined ? {} : { when: only.was === undefined ? absent("item") : is("value", only.was) })
      })
      return done
    }),
    list: Effect.fnUntraced(function*(prefix, sandbox) {
      const purpose = of("list")
      // Of all: a look at every item, for the control plane's rounds only.
      const items = yield* sandbox === undefined
        ? dynamo.scan(purpose, { table: stateTable, consistent: true, filter: startsWith("item", `fact#${prefix}`) })
        : dynamo.query(purpose, itemsOf(sandbox, "fact", prefix))
      const facts = yield* Effect.forEach(items, (item) => factOf(purpose, item))
      return facts.toSorted((a, b) => `${a.sandbox} ${a.key}` < `${b.sandbox} ${b.key}` ? -1 : 1)
    }),
    remove: (sandbox, key) =>
      Effect.asVoid(
        dynamo.change(of("remove"), { _tag: "Delete", table: stateTable, key: itemOf(sandbox, "fact", key) })
      )
  })
})

export const layer: Layer.Layer<Facts, never, Dynamo> = Layer.effect(Facts, make)
