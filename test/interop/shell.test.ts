/** `km shell` as a person uses it: the real agent on a terminal, in the jail of a running system. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { childrenOf, marked } from "../../runtime/adapters/claude/ProcessTree.ts"
import { readRecord, runFiles } from "../../runtime/adapters/claude/RunFiles.ts"
import { statePaths } from "../../runtime/adapters/disk/StateDirectory.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { bundled } from "../support/bundled.ts"
import { profileWith, slackProfile } from "../support/profiles.ts"
import { bashScript, until } from "../support/ScriptedModel.ts"
import { type Stack, startStack } from "../support/Stack.ts"
import { onTerminal } from "../support/terminal.ts"

const node = Fs.realpathSync(process.execPath)

const shell = (stack: Stack, row: SandboxRow, args: ReadonlyArray<string> = [], size = {}) =>
  onTerminal([node, bundled("km.mjs"), "shell", row.id, ...args], {
    env: { PATH: process.env["PATH"] ?? "", HOME: stack.state, KM_STATE: stack.state },
    ...size
  })

const runsOf = (stack: Stack, row: SandboxRow): ReadonlyArray<string> => {
  const { runs } = statePaths(stack.state).sandbox(row.id)
  return Fs.readdirSync(runs).filter((name) => name.startsWith("terminal-")).map((name) => Path.join(runs, name))
}

const jailed = profileWith(slackProfile.spec.cli, { network: { mode: "none" } })
const commandOf = (stack: Stack, row: SandboxRow, script: string, size = {}) =>
  shell(stack, row, ["--", "bash", "-c", script], size)

/** How many cells the terminal of a process has. */
const resize = (pid: number, rows: number, columns: number) =>
  Effect.callback<void>((resume) => {
    execFile("stty", ["-F", `/proc/${pid}/fd/0`, "rows", String(rows), "cols", String(columns)], () =>
      resume(Effect.void))
  })

const sessionId = /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/

describe("an interactive session", () => {
  it.live(
    "is the real agent in the jail, shown in the channel; ends with its runtime, says so and is continued",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const { row } = yield* stack.sandbox(jailed)
        const terminal = yield* shell(stack, row)
        yield* terminal.until(/bypass permissions on/)
        yield* terminal.type(bashScript("echo 'the''first'$(hostname)"))
        yield* terminal.until(/script:bash/)
        yield* terminal.type("\r")
        yield* terminal.until(/thefirstsandbox/)
        const header = yield* stack.workspace.waitFor(
          (change) => change.kind === "message" && JSON.stringify(change.data).includes("Interactive session"),
          0
        )
        assert.isDefined(header)
        const [run] = runsOf(stack, row)
        const record = readRecord(runFiles(run ?? ""))
        const marker = record._tag === "Some" ? record.value.marker : ""
        assert.isNotEmpty(marked(marker))
        yield* stack.runtime.kill9
        assert.strictEqual(yield* terminal.exit, 1)
        yield* until(() => marked(marker).length === 0)
        const said = terminal.shown()
        assert.include(said, "KM-CLI-053")
        const again = /km shell sb-\w+ --resume (\S+)/.exec(said)?.[1] ?? ""
        assert.match(again, sessionId)

        yield* stack.startRuntime
        yield* until(() => runsOf(stack, row).length === 0)
        const second = yield* shell(stack, row, ["--resume", again])
        yield* second.until(/thefirstsandbox/)
        yield* second.type("/exit")
        yield* second.until(/\/exit/)
        yield* second.type("\r")
        assert.strictEqual(yield* second.exit, 0, second.shown())
        assert.include(second.shown(), `to continue this session: km shell ${row.id} --resume ${again}`)
        assert.deepStrictEqual(runsOf(stack, row), [])
      }),
    180_000
  )

  it.live(
    "tells its agent and the person what the sandbox may reach, when it begins and when it goes on",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const { row } = yield* stack.sandbox(
          profileWith(slackProfile.spec.cli, { network: { mode: "proxy", allowedHosts: ["registry.example.com"] } })
        )
        const line = "[km] Other hosts that can be reached: registry.example.com; no more."
        /** Requests to the model so far whose instructions hold the line, and how many there were. */
        const asked = Effect.map(stack.model.requests, (requests) => {
          const talk = requests.filter(({ answer }) => answer === "reply").map(({ body }) => JSON.parse(body))
          return [talk.filter(({ system }) => JSON.stringify(system).includes(line)).length, talk.length] as const
        })
        const talk = Effect.fnUntraced(function*(args: ReadonlyArray<string>, answer: RegExp) {
          const terminal = yield* shell(stack, row, args)
          yield* terminal.until(/bypass permissions on/)
          assert.include(terminal.shown(), line)
          yield* terminal.type(bashScript(`echo 'the''answer'${args.length}`))
          yield* terminal.until(/script:bash/)
          yield* terminal.type("\r")
          yield* terminal.until(answer)
          yield* terminal.type("/exit")
          yield* terminal.until(/\/exit/)
          yield* terminal.type("\r")
          assert.strictEqual(yield* terminal.exit, 0, terminal.shown())
          return /--resume (\S+)/.exec(terminal.shown())?.[1] ?? ""
        })
        const session = yield* talk([], /theanswer0/)
        const [told, all] = yield* asked
        assert.isAbove(told, 0)
        assert.strictEqual(told, all)
        yield* talk(["--resume", session], /theanswer2/)
        const [toldAgain, allAgain] = yield* asked
        assert.isAbove(toldAgain, told)
        assert.strictEqual(toldAgain, allAgain)
      }),
    180_000
  )

  it.live(
    "can be a command: on a terminal of the jail's own, which follows the person's, with what a turn has",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const { row } = yield* stack.sandbox(jailed)
        const script = `echo "on $(tty) with $(stty size)"; stat -c 'fd %N' /proc/$$/fd/*
        echo "door $ANTHROPIC_BASE_URL"; hostname; pwd; grep NoNewPrivs /proc/self/status; which km-send
        echo ready; until [ "$(stty size)" = "21 77" ]; do sleep 0.05; done; echo now; read -r line; [ "$line" = end ] && exit 3`
        const terminal = yield* commandOf(stack, row, script, { rows: 33, columns: 99 })
        yield* terminal.until(/ready/)
        const said = terminal.shown()
        assert.include(said, "on /dev/pts/0 with 33 99")
        const descriptors = [...said.matchAll(/fd '\S+\/(\d+)' -> '(\S+)'/g)].map(([, fd, to]) => `${fd} ${to}`)
        assert.deepStrictEqual(descriptors.filter((line) => !line.startsWith("255 ")), [
          "0 /dev/pts/0",
          "1 /dev/pts/0",
          "2 /dev/pts/0"
        ])
        assert.include(said, "door http://127.0.0.1:4701")
        assert.include(said, "sandbox\r\n" + statePaths(stack.state).sandbox(row.id).workspace)
        assert.match(said, /NoNewPrivs:\s+1/)
        assert.include(said, "/km-send")
        const [km = -1] = childrenOf(terminal.pid)
        yield* resize(km, 21, 77)
        yield* terminal.until(/now/)
        yield* terminal.type("end\r")
        assert.strictEqual(yield* terminal.exit, 1)
        assert.match(terminal.shown(), /KM-CLI-054: the program ended with exit code 3/)
        assert.deepStrictEqual(runsOf(stack, row), [])
      }),
    120_000
  )

  it.live("takes what is typed, and another size, while it is still being started", () =>
    Effect.gen(function*() {
      const stack = yield* startStack()
      const { row } = yield* stack.sandbox(jailed)
      const terminal = yield* commandOf(stack, row, "read -r line; stty size; echo \"took $line\"", {
        rows: 33,
        columns: 99
      })
      yield* terminal.type("early\r")
      assert.strictEqual(yield* terminal.exit, 0, terminal.shown())
      assert.include(terminal.shown(), "33 99\r\ntook early")
    }), 120_000)

  it.live(
    "takes what is typed before it has begun",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const { row } = yield* stack.sandbox(jailed)
        const terminal = yield* commandOf(stack, row, "read -r one; read -r two; echo \"$two, $one\"")
        yield* terminal.type("first\rsecond\r")
        yield* terminal.until(/second, first/)
        assert.strictEqual(yield* terminal.exit, 0, terminal.shown())
      }),
    120_000
  )

  it.live(
    "is one at a time for a session: a second person is refused, a turn in its thread waits",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const sandbox = yield* stack.sandbox(jailed)
        const { row } = sandbox
        const ts = yield* sandbox.say("script:text one")
        yield* sandbox.untilReaction(ts, "white_check_mark")
        const { home } = statePaths(stack.state).sandbox(row.id)
        const [file = ""] = Fs.readdirSync(Path.join(home, ".claude", "projects"), { recursive: true }).map(String)
          .filter((name) => name.endsWith(".jsonl"))
        const session = Path.basename(file, ".jsonl")
        const first = yield* shell(stack, row, ["--resume", session, "--", "bash", "-c", "echo in; read -r line"])
        yield* first.until(/in/)
        const second = yield* shell(stack, row, ["--resume", session])
        assert.strictEqual(yield* second.exit, 5)
        assert.match(second.shown(), /KM-CLI-052[^]*KM-AGT-003/)
        const none = yield* shell(stack, row, ["--resume", "0b0b0b0b-1111-4222-8333-444444444444"])
        assert.strictEqual(yield* none.exit, 5)
        assert.include(none.shown(), "KM-AGT-050")
        const next = yield* sandbox.say("script:text two", ts)
        yield* sandbox.untilReaction(next, "hourglass_flowing_sand")
        yield* until(() => stack.runtime.log().includes("a turn waits for the person"))
        const waiting = yield* sandbox.thread(ts)
        assert.notInclude(JSON.stringify(waiting.replies), "white_check_mark")
        yield* first.type("\r")
        assert.strictEqual(yield* first.exit, 0)
        yield* stack.workspace.waitFor(
          (change) =>
            change.kind === "reaction_added" && change.ts === next && change.data["name"] === "white_check_mark",
          0
        )
      }),
    120_000
  )

  it.live(
    "ends with the person's terminal, and with a runtime that is stopped, which says so",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const { row } = yield* stack.sandbox(jailed)
        const markerOf = () => {
          const record = readRecord(runFiles(runsOf(stack, row)[0] ?? ""))
          return record._tag === "Some" ? record.value.marker : "none"
        }
        const waits = "trap 'echo told >> told; exit' HUP; echo waits; while :; do read -r line; done"
        const closed = yield* commandOf(stack, row, waits)
        yield* closed.until(/waits/)
        const first = markerOf()
        assert.isNotEmpty(marked(first))
        yield* closed.close
        yield* until(() => marked(first).length === 0)
        const told = Path.join(statePaths(stack.state).sandbox(row.id).workspace, "told")
        assert.strictEqual(Fs.readFileSync(told, "utf8"), "told\n")

        const stopped = yield* commandOf(stack, row, waits)
        yield* stopped.until(/waits/)
        const second = markerOf()
        yield* stack.runtime.end("SIGTERM")
        assert.strictEqual(yield* stopped.exit, 1)
        assert.match(stopped.shown(), /KM-CLI-053: the runtime of sb-\w+ has ended, and this session with it/)
        assert.deepStrictEqual(marked(second), [])
        assert.strictEqual(Fs.readFileSync(told, "utf8"), "told\ntold\n")
        const nobody = yield* shell(stack, row)
        assert.strictEqual(yield* nobody.exit, 1)
        assert.include(nobody.shown(), "KM-CLI-051")
      }),
    120_000
  )
})
