/** The agent must not live on when its runtime is killed: nobody would be left to end it or to read it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { execFile } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as ScriptedModel from "../../km-cli/local/model/ScriptedModel.ts"
import { marked } from "../../runtime/adapters/claude/ProcessTree.ts"
import * as RunFiles from "../../runtime/adapters/claude/RunFiles.ts"
import { jailArguments } from "../../runtime/adapters/jail/Bubblewrap.ts"
import { kernelEntries } from "../../runtime/adapters/jail/KernelFiles.ts"
import { SessionId } from "../../runtime/domain/sandbox/Ids.ts"
import { runAgentProcess } from "../support/agentProcessRunner.ts"
import { bashScript, claudeCommand, sandboxDirectories, until } from "../support/ScriptedModel.ts"

describe("a killed runtime", () => {
  it.live.each(["none", "shared"] as const)(
    "takes the jail, the CLI and its tools with it (network %s)",
    (network) =>
      Effect.gen(function*() {
        const directories = yield* sandboxDirectories
        const model = yield* ScriptedModel.start()
        const keyFile = Path.join(directories.state, "key")
        Fs.writeFileSync(keyFile, "sk-ant-real")
        const runDir = Path.join(directories.runs, "r1")
        Fs.mkdirSync(runDir, { mode: 0o700 })
        const ready = Path.join(directories.workspace, "ready")
        const running = yield* runAgentProcess({
          command: claudeCommand,
          root: Path.dirname(directories.home),
          upstream: model.url,
          keyFile,
          jailed: true,
          network,
          hooksPort: 0,
          session: SessionId.make(randomUUID()),
          runDir,
          messageUuid: randomUUID(),
          prompt: `Ada:\n${
            bashScript(`trap '' HUP TERM INT; setsid tail -f /dev/null & touch ${ready}; tail -f /dev/null`)
          }`,
          settings: {}
        })
        yield* until(() => Fs.existsSync(ready))
        const marker = Option.match(RunFiles.readRecord(RunFiles.runFiles(runDir)), {
          onNone: () => "none",
          onSome: (record) => record.marker
        })
        assert.isAtLeast(marked(marker).length, 4)
        yield* running.kill
        // No more than what the kernel needs: nobody is left who could kill them.
        yield* until(() => marked(marker).length === 0)
      })
  )
})

describe("an ordinary user", () => {
  it.live("can make the same jail", () =>
    Effect.gen(function*() {
      const output = yield* Effect.callback<string, Error>((resume) => {
        const asRoot = process.getuid?.() === 0
        execFile(
          "/usr/bin/bwrap",
          [
            ...jailArguments(
              { writable: [], readOnly: [], files: [], cwd: "/", hostname: "sandbox", network: "shared" },
              {},
              {
                kernel: kernelEntries(),
                disableUserns: true
              }
            ),
            "/bin/sh",
            "-c",
            "id -u; hostname; ls /root /home 2>&1 | head -1; grep CapEff /proc/self/status; ls -d /proc/[0-9]* | wc -l"
          ],
          { env: { PATH: "/usr/bin:/bin" }, ...(asRoot ? { uid: 65_534, gid: 65_534 } : {}) },
          (error, stdout) => resume(error === null ? Effect.succeed(stdout) : Effect.fail(error))
        )
      })
      const [uid, hostname, root, capabilities, processes] = output.trim().split("\n")
      assert.notStrictEqual(uid, "0")
      assert.strictEqual(hostname, "sandbox")
      assert.match(root ?? "", /No such file/)
      assert.match(capabilities ?? "", /^CapEff:\s+0+$/)
      assert.isAtMost(Number(processes), 6)
    }))
})
