/**
 * The whole system for an end-to-end test, in real processes: the local workspace, the scripted model, a bridge, a
 * runtime, the real Claude Code CLI, and sandboxes made by the real provisioning. Everything is on loopback and goes
 * with the scope.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Duration, Effect, Layer, Option, Redacted, Schema, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as ScriptedModel from "../../km-cli/local/model/ScriptedModel.ts"
import type { MessageView } from "../../km-cli/local/workspace/Snapshot.ts"
import type { WorkspaceHandle } from "../../km-cli/local/workspace/Workspace.ts"
import type { WorkspaceInput } from "../../km-cli/local/workspace/WorkspaceOptions.ts"
import * as BridgeClient from "../../runtime/adapters/bridge/BridgeClient.ts"
import { openStateDirectory, writeInstall } from "../../runtime/adapters/disk/StateDirectory.ts"
import { generateSeed, signingKeyFromSeed } from "../../runtime/domain/identity/Ed25519.ts"
import type { AwsPlace } from "../../runtime/domain/install/AwsPlace.ts"
import type { Profile } from "../../runtime/domain/profile/Profile.ts"
import { Alias, type ChannelId, InstallName, SandboxId, TeamId } from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { engineOf as openEngine } from "../../runtime/engines/engineOf.ts"
import { certifierKeyPath } from "../../runtime/kernel/identity/Certifier.ts"
import { signingKeyPath } from "../../runtime/kernel/identity/KeyRotation.ts"
import { courier } from "../../runtime/kernel/mail/MailCourier.ts"
import { Provisioning } from "../../runtime/kernel/sandboxes/Provisioning.ts"
import { bridgeCertificate } from "../../runtime/kernel/sandboxes/SandboxIdentity.ts"
import { Teardown } from "../../runtime/kernel/sandboxes/Teardown.ts"
import { GithubApps } from "../../runtime/ports/GithubApps.ts"
import { Identities } from "../../runtime/ports/Identities.ts"
import * as MemoryInstallStore from "../../runtime/ports/memory/MemoryInstallStore.ts"
import { Outbox } from "../../runtime/ports/Outbox.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import * as EmbeddedHost from "../../runtime/substrates/process/EmbeddedHost.ts"
import { bundled } from "./bundled.ts"
import { slackProfile } from "./profiles.ts"
import { claudeCommand, temporaryDirectory } from "./ScriptedModel.ts"
import { slackClient, testWorkspace, tokenOf } from "./Workspace.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
/** Of a stack with an engine of its own. */
const ownInstall = InstallName.make("km")

/** A free port of loopback; taken by nobody else in the moment between, as far as a test can know. */
const freePort: Effect.Effect<number> = Effect.callback<number>((resume) => {
  const server = net.createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() => resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0)))
  })
})

/** A program of ours as a process of its own. */
export interface Program {
  readonly pid: number
  readonly running: () => boolean
  /** Everything written to standard error so far. */
  readonly log: () => string
  /** SIGKILL, and the wait until it is gone. */
  readonly kill9: Effect.Effect<void>
  /** The signal, and the exit code. */
  readonly end: (signal: "SIGTERM" | "SIGINT") => Effect.Effect<number | null>
  /** When it has ended, however. */
  readonly ended: Effect.Effect<number | null>
}

export interface ProgramOptions {
  readonly command?: string
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  /** Ready once standard output or error holds this. */
  readonly readyWhen: RegExp
}

const exitOf = (child: ChildProcess): Effect.Effect<number | null> =>
  Effect.callback<number | null>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.succeed(child.exitCode))
    const onExit = (code: number | null) => resume(Effect.succeed(code))
    child.once("exit", onExit)
    return Effect.sync(() => child.off("exit", onExit))
  })

/** Starts a program with nothing of this process's environment but what a program needs, and waits until it is ready. */
export const startProgram = Effect.fnUntraced(function*(options: ProgramOptions) {
  const output = { out: "", log: "" }
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(options.command ?? process.execPath, options.args, {
        cwd: root,
        env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "/", ...options.env },
        stdio: ["ignore", "pipe", "pipe"]
      })
    ),
    (started) =>
      Effect.suspend(() => {
        if (started.exitCode !== null || started.signalCode !== null) return Effect.void
        started.kill("SIGTERM")
        return exitOf(started).pipe(
          Effect.timeoutOrElse({
            duration: "1 minute",
            orElse: () => Effect.sync(() => void started.kill("SIGKILL"))
          }),
          Effect.asVoid
        )
      })
  )
  yield* Effect.callback<void>((resume) => {
    const look = () => {
      if (options.readyWhen.test(output.out) || options.readyWhen.test(output.log)) resume(Effect.void)
    }
    child.stdout?.on("data", (chunk) => {
      output.out += String(chunk)
      look()
    })
    child.stderr?.on("data", (chunk) => {
      output.log += String(chunk)
      look()
    })
    child.once(
      "exit",
      (code, signal) =>
        resume(
          Effect.die(new Error(`${options.args[0]} ended (${signal ?? code}) before it was ready:\n${output.log}`))
        )
    )
  })
  const program: Program = {
    pid: child.pid ?? -1,
    running: () => child.exitCode === null && child.signalCode === null,
    log: () => output.log,
    kill9: Effect.andThen(Effect.sync(() => void child.kill("SIGKILL")), Effect.asVoid(exitOf(child))),
    end: (signal) => Effect.andThen(Effect.sync(() => void child.kill(signal)), exitOf(child)),
    ended: exitOf(child)
  }
  return program
})

export interface StackOptions {
  readonly workspace?: Partial<WorkspaceInput>
  /** Replaces the bundled bridge, such as by a root that dies at a chosen point. */
  readonly bridgeRoot?: string
  readonly runtimeRoot?: string
  /** What runs the programs instead of this Node: a command and the arguments before the program's file. */
  readonly engine?: (
    program: "bridge" | "runtime",
    state: string
  ) => { readonly command: string; readonly args: ReadonlyArray<string> }
  /** Where its state lives, when not on this machine: made there. */
  readonly place?: { readonly install: InstallName; readonly aws: AwsPlace }
  /** More variables for both programs, given the state directory. */
  readonly env?: (state: string) => Readonly<Record<string, string>>
}

/** A sandbox of the stack, and a person who writes in its channel. */
export interface StackSandbox {
  readonly row: SandboxRow
  readonly channel: ChannelId
  /** A person writes; the message's `ts`. */
  readonly say: (text: string, threadTs?: string) => Effect.Effect<string>
  /** The message and its thread as the workspace has them now. */
  readonly thread: (ts: string) => Effect.Effect<MessageView>
  /** Waits until the message has the reaction. */
  readonly untilReaction: (ts: string, emoji: string) => Effect.Effect<MessageView>
  /** The thread, once the names of its files are as wanted: they are attached beside everything else. */
  readonly untilFiles: (ts: string, holds: (names: ReadonlyArray<string>) => boolean) => Effect.Effect<MessageView>
}

const Reactions = Schema.Array(Schema.Struct({ name: Schema.String }))
const decodeReactions = Schema.decodeUnknownOption(Reactions)

/** Names of the reactions of a message. */
export const reactionsOf = (view: MessageView): ReadonlyArray<string> =>
  Option.getOrElse(decodeReactions(view.message["reactions"]), () => []).map(({ name }) => name)

/** What the bot wrote into the thread, in order. */
export const botTexts = (view: MessageView, botUserId: string): ReadonlyArray<string> =>
  view.replies.flatMap(({ message }) => message["user"] === botUserId ? [String(message["text"])] : [])

/** Names of the files in the thread. */
export const filesOf = (view: MessageView): ReadonlyArray<string> =>
  [view, ...view.replies].flatMap(({ message }) => {
    const files = message["files"]
    return Array.isArray(files) ? files.map((file: { readonly name?: unknown }) => String(file.name)) : []
  })

/** No requests are kept: the operator's calls of a test are made again by the test itself. */
const forgetfulOutbox = Layer.succeed(
  Outbox,
  Outbox.of({
    put: () => Effect.void,
    tried: () => Effect.void,
    remove: () => Effect.void,
    pending: Effect.succeed([])
  })
)

export interface Stack {
  readonly state: string
  readonly workspace: WorkspaceHandle
  readonly model: ScriptedModel.ScriptedModel
  readonly startBridge: Effect.Effect<Program, never, Scope.Scope>
  readonly startRuntime: Effect.Effect<Program, never, Scope.Scope>
  readonly sandbox: (profile?: Profile, alias?: string) => Effect.Effect<StackSandbox>
  /** A sandbox without a channel. */
  readonly quietSandbox: (profile: Profile, alias?: string) => Effect.Effect<SandboxRow>
  readonly destroy: (id: SandboxId) => Effect.Effect<void>
}

const make = Effect.fnUntraced(function*(options: StackOptions) {
  const workspace = yield* testWorkspace(options.workspace)
  const bySocket = workspace.sockets.isOn()
  const model = yield* ScriptedModel.start()
  const state = path.join(yield* temporaryDirectory, "state")
  yield* openStateDirectory(state)
  const port = yield* freePort
  const bridgeUrl = `http://127.0.0.1:${port}`
  const certifierSeed = generateSeed()
  const operatorSeed = generateSeed()
  const certifier = signingKeyFromSeed(certifierSeed)
  const install = options.place?.install ?? ownInstall
  const choice = options.place === undefined ? { install } : { install, engine: "aws" as const, aws: options.place.aws }
  yield* writeInstall(state, {
    version: 1,
    ...choice,
    certifierPublicKey: Buffer.from(certifier.publicKey).toString("base64"),
    bridgeUrl,
    bridgeHost: `127.0.0.1:${port}`,
    slackApiUrl: workspace.apiUrl,
    ...(bySocket ? { slackTransport: "socket" as const } : {}),
    teamId: TeamId.make(workspace.teamId),
    appId: workspace.appId,
    botUserId: workspace.botUserId,
    botId: workspace.botId,
    local: true
  })
  const engine = openEngine({ state, choice, writer: "operator", secrets: "all", make: true })
  const operator = signingKeyFromSeed(operatorSeed)
  const ports = yield* Layer.build(engine)
  // As the control plane does, of which the stack has nothing else running.
  yield* Layer.build(Layer.provide(courier, Layer.succeedContext(ports)))
  yield* Effect.gen(function*() {
    const secrets = yield* Secrets
    const identities = yield* Identities
    yield* secrets.put("slack/bot-token", Redacted.make(workspace.botToken))
    yield* secrets.put("slack/signing-secret", Redacted.make(workspace.signingSecret))
    if (bySocket) yield* secrets.put("slack/app-token", Redacted.make(workspace.appToken))
    yield* secrets.put(certifierKeyPath, Redacted.make(Buffer.from(certifierSeed).toString("base64")))
    yield* secrets.put(signingKeyPath("operator"), Redacted.make(Buffer.from(operatorSeed).toString("base64")))
    yield* identities.put(
      "operator",
      "operator",
      operator.keyId,
      bridgeCertificate(certifier, install, "operator", operator, Date.now())
    )
  }).pipe(Effect.provide(ports))

  const client = BridgeClient.layer({
    url: bridgeUrl,
    install,
    sender: "operator",
    epoch: Effect.succeed(0)
  }).pipe(Layer.provide([forgetfulOutbox, NodeHttpClient.layerNodeHttp]))
  const control = Provisioning.layer.pipe(
    Layer.provideMerge(Teardown.layer),
    Layer.provideMerge(
      Layer.mergeAll(
        client,
        EmbeddedHost.layer(state),
        GithubApps.layerNone,
        MemoryInstallStore.layerOver(MemoryInstallStore.makeMemoryInstallState())
      )
    ),
    Layer.provideMerge(Layer.succeedContext(ports))
  )

  const env = { KM_STATE: state, KM_MODEL_URL: model.url, KM_MODEL_SCRIPTED: "true", KM_CLAUDE: claudeCommand }
  const more = options.env?.(state) ?? {}
  const engineOf = (program: "bridge" | "runtime") => options.engine?.(program, state) ?? { args: [] }
  const startBridge = Effect.gen(function*() {
    const bridgeEngine = engineOf("bridge")
    const program = yield* startProgram({
      ...bridgeEngine,
      args: [...bridgeEngine.args, options.bridgeRoot ?? bundled("km-bridge.mjs")],
      env: { ...env, ...more },
      readyWhen: /"ready":\s*true/
    })
    if (!bySocket) yield* Effect.orDie(workspace.setEventsUrl(`${bridgeUrl}/events`))
    return program
  })
  const runtimeEngine = engineOf("runtime")
  const startRuntime = startProgram({
    ...runtimeEngine,
    args: [...runtimeEngine.args, options.runtimeRoot ?? bundled("km-runtime.mjs"), "--all"],
    env: { ...env, ...more },
    readyWhen: /runtime starts/
  })

  const view = (row: SandboxRow, channel: ChannelId): StackSandbox => {
    const person = slackClient(workspace, tokenOf(workspace, "ada"))
    const thread = (ts: string) =>
      Effect.filterOrElse(
        Effect.orDie(workspace.thread(channel, ts)),
        (found) => found !== undefined,
        () => Effect.die(new Error(`no message ${ts}`))
      )
    return {
      row,
      channel,
      say: (text, threadTs) =>
        Effect.promise(async () => {
          const posted = await person.chat.postMessage({
            channel,
            text,
            ...(threadTs === undefined ? {} : { thread_ts: threadTs })
          })
          return String(posted.ts)
        }),
      thread,
      // From the first change on: the reaction may be there already.
      untilReaction: (ts, emoji) =>
        workspace.waitFor(
          (change) => change.kind === "reaction_added" && change.ts === ts && change.data["name"] === emoji,
          0
        ).pipe(Effect.andThen(thread(ts))),
      untilFiles: (ts, holds) =>
        Effect.gen(function*() {
          for (let after = 0;;) {
            const seen = yield* thread(ts)
            if (holds(filesOf(seen))) return seen
            after = (yield* workspace.waitFor((change) => change.seq > after, after)).seq
          }
        })
    }
  }

  const created = (profile: Profile, alias?: string) =>
    Effect.gen(function*() {
      const provisioning = yield* Provisioning
      return yield* provisioning.create({
        id: SandboxId.make(`sb-${randomUUID().slice(0, 8)}`),
        install,
        alias: alias === undefined ? undefined : Alias.make(alias),
        profile,
        unconfined: true,
        readyWithin: Duration.minutes(5)
      })
    }).pipe(Effect.provide(control), Effect.orDie)

  const stack: Stack = {
    state,
    workspace,
    model,
    startBridge: Effect.orDie(startBridge),
    startRuntime,
    sandbox: (profile = slackProfile, alias) =>
      Effect.gen(function*() {
        const row = yield* created(profile, alias)
        if (row.channel === undefined) return yield* Effect.die(new Error("the sandbox has no channel"))
        const person = slackClient(workspace, tokenOf(workspace, "ada"))
        yield* Effect.promise(() => person.conversations.join({ channel: String(row.channel) }))
        return view(row, row.channel)
      }),
    quietSandbox: created,
    destroy: (id) =>
      Effect.flatMap(Teardown, (teardown) => teardown.run(id, "destroyed")).pipe(
        Effect.provide(control),
        Effect.orDie,
        Effect.asVoid
      )
  }
  return stack
})

/** Workspace, model, state directory and keys. Start bridge and runtime when the test wants them. */
export const makeStack = (options: StackOptions = {}) => Effect.orDie(make(options))

/** The stack with bridge and runtime running. */
export const startStack = Effect.fnUntraced(function*(options?: StackOptions) {
  const stack = yield* makeStack(options)
  const bridge = yield* stack.startBridge
  const runtime = yield* stack.startRuntime
  return { ...stack, bridge, runtime }
})

/** Files below a directory, relative. What goes away meanwhile, as the agent's own locks do, is not there. */
export const filesBelow = (directory: string, below = ""): ReadonlyArray<string> => {
  let entries: ReadonlyArray<fs.Dirent>
  try {
    entries = fs.readdirSync(path.join(directory, below), { withFileTypes: true })
  } catch (cause) {
    if (Object(cause)["code"] === "ENOENT") return []
    throw cause
  }
  return entries.flatMap((entry) => {
    const name = path.join(below, entry.name)
    return entry.isDirectory() ? filesBelow(directory, name) : entry.isFile() ? [name] : []
  })
}
