/** Leases as one item per sandbox, given by conditions on holder and epoch; times are the writers' clocks'. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SandboxId } from "../../domain/sandbox/Ids.ts"
import { grantLease, type Lease, Leases, type LeaseTiming } from "../../ports/Leases.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { absent, all, type Condition, is } from "./conditions.ts"
import { Dynamo } from "./Dynamo.ts"
import { reader } from "./rows.ts"
import { itemOf } from "./stateItems.ts"
import { stateTable } from "./tables.ts"

/** Each renewal costs a write, so they are rarer than on one machine (docs/architecture.md). */
const timing: LeaseTiming = { lengthMillis: 180_000, renewEveryMillis: 90_000 }

const Stored = Schema.Struct({
  sandbox_id: SandboxId,
  holder: Schema.String,
  epoch: Schema.Int,
  expires_at: Schema.Finite
})
const readStored = reader("lease", Stored)

const of = (operation: string): Purpose => ({ port: "Leases", operation })

const leaseOf = Effect.fnUntraced(function*(purpose: Purpose, item: Attributes | undefined) {
  if (item === undefined) return undefined
  const { epoch, expires_at, holder, sandbox_id } = yield* readStored(purpose, item)
  return { sandbox: sandbox_id, holder, epoch, expiresAt: expires_at } satisfies Lease
})

const as = ({ epoch, expiresAt, holder }: Lease): Condition =>
  all(is("holder", holder), is("epoch", epoch), is("expires_at", expiresAt))

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo
  const find = Effect.fnUntraced(function*(operation: string, sandbox: SandboxId) {
    return yield* leaseOf(of(operation), yield* dynamo.get(of(operation), stateTable, itemOf(sandbox, "lease")))
  })
  /** Whether the lease was still this one's. */
  const expireAt = Effect.fnUntraced(
    function*(operation: string, { epoch, holder, sandbox }: Lease, expiresAt: number) {
      const { done } = yield* dynamo.change(of(operation), {
        _tag: "Update",
        table: stateTable,
        key: itemOf(sandbox, "lease"),
        changes: { set: { expires_at: expiresAt } },
        when: all(is("holder", holder), is("epoch", epoch))
      })
      return done
    }
  )

  return Leases.of({
    timing,
    acquire: Effect.fn("Leases.acquire")(function*(sandbox, holder) {
      for (;;) {
        const found = yield* find("acquire", sandbox)
        const now = yield* Clock.currentTimeMillis
        const granted = grantLease(found, sandbox, holder, now, timing.lengthMillis)
        if (Option.isNone(granted)) return granted
        const { epoch, expiresAt } = granted.value
        const { done } = yield* dynamo.change(of("acquire"), {
          _tag: "Put",
          table: stateTable,
          item: { ...itemOf(sandbox, "lease"), holder, epoch, expires_at: expiresAt },
          when: found === undefined ? absent("item") : as(found)
        })
        // Else somebody else was quicker: look again at what was decided.
        if (done) return granted
      }
    }),
    renew: Effect.fn("Leases.renew")(function*(lease) {
      const expiresAt = (yield* Clock.currentTimeMillis) + timing.lengthMillis
      return (yield* expireAt("renew", lease, expiresAt)) ? Option.some({ ...lease, expiresAt }) : Option.none()
    }),
    release: Effect.fn("Leases.release")(function*(lease) {
      yield* expireAt("release", lease, yield* Clock.currentTimeMillis)
    }),
    current: (sandbox) => Effect.map(find("current", sandbox), Option.fromNullishOr),
    remove: (sandbox) =>
      Effect.asVoid(
        dynamo.change(of("remove"), { _tag: "Delete", table: stateTable, key: itemOf(sandbox, "lease") })
      )
  })
})

export const layer: Layer.Layer<Leases, never, Dynamo> = Layer.effect(Leases, make)
