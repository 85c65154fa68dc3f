/** The relay's spool: an item per message with all its recipients. The courier fills it in the step that fills the mailboxes. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { whenRung } from "../../ports/Bell.ts"
import { maxMailWaitMillis } from "../../ports/Mail.ts"
import { MailSpool, type SpooledMail, type SpoolOutcome } from "../../ports/MailSpool.ts"
import type { Purpose } from "./Aws.ts"
import { Bells, mailTopic, spoolTopic } from "./Bells.ts"
import { Bucket } from "./Bucket.ts"
import { is, startsWith } from "./conditions.ts"
import { Dynamo, type Write } from "./Dynamo.ts"
import {
  arrivalWrites,
  boxKey,
  doneKey,
  mailKey,
  ownObject,
  readBox,
  readSpooled,
  type Recipient,
  type Spooled,
  spoolPartition,
  waitingKey
} from "./mailRows.ts"
import { ttlOf } from "./rows.ts"
import { stateTable } from "./tables.ts"

/** Mail of other processes is looked for this often. */
const lookEveryMillis = 5_000
/** What a relay has taken or given up stays known this long, so that the same envelope is not sent again. */
const keptMillis = 30 * 24 * 3_600_000

/** Of 100 writes of a step, two for each. */
const noticesPerStep = 45

const of = (operation: string): Purpose => ({ port: "MailSpool", operation })

const waitingOf = ({ recipients }: Spooled) =>
  Object.entries(recipients).filter(([, { state }]) => state === "waiting").toSorted(([a], [b]) => a < b ? -1 : 1)

const dueOf = (row: Spooled, now: number): ReadonlyArray<SpooledMail> => {
  const due = waitingOf(row).filter(([, { next_at }]) => next_at <= now)
  return due.length === 0 ? [] : [{
    owner: row.owner,
    id: row.mail_id,
    from: row.mail_from,
    recipients: due.map(([address, { attempts }]) => ({ address, attempts })),
    createdAt: row.created_at
  }]
}

/** What is settled already stays so. */
const settledBy = (row: Spooled, outcomes: ReadonlyArray<SpoolOutcome>): Spooled => {
  const changed = outcomes.flatMap(({ address, nextAt, reply, state }): ReadonlyArray<readonly [string, Recipient]> => {
    const before = Object.hasOwn(row.recipients, address) ? row.recipients[address] : undefined
    return before?.state === "waiting"
      ? [[address, { state, reply, next_at: nextAt, attempts: before.attempts + 1 }]]
      : []
  })
  return { ...row, version: row.version + 1, recipients: { ...row.recipients, ...Object.fromEntries(changed) } }
}

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo
  const bucket = yield* Bucket
  const bells = yield* Bells

  const rowOf = Effect.fnUntraced(function*(purpose: Purpose, { id, owner }: SpooledMail) {
    const item = yield* dynamo.get(purpose, stateTable, waitingKey(owner, id))
    return item === undefined ? undefined : yield* readSpooled(purpose, item)
  })

  return MailSpool.of({
    due: Effect.fnUntraced(function*(limit, wait) {
      const purpose = of("due")
      const until = (yield* Clock.currentTimeMillis) + Math.min(Duration.toMillis(wait), maxMailWaitMillis)
      return yield* whenRung(bells.of(spoolTopic), until, (now) =>
        Effect.gen(function*() {
          const items = yield* dynamo.query(purpose, {
            table: stateTable,
            key: [is("sandbox_id", spoolPartition), startsWith("item", "wait#")],
            consistent: true
          })
          const rows = yield* Effect.forEach(items, (item) => readSpooled(purpose, item))
          const found = rows
            .toSorted((a, b) => a.created_at - b.created_at || (a.mail_id < b.mail_id ? -1 : 1))
            .flatMap((row) => dueOf(row, now))
            .slice(0, limit)
          const soonest = rows.flatMap((row) => waitingOf(row).map(([, { next_at }]) => next_at))
          return {
            found,
            enough: found.length > 0,
            nextAt: Math.max(now + 1, Math.min(now + lookEveryMillis, ...soonest))
          }
        }))
    }),
    raw: Effect.fnUntraced(function*(mail) {
      const row = yield* rowOf(of("raw"), mail)
      return row === undefined ? Option.none() : yield* bucket.get(of("raw"), row.object)
    }),
    settle: Effect.fnUntraced(function*(mail, outcomes, notices) {
      const purpose = of("settle")
      const { id, owner } = mail
      /** Bytes of notices that no row names yet. */
      const objects = new Map<string, string>()
      for (;;) {
        const row = yield* rowOf(purpose, mail)
        // Settled already, or gone with its owner, who is told nothing any more.
        if (row === undefined) return yield* bucket.remove(purpose, [...objects.values()])
        const now = yield* Clock.currentTimeMillis
        const next = settledBy(row, outcomes)
        const over = waitingOf(next).length === 0
        const known = yield* dynamo.getAll(purpose, stateTable, [
          boxKey(owner),
          ...notices.map((notice) => mailKey(owner, notice.id))
        ])
        const counted = known.find(({ item }) => item === boxKey(owner)["item"])
        const box = counted === undefined ? undefined : yield* readBox(purpose, counted)
        const arrived = new Set(known.map(({ item }) => item))
        const fresh = notices.filter((notice) => !arrived.has(mailKey(owner, notice.id)["item"]))
        const arrivals = yield* Effect.forEach(
          fresh.slice(0, noticesPerStep),
          Effect.fnUntraced(function*(notice) {
            const object = objects.get(notice.id) ?? ownObject(owner)
            if (!objects.has(notice.id)) yield* bucket.putBytes(purpose, object, notice.raw)
            objects.set(notice.id, object)
            return { id: notice.id, object, size: notice.raw.length }
          })
        )
        const same = is("version", row.version)
        const key = waitingKey(owner, id)
        // What one step cannot hold comes in steps before it; each notice arrives once.
        const outcome: ReadonlyArray<Write> = fresh.length > arrivals.length
          ? [{ _tag: "Check", table: stateTable, key, when: same }]
          : over
          ? [
            { _tag: "Delete", table: stateTable, key, when: same },
            { _tag: "Put", table: stateTable, item: { ...doneKey(owner, id), ttl_expiry: ttlOf(now + keptMillis) } }
          ]
          : [{ _tag: "Put", table: stateTable, item: { ...key, ...next }, when: same }]
        const step = yield* dynamo.transact(purpose, [...arrivalWrites(owner, arrivals, box, now), ...outcome])
        if (!step.done) continue
        for (const notice of arrivals) objects.delete(notice.id)
        if (arrivals.length > 0) yield* Effect.sync(() => bells.of(mailTopic(owner)).ring())
        if (fresh.length > arrivals.length) continue
        if (over) yield* bucket.remove(purpose, [row.object])
        return
      }
    })
  })
})

export const layer: Layer.Layer<MailSpool, never, Bells | Bucket | Dynamo> = Layer.effect(MailSpool, make)
