/** The queue between the bridge and a sandbox: SQS FIFO's promises and no more, so any engine can keep them. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { GroupId, SandboxId, TurnKey } from "../domain/Ids.ts"
import { type Bell, makeBell } from "./Bell.ts"
import { StoreError } from "./StoreError.ts"

export interface QueueEntry {
  /** Dedupe id: a second send with it within 5 minutes is accepted and adds nothing. */
  readonly key: TurnKey
  readonly group: GroupId
  /** JSON; at most 256 KiB of UTF-8 (SQS's limit before 2025, kept for margin). */
  readonly body: string
}

export interface ReceivedEntry extends QueueEntry {
  /** Changes with every receive; an older one is expired. */
  readonly receipt: string
  /** 1 on the first receive. */
  readonly receiveCount: number
  /** Unix milliseconds. */
  readonly sentAt: number
}

/** The message is no longer in flight under this receipt: deleted, dead-lettered, or visible again. */
export class ReceiptExpired extends Schema.TaggedError<ReceiptExpired>()("ReceiptExpired", {
  receipt: Schema.String
}) {
  override get message(): string {
    return "the queue's receipt has expired; the message is delivered again or is gone"
  }
}

/** There is no queue of this name: the sandbox was destroyed, or never had inbound chat. */
export class QueueMissing extends Schema.TaggedError<QueueMissing>()("QueueMissing", { queue: Schema.String }) {
  override get message(): string {
    return `the sandbox ${this.queue} has no queue; create it again with inbound chat enabled`
  }
}

export interface QueueDepth {
  readonly waiting: number
  readonly inFlight: number
  readonly dead: number
}

export interface DeadEntry extends QueueEntry {
  readonly receiveCount: number
  /** Unix milliseconds. */
  readonly deadAt: number
  /** True once the control plane has told the thread. */
  readonly noticed: boolean
}

/** The numbers of SQS FIFO, kept by every engine. Source: AWS SQS developer guide, quotas and FIFO delivery logic. */
export const turnQueueLimits = {
  maxBodyBytes: 256 * 1024,
  dedupeMillis: 5 * 60_000,
  /** A message received this often is dead at its next receive (`maxReceiveCount` of the queue's redrive policy). */
  maxReceives: 5,
  maxWaitMillis: 20_000,
  /** One receive holds a message 12 h at most, however often it is extended. */
  maxVisibilityMillis: 12 * 3_600_000
} as const

/** Fails with `TooLarge` when SQS would refuse the body. */
export const checkBody = (operation: string, body: string): Effect.Effect<void, StoreError> => {
  const bytes = new TextEncoder().encode(body).length
  return bytes <= turnQueueLimits.maxBodyBytes
    ? Effect.void
    : Effect.fail(
      new StoreError({
        port: "TurnQueue",
        operation,
        reason: "TooLarge",
        detail: `the body has ${bytes} bytes, at most ${turnQueueLimits.maxBodyBytes} are taken`,
        cause: undefined
      })
    )
}

interface MemoryMessage {
  readonly entry: QueueEntry
  readonly sentAt: number
  body: string
  receiveCount: number
  receipt: string | undefined
  receivedAt: number
  /** Unix milliseconds; in flight while later than now. */
  visibleAt: number
}

interface MemoryQueue {
  /** In order of arrival. */
  readonly messages: Array<MemoryMessage>
  /** Until when a key is a duplicate. */
  readonly dedupe: Map<TurnKey, number>
  readonly dead: Map<TurnKey, DeadEntry>
}

/** Every queue of an engine in memory; outlives the layers that are built over it. */
export interface MemoryTurnQueueState {
  readonly queues: Map<SandboxId, MemoryQueue>
  readonly bell: Bell
  /** Numbers the receipts, so that runs are alike. */
  receipts: number
}
export const makeMemoryTurnQueueState = (): MemoryTurnQueueState => ({
  queues: new Map(),
  bell: makeBell(),
  receipts: 0
})

export class TurnQueue extends Context.Service<TurnQueue, {
  /** Idempotent. */
  readonly create: (queue: SandboxId) => Effect.Effect<void, StoreError>
  /** Idempotent; removes what waits and what is dead. */
  readonly destroy: (queue: SandboxId) => Effect.Effect<void, StoreError>
  /** Durable (synced) once the effect succeeds. `duplicate` when the key was sent within the last 5 minutes. */
  readonly send: (
    queue: SandboxId,
    entry: QueueEntry
  ) => Effect.Effect<{ readonly duplicate: boolean }, StoreError | QueueMissing>
  /**
   * The oldest visible message of a group that has none in flight, or none after `wait` (at most 20 s). A message
   * that is received a sixth time goes to the dead letters instead.
   */
  readonly receive: (
    queue: SandboxId,
    options: { readonly wait: Duration.Duration; readonly visibility: Duration.Duration }
  ) => Effect.Effect<Option.Option<ReceivedEntry>, StoreError | QueueMissing>
  readonly extend: (
    queue: SandboxId,
    receipt: string,
    visibility: Duration.Duration
  ) => Effect.Effect<void, StoreError | ReceiptExpired>
  readonly delete: (queue: SandboxId, receipt: string) => Effect.Effect<void, StoreError | ReceiptExpired>
  /** Changes the body of a message that still waits. */
  readonly replace: (
    queue: SandboxId,
    key: TurnKey,
    body: string
  ) => Effect.Effect<"replaced" | "in-flight" | "absent", StoreError>
  /** Takes a message that still waits out of the queue. */
  readonly withdraw: (
    queue: SandboxId,
    key: TurnKey
  ) => Effect.Effect<"withdrawn" | "in-flight" | "absent", StoreError>
  /** The waiting messages, oldest first. */
  readonly peek: (queue: SandboxId, limit: number) => Effect.Effect<ReadonlyArray<QueueEntry>, StoreError>
  readonly depth: (queue: SandboxId) => Effect.Effect<QueueDepth, StoreError>
  readonly deadLetters: (queue: SandboxId) => Effect.Effect<ReadonlyArray<DeadEntry>, StoreError>
  readonly markNoticed: (queue: SandboxId, key: TurnKey) => Effect.Effect<void, StoreError>
  /** Back into the queue, receive count 0. False when it is not among the dead. */
  readonly redrive: (queue: SandboxId, key: TurnKey) => Effect.Effect<boolean, StoreError>
}>()("km/runtime/ports/TurnQueue") {
  /** The whole contract in memory, on Effect's clock. */
  static readonly memory = (state: MemoryTurnQueueState): Layer.Layer<TurnQueue> =>
    Layer.sync(TurnQueue, () => memoryQueue(state))

  static readonly layerMemory: Layer.Layer<TurnQueue> = Layer.suspend(() =>
    TurnQueue.memory(makeMemoryTurnQueueState())
  )
}

/** The first message of each group: the only one that may be received. */
const heads = (queue: MemoryQueue): ReadonlyArray<MemoryMessage> => {
  const groups = new Set<GroupId>()
  return queue.messages.filter(({ entry }) => !groups.has(entry.group) && groups.add(entry.group))
}

const remove = (queue: MemoryQueue, message: MemoryMessage): void =>
  void queue.messages.splice(queue.messages.indexOf(message), 1)

const bury = (queue: MemoryQueue, message: MemoryMessage, now: number): void => {
  remove(queue, message)
  const { body, entry, receiveCount } = message
  // Again at the end, when the same key died before.
  queue.dead.delete(entry.key)
  queue.dead.set(entry.key, { ...entry, body, receiveCount, deadAt: now, noticed: false })
}

const add = (queue: MemoryQueue, entry: QueueEntry, now: number): void =>
  void queue.messages.push({
    entry,
    sentAt: now,
    body: entry.body,
    receiveCount: 0,
    receipt: undefined,
    receivedAt: 0,
    visibleAt: 0
  })

const memoryQueue = (state: MemoryTurnQueueState): TurnQueue["Service"] => {
  const found = (queue: SandboxId) =>
    Effect.suspend(() => {
      const messages = state.queues.get(queue)
      return messages === undefined ? Effect.fail(new QueueMissing({ queue })) : Effect.succeed(messages)
    })

  const take = (queue: MemoryQueue, now: number, visibilityMillis: number): Option.Option<ReceivedEntry> => {
    for (;;) {
      const message = heads(queue).find(({ visibleAt }) => visibleAt <= now)
      if (message === undefined) return Option.none()
      if (message.receiveCount >= turnQueueLimits.maxReceives) {
        bury(queue, message, now)
        continue
      }
      message.receiveCount++
      message.receivedAt = now
      message.visibleAt = now + Math.min(visibilityMillis, turnQueueLimits.maxVisibilityMillis)
      const receipt = `receipt-${++state.receipts}`
      message.receipt = receipt
      const { body, entry, receiveCount, sentAt } = message
      return Option.some({ ...entry, body, receipt, receiveCount, sentAt })
    }
  }

  const inFlight = (queue: SandboxId, receipt: string) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const messages = state.queues.get(queue)
      const message = messages?.messages.find((candidate) => candidate.receipt === receipt)
      return messages === undefined || message === undefined || message.visibleAt <= now
        ? Effect.fail(new ReceiptExpired({ receipt }))
        : Effect.succeed({ messages, message, now })
    })

  /** The waiting message of that key, or why there is none. */
  const waiting = (queue: SandboxId, key: TurnKey) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const messages = state.queues.get(queue)
      const all = messages?.messages.filter(({ entry }) => entry.key === key) ?? []
      if (all.some(({ visibleAt }) => visibleAt > now)) return "in-flight"
      return messages === undefined || all.length === 0 ? "absent" : { messages, all }
    })

  return TurnQueue.of({
    create: (queue) =>
      Effect.sync(() => {
        if (!state.queues.has(queue)) state.queues.set(queue, { messages: [], dedupe: new Map(), dead: new Map() })
      }),
    destroy: (queue) =>
      Effect.sync(() => {
        state.queues.delete(queue)
        state.bell.ring()
      }),
    send: Effect.fnUntraced(function*(queue, entry) {
      yield* checkBody("send", entry.body)
      const messages = yield* found(queue)
      const now = yield* Clock.currentTimeMillis
      for (const [key, until] of messages.dedupe) if (until <= now) messages.dedupe.delete(key)
      if (messages.dedupe.has(entry.key)) return { duplicate: true }
      messages.dedupe.set(entry.key, now + turnQueueLimits.dedupeMillis)
      add(messages, entry, now)
      state.bell.ring()
      return { duplicate: false }
    }),
    receive: Effect.fnUntraced(function*(queue, { visibility, wait }) {
      const start = yield* Clock.currentTimeMillis
      const until = start + Math.min(Duration.toMillis(wait), turnQueueLimits.maxWaitMillis)
      for (;;) {
        const rung = state.bell.count()
        const messages = yield* found(queue)
        const now = yield* Clock.currentTimeMillis
        const taken = take(messages, now, Duration.toMillis(visibility))
        if (Option.isSome(taken) || now >= until) return taken
        const soonest = heads(messages).reduce((least, { visibleAt }) => Math.min(least, visibleAt), until)
        yield* state.bell.wait(rung, Duration.millis(soonest - now))
      }
    }),
    extend: (queue, receipt, visibility) =>
      Effect.map(inFlight(queue, receipt), ({ message, now }) => {
        const last = message.receivedAt + turnQueueLimits.maxVisibilityMillis
        message.visibleAt = Math.min(now + Duration.toMillis(visibility), last)
        state.bell.ring()
      }),
    delete: (queue, receipt) =>
      Effect.map(inFlight(queue, receipt), ({ message, messages }) => {
        remove(messages, message)
        state.bell.ring()
      }),
    replace: (queue, key, body) =>
      Effect.andThen(
        checkBody("replace", body),
        Effect.map(waiting(queue, key), (hit) => {
          if (typeof hit === "string") return hit
          for (const message of hit.all) message.body = body
          return "replaced" as const
        })
      ),
    withdraw: (queue, key) =>
      Effect.map(waiting(queue, key), (hit) => {
        if (typeof hit === "string") return hit
        for (const message of hit.all) remove(hit.messages, message)
        state.bell.ring()
        return "withdrawn" as const
      }),
    peek: (queue, limit) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        (state.queues.get(queue)?.messages ?? [])
          .filter(({ visibleAt }) => visibleAt <= now)
          .slice(0, Math.max(0, limit))
          .map(({ body, entry }) => ({ ...entry, body }))),
    depth: (queue) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const { dead, messages } = state.queues.get(queue) ?? { dead: new Map(), messages: [] }
        const flying = messages.filter(({ visibleAt }) => visibleAt > now).length
        return { waiting: messages.length - flying, inFlight: flying, dead: dead.size }
      }),
    deadLetters: (queue) => Effect.sync(() => [...state.queues.get(queue)?.dead.values() ?? []]),
    markNoticed: (queue, key) =>
      Effect.sync(() => {
        const messages = state.queues.get(queue)
        const entry = messages?.dead.get(key)
        if (messages !== undefined && entry !== undefined) messages.dead.set(key, { ...entry, noticed: true })
      }),
    redrive: (queue, key) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const messages = state.queues.get(queue)
        const entry = messages?.dead.get(key)
        if (messages === undefined || entry === undefined) return false
        messages.dead.delete(key)
        add(messages, { key, group: entry.group, body: entry.body }, now)
        state.bell.ring()
        return true
      })
  })
}
