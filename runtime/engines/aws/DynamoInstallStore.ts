/** The install's settings, and the heads of its audit, in partitions that are no sandbox's. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { ChainHead } from "../../domain/install/Audit.ts"
import { Install } from "../../domain/install/Install.ts"
import { headRefused, InstallMissing, InstallStore } from "../../ports/InstallStore.ts"
import type { Attributes } from "./attributes.ts"
import { Aws, type Purpose } from "./Aws.ts"
import { absent, is, startsWith } from "./conditions.ts"
import { Dynamo } from "./Dynamo.ts"
import { reader } from "./rows.ts"
import { stateTable } from "./tables.ts"

const InstallJson = Schema.fromJsonString(Install)
const readInstall = reader("install", InstallJson)
const encodeInstall = Schema.encodeSync(InstallJson)
const HeadJson = Schema.fromJsonString(ChainHead)
const readHead = reader("head of an audit's chain", HeadJson)
const encodeHead = Schema.encodeSync(HeadJson)

const settings: Attributes = { sandbox_id: "install", item: "settings" }
const heads = "audit-heads"
const headKey = (chain: string): Attributes => ({ sandbox_id: heads, item: `head#${chain}` })

const of = (operation: string): Purpose => ({ port: "InstallStore", operation })

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo
  const aws = yield* Aws
  return InstallStore.of({
    get: Effect.gen(function*() {
      const item = yield* dynamo.get(of("get"), stateTable, settings)
      if (item === undefined) return yield* new InstallMissing({ where: aws.named(stateTable.name) })
      return yield* readInstall(of("get"), item["install"])
    }),
    put: (install) =>
      Effect.asVoid(dynamo.change(of("put"), {
        _tag: "Put",
        table: stateTable,
        item: { ...settings, install: encodeInstall(install) }
      })),
    heads: Effect.gen(function*() {
      const items = yield* dynamo.query(of("heads"), {
        table: stateTable,
        key: [is("sandbox_id", heads), startsWith("item", "head#")],
        consistent: true
      })
      return yield* Effect.forEach(items, (item) => readHead(of("heads"), item["head"]))
    }),
    putHead: Effect.fn("InstallStore.putHead")(function*(head) {
      const key = headKey(head.chain)
      for (;;) {
        const item = yield* dynamo.get(of("putHead"), stateTable, key)
        const found = item === undefined ? undefined : yield* readHead(of("putHead"), item["head"])
        const refused = headRefused(found, head)
        if (refused !== undefined) return yield* refused
        const { done } = yield* dynamo.change(of("putHead"), {
          _tag: "Put",
          table: stateTable,
          item: { ...key, head: encodeHead(head) },
          when: item === undefined ? absent("item") : is("head", item["head"])
        })
        // Else another one was written meanwhile: it is asked whether this one may follow it.
        if (done) return
      }
    })
  })
})

export const layer: Layer.Layer<InstallStore, never, Aws | Dynamo> = Layer.effect(InstallStore, make)
