/**
 * What it costs an agent to have no network: from the event to the agent's first instruction, with an agent that says when
 * it begins, and a hook call and a model call by a door against the same over TCP. Each pair in one run, one after the
 * other, so that a busy machine disturbs both alike.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { createInterface } from "node:readline"
import * as ScriptedModel from "../../km-cli/local/model/ScriptedModel.ts"
import type { Change } from "../../km-cli/local/workspace/Watch.ts"
import { statePaths } from "../../runtime/adapters/disk/StateDirectory.ts"
import { HookEndpoint, layer as hookLayer } from "../../runtime/adapters/hooks/HookListener.ts"
import { jailArguments } from "../../runtime/adapters/jail/Bubblewrap.ts"
import { type Door, doorOrigin, doorPorts, handOverFrom, withDoors } from "../../runtime/adapters/jail/Doors.ts"
import { kernelEntries } from "../../runtime/adapters/jail/KernelFiles.ts"
import { withThreeDescriptors } from "../../runtime/adapters/jail/probeScript.ts"
import * as Budget from "../../runtime/adapters/model/Budget.ts"
import { ModelDoor } from "../../runtime/adapters/model/ModelDoor.ts"
import { SessionId } from "../../runtime/domain/sandbox/Ids.ts"
import { HookEvents } from "../../runtime/ports/HookEvents.ts"
import { profileWith, slackProfile } from "../support/profiles.ts"
import { networkOf, temporaryDirectory } from "../support/ScriptedModel.ts"
import { type Stack, type StackSandbox, startStack } from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

const warmRounds = 3
const startRounds = 24
const hookRounds = 500
const modelRounds = 200

/** Notes when it began, in its home, and answers at once as the CLI does. */
const stubAgent = `#!/bin/bash
printf %s "$EPOCHREALTIME" > "$HOME/begun.part" && mv "$HOME/begun.part" "$HOME/begun"
while [[ $# -gt 0 ]]; do case $1 in --session-id | --resume) session=$2 ;; esac; shift; done
echo '{"type":"result","subtype":"success","is_error":false,"result":"done","session_id":"'"$session"'"}'
`

/** Milliseconds from the event's delivery to the agent's first instruction. */
const toBegin = Effect.fnUntraced(function*(stack: Stack, sandbox: StackSandbox, round: number) {
  const begun = path.join(statePaths(stack.state).sandbox(sandbox.row.id).home, "begun")
  fs.rmSync(begun, { force: true })
  const changes: Array<Change> = []
  const stop = yield* stack.workspace.watch((change) => void changes.push(change))
  const ts = yield* sandbox.say(`number ${round}`)
  yield* sandbox.untilReaction(ts, "white_check_mark")
  yield* stop
  const delivery = changes.find((change) =>
    change.kind === "delivery" && change.data["event_message_ts"] === ts && change.data["ok"] === true
  )
  const at = yield* untilReal(
    "the agent has begun",
    Effect.sync(() => fs.existsSync(begun) ? Number(fs.readFileSync(begun, "utf8")) * 1_000 : undefined)
  )
  if (delivery === undefined) return yield* Effect.die(new Error(`event ${round} was not delivered`))
  return at - (delivery.at - Number(delivery.data["millis"]))
})

const starts = Effect.gen(function*() {
  const stub = path.join(yield* temporaryDirectory, "claude")
  fs.writeFileSync(stub, stubAgent, { mode: 0o700 })
  const stack = yield* startStack({ env: () => ({ KM_CLAUDE: stub }) })
  const none = yield* stack.sandbox(slackProfile)
  const shared = yield* stack.sandbox(profileWith(slackProfile.spec.cli, { network: { mode: "shared" } }))
  const samples = { none: new Array<number>(), shared: new Array<number>() }
  for (let round = 0; round < warmRounds + startRounds; round++) {
    const pair = { shared: yield* toBegin(stack, shared, round), none: yield* toBegin(stack, none, round) }
    if (round < warmRounds) continue
    samples.none.push(pair.none)
    samples.shared.push(pair.shared)
  }
  if (!/no network/.test(stack.runtime.log())) {
    return yield* Effect.die(new Error("there is no jail without a network here"))
  }
  return samples
})

/** Makes one request for each line it reads, on a kept connection, and prints how long it took, milliseconds. */
const client = `
const http = require("node:http")
const { url, headers, body } = JSON.parse(process.argv[1])
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
require("node:readline").createInterface({ input: process.stdin }).on("line", () => {
  const begun = performance.now()
  const sent = http.request(url, { method: "POST", agent, headers }, (response) => {
    response.resume()
    response.on("end", () => console.log(response.statusCode === 200 ? performance.now() - begun : -response.statusCode))
  })
  sent.on("error", () => console.log(-1))
  sent.end(body)
})
`

interface Call {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A client in a jail; each use makes one call. The jail has no network exactly when there are doors. */
const caller = Effect.fnUntraced(function*(call: Call, doors: ReadonlyArray<Door>) {
  const { entrypoint } = networkOf("none")
  const view = {
    writable: [],
    readOnly: [entrypoint.engine, entrypoint.program],
    files: [],
    cwd: "/",
    hostname: "bench",
    network: doors.length === 0 ? "shared" : "none"
  } as const
  const inside = withThreeDescriptors([entrypoint.engine, "-e", client, JSON.stringify(call)])
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn("/usr/bin/bwrap", [
        ...jailArguments(view, Option.none(), { kernel: kernelEntries(), disableUserns: true }),
        ...(doors.length === 0 ? inside : withDoors(entrypoint, doors, inside))
      ], {
        env: { PATH: "/usr/bin:/bin" },
        stdio: ["pipe", "pipe", "inherit", ...(doors.length === 0 ? [] : ["ipc" as const])]
      })
    ),
    (started) => Effect.sync(() => void started.kill("SIGKILL"))
  )
  if (doors.length > 0) {
    const handOver = handOverFrom(child, doors)
    for (const [index, listener] of (yield* handOver.listeners).entries()) {
      yield* doors[index]?.attach(listener) ?? Effect.void
    }
    yield* handOver.begin
  }
  const { stdin, stdout } = child
  if (stdin === null || stdout === null) return yield* Effect.die(new Error("the client has no pipes"))
  const lines = createInterface({ input: stdout })
  const use = Effect.callback<number>((resume) => {
    lines.once("line", (line) => {
      const millis = Number(line)
      resume(millis >= 0 ? Effect.succeed(millis) : Effect.die(new Error(`a call was answered ${-millis}`)))
    })
    stdin.write("\n")
  })
  return { use }
})

const alternating = Effect.fnUntraced(function*(
  rounds: number,
  byDoor: Effect.Effect<number>,
  overTcp: Effect.Effect<number>
) {
  const samples = { door: new Array<number>(), tcp: new Array<number>() }
  for (let round = 0; round < rounds; round++) {
    // Either goes first as often: what follows a pause is slower.
    const first = round % 2 === 0 ? yield* overTcp : yield* byDoor
    const second = round % 2 === 0 ? yield* byDoor : yield* overTcp
    const pair = round % 2 === 0 ? { tcp: first, door: second } : { tcp: second, door: first }
    // The first fifth compiles code.
    if (round * 5 < rounds) continue
    samples.door.push(pair.door)
    samples.tcp.push(pair.tcp)
  }
  return samples
})

const hookCalls = Effect.gen(function*() {
  const context = yield* Layer.build(hookLayer({ stateDirectory: yield* temporaryDirectory }))
  const endpoint = Context.get(context, HookEndpoint)
  const hooks = Context.get(context, HookEvents)
  const one = Effect.fnUntraced(function*(byDoor: boolean) {
    const session = SessionId.make(randomUUID())
    const { token } = yield* hooks.issue(session)
    const body = JSON.stringify({
      hook_event_name: "PostToolUse",
      session_id: session,
      tool_name: "Bash",
      tool_use_id: "toolu_1",
      tool_input: { command: "ls" },
      tool_response: { stdout: "x".repeat(2_000) }
    })
    return yield* caller(
      {
        url: `${byDoor ? doorOrigin("hooks") : endpoint.origin}/hooks`,
        headers: { authorization: `Bearer ${token}`, "content-length": String(body.length) },
        body
      },
      byDoor ? [{ name: "hooks", port: doorPorts.hooks, attach: (listener) => endpoint.attach(listener, session) }] : []
    )
  })
  return yield* alternating(hookRounds, (yield* one(true)).use, (yield* one(false)).use)
})

const modelCalls = Effect.gen(function*() {
  const model = yield* ScriptedModel.start()
  const context = yield* Layer.build(
    ModelDoor.layer({ upstream: model.url, scripted: true, key: Effect.succeedNone })
  )
  const door = Context.get(context, ModelDoor)
  const body = JSON.stringify({
    model: "claude-opus-5-5",
    stream: true,
    messages: [{ role: "user", content: `script:text ${"x".repeat(50_000)}` }]
  })
  const one = Effect.fnUntraced(function*(byDoor: boolean) {
    const { attach, key } = yield* door.admit({
      session: SessionId.make(randomUUID()),
      budget: Budget.memory(0),
      byDoor
    })
    return yield* caller({
      url: `${byDoor ? doorOrigin("model") : door.url}/v1/messages`,
      headers: { "x-api-key": key, "content-type": "application/json", "content-length": String(body.length) },
      body
    }, byDoor ? [{ name: "model", port: doorPorts.model, attach }] : [])
  })
  return yield* alternating(modelRounds, (yield* one(true)).use, (yield* one(false)).use)
})

/** `p`: which percentile the row speaks of. */
const against = (
  name: string,
  samples: ReadonlyArray<number>,
  baseline: ReadonlyArray<number>,
  p: number
): Omit<BenchRow, "target" | "ok"> => ({
  area: "jail",
  name,
  unit: "ms",
  value: percentile(samples, p),
  p50: percentile(samples, 50),
  p99: percentile(samples, 99),
  baseline: percentile(baseline, p),
  ratio: percentile(samples, p) / percentile(baseline, p)
})

const ratio = (samples: { readonly door: ReadonlyArray<number>; readonly tcp: ReadonlyArray<number> }): number =>
  percentile(samples.door, 50) / percentile(samples.tcp, 50)

/** Room for what two runs of the same thing differ by. */
const noSlower = "<= 1.05"

export const run = (): Promise<ReadonlyArray<BenchRow>> =>
  Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const begins = yield* Effect.scoped(starts)
    const hooks = yield* Effect.scoped(hookCalls)
    const models = yield* Effect.scoped(modelCalls)
    const added = percentile(begins.none, 95) - percentile(begins.shared, 95)
    const medianAdded = percentile(begins.none.map((sample, index) => sample - (begins.shared[index] ?? sample)), 50)
    return [
      {
        ...against("event received to agent begun, no network, p95", begins.none, begins.shared, 95),
        target: "",
        ok: true
      },
      {
        area: "jail",
        name: "… p95 without a network less p95 with the machine's; p50 is the median of the pairs",
        unit: "ms",
        value: added,
        p50: medianAdded,
        target: "<= 60",
        ok: meets(added, "<= 60")
      },
      {
        ...against("hook call by a door against TCP, median", hooks.door, hooks.tcp, 50),
        target: `${noSlower} x`,
        ok: meets(ratio(hooks), noSlower)
      },
      {
        ...against("model call of 50 kB by a door against TCP, median", models.door, models.tcp, 50),
        target: `${noSlower} x`,
        ok: meets(ratio(models), noSlower)
      }
    ] satisfies ReadonlyArray<BenchRow>
  })))
