/** The real agent with a scripted model, in temporary directories: what the tests of several rooms start from. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as ScriptedModel from "../../km-cli/local/model/ScriptedModel.ts"
import * as ClaudeAgent from "../../runtime/adapters/claude/ClaudeAgent.ts"
import { Jail } from "../../runtime/adapters/jail/Bubblewrap.ts"
import { ModelDoor } from "../../runtime/adapters/model/ModelDoor.ts"
import { SessionId, TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import { Agent, type AgentRun } from "../../runtime/ports/Agent.ts"
import { bundled } from "./bundled.ts"

/** The pinned CLI. */
export const claudeCommand = fileURLToPath(new URL("../../node_modules/.bin/claude", import.meta.url))

/** A network of this mode, with the doors of a run beside the model's. */
export const networkOf = (
  mode: ClaudeAgent.AgentNetwork["mode"],
  doors: ClaudeAgent.AgentNetwork["doors"] = () => []
): ClaudeAgent.AgentNetwork => ({
  mode,
  entrypoint: { engine: Fs.realpathSync(process.execPath), program: bundled("km-entrypoint.cjs") },
  doors
})

/** A directory that goes with the scope; 0700. */
export const temporaryDirectory = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "km-test-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** A directive for the scripted model that runs a shell command and answers with its output. */
export const bashScript = (command: string): string => `script:bash:${Buffer.from(command).toString("base64url")}`

/** Looks every 10 ms: for what another process does and nothing else tells. The test's own timeout ends it. */
export const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => condition() ? Effect.void : Effect.andThen(Effect.sleep(10), until(condition)))

/** What a sandbox has on disk. `state` is ours alone; `home` and `workspace` are the agent's. */
export const sandboxDirectories = Effect.map(temporaryDirectory, (root) => {
  const make = (...parts: ReadonlyArray<string>) => {
    const path = Path.join(root, ...parts)
    Fs.mkdirSync(path, { recursive: true, mode: 0o700 })
    return path
  }
  return { state: make("state"), runs: make("state", "runs"), home: make("home"), workspace: make("workspace") }
})
export type SandboxDirectories = Effect.Success<typeof sandboxDirectories>

/** A run in its own new run directory. */
export const runOf = (
  directories: Pick<SandboxDirectories, "runs">,
  prompt: string,
  more: Partial<AgentRun> = {}
): AgentRun => {
  const id = randomUUID()
  const runDir = Path.join(directories.runs, id)
  Fs.mkdirSync(runDir, { mode: 0o700 })
  return {
    turn: TurnKey.make(`T0TEST:C0TEST:${id}`),
    attempt: 1,
    session: SessionId.make(randomUUID()),
    mode: "fresh",
    runDir,
    prompt: `[km] Message from Ada.\n\n${prompt}`,
    messageUuid: randomUUID(),
    env: {},
    contributions: [],
    ...more
  }
}

/** Short limits, so that failing scripts fail at once. */
export const testLimits = { maxRetries: 1, apiTimeoutMillis: 3_000, streamIdleMillis: 2_000 }

/** The agent of one sandbox behind a door to the scripted model. `jail` decides whether it is confined. */
export const scriptedAgent = Effect.fnUntraced(function*(
  options: Partial<ClaudeAgent.ClaudeAgentOptions> & {
    readonly jail?: Layer.Layer<Jail>
    /** False: the door takes the scripted model for a real one, with a key. Default true. */
    readonly scripted?: boolean
  } = {}
) {
  const directories = yield* sandboxDirectories
  const model = yield* ScriptedModel.start()
  const { jail = Jail.layerUnconfined("this test does not need a jail"), scripted = true, ...given } = options
  const doorLayer = ModelDoor.layer({
    upstream: model.url,
    key: Effect.succeedSome(Redacted.make("sk-ant-real-key-of-a-test")),
    scripted
  })
  const layer = ClaudeAgent.layer({
    command: claudeCommand,
    home: directories.home,
    workspace: directories.workspace,
    locks: Path.join(directories.state, "locks"),
    spendFile: Path.join(directories.state, "spend.json"),
    policy: { permissions: "bypass", model: "default", trustRepoSettings: false },
    budgetUsd: 0,
    unconfinedAccepted: false,
    readOnly: [],
    settings: () => Effect.succeed({}),
    network: networkOf("shared"),
    limits: testLimits,
    ...given
  }).pipe(Layer.provideMerge(Layer.merge(jail, doorLayer)))
  const context = yield* Layer.build(layer)
  const agent = yield* Effect.provide(Agent, context)
  return { agent, directories, model }
})
