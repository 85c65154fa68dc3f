/**
 * Who takes part in turns: the origin of each kind, the observers, and who adds something to the agent's surroundings, as
 * plugins register them. Whatever they do, a turn survives: an origin that dies is asked again, the others are left out.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { originKind, type TurnRow } from "../../domain/turn/Turn.ts"
import type { AgentContribution, AgentDoor, DoorConnection } from "../../ports/Agent.ts"
import { pauseAfter } from "../../ports/Backoff.ts"
import type { OriginHandler, PluginId, PluginInstance, TurnObserver } from "../../ports/Plugin.ts"
import { addedLines } from "./Prompt.ts"

/** What a plugin adds to the agent's surroundings and to what it is told. */
export type Addition = Pick<PluginInstance, "agent" | "gather" | "notices" | "promptLines">

export interface PluginNotice {
  readonly plugin: PluginId
  /** At least one. */
  readonly lines: ReadonlyArray<string>
}

interface Party<A> {
  readonly plugin: PluginId
  readonly value: A
  /** Completed when the plugin stops: whoever waits for an answer of it asks the next one. */
  readonly gone: Deferred.Deferred<void>
}

/** The origin's plugin died in the same call each time it was asked. A bug of that plugin; its log has the causes. */
export class OriginBroken extends Schema.TaggedError<OriginBroken>()("OriginBroken", {
  kind: Schema.String,
  call: Schema.String
}) {
  override get message(): string {
    return `the origin of ${this.kind} turns died in ${this.call} each time; see the log`
  }
}

/** An origin that dies in one call is asked again this often, over about two minutes; then the call is given up. */
const originTries = 8
const afterDeath = { firstMillis: 1_000, longestMillis: 60_000 }

/**
 * An observer that neither answers nor fails holds a turn no longer than this before and while the agent starts, and
 * once the outcome is visible: nobody waits for what it shows then.
 */
const observerLimit = "10 seconds"

/**
 * And no longer than this when the agent is gone: longer than the outage of ten minutes that durable bridge calls must ride out,
 * because an answer that an observer is about to show must not be posted beside it.
 */
const observerEndLimit = "20 minutes"

/** A plugin that does not say in this time what the agent, or people, are to be told is left out. */
const linesLimit = "10 seconds"

/** What is fetched for a turn is waited for: 25 files of 100 MB over a slow line. */
const gatherLimit = "15 minutes"

/** Ports of doors (`AgentDoor`); below them are the runtime's own. */
const firstDoorPort = 4_703
const lastDoorPort = 4_799

/** Another plugin has a door of the same name or port, or these are not what a door's may be. */
export class DoorNotFree extends Schema.TaggedError<DoorNotFree>()("DoorNotFree", {
  door: Schema.String,
  port: Schema.Finite
}) {
  override get message(): string {
    return `the door ${this.door} on port ${this.port} is taken, or no door of a plugin`
  }
}

const mayBeDoor = ({ name, port }: AgentDoor): boolean =>
  /^[a-z][a-z0-9-]{0,31}$/.test(name) && name !== "model" && name !== "hooks" && Number.isInteger(port)
  && port >= firstDoorPort && port <= lastDoorPort

export class TurnParties extends Context.Service<TurnParties, {
  /** Until the scope closes. A second origin of a kind takes the place of the first. */
  readonly addOrigin: (plugin: PluginId, origin: OriginHandler) => Effect.Effect<void, never, Scope.Scope>
  readonly addObserver: (plugin: PluginId, observer: TurnObserver) => Effect.Effect<void, never, Scope.Scope>
  /** Until the scope closes; connections to its doors are then cut. */
  readonly addAddition: (plugin: PluginId, addition: Addition) => Effect.Effect<void, DoorNotFree, Scope.Scope>
  /** What those that run now add to the agent's surroundings, in the order of registration. */
  readonly contributions: Effect.Effect<ReadonlyArray<AgentContribution>>
  /** What they say of a turn to its agent; who fails or takes too long is left out. */
  readonly promptLines: (row: TurnRow) => Effect.Effect<ReadonlyArray<string>>
  /** What they fetched for a turn, all at the same time; who fails or takes too long is left out. */
  readonly gathered: (row: TurnRow) => Effect.Effect<ReadonlyArray<string>>
  /** What they say of a turn to people, without those who have nothing to say; who fails or takes too long is left out. */
  readonly notices: (row: TurnRow) => Effect.Effect<ReadonlyArray<PluginNotice>>
  /**
   * Asks the origin of a kind, waiting until there is one. A call that dies, or whose plugin stops meanwhile, is made
   * again, as its contract allows; after eight deaths in a row it fails with `OriginBroken`.
   */
  readonly ask: <A, E>(
    kind: string,
    call: string,
    f: (origin: OriginHandler) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E | OriginBroken>
  /** Tells every observer, one after the other, in the order of registration; those that fail are left out. */
  readonly tell: <A, R>(
    call: keyof TurnObserver,
    f: (observer: TurnObserver) => Effect.Effect<A, never, R>
  ) => Effect.Effect<ReadonlyArray<A>, never, R>
}>()("km/runtime/kernel/turns/TurnParties") {
  static readonly layer = Layer.effect(
    TurnParties,
    Effect.sync(() => {
      const origins = new Map<string, Party<OriginHandler>>()
      const observers: Array<Party<TurnObserver>> = []
      const additions: Array<Party<Addition>> = []
      const arrived = Latch.makeUnsafe(false)

      /** Waits for registrations without polling: every arrival wakes all who wait. */
      const originOf = (kind: string): Effect.Effect<Party<OriginHandler>> =>
        Effect.suspend(() => {
          const party = origins.get(kind)
          if (party !== undefined) return Effect.succeed(party)
          arrived.closeUnsafe()
          return Effect.andThen(arrived.await, originOf(kind))
        })

      const ask = Effect.fnUntraced(function*<A, E>(
        kind: string,
        call: string,
        f: (origin: OriginHandler) => Effect.Effect<A, E>
      ): Effect.fn.Return<A, E | OriginBroken> {
        for (let deaths = 0; deaths < originTries;) {
          const party = yield* originOf(kind)
          const exit = yield* Effect.exit(Effect.raceFirst(
            Effect.map(Effect.suspend(() => f(party.value)), (value) => ({ value })),
            Effect.as(Deferred.await(party.gone), undefined)
          ))
          if (Exit.isSuccess(exit)) {
            if (exit.value !== undefined) return exit.value.value
            continue
          }
          const failure = Cause.findErrorOption(exit.cause)
          if (failure._tag === "Some") return yield* Effect.fail(failure.value)
          deaths++
          yield* Effect.logError("an origin crashed and is asked again", exit.cause).pipe(
            Effect.annotateLogs({ plugin: party.plugin, call, deaths })
          )
          yield* Effect.sleep(pauseAfter(afterDeath, deaths))
        }
        return yield* new OriginBroken({ kind, call })
      })

      const contained = <A, R>(
        party: Party<TurnObserver>,
        call: keyof TurnObserver,
        effect: Effect.Effect<A, never, R>
      ) =>
        effect.pipe(
          Effect.raceFirst(Effect.andThen(Deferred.await(party.gone), Effect.die("the plugin stopped"))),
          Effect.timeoutOption(call === "exited" ? observerEndLimit : observerLimit),
          Effect.exit,
          Effect.flatMap((exit) => {
            if (Exit.isSuccess(exit) && exit.value._tag === "Some") return Effect.succeed([exit.value.value])
            return Effect.logWarning(
              "an observer failed and is left out",
              Exit.isFailure(exit) ? exit.cause : "it took too long"
            ).pipe(Effect.annotateLogs({ plugin: party.plugin, call }), Effect.as<ReadonlyArray<A>>([]))
          })
        )

      const join =
        <A>(list: { readonly add: (party: Party<A>) => void; readonly remove: (party: Party<A>) => void }) =>
        (plugin: PluginId, value: A) =>
          Effect.acquireRelease(
            Effect.sync(() => {
              const party: Party<A> = { plugin, value, gone: Deferred.makeUnsafe() }
              list.add(party)
              return party
            }),
            (party) =>
              Effect.sync(() => list.remove(party)).pipe(Effect.andThen(Deferred.succeed(party.gone, undefined)))
          ).pipe(Effect.asVoid)

      const addAddition = join<Addition>({
        add: (party) => void additions.push(party),
        remove: (party) => void additions.splice(additions.indexOf(party), 1)
      })

      /** As it is while its plugin lives: who connects later is cut, so that nobody waits for what has stopped. */
      const whileThere = ({ gone }: Party<Addition>, door: AgentDoor): AgentDoor => ({
        ...door,
        open: (run) =>
          Effect.gen(function*() {
            const serve = yield* door.open(run)
            const held = new Set<DoorConnection>()
            yield* Effect.forkScoped(Effect.andThen(
              Deferred.await(gone),
              Effect.sync(() => held.forEach((connection) => void connection.destroy()))
            ))
            return (connection) => {
              if (Deferred.isDoneUnsafe(gone)) return void connection.destroy()
              held.add(connection)
              connection.once("close", () => void held.delete(connection))
              serve(connection)
            }
          })
      })

      const contributions = Effect.sync(() =>
        additions.flatMap((party): ReadonlyArray<AgentContribution> => {
          const { agent } = party.value
          if (agent === undefined) return []
          return [{ ...agent, doors: (agent.doors ?? []).map((door) => whileThere(party, door)) }]
        })
      )

      const linesOf = Effect.fnUntraced(function*(
        { gone, plugin, value }: Party<Addition>,
        of: "gather" | "notices" | "promptLines",
        row: TurnRow
      ) {
        if (value[of] === undefined) return []
        const exit = yield* Effect.suspend(() => value[of]?.(row) ?? Effect.succeed([])).pipe(
          Effect.raceFirst(Effect.andThen(Deferred.await(gone), Effect.die("the plugin stopped"))),
          Effect.timeoutOrElse({
            duration: of === "gather" ? gatherLimit : linesLimit,
            orElse: () => Effect.die("it took too long")
          }),
          Effect.exit
        )
        if (Exit.isSuccess(exit)) return addedLines(exit.value)
        yield* Effect.logWarning("what a plugin tells of a turn is left out", exit.cause).pipe(
          Effect.annotateLogs({ plugin, of })
        )
        return []
      })

      return TurnParties.of({
        addAddition: (plugin, addition) =>
          Effect.suspend(() => {
            const taken = additions.flatMap(({ value }) => value.agent?.doors ?? [])
            const doors = addition.agent?.doors ?? []
            const bad = doors.find((door, n) =>
              !mayBeDoor(door) ||
              [...taken, ...doors.slice(0, n)].some(({ name, port }) => name === door.name || port === door.port)
            )
            return bad === undefined
              ? addAddition(plugin, addition)
              : Effect.fail(new DoorNotFree({ door: bad.name, port: bad.port }))
          }),
        contributions,
        promptLines: (row) =>
          Effect.map(
            Effect.forEach([...additions], (party) => linesOf(party, "promptLines", row)),
            (lines) => lines.flat()
          ),
        gathered: (row) =>
          Effect.map(
            Effect.forEach([...additions], (party) => linesOf(party, "gather", row), { concurrency: "unbounded" }),
            (lines) => lines.flat()
          ),
        notices: (row) =>
          Effect.map(
            Effect.forEach([...additions], (party) =>
              Effect.map(linesOf(party, "notices", row), (lines): PluginNotice => ({ plugin: party.plugin, lines }))),
            (all) =>
              all.filter(({ lines }) =>
                lines.length > 0
              )
          ),
        addOrigin: join<OriginHandler>({
          add: (party) => {
            origins.set(party.value.kind, party)
            arrived.openUnsafe()
          },
          remove: (party) => {
            if (origins.get(party.value.kind) === party) origins.delete(party.value.kind)
          }
        }),
        addObserver: join<TurnObserver>({
          add: (party) => void observers.push(party),
          remove: (party) => void observers.splice(observers.indexOf(party), 1)
        }),
        ask,
        tell: (call, f) =>
          Effect.map(
            Effect.forEach([...observers], (party) => contained(party, call, Effect.suspend(() => f(party.value)))),
            (answers) => answers.flat()
          )
      })
    })
  )
}

/** Asks the origin of a row; a call that is broken for good is logged and left out, and `otherwise` taken. */
export const askOr = <A>(
  parties: TurnParties["Service"],
  row: TurnRow,
  call: Exclude<keyof OriginHandler, "kind" | "settle">,
  f: (origin: OriginHandler) => Effect.Effect<A>,
  otherwise: A
): Effect.Effect<A> =>
  parties.ask(originKind(row.request.origin), call, f).pipe(
    Effect.catchTag("OriginBroken", (error) => Effect.as(Effect.logError(error.message), otherwise))
  )
