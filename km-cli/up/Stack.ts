/**
 * The parts of an install and how they depend on each other: workspace and model where they are local ones, bridge,
 * control plane, runtime, mail. Started in that order, ended in the opposite one; a part that ends by itself is started again, the workspace with all that knows it.
 */
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as path from "node:path"
import type { Install } from "../../runtime/domain/install/Install.ts"
import { Install as InstallSchema } from "../../runtime/domain/install/Install.ts"
import { UserId } from "../../runtime/domain/sandbox/Ids.ts"
import { pauseAfter } from "../../runtime/ports/Backoff.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import type { Backend, ChildCommand } from "../Backend.ts"
import { kmError } from "../KmError.ts"
import { type Credentials, readCredentials } from "../local/workspace/Credentials.ts"
import { connect } from "../local/workspace/WorkspaceClient.ts"
import { bridgeAnswers } from "../Opened.ts"
import { talk } from "../Output.ts"
import { type Child, logFile, start } from "./Child.ts"

/** The people of the local workspace; the first one is who `km chat` and the demo speak as. */
export const localPeople = [
  { name: "ada", realName: "Ada Lovelace", email: "ada@example.com" },
  { name: "grace", realName: "Grace Hopper", email: "grace@example.com" }
] as const

/** Parts are healthy within seconds, and one that dies says so at once; a machine under heavy load gets minutes. */
const healthyWithin = "3 minutes"
/** Runtimes drain a turn in hand for up to 55 s. */
const runtimeGraceMillis = 60_000
const graceMillis = 5_000

/** Variables that a part needs from us; nothing else is handed on, so no secret of the shell reaches an agent. */
const inherited =
  /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|XDG_\w+|OTEL_\w+|AWS_PROFILE|AWS_CONFIG_FILE|AWS_SHARED_CREDENTIALS_FILE|NODE_EXTRA_CA_CERTS|KM_CLAUDE|KM_HOOK)$/

/** The environment of every part: what is inherited, and the state directory. */
export const childEnvironment = (
  environment: Readonly<Record<string, string | undefined>>,
  state: string
): Record<string, string> => ({
  ...Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      inherited.test(name) && value !== undefined ? [[name, value]] : []
    )
  ),
  KM_STATE: state
})

/** Where the running model is, and whether it is the scripted one. */
export interface ModelChoice {
  readonly scripted: boolean
  readonly url: string | undefined
  /** Completes, with a sentence on how, when its process has ended; never for a real one. */
  readonly ended: Effect.Effect<string>
}

export interface StackOptions {
  readonly backend: Backend
  readonly env: Readonly<Record<string, string>>
  readonly scripted: boolean
  /** The state directory is this run's own: whoever is last removes it, even when we are killed. */
  readonly ephemeral: boolean
  /** The local workspace delivers by Socket Mode; the bridge opens the connections. */
  readonly socketMode: boolean
  /** The control plane may use the certifier's key. */
  readonly unattendedCertifier: boolean
  /** Told of each child as it starts, to be written down for `km down`. */
  readonly onChild: (child: Child) => Effect.Effect<void>
}

const UrlLine = Schema.fromJsonString(Schema.Struct({ url: Schema.String }))
const decodeUrlLine = Schema.decodeUnknownEffect(UrlLine)
const teamAndApp = Schema.Struct({
  teamId: InstallSchema.fields.teamId,
  appId: InstallSchema.fields.appId
})
const decodeIds = Schema.decodeUnknownEffect(teamAndApp)
const decodeUser = Schema.decodeUnknownOption(UserId)

const within = <A, E, R>(name: string, logs: string, effect: Effect.Effect<A, E, R>) =>
  Effect.timeoutOrElse(effect, {
    duration: healthyWithin,
    orElse: () =>
      Effect.fail(
        kmError("KM-CLI-009", `${name} is not healthy after ${healthyWithin}`, "", `see ${logFile(logs, name)}`)
      )
  })

const logsOf = (backend: Backend): string => path.join(backend.paths.run, "logs")

/** Where the tokens of the local workspace are while it runs. */
export const credentialsFile = (backend: Backend): string => path.join(backend.paths.run, "workspace.json")

type Part = "workspace" | "model" | "bridge" | "control" | "runtime" | "mail-in" | "mail-out"

const childKeys = {
  bridge: "bridge",
  control: "control",
  runtime: "runtime",
  "mail-in": "mailIn",
  "mail-out": "mailOut"
} as const

/** Every part ends with its standard input, so that none outlives us. */
const commandOf = (
  { backend, ephemeral, unattendedCertifier }: StackOptions,
  name: Part
): ChildCommand => {
  switch (name) {
    case "workspace": {
      const { args, command } = backend.children.workspace(credentialsFile(backend))
      return { command, args: ephemeral ? [...args, "--remove", backend.paths.root] : args }
    }
    case "model":
      return backend.children.model
    case "control": {
      const { args, command } = backend.children.control
      return { command, args: [...args, "--end-with-stdin", ...unattendedCertifier ? ["--unattended-certifier"] : []] }
    }
    case "bridge":
    case "runtime":
    case "mail-in":
    case "mail-out": {
      const { args, command } = backend.children[childKeys[name]]
      return { command, args: [...args, "--end-with-stdin"] }
    }
  }
}

const child = (options: StackOptions, name: Part, more: {
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
}) =>
  start({
    name,
    command: commandOf(options, name),
    env: { ...options.env, ...more.env },
    logs: logsOf(options.backend),
    graceMillis: name === "runtime" ? runtimeGraceMillis : graceMillis,
    input: more.input ?? ""
  }).pipe(Effect.tap(options.onChild))

/** Starts the workspace and makes its tokens the install's. */
export const startWorkspace = Effect.fn("Stack.workspace")(function*(options: StackOptions, install: Install) {
  const { backend } = options
  const port = install.slackApiUrl.startsWith("http://127.0.0.1:") ? Number(new URL(install.slackApiUrl).port) : 0
  const { freePort } = yield* Effect.promise(() => import("./FirstRun.ts"))
  const input = `${
    JSON.stringify({
      port: yield* freePort(port),
      users: localPeople,
      sockets: { enabled: options.socketMode }
    })
  }\n`
  const workspace = yield* child(options, "workspace", { input })
  yield* within("workspace", logsOf(backend), workspace.firstLine)
  const credentials = yield* readCredentials(credentialsFile(backend))
  const secrets = yield* Secrets
  yield* secrets.put("slack/bot-token", Redacted.make(credentials.botToken))
  yield* secrets.put("slack/signing-secret", Redacted.make(credentials.signingSecret))
  yield* options.socketMode
    ? secrets.put("slack/app-token", Redacted.make(credentials.appToken))
    : secrets.delete("slack/app-token")
  const ids = yield* decodeIds({ teamId: credentials.teamId, appId: credentials.appId }).pipe(
    Effect.mapError((error) => kmError("KM-CLI-021", "the local workspace has odd ids", error.message))
  )
  // Who runs a workspace for trying things out is its first person.
  const operator = Option.getOrUndefined(decodeUser(credentials.people[localPeople[0].name]?.userId))
  const known: Install = {
    ...install,
    ...ids,
    slackApiUrl: credentials.apiUrl,
    slackTransport: options.socketMode ? "socket" : "http",
    botUserId: credentials.botUserId,
    botId: credentials.botId,
    operators: operator === undefined ? [] : [operator],
    local: true
  }
  yield* backend.writeInstall(known)
  return { workspace, credentials, install: known }
})

/** The scripted model as a process, when that is what talks. */
export const startModel = Effect.fn("Stack.model")(function*(options: StackOptions) {
  if (!options.scripted) return { scripted: false, url: undefined, ended: Effect.never } satisfies ModelChoice
  const model = yield* child(options, "model", { input: "\n" })
  const line = yield* within("model", logsOf(options.backend), model.firstLine)
  const { url } = yield* decodeUrlLine(line).pipe(
    Effect.mapError((error) => kmError("KM-CLI-009", "the scripted model did not say where it is", error.message))
  )
  return { scripted: true, url, ended: model.ended } satisfies ModelChoice
})

const answersSoon = (install: Install) =>
  bridgeAnswers(install).pipe(
    Effect.flatMap((answers) => answers ? Effect.void : Effect.fail("not yet" as const)),
    Effect.retry(Schedule.spaced("100 millis")),
    Effect.orElseSucceed(() => undefined)
  )

/** Waits until the bridge answers its health check. */
export const startBridge = Effect.fn("Stack.bridge")(function*(options: StackOptions, install: Install) {
  const bridge = yield* child(options, "bridge", {})
  const healthy = bridge.firstLine.pipe(
    // Where it listens here: the install's own address may be a proxy's, which is not ours to wait for.
    Effect.flatMap(decodeUrlLine),
    Effect.mapError((error) => kmError("KM-CLI-009", "the bridge did not say where it is", error.message)),
    Effect.flatMap(({ url }) => answersSoon({ ...install, bridgeUrl: url }))
  )
  yield* within("bridge", logsOf(options.backend), healthy)
  return bridge
})

export const startRuntime = (options: StackOptions, model: ModelChoice) =>
  child(options, "runtime", {
    env: {
      ...(model.url === undefined ? {} : { KM_MODEL_URL: model.url }),
      KM_MODEL_SCRIPTED: String(model.scripted)
    }
  })

/** Ready once it says so. */
export const startControl = Effect.fn("Stack.control")(function*(options: StackOptions) {
  const control = yield* child(options, "control", {})
  yield* within("control", logsOf(options.backend), control.firstLine)
  return control
})

/** The SMTP listener or the relay's client; ready once it says so. */
export const startMail = Effect.fn("Stack.mail")(function*(options: StackOptions, name: "mail-in" | "mail-out") {
  const part = yield* child(options, name, {})
  yield* within(name, logsOf(options.backend), part.firstLine)
  return part
})

/** Shakes hands with the bridge, so that the workspace's events arrive there. */
export const deliverEvents = Effect.fn("Stack.deliverEvents")(function*(credentials: Credentials, install: Install) {
  const client = yield* connect(credentials)
  yield* client.setEventsUrl(`${install.bridgeUrl}/events`)
}, Effect.provide(FetchHttpClient.layer))

/** After the first end at once, then 1 s, 2 s … up to 30 s; back to the start after 5 minutes of health. */
export const keepRunning = Effect.fn("Stack.keepRunning")(function*<E extends { readonly message: string }, R>(
  name: string,
  /** `undefined`: it could not be started yet. */
  first: Child | undefined,
  again: Effect.Effect<Child, E, R>
) {
  const failures = yield* Ref.make(0)
  let current = first
  while (true) {
    if (current !== undefined) {
      const since = yield* Clock.currentTimeMillis
      const how = yield* current.ended
      if ((yield* Clock.currentTimeMillis) - since >= 300_000) yield* Ref.set(failures, 0)
      yield* talk(`${name} ended by itself (${how}); it is started again`)
    }
    const n = yield* Ref.getAndUpdate(failures, (count) => count + 1)
    if (n > 0) yield* Effect.sleep(pauseAfter({ firstMillis: 1_000, longestMillis: 30_000 }, n))
    current = yield* again.pipe(
      Effect.map((started): Child | undefined => started),
      Effect.catch((error) => Effect.as(talk(`${name} could not be started again: ${error.message}`), undefined))
    )
  }
})

/** `ANTHROPIC_API_KEY`, when it is set to something. */
export const modelKey = Config.String("ANTHROPIC_API_KEY").pipe(
  Config.option,
  Effect.map(Option.filter((key) => key.trim() !== "")),
  Effect.orElseSucceed(() => Option.none<string>())
)
