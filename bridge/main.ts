#!/usr/bin/env node
/** `km-bridge`: reads the install, opens the engine, answers on 127.0.0.1 until it is told to stop. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as http from "node:http"
import { readInstall, stateRootOf } from "../runtime/adapters/disk/StateDirectory.ts"
import * as Telemetry from "../runtime/adapters/telemetry/Telemetry.ts"
import { type BridgeListen, mayConnect, parseListen } from "../runtime/domain/install/BridgeListen.ts"
import type { Install } from "../runtime/domain/install/Install.ts"
import { bridgeSecrets } from "../runtime/domain/install/ProcessSecrets.ts"
import { fullVersion, version } from "../runtime/domain/install/Version.ts"
import { isLoopbackUrl } from "../runtime/domain/slack/FileLinks.ts"
import { engineOf } from "../runtime/engines/engineOf.ts"
import { Errands } from "../runtime/ports/Errands.ts"
import { Secrets } from "../runtime/ports/Secrets.ts"
import { endWithStdin, parentGone } from "../runtime/substrates/process/ParentGone.ts"
import { BridgeApp, layer as bridgeLayer } from "./BridgeApp.ts"
import { BridgeSettings } from "./BridgeSettings.ts"
import { CatchUp } from "./events/CatchUp.ts"
import { eventsFront } from "./EventsFront.ts"
import { appTokenPath } from "./slack/SlackSecrets.ts"
import { SocketMode } from "./socket/SocketMode.ts"

/** A client that sends its request slower than this is cut off. */
const requestTimeoutMillis = 30_000

const makeServer = (trustedProxy: string | undefined): http.Server => {
  const server = http.createServer({ requestTimeout: requestTimeoutMillis, headersTimeout: 10_000 })
  // Before any of ours reads a header: who is neither this machine nor the trusted proxy gets no answer.
  server.on("connection", (socket) => {
    if (!mayConnect(socket.remoteAddress, socket.localAddress, trustedProxy)) socket.destroy()
  })
  // Slack and our own runtimes keep connections; a restart must not find them half closed.
  server.keepAliveTimeout = 65_000
  return server
}

/** Where the address is a proxy's, which names no port of ours. */
const portBehindProxy = 8787

/** Where it is told to listen, else on this machine at the port that the runtimes know. */
const listenOf = (install: Install): BridgeListen =>
  parseListen(install.bridge?.listen ?? "") ??
    { host: "127.0.0.1", port: Number(new URL(install.bridgeUrl).port || portBehindProxy) }

/** Told, or by what is stored: who has an app-level token has no public address. */
const transportOf = Effect.fnUntraced(function*(install: Install) {
  if (install.slackTransport !== undefined) return install.slackTransport
  const token = yield* Effect.flatMap(Secrets, (secrets) => secrets.get(appTokenPath))
  return Option.isSome(token) ? "socket" : "http"
})

/** Where people reach links to files. Those of a local workspace are on this machine; others could not open a link to it. */
const publicUrlOf = ({ bridge, bridgeUrl, local }: Install): string | undefined =>
  bridge?.publicUrl ?? (local || !isLoopbackUrl(bridgeUrl) ? bridgeUrl : undefined)

const settingsOf = (install: Install, transport: "http" | "socket") => {
  const publicUrl = publicUrlOf(install)
  return BridgeSettings.layer({
    install: install.install,
    host: install.bridgeHost,
    ...(publicUrl === undefined ? {} : { publicUrl: publicUrl.replace(/\/+$/, "") }),
    certifierPublicKey: Buffer.from(install.certifierPublicKey, "base64"),
    slackApiUrl: install.slackApiUrl,
    transport,
    ...(install.teamId === undefined ? {} : { team: install.teamId }),
    ...(install.appId === undefined ? {} : { appId: install.appId }),
    operators: new Set(install.operators ?? []),
    rateScale: 1,
    listensOn: listenOf(install).host
  })
}

/** A link to a file opens it, so its address is not for a tracing backend; health checks would drown the rest. */
const untraced = Layer.succeed(HttpMiddleware.TracerDisabledWhen)((request) =>
  request.url.startsWith("/files/") || request.url === "/healthz"
)

/** The server's own listener, and before it the one for events. */
const putInFront = Effect.fnUntraced(function*(server: http.Server) {
  const { events } = yield* BridgeApp
  const [application] = server.listeners("request")
  if (events === undefined || application === undefined) return
  const scope = yield* Effect.scope
  const context = yield* Effect.context()
  server.removeAllListeners("request")
  server.on(
    "request",
    eventsFront({
      judge: events,
      context,
      scope,
      otherwise: (request, response) => void Reflect.apply(application, server, [request, response])
    })
  )
})

/** No span of its own: as the parent of every request it would make one endless trace of all messages. */
const serve = Effect.fnUntraced(function*(node: http.Server) {
  const { app } = yield* BridgeApp
  const catchUp = yield* CatchUp
  const errands = yield* Errands
  // Before the layers end that errands need.
  yield* Effect.addFinalizer(() => errands.close)
  yield* HttpServer.serveEffect(app)
  yield* putInFront(node)
  const server = yield* HttpServer.HttpServer
  yield* Effect.forkScoped(catchUp.forever)
  const { transport } = yield* BridgeSettings
  if (transport === "socket") yield* Effect.forkScoped(Effect.flatMap(SocketMode, ({ run }) => run))
  const url = HttpServer.formatAddress(server.address)
  // Data: whoever started the process waits for this line.
  yield* Console.log(JSON.stringify({ ready: true, url, pid: process.pid }))
  yield* Effect.logInfo("bridge is ready").pipe(Effect.annotateLogs({ url }))
  return yield* Effect.never
})

const program = Effect.fnUntraced(function*(flags: {
  readonly state: Option.Option<string>
  readonly port: Option.Option<number>
  readonly endWithStdin: boolean
}) {
  const root = yield* stateRootOf(flags.state)
  const install = yield* readInstall(root)
  const listen = listenOf(install)
  const port = Option.getOrElse(flags.port, () => listen.port)
  const server = makeServer(install.bridge?.trustedProxy)
  const ports = Layer.merge(
    Errands.layerMemory,
    engineOf({ state: root, choice: install, writer: "bridge", secrets: bridgeSecrets })
  )
  const everything = bridgeLayer.pipe(
    Layer.provideMerge(
      Layer.unwrap(Effect.map(transportOf(install), (transport) => settingsOf(install, transport)))
    ),
    Layer.provideMerge(ports),
    Layer.merge(NodeHttpServer.layer(() => server, { port, host: listen.host })),
    Layer.merge(untraced)
  )
  return yield* Effect.scoped(serve(server)).pipe(
    Effect.raceFirst(
      Effect.andThen(parentGone(flags.endWithStdin), Effect.logWarning("the supervisor is gone; the bridge ends"))
    ),
    Effect.provide(everything)
  )
})

const command = Command.make("km-bridge", {
  state: Flag.String("state").pipe(
    Flag.optional,
    Flag.withDescription("The state directory; KM_STATE unless given")
  ),
  port: Flag.Int("port").pipe(
    Flag.optional,
    Flag.withDescription(
      "The port on 127.0.0.1; that of bridgeUrl unless given, 8787 where it has none; 0 for a free one"
    )
  ),
  endWithStdin: Flag.Boolean(endWithStdin.name).pipe(
    Flag.withDefault(false),
    Flag.withDescription(endWithStdin.description)
  )
}, program).pipe(Command.withDescription("The control-plane service that alone holds Slack's secrets"))

const main = Command.run(command, { version: fullVersion }).pipe(
  Effect.tapCause((cause) => Effect.logError("the bridge ended", cause)),
  Effect.provide(Layer.mergeAll(NodeServices.layer, Telemetry.layer("km-bridge", version)))
)

/** A stop on request is no failure: systemd and `km up` read the exit code. */
NodeRuntime.runMain(main, {
  disableErrorReporting: true,
  teardown: (exit, onExit) => onExit(Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ? 0 : 1)
})
