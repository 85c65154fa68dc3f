/**
 * The temporary directory of a `km demo`, and how it goes when the demo could not remove it: the workspace, which
 * notices that its supervisor is gone, waits for the other parts and removes it; what even that leaves, the next demo.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import process from "node:process"
import { talk } from "../Output.ts"
import * as UpFile from "../up/UpFile.ts"

/** What the directory's name begins with; nothing else is ever removed. */
export const demoPrefix = "km-demo-"

const Owner = Schema.fromJsonString(UpFile.ProcessName)
const encodeOwner = Schema.encodeSync(Owner)
const decodeOwner = Schema.decodeUnknownOption(Owner)

const ownerFile = (directory: string): string => path.join(directory, "demo.json")

/** A supervisor that the kernel is taking down closes its files a moment before it is gone. */
const ownerWithin = "10 seconds"

/** Above the runtime's own limit of 55 s for ending its turns. */
const partsWithin = "60 seconds"

/** Writes down that the directory is this process's, for whoever finds it later. */
export const claim = (directory: string): Effect.Effect<void> =>
  Effect.sync(() =>
    fs.writeFileSync(ownerFile(directory), encodeOwner(UpFile.nameOf(process.pid)), { mode: 0o600, flag: "wx" })
  )

/** The demo that made it, if it really is such a directory, and ours. */
const ownerOf = (directory: string): Option.Option<UpFile.ProcessName> => {
  if (!path.basename(directory).startsWith(demoPrefix)) return Option.none()
  try {
    // lstat: a link that somebody put into a temporary directory of all users is not followed.
    const stat = fs.lstatSync(directory)
    if (!stat.isDirectory() || stat.uid !== process.getuid?.()) return Option.none()
    return decodeOwner(fs.readFileSync(ownerFile(directory), "utf8"))
  } catch {
    return Option.none()
  }
}

/** Succeeds once none of them lives. */
const gone = (processes: ReadonlyArray<UpFile.ProcessName>): Effect.Effect<void, "alive"> =>
  Effect.suspend(() => processes.some(UpFile.isAlive) ? Effect.fail("alive" as const) : Effect.void).pipe(
    Effect.retry(Schedule.spaced("100 millis"))
  )

/**
 * Removes the directory of a demo that is gone, once its parts have ended; those that have not after a minute are
 * killed. Does nothing to any other directory, nor while the demo lives.
 */
export const removeWhenIdle = Effect.fnUntraced(function*(directory: string) {
  const owner = ownerOf(directory)
  if (Option.isNone(owner)) return
  const left = yield* Effect.timeoutOption(Effect.ignore(gone([owner.value])), ownerWithin)
  if (Option.isNone(left)) return
  const book = yield* UpFile.read(path.join(directory, "run"))
  const parts = Option.match(book, { onNone: () => [], onSome: ({ children }) => children })
    .map((part) => part.process)
    .filter(({ pid }) => pid !== process.pid)
  yield* gone(parts).pipe(
    Effect.timeoutOrElse({
      duration: partsWithin,
      orElse: () =>
        Effect.andThen(
          Effect.forEach(parts, (part) => UpFile.signal(part, "SIGKILL"), { discard: true }),
          gone(parts)
        )
    }),
    Effect.ignore
  )
  yield* Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
})

/** Removes what killed demos of this user left in the temporary directory; what it cannot remove it leaves. */
export const sweepStale = Effect.gen(function*() {
  const names = fs.readdirSync(tmpdir()).filter((name) => name.startsWith(demoPrefix))
  for (const directory of names.map((name) => path.join(tmpdir(), name))) {
    const owner = ownerOf(directory)
    if (Option.isNone(owner) || UpFile.isAlive(owner.value)) continue
    yield* talk(`removing ${directory}, which a killed demo left behind`)
    yield* removeWhenIdle(directory)
  }
}).pipe(Effect.catchDefect((defect) => talk(`what a killed demo left cannot be removed: ${String(defect)}`)))
