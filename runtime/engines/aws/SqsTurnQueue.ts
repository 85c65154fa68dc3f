/**
 * The queue as rows with a bell: rows decide, SQS's tickets wake and keep a group to one at a time (docs/aws.md).
 *
 * A ticket names a group. Its receiver claims the group's oldest row, so it does not matter whose ticket comes first, nor
 * whether one comes twice. A held ticket is given up only when its group is empty; else it comes again by itself.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { randomUUID } from "node:crypto"
import { type GroupId, SandboxId, type TurnKey } from "../../domain/sandbox/Ids.ts"
import {
  aheadLimit,
  checkBody,
  QueueMissing,
  ReceiptExpired,
  stateAt,
  turnQueueLimits
} from "../../ports/QueueRules.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import { type QueueDepth, type ReceivedEntry, TurnQueue } from "../../ports/TurnQueue.ts"
import { acceptTurn } from "./acceptTurn.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { all, type Changes, is } from "./conditions.ts"
import { Dynamo } from "./Dynamo.ts"
import { readReceipt, type Receipt, writeReceipt } from "./receipts.ts"
import { redriveTurn } from "./redriveTurn.ts"
import { makeArrivals, reader } from "./rows.ts"
import { stateTable } from "./tables.ts"
import { Tickets } from "./Tickets.ts"
import {
  addTurn,
  allTurns,
  buried,
  byArrival,
  depthOf,
  entryOf,
  everyIndexed,
  firstPage,
  flyingBeside,
  indexed,
  liveOfGroup,
  queueExists,
  queueKey,
  readEach,
  readTurn,
  settled,
  turnKeyOf,
  whileHeld,
  whileWaiting
} from "./turnRows.ts"

const readSandbox = reader("sandbox id", SandboxId)

/** How many of a group are looked at: the one in flight is among the first, or the first waits. */
const headRows = 25

/** A row that waits for longer than its ticket needs to come: what was to send it may have died. */
const ticketLateMillis = 60_000
/** How often a receiver that found nothing looks for such rows: a look costs as much as a poll. */
const lookForLateMillis = 5 * 60_000
/** A gesture that comes again this late was perhaps not answered, so its ticket is perhaps missing. */
const repeatedLateMillis = 1_000

const of = (operation: string): Purpose => ({ port: "TurnQueue", operation })

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo
  const tickets = yield* Tickets
  const arrivals = makeArrivals()
  /** When this process last looked for rows without a ticket. */
  const looked = new Map<SandboxId, number>()

  const arrivalNow = Effect.map(Clock.currentTimeMillis, (now) => ({ now, number: arrivals(now) }))
  const rowOf = Effect.fnUntraced(function*(purpose: Purpose, queue: SandboxId, key: TurnKey) {
    const item = yield* dynamo.get(purpose, stateTable, turnKeyOf(queue, key))
    return item === undefined ? undefined : yield* readTurn(purpose, item)
  })
  const list = Effect.fnUntraced(function*(purpose: Purpose, queue: SandboxId, which: "all" | "live" | "dead") {
    return yield* readEach(purpose, yield* dynamo.query(purpose, indexed(queue, which)))
  })
  const group = Effect.fnUntraced(function*(purpose: Purpose, queue: SandboxId, name: GroupId, limit?: number) {
    return yield* readEach(purpose, yield* dynamo.query(purpose, liveOfGroup(queue, name, limit)))
  })

  /** A ticket for a row that waits although it should have one: one too many is found to be for nothing. */
  const ticketAgain = Effect.fnUntraced(function*(purpose: Purpose, queue: SandboxId, key: TurnKey) {
    const row = yield* rowOf(purpose, queue, key)
    const now = yield* Clock.currentTimeMillis
    if (row?.state !== "queued" || row.visible_at > now || now - row.sent_at < repeatedLateMillis) return
    yield* tickets.send(purpose, queue, row.turn_group)
  })

  /** Sends the tickets of groups that wait for longer than a ticket needs. True when there were any. */
  const sendLate = Effect.fnUntraced(function*(queue: SandboxId) {
    const now = yield* Clock.currentTimeMillis
    const last = looked.get(queue)
    if (last !== undefined && now - last < lookForLateMillis) return false
    looked.set(queue, now)
    const rows = yield* list(of("receive"), queue, "live")
    const flying = new Set(rows.filter(({ visible_at }) => visible_at > now).map(({ turn_group }) => turn_group))
    const late = new Set(
      rows.filter(({ sent_at, turn_group, visible_at }) =>
        now - Math.max(sent_at, visible_at) >= ticketLateMillis && !flying.has(turn_group)
      ).map(({ turn_group }) => turn_group)
    )
    yield* Effect.forEach(late, (name) => tickets.send(of("receive"), queue, name), { discard: true })
    return late.size > 0
  })

  /** The group's oldest row, claimed under the ticket; nothing when the ticket is for nothing now, or no longer ours. */
  const take = Effect.fnUntraced(function*(
    queue: SandboxId,
    ticket: { readonly group: GroupId; readonly handle: string },
    visibilityMillis: number,
    heldUntil: number
  ): Effect.fn.Return<Option.Option<ReceivedEntry>, StoreError> {
    const purpose = of("receive")
    for (;;) {
      const rows = yield* group(purpose, queue, ticket.group, headRows)
      const now = yield* Clock.currentTimeMillis
      // Whoever was held up for longer than it holds the ticket leaves the group to the next receiver.
      if (visibilityMillis > 0 && now >= heldUntil) return Option.none()
      const flying = Math.max(0, ...rows.map(({ visible_at }) => visible_at))
      if (flying > now) {
        yield* tickets.hide(purpose, queue, ticket.handle, flying - now)
        return Option.none()
      }
      const [head] = rows
      if (head === undefined) {
        yield* tickets.discard(purpose, queue, ticket.handle)
        return Option.none()
      }
      const key = turnKeyOf(queue, head.turn_key)
      // The count too: a claim that is sent twice must not count twice, however short it is.
      const when = all(whileWaiting(now), is("receive_count", head.receive_count))
      if (head.receive_count >= turnQueueLimits.maxReceives) {
        yield* dynamo.change(purpose, {
          _tag: "Update",
          table: stateTable,
          key,
          changes: buried(head.turn_key, arrivals(now), now),
          when
        })
        continue
      }
      const id = randomUUID()
      const claimed = yield* dynamo.change(purpose, {
        _tag: "Update",
        table: stateTable,
        key,
        changes: {
          set: { receipt: id, received_at: now, visible_at: now + visibilityMillis },
          add: { receive_count: 1 }
        },
        when,
        shown: true
      })
      // Else it was withdrawn or claimed meanwhile: look again.
      if (!claimed.done) continue
      const row = yield* readTurn(purpose, claimed.item)
      return Option.some({
        key: row.turn_key,
        group: row.turn_group,
        body: row.body ?? "",
        receipt: writeReceipt({ receivedAt: now, id, key: row.turn_key, group: row.turn_group, handle: ticket.handle }),
        receiveCount: row.receive_count,
        sentAt: row.sent_at
      })
    }
  })

  /** The row is settled: its ticket serves the group's next, or is given up. What fails here is made good by time. */
  const passOn = (queue: SandboxId, receipt: Receipt) =>
    Effect.gen(function*() {
      const purpose = of("delete")
      const [next] = yield* group(purpose, queue, receipt.group, 1)
      if (next === undefined) return yield* tickets.discard(purpose, queue, receipt.handle)
      const passed = yield* tickets.hide(purpose, queue, receipt.handle, 0)
      if (!passed) yield* tickets.send(purpose, queue, receipt.group)
    }).pipe(
      Effect.catchTags({
        QueueMissing: () => Effect.void,
        StoreError: (error) =>
          Effect.logWarning("a settled message's ticket could not be passed on; it comes again by itself", error)
      })
    )

  /** What a change of a waiting message came to. */
  const changeWaiting = Effect.fnUntraced(function*<Done extends string>(
    operation: string,
    queue: SandboxId,
    key: TurnKey,
    done: Done,
    changes: (now: number) => Changes
  ): Effect.fn.Return<Done | "in-flight" | "absent", StoreError> {
    const purpose = of(operation)
    const now = yield* Clock.currentTimeMillis
    const changed = yield* dynamo.change(purpose, {
      _tag: "Update",
      table: stateTable,
      key: turnKeyOf(queue, key),
      changes: changes(now),
      when: whileWaiting(now)
    })
    if (changed.done) return done
    if (changed.item === undefined) return "absent"
    const row = yield* readTurn(purpose, changed.item)
    return row.state === "queued" && stateAt(row.visible_at, now) === "in-flight" ? "in-flight" : "absent"
  })

  return TurnQueue.of({
    create: Effect.fn("TurnQueue.create")(function*(queue) {
      yield* tickets.create(of("create"), queue)
      yield* dynamo.change(of("create"), { _tag: "Put", table: stateTable, item: queueKey(queue) })
    }),
    destroy: Effect.fn("TurnQueue.destroy")(function*(queue) {
      const purpose = of("destroy")
      // First what every new message depends on: what is there then is all there will be.
      yield* dynamo.change(purpose, { _tag: "Delete", table: stateTable, key: queueKey(queue) })
      const rows = yield* dynamo.query(purpose, allTurns(queue))
      yield* dynamo.deleteAll(
        purpose,
        stateTable,
        rows.map(({ item, sandbox_id }): Attributes => ({ sandbox_id, item }))
      )
      yield* tickets.destroy(purpose, queue)
      looked.delete(queue)
    }),
    send: Effect.fn("TurnQueue.send")(function*(queue, entry) {
      yield* checkBody("send", entry.body)
      const arrival = yield* arrivalNow
      const answer = yield* dynamo.transact(of("send"), [queueExists(queue), addTurn(queue, entry, arrival)])
      if (answer.done) return yield* tickets.send(of("send"), queue, entry.group)
      if (answer.writes[0]?.failed === true) return yield* new QueueMissing({ queue })
      yield* ticketAgain(of("send"), queue, entry.key)
    }),
    accept: Effect.fn("TurnQueue.accept")(function*(queue, entry, terms) {
      yield* checkBody("accept", entry.body)
      const arrival = yield* arrivalNow
      const accepted = yield* acceptTurn(dynamo, queue, entry, terms, {
        ...arrival,
        ...(terms.ts === undefined ? {} : { ts: terms.ts })
      })
      if (accepted._tag === "Added") {
        yield* tickets.send(of("accept"), queue, entry.group)
        return { _tag: "Accepted" }
      }
      yield* ticketAgain(of("accept"), queue, accepted._tag === "Repeated" ? accepted.turn : entry.key)
      return accepted._tag === "Repeated" ? accepted : { _tag: "Accepted" }
    }),
    receive: Effect.fnUntraced(function*(queue, options) {
      const visibilityMillis = Math.min(Duration.toMillis(options.visibility), turnQueueLimits.maxVisibilityMillis)
      const start = yield* Clock.currentTimeMillis
      const until = start + Math.min(Duration.toMillis(options.wait), turnQueueLimits.maxWaitMillis)
      for (;;) {
        const asked = yield* Clock.currentTimeMillis
        const ticket = yield* tickets.receive(of("receive"), queue, {
          waitMillis: Math.max(0, until - asked),
          visibilityMillis
        })
        if (ticket === undefined) {
          if (yield* sendLate(queue)) continue
          if ((yield* Clock.currentTimeMillis) >= until) return Option.none()
          continue
        }
        if (ticket.group === undefined) {
          yield* Effect.logWarning("a ticket that names no group was removed")
          yield* tickets.discard(of("receive"), queue, ticket.handle)
          continue
        }
        const taken = yield* take(
          queue,
          { group: ticket.group, handle: ticket.handle },
          visibilityMillis,
          asked + visibilityMillis
        )
        if (Option.isSome(taken)) return taken
      }
    }),
    extend: Effect.fnUntraced(function*(queue, receipt, visibility) {
      const purpose = of("extend")
      const held = readReceipt(receipt)
      if (held === undefined) return yield* new ReceiptExpired({ receipt })
      const now = yield* Clock.currentTimeMillis
      const last = held.receivedAt + turnQueueLimits.maxVisibilityMillis
      const visibleAt = Math.min(now + Duration.toMillis(visibility), last)
      const extended = yield* dynamo.change(purpose, {
        _tag: "Update",
        table: stateTable,
        key: turnKeyOf(queue, held.key),
        changes: { set: { visible_at: visibleAt } },
        when: whileHeld(held.id, now)
      })
      if (!extended.done) return yield* new ReceiptExpired({ receipt })
      // A second less than twelve hours, or SQS refuses. A handle that is stale changes nothing: the row is asked first.
      yield* tickets.hide(purpose, queue, held.handle, Math.min(visibleAt - now, last - 1_000 - now))
    }),
    delete: Effect.fn("TurnQueue.delete")(function*(queue, receipt) {
      const held = readReceipt(receipt)
      if (held === undefined) return yield* new ReceiptExpired({ receipt })
      const now = yield* Clock.currentTimeMillis
      const deleted = yield* dynamo.change(of("delete"), {
        _tag: "Update",
        table: stateTable,
        key: turnKeyOf(queue, held.key),
        changes: settled(now),
        when: whileHeld(held.id, now)
      })
      if (!deleted.done) return yield* new ReceiptExpired({ receipt })
      yield* passOn(queue, held)
    }),
    replace: (queue, key, body) =>
      Effect.andThen(
        checkBody("replace", body),
        changeWaiting("replace", queue, key, "replaced", () => ({ set: { body } }))
      ),
    withdraw: (queue, key) => changeWaiting("withdraw", queue, key, "withdrawn", settled),
    get: Effect.fnUntraced(function*(queue, key) {
      const row = yield* rowOf(of("get"), queue, key)
      const now = yield* Clock.currentTimeMillis
      return row?.state === "queued"
        ? Option.some({ ...entryOf(row), state: stateAt(row.visible_at, now) })
        : Option.none()
    }),
    keys: Effect.fnUntraced(function*(queue, name) {
      const rows = yield* (name === undefined ? list(of("keys"), queue, "live") : group(of("keys"), queue, name))
      const now = yield* Clock.currentTimeMillis
      return rows.toSorted(byArrival).map((row) => ({
        key: row.turn_key,
        group: row.turn_group,
        state: stateAt(row.visible_at, now)
      }))
    }),
    ahead: Effect.fnUntraced(function*(queue, message) {
      const purpose = of("ahead")
      const own = yield* group(purpose, queue, message.group, aheadLimit + 1)
      const now = yield* Clock.currentTimeMillis
      const at = own.findIndex(({ turn_key }) => turn_key === message.key)
      const far = at < 0 && own.length > aheadLimit ? yield* rowOf(purpose, queue, message.key) : undefined
      const mine = own[at] ?? (far?.state === "queued" && far.turn_group === message.group ? far : undefined)
      if (mine === undefined || mine.visible_at > now) return Option.none()
      // Whoever waits behind others of its group is not told of other groups, and their rows are not read.
      if (at !== 0) return Option.some({ inGroup: at < 0 ? aheadLimit : at, otherGroups: 0 })
      const page = yield* readEach(purpose, yield* dynamo.query(purpose, firstPage(queue)))
      return Option.some({ inGroup: 0, otherGroups: flyingBeside(page, message.group, now) })
    }),
    depth: Effect.fnUntraced(function*(queue) {
      const rows = yield* list(of("depth"), queue, "all")
      return depthOf(rows, yield* Clock.currentTimeMillis)
    }),
    occupied: Effect.gen(function*() {
      const purpose = of("occupied")
      const rows = yield* readEach(purpose, yield* dynamo.scan(purpose, everyIndexed))
      const now = yield* Clock.currentTimeMillis
      const depths = new Map<SandboxId, QueueDepth>()
      for (const [sandbox, held] of Map.groupBy(rows, ({ sandbox_id }) => sandbox_id)) {
        depths.set(yield* readSandbox(purpose, sandbox), depthOf(held, now))
      }
      return depths
    }),
    deadLetters: Effect.fnUntraced(function*(queue) {
      const purpose = of("deadLetters")
      const rows = yield* list(purpose, queue, "dead")
      const full = yield* Effect.forEach(rows, ({ turn_key }) => rowOf(purpose, queue, turn_key))
      return full.flatMap((row) =>
        row?.state === "dead"
          ? [{
            ...entryOf(row),
            generation: row.generation,
            receiveCount: row.receive_count,
            deadAt: row.dead_at ?? 0,
            noticed: row.noticed === true
          }]
          : []
      )
    }),
    markNoticed: (queue, key) =>
      Effect.asVoid(dynamo.change(of("markNoticed"), {
        _tag: "Update",
        table: stateTable,
        key: turnKeyOf(queue, key),
        changes: { set: { noticed: true } },
        when: is("state", "dead")
      })),
    redrive: Effect.fnUntraced(function*(queue, key, generation) {
      const alive = yield* redriveTurn(dynamo, queue, key, generation, yield* arrivalNow)
      if (alive === undefined) return false
      yield* Effect.catchTag(tickets.send(of("redrive"), queue, alive), "QueueMissing", () => Effect.void)
      return true
    })
  })
})

export const layer: Layer.Layer<TurnQueue, never, Dynamo | Tickets> = Layer.effect(TurnQueue, make)
