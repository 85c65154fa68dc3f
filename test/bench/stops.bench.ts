/**
 * How soon an agent is gone with everything that it started, in each of the ways in which people stop it: from the gesture to
 * the last of its processes. Real bridge, runtime and agent with the scripted model, in the local workspace; the agent is
 * in a tool that would run for ten minutes.
 */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { slackSignature } from "../../bridge/slack/slackSignature.ts"
import buildOnce from "../support/buildOnce.ts"
import { bundled } from "../support/bundled.ts"
import { processesNaming } from "../support/processesNaming.ts"
import { bashScript } from "../support/ScriptedModel.ts"
import { type Stack, type StackSandbox, startStack } from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"
import { slackClient, tokenOf, userIdOf } from "../support/Workspace.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

const samples = Number(process.env["KM_STOP_SAMPLES"] ?? 20)

type Way = (stack: Stack, sandbox: StackSandbox, ts: string) => Promise<unknown>

/** As Slack tells of its own button: an app that is an agent gets this event. */
const button: Way = async ({ state, workspace }, { channel }, ts) => {
  const body = JSON.stringify({
    type: "event_callback",
    team_id: workspace.teamId,
    api_app_id: workspace.appId,
    event_id: `EvStop${ts}`,
    event: {
      type: "agent_session_stopped",
      channel,
      user: userIdOf(workspace, "ada"),
      thread_ts: ts,
      streaming_message_ts: [],
      event_ts: ts
    }
  })
  const { bridgeUrl } = JSON.parse(fs.readFileSync(path.join(state, "install.json"), "utf8"))
  const now = String(Math.floor(Date.now() / 1_000))
  const answer = await fetch(`${bridgeUrl}/events`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "x-slack-request-timestamp": now,
      "x-slack-signature": slackSignature(workspace.signingSecret, now, body)
    },
    body
  })
  if (answer.status !== 200) throw new Error(`the bridge answered ${answer.status}`)
}

const mark: Way = ({ workspace }, { channel }, ts) =>
  slackClient(workspace, tokenOf(workspace, "ada")).reactions.add({ channel, timestamp: ts, name: "octagonal_sign" })

const word: Way = ({ workspace }, { channel }, ts) =>
  slackClient(workspace, tokenOf(workspace, "ada")).chat.postMessage({ channel, thread_ts: ts, text: "!stop" })

const command: Way = ({ state }, { row }) =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bundled("km.mjs"), "stop", row.id], {
      env: { PATH: process.env["PATH"] ?? "", HOME: state, KM_STATE: state },
      stdio: "ignore"
    })
    child.once("exit", (code) => code === 0 ? resolve(code) : reject(new Error(`km stop ended with ${code}`)))
  })

const ways: ReadonlyArray<readonly [name: string, way: Way]> = [
  ["Slack's Stop button", button],
  ["🛑", mark],
  ["!stop", word],
  ["km stop", command]
]

const isThere = (pid: string): boolean => {
  try {
    return !/^State:\s*Z/m.test(fs.readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

/** Milliseconds from the gesture until nothing of the agent is left. */
const stopped = Effect.fnUntraced(function*(stack: Stack, sandbox: StackSandbox, way: Way) {
  const directory = path.join(stack.state, "sandboxes", sandbox.row.id)
  const begun = path.join(directory, "workspace", "begun")
  fs.rmSync(begun, { force: true })
  const ts = yield* sandbox.say(bashScript("(sleep 600 & echo > begun; wait)"))
  yield* untilReal("the tool runs", Effect.sync(() => fs.existsSync(begun)))
  // The supervisor names no sandbox's home: what does is the agent, its jail, and its tools.
  const pids = processesNaming(path.join(directory, "home"))
  const from = performance.now()
  const made = way(stack, sandbox, ts).then(() => performance.now() - from)
  const gone = new Promise<number>((resolve) => {
    const look = () => pids.some(isThere) ? setTimeout(look, 2) : resolve(performance.now() - from)
    look()
  })
  const took = yield* Effect.promise(() => gone)
  const own = yield* Effect.promise(() => made)
  yield* sandbox.untilReaction(ts, "octagonal_sign")
  return { took, own, processes: pids.length }
})

const measured = Effect.gen(function*() {
  const stack = yield* startStack()
  const sandbox = yield* stack.sandbox()
  const rows: Array<BenchRow> = []
  for (const [name, way] of ways) {
    const times: Array<number> = []
    const owns: Array<number> = []
    for (let n = 0; n < samples; n++) {
      const { own, processes, took } = yield* stopped(stack, sandbox, way)
      if (processes < 2) throw new Error("the agent and its tool were not found")
      times.push(took)
      owns.push(own)
    }
    const value = percentile(times, 95)
    rows.push({
      area: "stops",
      name: `${name} → the agent and its tools are gone, p95 of ${samples}`,
      unit: "ms",
      value,
      p50: percentile(times, 50),
      p99: percentile(times, 99),
      target: "<= 2000",
      ok: meets(value, "<= 2000")
    })
    // The command is a process of its own, which has to start; the others are one request to Slack, or from it.
    if (way === command) {
      rows.push({
        area: "stops",
        name: "… of that the command's own run, p95",
        unit: "ms",
        value: percentile(owns, 95),
        p50: percentile(owns, 50),
        p99: percentile(owns, 99),
        target: "",
        ok: true
      })
    }
  }
  return rows
})

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  await buildOnce()
  return await Effect.runPromise(Effect.scoped(measured))
}
