/** The queue's whole contract in memory, on Effect's clock. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { type GroupId, isLater, type SandboxId, type TurnKey } from "../../domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { type Bell, makeBell, whenRung } from "../Bell.ts"
import {
  aheadLimit,
  checkBody,
  QueueMissing,
  ReceiptExpired,
  SandboxEnding,
  stateAt,
  turnQueueLimits,
  whyNotAccepting
} from "../QueueRules.ts"
import { seenRetentionMillis } from "../Seen.ts"
import {
  type AcceptAnswer,
  type DeadEntry,
  type QueueAhead,
  type QueueDepth,
  type QueuedKey,
  type QueueEntry,
  type ReceivedEntry,
  TurnQueue
} from "../TurnQueue.ts"
import { makeMemorySeenState, type MemorySeenState } from "./MemorySeen.ts"

interface MemoryMessage {
  readonly entry: QueueEntry
  readonly generation: number
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
  /** What `accept` looks at and changes beside the queue. */
  readonly rows: Map<SandboxId, SandboxRow>
  readonly seen: MemorySeenState
  /** Numbers the receipts, so that runs are alike. */
  receipts: number
}
export const makeMemoryTurnQueueState = (
  beside: Partial<Pick<MemoryTurnQueueState, "rows" | "seen">> = {}
): MemoryTurnQueueState => ({
  queues: new Map(),
  bell: makeBell(),
  rows: beside.rows ?? new Map(),
  seen: beside.seen ?? makeMemorySeenState(),
  receipts: 0
})

/** The first message of each group: the only one that may be received. */
const heads = (queue: MemoryQueue): ReadonlyArray<MemoryMessage> => {
  const groups = new Set<GroupId>()
  return queue.messages.filter(({ entry }) => !groups.has(entry.group) && groups.add(entry.group))
}

const remove = (queue: MemoryQueue, message: MemoryMessage): void =>
  void queue.messages.splice(queue.messages.indexOf(message), 1)

const bury = (queue: MemoryQueue, message: MemoryMessage, now: number): void => {
  remove(queue, message)
  const { body, entry, generation, receiveCount } = message
  queue.dead.set(entry.key, { ...entry, body, generation, receiveCount, deadAt: now, noticed: false })
}

const add = (queue: MemoryQueue, entry: QueueEntry, now: number, generation = 1): void =>
  void queue.messages.push({
    entry,
    generation,
    sentAt: now,
    body: entry.body,
    receiveCount: 0,
    receipt: undefined,
    receivedAt: 0,
    visibleAt: 0
  })

/** True when it is new: not sent lately, not there and not among the dead. */
const send = (queue: MemoryQueue, entry: QueueEntry, now: number): boolean => {
  for (const [key, until] of queue.dedupe) if (until <= now) queue.dedupe.delete(key)
  const known = queue.dedupe.has(entry.key) || queue.dead.has(entry.key) ||
    queue.messages.some((message) => message.entry.key === entry.key)
  if (known) return false
  queue.dedupe.set(entry.key, now + turnQueueLimits.dedupeMillis)
  add(queue, entry, now)
  return true
}

export const memoryQueue = (state: MemoryTurnQueueState): TurnQueue["Service"] => {
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

  const keysAt = (queue: SandboxId, now: number): ReadonlyArray<QueuedKey> =>
    (state.queues.get(queue)?.messages ?? []).map(({ entry: { group, key }, visibleAt }) => ({
      key,
      group,
      state: stateAt(visibleAt, now)
    }))
  const aheadAt = (
    queue: SandboxId,
    { group, key }: Pick<QueueEntry, "key" | "group">,
    now: number
  ): QueueAhead | undefined => {
    const keys = keysAt(queue, now)
    const at = keys.findIndex((message) => message.key === key && message.group === group)
    if (keys[at]?.state !== "waiting") return undefined
    const inGroup = Math.min(aheadLimit, keys.slice(0, at).filter((message) => message.group === group).length)
    if (inGroup > 0) return { inGroup, otherGroups: 0 }
    const others = keys.filter((message) => message.group !== group && message.state === "in-flight")
    return { inGroup, otherGroups: new Set(others.map((message) => message.group)).size }
  }
  const depthAt = (queue: SandboxId, now: number): QueueDepth => {
    const { dead, messages } = state.queues.get(queue) ?? { dead: new Map(), messages: [] }
    const flying = messages.filter(({ visibleAt }) => visibleAt > now).length
    return { waiting: messages.length - flying, inFlight: flying, dead: dead.size }
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
      const message = messages?.messages.find(({ entry }) => entry.key === key)
      if (messages === undefined || message === undefined) return "absent"
      return message.visibleAt > now ? "in-flight" : { messages, message }
    })

  const checkAccepting = (sandbox: SandboxId, generation: string) =>
    Effect.suspend(() => {
      const why = whyNotAccepting(state.rows.get(sandbox), generation)
      return why === undefined ? Effect.void : Effect.fail(new SandboxEnding({ sandbox, why }))
    })

  return {
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
      if (send(messages, entry, yield* Clock.currentTimeMillis)) state.bell.ring()
    }),
    accept: Effect.fnUntraced(function*(queue, entry, terms) {
      yield* checkBody("accept", entry.body)
      const now = yield* Clock.currentTimeMillis
      // From here on without a pause: it is one step.
      return yield* Effect.suspend((): Effect.Effect<AcceptAnswer, QueueMissing | SandboxEnding> => {
        const rows = state.seen.rows
        const before = terms.seen.map((key) => rows.get(key)).find((seen) => seen !== undefined && seen.expiresAt > now)
        if (before !== undefined) return Effect.succeed({ _tag: "Repeated", turn: before.turn })
        const row = state.rows.get(queue)
        const why = whyNotAccepting(row, terms.generation)
        if (row === undefined || why !== undefined) {
          return Effect.fail(new SandboxEnding({ sandbox: queue, why: why ?? "gone" }))
        }
        const messages = state.queues.get(queue)
        if (messages === undefined) return Effect.fail(new QueueMissing({ queue }))
        if (send(messages, entry, now)) state.bell.ring()
        for (const key of terms.seen) rows.set(key, { turn: entry.key, expiresAt: now + seenRetentionMillis })
        if (terms.ts !== undefined && isLater(terms.ts, row.lastAcceptedTs ?? "")) {
          state.rows.set(queue, { ...row, lastAcceptedTs: terms.ts })
        }
        const ahead = aheadAt(queue, entry, now)
        return Effect.succeed(ahead === undefined ? { _tag: "Accepted" } : { _tag: "Accepted", ahead })
      })
    }),
    receive: Effect.fnUntraced(function*(queue, { visibility, wait }) {
      const start = yield* Clock.currentTimeMillis
      const until = start + Math.min(Duration.toMillis(wait), turnQueueLimits.maxWaitMillis)
      return yield* whenRung(state.bell, until, (now) =>
        Effect.map(found(queue), (messages) => {
          const taken = take(messages, now, Duration.toMillis(visibility))
          const nextAt = heads(messages).reduce((least, { visibleAt }) => Math.min(least, visibleAt), Infinity)
          return { found: taken, enough: Option.isSome(taken), nextAt }
        }))
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
          hit.message.body = body
          return "replaced" as const
        })
      ),
    withdraw: (queue, key) =>
      Effect.map(waiting(queue, key), (hit) => {
        if (typeof hit === "string") return hit
        remove(hit.messages, hit.message)
        state.bell.ring()
        return "withdrawn" as const
      }),
    get: (queue, key) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const message = state.queues.get(queue)?.messages.find(({ entry }) => entry.key === key)
        return Option.map(
          Option.fromNullishOr(message),
          ({ body, entry, visibleAt }) => ({ ...entry, body, state: stateAt(visibleAt, now) })
        )
      }),
    keys: (queue, group) =>
      Effect.map(
        Clock.currentTimeMillis,
        (now) => keysAt(queue, now).filter((message) => group === undefined || message.group === group)
      ),
    ahead: (queue, message) =>
      Effect.map(Clock.currentTimeMillis, (now) => Option.fromNullishOr(aheadAt(queue, message, now))),
    depth: (queue) => Effect.map(Clock.currentTimeMillis, (now) => depthAt(queue, now)),
    occupied: Effect.map(Clock.currentTimeMillis, (now) =>
      new Map(
        [...state.queues.keys()].map((queue) => [queue, depthAt(queue, now)] as const)
          .filter(([, depth]) => depth.dead + depth.inFlight + depth.waiting > 0)
      )),
    deadLetters: (queue) => Effect.sync(() => [...state.queues.get(queue)?.dead.values() ?? []]),
    markNoticed: (queue, key) =>
      Effect.sync(() => {
        const messages = state.queues.get(queue)
        const entry = messages?.dead.get(key)
        if (messages !== undefined && entry !== undefined) messages.dead.set(key, { ...entry, noticed: true })
      }),
    redrive: Effect.fnUntraced(function*(queue, key, generation) {
      const now = yield* Clock.currentTimeMillis
      yield* checkAccepting(queue, generation)
      const messages = state.queues.get(queue)
      const entry = messages?.dead.get(key)
      if (messages === undefined || entry === undefined) return false
      messages.dead.delete(key)
      add(messages, { key, group: entry.group, body: entry.body }, now, entry.generation + 1)
      state.bell.ring()
      return true
    })
  }
}

export const layerOver = (state: MemoryTurnQueueState): Layer.Layer<TurnQueue> =>
  Layer.sync(TurnQueue, () => TurnQueue.of(memoryQueue(state)))

export const layer: Layer.Layer<TurnQueue> = Layer.suspend(() => layerOver(makeMemoryTurnQueueState()))
