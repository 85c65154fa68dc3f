/**
 * The systemd unit that runs one sandbox's runtime, as text. Hardened as far as bubblewrap and V8 allow; what stays
 * open is named here with its reason, and `systemd-analyze security` puts the rest at 3.0 or less.
 */

export interface RuntimeUnitOptions {
  /** Absolute path of the Node binary. */
  readonly node: string
  /** Absolute path of `km-runtime.mjs`. */
  readonly runtime: string
  /** Absolute path of the state directory, which must exist and belong to `user`. */
  readonly stateDirectory: string
  readonly user: string
}

/** The file name: one instance a sandbox, `km-runtime@sb-1a2b3c4d.service`. */
export const runtimeUnitName = "km-runtime@.service"

/** systemd splits on white space and expands `%` and `$`; a path that holds any of these cannot be written plainly. */
const isPlainPath = (path: string): boolean => /^\/[A-Za-z0-9._/@+-]*$/.test(path)

/** The options whose text would not mean itself inside a unit file. */
export const unusableOptions = (options: RuntimeUnitOptions): ReadonlyArray<keyof RuntimeUnitOptions> => [
  ...(["node", "runtime", "stateDirectory"] as const).filter((key) => !isPlainPath(options[key])),
  ...(/^[a-z_][a-z0-9_-]{0,31}$/.test(options.user) ? [] : ["user" as const])
]

/** Something the service needs lies in a home directory, which `ProtectHome=yes` would hide. */
const livesAtHome = ({ node, runtime, stateDirectory }: RuntimeUnitOptions): boolean =>
  [node, runtime, stateDirectory].some((file) => /^\/(home|root)\//.test(file))

/**
 * Open on purpose:
 * - user, mount, pid, ipc, uts and net namespaces and `@mount`: bubblewrap makes them (`RestrictNamespaces=`);
 * - `ProtectKernelTunables=`, `ProtectKernelLogs=`, `ProtectProc=`: each mounts over a part of /proc, after which the
 *   kernel refuses a fresh /proc to an unprivileged pid namespace (`mount_too_revealing`), and the jail with it;
 * - `MemoryDenyWriteExecute=no`: V8 compiles to memory;
 * - `PrivateUsers=`: the jail needs a user namespace below the host's own.
 *
 * `NotifyAccess=all` because Node cannot open the notify socket and `systemd-notify` is another process; the jail mounts
 * neither the socket nor its variable, so the agent can send nothing.
 */
export const runtimeUnit = (options: RuntimeUnitOptions): string =>
  `[Unit]
Description=km runtime of sandbox %i
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=10min
StartLimitBurst=20

[Service]
Type=notify
NotifyAccess=all
ExecStart=${options.node} ${options.runtime} --sandbox %i
Environment=KM_STATE=${options.stateDirectory}
User=${options.user}
Restart=always
RestartSec=2
TimeoutStartSec=90
TimeoutStopSec=60
KillMode=mixed
UMask=0077

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ReadWritePaths=${options.stateDirectory}
ProtectHome=${livesAtHome(options) ? "read-only" : "yes"}
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
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
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=user mnt pid ipc uts net
SystemCallArchitectures=native
SystemCallFilter=@system-service @mount
SystemCallErrorNumber=EPERM
MemoryDenyWriteExecute=no

[Install]
WantedBy=multi-user.target
`
