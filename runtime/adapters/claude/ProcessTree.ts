/**
 * Which processes belong to a run, told apart from whatever has their pid later: by start time and boot id, and by a
 * marker in their environment, because a tool of the agent has a session and a process group of its own.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Fs from "node:fs"
import type { ProcessMark } from "../../domain/turn/Turn.ts"

/** The variable that every process of a run inherits. Its value is random per run and no secret. */
export const markerVariable = "KM_RUN"

const readOr = (path: string, otherwise: string): string => {
  try {
    return Fs.readFileSync(path, "latin1")
  } catch {
    // Gone, not ours to read, or a system without /proc: all mean "nothing known".
    return otherwise
  }
}

/** State letter and start time (fields 3 and 22 of /proc/{pid}/stat); the command in field 2 may hold anything. */
const statOf = (pid: number): { readonly state: string; readonly parent: number; readonly startTime: string } => {
  const stat = readOr(`/proc/${pid}/stat`, "")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return { state: fields[0] ?? "", parent: Number(fields[1] ?? 0), startTime: fields[19] ?? "" }
}

const bootId = (): string => readOr("/proc/sys/kernel/random/boot_id", "").trim()

/** The mark of a process that runs now. */
export const markOf = (pid: number): ProcessMark => ({ pid, startTime: statOf(pid).startTime, bootId: bootId() })

const signalTo = (pid: number, signal: NodeJS.Signals | 0): boolean => {
  try {
    process.kill(pid, signal)
    return true
  } catch {
    // ESRCH: it is gone, which is what was wanted. EPERM cannot be: we only mark what we started.
    return false
  }
}

/** True while exactly that process runs; a zombie has ended. */
export const isAlive = (mark: ProcessMark): boolean => {
  if (mark.pid <= 1 || mark.bootId !== bootId()) return false
  // Without /proc only the pid is known.
  if (mark.startTime === "") return signalTo(mark.pid, 0)
  const stat = statOf(mark.pid)
  return stat.startTime === mark.startTime && stat.state !== "Z" && stat.state !== "X"
}

/** Sends a signal if exactly that process still runs. */
export const signal = (mark: ProcessMark, name: NodeJS.Signals): Effect.Effect<void> =>
  Effect.sync(() => {
    if (isAlive(mark)) signalTo(mark.pid, name)
  })

const pids = (): ReadonlyArray<number> => {
  try {
    return Fs.readdirSync("/proc").flatMap((name) => /^\d+$/.test(name) ? [Number(name)] : [])
  } catch {
    return []
  }
}

/** True when the process's environment, as it was started, carries the marker. Ours alone can be looked at. */
export const hasMarker = (pid: number, marker: string): boolean => {
  const needle = `${markerVariable}=${marker}\0`
  const environment = readOr(`/proc/${pid}/environ`, "")
  return (environment.startsWith(needle) || environment.includes(`\0${needle}`)) && statOf(pid).state !== "Z"
}

/** Processes, this one aside, that carry the marker. */
export const marked = (marker: string): ReadonlyArray<number> =>
  pids().filter((pid) => pid !== process.pid && hasMarker(pid, marker))

/** The process's children, the one that was started first in front. */
export const childrenOf = (pid: number): ReadonlyArray<number> =>
  pids()
    .map((child) => ({ child, ...statOf(child) }))
    .filter(({ parent }) => parent === pid)
    .toSorted((a, b) => Number(a.startTime) - Number(b.startTime))
    .map(({ child }) => child)

/** Long enough for the kernel to take down a pid namespace on a busy machine; nothing waits this long normally. */
const goneWithinMillis = 10_000
const lookEveryMillis = 5

/**
 * Kills every process with the marker until a look finds none, so that one that forked meanwhile is found by the next
 * look. False when some were still there after 10 s.
 */
export const endMarked = Effect.fn("ProcessTree.endMarked")(function*(marker: string) {
  for (let waited = 0; waited < goneWithinMillis; waited += lookEveryMillis) {
    const found = marked(marker)
    if (found.length === 0) return true
    for (const pid of found) signalTo(pid, "SIGKILL")
    yield* Effect.sleep(lookEveryMillis)
  }
  return false
})

/** Waits until that process is gone; kills it first when asked. False when it was still there after 10 s. */
export const awaitGone = Effect.fn("ProcessTree.awaitGone")(function*(mark: ProcessMark, kill: boolean) {
  for (let waited = 0; waited < goneWithinMillis; waited += lookEveryMillis) {
    if (!isAlive(mark)) return true
    if (kill) signalTo(mark.pid, "SIGKILL")
    yield* Effect.sleep(lookEveryMillis)
  }
  return false
})

/** The mark of the process with this pid, if it runs. */
export const findMark = (pid: number): Option.Option<ProcessMark> => {
  const mark = markOf(pid)
  return isAlive(mark) ? Option.some(mark) : Option.none()
}
