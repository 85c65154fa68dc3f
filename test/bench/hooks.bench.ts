/**
 * What hooks cost a turn: the same scripted turn of 200 tool calls of the real CLI, without hooks, with ours, and with
 * one `bash` + `jq` command hook as the reference system has it, in alternation. And what the two parts take by
 * themselves: the listener's answer, and the start of `km-hook`.
 */
import { Context, Effect, Layer, PubSub, type Scope } from "effect"
import { build } from "esbuild"
import { spawn, spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { agentSettings } from "../../hooks/Settings.ts"
import * as ScriptedModel from "../../km-cli/local/model/ScriptedModel.ts"
import { HookEndpoint, layer as hookLayer } from "../../runtime/adapters/hooks/HookListener.ts"
import { SessionId } from "../../runtime/domain/Ids.ts"
import { HookEvents } from "../../runtime/ports/HookEvents.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const claude = Path.join(root, "node_modules/.bin/claude")
const calls = 200
/** Turns of each kind, in alternation. */
const rounds = 2

/** As the reference's hook does at each tool call: read the event, take a few fields with jq, write a line. */
const bashHook = `#!/usr/bin/env bash
set -u
event=$(cat)
session=$(jq -r '.session_id // empty' <<<"$event")
tool=$(jq -r '.tool_name // empty' <<<"$event")
command=$(jq -r '.tool_input.command // empty' <<<"$event" | cut -c1-200)
printf '%s %s: %s\\n' "$session" "$tool" "$command" >> "$1"
exit 0
`

interface Turn {
  /** Milliseconds from one request to the model to the next: one tool call each. */
  readonly steps: ReadonlyArray<number>
  /** Processor time of the CLI, its children and this process (listener and scripted model). */
  readonly cpuMillis: number
  readonly hooks: number
}

/** `times` prints what the shell itself took, then what its children took: user and system, as `1m2.345s`. */
const childMillis = (times: string): number =>
  Array.from(times.trim().split("\n").at(-1)?.matchAll(/(\d+)m([\d.]+)s/g) ?? [])
    .reduce((total, [, minutes, seconds]) => total + Number(minutes) * 60_000 + Number(seconds) * 1_000, 0)

/** Runs the scripted turn to its end; the processor time of the CLI and of everything it started, in milliseconds. */
const runClaude = (directory: string, session: string, settings: string, url: string) =>
  new Promise<number>((resolve, reject) => {
    const child = spawn("bash", [
      "-c",
      "\"$0\" \"$@\"; times >&2",
      claude,
      "-p",
      "--output-format",
      "stream-json",
      "--verbose",
      "--dangerously-skip-permissions",
      "--setting-sources",
      "",
      "--settings",
      settings,
      "--session-id",
      session
    ], {
      cwd: Path.join(directory, "workspace"),
      env: {
        PATH: process.env["PATH"],
        HOME: Path.join(directory, "home"),
        IS_SANDBOX: "1",
        ANTHROPIC_API_KEY: "sk-ant-dummy",
        ANTHROPIC_BASE_URL: url,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
        DISABLE_TELEMETRY: "1",
        DISABLE_AUTOUPDATER: "1"
      },
      stdio: ["pipe", "pipe", "pipe"]
    })
    let output = ""
    let errors = ""
    child.stdout.on("data", (chunk) => output += String(chunk))
    child.stderr.on("data", (chunk) => errors += String(chunk))
    child.on("error", reject)
    child.on("close", () =>
      output.includes(`Ran ${calls} commands.`)
        ? resolve(childMillis(errors))
        : reject(new Error(`the turn did not end as scripted: ${output.slice(-500)}${errors}`)))
    child.stdin.end(`From Ada:\nscript:tools:${calls}`)
  })

const turn = (
  directory: string,
  settings: (session: SessionId) => Effect.Effect<object, never, Scope.Scope>,
  heard: () => number
) =>
  Effect.scoped(Effect.gen(function*() {
    const model = yield* ScriptedModel.start()
    const session = SessionId.make(randomUUID())
    const file = Path.join(directory, "settings.json")
    Fs.writeFileSync(file, JSON.stringify(yield* settings(session)), { mode: 0o600 })
    const before = heard()
    const own = process.cpuUsage()
    const theirs = yield* Effect.promise(() => runClaude(directory, session, file, model.url))
    const { system, user } = process.cpuUsage(own)
    const at = (yield* model.requests).filter(({ path }) => path === "/v1/messages").map((request) => request.at)
    const steps = at.slice(1).map((time, index) => time - (at[index] ?? time))
    const cpuMillis = theirs + (system + user) / 1_000
    return { steps: steps.slice(-calls), hooks: heard() - before, cpuMillis } satisfies Turn
  }))

const sum = (samples: ReadonlyArray<number>): number => samples.reduce((total, sample) => total + sample, 0)

/**
 * The mean of the faster half: a step takes about 40 ms on two shared cores, and what the machine does beside it adds
 * far more than a hook costs. What a hook adds, it adds to every step.
 */
const undisturbed = (samples: ReadonlyArray<number>): number => {
  const faster = samples.toSorted((a, b) => a - b).slice(0, Math.ceil(samples.length / 2))
  return sum(faster) / faster.length
}

const percentiles = (samples: ReadonlyArray<number>) => ({
  p50: percentile(samples, 50),
  p99: percentile(samples, 99)
})

/** Milliseconds until a program that prints nothing has ended. */
const timed = (args: ReadonlyArray<string>): number => {
  const started = performance.now()
  const run = spawnSync(process.execPath, args, { input: "{}", env: { PATH: process.env["PATH"] } })
  if (run.status !== 0 || run.stdout.length > 0) throw new Error(`node ${args.join(" ")} exited ${run.status}`)
  return performance.now() - started
}

const turns = Effect.scoped(Effect.gen(function*() {
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "km-bench-"))),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
  )
  for (const name of ["home", "workspace", "state"]) Fs.mkdirSync(Path.join(directory, name))
  const context = yield* Layer.build(hookLayer({ stateDirectory: Path.join(directory, "state") }))
  const events = Context.get(context, HookEvents)
  const { origin } = Context.get(context, HookEndpoint)
  const script = Path.join(directory, "hook.sh")
  const heard = Path.join(directory, "heard.txt")
  Fs.writeFileSync(script, bashHook, { mode: 0o700 })
  Fs.writeFileSync(heard, "")
  const bashSettings = {
    hooks: { PostToolUse: [{ hooks: [{ type: "command", command: `${script} ${heard}`, timeout: 30 }] }] }
  }
  const bashHeard = () => Fs.readFileSync(heard, "utf8").split("\n").length - 1
  const found: Record<"none" | "ours" | "bash", Array<Turn>> = { none: [], ours: [], bash: [] }
  const hasJq = spawnSync("jq", ["--version"]).status === 0
  // The first run of a home makes its files; it is not counted.
  yield* turn(directory, () => Effect.succeed({}), () => 0)
  for (let round = 0; round < rounds; round++) {
    found.none.push(yield* turn(directory, () => Effect.succeed({}), () => 0))
    let received = 0
    yield* Effect.scoped(Effect.gen(function*() {
      const subscription = yield* events.subscribe
      yield* PubSub.take(subscription).pipe(
        Effect.tap(() => Effect.sync(() => received++)),
        Effect.forever,
        Effect.forkScoped
      )
      const ours = yield* turn(
        directory,
        (session) =>
          events.issue(session).pipe(
            Effect.map(({ token }) =>
              agentSettings({
                listener: origin,
                token,
                hookCommand: [process.execPath, Path.join(root, "hooks/main.ts")]
              })
            )
          ),
        () => received
      )
      if (ours.hooks < calls) throw new Error(`only ${ours.hooks} hook calls came`)
      found.ours.push(ours)
    }))
    if (hasJq) {
      const bash = yield* turn(directory, () => Effect.succeed(bashSettings), bashHeard)
      if (bash.hooks < calls) throw new Error(`only ${bash.hooks} bash hooks ran`)
      found.bash.push(bash)
    }
  }
  return found
}))

/** The listener alone: one call after the other on a kept connection, as the CLI makes them. */
const listener = Effect.scoped(Effect.gen(function*() {
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "km-bench-"))),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
  )
  const context = yield* Layer.build(hookLayer({ stateDirectory: directory }))
  const endpoint = Context.get(context, HookEndpoint)
  const hooks = Context.get(context, HookEvents)
  const agent = new Http.Agent({ keepAlive: true, maxSockets: 1 })
  const post = (token: string, body: string) =>
    new Promise<number>((resolve, reject) => {
      const started = performance.now()
      const request = Http.request({
        agent,
        host: "127.0.0.1",
        port: endpoint.port,
        path: "/hooks",
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-length": Buffer.byteLength(body) }
      }, (response) => {
        response.resume()
        response.on("end", () =>
          response.statusCode === 200
            ? resolve(performance.now() - started)
            : reject(new Error(`the listener answered ${response.statusCode}`)))
      })
      request.on("error", reject)
      request.end(body)
    })
  const samples: Array<number> = []
  // A token takes 600 calls at once; four tokens make 2,000 samples.
  for (let n = 0; n < 4; n++) {
    const session = SessionId.make(randomUUID())
    const { token } = yield* hooks.issue(session)
    const body = JSON.stringify({
      session_id: session,
      hook_event_name: "PostToolUse",
      tool_name: "Bash",
      tool_use_id: "toolu_1",
      tool_input: { command: "true", description: "x".repeat(200) },
      tool_response: { stdout: "y".repeat(2_000) }
    })
    for (let call = 0; call < 500; call++) samples.push(yield* Effect.promise(() => post(token, body)))
  }
  return samples.slice(100)
}))

/** `km-hook` bundled, with nobody listening, against an empty Node program. */
const starts = async () => {
  const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "km-bench-"))
  const bundle = Path.join(directory, "km-hook.mjs")
  await build({
    entryPoints: [Path.join(root, "hooks/main.ts")],
    bundle: true,
    platform: "node",
    format: "esm",
    minify: true,
    outfile: bundle
  })
  const hook: Array<number> = []
  const empty: Array<number> = []
  for (let round = 0; round < 20; round++) {
    hook.push(timed([bundle]))
    empty.push(timed(["-e", "0"]))
  }
  Fs.rmSync(directory, { recursive: true })
  return { hook, empty }
}

const steps = (of: ReadonlyArray<Turn>): ReadonlyArray<number> => of.flatMap((one) => one.steps)

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const { bash, none, ours } = await Effect.runPromise(turns)
  const answers = await Effect.runPromise(listener)
  const { empty, hook } = await starts()
  const cost = (of: ReadonlyArray<Turn>) => undisturbed(steps(of)) - undisturbed(steps(none))
  const cpu = (of: ReadonlyArray<Turn>) => sum(of.map((one) => one.cpuMillis)) / (calls * of.length)
  const value = cost(ours)
  const baseline = bash.length === 0 ? undefined : cost(bash)
  return [
    {
      area: "hooks",
      name: `hook cost per tool call, turn of ${calls}${baseline === undefined ? "" : ", against bash + jq"}`,
      unit: "ms",
      value,
      p50: percentile(steps(ours), 50) - percentile(steps(none), 50),
      target: "<= 3",
      // What the alternative costs in the same run; the target is a twentieth of it.
      ...(baseline === undefined ? {} : { baseline, ratio: value / baseline }),
      ok: meets(value, "<= 3") && (baseline === undefined || value * 20 <= baseline)
    },
    {
      area: "hooks",
      name: "the same, raw difference of whole turns",
      unit: "ms",
      value: (sum(steps(ours)) - sum(steps(none))) / (calls * rounds),
      target: "",
      ok: true
    },
    {
      area: "hooks",
      name: "the same in processor time of all processes",
      unit: "ms",
      value: cpu(ours) - cpu(none),
      target: "",
      ...(bash.length === 0 ? {} : {
        baseline: cpu(bash) - cpu(none),
        ratio: (cpu(ours) - cpu(none)) / (cpu(bash) - cpu(none))
      }),
      ok: true
    },
    {
      area: "hooks",
      name: "tool call without hooks",
      unit: "ms",
      value: undisturbed(steps(none)),
      ...percentiles(steps(none)),
      target: "",
      ok: true
    },
    {
      area: "hooks",
      name: "listener: call to 200",
      unit: "ms",
      value: percentile(answers, 50),
      ...percentiles(answers),
      target: "",
      ok: true
    },
    {
      area: "hooks",
      name: "km-hook bundled, against node -e 0",
      unit: "ms",
      value: percentile(hook, 50),
      ...percentiles(hook),
      target: "<= 60",
      baseline: percentile(empty, 50),
      ratio: percentile(hook, 50) / percentile(empty, 50),
      ok: meets(percentile(hook, 50), "<= 60")
    }
  ]
}
