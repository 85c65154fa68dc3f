/**
 * Port `SandboxHost` on one machine: a sandbox runs because its row says so. The runtime process watches the rows; here
 * the wish is written, its directories are made or removed, and the lease tells whether it has come true.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { fileError, makeDirectory } from "../../adapters/disk/PrivateFiles.ts"
import { statePaths } from "../../adapters/disk/StateDirectory.ts"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import { Leases } from "../../ports/Leases.ts"
import { Reports } from "../../ports/Reports.ts"
import { Sandboxes } from "../../ports/Sandboxes.ts"
import { HostFailed, SandboxHost } from "../../ports/SandboxHost.ts"
import { NotOurs, removeDirectoryBelow } from "./RemoveTree.ts"

/** A runtime drains its turn in hand for up to 45 s and then lets its plugins go; a dead one's lease ends after 30 s. */
const endLimit = Duration.seconds(90)

/** Between two looks at the lease of a runtime that is ending. */
const lookEvery = "200 millis"

const within = <E>(waiting: Effect.Effect<void, E>, id: SandboxId, operation: "stop" | "destroy") =>
  waiting.pipe(
    Effect.timeoutOrElse({
      duration: endLimit,
      orElse: () =>
        new HostFailed({
          sandbox: id,
          operation,
          detail: "KM-HST-201: its runtime did not end in time; look at its log and run the same command again"
        })
    })
  )

/** `state` is the engine's state directory. */
export const layer = (state: string): Layer.Layer<SandboxHost, never, Leases | Reports | Sandboxes> =>
  Layer.effect(
    SandboxHost,
    Effect.gen(function*() {
      const leases = yield* Leases
      const reports = yield* Reports
      const sandboxes = yield* Sandboxes
      const paths = statePaths(state)

      const held = Effect.fnUntraced(function*(id: SandboxId) {
        const lease = yield* leases.current(id)
        return Option.isSome(lease) && lease.value.expiresAt > (yield* Clock.currentTimeMillis)
      })

      const untilFree = (id: SandboxId, operation: "stop") =>
        within(
          Effect.asVoid(Effect.repeat(
            Effect.tap(held(id), (still) => still ? Effect.sleep(lookEvery) : Effect.void),
            { while: (still) => still }
          )),
          id,
          operation
        )

      /** Takes the lease itself once it is free: no runtime begins while the directory goes. It ends with the row. */
      const seize = (id: SandboxId) =>
        within(
          Effect.asVoid(Effect.repeat(
            Effect.tap(
              leases.acquire(id, `end/${id}`),
              (got) => Option.isNone(got) ? Effect.sleep(lookEvery) : Effect.void
            ),
            { while: Option.isNone }
          )),
          id,
          "destroy"
        )

      const removeDirectories = (id: SandboxId) =>
        Effect.tryPromise({
          try: () => removeDirectoryBelow(paths.sandboxes, id),
          catch: (cause) =>
            new HostFailed({
              sandbox: id,
              operation: "destroy",
              detail: cause instanceof NotOurs
                ? `KM-HST-202: ${cause.message}; move what is there away and run the same command again`
                : `KM-HST-203: ${cause instanceof Error ? cause.message : "unknown failure"}; ` +
                  "check the state directory's owner and mode, then run the same command again"
            })
        })

      return SandboxHost.of({
        start: Effect.fn("EmbeddedHost.start")(function*(id) {
          const row = yield* sandboxes.get(id)
          if (Option.isNone(row)) {
            const detail = "KM-HST-204: there is no sandbox of that id; run `km list`, or create it first"
            return yield* new HostFailed({ sandbox: id, operation: "start", detail })
          }
          const { directory, home, run, runs, workspace } = paths.sandbox(id)
          yield* Effect.try({
            try: () => [directory, home, workspace, runs, run].forEach(makeDirectory),
            catch: fileError("SandboxHost", "start")
          })
          if (yield* sandboxes.update(id, { desired: "running" }, { ending: false })) return
          // Made after it had been removed, perhaps.
          if (Option.isNone(yield* sandboxes.get(id))) yield* Effect.ignore(removeDirectories(id))
          const detail = "KM-HST-205: it is being destroyed; wait until `km list` no longer shows it"
          return yield* new HostFailed({ sandbox: id, operation: "start", detail })
        }),
        stop: Effect.fn("EmbeddedHost.stop")(function*(id) {
          yield* sandboxes.update(id, { desired: "stopped" }, { ending: false })
          yield* untilFree(id, "stop")
        }),
        destroy: Effect.fn("EmbeddedHost.destroy")(function*(id) {
          yield* sandboxes.update(id, { desired: "destroyed" })
          yield* seize(id)
          yield* removeDirectories(id)
        }),
        ready: Effect.fn("EmbeddedHost.ready")(function*(id) {
          return (yield* reports.get(id)).ready && (yield* held(id))
        })
      })
    })
  )
