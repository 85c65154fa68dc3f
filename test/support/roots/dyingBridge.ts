/**
 * The bridge with a place to die: composed as `bridge/main.ts` composes it, but with one port call before which (or
 * after which) the process kills itself with SIGKILL, once. `KM_TEST_DIE` names the place, `KM_TEST_DIED` the file that
 * remembers that it has happened; until `{that file}.armed` exists nothing dies. Test code only: no bundle holds it.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Config, Effect, Layer } from "effect"
import * as HttpServer from "effect/http/HttpServer"
import * as fs from "node:fs"
import * as http from "node:http"
import { BridgeApp, layer as bridgeLayer } from "../../../bridge/BridgeApp.ts"
import { BridgeSettings } from "../../../bridge/BridgeSettings.ts"
import { CatchUp } from "../../../bridge/events/CatchUp.ts"
import { readInstall, statePaths, stateRoot } from "../../../runtime/adapters/disk/StateDirectory.ts"
import { bridgeSecrets } from "../../../runtime/domain/install/ProcessSecrets.ts"
import * as EmbeddedEngine from "../../../runtime/engines/embedded/EmbeddedEngine.ts"
import * as FileAudit from "../../../runtime/engines/embedded/FileAudit.ts"
import * as FileInstallStore from "../../../runtime/engines/embedded/FileInstallStore.ts"
import * as FileSecrets from "../../../runtime/engines/embedded/FileSecrets.ts"
import { Errands } from "../../../runtime/ports/Errands.ts"
import { Idempotency } from "../../../runtime/ports/Idempotency.ts"
import { TurnQueue } from "../../../runtime/ports/TurnQueue.ts"

/** Where the process may be told to die. */
export type DyingPlace = "before-enqueue" | "after-enqueue" | "after-slack-ok"

const settings = Effect.runSync(
  Effect.all({ place: Config.String("KM_TEST_DIE"), marker: Config.String("KM_TEST_DIED") })
)

const die = (place: DyingPlace) =>
  Effect.suspend(() => {
    const armed = fs.existsSync(`${settings.marker}.armed`)
    if (settings.place !== place || !armed || fs.existsSync(settings.marker)) return Effect.void
    fs.writeFileSync(settings.marker, place)
    process.kill(process.pid, "SIGKILL")
    return Effect.never
  })

const dyingQueue = Layer.effect(
  TurnQueue,
  Effect.map(TurnQueue, (queue) =>
    TurnQueue.of({
      ...queue,
      accept: (name, entry, terms) =>
        Effect.andThen(die("before-enqueue"), Effect.tap(queue.accept(name, entry, terms), die("after-enqueue")))
    }))
)

/** A result with parts is a message that Slack has accepted and nobody has written down yet. */
const dyingIdempotency = Layer.effect(
  Idempotency,
  Effect.map(Idempotency, (records) =>
    Idempotency.of({
      ...records,
      complete: (scope, key, token, result, ttl) =>
        Effect.andThen(
          result.includes("\"parts\"") ? die("after-slack-ok") : Effect.void,
          records.complete(scope, key, token, result, ttl)
        )
    }))
)

const program = Effect.gen(function*() {
  const root = yield* stateRoot
  const install = yield* readInstall(root)
  const ports = Layer.merge(dyingQueue, dyingIdempotency).pipe(
    Layer.provideMerge(Layer.mergeAll(
      EmbeddedEngine.layer(root),
      Errands.layerMemory,
      FileSecrets.layerScoped(statePaths(root).secrets, bridgeSecrets),
      Layer.provide(FileAudit.layer(root, "bridge"), FileInstallStore.layer(root))
    ))
  )
  const everything = bridgeLayer.pipe(
    Layer.provideMerge(ports),
    Layer.provideMerge(BridgeSettings.layer({
      install: install.install,
      host: install.bridgeHost,
      publicUrl: install.bridgeUrl,
      certifierPublicKey: Buffer.from(install.certifierPublicKey, "base64"),
      slackApiUrl: install.slackApiUrl,
      ...(install.teamId === undefined ? {} : { team: install.teamId }),
      ...(install.appId === undefined ? {} : { appId: install.appId }),
      operators: new Set(),
      rateScale: 1
    })),
    Layer.merge(
      NodeHttpServer.layer(() => http.createServer(), {
        port: Number(new URL(install.bridgeUrl).port),
        host: "127.0.0.1"
      })
    )
  )
  return yield* Effect.scoped(Effect.gen(function*() {
    const { app } = yield* BridgeApp
    const catchUp = yield* CatchUp
    yield* HttpServer.serveEffect(app)
    yield* Effect.forkScoped(catchUp.forever)
    process.stdout.write(`${JSON.stringify({ ready: true })}\n`)
    return yield* Effect.never
  })).pipe(Effect.provide(everything))
})

NodeRuntime.runMain(program)
