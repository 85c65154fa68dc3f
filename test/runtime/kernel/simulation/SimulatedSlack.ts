/**
 * A bridge with idempotency and an origin plugin over it, written to the promises of the `Plugin`, `Turns` and
 * `TurnQueue` ports: what `slack-inbound` and `transcript` have to do, and nothing more.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { MessageTs } from "../../../../runtime/domain/sandbox/Ids.ts"
import { sha256Hex } from "../../../../runtime/domain/text/Digest.ts"
import { outcomeText } from "../../../../runtime/domain/turn/OutcomeText.ts"
import { TurnRequest, type TurnRow } from "../../../../runtime/domain/turn/Turn.ts"
import { personFrame } from "../../../../runtime/domain/turn/TurnFrame.ts"
import * as MemoryTurnQueue from "../../../../runtime/ports/memory/MemoryTurnQueue.ts"
import { type OriginHandler, type Plugin, PluginId, type TurnObserver } from "../../../../runtime/ports/Plugin.ts"
import { type ReceivedEntry, TurnQueue } from "../../../../runtime/ports/TurnQueue.ts"
import { Turns } from "../../../../runtime/ports/Turns.ts"
import { gate, type Incarnation, perhapsDie, sandbox, type World } from "./World.ts"

/** Milliseconds from a request to Slack's answer. */
const latency = 20

const decodeRequest = Schema.decodeUnknownEffect(Schema.fromJsonString(TurnRequest))

/** The bridge over the world: first writer of a key wins; an older epoch is refused, here by never being answered. */
const bridge = (world: World, incarnation: Incarnation, epoch: number) => {
  const through = gate(world, incarnation)
  const reach = Effect.gen(function*() {
    yield* Effect.sleep(latency)
    const now = yield* Clock.currentTimeMillis
    if (now < world.bridgeUpAt) yield* Effect.sleep(world.bridgeUpAt - now)
    if ((world.leases.leases.get(sandbox)?.epoch ?? epoch) !== epoch) {
      world.log.push(`bridge refuses epoch ${epoch}`)
      return yield* Effect.never
    }
  })
  return {
    post: (row: TurnRow, key: string, text: string) =>
      Effect.andThen(
        reach,
        through(
          `bridge.post ${key}`,
          Effect.sync(() => {
            const found = world.posts.get(key)
            if (found !== undefined) return found
            const ts = `1700000000.${String(world.posts.size).padStart(6, "0")}`
            const post = { key, group: row.request.group, text, epoch, ts }
            world.posts.set(key, post)
            return post
          })
        )
      ),
    edit: (key: string, text: string) =>
      Effect.andThen(
        reach,
        through(
          `bridge.edit ${key}`,
          Effect.sync(() => {
            const found = world.posts.get(key)
            if (found !== undefined) found.text = text
          })
        )
      ),
    react: (key: string, add: boolean) =>
      Effect.andThen(
        reach,
        through(
          `bridge.${add ? "react" : "unreact"} ${key}`,
          Effect.sync(() => void (add ? world.reactions.add(key) : world.reactions.delete(key)))
        )
      )
  }
}

/** The state that must be on disk before an effect that a person can see. */
const expectState = (
  world: World,
  incarnation: Incarnation,
  row: TurnRow,
  effect: string,
  states: ReadonlyArray<string>
) => {
  if (incarnation.dead) return
  const found = world.ledger.rows.get(row.key)
  if (found === undefined || !states.includes(found.state)) {
    world.violations.push(`${effect} of ${row.key} while its row is ${found?.state ?? "absent"}`)
  }
}

export const origin = (world: World, incarnation: Incarnation, epoch: number): OriginHandler => {
  const slack = bridge(world, incarnation, epoch)
  const through = gate(world, incarnation)
  const dying = (call: string) => perhapsDie(world, call)
  return {
    kind: "slack",
    environment: () => ({ KM_SLACK_THREAD_TS: "1.000001" }),
    frame: (row) => Effect.succeed(personFrame({ sender: "Ada (U1)", place: row.request.group, ...row.request })),
    prepare: (row) => Effect.andThen(dying("prepare"), Effect.sync(() => world.threads.get(row.request.group))),
    starting: (row) =>
      // Not withdrawn when the wait for it ends: it is on its way.
      dying("starting").pipe(
        Effect.andThen(Effect.forkDetach(Effect.andThen(
          Effect.sleep(world.waitMillis),
          slack.react(`${row.key}/wait`, true)
        ))),
        Effect.flatMap(Fiber.join)
      ),
    notice: (row, step, text) => Effect.asVoid(slack.post(row, `${row.key}/${step}/0`, text)),
    replaying: (parked, row) => slack.edit(`${parked.key}/answer/0`, `runs again as ${row.key}`),
    settle: (row) =>
      Effect.suspend(() => {
        expectState(world, incarnation, row, "settle", ["answered"])
        const text = outcomeText(row)
        return slack.post(row, `${row.key}/answer/0`, text).pipe(
          // The worst place to die: shown already, and nobody knows.
          Effect.tap(dying("settle")),
          Effect.map((post) => [{ ts: MessageTs.make(post.ts), sha256: sha256Hex(text) }])
        )
      }),
    close: (row, session) =>
      Effect.suspend(() => {
        expectState(world, incarnation, row, "close", ["posted"])
        const remembered = session === undefined ? Effect.void : through(
          `thread.put ${row.request.group}`,
          Effect.sync(() => void world.threads.set(row.request.group, session))
        )
        return remembered.pipe(
          Effect.andThen(slack.react(`${row.key}/done`, true)),
          Effect.andThen(dying("close")),
          Effect.andThen(slack.react(`${row.key}/wait`, false))
        )
      }),
    finish: (row) =>
      Effect.gen(function*() {
        const queue = yield* TurnQueue
        expectState(world, incarnation, row, "finish", ["posted", "settled"])
        if (row.receipt === undefined) return
        yield* through(`queue.delete ${row.key}`, Effect.ignore(queue.delete(sandbox, row.receipt)))
        yield* dying("finish")
      }).pipe(Effect.provide(MemoryTurnQueue.layerOver(world.queue)))
  }
}

export const inboundPlugin = (
  world: World,
  incarnation: Incarnation,
  epoch: number
): Plugin<{}, TurnQueue | Turns> => ({
  id: PluginId.make("slack-inbound"),
  after: [],
  essential: true,
  enabled: () => true,
  config: Schema.Struct({}),
  configure: () => ({}),
  start: Effect.fnUntraced(function*() {
    const turns = yield* Turns
    const queue = yield* TurnQueue
    return { origin: origin(world, incarnation, epoch), run: receiving(world, incarnation, turns, queue) }
  })
})

const receiving = Effect.fnUntraced(
  function*(world: World, incarnation: Incarnation, turns: Turns["Service"], queue: TurnQueue["Service"]) {
    const through = gate(world, incarnation)

    // As the controls port promises: until acknowledged.
    for (const stop of world.stops) {
      yield* Effect.forkScoped(Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        yield* Effect.sleep(Math.max(0, stop.at - now))
        yield* through(`turns.stop ${stop.turn}`, Effect.orDie(turns.stop({ turn: stop.turn }, "Ada")))
        yield* through(
          "controls.acknowledge",
          Effect.sync(() => void world.stops.splice(world.stops.indexOf(stop), 1))
        )
      }))
    }

    const handle = Effect.fnUntraced(function*(entry: ReceivedEntry) {
      // In every state, from the receive until settled.
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(
        Effect.sleep("30 seconds"),
        through(`queue.extend ${entry.key}`, Effect.ignore(queue.extend(sandbox, entry.receipt, Duration.seconds(120))))
      )))
      const request = yield* Effect.orDie(decodeRequest(entry.body))
      const taken = yield* turns.submit(request, entry.receipt).pipe(Effect.retry(Schedule.spaced("5 seconds")))
      if (taken !== "settled") yield* turns.settled(entry.key)
      if (taken !== "accepted") {
        yield* through(`queue.delete ${entry.key} again`, Effect.ignore(queue.delete(sandbox, entry.receipt)))
      }
    })

    return yield* Effect.forever(Effect.gen(function*() {
      const slot = yield* Scope.make()
      yield* Scope.provide(turns.slot, slot)
      const got = yield* through(
        "queue.receive",
        Effect.orDie(queue.receive(sandbox, { wait: Duration.seconds(20), visibility: Duration.seconds(120) }))
      )
      if (Option.isNone(got)) return yield* Scope.close(slot, Exit.void)
      yield* handle(got.value).pipe(
        Effect.catchCause((cause) => Effect.logWarning("a message could not be taken", cause)),
        Effect.scoped,
        Effect.ensuring(Scope.close(slot, Exit.void)),
        Effect.forkScoped
      )
    }))
  }
)

/** Watches and uploads; counts what it saw. */
export const transcriptPlugin = (world: World, incarnation: Incarnation): Plugin<{}> => {
  const through = gate(world, incarnation)
  const dying = (call: string) => perhapsDie(world, call)
  const observer: TurnObserver = {
    starting: () => dying("observer.starting"),
    started: (_row, process) =>
      Effect.andThen(dying("observer.started"), Effect.asVoid(Effect.forkScoped(Stream.runDrain(process.events)))),
    exited: () => Effect.as(dying("observer.exited"), []),
    posted: (row) =>
      Effect.andThen(
        dying("observer.posted"),
        through(
          `upload ${row.session}`,
          Effect.sync(() => {
            expectState(world, incarnation, row, "upload", ["posted"])
            if (row.session !== undefined) world.uploads.add(row.session)
          })
        )
      )
  }
  return {
    id: PluginId.make("transcript"),
    after: [PluginId.make("slack-inbound")],
    essential: false,
    enabled: () => true,
    config: Schema.Struct({}),
    configure: () => ({}),
    start: () => Effect.succeed({ observers: [observer] })
  }
}
