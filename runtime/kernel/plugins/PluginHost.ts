/**
 * Runs the plugins that a profile enables: each in a scope of its own, started in order, started again when it crashes,
 * stopped in reverse. Knows no plugin by name.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { pauseAfter } from "../../ports/Backoff.ts"
import { type AnyPlugin, PluginError, type PluginId, type PluginInstance } from "../../ports/Plugin.ts"
import { SandboxInfo } from "../../ports/SandboxInfo.ts"
import { failure } from "../turns/TurnErrors.ts"
import { TurnParties } from "../turns/TurnParties.ts"
import { TurnPipeline } from "../turns/TurnPipeline.ts"

/** The first pause before a crashed plugin is started again; doubled each time, at most a minute. */
const restarting = { firstMillis: 1_000, longestMillis: 60_000 }

/** A plugin that ran this long starts again with the first pause. */
const steadyMillis = 300_000

/** A plugin that does not let go in this time is left behind, and the next is stopped. */
const stopLimit = "10 seconds"

/**
 * The turn in hand gets this long when the runtime stops; what is not over then is taken up by the next start. Under
 * systemd's default of 90 s (TimeoutStopSec, systemd.service(5)), with room for the plugins' own stop.
 */
export const drainLimit = Duration.seconds(45)

/** The plugins cannot be put in order: `plugins` names those that wait for each other. */
export class PluginCircle extends Schema.TaggedError<PluginCircle>()("PluginCircle", {
  plugins: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const { code, reason, remedy } = failure("KM-HST-101")
    return `${reason} ${remedy} (${code}: ${this.plugins.join(", ")})`
  }
}

/**
 * `starting`: its first start is on the way. `restarting`: it crashed and waits for its next start. `failed`: its
 * configuration is bad, so it stays down.
 */
export interface PluginStatus {
  readonly id: PluginId
  readonly state: "starting" | "running" | "restarting" | "failed" | "stopped"
  readonly essential: boolean
  /** One line for `km status`: the plugin's own while it runs, else why it does not. */
  readonly detail: string
  readonly restarts: number
}

interface Running<R> {
  readonly plugin: AnyPlugin<R>
  state: PluginStatus["state"]
  detail: string
  restarts: number
  instance: PluginInstance | undefined
  readonly tried: Deferred.Deferred<void>
  fiber: Fiber.Fiber<void> | undefined
}

/** Those enabled, each after all it names in `after`; among equals the order of the list is kept. */
export const startOrder = <R>(
  plugins: ReadonlyArray<AnyPlugin<R>>
): Effect.Effect<ReadonlyArray<AnyPlugin<R>>, PluginCircle> => {
  const left = new Map(plugins.map((plugin) => [plugin.id, plugin]))
  const ordered: Array<AnyPlugin<R>> = []
  while (left.size > 0) {
    const next = [...left.values()].find((plugin) => plugin.after.every((id) => !left.has(id)))
    if (next === undefined) return Effect.fail(new PluginCircle({ plugins: [...left.keys()] }))
    left.delete(next.id)
    ordered.push(next)
  }
  return Effect.succeed(ordered)
}

/** Why a plugin is not running, in one line. */
const reasonOf = (cause: Cause.Cause<PluginError>): string => {
  const found = Cause.findErrorOption(cause)
  return found._tag === "Some"
    ? found.value.detail
    : Cause.hasInterruptsOnly(cause)
    ? "it was interrupted"
    : "it crashed"
}

const isBadConfig = (cause: Cause.Cause<PluginError>): boolean => {
  const found = Cause.findErrorOption(cause)
  return found._tag === "Some" && found.value.reason === "BadConfig"
}

/** Closes what a plugin acquired; a finalizer that dies is the plugin's shame and nobody else's harm. */
const letGo = (scope: Scope.Closeable) =>
  Effect.exit(Scope.close(scope, Exit.void)).pipe(
    Effect.flatMap((exit) =>
      Exit.isSuccess(exit) ? Effect.void : Effect.logWarning("a plugin failed to let go", exit.cause)
    )
  )

export class PluginHost extends Context.Service<PluginHost, {
  /** In start order. */
  readonly status: Effect.Effect<ReadonlyArray<PluginStatus>>
  /** True while every essential plugin runs. */
  readonly ready: Effect.Effect<boolean>
  /** Completes once `ready` is true for the first time. */
  readonly untilReady: Effect.Effect<void>
}>()("km/runtime/kernel/plugins/PluginHost") {
  /**
   * Starts the enabled plugins of the list, then lets the pipeline take up its open turns, then begins what they returned
   * to `run`. Built when every plugin has been tried once, however that went; the rest follows. Closing it drains the pipeline, then stops
   * the plugins in reverse. Call it once and keep the layer: calling it twice starts everything twice. `drainFor` is
   * asked when it closes: a runtime that has lost its lease has nothing to drain.
   */
  static readonly layer = <R>(
    plugins: ReadonlyArray<AnyPlugin<R>>,
    drainFor: Effect.Effect<Duration.Duration> = Effect.succeed(drainLimit)
  ): Layer.Layer<PluginHost, PluginCircle, Exclude<R, Scope.Scope> | SandboxInfo | TurnParties | TurnPipeline> =>
    Layer.effect(
      PluginHost,
      Effect.gen(function*() {
        const { profile } = yield* SandboxInfo
        const parties = yield* TurnParties
        const pipeline = yield* TurnPipeline
        const ports = yield* Effect.context<Exclude<R, Scope.Scope>>()
        const ordered = yield* startOrder(plugins.filter((plugin) => plugin.enabled(profile)))
        const begun = Latch.makeUnsafe(false)
        const readied = Latch.makeUnsafe(false)
        const running: Array<Running<R>> = ordered.map((plugin) => ({
          plugin,
          state: "starting",
          detail: "",
          restarts: 0,
          instance: undefined,
          tried: Deferred.makeUnsafe(),
          fiber: undefined
        }))
        const isReady = () => running.every(({ plugin, state }) => !plugin.essential || state === "running")

        const become = (entry: Running<R>, state: PluginStatus["state"], detail: string) => {
          entry.state = state
          entry.detail = detail
          if (isReady() && begun.isOpen()) readied.openUnsafe()
        }

        /** One life of a plugin, from its start until it crashes. */
        const live = (entry: Running<R>, config: unknown, scope: Scope.Closeable) =>
          Effect.gen(function*() {
            const { plugin } = entry
            const instance = yield* plugin.start(config)
            if (instance.origin !== undefined) yield* parties.addOrigin(plugin.id, instance.origin)
            for (const observer of instance.observers ?? []) yield* parties.addObserver(plugin.id, observer)
            yield* Effect.mapError(
              parties.addAddition(plugin.id, instance),
              ({ message: detail }) =>
                new PluginError({ plugin: plugin.id, operation: "start", reason: "BadConfig", detail })
            )
            entry.instance = instance
            become(entry, "running", "")
            yield* Effect.logInfo("a plugin is running")
            yield* Deferred.succeed(entry.tried, undefined)
            yield* begun.await
            return yield* instance.run ?? Effect.never
          }).pipe(
            // Within, because the ports' context has the log annotations of whoever made the host.
            Effect.annotateLogs({ plugin: entry.plugin.id }),
            Effect.provideContext(Context.add(ports, Scope.Scope, scope)),
            Effect.exit,
            Effect.ensuring(Effect.sync(() => void (entry.instance = undefined)))
          )

        const decodeConfig = (plugin: AnyPlugin<R>) =>
          Effect.suspend(() => Schema.decodeUnknownEffect(plugin.config)(plugin.configure(profile))).pipe(
            Effect.mapError((error) =>
              new PluginError({ plugin: plugin.id, operation: "configure", reason: "BadConfig", detail: error.message })
            )
          )

        /** Keeps one plugin alive until it is interrupted. */
        const supervise = (entry: Running<R>) =>
          Effect.gen(function*() {
            const decoded = yield* Effect.exit(decodeConfig(entry.plugin))
            if (Exit.isFailure(decoded)) {
              become(entry, "failed", `${failure("KM-HST-102").reason} (KM-HST-102: ${reasonOf(decoded.cause)})`)
              yield* Effect.logError("a plugin's configuration is not valid", decoded.cause)
              return yield* Deferred.succeed(entry.tried, undefined)
            }
            for (let failures = 1;; failures++) {
              const since = yield* Clock.currentTimeMillis
              const scope = yield* Scope.make()
              const exit = yield* live(entry, decoded.value, scope).pipe(Effect.onExit(() => letGo(scope)))
              const cause = Exit.isFailure(exit) ? exit.cause : Cause.die("it ended")
              const why = reasonOf(cause)
              yield* Effect.logError("a plugin ended or crashed", cause)
              if (isBadConfig(cause)) {
                become(entry, "failed", `${failure("KM-HST-102").reason} (KM-HST-102: ${why})`)
                return yield* Deferred.succeed(entry.tried, undefined)
              }
              entry.restarts++
              become(entry, "restarting", `${why} (KM-HST-103)`)
              yield* Deferred.succeed(entry.tried, undefined)
              const lasted = (yield* Clock.currentTimeMillis) - since
              if (lasted >= steadyMillis) failures = 1
              yield* Effect.sleep(pauseAfter(restarting, failures))
            }
          }).pipe(Effect.annotateLogs({ plugin: entry.plugin.id }), Effect.asVoid)

        const stop = (entry: Running<R>) =>
          Effect.suspend(() => {
            const fiber = entry.fiber
            if (fiber === undefined) return Effect.void
            return Effect.timeoutOption(Effect.interruptible(Fiber.interrupt(fiber)), stopLimit).pipe(
              Effect.flatMap((done) =>
                done._tag === "Some"
                  ? Effect.void
                  : Effect.logWarning("a plugin did not stop in time and is left behind")
              ),
              Effect.andThen(Effect.sync(() => become(entry, "stopped", ""))),
              Effect.annotateLogs({ plugin: entry.plugin.id })
            )
          })

        yield* Effect.addFinalizer(() =>
          Effect.ensuring(
            // Of whoever is interrupted nothing is drained: this ends at once.
            Effect.interruptible(Effect.flatMap(drainFor, pipeline.drain)),
            // In a fiber of its own, which that interruption does not reach: the plugins are stopped all the same.
            Effect.flatMap(
              Effect.forkDetach(Effect.forEach(running.toReversed(), stop, { discard: true })),
              Fiber.await
            )
          )
        )
        for (const entry of running) {
          entry.fiber = yield* Effect.forkDetach(supervise(entry))
          yield* Deferred.await(entry.tried)
        }
        // In a fiber of its own: a ledger that is busy for long must not keep the runtime from telling so.
        yield* Effect.forkScoped(Effect.andThen(
          pipeline.begin,
          Effect.sync(() => {
            begun.openUnsafe()
            if (isReady()) readied.openUnsafe()
          })
        ))

        const detailOf = (entry: Running<R>): Effect.Effect<string> =>
          entry.instance?.detail === undefined
            ? Effect.succeed(entry.detail)
            : Effect.catchDefect(entry.instance.detail, () => Effect.succeed("it cannot tell"))

        return PluginHost.of({
          status: Effect.forEach(running, (entry) =>
            Effect.map(detailOf(entry), (detail) => ({
              id: entry.plugin.id,
              state: entry.state,
              essential: entry.plugin.essential,
              detail,
              restarts: entry.restarts
            }))),
          ready: Effect.sync(isReady),
          untilReady: readied.await
        })
      })
    )
}
