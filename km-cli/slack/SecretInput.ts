/**
 * Where a secret comes from: its flag, a file or standard input, the environment, or a person at a terminal, who types it
 * unseen. The first that is given counts.
 */
import * as Prompt from "effect/cli/Prompt"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { pathFrom } from "../Configuration.ts"
import { talk } from "../Output.ts"
import { maxSecretLength, readSecret, type SecretKind } from "./Credentials.ts"
import { slackError } from "./SlackCodes.ts"

/** What a command line says of one secret. */
export interface SecretFlags {
  readonly text: Option.Option<string>
  /** A path, or `-` for standard input. */
  readonly file: Option.Option<string>
}

/** What of a command's secrets there is. */
export type SecretAnswers = { readonly [Kind in SecretKind]?: Redacted.Redacted<string> }

const variables: Readonly<Record<SecretKind, string>> = {
  "bot-token": "KM_SLACK_BOT_TOKEN",
  "app-token": "KM_SLACK_APP_TOKEN",
  "signing-secret": "KM_SLACK_SIGNING_SECRET"
}

/** Without the variables that give a command a secret: they are for that command, and a process that it leaves would show them. */
export const withoutSecrets = (environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv => {
  const given: ReadonlyArray<string> = Object.values(variables)
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !given.includes(name)))
}

const kinds = ["bot-token", "app-token", "signing-secret"] as const

/** Bytes that are read of a file or of standard input. */
const maxBytes = 3 * maxSecretLength

/** Text of what may have no end: it stops soon after what a secret can be. */
const textOf = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>) =>
  Effect.suspend(() => {
    let read = 0
    return Stream.mkString(Stream.decodeText(Stream.takeUntil(bytes, (part) => (read += part.length) > maxBytes)))
  })

const fromFile = Effect.fnUntraced(function*(kind: SecretKind, given: string) {
  const fs = yield* FileSystem.FileSystem
  const file = yield* pathFrom(given, `--${kind}-file`)
  const unreadable = (why: string) => slackError("KM-SLK-123", `${file} cannot be read`, why)
  const stat = yield* Effect.mapError(fs.stat(file), (error) => unreadable(error.message))
  if (stat.type === "Directory") return yield* unreadable("it is a directory")
  const text = yield* Effect.mapError(textOf(fs.stream(file)), (error) => unreadable(error.message))
  return text.length > maxBytes ? yield* unreadable(`it is longer than ${maxBytes} characters`) : text
})

/** Of one secret all of it; of several a line each, in the order bot token, app token, signing secret. */
const fromStdin = Effect.fnUntraced(function*(wanted: ReadonlyArray<SecretKind>) {
  const { stdin } = yield* Stdio.Stdio
  const text = yield* Effect.mapError(
    textOf(stdin),
    (error) => slackError("KM-SLK-123", "standard input cannot be read", error.message)
  )
  if (text.length > maxBytes) {
    return yield* slackError("KM-SLK-123", "standard input cannot be read", `it is longer than ${maxBytes} characters`)
  }
  const lines = wanted.length === 1 ? [text] : text.replace(/\r?\n$/, "").split("\n")
  if (lines.length !== wanted.length) {
    return yield* slackError(
      "KM-SLK-123",
      "standard input does not hold what was announced",
      `${lines.length} lines for ${wanted.length} secrets: ${wanted.join(", ")}`
    )
  }
  return new Map(wanted.map((kind, at) => [kind, lines[at] ?? ""]))
})

/** Everything that was given without asking anybody. Fails for the first that does not have its form. */
export const givenSecrets = Effect.fn("SecretInput.given")(function*(
  flags: Readonly<Partial<Record<SecretKind, SecretFlags>>>
) {
  const piped = kinds.filter((kind) => Option.contains(flags[kind]?.file ?? Option.none(), "-"))
  const lines = piped.length === 0 ? new Map<SecretKind, string>() : yield* fromStdin(piped)
  const found: { [Kind in SecretKind]?: Redacted.Redacted<string> } = {}
  for (const kind of kinds) {
    const flag = flags[kind]
    if (flag === undefined) continue
    const variable = yield* Effect.orElseSucceed(Config.String(variables[kind]), () => "")
    const raw = Option.isSome(flag.text)
      ? flag.text.value
      : Option.isSome(flag.file)
      ? lines.get(kind) ?? (yield* fromFile(kind, flag.file.value))
      : variable === ""
      ? undefined
      : variable
    if (raw === undefined) continue
    if (Option.isSome(flag.text)) {
      yield* talk(
        `note: other users of this machine can see --${kind} while the command runs; --${kind}-file - reads it`
      )
    }
    found[kind] = yield* Effect.fromResult(readSecret(kind, raw))
  }
  return found satisfies SecretAnswers
})

const questions: Readonly<Record<SecretKind, string>> = {
  "bot-token": "Bot token (xoxb-…, OAuth & Permissions)",
  "app-token": "App-level token (xapp-…, Basic Information)",
  "signing-secret": "Signing secret (Basic Information)"
}

/** Asks on a terminal, without showing what is typed; KM-SLK-122 where there is none. */
export const askedSecret = Effect.fn("SecretInput.ask")(function*(kind: SecretKind) {
  const { canPrompt } = yield* TerminalCapabilities.TerminalCapabilities
  if (!canPrompt) {
    return yield* slackError(
      "KM-SLK-122",
      `the ${kind.replace("-", " ")} is missing`,
      `neither --${kind}, --${kind}-file nor ${variables[kind]} is given, and there is no terminal to ask on`
    )
  }
  const typed = yield* Prompt.run(Prompt.Hidden({ message: questions[kind] })).pipe(
    Effect.catchTag("QuitError", () => Effect.interrupt)
  )
  return yield* Effect.fromResult(readSecret(kind, Redacted.value(typed)))
})
