/**
 * Mail on its way, as items of one partition: what is sent is one step, what is delivered another. Bytes are an object, of
 * which each mailbox gets its own copy.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { randomUUID } from "node:crypto"
import { SenderId } from "../../domain/sandbox/Ids.ts"
import { whenRung } from "../../ports/Bell.ts"
import {
  type Envelope,
  Mailer,
  type MailLimits,
  type MailNote,
  MailOutbox,
  maxMailWaitMillis,
  messageTooLarge,
  type OutgoingMail,
  sizeSentence,
  type WaitingMail
} from "../../ports/Mail.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { Bells, mailTopic, outboxTopic, spoolTopic } from "./Bells.ts"
import { Bucket } from "./Bucket.ts"
import { absent, exists, is, startsWith } from "./conditions.ts"
import { Dynamo, type Write } from "./Dynamo.ts"
import {
  arrivalWrites,
  boxKey,
  doneKey,
  mailKey,
  noteWrite,
  outboxPartition,
  outgoingObject,
  ownObject,
  readBox,
  readOutgoing,
  readSpooled,
  type Recipient,
  type Spooled,
  spoolPartition,
  waitingKey
} from "./mailRows.ts"
import { makeArrivals, reader, ttlOf } from "./rows.ts"
import { stateTable } from "./tables.ts"

/** As the embedded engine has it; what leaves by a relay has the relay's own limit. */
export const mailLimits: MailLimits = { maxMessageBytes: 96 * 1024 * 1024 }

/** Mail of other processes is looked for this often. */
const lookEveryMillis = 5_000
/** Rows that one look reads, before it reads all. */
const lookedAt = 200
/** DynamoDB's limit of one transaction. */
const maxWrites = 100
/** What was put aside by a process that died before it was sent is nobody's after this. */
const asideMillis = 24 * 3_600_000

/** Where the rows of a large sending wait until it is committed. */
const asidePartition = "mail-outbox-aside"
const prefix = "out#"
/** Sorts before everything that waits. */
const commitPrefix = `${prefix}!`

const of = (port: "Mailer" | "MailOutbox", operation: string): Purpose => ({ port, operation })

const readOwner = reader("mailbox", SenderId)

const rowKey = (item: string): Attributes => ({ sandbox_id: outboxPartition, item })
/** The row that a receipt is of. */
const itemOf = ({ receipt }: OutgoingMail): string => receipt.slice(0, receipt.lastIndexOf("."))

type Outgoing = Effect.Success<ReturnType<typeof readOutgoing>>

const ownersOf = (purpose: Purpose, { to }: Outgoing) =>
  Effect.forEach(Object.keys(to).toSorted(), (owner) => readOwner(purpose, owner))

const waitingMail = (since: ReadonlyArray<number>): WaitingMail => ({
  count: since.length,
  since: since.length === 0 ? undefined : Math.min(...since)
})

const isWaiting = ({ state }: Recipient): boolean => state === "waiting"

const outgoing = (mail: Envelope, object: string, number: string, now: number): Attributes => ({
  ...rowKey(`${prefix}${number}#${randomUUID()}`),
  mail_id: mail.id,
  created_at: now,
  visible_at: 0,
  attempts: 0,
  size: mail.raw.length,
  object,
  also_known_as: mail.alsoKnownAs ?? [],
  to: Object.fromEntries(mail.to.map((owner) => [owner, true])),
  ...(mail.outside === undefined ? {} : { outside: mail.outside })
})

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo
  const bucket = yield* Bucket
  const bells = yield* Bells
  const arrivals = makeArrivals()
  const ring = (topic: string) => Effect.sync(() => bells.of(topic).ring())

  const sendAll = Effect.fn("Mailer.sendAll")(function*(
    mails: ReadonlyArray<Envelope>,
    notes: ReadonlyArray<MailNote> = []
  ) {
    const purpose = of("Mailer", "send")
    if (mails.some(({ raw }) => raw.length > mailLimits.maxMessageBytes)) {
      return yield* messageTooLarge(sizeSentence(mailLimits))
    }
    // Before the rows: a row whose object is missing could not be read, an object without a row is only space.
    const kept = yield* Effect.forEach(
      mails,
      (mail) => {
        const object = outgoingObject()
        return Effect.as(bucket.putBytes(purpose, object, mail.raw), { mail, object })
      },
      { concurrency: 4 }
    )
    const now = yield* Clock.currentTimeMillis
    const items = kept.map(({ mail, object }) => outgoing(mail, object, arrivals(now), now))
    const noted = [...new Map(notes.map((note) => [`${note.owner} ${note.key}`, note])).values()].map(noteWrite)
    const rows = items.map((item): Write => ({ _tag: "Put", table: stateTable, item }))
    if (rows.length + noted.length <= maxWrites) {
      if (rows.length + noted.length > 0) yield* dynamo.transact(purpose, [...rows, ...noted])
    } else {
      // More than one step can hold: put aside where nobody looks, and committed by one row.
      const sending = randomUUID()
      yield* Effect.forEach(items, (item) =>
        dynamo.change(purpose, {
          _tag: "Put",
          table: stateTable,
          item: {
            ...item,
            sandbox_id: asidePartition,
            item: `${sending}#${String(item["item"])}`,
            ttl_expiry: ttlOf(now + asideMillis)
          }
        }), { concurrency: 8, discard: true })
      const commit = { ...rowKey(`${commitPrefix}${sending}`), sending }
      yield* dynamo.transact(purpose, [{ _tag: "Put", table: stateTable, item: commit }, ...noted])
    }
    if (mails.length > 0) yield* ring(outboxTopic)
  })

  /** What was committed and is still aside comes into the outbox; may be done twice, and by two at a time. */
  const bringIn = Effect.fnUntraced(function*(purpose: Purpose, commit: Attributes) {
    const sending = String(commit["sending"])
    const aside = yield* dynamo.query(purpose, {
      table: stateTable,
      key: [is("sandbox_id", asidePartition), startsWith("item", `${sending}#`)],
      consistent: true
    })
    for (const row of aside) {
      const { ttl_expiry: _, ...rest } = row
      const key = { sandbox_id: asidePartition, item: row["item"] }
      yield* dynamo.transact(purpose, [
        { _tag: "Delete", table: stateTable, key, when: exists("item") },
        {
          _tag: "Put",
          table: stateTable,
          item: { ...rest, ...rowKey(String(row["item"]).slice(sending.length + 1)) }
        }
      ])
    }
    yield* dynamo.change(purpose, { _tag: "Delete", table: stateTable, key: rowKey(String(commit["item"])) })
  })

  /** Oldest first. */
  const looked = Effect.fnUntraced(function*(purpose: Purpose, limit?: number) {
    const query = {
      table: stateTable,
      key: [is("sandbox_id", outboxPartition), startsWith("item", prefix)],
      consistent: true,
      ...(limit === undefined ? {} : { limit })
    }
    const found = yield* dynamo.query(purpose, query)
    const commits = found.filter(({ item }) => String(item).startsWith(commitPrefix))
    yield* Effect.forEach(commits, (commit) => bringIn(purpose, commit), { discard: true })
    const items = commits.length === 0 ? found : yield* dynamo.query(purpose, query)
    return yield* Effect.forEach(
      items.filter(({ item }) => !String(item).startsWith(commitPrefix)),
      (item) => readOutgoing(purpose, item)
    )
  })

  const claim = Effect.fnUntraced(function*(row: Outgoing, visibleAt: number) {
    const purpose = of("MailOutbox", "lease")
    const receipt = `${row.item}.${randomUUID()}`
    const { done } = yield* dynamo.change(purpose, {
      _tag: "Update",
      table: stateTable,
      key: rowKey(row.item),
      changes: { set: { receipt, visible_at: visibleAt } },
      when: row.receipt === undefined ? absent("receipt") : is("receipt", row.receipt)
    })
    if (!done) return []
    const mail: OutgoingMail = {
      id: row.mail_id,
      receipt,
      to: yield* ownersOf(purpose, row),
      outside: row.outside !== undefined,
      size: row.size,
      attempts: row.attempts,
      createdAt: row.created_at
    }
    return [mail]
  })

  const lease = Effect.fnUntraced(function*(
    { limit, visibility, wait }: Parameters<MailOutbox["Service"]["lease"]>[0]
  ) {
    const purpose = of("MailOutbox", "lease")
    const until = (yield* Clock.currentTimeMillis) + Math.min(Duration.toMillis(wait), maxMailWaitMillis)
    return yield* whenRung(bells.of(outboxTopic), until, (now) =>
      Effect.gen(function*() {
        const isFree = ({ visible_at }: Outgoing) => visible_at <= now
        const first = yield* looked(purpose, lookedAt)
        const rows = first.length < lookedAt || first.some(isFree) ? first : yield* looked(purpose)
        const claimed = yield* Effect.forEach(
          rows.filter(isFree).slice(0, limit),
          (row) => claim(row, now + Duration.toMillis(visibility))
        )
        const found = claimed.flat()
        const soonest = Math.min(now + lookEveryMillis, ...rows.map(({ visible_at }) => visible_at))
        return { found, enough: found.length > 0, nextAt: Math.max(now + 1, soonest) }
      }))
  })

  const held = Effect.fnUntraced(function*(mail: OutgoingMail) {
    const purpose = of("MailOutbox", "deliver")
    const item = yield* dynamo.get(purpose, stateTable, rowKey(itemOf(mail)))
    const row = item === undefined ? undefined : yield* readOutgoing(purpose, item)
    return row?.receipt === mail.receipt ? row : undefined
  })

  /** What puts a message before the relay, if it is not there, or was. */
  const spoolWrites = Effect.fnUntraced(
    function*(purpose: Purpose, row: Outgoing, copy: () => Effect.Effect<string, StoreError>, now: number) {
      const { outside } = row
      if (outside === undefined) return []
      const [waits, done] = [waitingKey(outside.owner, row.mail_id), doneKey(outside.owner, row.mail_id)]
      const known = yield* dynamo.getAll(purpose, stateTable, [waits, done])
      if (known.length > 0) return []
      const recipient: Recipient = { state: "waiting", attempts: 0, next_at: now, reply: "" }
      const spooled: Spooled = {
        owner: outside.owner,
        mail_id: row.mail_id,
        mail_from: outside.from,
        created_at: now,
        object: yield* copy(),
        recipients: Object.fromEntries(outside.to.map((address) => [address, recipient])),
        version: 0
      }
      return [
        { _tag: "Put", table: stateTable, item: { ...waits, ...spooled }, when: absent("item") },
        { _tag: "Check", table: stateTable, key: done, when: absent("item") }
      ] satisfies ReadonlyArray<Write>
    }
  )

  const deliver = Effect.fn("MailOutbox.deliver")(function*(mail: OutgoingMail, gone: ReadonlyArray<SenderId>) {
    const purpose = of("MailOutbox", "deliver")
    /** Copies that no row names yet. */
    const copies = new Map<string, string>()
    for (;;) {
      const row = yield* held(mail)
      if (row === undefined) {
        // Its owner may be gone meanwhile, with all that is there.
        yield* bucket.remove(purpose, [...copies.values()])
        return false
      }
      const copyFor = (owner: SenderId, what = "") =>
        Effect.gen(function*() {
          const name = `${what}${owner}`
          const before = copies.get(name)
          if (before !== undefined) return before
          const object = ownObject(owner)
          yield* bucket.copy(purpose, row.object, object)
          copies.set(name, object)
          return object
        })
      const now = yield* Clock.currentTimeMillis
      const names = [row.mail_id, ...row.also_known_as]
      const owners = (yield* ownersOf(purpose, row)).filter((owner) => !gone.includes(owner))
      const known = yield* dynamo.getAll(
        purpose,
        stateTable,
        owners.flatMap((owner) => [boxKey(owner), ...names.map((name) => mailKey(owner, name))])
      )
      const inBox = Map.groupBy(known, ({ sandbox_id }) => sandbox_id)
      const fresh = owners.filter((owner) =>
        !(inBox.get(owner) ?? []).some(({ item }) => item !== boxKey(owner)["item"])
      )
      const arriving = yield* Effect.forEach(
        fresh,
        Effect.fnUntraced(function*(owner) {
          const [item] = inBox.get(owner) ?? []
          const box = item === undefined ? undefined : yield* readBox(purpose, item)
          const object = yield* copyFor(owner)
          return [
            ...arrivalWrites(owner, [{ id: row.mail_id, object, size: row.size }], box, now),
            ...row.also_known_as.filter((name) => name !== row.mail_id).map((name): Write => ({
              _tag: "Check",
              table: stateTable,
              key: mailKey(owner, name),
              when: absent("item")
            }))
          ]
        }),
        { concurrency: 8 }
      )
      const spooling = yield* spoolWrites(
        purpose,
        row,
        () => row.outside === undefined ? Effect.succeed("") : copyFor(row.outside.owner, "out "),
        now
      )
      const last: ReadonlyArray<Write> = [
        ...spooling,
        { _tag: "Delete", table: stateTable, key: rowKey(row.item), when: is("receipt", mail.receipt) }
      ]
      // Mailboxes that one step cannot hold come in steps before it, each for the holder of the lease alone.
      const perStep = Math.max(1, Math.floor((maxWrites - 4) / (2 + names.length)))
      let done = true
      let at = 0
      for (; done && at + perStep < arriving.length; at += perStep) {
        const step = yield* dynamo.transact(purpose, [
          { _tag: "Check", table: stateTable, key: rowKey(row.item), when: is("receipt", mail.receipt) },
          ...arriving.slice(at, at + perStep).flat()
        ])
        done = step.done
        if (done) { for (const owner of fresh.slice(at, at + perStep)) copies.delete(owner) }
      }
      if (!done || !(yield* dynamo.transact(purpose, [...arriving.slice(at).flat(), ...last])).done) continue
      yield* bucket.remove(purpose, [row.object])
      yield* Effect.forEach(fresh, (owner) => ring(mailTopic(owner)), { discard: true })
      if (row.outside !== undefined) yield* ring(spoolTopic)
      return true
    }
  })

  return Layer.merge(
    Layer.succeed(Mailer, Mailer.of({ limits: mailLimits, send: (mail) => sendAll([mail]), sendAll })),
    Layer.succeed(
      MailOutbox,
      MailOutbox.of({
        lease,
        deliver,
        defer: Effect.fnUntraced(function*(mail, delay) {
          const now = yield* Clock.currentTimeMillis
          yield* dynamo.change(of("MailOutbox", "defer"), {
            _tag: "Update",
            table: stateTable,
            key: rowKey(itemOf(mail)),
            changes: {
              set: { visible_at: now + Duration.toMillis(delay) },
              remove: ["receipt"],
              add: { attempts: 1 }
            },
            when: is("receipt", mail.receipt)
          })
        }),
        waiting: Effect.gen(function*() {
          const purpose = of("MailOutbox", "waiting")
          const inside = yield* looked(purpose)
          const items = yield* dynamo.query(purpose, {
            table: stateTable,
            key: [is("sandbox_id", spoolPartition), startsWith("item", "wait#")],
            consistent: true
          })
          const outside = yield* Effect.forEach(items, (item) => readSpooled(purpose, item))
          return {
            inside: waitingMail(inside.map(({ created_at }) => created_at)),
            outside: waitingMail(
              outside.flatMap(({ created_at, recipients }) =>
                Object.values(recipients).filter(isWaiting).map(() => created_at)
              )
            )
          }
        })
      })
    )
  )
})

export const layer: Layer.Layer<Mailer | MailOutbox, never, Bells | Bucket | Dynamo> = Layer.unwrap(make)
