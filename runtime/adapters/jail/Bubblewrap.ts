/**
 * What confines the agent: bubblewrap with its own process ids, the system read-only, and of our files only the
 * sandbox's home and workspace. The arguments are built here, purely; whether they work on this machine is probed once.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

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
}

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

/** Namespaces and limits, without any mount. The network is shared until the GitHub proxy takes it away. */
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
  "--cap-drop",
  "ALL"
]

const baseMounts: ReadonlyArray<string> = [
  ...systemDirectories.flatMap((path) => ["--ro-bind-try", path, path]),
  ...etcEntries.flatMap((path) => ["--ro-bind-try", path, path]),
  "--proc",
  "/proc",
  "--dev",
  "/dev",
  "--tmpfs",
  "/tmp",
  "--tmpfs",
  "/var/tmp",
  "--tmpfs",
  "/run"
]

/** Arguments of `bwrap` up to and without the command. Holds no secret: the environment is the caller's business. */
export const jailArguments = (view: JailView, infoFd: Option.Option<number>): ReadonlyArray<string> => [
  ...isolation,
  "--hostname",
  view.hostname,
  ...baseMounts,
  ...view.readOnly.flatMap((path) => ["--ro-bind-try", path, path]),
  ...view.writable.flatMap((path) => ["--bind", path, path]),
  ...view.files.flatMap(([from, to]) => ["--ro-bind", from, to]),
  "--chdir",
  view.cwd,
  ...Option.match(infoFd, { onNone: () => [], onSome: (fd) => ["--info-fd", String(fd)] }),
  "--"
]

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

const runProbe = (program: string): Effect.Effect<{ readonly ok: boolean; readonly detail: string }> =>
  Effect.callback((resume) => {
    const view: JailView = { writable: [], readOnly: [], files: [], cwd: "/", hostname: "probe" }
    execFile(
      program,
      // The probe makes what a run makes; /proc/self/status shows that the capabilities are gone.
      [
        ...jailArguments(view, Option.none()),
        "/bin/sh",
        "-c",
        "grep -q '^CapEff:[[:space:]]*0*$' /proc/self/status && echo ok"
      ],
      { timeout: 10_000, env: { PATH: "/usr/bin:/bin" }, maxBuffer: 64 * 1024 },
      (error, stdout, stderr) =>
        resume(Effect.succeed(
          error === null && stdout.trim() === "ok"
            ? { ok: true, detail: "" }
            : { ok: false, detail: stderr.trim().split("\n")[0] ?? (error === null ? "unknown" : error.message) }
        ))
    )
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

/** Whether agents can be confined on this machine, found out once when the layer is built. */
export class Jail extends Context.Service<Jail, {
  /** The program to run, or why there is none. */
  readonly program: Option.Option<string>
  /** For status: how runs are confined, or `unconfined` and why. */
  readonly detail: string
}>()("km/runtime/adapters/jail/Bubblewrap") {
  /** Looks for bubblewrap in the system's own directories and tries it. */
  static readonly layer: Layer.Layer<Jail> = Layer.effect(
    Jail,
    Effect.gen(function*() {
      const program = findProgram()
      if (Option.isNone(program)) {
        return Jail.of({ program, detail: "unconfined: bubblewrap is not installed" })
      }
      const probe = yield* runProbe(program.value)
      return probe.ok
        ? Jail.of({ program, detail: "jailed by bubblewrap (own processes, home and workspace; network shared)" })
        : Jail.of({
          program: Option.none(),
          detail: `unconfined: bubblewrap cannot make namespaces here (${probe.detail})`
        })
    })
  )

  /** No jail, for whoever accepted that (`--unconfined`), and for tests. */
  static readonly layerUnconfined = (why: string): Layer.Layer<Jail> =>
    Layer.succeed(Jail, Jail.of({ program: Option.none(), detail: `unconfined: ${why}` }))
}
