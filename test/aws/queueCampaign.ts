/**
 * Many threads' messages through the queue while everything fails that may fail. Counts what is lost, doubled or out of order;
 * what is right is taken from the service itself: the order in which transactions really came there.
 */
import { Duration, Effect, Exit, Fiber, Layer, Option } from "effect"
import { GroupId, MessageTs, SandboxId, TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import { Aws, type AwsAround, type AwsSettings } from "../../runtime/engines/aws/Aws.ts"
import * as AwsEngine from "../../runtime/engines/aws/AwsEngine.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { sandboxRow } from "../runtime/ports/sandboxesContract.ts"
import { Crash, type FaultRates, makeFaults, numbers } from "./faults.ts"
import { openAccount, withAround } from "./SteeredAws.ts"

export interface CampaignOptions {
  readonly endpoint: string
  readonly seed: number
  readonly messages: number
  readonly threads: number
  readonly rates: FaultRates
  /** How likely a process ends at a request. */
  readonly crashes: number
}

export interface CampaignReport {
  readonly lost: ReadonlyArray<string>
  readonly doubled: ReadonlyArray<string>
  readonly outOfOrder: ReadonlyArray<string>
  readonly left: number
  readonly crashed: number
  readonly requests: number
  readonly faults: Readonly<Record<keyof FaultRates, number>>
}

const queue = SandboxId.make("sb-00000001")
const receivers = 6
const visibility = Duration.seconds(30)

const openTurns = (settings: AwsSettings, ...around: ReadonlyArray<AwsAround>) =>
  Layer.build(Layer.fresh(Layer.provide(AwsEngine.layer, Aws.layer(withAround(settings, ...around)))))

/** The key of the message that a request commits, if it commits one. */
const committedBy = (operation: string, input: object): string | undefined => {
  if (operation !== "TransactWriteItems" || !("TransactItems" in input)) return undefined
  const items = input.TransactItems as ReadonlyArray<
    { readonly Put?: { readonly Item: Readonly<Record<string, { readonly S?: string }>> } }
  >
  return items.map(({ Put }) => Put?.Item["turn_key"]?.S).find((key) => key !== undefined)
}

export const campaign = Effect.fnUntraced(function*(options: CampaignOptions) {
  const { crashes, endpoint, messages, rates, seed, threads } = options
  const { passing, settings } = yield* openAccount(endpoint)
  const random = numbers(seed)
  const faults = makeFaults(random, rates)
  /** By thread, in the order of their first commit. */
  const committed = new Map<string, Array<string>>()
  const known = new Set<string>()
  let requests = 0
  let crashed = 0
  const watching: AwsAround = (request, send) =>
    Effect.tap(send, () =>
      Effect.sync(() => {
        requests++
        const key = committedBy(request.operation, request.input)
        if (key === undefined || known.has(key)) return
        known.add(key)
        const thread = key.split(":")[1] ?? ""
        committed.set(thread, [...(committed.get(thread) ?? []), key])
      }))
  let ending = false
  const crashing: AwsAround = (_request, send) =>
    Effect.suspend(() => {
      const drawn = random()
      if (ending || drawn >= crashes) return send
      crashed++
      const crash = Effect.die(new Crash())
      return drawn < crashes / 2 ? crash : Effect.andThen(Effect.exit(send), crash)
    })
  const context = yield* openTurns(settings, faults.around, watching)
  const dying = yield* openTurns(settings, crashing, faults.around, watching)
  yield* faults.stop(true)
  const turns = yield* Effect.provide(TurnQueue, context)
  const frail = yield* Effect.provide(TurnQueue, dying)
  yield* turns.create(queue)
  yield* (yield* Effect.provide(Sandboxes, context)).insert(sandboxRow(queue))
  yield* faults.stop(false)

  /** Slack: the next message of a thread comes whether or not the one before was answered; that one is sent again. */
  const produce = Effect.fnUntraced(function*(thread: number) {
    const channel = `C${thread}`
    const count = Math.floor(messages / threads) + (thread < messages % threads ? 1 : 0)
    const open: Array<number> = []
    const accept = (n: number) => {
      const ts = `17000${String(n).padStart(5, "0")}.000000`
      const key = TurnKey.make(`T1:${channel}:${ts}`)
      return Effect.exit(frail.accept(
        queue,
        { key, group: GroupId.make(channel), body: key },
        { generation: "1", seen: [`turn:${key}`, `client:${key}`], ts: MessageTs.make(ts) }
      ))
    }
    for (let n = 0; n < count || open.length > 0;) {
      const again = open.length > 0 && (n >= count || random() < 0.5)
      const which = again ? open.shift() ?? 0 : n++
      if (Exit.isFailure(yield* accept(which))) open.push(which)
      yield* Effect.sleep(Duration.millis(200 + Math.floor(random() * 2_000)))
    }
  })

  const settled = new Map<string, number>()
  const firstTaken = new Map<string, Array<string>>()
  const doubled: Array<string> = []
  /** The agent's turn: what was taken first is what the thread sees first. */
  const consume = Effect.gen(function*() {
    for (;;) {
      const received = yield* Effect.exit(frail.receive(queue, { wait: Duration.zero, visibility }))
      if (Exit.isFailure(received) || Option.isNone(received.value)) {
        yield* Effect.sleep(Duration.millis(1_000 + Math.floor(random() * 1_000)))
        continue
      }
      const { group, key, receipt } = received.value.value
      if ((settled.get(key) ?? 0) > 0) doubled.push(`${key} came after it was settled`)
      const taken = firstTaken.get(group) ?? []
      if (!taken.includes(key)) firstTaken.set(group, [...taken, key])
      yield* Effect.sleep(Duration.millis(Math.floor(random() * 3_000)))
      const deleted = yield* Effect.exit(frail.delete(queue, receipt))
      if (Exit.isSuccess(deleted)) settled.set(key, (settled.get(key) ?? 0) + 1)
    }
  })
  const consumers = yield* Effect.forEach(
    Array.from({ length: receivers }),
    () => Effect.forkChild(consume)
  )
  const producers = yield* Effect.forkChild(
    Effect.forEach(Array.from({ length: threads }, (_, thread) => thread), produce, {
      concurrency: "unbounded",
      discard: true
    })
  )
  const passUntil = Effect.fnUntraced(function*(done: () => boolean, most: number) {
    for (let steps = 0; steps < most && !done(); steps++) yield* passing("1 second")
  })
  yield* passUntil(() => producers.pollUnsafe() !== undefined, Infinity)
  yield* Fiber.join(producers)
  ending = true
  yield* faults.stop(true)
  // Ten minutes of virtual time, in which whatever lost its ticket is found.
  let left = 1
  for (let minutes = 0; minutes < 20 && left > 0; minutes++) {
    yield* passUntil(() => false, 30)
    const depth = yield* turns.depth(queue)
    left = depth.waiting + depth.inFlight
  }
  yield* Fiber.interruptAll(consumers)
  for (const [key, times] of settled) if (times > 1) doubled.push(`${key} was settled ${times} times`)
  const outOfOrder: Array<string> = []
  const lost: Array<string> = []
  for (const [thread, keys] of committed) {
    const taken = firstTaken.get(thread) ?? []
    lost.push(...keys.filter((key) => !taken.includes(key)))
    const expected = keys.filter((key) => taken.includes(key))
    outOfOrder.push(...taken.filter((key, n) => expected[n] !== key))
  }
  const total = [...committed.values()].reduce((sum, keys) => sum + keys.length, 0)
  if (total !== messages) lost.push(`${messages - total} were never committed`)
  return { lost, doubled, outOfOrder, left, crashed, requests, faults: faults.met } satisfies CampaignReport
}, Effect.scoped)
