/** The whole system around a jailed agent: which of its ports the agent's own Bash can connect to. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Net from "node:net"
import type { NetworkMode } from "../../runtime/domain/profile/Profile.ts"
import { profileWith, slackProfile } from "../support/profiles.ts"
import { bashScript } from "../support/ScriptedModel.ts"
import { botTexts, startStack } from "../support/Stack.ts"

/** Inodes of a process's sockets. */
const socketsOf = (pid: number): ReadonlySet<string> =>
  new Set(
    Fs.readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(Fs.readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? []
      } catch {
        // Closed since it was listed.
        return []
      }
    })
  )

/** Ports of 127.0.0.1 on which these processes listen, as this machine's network has them (proc(5): `0A` is LISTEN). */
const portsOf = (pids: ReadonlyArray<number>): ReadonlyArray<number> => {
  const own = pids.map(socketsOf)
  return Fs.readFileSync("/proc/self/net/tcp", "utf8").split("\n").flatMap((line) => {
    const fields = line.trim().split(/\s+/)
    const [, local = "", , state] = fields
    return state === "0A" && local.startsWith("0100007F:") && own.some((inodes) => inodes.has(fields[9] ?? ""))
      ? [Number.parseInt(local.slice(9), 16)]
      : []
  })
}

/** Says which of the ports take a connection; the command itself is shown as well, so what it says is not in it. */
const knock = (ports: ReadonlyArray<number>): string =>
  `for p in ${
    ports.join(" ")
  }; do (exec 3<>/dev/tcp/127.0.0.1/$p) 2>/dev/null && echo "open:$p"; done; echo "knocked:$((${ports.length} + 0))"; `
  + "(exec 3<>/dev/tcp/127.0.0.1/${ANTHROPIC_BASE_URL##*:}) && echo model:$?; u=${KM_HOOK_URL%/hooks}; "
  + "(exec 3<>/dev/tcp/127.0.0.1/${u##*:}) && echo hooks:$?"

const reached = Effect.fnUntraced(function*(mode: NetworkMode) {
  const stack = yield* startStack()
  const sandbox = yield* stack.sandbox(
    profileWith(slackProfile.spec.cli, { network: { mode } })
  )
  const ports = portsOf([stack.bridge.pid, stack.runtime.pid, process.pid])
  const answering = yield* Effect.forEach(ports, (port) =>
    Effect.callback<boolean>((resume) => {
      const socket = Net.connect(port, "127.0.0.1")
      socket.once("connect", () => {
        socket.destroy()
        resume(Effect.succeed(true))
      })
      socket.once("error", () => resume(Effect.succeed(false)))
    }))
  const ts = yield* sandbox.say(bashScript(knock(ports)))
  const said = botTexts(yield* sandbox.untilReaction(ts, "white_check_mark"), stack.workspace.botUserId).join("\n")
  return { ports, answering, said, log: stack.runtime.log() }
})

describe("the agent of a running system", () => {
  it.live("without a network finds none of its ports, and has its model and its hooks", () =>
    Effect.gen(function*() {
      const { answering, log, ports, said } = yield* reached("none")
      // The bridge, the model door, the hook listener, and the test's own workspace and model.
      assert.isAtLeast(ports.length, 5)
      assert.notInclude(answering, false)
      assert.match(log, /no network/)
      assert.include(said, `knocked:${ports.length}`)
      assert.notMatch(said, /open:\d/)
      assert.include(said, "model:0")
      assert.include(said, "hooks:0")
    }), 60_000)

  it.live("with the machine's network finds all of them, so they are worth looking for", () =>
    Effect.gen(function*() {
      const { log, ports, said } = yield* reached("shared")
      assert.match(log, /network shared/)
      for (const port of ports) assert.include(said, `open:${port}`)
    }), 60_000)
})
