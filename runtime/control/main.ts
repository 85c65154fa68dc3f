#!/usr/bin/env node
/**
 * `km-control`: what nobody asks for and somebody must do, for a whole install: the end of sandboxes, dead letters,
 * schedules, the ends of certificates. One per install; killed at any point, the next one continues.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as path from "node:path"
import process from "node:process"
import * as BridgeClient from "../adapters/bridge/BridgeClient.ts"
import { holdLock } from "../adapters/disk/ProcessLock.ts"
import { readInstall, statePaths, stateRootOf } from "../adapters/disk/StateDirectory.ts"
import * as OctokitApps from "../adapters/github/OctokitApps.ts"
import * as Telemetry from "../adapters/telemetry/Telemetry.ts"
import type { Install } from "../domain/install/Install.ts"
import { controlSecrets } from "../domain/install/ProcessSecrets.ts"
import { fullVersion, version } from "../domain/install/Version.ts"
import { engineOf } from "../engines/engineOf.ts"
import { TokenRefresher } from "../kernel/github/TokenRefresher.ts"
import { renewOperator, warnOfEnds } from "../kernel/identity/CertificateEnds.ts"
import { courier } from "../kernel/mail/MailCourier.ts"
import type { NoticeMail } from "../kernel/mail/NoticeMail.ts"
import { auditedControl } from "../kernel/sandboxes/AuditedControl.ts"
import { ControlPlane } from "../kernel/sandboxes/ControlPlane.ts"
import { notices } from "../kernel/sandboxes/Notices.ts"
import { ScheduleRunner } from "../kernel/schedules/ScheduleRunner.ts"
import type { Bridge } from "../ports/Bridge.ts"
import type { Facts } from "../ports/Facts.ts"
import * as MemoryOutbox from "../ports/memory/MemoryOutbox.ts"
import type { Sandboxes } from "../ports/Sandboxes.ts"
import * as EmbeddedHost from "../substrates/process/EmbeddedHost.ts"
import { endWithStdin, parentGone } from "../substrates/process/ParentGone.ts"
import { noticeMail, schedules, type SchedulesOptions } from "./Schedules.ts"

/** Everything that the control plane runs beside the courier, by name; each for as long as the process lives. */
const parts = (install: Install, certifies: boolean) =>
  Effect.gen(function*() {
    const sandboxes = yield* ControlPlane
    const ports = yield* Effect.context<Bridge | Facts | NoticeMail | Sandboxes>()
    const scheduled = yield* ScheduleRunner
    const tokens = yield* TokenRefresher
    return [
      ["sandboxes", sandboxes.run],
      ["notices", Effect.provideContext(notices, ports)],
      ["schedules", scheduled.run],
      ["github", tokens.run],
      ["certificates", certifies ? renewOperator(install) : warnOfEnds(install)]
    ] as const
  })

/** The install's ports with the secrets that a control plane may have, and what is decided over them. */
const services = (options: SchedulesOptions) => {
  const { certifies, install, state } = options
  const bridge = BridgeClient.layer({
    url: install.bridgeUrl,
    host: install.bridgeHost,
    install: install.install,
    sender: "operator",
    epoch: Effect.succeed(0)
    // A request that is given up is asked again by the next round; nothing of it stays on disk.
  }).pipe(Layer.provide(Layer.merge(MemoryOutbox.layer, FetchHttpClient.layer)))
  const ports = Layer.merge(EmbeddedHost.layer(state), OctokitApps.layer).pipe(
    Layer.provideMerge(
      engineOf({ state, choice: install, writer: "control", secrets: controlSecrets(certifies) })
    )
  )
  return (certifies ? ControlPlane.layer : ControlPlane.layerWithoutRenewal).pipe(
    Layer.merge(noticeMail(options)),
    Layer.merge(schedules(options)),
    Layer.merge(courier),
    Layer.merge(TokenRefresher.layer),
    Layer.provideMerge(auditedControl("control-plane")),
    Layer.provideMerge(bridge),
    Layer.provideMerge(ports)
  )
}

const program = Effect.fnUntraced(function*(flags: {
  readonly state: Option.Option<string>
  readonly unattendedCertifier: boolean
  readonly endWithStdin: boolean
}) {
  const state = yield* stateRootOf(flags.state)
  // Before anything is opened, which would make an empty state directory.
  const install = yield* readInstall(state)
  const certifies = flags.unattendedCertifier
  const run = Effect.gen(function*() {
    // Two that ran one install's schedules would run each action twice.
    yield* holdLock(path.join(statePaths(state).run, "control.lock"), "is the control plane of this install")
    const running = yield* parts(install, certifies)
    // Data: whoever started the process waits for this line.
    yield* Console.log(JSON.stringify({ ready: true, pid: process.pid }))
    yield* Effect.logInfo("control plane is ready").pipe(
      Effect.annotateLogs({ install: install.install, unattendedCertifier: certifies })
    )
    yield* Effect.forEach(running, ([name, part]) => Effect.annotateLogs(part, { part: name }), {
      concurrency: "unbounded",
      discard: true
    })
  })
  yield* Effect.scoped(run).pipe(
    Effect.raceFirst(
      Effect.andThen(
        parentGone(flags.endWithStdin),
        Effect.logWarning("the supervisor is gone; the control plane ends")
      )
    ),
    Effect.provide(services({ state, install, certifies }))
  )
})

const command = Command.make("km-control", {
  state: Flag.String("state").pipe(
    Flag.optional,
    Flag.withDescription("The state directory; KM_STATE unless given")
  ),
  unattendedCertifier: Flag.Boolean("unattended-certifier").pipe(
    Flag.withDefault(false),
    Flag.withDescription("May use the certifier's key: renews certificates, and schedules may create sandboxes")
  ),
  endWithStdin: Flag.Boolean(endWithStdin.name).pipe(
    Flag.withDefault(false),
    Flag.withDescription(endWithStdin.description)
  )
}, program).pipe(
  Command.withDescription("Ends, wakes, schedules and announces what nobody asks for: one per install")
)

const main = Command.run(command, { version: fullVersion }).pipe(
  Effect.tapCause((cause) =>
    // Wrong flags have been explained by the command itself.
    Cause.hasInterruptsOnly(cause) || CliError.isCliError(Cause.squash(cause))
      ? Effect.void
      : Effect.logFatal("the control plane ends", Cause.squash(cause))
  ),
  Effect.provide(Layer.mergeAll(NodeServices.layer, Telemetry.layer("km-control", version)))
)

/** Ended on request is ended well, for systemd and for `km up`; 2 is for wrong flags. */
const exitCodeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return 0
  return CliError.isCliError(Cause.squash(exit.cause)) ? 2 : 1
}

NodeRuntime.runMain(main, { disableErrorReporting: true, teardown: (exit, onExit) => onExit(exitCodeOf(exit)) })
