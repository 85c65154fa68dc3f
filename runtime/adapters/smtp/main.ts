#!/usr/bin/env node
/**
 * `km-smtp listen` takes mail in from real mail programs, `km-smtp relay` gives mail for other people to a relay, as `smtp`
 * of `install.json` says. Two processes, so that what strangers send is read where no secret of the install is given out.
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
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as fs from "node:fs"
import * as path from "node:path"
import { defaultMailDomain } from "../../domain/identity/MailIdentity.ts"
import { relayPasswordSecrets, relaySecrets, type SecretsScope } from "../../domain/install/ProcessSecrets.ts"
import { fullVersion, version } from "../../domain/install/Version.ts"
import { relayPasswordPath, type SmtpListen } from "../../domain/mail/SmtpSettings.ts"
import { engineOf, mailSpoolOf, secretsOf } from "../../engines/engineOf.ts"
import { Secrets } from "../../ports/Secrets.ts"
import { endWithStdin, parentGone } from "../../substrates/process/ParentGone.ts"
import { holdLock } from "../disk/ProcessLock.ts"
import { readInstall, statePaths, stateRootOf } from "../disk/StateDirectory.ts"
import * as Telemetry from "../telemetry/Telemetry.ts"
import { SmtpRefused } from "./ErrorCodes.ts"
import { makeRelayLoop } from "./RelayLoop.ts"
import { listen } from "./SmtpListener.ts"

const readPem = (file: string) =>
  Effect.try({
    try: () => fs.readFileSync(file, "utf8"),
    catch: (cause) =>
      new SmtpRefused({ reason: "certificate", detail: cause instanceof Error ? cause.message : String(cause) })
  })

const optionsOf = Effect.fnUntraced(function*(settings: SmtpListen, domain: string) {
  const { allowPlain = false, host = "127.0.0.1", maxBytes, port, tls } = settings
  const pem = tls === undefined
    ? undefined
    : { certificate: yield* readPem(tls.certificate), key: yield* readPem(tls.key) }
  return {
    host,
    port,
    domain,
    allowPlain,
    ...(maxBytes === undefined ? {} : { maxBytes }),
    ...(pem === undefined ? {} : { tls: pem })
  }
})

/** What strangers send is read where nothing is given out. */
const noSecrets: SecretsScope = { read: [] }

const listening = Effect.fnUntraced(function*(flags: {
  readonly state: Option.Option<string>
  readonly endWithStdin: boolean
}) {
  const root = yield* stateRootOf(flags.state)
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
  })).pipe(
    Effect.raceFirst(parentGone(flags.endWithStdin)),
    Effect.provide(engineOf({ state: root, choice: install, writer: "runtime", secrets: noSecrets }))
  )
})

const common = {
  state: Flag.String("state").pipe(
    Flag.optional,
    Flag.withDescription("The state directory; KM_STATE unless given")
  ),
  endWithStdin: Flag.Boolean(endWithStdin.name).pipe(
    Flag.withDefault(false),
    Flag.withDescription(endWithStdin.description)
  )
}

/** The only process that is given the relay's password. */
const relaying = Effect.fnUntraced(function*(flags: {
  readonly state: Option.Option<string>
  readonly endWithStdin: boolean
}) {
  const root = yield* stateRootOf(flags.state)
  const install = yield* readInstall(root)
  const settings = install.smtp?.relay
  if (settings === undefined) return yield* new SmtpRefused({ reason: "notConfigured", detail: "relay is missing" })
  if (install.mailDomain === undefined) {
    return yield* new SmtpRefused({ reason: "noDomain", detail: "install.json has no mailDomain" })
  }
  const name = install.mailDomain
  const paths = statePaths(root)
  return yield* Effect.scoped(Effect.gen(function*() {
    yield* holdLock(path.join(paths.run, "mail-out.lock"), "gives this install's mail to its relay")
    const secrets = yield* Secrets
    const password = secrets.get(relayPasswordPath).pipe(
      Effect.catch((error) =>
        Effect.as(Effect.logError("the relay's password cannot be read", error.message), Option.none())
      )
    )
    if (settings.user !== undefined && Option.isNone(yield* password)) {
      return yield* new SmtpRefused({ reason: "noPassword", detail: `it is for ${settings.user}` })
    }
    const { run } = yield* makeRelayLoop({ ...settings, name, password })
    yield* Console.log(JSON.stringify({ ready: true, pid: process.pid }))
    yield* Effect.logInfo("gives mail to the relay").pipe(
      Effect.annotateLogs({ host: settings.host, port: settings.port })
    )
    return yield* run
  })).pipe(
    Effect.raceFirst(parentGone(flags.endWithStdin)),
    Effect.provide(mailSpoolOf({ state: root, choice: install, writer: "runtime", secrets: relaySecrets }))
  )
})

const relayCommand = Command.make("relay", common, relaying).pipe(
  Command.withDescription("Gives mail for other people to the relay of this install")
)

/** Characters of a password. */
const maxPassword = 1_024

const passwordCommand = Command.make(
  "password",
  { state: common.state },
  Effect.fnUntraced(function*(given) {
    const root = yield* stateRootOf(given.state)
    const install = yield* readInstall(root)
    const text = yield* Effect.try({
      try: () => fs.readFileSync(0, "utf8").replace(/\r?\n$/, ""),
      catch: (cause) => new CliError.UserError({ cause })
    })
    if (text === "" || text.length > maxPassword || /[\r\n]/.test(text)) {
      return yield* new CliError.UserError({ cause: "give the password on standard input, as one line" })
    }
    yield* Effect.flatMap(Secrets, (secrets) => secrets.put(relayPasswordPath, Redacted.make(text))).pipe(
      Effect.provide(secretsOf({ state: root, choice: install, writer: "operator", secrets: relayPasswordSecrets }))
    )
    yield* Console.log("stored; the next message is sent with it")
  })
).pipe(Command.withDescription("Stores the relay's password, which is read from standard input"))

const listenCommand = Command.make("listen", common, listening).pipe(
  Command.withDescription("Takes mail in for the sandboxes of this install")
)

const command = Command.make("km-smtp").pipe(
  Command.withDescription("Mail between this install and real mail programs"),
  Command.withSubcommands([listenCommand, relayCommand, passwordCommand])
)

const main = Command.run(command, { version: fullVersion }).pipe(
  Effect.tapCause((cause) =>
    // Wrong command lines have been explained by the command itself.
    Cause.hasInterruptsOnly(cause) || CliError.isCliError(Cause.squash(cause))
      ? Effect.void
      : Effect.logError("km-smtp ended", cause)
  ),
  Effect.provide(Layer.mergeAll(NodeServices.layer, Telemetry.layer("km-smtp", version)))
)

/** A stop on request is no failure: systemd and `km up` read the exit code. 2 is for wrong command lines. */
const exitCodeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return 0
  return CliError.isCliError(Cause.squash(exit.cause)) ? 2 : 1
}

NodeRuntime.runMain(main, { disableErrorReporting: true, teardown: (exit, onExit) => onExit(exitCodeOf(exit)) })
