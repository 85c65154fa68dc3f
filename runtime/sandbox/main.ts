#!/usr/bin/env node
/**
 * `km-runtime`: serves one sandbox (under systemd), or all of an install (under `km up`). SIGTERM drains the turn in
 * hand and exits 0.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { randomUUID } from "node:crypto"
import process from "node:process"
import { readInstall } from "../adapters/disk/StateDirectory.ts"
import { Jail } from "../adapters/jail/Bubblewrap.ts"
import { ModelDoor } from "../adapters/model/ModelDoor.ts"
import * as SystemdNotify from "../adapters/notify/SystemdNotify.ts"
import * as Telemetry from "../adapters/telemetry/Telemetry.ts"
import { runtimeSecrets } from "../domain/install/ProcessSecrets.ts"
import { fullVersion, version } from "../domain/install/Version.ts"
import { SandboxId } from "../domain/sandbox/Ids.ts"
import { type EngineChoice, engineOf } from "../engines/engineOf.ts"
import { Secrets } from "../ports/Secrets.ts"
import { endWithStdin, parentGone } from "../substrates/process/ParentGone.ts"
import * as RuntimeConfig from "./RuntimeConfig.ts"
import { supervise } from "./Supervisor.ts"

/** Above the drain of the turn in hand (45 s) and the plugins' own stop; below the unit's TimeoutStopSec of 60 s. */
const stopLimit = "55 seconds"

/** What all sandboxes of this process share. */
const shared = (only: SandboxId | undefined, choice: EngineChoice) =>
  Layer.unwrap(Effect.gen(function*() {
    const { modelScripted, modelUrl, state } = yield* RuntimeConfig.RuntimeConfig
    const door = Layer.unwrap(Effect.map(Secrets, ({ get }) =>
      ModelDoor.layer({
        upstream: modelUrl,
        scripted: modelScripted,
        key: get("model/anthropic-api-key").pipe(
          Effect.catch((error) =>
            Effect.as(Effect.logError("the model's key cannot be read", error.message), Option.none())
          )
        )
      })))
    return Layer.mergeAll(door, Jail.layer, NodeHttpClient.layerNodeHttp).pipe(
      Layer.provideMerge(engineOf({ state, choice, writer: "runtime", secrets: runtimeSecrets(only) }))
    )
  }))

/**
 * Interruption (SIGTERM, SIGINT) lets `work` end by itself through `stopping`, for at most `stopLimit`; what is not over
 * then is ended, and taken up by the next start. Once `abandoned` completes there is nothing to wait for: the bridge and
 * the model have gone with the supervisor, so a turn in hand is ended at once and taken up by the next start.
 */
const gracefully = <E, R>(
  work: (stopping: Deferred.Deferred<void>) => Effect.Effect<void, E, R>,
  abandoned: Effect.Effect<void>
) =>
  Effect.gen(function*() {
    const stopping = yield* Deferred.make<void>()
    const fiber = yield* Effect.forkDetach(work(stopping))
    const cut = abandoned.pipe(
      Effect.andThen(Effect.logWarning("the supervisor is gone; the runtime ends")),
      Effect.andThen(Effect.timeoutOption(Fiber.interrupt(fiber), stopLimit)),
      Effect.asVoid
    )
    return yield* Effect.raceFirst(Fiber.join(fiber), cut).pipe(
      Effect.onInterrupt(() =>
        Deferred.succeed(stopping, undefined).pipe(
          Effect.andThen(Fiber.await(fiber)),
          Effect.interruptible,
          Effect.timeoutOption(stopLimit),
          Effect.andThen(Fiber.interrupt(fiber))
        )
      )
    )
  })

const run = Effect.fnUntraced(function*(only: SandboxId | undefined, supervised: boolean) {
  const notifier = yield* SystemdNotify.make()
  const { state } = yield* RuntimeConfig.RuntimeConfig
  // Before anything is opened, which would make an empty state directory.
  const choice = yield* readInstall(state)
  yield* Effect.logInfo("runtime starts").pipe(
    Effect.annotateLogs({ install: choice.install, only: only ?? "all" })
  )
  yield* gracefully(
    (stopping) =>
      Effect.scoped(supervise({
        install: readInstall(state),
        only,
        holder: `${process.pid}-${randomUUID()}`,
        onLooked: only === undefined ? notifier.ready : Effect.void,
        onReady: (id) => only === id ? notifier.ready : Effect.void
      }, stopping)).pipe(
        Effect.raceFirst(Effect.andThen(Deferred.await(stopping), Effect.andThen(notifier.stopping, Effect.never)))
      ),
    parentGone(supervised)
  ).pipe(Effect.provide(shared(only, choice)))
}, Effect.provide(RuntimeConfig.layer))

const command = Command.make(
  "km-runtime",
  {
    sandbox: Flag.String("sandbox").pipe(
      Flag.withDescription("Serve this sandbox only, such as sb-1a2b3c4d"),
      Flag.withSchema(SandboxId),
      Flag.optional
    ),
    all: Flag.Boolean("all").pipe(
      Flag.withDescription("Serve every sandbox of the install that should run"),
      Flag.withDefault(false)
    ),
    supervised: Flag.Boolean(endWithStdin.name).pipe(
      Flag.withDescription(endWithStdin.description),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function*({ all, sandbox, supervised }) {
    if (all === Option.isSome(sandbox)) {
      return yield* new CliError.UserError({ cause: "give either --sandbox ID or --all" })
    }
    return yield* run(Option.getOrUndefined(sandbox), supervised)
  })
).pipe(
  Command.withDescription("Runs the agents of sandboxes: receives messages, runs turns, answers in their threads.")
)

/** Ended on request is ended well, for systemd and for the supervisor; 2 is for wrong flags. */
const exitCodeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return 0
  return CliError.isCliError(Cause.squash(exit.cause)) ? 2 : 1
}

const main = Command.run(command, { version: fullVersion }).pipe(
  Effect.tapCause((cause) =>
    // Wrong flags have been explained by the command itself.
    Cause.hasInterruptsOnly(cause) || CliError.isCliError(Cause.squash(cause))
      ? Effect.void
      : Effect.logFatal("the runtime ends", Cause.squash(cause))
  ),
  Effect.provide(Layer.merge(NodeServices.layer, Telemetry.layer("km-runtime", version)))
)

NodeRuntime.runMain(main, {
  disableErrorReporting: true,
  teardown: (exit, onExit) => {
    onExit(exitCodeOf(exit))
    // It exits by itself only after a signal or a failure; a plugin left behind must not keep an orphan alive.
    process.exit(exitCodeOf(exit))
  }
})
