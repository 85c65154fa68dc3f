/** `km up` in the background: a process group of its own, its output in a log, ready when it says so. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import process from "node:process"
import type { Backend } from "../Backend.ts"
import { kmError } from "../KmError.ts"
import { self } from "../Programs.ts"
import { withoutSecrets } from "../slack/SecretInput.ts"
import { logFile } from "./Child.ts"
import * as UpFile from "./UpFile.ts"

/** Each part has three minutes, and there are some that wait for one another. */
const readyWithin = "10 minutes"
/** Bytes at the end of a log in which the reason is looked for. */
const lastBytes = 4_096

/** Where the output of a `km up` in the background goes. */
export const upLog = (backend: Backend): string => logFile(path.join(backend.paths.run, "logs"), "up")

/** Why it ended, as it said itself: the error it told last, else its last line. */
const lastWords = (file: string, from: number): string => {
  try {
    const text = fs.readFileSync(file).subarray(from).subarray(-lastBytes).toString("utf8")
    const lines = text.split("\n").filter((line) => line.trim() !== "")
    const error = lines.findLastIndex((line) => line.startsWith("error KM-"))
    return (error === -1 ? lines.slice(-1) : lines.slice(error, error + 2)).map((line) => line.trim()).join("; ")
  } catch {
    return ""
  }
}

const launch = (backend: Backend, args: ReadonlyArray<string>) => {
  const file = upLog(backend)
  fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
  const log = fs.openSync(file, "a", 0o600)
  const before = fs.fstatSync(log).size
  const { args: program, command } = self
  const child = spawn(command, [...program, "up", "--state", backend.paths.root, ...args], {
    detached: true,
    stdio: ["ignore", log, log],
    env: withoutSecrets(process.env)
  })
  fs.closeSync(log)
  child.unref()
  return { child, file, before }
}

const ended = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

/** Starts it and waits until everything is healthy; what is running already is left as it is. True when it was started here. */
export const startDetached = Effect.fn("km.up.detached")(function*(backend: Backend, args: ReadonlyArray<string>) {
  const already = yield* UpFile.running(backend.paths.run)
  const started = Option.isSome(already) ? undefined : yield* Effect.sync(() => launch(backend, args))
  let failure: string | undefined
  started?.child.once("error", (error) => failure = error.message)
  const ready = Effect.gen(function*() {
    const up = yield* UpFile.running(backend.paths.run)
    if (Option.isSome(up) && up.value.ready) return up.value
    if (started === undefined && Option.isNone(up)) {
      return yield* kmError(
        "KM-CLI-009",
        "km up did not start",
        "it ended while it was waited for",
        `see ${upLog(backend)}`
      )
    }
    if (started !== undefined && (failure !== undefined || ended(started.child))) {
      const why = failure ?? lastWords(started.file, started.before)
      return yield* kmError("KM-CLI-009", "km up did not start", why, `see ${started.file}`)
    }
    return yield* Effect.fail("starting" as const)
  })
  const file = yield* ready.pipe(
    Effect.retry({ schedule: Schedule.spaced("100 millis"), while: (error) => error === "starting" }),
    Effect.mapError((error) => error === "starting" ? kmError("KM-CLI-009", "km up did not start", "") : error),
    Effect.timeoutOrElse({
      duration: readyWithin,
      orElse: () =>
        Effect.fail(
          kmError(
            "KM-CLI-009",
            `km up is not healthy after ${readyWithin}`,
            "",
            `see ${upLog(backend)}, then km status`
          )
        )
    })
  )
  return { file, started: started !== undefined }
})
