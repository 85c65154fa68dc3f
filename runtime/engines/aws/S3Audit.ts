/**
 * The journal in the install's bucket, an object per batch of links below `audit/{chain}/`, named by the number of its first
 * link. An object is written only where none is, so a chain has one writer whatever anybody believes: who comes second
 * goes on with another chain. Rows say who writes which, so that this is rare.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import {
  type ChainHead,
  ChainName,
  cutOff,
  emptyHead,
  headOf,
  linkAfter,
  linkLine,
  readLink,
  swapped
} from "../../domain/install/Audit.ts"
import { Audit, type AuditRecord, type AuditWriter, lookAgain } from "../../ports/Audit.ts"
import { makeBell } from "../../ports/Bell.ts"
import { InstallStore } from "../../ports/InstallStore.ts"
import { StoreError } from "../../ports/StoreError.ts"
import { unending } from "../../ports/Unending.ts"
import type { Attributes } from "./attributes.ts"
import type { Purpose } from "./Aws.ts"
import { Bells } from "./Bells.ts"
import { Bucket } from "./Bucket.ts"
import { absent, any, compare, is } from "./conditions.ts"
import { Dynamo } from "./Dynamo.ts"
import { stateTable } from "./tables.ts"

/** Chains of one kind of process: more than will ever write at once. */
const maxChains = 9_999
/** Links of one object at most: who reads from a place on looks that far back for the object that holds it. */
const maxLinks = 1_000
/** How often the end of the chain is written down elsewhere. */
const headEvery = "1 minute"
/** A chain of whose writer nothing was heard for so long may be gone on with. */
const claimMillis = 10 * 60_000
/** What was allowed waits so long for more, since an object costs the same whatever it holds. */
const gatherNotes = Duration.millis(500)

const folder = "audit/"
const suffix = ".jsonl"
const digits = 12

const isChain = Schema.is(ChainName)
const placeOf = (chain: string, number: number): string => `${folder}${chain}/${String(number).padStart(digits, "0")}`
const keyOf = (chain: ChainName, first: number): string => `${placeOf(chain, first)}${suffix}`
const firstOf = (key: string): number => Number(key.slice(-suffix.length - digits, -suffix.length))

const claimOf = (chain: ChainName): Attributes => ({ sandbox_id: "audit-writers", item: chain })

const of = (operation: string): Purpose => ({ port: "Audit", operation })

interface Pending {
  readonly entry: AuditRecord
  readonly at: number
  readonly written: Deferred.Deferred<void, StoreError> | undefined
}

/** A chain that this process writes. */
interface Own {
  readonly chain: ChainName
  head: ChainHead
  claimedUntil: number
}

/** What the last link said to be there before the one at this line, which is read without it. */
const beforeIn = (line: string): string => {
  const parsed: unknown = JSON.parse(line)
  return typeof parsed === "object" && parsed !== null && "before" in parsed ? String(parsed.before) : ""
}

const make = Effect.fnUntraced(function*(writer: AuditWriter) {
  const bucket = yield* Bucket
  const dynamo = yield* Dynamo
  const store = yield* InstallStore
  const me = randomUUID()
  const bell = (yield* Bells).of("audit")

  const batch = Effect.fnUntraced(function*(key: string, skip: number) {
    const bytes = yield* bucket.whole(of("lines"), key)
    return bytes === undefined ? [] : bytes.toString().split("\n").slice(0, -1).slice(skip)
  })
  const lines = (chain: ChainName, count: number): Stream.Stream<string, StoreError> =>
    Stream.unwrap(Effect.gen(function*() {
      const prefix = `${folder}${chain}/`
      const keys = yield* bucket.keys(of("lines"), prefix, placeOf(chain, Math.max(1, count - maxLinks + 2)))
      const wanted = keys.filter((_, index) => {
        const next = keys[index + 1]
        return next === undefined || firstOf(next) > count + 1
      })
      return Stream.fromIterable(wanted).pipe(
        Stream.mapEffect((key) => batch(key, Math.max(0, count - (firstOf(key) - 1))), { concurrency: 8 }),
        Stream.flatMap(Stream.fromIterable)
      )
    }))

  /**
   * The chain as it ends, or why it must not be gone on with. What lies before the head that the install keeps was looked at
   * when that was written down; `verifyAudit` looks at all of it.
   */
  const opened = Effect.fnUntraced(function*(chain: ChainName, kept: ChainHead | undefined) {
    let head = emptyHead(chain)
    let broken = ""
    yield* Stream.runForEachWhile(lines(chain, kept === undefined ? 0 : kept.length - 1), (line) =>
      Effect.sync(() => {
        const first = kept !== undefined && head.length === 0
        const read = readLink(first ? { chain, length: kept.length - 1, hash: beforeIn(line) } : head, line)
        const wrong = Result.isFailure(read)
          ? read.failure
          : kept === undefined
          ? undefined
          : swapped(read.success, kept)
        if (wrong !== undefined) broken = `link ${wrong.number}: ${wrong.why}`
        else if (Result.isSuccess(read)) head = headOf(read.success)
        return broken === ""
      }))
    const cut = kept === undefined ? undefined : cutOff(head, kept)
    if (broken === "" && cut !== undefined) broken = `link ${cut.number}: ${cut.why}`
    if (broken === "") return head
    yield* Effect.logError("a chain of the audit is broken; another one is begun, and this one left as it is").pipe(
      Effect.annotateLogs({ chain, why: broken })
    )
    return undefined
  })

  /** False when somebody else writes it. */
  const claim = Effect.fnUntraced(function*(chain: ChainName, now: number) {
    const { done } = yield* dynamo.change(of("record"), {
      _tag: "Update",
      table: stateTable,
      key: claimOf(chain),
      changes: { set: { holder: me, held_until: now + claimMillis } },
      when: any(absent("item"), compare("held_until", "<=", now), is("holder", me))
    })
    return done
  })

  /** The first chain of this kind that nobody else writes. */
  const acquire = Effect.fnUntraced(function*(after: number) {
    const kept = new Map((yield* store.heads).map((head) => [head.chain, head]))
    for (let n = after + 1; n <= maxChains; n++) {
      const chain = ChainName.make(`${writer}-${n}`)
      const now = yield* Clock.currentTimeMillis
      if (!(yield* claim(chain, now))) continue
      const head = yield* opened(chain, kept.get(chain))
      if (head !== undefined) return { chain, head, claimedUntil: now + claimMillis } satisfies Own
    }
    return yield* new StoreError({
      port: "Audit",
      operation: "record",
      reason: "Unavailable",
      detail: `${maxChains} chains of ${writer} are in use or broken`,
      cause: undefined
    })
  })

  let own: Own | undefined
  /** Ours, and claimed for some time yet. */
  const ownChain = Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    if (own !== undefined && own.claimedUntil - now < claimMillis / 2) {
      if (yield* claim(own.chain, now)) own.claimedUntil = now + claimMillis
      else own = undefined
    }
    return own ??= yield* acquire(0)
  })

  const append = Effect.fnUntraced(function*(entries: ReadonlyArray<Pending>) {
    for (;;) {
      const to = yield* ownChain
      let head = to.head
      let text = ""
      for (const { at, entry } of entries) {
        const link = linkAfter(head, { at, ...entry })
        text += `${linkLine(link)}\n`
        head = headOf(link)
      }
      if (yield* bucket.putNew(of("record"), keyOf(to.chain, to.head.length + 1), Buffer.from(text))) {
        to.head = head
        bell.ring()
        return
      }
      yield* Effect.logWarning("another process goes on with this chain of the audit; another one is begun").pipe(
        Effect.annotateLogs({ chain: to.chain })
      )
      own = yield* acquire(Number(to.chain.slice(writer.length + 1)))
    }
  })

  const queue = yield* Queue.make<Pending>({ capacity: 4_096 })
  const urgent = makeBell()
  const write = (batched: ReadonlyArray<Pending>) =>
    Effect.gen(function*() {
      for (let start = 0; start < batched.length; start += maxLinks) {
        const part = batched.slice(start, start + maxLinks)
        const result = yield* Effect.exit(append(part))
        if (Exit.isFailure(result) && part.some(({ written }) => written === undefined)) {
          yield* Effect.logError("allowed requests are missing from the audit", result.cause)
        }
        for (const { written } of part) if (written !== undefined) yield* Deferred.done(written, result)
      }
    })
  /** Until somebody waits for one of them, or for a moment: then all of that time go into one object. */
  const gathered = Effect.gen(function*() {
    const rung = urgent.count()
    const first = yield* Queue.peek(queue)
    if (first.written === undefined) yield* urgent.wait(rung, gatherNotes)
  })
  // What was taken is written: an end cannot come between the two.
  const loop = yield* Effect.forkScoped(
    unending(
      "writing the audit ended in a defect; it goes on",
      0,
      Effect.andThen(
        gathered,
        Effect.uninterruptibleMask((restore) => Effect.flatMap(restore(Queue.takeAll(queue)), write))
      )
    )
  )

  let keptHead: ChainHead | undefined
  const keepHead = Effect.suspend(() => {
    const head = own?.head
    if (head === undefined || head === keptHead || head.length === 0) return Effect.void
    return Effect.tap(store.putHead(head), () => Effect.sync(() => keptHead = head))
  }).pipe(Effect.catch((error) => Effect.logError("the end of the audit could not be written down", error.message)))
  yield* Effect.forkScoped(
    unending("noting the end of the audit ended in a defect; it goes on", 0, Effect.delay(keepHead, headEvery))
  )
  /** The next process of this kind goes on with the chain at once. */
  const giveUp = Effect.suspend(() =>
    own === undefined
      ? Effect.void
      : Effect.ignore(dynamo.change(of("record"), {
        _tag: "Delete",
        table: stateTable,
        key: claimOf(own.chain),
        when: is("holder", me)
      }))
  )

  // What is still in the queue is written, and where the chain ends is noted, before it is given up.
  yield* Effect.addFinalizer(() =>
    Fiber.interrupt(loop).pipe(
      Effect.andThen(Queue.clear(queue)),
      Effect.flatMap((rest) => rest.length === 0 ? Effect.void : write(rest)),
      Effect.andThen(keepHead),
      Effect.andThen(giveUp)
    )
  )

  const offer = (entry: AuditRecord, written: Deferred.Deferred<void, StoreError> | undefined) =>
    Effect.flatMap(Clock.currentTimeMillis, (at) => Queue.offer(queue, { at, entry, written }))

  return Audit.of({
    record: Effect.fn("Audit.record")(function*(entry) {
      const written = yield* Deferred.make<void, StoreError>()
      yield* offer(entry, written)
      urgent.ring()
      yield* Deferred.await(written)
    }),
    note: (entry) => Effect.asVoid(offer(entry, undefined)),
    chains: Effect.map(bucket.folders(of("chains"), folder), (folders) =>
      folders.flatMap((name) => {
        const chain = name.slice(folder.length, -1)
        return isChain(chain) ? [chain] : []
      }).toSorted()),
    lines,
    appended: Effect.suspend(() => bell.wait(bell.count(), lookAgain))
  })
})

/** Claims nothing before something is recorded. */
export const layer = (writer: AuditWriter): Layer.Layer<Audit, never, Bells | Bucket | Dynamo | InstallStore> =>
  Layer.effect(Audit, make(writer))
