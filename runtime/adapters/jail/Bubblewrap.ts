/**
 * What confines the agent: bubblewrap with its own process ids, the system read-only, and of our files only the
 * sandbox's home and workspace. The arguments are built here, purely; whether they work on this machine is probed once.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import process from "node:process"
import { Writable } from "node:stream"
import type { NetworkMode } from "../../domain/profile/Profile.ts"
import { kernelEntries, type KernelEntry, kernelFileArguments } from "./KernelFiles.ts"
import { probeCommand, withThreeDescriptors } from "./probeScript.ts"
import { isMachine, seccompProgram } from "./Seccomp.ts"

/** What one run may see and change, beside the system's read-only directories. */
export interface JailView {
  /** Existing directories, mounted writable at their own paths. Nothing above or beside them is visible. */
  readonly writable: ReadonlyArray<string>
  /** Existing files or directories, mounted read-only at their own paths. Missing ones are left out. */
  readonly readOnly: ReadonlyArray<string>
  /** Files mounted read-only elsewhere: from, to. */
  readonly files: ReadonlyArray<readonly [from: string, to: string]>
  readonly cwd: string
  /** Host name inside. */
  readonly hostname: string
  readonly network: JailNetwork
}

/** `shared` is the machine's own; `none` is a network with nothing but a loopback of the jail's own, which is up. */
export type JailNetwork = "none" | "shared"

/** System directories, read-only. No /root, /home, /var, /run, /srv or /opt: nothing of ours or of people lives here. */
const systemDirectories = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]

/**
 * Of /etc only what programs need to run: name service, certificates, the loader's cache, alternatives. As root the
 * agent's uid owns /etc/shadow and the like, so a whole /etc would be readable.
 */
const etcEntries = [
  "/etc/alternatives",
  "/etc/bash.bashrc",
  "/etc/ca-certificates",
  "/etc/ca-certificates.conf",
  "/etc/crypto-policies",
  "/etc/debian_version",
  "/etc/fonts",
  "/etc/gai.conf",
  "/etc/group",
  "/etc/host.conf",
  "/etc/hosts",
  "/etc/inputrc",
  "/etc/ld.so.cache",
  "/etc/ld.so.conf",
  "/etc/ld.so.conf.d",
  "/etc/localtime",
  "/etc/mime.types",
  "/etc/nsswitch.conf",
  "/etc/os-release",
  "/etc/passwd",
  "/etc/pki/ca-trust",
  "/etc/pki/tls/certs",
  "/etc/profile",
  "/etc/protocols",
  "/etc/python3",
  "/etc/resolv.conf",
  "/etc/services",
  "/etc/ssl/certs",
  "/etc/ssl/openssl.cnf",
  "/etc/terminfo",
  "/etc/timezone"
]

/** Namespaces and limits, without any mount; the network is the view's. */
const isolation: ReadonlyArray<string> = [
  "--unshare-user",
  "--unshare-pid",
  "--unshare-ipc",
  "--unshare-uts",
  "--unshare-cgroup-try",
  // The jail and every process in it ends with the runtime.
  "--die-with-parent",
  // No typing into our terminal.
  "--new-session",
  // Sets no_new_privs as well.
  "--cap-drop",
  "ALL"
]

const systemMounts: ReadonlyArray<string> = [
  ...systemDirectories.flatMap((path) => ["--ro-bind-try", path, path]),
  ...etcEntries.flatMap((path) => ["--ro-bind-try", path, path]),
  "--proc",
  "/proc"
]

const emptyMounts: ReadonlyArray<string> = [
  "--dev",
  "/dev",
  "--tmpfs",
  "/tmp",
  "--tmpfs",
  "/var/tmp",
  "--tmpfs",
  "/run"
]

/** What is known of this machine before the first run. */
export interface JailGround {
  /** What the machine's /proc holds. */
  readonly kernel: ReadonlyArray<KernelEntry>
  /** No user namespace can be made inside, so the kernel's larger face behind one is out of reach. */
  readonly disableUserns: boolean
  /** The agent's user and group inside; its own number unless given. */
  readonly uid?: number
}

/** Descriptors of `bwrap` by number: where it says its first process's pid, and where it reads the filter of system calls. */
export interface JailDescriptors {
  readonly info?: number
  readonly seccomp?: number
}

/** The filter of system calls for this machine; none for machines that have none here, which every status says. */
export const jailFilter = (): Uint8Array | undefined =>
  isMachine(process.arch) ? seccompProgram(process.arch) : undefined

/** Options of `bwrap` for a jail; the environment is the caller's business. */
export const jailOptions = (
  view: JailView,
  descriptors: JailDescriptors,
  ground: JailGround
): ReadonlyArray<string> => [
  ...isolation,
  // Takes the machine's abstract unix sockets out of reach as well; bubblewrap brings the new loopback up.
  ...(view.network === "none" ? ["--unshare-net"] : []),
  ...(ground.disableUserns ? ["--disable-userns"] : []),
  ...(ground.uid === undefined ? [] : ["--uid", String(ground.uid), "--gid", String(ground.uid)]),
  "--hostname",
  view.hostname,
  ...systemMounts,
  ...kernelFileArguments(ground.kernel),
  ...emptyMounts,
  ...view.readOnly.flatMap((path) => ["--ro-bind-try", path, path]),
  ...view.writable.flatMap((path) => ["--bind", path, path]),
  ...view.files.flatMap(([from, to]) => ["--ro-bind", from, to]),
  "--chdir",
  view.cwd,
  ...(descriptors.info === undefined ? [] : ["--info-fd", String(descriptors.info)]),
  ...(descriptors.seccomp === undefined ? [] : ["--seccomp", String(descriptors.seccomp)])
]

/** Arguments of `bwrap` up to and without the command, for whoever has nothing to keep from other people of the machine. */
export const jailArguments = (
  view: JailView,
  descriptors: JailDescriptors,
  ground: JailGround
): ReadonlyArray<string> => [...jailOptions(view, descriptors, ground), "--"]

/**
 * The same and an environment, as `bwrap` reads them from a descriptor (`--args`): so neither paths nor variables stand in
 * a command line, which everybody on the machine can read, nor in the environment that the jail's first process keeps.
 */
export const optionsText = (options: ReadonlyArray<string>, env: Readonly<Record<string, string>>): string =>
  [...options, ...Object.entries(env).flatMap(([name, value]) => ["--setenv", name, value])].map((word) => `${word}\0`)
    .join("")

/** Why a path must not be mounted for the agent, or none. */
export const exposes = (
  mounted: ReadonlyArray<string>,
  secretDirectories: ReadonlyArray<string>
): Option.Option<string> =>
  Option.fromNullishOr(
    mounted.find((path) =>
      secretDirectories.some((secret) => {
        const inside = Path.relative(path, secret)
        return inside === "" || !inside.startsWith("..") && !Path.isAbsolute(inside)
      })
    )
  )

/** What a probe prints, and how it ended. */
const output = (
  program: string,
  args: ReadonlyArray<string>
): Effect.Effect<readonly [end: string, said: string, erred: string]> =>
  Effect.callback((resume) => {
    const filter = jailFilter()
    const child = spawn(program, args, {
      timeout: 20_000,
      env: { PATH: "/usr/bin:/bin" },
      stdio: ["ignore", "pipe", "pipe", ...(filter === undefined ? [] : ["pipe" as const])]
    })
    const third = child.stdio[3]
    if (filter !== undefined && third instanceof Writable) {
      // A probe that ended before it read says so by its end.
      third.on("error", () => undefined)
      third.end(filter)
    }
    const said: Array<Buffer> = []
    const erred: Array<Buffer> = []
    child.stdout?.on("data", (chunk: Buffer) => said.push(chunk))
    child.stderr?.on("data", (chunk: Buffer) => erred.push(chunk))
    const settle = (end: string) =>
      resume(
        Effect.succeed([end, Buffer.concat(said).toString("utf8").trim(), Buffer.concat(erred).toString("utf8").trim()])
      )
    child.once("error", (error) => settle(error.message))
    child.once("close", (code, signal) => settle(code === 0 ? "" : `it ended with ${signal ?? `exit code ${code}`}`))
  })

/** Makes what a run makes and asks from inside whether it holds. */
const runProbe = Effect.fnUntraced(function*(program: string, ground: JailGround, network: JailNetwork) {
  const view: JailView = { writable: [], readOnly: [], files: [], cwd: "/", hostname: "probe", network }
  const filtered = jailFilter() !== undefined
  const [end, said, erred] = yield* output(program, [
    ...jailArguments(view, filtered ? { seccomp: 3 } : {}, ground),
    ...withThreeDescriptors(probeCommand(network, filtered))
  ])
  if (end === "" && said === "ok") return { ok: true, detail: "" }
  const lines = (said === "" ? erred : said).split("\n")
  const more = lines.length > 1 ? ` and ${lines.length - 1} more` : ""
  const first = (lines[0] ?? "").slice(0, 200)
  return { ok: false, detail: `${first === "" ? end === "" ? "it says nothing" : end : first}${more}` }
})

/** The strictest jail that holds here with the machine's network, and why none does without it. */
const probed = Effect.fnUntraced(function*(program: string) {
  const kernel = kernelEntries()
  const both = (ground: JailGround) =>
    Effect.all([runProbe(program, ground, "shared"), runProbe(program, ground, "none")], { concurrency: 2 })
  const strict = { kernel, disableUserns: true }
  const [first, without] = yield* both(strict)
  if (first.ok) return { ground: strict, probe: first, without }
  const loose = { kernel, disableUserns: false }
  const [second, looseWithout] = yield* both(loose)
  if (second.ok) {
    yield* Effect.logWarning("the jail cannot keep its processes from making user namespaces").pipe(
      Effect.annotateLogs({ reason: first.detail })
    )
  }
  return { ground: loose, probe: second.ok ? second : first, without: looseWithout }
})

const findProgram = (): Option.Option<string> =>
  Option.fromNullishOr(
    ["/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap"].find((path) => {
      try {
        Fs.accessSync(path, Fs.constants.X_OK)
        return true
      } catch {
        return false
      }
    })
  )

const noGround: JailGround = { kernel: [], disableUserns: false }

/** Whether agents can be confined on this machine, found out once when the layer is built. */
export class Jail extends Context.Service<Jail, {
  /** The program to run, or why there is none. */
  readonly program: Option.Option<string>
  /** For status: how runs are confined, or `unconfined` and why. */
  readonly detail: string
  /** What to do about it; empty where nothing is left to do. */
  readonly remedy: string
  readonly ground: JailGround
  /** Why a jail without a network cannot be made here; none where it can. */
  readonly networkStays: Option.Option<string>
}>()("km/runtime/adapters/jail/Bubblewrap") {
  /** Looks for bubblewrap in the system's own directories and tries it. */
  static readonly layer: Layer.Layer<Jail> = Layer.effect(
    Jail,
    Effect.gen(function*() {
      const program = findProgram()
      if (Option.isNone(program)) return Jail.of(noJail("bubblewrap is not installed", "install bubblewrap"))
      const { ground, probe, without } = yield* probed(program.value)
      if (!probe.ok) {
        return Jail.of(noJail(
          `a jail by bubblewrap does not hold here (${probe.detail})`,
          /written|descriptor|open:|capabilit|privileges/.test(probe.detail)
            ? "update bubblewrap, or run km on a machine whose kernel keeps these from an agent"
            : "allow unprivileged user namespaces"
        ))
      }
      const nested = `${ground.disableUserns ? "" : usernsInside}${
        jailFilter() === undefined ? `; system calls are not filtered on ${process.arch}` : ""
      }`
      return Jail.of({
        program,
        detail: `jailed by bubblewrap (own processes, home and workspace${nested})`,
        remedy: ground.disableUserns ? "" : "install bubblewrap 0.8 or newer",
        ground,
        networkStays: without.ok ? cannotTakeSockets() : Option.some(without.detail)
      })
    })
  )

  /** No jail, for whoever accepted that (`--unconfined`), and for tests. */
  static readonly layerUnconfined = (why: string): Layer.Layer<Jail> => Layer.succeed(Jail, Jail.of(noJail(why, "")))
}

const usernsInside = "; user namespaces can be made inside"

/** The same machine for a sandbox whose programs may make user namespaces (`spec.agent.nestedSandboxes`). */
export const loosened = (jail: Jail["Service"]): Jail["Service"] =>
  Option.isNone(jail.program) || !jail.ground.disableUserns
    ? jail
    : {
      ...jail,
      detail: `${jail.detail}${usernsInside}`,
      // The kernel lets nobody without CAP_SETFCAP map root into a namespace of its own (user_namespaces(7)).
      ground: { ...jail.ground, disableUserns: false, ...(process.getuid?.() === 0 ? { uid: 1_000 } : {}) }
    }

const noJail = (why: string, remedy: string): Jail["Service"] => ({
  program: Option.none(),
  detail: `unconfined: ${why}`,
  remedy,
  ground: noGround,
  networkStays: Option.some(why)
})

/** The doors of a jail without a network are sockets that the jail hands over (`Doors.ts`). */
const cannotTakeSockets = (): Option.Option<string> =>
  process.versions["deno"] === undefined
    ? Option.none()
    : Option.some("this runtime runs on Deno, which cannot take over the sockets of the doors: run it on Node")

/** What the profile asks for, as it can be had here. */
export interface Confinement {
  /** False also where the profile wants no network and the jail cannot be made without one. */
  readonly confined: boolean
  /** For logs and status. */
  readonly detail: string
  /** What a run's jail gets; without a jail the machine's network is all there is. */
  readonly network: JailNetwork
}

/** Whatever is not the machine's own network is none. `nested`: programs inside may make user namespaces. */
export const confinementOf = (given: Jail["Service"], mode: NetworkMode, nested = false): Confinement => {
  const jail = nested ? loosened(given) : given
  if (Option.isNone(jail.program)) return { confined: false, detail: jail.detail, network: "shared" }
  if (mode === "shared") return { confined: true, detail: `${jail.detail}; network shared`, network: "shared" }
  return Option.match(jail.networkStays, {
    onNone: () => ({
      confined: true,
      detail: `${jail.detail}; no network${mode === "proxy" ? " but the proxy" : ""}`,
      network: "none"
    }),
    onSome: (why) => ({
      confined: false,
      detail: `unconfined: ${jail.detail}, but the network stays shared against the profile (${why})`,
      network: "shared"
    })
  })
}
