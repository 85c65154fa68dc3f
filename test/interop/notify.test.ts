/** Whoever reaches systemd's notify socket can say READY or MAINPID in the runtime's name; the agent must not. */
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { Jail } from "../../runtime/adapters/jail/Bubblewrap.ts"
import * as SystemdNotify from "../../runtime/adapters/notify/SystemdNotify.ts"
import { bashScript, runOf, scriptedAgent, temporaryDirectory } from "../support/ScriptedModel.ts"
import { untilReal } from "../support/untilReal.ts"

/** A datagram socket as systemd binds one, which Node cannot: what comes in is appended to a file. */
const receiver = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
open(sys.argv[2], "w").close()
while True:
    data = s.recv(4096)
    with open(sys.argv[2], "ab") as out:
        out.write(data + b"\\n")
`

const notifySocket = Effect.gen(function*() {
  const directory = yield* temporaryDirectory
  const socket = path.join(directory, "notify")
  const received = path.join(directory, "received")
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn("/usr/bin/python3", ["-c", receiver, socket, received], { stdio: "inherit" })),
    (started) => Effect.sync(() => void started.kill("SIGKILL"))
  )
  yield* untilReal("the receiver listens", Effect.sync(() => fs.existsSync(received) || child.exitCode !== null))
  return { socket, heard: () => fs.readFileSync(received, "utf8") }
})

describe("systemd's notify socket", () => {
  it.live("hears the runtime, and nothing from a jailed agent that tries every way", () =>
    Effect.gen(function*() {
      const { heard, socket } = yield* notifySocket
      const { agent, directories } = yield* scriptedAgent({ jail: Jail.layer })
      const tries = [
        "env | grep NOTIFY_SOCKET && echo HAS-VARIABLE",
        "systemd-notify --ready",
        `NOTIFY_SOCKET=${socket} systemd-notify READY=1 MAINPID=1`,
        `NOTIFY_SOCKET=${socket} systemd-notify --ready --pid=1`,
        `test -e ${socket} && echo SEES-SOCKET`,
        "test -e /run/systemd/notify && echo SEES-SYSTEMD",
        "echo tried"
      ].join("; ")
      const process = yield* agent.start(runOf(directories, bashScript(tries)))
      const outcome = yield* process.outcome
      assert.strictEqual(outcome._tag, "Answered", JSON.stringify(outcome))
      const said = outcome._tag === "Answered" ? outcome.text : ""
      assert.include(said, "tried")
      assert.notInclude(said, "HAS-VARIABLE")
      assert.notInclude(said, "SEES-")
      assert.strictEqual(heard(), "")

      // The same socket hears who may speak: it was open all the time.
      const notifier = yield* SystemdNotify.make().pipe(
        Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ NOTIFY_SOCKET: socket })))
      )
      yield* notifier.ready
      yield* untilReal("the runtime is heard", Effect.sync(() => heard().includes("READY=1")))
    }))
})
