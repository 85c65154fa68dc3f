/** Runs one command line of `km`: how help, mistakes and failures are shown, and the exit code. */
import * as Cause from "effect/Cause"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { fullVersion as version } from "../runtime/domain/install/Version.ts"
import { visibleJson } from "../runtime/domain/text/ForeignText.ts"
import { km } from "./Km.ts"
import { type ExitCode, type KmError, kmError } from "./KmError.ts"
import { errorJson, errorLines, Printed } from "./Output.ts"
import { isTrouble, troubleOf } from "./trouble.ts"

/** Help that was asked for is data; a wrong command line is talk, and says where its help is. */
const presenter = CliOutput.layerPresenter({
  present: (event) => {
    switch (event._tag) {
      case "InvalidInvocation":
        return Effect.void
      case "Version":
        return Console.log(event.version)
      case "Help":
        return CliOutput.defaultPresenter.present(event)
    }
  }
})

const cliConfig = Layer.succeed(CliConfig.CliConfig, {
  ...CliConfig.make({}),
  builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.LogLevel]
})

/** `NO_COLOR` and `TERM=dumb` are Effect's to respect; under `CI` nobody can be asked and nothing moves. */
const quietInCi = Layer.unwrap(
  Config.String("CI").pipe(
    Config.withDefault(""),
    Effect.map((ci) =>
      ci === "" || ci === "false"
        ? Layer.empty
        : Layer.succeed(TerminalCapabilities.TerminalCapabilities, {
          canColor: false,
          canAnimate: false,
          canPrompt: false
        })
    )
  )
)

const usage = Effect.fnUntraced(
  function*(error: { readonly commandPath?: ReadonlyArray<string>; readonly errors?: ReadonlyArray<Error> }) {
    const path = (error.commandPath ?? ["km"]).join(" ")
    const [first] = error.errors ?? []
    if (first === undefined) return undefined
    const { meant } = yield* Effect.promise(() => import("./Suggestion.ts"))
    return kmError("KM-CLI-001", `${path}: ${first.message.split("\n")[0]}`, meant(km, first), `${path} --help`)
  }
)

const told = Effect.fnUntraced(function*(error: KmError, json: boolean) {
  if (json && !(yield* Printed).json) yield* Console.log(visibleJson(errorJson(error), 2))
  for (const line of errorLines(error)) yield* Console.error(line)
  return error.exit
})

/** Runs one command line and says how the process should end; every failure has been told by then. */
export const runKm = Effect.fn("km")(
  function*(args: ReadonlyArray<string>) {
    const json = args.includes("--json")
    const exit = yield* Effect.exit(Command.runWith(km, { version, renderErrors: true })(args))
    if (Exit.isSuccess(exit)) return 0 as ExitCode
    if (Cause.hasInterruptsOnly(exit.cause)) return yield* Effect.interrupt
    const failure = Cause.findErrorOption(exit.cause)
    if (failure._tag === "None") {
      const defect = Cause.squash(exit.cause)
      yield* Effect.logDebug("defect", exit.cause)
      return yield* told(
        kmError("KM-CLI-099", "km has a defect", defect instanceof Error ? defect.message : String(defect)),
        json
      )
    }
    const error = failure.value
    if (error._tag === "ShowHelp") {
      const wrong = yield* usage(error)
      // A group without a subcommand shows its help; that is an answer, not a mistake.
      return wrong === undefined ? 0 as ExitCode : yield* told(wrong, json)
    }
    return yield* told(isTrouble(error) ? troubleOf(error) : kmError("KM-CLI-001", error.message, ""), json)
  },
  Effect.provide(
    Layer.mergeAll(presenter, cliConfig, Layer.orDie(quietInCi), Layer.sync(Printed, () => ({ json: false })))
  )
)
