/**
 * A process that runs one agent turn, for tests that kill the runtime or look at what its environment leaks.
 * Reads one JSON argument; prints `started` and then the outcome, one JSON line each.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import * as ClaudeAgent from "../../runtime/adapters/claude/ClaudeAgent.ts"
import { Jail } from "../../runtime/adapters/jail/Bubblewrap.ts"
import { accept, doorPorts } from "../../runtime/adapters/jail/Doors.ts"
import { ModelDoor } from "../../runtime/adapters/model/ModelDoor.ts"
import { TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import { Agent } from "../../runtime/ports/Agent.ts"
import { AgentProcessInput } from "./agentProcessRunner.ts"
import { networkOf } from "./ScriptedModel.ts"

const print = (value: unknown) => Effect.sync(() => Fs.writeSync(1, `${JSON.stringify(value)}\n`))

/** What comes by the door goes on to a listener of the test. */
const forwardTo = (port: number) => (listener: Net.Server) =>
  accept(listener, (socket) => {
    const onward = Net.connect(port, "127.0.0.1")
    socket.pipe(onward)
    onward.pipe(socket)
    socket.on("error", () => onward.destroy())
    onward.on("error", () => socket.destroy())
  })

const main = Effect.gen(function*() {
  const input = yield* Schema.decodeEffect(AgentProcessInput)(process.argv[2] ?? "")
  const jail = input.jailed ? Jail.layer : Jail.layerUnconfined("the test wants it so")
  const door = ModelDoor.layer({
    upstream: input.upstream,
    key: Effect.sync(() => Option.some(Redacted.make(Fs.readFileSync(input.keyFile, "utf8")))),
    scripted: false
  })
  const layer = ClaudeAgent.layer({
    command: input.command,
    home: Path.join(input.root, "home"),
    workspace: Path.join(input.root, "workspace"),
    locks: Path.join(input.root, "state", "locks"),
    spendFile: Path.join(input.root, "state", "spend.json"),
    policy: { permissions: "bypass", model: "default", trustRepoSettings: false },
    budgetUsd: 0,
    unconfinedAccepted: true,
    readOnly: [],
    settings: () => Effect.succeed(input.settings),
    network: networkOf(
      input.network,
      () => [{ name: "hooks", port: doorPorts.hooks, attach: forwardTo(input.hooksPort) }]
    )
  }).pipe(Layer.provide(Layer.merge(jail, door)))
  yield* Effect.gen(function*() {
    const agent = yield* Agent
    const running = yield* agent.start({
      turn: TurnKey.make("T0TEST:C0TEST:1.000001"),
      attempt: 1,
      session: input.session,
      mode: "fresh",
      runDir: input.runDir,
      prompt: input.prompt,
      messageUuid: input.messageUuid,
      env: { KM_SLACK_THREAD_TS: "1.000001" },
      contributions: []
    })
    yield* print({ started: running.mark, confinement: yield* agent.confinement })
    yield* print({ outcome: yield* running.outcome })
  }).pipe(Effect.provide(layer))
}).pipe(Effect.scoped)

NodeRuntime.runMain(main)
