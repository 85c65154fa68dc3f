#!/usr/bin/env node
/**
 * `km-smtp listen`: takes mail in from real mail programs, as `smtp.listen` of `install.json` says. A process of its own,
 * so that what strangers send is read where no secret of the install is given out.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as fs from "node:fs"
import { defaultMailDomain } from "../../domain/MailIdentity.ts"
import type { SmtpListen } from "../../domain/SmtpSettings.ts"
import { maxRawMailBytes } from "../../ports/Mail.ts"
import * as EmbeddedEngine from "../embedded/EmbeddedEngine.ts"
import { readInstall, stateRoot } from "../embedded/StateDirectory.ts"
import { endWithStdin, parentGone } from "../host/ParentGone.ts"
import * as Telemetry from "../telemetry/Telemetry.ts"
import { SmtpRefused } from "./ErrorCodes.ts"
import { listen } from "./SmtpListener.ts"

const version = "0.1.0"

const readPem = (file: string) =>
  Effect.try({
    try: () => fs.readFileSync(file, "utf8"),
    catch: (cause) =>
      new SmtpRefused({ reason: "certificate", detail: cause instanceof Error ? cause.message : String(cause) })
  })

const optionsOf = Effect.fnUntraced(function*(settings: SmtpListen, domain: string) {
  const { allowPlain = false, host = "127.0.0.1", maxBytes = maxRawMailBytes, port, tls } = settings
  const pem = tls === undefined
    ? undefined
    : { certificate: yield* readPem(tls.certificate), key: yield* readPem(tls.key) }
  return { host, port, domain, maxBytes, allowPlain, ...(pem === undefined ? {} : { tls: pem }) }
})

const listening = Effect.fnUntraced(function*(flags: {
  readonly state: Option.Option<string>
  readonly endWithStdin: boolean
}) {
  const root = Option.isSome(flags.state) ? flags.state.value : yield* stateRoot
  const install = yield* readInstall(root)
  const settings = install.smtp?.listen
  if (settings === undefined) return yield* new SmtpRefused({ reason: "notConfigured", detail: "listen is missing" })
  const options = yield* optionsOf(settings, install.mailDomain ?? defaultMailDomain(install.install))
  return yield* Effect.scoped(Effect.gen(function*() {
    const { address, port } = yield* listen(options)
    // Data: whoever started the process waits for this line.
    yield* Console.log(JSON.stringify({ ready: true, host: address, port, pid: process.pid }))
    yield* Effect.logInfo("takes mail in").pipe(Effect.annotateLogs({ host: address, port }))
    return yield* Effect.never
  })).pipe(Effect.raceFirst(parentGone(flags.endWithStdin)), Effect.provide(EmbeddedEngine.layer(root)))
})

const flags = {
  state: Flag.String("state").pipe(
    Flag.optional,
    Flag.withDescription("The state directory; KM_STATE unless given")
  ),
  endWithStdin: Flag.Boolean(endWithStdin.name).pipe(
    Flag.withDefault(false),
    Flag.withDescription(endWithStdin.description)
  )
}

const listenCommand = Command.make("listen", flags, listening).pipe(
  Command.withDescription("Takes mail in for the sandboxes of this install")
)

const command = Command.make("km-smtp").pipe(
  Command.withDescription("Mail between this install and real mail programs"),
  Command.withSubcommands([listenCommand])
)

const main = Command.run(command, { version }).pipe(
  Effect.tapCause((cause) => Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError("km-smtp ended", cause)),
  Effect.provide(Layer.mergeAll(NodeServices.layer, Telemetry.layer("km-smtp", version)))
)

/** A stop on request is no failure: systemd and `km up` read the exit code. */
NodeRuntime.runMain(main, {
  disableErrorReporting: true,
  teardown: (exit, onExit) => onExit(Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ? 0 : 1)
})
