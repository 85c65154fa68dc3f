/** Certified keys as one row per subject, and signed revocations as items that are never replaced. Readers verify both. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { KeyPurpose } from "../../domain/identity/Certificate.ts"
import { KeyId, SenderId } from "../../domain/sandbox/Ids.ts"
import { type DirectoryKey, makeDirectoryCopy } from "../../ports/Directory.ts"
import { Identities, revocationConflict, tombstoneMillis } from "../../ports/Identities.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { absent, is, startsWith } from "./conditions.ts"
import { Dynamo } from "./Dynamo.ts"
import { makeArrivals, reader } from "./rows.ts"
import { identitiesTable, stateTable } from "./tables.ts"

const StoredKey = Schema.Struct({
  purpose: KeyPurpose,
  key_id: KeyId,
  certificate: Schema.String,
  signature: Schema.String,
  /** Sorts keys by when they were first put. */
  arrival: Schema.String,
  retired_at: Schema.optionalKey(Schema.Finite)
})
type StoredKey = typeof StoredKey.Type
const decodeKey = Schema.decodeUnknownOption(StoredKey)
const decodeSubject = Schema.decodeUnknownOption(SenderId)
const readRevocation = reader("revocation", Schema.Struct({ revocation: Schema.String, signature: Schema.String }))

const of = (operation: string): Purpose => ({ port: "Identities", operation })

/** A damaged key says nothing to anybody, and must not take the others along. */
const keysOf = (item: Attributes | undefined): ReadonlyArray<readonly [string, StoredKey]> => {
  const keys = item?.["keys"]
  return typeof keys !== "object" || keys === null ?
    [] :
    Object.entries(keys).flatMap(([name, value]) =>
      Option.toArray(Option.map(decodeKey(value), (key) => [name, key] as const))
    )
}

const isOver = ({ retired_at }: StoredKey, now: number): boolean =>
  retired_at !== undefined && retired_at + tombstoneMillis <= now

/** Its partition is no sandbox's. */
const revocations = "revocations"
const revocationKey = (number: number): Attributes => ({
  sandbox_id: revocations,
  item: `revocation#${String(number).padStart(12, "0")}`
})

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo
  const arrivals = makeArrivals()

  const { directory, directoryNow, writing } = makeDirectoryCopy(Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const items = yield* dynamo.scan(of("directory"), { table: identitiesTable, consistent: true })
    const keys = items.flatMap((item) =>
      Option.toArray(decodeSubject(item["sandbox_id"])).flatMap((subject) =>
        keysOf(item).filter(([, key]) => !isOver(key, now)).map(([, key]) => ({ subject, key }))
      )
    ).toSorted((a, b) => a.key.arrival < b.key.arrival ? -1 : 1).map((
      { key: { certificate, key_id, purpose, signature }, subject }
    ): DirectoryKey => ({ subject, purpose, keyId: key_id, key: { certificate, signature } }))
    // Read after the keys: a word that came meanwhile must not be missed.
    const said = yield* dynamo.query(of("directory"), {
      table: stateTable,
      key: [is("sandbox_id", revocations), startsWith("item", "revocation#")],
      consistent: true
    })
    const read = yield* Effect.forEach(said, (item) => readRevocation(of("directory"), item))
    return { keys, revocations: read }
  }))

  /** Changes one subject's keys in one step, whoever else does. */
  const change = Effect.fnUntraced(function*(
    operation: string,
    subject: string,
    to: (keys: ReadonlyArray<readonly [string, StoredKey]>, now: number) => ReadonlyArray<readonly [string, StoredKey]>
  ): Effect.fn.Return<void, StoreError> {
    const purpose = of(operation)
    for (;;) {
      const item = yield* dynamo.get(purpose, identitiesTable, { sandbox_id: subject })
      const before = keysOf(item)
      const keys = to(before, yield* Clock.currentTimeMillis)
      if (item === undefined && keys.length === 0) return
      const { done } = yield* dynamo.change(purpose, {
        _tag: "Put",
        table: identitiesTable,
        item: { ...item, sandbox_id: subject, keys: Object.fromEntries(keys) },
        when: item === undefined
          ? absent("sandbox_id")
          : item["written_by"] === undefined
          ? absent("written_by")
          : is("written_by", item["written_by"])
      })
      if (done) return
    }
  })

  return Identities.of({
    directory,
    directoryNow,
    put: (subject, purpose, keyId, { certificate, signature }) =>
      writing(change("put", subject, (keys, now) => {
        const name = `${purpose}#${keyId}`
        const arrival = keys.find(([other]) => other === name)?.[1].arrival ?? arrivals(now)
        const key: StoredKey = { purpose, key_id: keyId, certificate, signature, arrival }
        return [...keys.filter(([other]) => other !== name), [name, key]]
      })),
    revoke: Effect.fnUntraced(function*(number, { revocation, signature }) {
      const item = { ...revocationKey(number), revocation, signature }
      const put = yield* dynamo.change(of("revoke"), { _tag: "Put", table: stateTable, item, when: absent("item") })
      if (!put.done && put.item?.["revocation"] !== revocation) return yield* revocationConflict(number)
    }, writing),
    retire: (subject) =>
      writing(change("retire", subject, (keys, now) =>
        // Whoever goes takes its tombstones along that are over; a reader passes over them until then.
        keys.filter(([, key]) => !isOver(key, now)).map(([name, key]) =>
          [name, key.retired_at === undefined ? { ...key, retired_at: now } : key] as const
        )))
  })
})

export const layer: Layer.Layer<Identities, never, Dynamo> = Layer.effect(Identities, make)
