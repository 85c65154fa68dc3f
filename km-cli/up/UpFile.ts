/** `run/up.json`: which processes a `km up` consists of, for `km down`, `km status` and a start after a crash. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as path from "node:path"

/** A pid alone is reused by the kernel; with its start time it names one process. */
export const ProcessName = Schema.Struct({
  /** Positive: to `kill`, 0 and less are whole groups of processes. */
  pid: Schema.Int.check(Schema.isGreaterThan(0)),
  /** Field 22 of /proc/{pid}/stat, or "" where there is no /proc. */
  startTime: Schema.String
})
export type ProcessName = typeof ProcessName.Type

export const UpFile = Schema.Struct({
  version: Schema.Literal(1),
  supervisor: ProcessName,
  children: Schema.Array(Schema.Struct({ name: Schema.String, process: ProcessName })),
  bridgeUrl: Schema.String,
  /** The local workspace's inspector, where there is one. */
  workspaceUrl: Schema.optionalKey(Schema.String),
  credentialsFile: Schema.optionalKey(Schema.String),
  modelScripted: Schema.Boolean,
  /** False until everything is healthy. */
  ready: Schema.Boolean,
  startedAt: Schema.Int
})
export type UpFile = typeof UpFile.Type

const UpJson = Schema.fromJsonString(UpFile)
const decode = Schema.decodeUnknownOption(UpJson)
const encode = Schema.encodeSync(UpJson)

/** The pid file of a running `km up`, in its `run` directory. */
export const fileIn = (run: string): string => path.join(run, "up.json")

const statOf = (pid: number): { readonly state: string; readonly startTime: string } => {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8")
    // The command's name, in parentheses, may hold anything; the fields after it are plain. 22 − 2 fields follow.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return { state: fields[0] ?? "", startTime: fields[19] ?? "" }
  } catch {
    return { state: "", startTime: "" }
  }
}

export const nameOf = (pid: number): ProcessName => ({ pid, startTime: statOf(pid).startTime })

/** True while exactly this process lives; a zombie does not. */
export const isAlive = ({ pid, startTime }: ProcessName): boolean => {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  const now = statOf(pid)
  return now.startTime === startTime && now.state !== "Z"
}

/** Sends a signal if the process is still the one that was named. */
export const signal = (name: ProcessName, what: NodeJS.Signals): Effect.Effect<boolean> =>
  Effect.sync(() => {
    if (!isAlive(name)) return false
    try {
      return process.kill(name.pid, what)
    } catch {
      return false
    }
  })

/** What was written last, whoever wrote it; none when there is nothing that can be read. */
export const read = (run: string): Effect.Effect<Option.Option<UpFile>> =>
  Effect.sync(() => {
    try {
      return decode(fs.readFileSync(fileIn(run), "utf8"))
    } catch {
      return Option.none()
    }
  })

/** Whole or not at all, mode 0600. */
export const write = (run: string, up: UpFile): Effect.Effect<void> =>
  Effect.sync(() => {
    const file = fileIn(run)
    const temporary = `${file}.new`
    fs.writeFileSync(temporary, `${encode(up)}\n`, { mode: 0o600 })
    fs.renameSync(temporary, file)
  })

export const remove = (run: string): Effect.Effect<void> => Effect.sync(() => fs.rmSync(fileIn(run), { force: true }))

/** The running `km up` of this state directory, if there is one. */
export const running = (run: string): Effect.Effect<Option.Option<UpFile>> =>
  Effect.map(read(run), Option.filter((up) => isAlive(up.supervisor)))
