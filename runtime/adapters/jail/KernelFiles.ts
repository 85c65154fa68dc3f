/**
 * The kernel's files in the jail. A new /proc shows more than the jail's own processes: settings of the whole machine,
 * which a root agent's uid may write without any capability. So everything in it that is no process is read-only, and
 * what would tell of the machine or of memory is empty.
 */
import * as Fs from "node:fs"

/**
 * Not shown at all. Source: the OCI runtime's default `maskedPaths` (moby's `oci/defaults.go`), and what else tells of
 * the kernel's memory, keys or log. Docker and Podman hide the same.
 */
const masked: ReadonlySet<string> = new Set([
  "acpi",
  "asound",
  "iomem",
  "ioports",
  "kallsyms",
  "kcore",
  "key-users",
  "keys",
  "kmsg",
  "kpagecgroup",
  "kpagecount",
  "kpageflags",
  "latency_stats",
  "mtrr",
  "sched_debug",
  "scsi",
  "slabinfo",
  "sysrq-trigger",
  "timer_list",
  "timer_stats",
  "vmallocinfo"
])

/** An entry of the machine's /proc that is no process and no link into one. */
export interface KernelEntry {
  readonly name: string
  readonly directory: boolean
  /** Anybody may write it, as far as its mode says. */
  readonly writable: boolean
}

/** Those of the machine; none where there is no /proc. */
export const kernelEntries = (): ReadonlyArray<KernelEntry> => {
  let names: ReadonlyArray<string>
  try {
    names = Fs.readdirSync("/proc")
  } catch {
    // Then bubblewrap cannot work either, and its probe says so.
    return []
  }
  return names.filter((name) => !/^\d+$/.test(name)).toSorted().flatMap((name) => {
    try {
      const stat = Fs.lstatSync(`/proc/${name}`)
      if (stat.isSymbolicLink()) return []
      return [{ name, directory: stat.isDirectory(), writable: (stat.mode & 0o222) !== 0 }]
    } catch {
      // Gone since it was listed: modules can be unloaded.
      return []
    }
  })
}

/** Arguments of `bwrap` that follow its `--proc /proc`. Directories are taken whole: their files come and go. */
export const kernelFileArguments = (entries: ReadonlyArray<KernelEntry>): ReadonlyArray<string> =>
  entries.flatMap(({ directory, name, writable }) => {
    const path = `/proc/${name}`
    if (masked.has(name)) {
      // A device bound without leave to use devices cannot be opened at all.
      return directory ? ["--tmpfs", path, "--remount-ro", path] : ["--ro-bind", "/dev/null", path]
    }
    return directory || writable ? ["--ro-bind-try", path, path] : []
  })
