/**
 * Reads a file that another process writes, line by line as they are completed. The agent's output goes to a file and
 * not only to a pipe, so that it survives the runtime.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import { LineSplitter } from "./StreamJson.ts"

/** Read at once; between two the event loop goes on, on which leases are renewed. */
const chunkBytes = 256 * 1024

/** Lets everything else have its turn. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A look without a sign, because file events can be lost (a full inotify queue, some network file systems). */
const lookEveryMillis = 250

export interface Tail {
  /** Ends when `finish` was called and everything up to then was read; or when the file passed `maxBytes`. */
  readonly done: Effect.Effect<"end" | "too-large">
  /** Nobody writes any more: read the rest and end. */
  readonly finish: Effect.Effect<void>
}

/** 0 at the end; a disk that cannot be read ends the reading, and the run then has no result line. */
const readAt = (fd: number, buffer: Buffer, offset: number): number => {
  try {
    return Fs.readSync(fd, buffer, 0, buffer.length, offset)
  } catch {
    return 0
  }
}

/** None where the system has no watch left to give (inotify's limits): the looks go on without it. */
const watch = (path: string, changed: () => void): Option.Option<Fs.FSWatcher> => {
  try {
    const watcher = Fs.watch(path, { persistent: false }, changed)
    watcher.on("error", () => watcher.close())
    return Option.some(watcher)
  } catch {
    return Option.none()
  }
}

/** Calls `onLine` for each complete line, in order. Reads what is there at once. */
export const tail = Effect.fn("LineTail.tail")(function*(
  path: string,
  maxBytes: number,
  onLine: (line: string) => void
): Effect.fn.Return<Tail, never, Scope.Scope> {
  const splitter = new LineSplitter()
  const buffer = Buffer.allocUnsafe(chunkBytes)
  const done = yield* Deferred.make<"end" | "too-large">()
  const handle = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.openSync(path, "r")),
    (fd) => Effect.sync(() => Fs.closeSync(fd))
  )
  let offset = 0
  const state = { closed: false }
  const end = (how: "end" | "too-large") => {
    state.closed = true
    Deferred.doneUnsafe(done, Effect.succeed(how))
  }
  let reading: Promise<void> | undefined
  const readOn = async (): Promise<void> => {
    while (!state.closed) {
      const read = readAt(handle, buffer, offset)
      if (read === 0) return
      offset += read
      for (const line of splitter.push(buffer.subarray(0, read))) onLine(line)
      if (offset > maxBytes) end("too-large")
      await turn()
    }
  }
  /** One reader: a sign that comes while it reads finds it, since it goes on until there is nothing more. */
  const drain = (): Promise<void> => reading ??= readOn().finally(() => void (reading = undefined))
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      const watcher = watch(path, () => void drain())
      const timer = setInterval(() => void drain(), lookEveryMillis)
      return { watcher, timer }
    }),
    ({ timer, watcher }) =>
      Effect.sync(() => {
        state.closed = true
        clearInterval(timer)
        Option.map(watcher, (open) => open.close())
      })
  )
  yield* Effect.promise(drain)
  return {
    done: Deferred.await(done),
    finish: Effect.promise(async () => {
      await drain()
      if (!state.closed) end("end")
    })
  }
})

/** Every complete line of a file, for a run that is over. Stops at `maxBytes`. */
export const readLines = (path: string, maxBytes: number, onLine: (line: string) => void): Effect.Effect<void> =>
  Effect.promise(async (signal) => {
    let fd: number
    try {
      fd = Fs.openSync(path, "r")
    } catch {
      // No file: the run had not begun.
      return
    }
    try {
      const splitter = new LineSplitter()
      const buffer = Buffer.allocUnsafe(chunkBytes)
      for (let offset = 0; offset < maxBytes && !signal.aborted;) {
        const read = readAt(fd, buffer, offset)
        if (read === 0) return
        offset += read
        for (const line of splitter.push(buffer.subarray(0, read))) onLine(line)
        await turn()
      }
    } finally {
      Fs.closeSync(fd)
    }
  })
