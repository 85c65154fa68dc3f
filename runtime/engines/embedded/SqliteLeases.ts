/** Leases in a table: one row per sandbox, the last one given. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { integer, reader, text } from "../../adapters/disk/columns.ts"
import { Sqlite, type Statements } from "../../adapters/disk/Sqlite.ts"
import { SandboxId } from "../../domain/sandbox/Ids.ts"
import { grantLease, type Lease, Leases, type LeaseTiming } from "../../ports/Leases.ts"

/** A renewal is one small write; a killed runtime is replaced within half a minute (docs/architecture.md). */
const timing: LeaseTiming = { lengthMillis: 30_000, renewEveryMillis: 10_000 }

const readSandbox = reader("sandbox id", SandboxId)

const find = (tables: Statements, sandbox: string): Lease | undefined => {
  const row = tables.get("SELECT * FROM leases WHERE sandbox = ?", sandbox)
  return row === undefined ? undefined : {
    sandbox: readSandbox(row["sandbox"]),
    holder: text(row, "holder"),
    epoch: integer(row, "epoch"),
    expiresAt: integer(row, "expires_at")
  }
}

const store = (tables: Statements, lease: Lease): void =>
  void tables.run(
    "INSERT OR REPLACE INTO leases (sandbox, holder, epoch, expires_at) VALUES (?, ?, ?, ?)",
    lease.sandbox,
    lease.holder,
    lease.epoch,
    lease.expiresAt
  )

/** False when it was given to another holder since (`holdsLease`), or is gone. */
const expireAt = (tables: Statements, { epoch, expiresAt, holder, sandbox }: Lease): boolean =>
  tables.run(
    "UPDATE leases SET expires_at = ? WHERE sandbox = ? AND holder = ? AND epoch = ?",
    expiresAt,
    sandbox,
    holder,
    epoch
  ) > 0

const make = Effect.gen(function*() {
  const sqlite = yield* Sqlite
  const write = <A>(operation: string, change: (tables: Statements, now: number) => A) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => sqlite.write("Leases", operation, (tables) => change(tables, now)))

  return Leases.of({
    timing,
    acquire: (sandbox, holder) =>
      write("acquire", (tables, now) => {
        const granted = grantLease(find(tables, sandbox), sandbox, holder, now, timing.lengthMillis)
        if (Option.isSome(granted)) store(tables, granted.value)
        return granted
      }),
    renew: (lease) =>
      write("renew", (tables, now) => {
        const renewed = { ...lease, expiresAt: now + timing.lengthMillis }
        return expireAt(tables, renewed) ? Option.some(renewed) : Option.none()
      }),
    release: (lease) =>
      Effect.asVoid(write("release", (tables, now) => expireAt(tables, { ...lease, expiresAt: now }))),
    current: (sandbox) => sqlite.read("Leases", "current", (tables) => Option.fromNullishOr(find(tables, sandbox))),
    remove: (sandbox) =>
      Effect.asVoid(write("remove", (tables) => tables.run("DELETE FROM leases WHERE sandbox = ?", sandbox)))
  })
})

export const layer: Layer.Layer<Leases, never, Sqlite> = Layer.effect(Leases, make)
