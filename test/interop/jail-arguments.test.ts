/** What a run's jail leaves to be read: no path and no variable in a command line, no descriptor of ours, no loose end. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as RunFiles from "../../runtime/adapters/claude/RunFiles.ts"
import { Jail } from "../../runtime/adapters/jail/Bubblewrap.ts"
import type { NetworkMode } from "../../runtime/domain/profile/Profile.ts"
import { bashScript, networkOf, runOf, scriptedAgent, temporaryDirectory } from "../support/ScriptedModel.ts"

/** In place of the agent's CLI: says what it was started with, and what it can see of its first process. */
const stranger = `#!/bin/bash
stat -c 'fd %N' /proc/$$/fd/*
for f in /proc/1/cmdline /proc/1/environ; do echo "$f $(tr '\\0' ' ' < $f)"; done
echo "own $(tr '\\0' ' ' < /proc/$$/environ)"
`

/** The lines that the program in the agent's place wrote, and the run. */
const started = Effect.fnUntraced(function*(mode: NetworkMode) {
  const program = Path.join(yield* temporaryDirectory, "claude")
  Fs.writeFileSync(program, stranger, { mode: 0o700 })
  const { agent, directories } = yield* scriptedAgent({
    jail: Jail.layer,
    command: program,
    network: networkOf(mode)
  })
  const run = runOf(directories, "hello", { env: { KM_PLACE: "a variable of the turn" } })
  yield* Effect.flatMap(agent.start(run), (process) => process.outcome)
  const lines = Fs.readFileSync(RunFiles.runFiles(run.runDir).stdout, "utf8").split("\n")
  return { lines, run, directories, of: (word: string) => lines.filter((line) => line.startsWith(word)).join("\n") }
})

describe("a run's jail", () => {
  it.live.each(["none", "shared"] as const)(
    "gives the agent its input, its output and no other descriptor (network %s)",
    (mode) =>
      Effect.gen(function*() {
        const { of, run } = yield* started(mode)
        const { stderr, stdin, stdout } = RunFiles.runFiles(run.runDir)
        const open = of("fd ").split("\n").map((line) =>
          line.replace(/^fd '\/proc\/\d+\/fd\/(\d+)' -> '(.*)'$/, "$1 $2")
        )
        // 255 is the script itself, which its own shell has opened.
        assert.deepStrictEqual(open.filter((line) => !line.startsWith("255 ")), [
          `0 ${stdin}`,
          `1 ${stdout}`,
          `2 ${stderr}`
        ])
      })
  )

  it.live.each(["none", "shared"] as const)(
    "has neither paths of ours nor the agent's variables in what its first process shows (network %s)",
    (mode) =>
      Effect.gen(function*() {
        const { directories, of, run } = yield* started(mode)
        const commandLine = of("/proc/1/cmdline")
        assert.match(commandLine, /bwrap --args 4 -- /)
        for (const word of [run.runDir, directories.home, directories.workspace, "ANTHROPIC", "a variable"]) {
          assert.notInclude(commandLine, word)
        }
        const names = of("/proc/1/environ").split(" ").slice(1).flatMap((word) => /^(\w+)=/.exec(word)?.[1] ?? [])
        assert.deepStrictEqual(
          names.toSorted(),
          mode === "none" ? ["KM_RUN", "NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE"] : ["KM_RUN"]
        )
        // The agent has them all the same, and nothing of the hand-over.
        const own = of("own ")
        for (const word of [`HOME=${directories.home}`, "ANTHROPIC_API_KEY=", "KM_PLACE=a variable of the turn"]) {
          assert.include(own, word)
        }
        assert.notInclude(own, "NODE_CHANNEL")
        for (const file of [RunFiles.runFiles(run.runDir).options, RunFiles.runFiles(run.runDir).filter]) {
          assert.strictEqual(Fs.statSync(file).mode & 0o777, 0o600)
        }
      })
  )
})

/** What an agent may try with a user namespace of its own, where it has every capability: each line ends in a verdict. */
const nested = `
exec 2>/dev/null
unshare --user --map-root-user true && echo "made" || echo "not made"
inside() { unshare --user --map-root-user --mount --pid --fork --net "$@"; }
inside sh -c 'mount -t proc proc /tmp' && echo "a fresh proc"
inside sh -c 'mount -t sysfs sysfs /tmp' && echo "a fresh sys"
inside sh -c 'mount -o remount,rw,bind /proc/sys' && echo "written over"
inside sh -c 'umount /proc/sys' && echo "uncovered"
inside sh -c 'umount /proc/kcore && head -c1 /proc/kcore' && echo "memory"
inside sh -c ': >> /proc/sys/kernel/core_pattern' && echo "settings"
inside python3 -c 'import socket; socket.socket(40, 1, 0)' && echo "vsock"
inside sh -c 'grep -q "NoNewPrivs:.1" /proc/self/status && grep -q "Seccomp:.2" /proc/self/status' && echo "filtered"
true`

describe("an agent whose programs make user namespaces", () => {
  const tried = Effect.fnUntraced(function*(nestedSandboxes: boolean) {
    const { agent, directories } = yield* scriptedAgent({
      jail: Jail.layer,
      network: networkOf("none"),
      nestedSandboxes
    })
    const outcome = yield* Effect.flatMap(
      agent.start(runOf(directories, bashScript(nested))),
      (process) => process.outcome
    )
    return { said: outcome._tag === "Answered" ? outcome.text : JSON.stringify(outcome), agent }
  })

  it.live("makes none unless its profile says so", () =>
    Effect.gen(function*() {
      const { agent, said } = yield* tried(false)
      assert.include(said, "not made")
      assert.notMatch(said, /^(a fresh|filtered)/m)
      assert.notInclude((yield* agent.confinement).detail, "user namespaces")
    }))

  it.live("gains in them no file of the kernel, no other socket and no privilege, and status says that it may", () =>
    Effect.gen(function*() {
      const { agent, said } = yield* tried(true)
      assert.match(said, /^made$/m)
      assert.match(said, /^filtered$/m)
      assert.notMatch(said, /fresh|written over|uncovered|memory|settings|vsock/)
      assert.include((yield* agent.confinement).detail, "user namespaces can be made inside")
    }))
})
