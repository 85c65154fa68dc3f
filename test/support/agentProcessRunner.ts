/** Starts `agentProcess.ts` and reads what it prints. */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { NetworkMode } from "../../runtime/domain/profile/Profile.ts"
import { SessionId } from "../../runtime/domain/sandbox/Ids.ts"
import { AgentOutcome, ProcessMark } from "../../runtime/domain/turn/Turn.ts"

/** `root` holds `state/runs`, `home`, `workspace`; `keyFile` holds the model's real key, as the runtime reads it. */
export const AgentProcessInput = Schema.fromJsonString(Schema.Struct({
  command: Schema.String,
  root: Schema.String,
  upstream: Schema.String,
  keyFile: Schema.String,
  jailed: Schema.Boolean,
  network: NetworkMode,
  /** Where a hook call goes that comes by the door; 0 where none comes. */
  hooksPort: Schema.Int,
  session: SessionId,
  runDir: Schema.String,
  messageUuid: Schema.String,
  prompt: Schema.String,
  /** Settings as hooks would give them. */
  settings: Schema.Record(Schema.String, Schema.Unknown)
}))

const Started = Schema.fromJsonString(Schema.Struct({
  started: ProcessMark,
  confinement: Schema.Struct({ confined: Schema.Boolean, detail: Schema.String })
}))
const Ended = Schema.fromJsonString(Schema.Struct({ outcome: AgentOutcome }))

/** The child dies with the scope. */
export const runAgentProcess = Effect.fnUntraced(function*(
  input: typeof AgentProcessInput.Type,
  env: Readonly<Record<string, string>> = {}
) {
  const lines = yield* Queue.unbounded<string>()
  const argument = yield* Schema.encodeEffect(AgentProcessInput)(input)
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [fileURLToPath(new URL("./agentProcess.ts", import.meta.url)), argument], {
        stdio: ["ignore", "pipe", "inherit"],
        env: { PATH: process.env["PATH"] ?? "", ...env }
      })
    ),
    (process) => Effect.sync(() => void process.kill("SIGKILL"))
  )
  createInterface({ input: child.stdout }).on("line", (line) => Queue.offerUnsafe(lines, line))
  const started = yield* Effect.flatMap(Queue.take(lines), Schema.decodeEffect(Started))
  return {
    child,
    started: started.started,
    confinement: started.confinement,
    outcome: Effect.map(Effect.flatMap(Queue.take(lines), Schema.decodeEffect(Ended)), ({ outcome }) => outcome),
    /** As a power cut: no handler of the runtime runs. */
    kill: Effect.callback<void>((resume) => {
      child.once("exit", () => resume(Effect.void))
      child.kill("SIGKILL")
    })
  }
})
