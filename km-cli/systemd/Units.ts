/**
 * The systemd units of an install, as text: bridge, control plane, one runtime per sandbox, and mail where the install has
 * it. Hardened as far as V8, and for the runtime bubblewrap, allow; what stays open is named here with its reason, and
 * `systemd-analyze security` puts the rest at 3.0 or less.
 *
 * All units run as one user, because the engine is one file that nobody else may read. What separates them is the mount
 * namespace of each: `secrets/` is an empty directory there, into which only what the process is given is mounted
 * (`ProcessSecrets`). Unlike `LoadCredential=` that follows a key that is replaced while the process runs. A process of the
 * same user could look through `/proc/{pid}/root` into another one's mounts; the user namespace of each (`PrivateUsers=`)
 * makes the kernel refuse that, as it refuses a debugger and `/proc/{pid}/environ`.
 */
import {
  bridgeSecrets,
  controlSecrets,
  relaySecrets,
  runtimeSecrets,
  type SecretsScope
} from "../../runtime/domain/install/ProcessSecrets.ts"
import { nodeOptions } from "../NodeOptions.ts"

export interface UnitOptions {
  /** Absolute path of the Node binary. */
  readonly node: string
  /** Absolute paths of the programs. */
  readonly programs: {
    readonly bridge: string
    readonly control: string
    readonly runtime: string
    readonly smtp: string
  }
  /** Absolute path of the state directory, which must exist and belong to `user`. */
  readonly stateDirectory: string
  readonly user: string
  /** The control plane may use the certifier's key. */
  readonly unattendedCertifier: boolean
  readonly mailIn: boolean
  readonly mailOut: boolean
}

export interface Unit {
  /** The file name; the runtime's is a template, `km-runtime@sb-1a2b3c4d.service`. */
  readonly name: string
  readonly text: string
}

/** systemd splits on white space and expands `%` and `$`; a path that holds any of these cannot be written plainly. */
const isPlainPath = (path: string): boolean => /^\/[A-Za-z0-9._/@+-]*$/.test(path)

/** What of the options would not mean itself inside a unit file, each with its text. */
export const unusableOptions = (
  { node, programs, stateDirectory, user }: UnitOptions
): ReadonlyArray<readonly [what: string, text: string]> => [
  ...Object.entries({ node, ...programs, stateDirectory }).filter(([, file]) => !isPlainPath(file)),
  ...(/^[a-z_][a-z0-9_-]{0,31}$/.test(user) ? [] : [["user", user] as const])
]

/** Something the services need lies in a home directory, which `ProtectHome=yes` would hide. */
const livesAtHome = ({ node, programs, stateDirectory }: UnitOptions): boolean =>
  [node, stateDirectory, ...Object.values(programs)].some((file) => /^\/(home|root)\//.test(file))

/** Each prefix is a directory; one that is not there yet is taken up at the next start. */
const secretsOf = ({ stateDirectory }: UnitOptions, { delete: deletable = [], read, write = [] }: SecretsScope) => {
  const directory = `${stateDirectory}/secrets`
  const named = [...new Set([...write, ...deletable])]
  // What lies below another one is mounted with it, and a mount knows no `*`.
  const writable = named.filter((path) => !named.some((prefix) => path.startsWith(`${prefix}/`)))
  const below = (path: string) => writable.some((prefix) => path === prefix || path.startsWith(`${prefix}/`))
  const mounts = [
    ...writable.map((prefix) => `BindPaths=-${directory}/${prefix}`),
    ...read.filter((prefix) => !below(prefix)).map((prefix) => `BindReadOnlyPaths=-${directory}/${prefix}`)
  ]
  return [`TemporaryFileSystem=${directory}:ro`, ...mounts].join("\n")
}

/** What every unit closes. */
const common = (options: UnitOptions): string =>
  `NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ReadWritePaths=${options.stateDirectory}
ProtectHome=${livesAtHome(options) ? "read-only" : "yes"}
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
PrivateUsers=yes
DevicePolicy=closed
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelModules=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM`

/** What a unit without a jail closes beside it. */
const closed = `ProtectKernelTunables=yes
ProtectKernelLogs=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallFilter=@system-service`

/**
 * Open on purpose:
 * - user, mount, pid, ipc, uts and net namespaces and `@mount`: bubblewrap makes them (`RestrictNamespaces=`);
 * - `ProtectKernelTunables=`, `ProtectKernelLogs=`, `ProtectProc=`: each mounts over a part of /proc, after which the
 *   kernel refuses a fresh /proc to an unprivileged pid namespace (`mount_too_revealing`), and the jail with it.
 */
const jailing = `RestrictNamespaces=user mnt pid ipc uts net
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallFilter=@system-service @mount`

interface UnitParts {
  readonly description: string
  readonly exec: string
  readonly scope: SecretsScope
  readonly service?: string
  readonly stopSeconds: number
  readonly walls: string
}

/** `MemoryDenyWriteExecute=no`: V8 compiles to memory. */
const unit = (options: UnitOptions, { description, exec, scope, service, stopSeconds, walls }: UnitParts): string =>
  `[Unit]
Description=${description}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=10min
StartLimitBurst=20

[Service]
${service ?? "Type=exec"}
ExecStart=${options.node} ${exec}
Environment=KM_STATE=${options.stateDirectory}
User=${options.user}
Restart=always
RestartSec=2
TimeoutStopSec=${stopSeconds}
KillMode=mixed
UMask=0077

${secretsOf(options, scope)}
${common(options)}
${walls}
MemoryDenyWriteExecute=no

[Install]
WantedBy=multi-user.target
`

/** The instance's name is the sandbox's id, which systemd writes for `%i`. */
const anySandbox = (scope: SecretsScope): SecretsScope => ({
  ...scope,
  read: scope.read.map((prefix) => prefix === "sandbox" ? "sandbox/%i" : prefix)
})

/**
 * `NotifyAccess=all` in the runtime's because Node cannot open the notify socket and `systemd-notify` is another process;
 * the jail mounts neither the socket nor its variable, so the agent can send nothing.
 */
export const unitsOf = (options: UnitOptions): ReadonlyArray<Unit> => {
  const { mailIn, mailOut, programs, unattendedCertifier } = options
  const plain = { walls: closed, stopSeconds: 20 }
  const bridgeExec = [...nodeOptions["km-bridge"] ?? [], programs.bridge].join(" ")
  return [
    {
      name: "km-bridge.service",
      text: unit(options, { ...plain, description: "Bridge of km", exec: bridgeExec, scope: bridgeSecrets })
    },
    {
      name: "km-control.service",
      text: unit(options, {
        ...plain,
        description: "Control plane of km",
        exec: `${programs.control}${unattendedCertifier ? " --unattended-certifier" : ""}`,
        scope: controlSecrets(unattendedCertifier)
      })
    },
    {
      name: "km-runtime@.service",
      text: unit(options, {
        description: "Runtime of the sandbox %i of km",
        exec: `${programs.runtime} --sandbox %i`,
        scope: anySandbox(runtimeSecrets(undefined)),
        service: "Type=notify\nNotifyAccess=all\nTimeoutStartSec=90",
        stopSeconds: 60,
        walls: jailing
      })
    },
    ...(mailIn
      ? [{
        name: "km-mail-in.service",
        text: unit(options, {
          ...plain,
          description: "Mail from mail programs, of km",
          exec: `${programs.smtp} listen`,
          scope: { read: [] }
        })
      }]
      : []),
    ...(mailOut
      ? [{
        name: "km-mail-out.service",
        text: unit(options, {
          ...plain,
          description: "Mail to the relay, of km",
          exec: `${programs.smtp} relay`,
          scope: relaySecrets
        })
      }]
      : [])
  ]
}
