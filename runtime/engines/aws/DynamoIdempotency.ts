/** First writer wins, by a condition on what the writer saw. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { createHash, randomUUID } from "node:crypto"
import { beginIdempotent, Idempotency, type IdempotencyRecord, idOf } from "../../ports/Idempotency.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { absent, all, type Changes, type Condition, exists, is } from "./conditions.ts"
import { Dynamo } from "./Dynamo.ts"
import { reader, ttlOf } from "./rows.ts"
import { noncesTable } from "./tables.ts"

const Stored = Schema.Struct({
  body_hash: Schema.String,
  token: Schema.String,
  started_at: Schema.Finite,
  lease_until: Schema.Finite,
  result: Schema.optionalKey(Schema.String),
  expires_at: Schema.Finite
})
const readStored = reader("record of a request", Stored)

const of = (operation: string): Purpose => ({ port: "Idempotency", operation })

/** Of one length, whatever scope and key are: a key of a table has 2 KiB at most. */
const keyOf = (scope: string, key: string): Attributes => ({
  nonce: `once#${createHash("sha256").update(idOf(scope, key)).digest("base64url")}`
})

/** Every change changes one of these: the record is as it was seen. */
const asSeen = (found: IdempotencyRecord | undefined): Condition =>
  found === undefined ? absent("nonce") : all(
    is("token", found.token),
    is("lease_until", found.leaseUntil),
    is("expires_at", found.expiresAt),
    found.result === undefined ? absent("result") : exists("result")
  )

const open = (token: string): Condition => all(is("token", token), absent("result"))

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo
  const find = Effect.fnUntraced(function*(operation: string, key: Attributes) {
    const item = yield* dynamo.get(of(operation), noncesTable, key)
    if (item === undefined) return undefined
    const { body_hash, expires_at, lease_until, result, started_at, token } = yield* readStored(of(operation), item)
    return {
      bodyHash: body_hash,
      token,
      startedAt: started_at,
      leaseUntil: lease_until,
      expiresAt: expires_at,
      ...(result === undefined ? {} : { result })
    } satisfies IdempotencyRecord
  })
  const change = Effect.fnUntraced(function*(operation: string, key: Attributes, changes: Changes, when: Condition) {
    const { done } = yield* dynamo.change(of(operation), { _tag: "Update", table: noncesTable, key, changes, when })
    return done
  })

  return Idempotency.of({
    begin: Effect.fn("Idempotency.begin")(function*(scope, name, bodyHash, leaseMillis) {
      const key = keyOf(scope, name)
      const token = randomUUID()
      // Most are fresh: only who finds a record looks at it.
      let found: IdempotencyRecord | undefined
      for (;;) {
        const now = yield* Clock.currentTimeMillis
        const { begin, record } = beginIdempotent(found, { bodyHash, token, now, leaseMillis })
        if (record === undefined) return begin
        const { done } = yield* dynamo.change(of("begin"), {
          _tag: "Put",
          table: noncesTable,
          item: {
            ...key,
            body_hash: record.bodyHash,
            token: record.token,
            started_at: record.startedAt,
            lease_until: record.leaseUntil,
            expires_at: record.expiresAt,
            ttl_expiry: ttlOf(record.expiresAt)
          },
          when: asSeen(found)
        })
        if (done) return begin
        found = yield* find("begin", key)
      }
    }),
    complete: Effect.fn("Idempotency.complete")(function*(scope, name, token, result, ttlMillis) {
      const expiresAt = (yield* Clock.currentTimeMillis) + ttlMillis
      const set = { result, expires_at: expiresAt, ttl_expiry: ttlOf(expiresAt) }
      yield* change("complete", keyOf(scope, name), { set }, open(token))
    }),
    release: Effect.fn("Idempotency.release")(function*(scope, name, token, restMillis) {
      const key = keyOf(scope, name)
      const found = yield* find("release", key)
      if (found === undefined) return
      const leaseUntil = Math.min(found.leaseUntil, (yield* Clock.currentTimeMillis) + restMillis)
      yield* change("release", key, { set: { lease_until: leaseUntil } }, open(token))
    }),
    extend: Effect.fn("Idempotency.extend")(function*(scope, name, token, leaseMillis) {
      const leaseUntil = (yield* Clock.currentTimeMillis) + leaseMillis
      return yield* change("extend", keyOf(scope, name), { set: { lease_until: leaseUntil } }, open(token))
    }),
    abandon: (scope, name, token) =>
      Effect.asVoid(dynamo.change(of("abandon"), {
        _tag: "Delete",
        table: noncesTable,
        key: keyOf(scope, name),
        when: open(token)
      }))
  })
})

export const layer: Layer.Layer<Idempotency, never, Dynamo> = Layer.effect(Idempotency, make)
