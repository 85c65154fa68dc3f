/** Mailboxes as items of their owners, bytes as objects of the bucket (mailRows.ts). What is filed is one step. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { randomUUID } from "node:crypto"
import type { SenderId } from "../../domain/sandbox/Ids.ts"
import { whenRung } from "../../ports/Bell.ts"
import { type LeasedMail, Mailbox, maxMailWaitMillis, maxSummaryBytes } from "../../ports/Mail.ts"
import { StoreError } from "../../ports/StoreError.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { Bells, mailTopic } from "./Bells.ts"
import { Bucket } from "./Bucket.ts"
import { absent, all, exists, is, startsWith } from "./conditions.ts"
import { Dynamo, type Write } from "./Dynamo.ts"
import { arrivedMail, boxOf, filedOf, listMail } from "./mailLists.ts"
import {
  boxKey,
  filedKey,
  mailKey,
  newKey,
  noteKey,
  noteWrite,
  ownObject,
  ownObjects,
  pointerKey,
  readFiled,
  readMail,
  readNew,
  seenKey,
  seqOf
} from "./mailRows.ts"
import { removeMailUnderWay } from "./mailUnderWay.ts"
import { ttlOf } from "./rows.ts"
import { keysOf } from "./stateItems.ts"
import { stateTable } from "./tables.ts"

/** Mail of other processes is looked for this often: each look costs a read. */
const lookForMailMillis = 10_000
/** Somebody waits at a terminal for what changes. */
const lookForChangesMillis = 5_000
const of = (operation: string): Purpose => ({ port: "Mailbox", operation })

const tooLong = (bytes: number): StoreError =>
  new StoreError({
    ...of("file"),
    reason: "TooLarge",
    detail: `a summary of ${bytes} bytes; at most ${maxSummaryBytes}`,
    cause: undefined
  })

/** The keys under which a filed message is found. */
const pointersOf = (
  owner: SenderId,
  seq: number,
  keys: { readonly message_id?: string | undefined; readonly in_reply_to?: string | undefined }
): ReadonlyArray<Attributes> => [
  ...(keys.message_id === undefined ? [] : [pointerKey(owner, "id", keys.message_id, seq)]),
  ...(keys.in_reply_to === undefined ? [] : [pointerKey(owner, "reply", keys.in_reply_to, seq)])
]

const touched = (owner: SenderId): Write => ({
  _tag: "Update",
  table: stateTable,
  key: boxKey(owner),
  changes: { add: { revision: 1 } },
  when: exists("item")
})

const make = Effect.gen(function*() {
  const dynamo = yield* Dynamo
  const bucket = yield* Bucket
  const bells = yield* Bells
  const ring = (owner: SenderId) => Effect.sync(() => bells.of(mailTopic(owner)).ring())

  const mailOf = Effect.fnUntraced(function*(purpose: Purpose, owner: SenderId, id: string) {
    const item = yield* dynamo.get(purpose, stateTable, mailKey(owner, id))
    return item === undefined ? undefined : yield* readMail(purpose, item)
  })
  /** Takes the oldest that nobody holds; when nothing can be had, when there may be something. */
  const takeOldest = Effect.fnUntraced(function*(owner: SenderId, visibilityMillis: number, now: number) {
    const purpose = of("lease")
    for (;;) {
      const rows = yield* arrivedMail(dynamo, purpose, owner)
      const head = rows.find(({ visible_at }) => visible_at <= now)
      if (head === undefined) {
        return { taken: undefined, nextAt: Math.min(Infinity, ...rows.map(({ visible_at }) => visible_at)) }
      }
      const receipt = `${seqOf(head.item)}.${randomUUID()}`
      const { done } = yield* dynamo.change(purpose, {
        _tag: "Update",
        table: stateTable,
        key: newKey(owner, seqOf(head.item)),
        changes: { set: { receipt, visible_at: now + visibilityMillis } },
        when: all(
          is("visible_at", head.visible_at),
          head.receipt === undefined ? absent("receipt") : is("receipt", head.receipt)
        )
      })
      if (!done) continue
      const taken: LeasedMail = { id: head.mail_id, receipt, size: head.size, receivedAt: head.received_at }
      return { taken, nextAt: now }
    }
  })

  const heldNew = Effect.fnUntraced(function*(purpose: Purpose, owner: SenderId, receipt: string) {
    const seq = Number.parseInt(receipt, 10) || 0
    const item = yield* dynamo.get(purpose, stateTable, newKey(owner, seq))
    const row = item === undefined ? undefined : yield* readNew(purpose, item)
    return row?.receipt === receipt ? { row, seq } : undefined
  })

  const file = Effect.fnUntraced(function*(
    owner: SenderId,
    receipt: string,
    { content, folder, keys = {}, summary }: Parameters<Mailbox["Service"]["file"]>[2]
  ) {
    const purpose = of("file")
    const held = yield* heldNew(purpose, owner, receipt)
    const mail = held === undefined ? undefined : yield* mailOf(purpose, owner, held.row.mail_id)
    if (held === undefined || mail === undefined) return false
    const { row, seq } = held
    const taken: Write = { _tag: "Delete", table: stateTable, key: newKey(owner, seq), when: is("receipt", receipt) }
    const key = mailKey(owner, row.mail_id)
    if (folder === "dropped") {
      // The id stays known, so that the same delivery does not come again as new.
      const { done } = yield* dynamo.transact(purpose, [
        taken,
        { _tag: "Update", table: stateTable, key, changes: { set: { state: "dropped" }, remove: ["object"] } },
        touched(owner)
      ])
      if (done && mail.object !== undefined) yield* bucket.remove(purpose, [mail.object])
      return done
    }
    // Before the row, which would else name an object that is not there; of its own for each try, so that none replaces another's.
    const object = ownObject(owner)
    const bytes = Buffer.from(content)
    yield* bucket.putBytes(purpose, object, bytes)
    const found = { message_id: keys.messageId, in_reply_to: keys.inReplyTo }
    const { done } = yield* dynamo.transact(purpose, [
      taken,
      { _tag: "Update", table: stateTable, key, changes: { set: { state: folder, content: object } } },
      {
        _tag: "Put",
        table: stateTable,
        item: {
          ...filedKey(owner, folder, seq),
          ...found,
          mail_id: row.mail_id,
          received_at: row.received_at,
          size: row.size,
          content_size: bytes.length,
          unread: mail.was_read !== true,
          summary
        }
      },
      ...pointersOf(owner, seq, found).map((pointer): Write => ({
        _tag: "Put",
        table: stateTable,
        item: { ...pointer, folder }
      })),
      touched(owner)
    ])
    if (!done) yield* bucket.remove(purpose, [object])
    return done
  })

  const reopen = Effect.fnUntraced(function*(owner: SenderId, id: string) {
    const purpose = of("reopen")
    for (;;) {
      const mail = yield* mailOf(purpose, owner, id)
      if (mail?.state !== "quarantine") return false
      const [item, box] = [
        yield* dynamo.get(purpose, stateTable, filedKey(owner, "quarantine", mail.seq)),
        yield* boxOf(dynamo, purpose, owner)
      ]
      if (item === undefined || box === undefined) continue
      const filed = yield* readFiled(purpose, item)
      // As if it came now: who reads on from the newest `seq` that it has seen finds it.
      const seq = box.seq + 1
      const { done } = yield* dynamo.transact(purpose, [
        {
          _tag: "Update",
          table: stateTable,
          key: boxKey(owner),
          changes: { set: { seq }, add: { revision: 1 } },
          when: is("seq", box.seq)
        },
        {
          _tag: "Update",
          table: stateTable,
          key: mailKey(owner, id),
          changes: { set: { state: "arrived", seq, was_read: !filed.unread }, remove: ["content"] },
          when: all(is("state", "quarantine"), is("seq", mail.seq))
        },
        { _tag: "Delete", table: stateTable, key: filedKey(owner, "quarantine", mail.seq) },
        ...pointersOf(owner, mail.seq, filed).map((key): Write => ({ _tag: "Delete", table: stateTable, key })),
        {
          _tag: "Put",
          table: stateTable,
          item: {
            ...newKey(owner, seq),
            mail_id: id,
            received_at: mail.received_at,
            size: mail.size,
            visible_at: 0
          }
        }
      ])
      if (!done) continue
      if (mail.content !== undefined) yield* bucket.remove(purpose, [mail.content])
      return true
    }
  })

  const revision = (owner: SenderId) => Effect.map(boxOf(dynamo, of("revision"), owner), (box) => box?.revision ?? 0)

  return Mailbox.of({
    lease: Effect.fnUntraced(function*(owner, visibility, wait = Duration.zero) {
      const until = (yield* Clock.currentTimeMillis) + Math.min(Duration.toMillis(wait), maxMailWaitMillis)
      return yield* whenRung(
        bells.of(mailTopic(owner)),
        until,
        (now) =>
          Effect.map(takeOldest(owner, Duration.toMillis(visibility), now), ({ nextAt, taken }) => ({
            found: Option.fromNullishOr(taken),
            enough: taken !== undefined,
            nextAt: Math.max(now + 1, Math.min(nextAt, now + lookForMailMillis))
          }))
      )
    }),
    release: Effect.fnUntraced(function*(owner) {
      const rows = yield* arrivedMail(dynamo, of("release"), owner)
      yield* Effect.forEach(
        rows,
        ({ item, receipt }) =>
          receipt === undefined ? Effect.void : dynamo.change(of("release"), {
            _tag: "Update",
            table: stateTable,
            key: newKey(owner, seqOf(item)),
            changes: { set: { visible_at: 0 }, remove: ["receipt"] },
            when: is("receipt", receipt)
          }),
        { discard: true }
      )
    }),
    file: Effect.fnUntraced(function*(owner, receipt, judgement) {
      const bytes = Buffer.byteLength(judgement.summary)
      if (bytes > maxSummaryBytes) return yield* tooLong(bytes)
      const filed = yield* file(owner, receipt, judgement)
      if (filed) yield* ring(owner)
      return filed
    }),
    reopen: (owner, id) => Effect.tap(reopen(owner, id), (done) => done ? ring(owner) : Effect.void),
    list: listMail(dynamo),
    get: Effect.fnUntraced(function*(owner, id) {
      const purpose = of("get")
      const mail = yield* mailOf(purpose, owner, id)
      if (mail === undefined || mail.state === "arrived" || mail.state === "dropped") return Option.none()
      const item = yield* dynamo.get(purpose, stateTable, filedKey(owner, mail.state, mail.seq))
      return item === undefined
        ? Option.none()
        : Option.some(filedOf(mail.state, yield* readFiled(purpose, item)))
    }),
    content: Effect.fnUntraced(function*(owner, id) {
      const mail = yield* mailOf(of("content"), owner, id)
      return mail?.content === undefined ? Option.none() : yield* bucket.get(of("content"), mail.content)
    }),
    raw: Effect.fnUntraced(function*(owner, id) {
      const mail = yield* mailOf(of("raw"), owner, id)
      return mail?.object === undefined ? Option.none() : yield* bucket.get(of("raw"), mail.object)
    }),
    revision: Effect.fnUntraced(function*(owner, other) {
      if (other === undefined) return yield* revision(owner)
      const until = (yield* Clock.currentTimeMillis) + Math.min(Duration.toMillis(other.wait), maxMailWaitMillis)
      return yield* whenRung(bells.of(mailTopic(owner)), until, (now) =>
        Effect.map(revision(owner), (found) => ({
          found,
          enough: found !== other.than,
          nextAt: now + lookForChangesMillis
        })))
    }),
    markRead: Effect.fnUntraced(function*(owner, ids) {
      for (const id of ids) {
        const mail = yield* mailOf(of("markRead"), owner, id)
        if (mail === undefined || mail.state === "arrived" || mail.state === "dropped") continue
        yield* dynamo.change(of("markRead"), {
          _tag: "Update",
          table: stateTable,
          key: filedKey(owner, mail.state, mail.seq),
          changes: { set: { unread: false } },
          when: exists("item")
        })
      }
    }),
    recordSeen: Effect.fnUntraced(function*(owner, copy) {
      const { done, item } = yield* dynamo.change(of("recordSeen"), {
        _tag: "Put",
        table: stateTable,
        item: {
          ...seenKey(owner, copy.sender, copy.nonce),
          manifest: copy.manifestSha256,
          delivery: copy.delivery,
          ttl_expiry: ttlOf(copy.keepUntilSeconds * 1_000)
        },
        when: absent("item")
      })
      if (done) return "first"
      if (item?.["manifest"] !== copy.manifestSha256) return "replayed"
      return item["delivery"] === copy.delivery ? "first" : "duplicate"
    }),
    note: (note) => Effect.asVoid(dynamo.change(of("note"), noteWrite(note))),
    noted: Effect.fnUntraced(function*(owner, key) {
      const item = yield* dynamo.get(of("noted"), stateTable, noteKey(owner, key))
      const now = yield* Clock.currentTimeMillis
      return item === undefined || Number(item["keep_until"]) <= now
        ? Option.none()
        : Option.some(String(item["value"]))
    }),
    removeAll: Effect.fnUntraced(function*(owner) {
      const purpose = of("removeAll")
      // First what would still come: who is just delivering such a message has lost its lease.
      yield* removeMailUnderWay(dynamo, purpose, owner)
      const items = yield* dynamo.query(purpose, {
        table: stateTable,
        key: [is("sandbox_id", owner), startsWith("item", "mail")],
        consistent: true
      })
      yield* dynamo.deleteAll(purpose, stateTable, keysOf(items))
      yield* bucket.remove(purpose, yield* bucket.keys(purpose, ownObjects(owner)))
      yield* bells.forget(mailTopic(owner))
    })
  })
})

export const layer: Layer.Layer<Mailbox, never, Bells | Bucket | Dynamo> = Layer.effect(Mailbox, make)
