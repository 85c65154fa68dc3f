/** Everything that runs for one sandbox while its lease is held: stores, bridge, hooks, agent, pipeline, plugins. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { builtInPlugins } from "../../plugins/index.ts"
import * as BridgeClient from "../adapters/bridge/BridgeClient.ts"
import { fileError, makeDirectory } from "../adapters/disk/PrivateFiles.ts"
import * as SandboxStore from "../adapters/disk/SandboxStore.ts"
import { statePaths } from "../adapters/disk/StateDirectory.ts"
import * as HookListener from "../adapters/hooks/HookListener.ts"
import type { Install } from "../domain/install/Install.ts"
import { runtimeSecrets } from "../domain/install/ProcessSecrets.ts"
import type { SandboxRow } from "../domain/sandbox/Sandbox.ts"
import * as StoredTokens from "../kernel/github/StoredTokens.ts"
import { drainLimit, PluginHost } from "../kernel/plugins/PluginHost.ts"
import * as AskedPeople from "../kernel/questions/AskedPeople.ts"
import { TurnPipeline } from "../kernel/turns/TurnPipeline.ts"
import { Agent } from "../ports/Agent.ts"
import { Redaction } from "../ports/Redaction.ts"
import { Reports } from "../ports/Reports.ts"
import { RepositoryTokens } from "../ports/RepositoryTokens.ts"
import { RuntimeStatus } from "../ports/RuntimeStatus.ts"
import { SandboxInfo } from "../ports/SandboxInfo.ts"
import { scopedSecrets, Secrets } from "../ports/Secrets.ts"
import { ThisInstall } from "../ports/ThisInstall.ts"
import { unending } from "../ports/Unending.ts"
import type { HeldLease } from "../substrates/process/LeaseKeeper.ts"
import * as AgentProgramFiles from "./AgentProgramFiles.ts"
import { agentLayer } from "./Agents.ts"
import { reportOpenTurns } from "./OpenTurns.ts"
import { RuntimeConfig } from "./RuntimeConfig.ts"
import * as StatusBoard from "./StatusBoard.ts"
import { serveTerminals } from "./Terminals.ts"

/** What of a row makes a runtime: when one of these changes, the sandbox's runtime is started anew. */
export const shapeOf = ({ alias, channel, profile, unconfined }: SandboxRow): string =>
  JSON.stringify([alias, channel, profile, unconfined])

const infoLayer = (row: SandboxRow, install: Install, state: string) => {
  const { directory, home, runs, workspace } = statePaths(state).sandbox(row.id)
  return Layer.succeed(SandboxInfo)(SandboxInfo.of({
    id: row.id,
    install: install.install,
    profile: row.profile,
    channel: row.channel,
    label: row.alias ?? row.id,
    directories: { state: directory, home, workspace, runs }
  }))
}

/** Keys are replaced while the runtime runs. */
const learnEvery = "1 minute"

/** Every value that must not appear in a post or an upload, as far as this sandbox's runtime knows it. */
const learnSecrets = (row: SandboxRow) =>
  Layer.effectDiscard(Effect.gen(function*() {
    const redaction = yield* Redaction
    const secrets = yield* Secrets
    const endpoint = yield* HookListener.HookEndpoint
    yield* redaction.add(endpoint.sandboxToken)
    const learn = Effect.gen(function*() {
      for (
        const { path: label, value } of [...yield* secrets.under(`sandbox/${row.id}`), ...yield* secrets.under("model")]
      ) {
        // A history has a key on each line.
        for (const line of Redacted.value(value).split("\n")) {
          yield* redaction.add(Redacted.make(line.trim(), { label }))
        }
      }
    })
    yield* learn
    yield* Effect.forkScoped(unending(
      "reading secrets again ended in a defect; it is tried again",
      0,
      learn.pipe(
        Effect.catch((error) => Effect.logWarning("secrets were not read again", error.message)),
        Effect.delay(learnEvery)
      )
    ))
  }))

/** The report says what the runtime says, for readers that do not go through the bridge. */
const writeDown = Effect.fnUntraced(function*(row: SandboxRow, onReady: Effect.Effect<void>) {
  const status = yield* RuntimeStatus
  const reports = yield* Reports
  yield* status.changes.pipe(
    Stream.map(({ plugins, ready }) => ({ plugins, ready })),
    Stream.changesWith((a, b) => JSON.stringify(a) === JSON.stringify(b)),
    Stream.runForEach(({ plugins, ready }) =>
      reports.put(row.id, { plugins, ready, ...(ready ? { failureReason: "" } : {}) }).pipe(
        Effect.catch((error) => Effect.logWarning("what the runtime says of itself was not stored", error.message)),
        Effect.andThen(ready ? onReady : Effect.void)
      )
    ),
    Effect.forkScoped
  )
})

export interface SandboxRuntimeOptions {
  readonly row: SandboxRow
  readonly install: Install
  readonly lease: HeldLease
  /** Runs each time the sandbox becomes ready. */
  readonly onReady: Effect.Effect<void>
}

/**
 * Serves the sandbox until the scope closes, which drains the turn in hand. Fails when something that is needed cannot
 * be had (a key, a store, a port).
 */
export const serve = Effect.fnUntraced(function*(options: SandboxRuntimeOptions) {
  const { install, lease, row } = options
  const { state } = yield* RuntimeConfig
  const { directory, home, run, runs, workspace } = statePaths(state).sandbox(row.id)
  yield* Effect.try({
    try: () => [directory, home, workspace, runs, run].forEach(makeDirectory),
    catch: fileError("SandboxRuntime", "start")
  })

  const scoped = Layer.effect(
    Secrets,
    Effect.map(Secrets, (secrets) => scopedSecrets(secrets, runtimeSecrets(row.id)))
  )
  const bridge = BridgeClient.layer({
    url: install.bridgeUrl,
    host: install.bridgeHost,
    install: install.install,
    sender: row.id,
    epoch: Effect.succeed(lease.epoch),
    onStaleEpoch: lease.doubt
  })
  const base = Layer.mergeAll(
    infoLayer(row, install, state),
    Redaction.layer,
    SandboxStore.layer(directory),
    scoped,
    Layer.succeed(ThisInstall)(install),
    AgentProgramFiles.layer(directory)
  )
  const outside = Layer.mergeAll(
    bridge,
    agentLayer(row).pipe(Layer.provideMerge(HookListener.layer({ stateDirectory: directory })))
  )
  const ports = learnSecrets(row).pipe(
    Layer.provideMerge(
      row.profile.spec.sourceAccess.github.allowedRepos.length === 0 ? RepositoryTokens.layerNone : StoredTokens.layer
    ),
    Layer.provideMerge(outside),
    Layer.provideMerge(base)
  )
  const status = Layer.unwrap(Effect.gen(function*() {
    const { confined, detail } = yield* (yield* Agent).confinement
    yield* Effect.logInfo("agent's confinement").pipe(Effect.annotateLogs({ confined, confinement: detail }))
    return StatusBoard.layer({ confined, confinement: detail })
  }))
  const drainFor = Effect.sync(() => lease.held() ? drainLimit : Duration.zero)
  const all = PluginHost.layer(builtInPlugins, drainFor).pipe(
    Layer.provideMerge(TurnPipeline.layer),
    Layer.provideMerge(AskedPeople.layer),
    Layer.provideMerge(status),
    Layer.provideMerge(ports)
  )
  // A memo map of its own: layers are shared by reference, and no two sandboxes may share a pipeline or a redactor.
  const context = yield* Layer.buildWithMemoMap(all, yield* Layer.makeMemoMap, yield* Effect.scope)
  return yield* Effect.gen(function*() {
    yield* writeDown(row, options.onReady)
    yield* Effect.forkScoped(reportOpenTurns(row.id))
    yield* serveTerminals({ run, runs })
    const board = yield* StatusBoard.StatusBoard
    return yield* board.follow(yield* PluginHost)
  }).pipe(Effect.provide(context))
}, (effect, { row }) => Effect.annotateLogs(effect, { sandbox: row.id }))
