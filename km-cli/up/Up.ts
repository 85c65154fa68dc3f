/**
 * `km up` as an effect: takes the install's lock, makes what a first start needs, starts the parts, repairs channels, and
 * then keeps everything running until interrupted. All parts are one trust domain.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Install } from "../../runtime/domain/install/Install.ts"
import type { InstallName } from "../../runtime/domain/sandbox/Ids.ts"
import { ControlPlane } from "../../runtime/kernel/sandboxes/ControlPlane.ts"
import type { Provisioning } from "../../runtime/kernel/sandboxes/Provisioning.ts"
import type { Teardown } from "../../runtime/kernel/sandboxes/Teardown.ts"
import type { Backend, InstallPorts } from "../Backend.ts"
import { controlServices } from "../ControlServices.ts"
import type { Credentials } from "../local/workspace/Credentials.ts"
import { talk } from "../Output.ts"
import { labelOf } from "../Reference.ts"
import type { Child } from "./Child.ts"
import { adoptModelKey, prepareInstall } from "./FirstRun.ts"
import {
  childEnvironment,
  credentialsFile,
  deliverEvents,
  keepRunning,
  modelKey,
  type StackOptions,
  startBridge,
  startControl,
  startMail,
  startModel,
  startRuntime,
  startWorkspace
} from "./Stack.ts"
import * as UpFile from "./UpFile.ts"

export interface UpOptions {
  readonly backend: Backend
  readonly install: InstallName
  /** The scripted model even where a key is at hand. */
  readonly forceScripted: boolean
  /** The local workspace delivers by Socket Mode. */
  readonly socketMode: boolean
  /** The state directory is this run's own and is gone with it. */
  readonly ephemeral: boolean
  /** The certifier's key stays within reach after the first run: certificates are renewed, schedules may create. */
  readonly unattendedCertifier: boolean
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** What is known once everything is healthy. */
export interface Running {
  readonly install: Install
  /** Of the local workspace, where there is one. */
  readonly credentials: Credentials | undefined
  readonly modelScripted: boolean
  /** Runs something on the engine and with the services that `up` itself uses. */
  readonly within: <A, E, R>(
    effect: Effect.Effect<A, E, R | InstallPorts | Provisioning | Teardown>
  ) => Effect.Effect<A, E, Exclude<R, InstallPorts | Provisioning | Teardown>>
}

/** Parts of a killed `km up` end by themselves; ends those that have not yet, newest first. */
const endLeftovers = Effect.fnUntraced(function*(run: string) {
  const left = yield* UpFile.read(run)
  if (Option.isNone(left)) return
  for (const { name, process } of left.value.children.toReversed()) {
    if (!UpFile.isAlive(process)) continue
    yield* talk(`ending ${name}, which an earlier km up left behind`)
    yield* UpFile.signal(process, "SIGTERM")
    const gone = Effect.suspend(() => UpFile.isAlive(process) ? Effect.fail("alive" as const) : Effect.void)
    yield* gone.pipe(
      Effect.retry(Schedule.spaced("100 millis")),
      Effect.timeoutOrElse({
        duration: "10 seconds",
        orElse: () => Effect.asVoid(UpFile.signal(process, "SIGKILL"))
      }),
      Effect.ignore
    )
  }
  yield* UpFile.remove(run)
})

/** Keeps `up.json` as the parts come and go. */
const bookOf = Effect.fnUntraced(function*(run: string, bridgeUrl: string, scripted: boolean) {
  const startedAt = yield* Clock.currentTimeMillis
  let book: UpFile.UpFile = {
    version: 1,
    supervisor: UpFile.nameOf(process.pid),
    children: [],
    bridgeUrl,
    modelScripted: scripted,
    ready: false,
    startedAt
  }
  const change = (changes: Partial<UpFile.UpFile>) =>
    Effect.suspend(() => {
      book = { ...book, ...changes }
      return UpFile.write(run, book)
    })
  yield* change({})
  yield* Effect.addFinalizer(() => UpFile.remove(run))
  return {
    change,
    onChild: (child: Child) =>
      Effect.suspend(() =>
        change({
          children: [
            ...book.children.filter(({ name }) => name !== child.name),
            { name: child.name, process: child.process }
          ]
        })
      )
  }
})

/** What the install says about real mail programs. */
const mailParts = ({ smtp = {} }: Install): ReadonlyArray<"mail-in" | "mail-out"> => [
  ...(smtp.listen === undefined ? [] : ["mail-in" as const]),
  ...(smtp.relay === undefined ? [] : ["mail-out" as const])
]

/** What keeps mail programs out, such as a port that another program has, stops nothing else: it is tried again. */
const startedMail = (options: StackOptions, name: "mail-in" | "mail-out") =>
  startMail(options, name).pipe(
    Effect.catch((error) => Effect.as(talk(`${name} could not be started: ${error.message}`), undefined))
  )

/** The local workspace and whoever ends with it; nothing where the install has Slack's. */
const localParts = Effect.fnUntraced(function*(options: StackOptions, prepared: Install) {
  if (!prepared.local) return { install: prepared, credentials: undefined, ended: Effect.never }
  const { credentials, install, workspace } = yield* startWorkspace(options, prepared)
  return { install, credentials, ended: workspace.ended }
})

/** Channels go with a workspace whose memory is lost. */
const repairChannels = Effect.fnUntraced(function*(credentials: Credentials) {
  const control = yield* ControlPlane
  const generation = `${credentials.botId}-${yield* Clock.currentTimeMillis}`
  for (const row of yield* control.repairChannels(generation)) {
    yield* talk(`${labelOf(row)} has a new channel: the one before is gone or archived`)
  }
})

/** One life of the workspace and of everything that knows it; ends when the workspace or the model does. */
const life = Effect.fnUntraced(function*(
  options: StackOptions,
  prepared: Install,
  book: { readonly change: (changes: Partial<UpFile.UpFile>) => Effect.Effect<void> },
  onReady: (running: Running) => Effect.Effect<void>
) {
  const { backend } = options
  const { credentials, ended, install } = yield* localParts(options, prepared)
  const model = yield* startModel(options)
  const bridge = yield* startBridge(options, install)
  if (credentials !== undefined && !options.socketMode) yield* deliverEvents(credentials, install)
  const services = ControlPlane.layerWithoutRenewal.pipe(
    Layer.provide(backend.bridge(install)),
    Layer.provideMerge(controlServices(backend, install, "operator"))
  )
  return yield* Effect.gen(function*() {
    if (credentials !== undefined) yield* repairChannels(credentials)
    const control = yield* startControl(options)
    const runtime = yield* startRuntime(options, model)
    const mail = yield* Effect.forEach(
      mailParts(install),
      (name) => Effect.map(startedMail(options, name), (first) => keepRunning(name, first, startMail(options, name)))
    )
    yield* book.change({
      ready: true,
      ...(credentials === undefined
        ? {}
        : { workspaceUrl: credentials.url, credentialsFile: credentialsFile(backend) })
    })
    const context = yield* Effect.context<InstallPorts | Provisioning | Teardown>()
    yield* onReady({
      install,
      credentials,
      modelScripted: model.scripted,
      within: (effect) => Effect.provideContext(effect, context)
    })
    return yield* Effect.raceFirst(
      Effect.raceFirst(
        Effect.map(ended, (how) => `workspace: ${how}`),
        Effect.map(model.ended, (how) => `model: ${how}`)
      ),
      Effect.all([
        keepRunning("bridge", bridge, startBridge(options, install)),
        keepRunning("control", control, startControl(options)),
        keepRunning("runtime", runtime, startRuntime(options, model)),
        ...mail
      ], { concurrency: "unbounded", discard: true })
    )
  }).pipe(Effect.provide(services))
})

/**
 * Runs until interrupted, then ends the parts in order: the runtime drains its turns while the bridge still answers.
 * `onReady` is told when everything is healthy, again after every restart of the workspace.
 */
export const up = Effect.fn("km.up")(function*(
  options: UpOptions,
  onReady: (running: Running) => Effect.Effect<void>
) {
  const { backend, unattendedCertifier } = options
  return yield* Effect.scoped(Effect.gen(function*() {
    // Before anything is made: without it no message would ever be answered.
    yield* backend.claude
    // Opening the engine makes the state directory that the lock lies in.
    const ports = yield* Layer.build(backend.ports(unattendedCertifier ? "long" : "unattended"))
    yield* backend.lock
    yield* endLeftovers(backend.paths.run)
    return yield* Effect.gen(function*() {
      const prepared = yield* prepareInstall(backend, options.install, unattendedCertifier)
      const real = yield* adoptModelKey(yield* modelKey)
      const scripted = options.forceScripted || !real
      const book = yield* bookOf(backend.paths.run, prepared.bridgeUrl, scripted)
      const stack: StackOptions = {
        backend,
        env: childEnvironment(options.environment, backend.paths.root),
        scripted,
        ephemeral: options.ephemeral,
        socketMode: options.socketMode,
        unattendedCertifier,
        onChild: book.onChild
      }
      while (true) {
        const how = yield* Effect.scoped(life(stack, yield* backend.install, book, onReady))
        yield* talk(`a part ended by itself (${how}); everything that knows it is started again`)
        yield* book.change({ ready: false })
        yield* Effect.sleep("1 second")
      }
    }).pipe(Effect.provide(ports))
  }))
})
