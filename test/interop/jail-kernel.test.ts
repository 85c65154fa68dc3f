/** The jail on this machine's kernel: what can be written from inside, by root and by an ordinary user. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import {
  Jail,
  jailArguments,
  type JailGround,
  type JailNetwork,
  type JailView
} from "../../runtime/adapters/jail/Bubblewrap.ts"
import { kernelEntries } from "../../runtime/adapters/jail/KernelFiles.ts"
import { probeCommand, withThreeDescriptors } from "../../runtime/adapters/jail/probeScript.ts"

const node = Fs.realpathSync(process.execPath)
const view: JailView = {
  writable: [],
  readOnly: [Path.dirname(node)],
  files: [],
  cwd: "/",
  hostname: "sandbox",
  network: "shared"
}
const strict: JailGround = { kernel: kernelEntries(), disableUserns: true }

/** Opens every file below /proc and /sys for writing and closes it; nothing is written. Prints those that opened. */
const walk = `
const fs = require("node:fs")
const opened = []
const visit = (path) => {
  let names = []
  try { names = fs.readdirSync(path, { withFileTypes: true }) } catch { return }
  for (const entry of names) {
    const child = path + "/" + entry.name
    if (entry.isSymbolicLink()) continue
    if (entry.isDirectory()) { visit(child); continue }
    try {
      fs.closeSync(fs.openSync(child, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK | fs.constants.O_NOCTTY))
      opened.push(child)
    } catch {}
  }
}
visit("/proc")
visit("/sys")
visit("/dev")
for (const path of ["/proc/kcore", "/proc/kmsg", "/proc/keys", "/proc/sysrq-trigger", "/dev/mem", "/dev/kmsg"]) {
  try { fs.closeSync(fs.openSync(path, "r")); opened.push("read " + path) } catch {}
}
console.log(JSON.stringify(opened))
`

/**
 * Where the tests do not run as root all are the user who runs them. `unit`: an ordinary one in a user namespace of its own,
 * as `PrivateUsers=` gives it to each systemd unit.
 */
const users = ["root", "ordinary", "unit"] as const

const inJail = (
  command: ReadonlyArray<string>,
  user: typeof users[number],
  ground = strict,
  network: JailNetwork = "shared"
) =>
  Effect.callback<string>((resume) => {
    const asOther = user !== "root" && process.getuid?.() === 0
    const own = user === "unit" ? ["/usr/bin/unshare", "--user", "--map-current-user", "--"] : []
    const [file = "", ...args] = [
      ...own,
      "/usr/bin/bwrap",
      ...jailArguments({ ...view, network }, {}, ground),
      ...command
    ]
    const child = execFile(
      file,
      args,
      {
        env: { PATH: "/usr/bin:/bin" },
        maxBuffer: 4 * 1024 * 1024,
        ...(asOther ? { uid: 65_534, gid: 65_534 } : {})
      },
      (error, stdout, stderr) => resume(error === null ? Effect.succeed(stdout) : Effect.die(new Error(stderr)))
    )
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

/** A process's own files, and devices that keep nothing. */
const harmless = /^\/proc\/\d+\/|^\/dev\/(null|zero|full|random|urandom|tty|pts\/ptmx)$/

describe("the jail", () => {
  for (const user of users) {
    it.live(`lets nothing be written but the agent's own processes' files (${user})`, () =>
      Effect.gen(function*() {
        const output = yield* inJail(withThreeDescriptors([node, "-e", walk]), user)
        const opened: ReadonlyArray<string> = JSON.parse(output)
        assert.deepStrictEqual(opened.filter((path) => !harmless.test(path)), [])
        assert.isAbove(opened.length, 10, "the walk opened what it may")
        assert.notInclude(opened.join("\n"), "/net/")
      }))

    it.live(`has three descriptors, no capability, no new privileges and no user namespace inside (${user})`, () =>
      Effect.gen(function*() {
        const output = yield* inJail(
          withThreeDescriptors([
            "/bin/sh",
            "-c",
            "for f in /proc/self/fd/*; do [ -e $f ] && echo fd $f; done; grep -E '^(Cap|NoNew)' /proc/self/status; "
            + "unshare --user true 2>/dev/null || echo refused"
          ]),
          user
        )
        const lines = output.trim().split("\n")
        assert.deepStrictEqual(
          lines.filter((line) => line.startsWith("fd")),
          ["fd /proc/self/fd/0", "fd /proc/self/fd/1", "fd /proc/self/fd/2"]
        )
        assert.lengthOf(lines.filter((line) => /^Cap\w+:\t0+$/.test(line)), 5)
        assert.include(lines, "NoNewPrivs:\t1")
        assert.strictEqual(lines.at(-1), "refused")
      }))

    it.live(`is called a jail only as long as its probe finds nothing (${user})`, () =>
      Effect.gen(function*() {
        const probe = withThreeDescriptors(probeCommand("shared", false))
        assert.strictEqual((yield* inJail(probe, user)).trim(), "ok")
        // A /proc as bubblewrap makes it, without what we put over it.
        assert.match(yield* inJail(probe, user, { ...strict, kernel: [] }), /^can be written: \/proc\//)
      }))

    it.live(`has no interface but loopback without a network, and is called so only then (${user})`, () =>
      Effect.gen(function*() {
        const probe = withThreeDescriptors(probeCommand("none", false))
        assert.strictEqual((yield* inJail(probe, user, strict, "none")).trim(), "ok")
        const list = yield* inJail(["/bin/cat", "/proc/net/dev"], user, strict, "none")
        const up = list.split("\n").flatMap((line) => /^\s*(\w+):/.exec(line)?.[1] ?? [])
        assert.include(up, "lo")
        assert.notMatch(up.join(" "), /eth|enp|ens|wlan|docker|veth/)
        const here = Object.keys(Os.networkInterfaces()).filter((name) => name !== "lo")
        const said = yield* inJail(probe, user, strict, "shared")
        for (const name of here) assert.include(said, `there is a network: ${name}`)
      }))
  }

  it.live("is what the service says of this machine", () =>
    Effect.gen(function*() {
      const jail = yield* Effect.provide(Jail, yield* Layer.build(Jail.layer))
      assert.isTrue(Option.isSome(jail.program), jail.detail)
      assert.isTrue(jail.ground.disableUserns)
      assert.strictEqual(jail.remedy, "")
      assert.deepStrictEqual(jail.networkStays, Option.none())
    }))
})
