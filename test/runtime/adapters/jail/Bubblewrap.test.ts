import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Schema } from "effect"
import {
  confinementOf,
  exposes,
  Jail,
  jailArguments,
  loosened,
  optionsText
} from "../../../../runtime/adapters/jail/Bubblewrap.ts"
import { kernelEntries, kernelFileArguments } from "../../../../runtime/adapters/jail/KernelFiles.ts"

const view = {
  writable: ["/s/home", "/s/workspace"],
  readOnly: ["/opt/claude"],
  files: [["/s/run/settings.json", "/run/km/settings.json"]],
  cwd: "/s/workspace",
  hostname: "sandbox",
  network: "shared"
} as const

const ground = { kernel: kernelEntries(), disableUserns: true }

/** Every mount as [option, from, to], in order. */
const mounts = (args: ReadonlyArray<string>) =>
  args.flatMap((arg, index) =>
    /^--(ro-)?bind(-try)?$/.test(arg) ? [[arg, args[index + 1] ?? "", args[index + 2] ?? ""] as const] : []
  )

describe("jail arguments", () => {
  const args = jailArguments(view, { info: 3 }, ground)

  it("leave the machine's network out exactly where the view has none", () => {
    assert.notInclude(args, "--unshare-net")
    assert.include(jailArguments({ ...view, network: "none" }, { info: 3 }, ground), "--unshare-net")
  })

  it("unshare everything but the network, drop every capability, and die with the runtime", () => {
    for (
      const option of [
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--die-with-parent",
        "--new-session",
        "--cap-drop"
      ]
    ) assert.include(args, option)
    assert.strictEqual(args[args.indexOf("--cap-drop") + 1], "ALL")
  })

  it("mount exactly home and workspace writable", () => {
    assert.deepStrictEqual(
      mounts(args).filter(([option]) => !option.startsWith("--ro-")),
      [["--bind", "/s/home", "/s/home"], ["--bind", "/s/workspace", "/s/workspace"]]
    )
  })

  it("show neither /etc as a whole nor any directory where people or services keep things", () => {
    const shown = mounts(args).map(([, from]) => from)
    for (const path of ["/", "/etc", "/etc/shadow", "/root", "/home", "/var", "/run", "/srv", "/opt", "/tmp", "/s"]) {
      assert.notInclude(shown, path)
    }
  })

  it("put our mounts after the empty /tmp and /run, which would hide them", () => {
    const last = args.lastIndexOf("--tmpfs")
    for (const path of ["/opt/claude", "/s/home", "/run/km/settings.json"]) assert.isAbove(args.indexOf(path), last)
  })

  it("end the options before the command", () => {
    assert.strictEqual(args.at(-1), "--")
    assert.notInclude(jailArguments(view, {}, ground), "--info-fd")
  })
})

describe("options by descriptor", () => {
  it.prop("are every word once, each ended by a NUL, the environment last", [
    Schema.Array(Schema.String.check(Schema.isPattern(/^[^\0]*$/))),
    Schema.Record(Schema.String.check(Schema.isPattern(/^[A-Z_]+$/)), Schema.String.check(Schema.isPattern(/^[^\0]*$/)))
  ], ([options, env]) => {
    const words = optionsText(options, env).split("\0")
    assert.strictEqual(words.pop(), "")
    assert.deepStrictEqual(words.slice(0, options.length), options)
    const rest = words.slice(options.length)
    assert.lengthOf(rest, 3 * Object.keys(env).length)
    for (const [index, [name, value]] of Object.entries(env).entries()) {
      assert.deepStrictEqual(rest.slice(3 * index, 3 * index + 3), ["--setenv", name, value])
    }
  })
})

const entry = (name: string, directory: boolean, writable: boolean) => ({ name, directory, writable })

describe("the kernel's files", () => {
  it("are read-only where they could be written, and empty where they tell of memory, keys or the log", () => {
    assert.deepStrictEqual(
      kernelFileArguments([
        entry("sys", true, false),
        entry("a-new-directory", true, true),
        entry("a-new-file", false, true),
        entry("version", false, false),
        entry("sysrq-trigger", false, true),
        entry("acpi", true, false)
      ]),
      [
        ["--ro-bind-try", "/proc/sys", "/proc/sys"],
        ["--ro-bind-try", "/proc/a-new-directory", "/proc/a-new-directory"],
        ["--ro-bind-try", "/proc/a-new-file", "/proc/a-new-file"],
        ["--ro-bind", "/dev/null", "/proc/sysrq-trigger"],
        ["--tmpfs", "/proc/acpi", "--remount-ro", "/proc/acpi"]
      ].flat()
    )
  })

  it("are those of this machine without its processes and links, mounted after the jail's own /proc", () => {
    const names = kernelEntries().map(({ name }) => name)
    assert.include(names, "sys")
    for (const name of names) assert.notMatch(name, /^(\d+|self|thread-self|mounts|net)$/)
    const args = jailArguments(view, {}, ground)
    assert.isAbove(args.indexOf("/proc/sys"), args.indexOf("--proc"))
    assert.include(args, "--disable-userns")
    assert.notInclude(jailArguments(view, {}, { ...ground, disableUserns: false }), "--disable-userns")
  })
})

describe("exposes", () => {
  it("finds a mount that is, or lies above, a directory of ours", () => {
    assert.deepStrictEqual(exposes(["/usr", "/s"], ["/s/state/runs"]), Option.some("/s"))
    assert.deepStrictEqual(exposes(["/s/state"], ["/s/state"]), Option.some("/s/state"))
    assert.deepStrictEqual(exposes(["/"], ["/s/state"]), Option.some("/"))
    assert.deepStrictEqual(exposes(["/s/state-of-art", "/s/home"], ["/s/state"]), Option.none())
    assert.deepStrictEqual(exposes(["/s/state/home"], ["/s/state/run"]), Option.none())
  })

  it.prop("never misses a parent", [Schema.Array(Schema.String.check(Schema.isPattern(/^[a-z]{1,5}$/)))], ([parts]) => {
    const secret = `/${[...parts, "secret"].join("/")}`
    for (let length = 0; length <= parts.length; length++) {
      const parent = `/${parts.slice(0, length).join("/")}`
      assert.isTrue(Option.isSome(exposes([parent], [secret])), parent)
    }
  })
})

describe("Jail", () => {
  it.effect("without bubblewrap says unconfined and why", () =>
    Effect.gen(function*() {
      const jail = yield* Effect.provide(Jail, yield* Layer.build(Jail.layerUnconfined("--unconfined was given")))
      assert.deepStrictEqual(jail.program, Option.none())
      assert.strictEqual(jail.detail, "unconfined: --unconfined was given")
    }))
})

describe("what the profile asks for", () => {
  const jail = {
    program: Option.some("/usr/bin/bwrap"),
    detail: "jailed",
    remedy: "",
    ground,
    networkStays: Option.none<string>()
  }

  it("is had where the jail can be made", () => {
    assert.deepStrictEqual(confinementOf(jail, "none"), {
      confined: true,
      detail: "jailed; no network",
      network: "none"
    })
    assert.deepStrictEqual(confinementOf(jail, "shared"), {
      confined: true,
      detail: "jailed; network shared",
      network: "shared"
    })
    const nested = confinementOf(jail, "none", true)
    assert.strictEqual(nested.detail, "jailed; user namespaces can be made inside; no network")
    assert.isTrue(nested.confined)
    assert.isFalse(loosened(jail).ground.disableUserns)
    const bare = { ...jail, program: Option.none<string>() }
    assert.strictEqual(loosened(bare), bare)
    // The proxy is a door, and a jail that has doors has no network.
    assert.deepStrictEqual(confinementOf(jail, "proxy"), {
      confined: true,
      detail: "jailed; no network but the proxy",
      network: "none"
    })
  })

  it("is called unconfined where the network cannot be taken away, or where there is no jail", () => {
    const stays = { ...jail, networkStays: Option.some("no network namespaces") }
    for (const mode of ["none", "proxy"] as const) {
      const { confined, detail, network } = confinementOf(stays, mode)
      assert.deepStrictEqual([confined, network], [false, "shared"])
      assert.match(detail, /^unconfined: .*network stays shared.*no network namespaces/)
    }
    assert.isTrue(confinementOf(stays, "shared").confined)
    for (const mode of ["none", "proxy", "shared"] as const) {
      const none = confinementOf({ ...stays, program: Option.none(), detail: "unconfined: no bubblewrap" }, mode)
      assert.deepStrictEqual(none, { confined: false, detail: "unconfined: no bubblewrap", network: "shared" })
    }
  })
})
