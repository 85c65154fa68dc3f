/** The files of one attempt, in its run directory. The agent sees none of them but the settings, read-only. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Fs from "node:fs"
import * as Path from "node:path"

/** A file of the run could not be made: no space, no right, or a directory that was used before. */
export class RunDirectoryUnusable extends Schema.TaggedError<RunDirectoryUnusable>()("RunDirectoryUnusable", {
  detail: Schema.String
}) {
  override get message(): string {
    return `the run directory cannot be used: ${this.detail}; give each attempt a new empty directory on a disk with space`
  }
}

/** Names within the run directory. */
export const runFiles = (runDir: string) => ({
  stdin: Path.join(runDir, "stdin.jsonl"),
  stdout: Path.join(runDir, "stdout.jsonl"),
  stderr: Path.join(runDir, "stderr.txt"),
  settings: Path.join(runDir, "settings.json"),
  /** Written before the spawn: how the run's processes are found after a crash. */
  run: Path.join(runDir, "run.json"),
  /** Written by bubblewrap: the pid of the jail's first process, as we see it. */
  jail: Path.join(runDir, "jail.json"),
  /** What bubblewrap reads its options and the agent's environment from. */
  options: Path.join(runDir, "jail-options"),
  /** What bubblewrap reads the jail's filter of system calls from. */
  filter: Path.join(runDir, "seccomp.bpf"),
  /** Written by us before the run gets the model's first answer: without it the agent has not acted on anything. */
  answered: Path.join(runDir, "answered")
})
export type RunFiles = ReturnType<typeof runFiles>

const RunRecord = Schema.fromJsonString(Schema.Struct({ marker: Schema.String, confined: Schema.Boolean }))
const decodeRecord = Schema.decodeUnknownOption(RunRecord)
const encodeRecord = Schema.encodeSync(RunRecord)

const JailInfo = Schema.fromJsonString(Schema.Struct({ "child-pid": Schema.Int }))
const decodeJailInfo = Schema.decodeUnknownOption(JailInfo)

const readText = (path: string): Option.Option<string> => {
  try {
    return Option.some(Fs.readFileSync(path, "utf8"))
  } catch {
    // Not written (yet): the caller goes on without it.
    return Option.none()
  }
}

/** What was written down before the spawn. */
export const readRecord = (files: RunFiles) => Option.flatMap(readText(files.run), decodeRecord)

/** The first process in the jail; none before bubblewrap has made it, or without a jail. */
export const jailPid = (files: RunFiles): Option.Option<number> =>
  Option.map(Option.flatMap(readText(files.jail), decodeJailInfo), (info) => info["child-pid"])

/** Durable once the effect succeeds, also through a loss of power. */
export const noteAnswered = (files: RunFiles): Effect.Effect<void, RunDirectoryUnusable> =>
  Effect.try({
    try: () => {
      Fs.closeSync(Fs.openSync(files.answered, "w", 0o600))
      const directory = Fs.openSync(Path.dirname(files.answered), "r")
      try {
        Fs.fsyncSync(directory)
      } finally {
        Fs.closeSync(directory)
      }
    },
    catch: (error) => new RunDirectoryUnusable({ detail: error instanceof Error ? error.message : String(error) })
  })

/** Whether the run may have had an answer of the model. */
export const wasAnswered = (files: RunFiles): boolean => Fs.existsSync(files.answered)

/** Descriptors for the child; all of them are closed in the parent by `closeDescriptors`. */
export interface Descriptors {
  /** A pipe on a terminal of its own. */
  readonly stdin: number | "pipe"
  readonly stdout: number | "pipe"
  readonly stderr: number
  /** What bubblewrap alone is given: none without a jail. */
  readonly jail?: {
    /** Where it says its first process's pid. */
    readonly info: number
    /** Its options, to be read. */
    readonly options: number
    /** The jail's filter of system calls, to be read. */
    readonly filter?: number
  }
}

/** Writes what the run needs and opens its descriptors. A file that exists already means a directory used twice. */
export const prepare = (
  files: RunFiles,
  content: {
    /** What is read from standard input; none where that is a pipe, as standard output is then. */
    readonly prompt: string | undefined
    readonly settings: unknown
    readonly marker: string
    /** None without a jail. */
    readonly jail: { readonly options: string; readonly filter: Uint8Array | undefined } | undefined
  }
): Effect.Effect<Descriptors, RunDirectoryUnusable> =>
  Effect.try({
    try: () => {
      const fresh = { mode: 0o600, flag: "wx" } as const
      Fs.writeFileSync(files.run, encodeRecord({ marker: content.marker, confined: content.jail !== undefined }), fresh)
      Fs.writeFileSync(files.settings, JSON.stringify(content.settings), fresh)
      const { jail, prompt } = content
      if (prompt !== undefined) Fs.writeFileSync(files.stdin, prompt, fresh)
      if (jail !== undefined) Fs.writeFileSync(files.options, jail.options, fresh)
      if (jail?.filter !== undefined) Fs.writeFileSync(files.filter, jail.filter, fresh)
      // Appended, so that nobody who holds the descriptor overwrites what another has written.
      return {
        stdin: prompt === undefined ? "pipe" as const : Fs.openSync(files.stdin, "r"),
        stdout: prompt === undefined ? "pipe" as const : Fs.openSync(files.stdout, "ax", 0o600),
        stderr: Fs.openSync(files.stderr, "ax", 0o600),
        ...(jail === undefined ? {} : {
          jail: {
            info: Fs.openSync(files.jail, "wx", 0o600),
            options: Fs.openSync(files.options, "r"),
            ...(jail.filter === undefined ? {} : { filter: Fs.openSync(files.filter, "r") })
          }
        })
      }
    },
    catch: (error) => new RunDirectoryUnusable({ detail: error instanceof Error ? error.message : String(error) })
  })

/** The child has its own copies. */
export const closeDescriptors = ({ jail, ...standard }: Descriptors): void => {
  for (const fd of [...Object.values(standard), ...Object.values(jail ?? {})]) if (fd !== "pipe") Fs.closeSync(fd)
}

/** The numbers that a jail's descriptors have in the child, behind the three of every program. */
export const jailDescriptors = { info: 3, options: 4, filter: 5 } as const

const stderrTailBytes = 4_096

/** The end of what the CLI said on standard error. */
export const readStderr = (files: RunFiles): string => {
  try {
    const fd = Fs.openSync(files.stderr, "r")
    try {
      const size = Fs.fstatSync(fd).size
      const buffer = Buffer.alloc(Math.min(size, stderrTailBytes))
      Fs.readSync(fd, buffer, 0, buffer.length, size - buffer.length)
      const text = buffer.toString("utf8")
      // The word that the cut goes through may be half a token, which no redactor knows.
      return size > buffer.length ? text.replace(/^\S+/, "") : text
    } finally {
      Fs.closeSync(fd)
    }
  } catch {
    return ""
  }
}
