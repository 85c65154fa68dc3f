/**
 * The journal as files below `audit/`, a line per link: each process that writes holds a chain of its own while it
 * lives, and the next one goes on with it. Synced before anybody is told; many lines of one moment share one sync.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import * as path from "node:path"
import {
  errorCode,
  fileError,
  makeDirectory,
  privateFileMode,
  syncDirectory
} from "../../adapters/disk/PrivateFiles.ts"
import { holdLock } from "../../adapters/disk/ProcessLock.ts"
import { statePaths } from "../../adapters/disk/StateDirectory.ts"
import {
  type ChainHead,
  ChainName,
  cutOff,
  emptyHead,
  headOf,
  linkAfter,
  linkLine,
  readLink,
  swapped
} from "../../domain/install/Audit.ts"
import { Audit, type AuditRecord, type AuditWriter, lookAgain } from "../../ports/Audit.ts"
import { InstallStore } from "../../ports/InstallStore.ts"
import { StoreError } from "../../ports/StoreError.ts"
import { unending } from "../../ports/Unending.ts"

/** Chains of one kind of process: more than will ever write at once. */
const maxChains = 9_999
/** How often the end of the chain is written down elsewhere. */
const headEvery = "1 minute"
const suffix = ".jsonl"
const chunkBytes = 256 * 1024

const isChain = Schema.is(ChainName)

async function* linesOf(file: string): AsyncGenerator<string> {
  let handle: fs.promises.FileHandle
  try {
    handle = await fs.promises.open(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW)
  } catch (cause) {
    if (errorCode(cause) === "ENOENT") return
    throw cause
  }
  try {
    let rest = Buffer.alloc(0)
    for (;;) {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(chunkBytes), 0, chunkBytes)
      if (bytesRead === 0) break
      rest = Buffer.concat([rest, buffer.subarray(0, bytesRead)])
      let at = 0
      for (let end = rest.indexOf(10, at); end >= 0; end = rest.indexOf(10, at)) {
        yield rest.toString("utf8", at, end)
        at = end + 1
      }
      rest = rest.subarray(at)
    }
    // A line without its end was never confirmed to anybody: its writer was killed, and the next one cuts it off.
  } finally {
    await handle.close()
  }
}

const linesFrom = (file: string): Stream.Stream<string, StoreError> =>
  Stream.suspend(() => Stream.fromAsyncIterable(linesOf(file), fileError("Audit", "lines")))

interface Pending {
  readonly entry: AuditRecord
  readonly at: number
  readonly written: Deferred.Deferred<void, StoreError> | undefined
}

/** A chain that this process writes. */
interface Own {
  readonly file: string
  head: ChainHead
  /** Bytes of what was confirmed. */
  size: number
}

const make = Effect.fnUntraced(function*(root: string, writer: AuditWriter) {
  const { audit: directory, run } = statePaths(root)
  const store = yield* InstallStore
  const scope = yield* Effect.scope
  const fileOf = (chain: ChainName): string => path.join(directory, `${chain}${suffix}`)

  /** The chain as it ends, cut to its last whole line; or why it must not be gone on with. */
  const opened = Effect.fnUntraced(function*(chain: ChainName, kept: ChainHead | undefined) {
    const file = fileOf(chain)
    let head = emptyHead(chain)
    let size = 0
    let broken = ""
    yield* Stream.runForEachWhile(linesFrom(file), (line) =>
      Effect.sync(() => {
        const read = readLink(head, line)
        const wrong = Result.isFailure(read)
          ? read.failure
          : kept === undefined
          ? undefined
          : swapped(read.success, kept)
        if (wrong !== undefined) broken = `link ${wrong.number}: ${wrong.why}`
        else if (Result.isSuccess(read)) {
          head = headOf(read.success)
          size += Buffer.byteLength(line) + 1
        }
        return broken === ""
      }))
    const cut = kept === undefined ? undefined : cutOff(head, kept)
    if (broken === "" && cut !== undefined) broken = `link ${cut.number}: ${cut.why}`
    if (broken !== "") {
      yield* Effect.logError("a chain of the audit is broken; another one is begun, and this one left as it is").pipe(
        Effect.annotateLogs({ chain, why: broken })
      )
      return undefined
    }
    yield* Effect.try({
      try: () => {
        makeDirectory(directory)
        fs.closeSync(fs.openSync(file, "a", privateFileMode))
        if (fs.statSync(file).size > size) fs.truncateSync(file, size)
        syncDirectory(directory)
      },
      catch: fileError("Audit", "record")
    })
    return { file, head, size } satisfies Own
  })

  /** The first chain of this kind that nobody else writes. Held until the process ends. */
  const acquire = Effect.gen(function*() {
    const kept = new Map((yield* store.heads).map((head) => [head.chain, head]))
    for (let n = 1; n <= maxChains; n++) {
      const chain = ChainName.make(`${writer}-${n}`)
      makeDirectory(run)
      const held = yield* holdLock(path.join(run, `audit-${chain}.lock`), "writes this chain of the audit").pipe(
        Scope.provide(scope),
        Effect.as(true),
        Effect.catchIf((error) => error.code === "KM-ENG-008", () => Effect.succeed(false)),
        Effect.mapError((cause) =>
          new StoreError({ port: "Audit", operation: "record", reason: "Denied", detail: cause.message, cause })
        )
      )
      if (!held) continue
      const own = yield* opened(chain, kept.get(chain))
      if (own !== undefined) return own
    }
    return yield* new StoreError({
      port: "Audit",
      operation: "record",
      reason: "Unavailable",
      detail: `${maxChains} chains of ${writer} are in use or broken`,
      cause: undefined
    })
  })

  let own: Own | undefined
  const ownChain = Effect.suspend(() =>
    own === undefined ? Effect.tap(acquire, (got) => Effect.sync(() => own = got)) : Effect.succeed(own)
  )

  const append = Effect.fnUntraced(function*(batch: ReadonlyArray<Pending>) {
    const to = yield* ownChain
    let head = to.head
    let text = ""
    for (const { at, entry } of batch) {
      const link = linkAfter(head, { at, ...entry })
      text += `${linkLine(link)}\n`
      head = headOf(link)
    }
    const bytes = Buffer.from(text)
    yield* Effect.tryPromise({
      try: async () => {
        const handle = await fs.promises.open(to.file, "r+")
        try {
          // What an earlier failure left half written.
          await handle.truncate(to.size)
          await handle.write(bytes, 0, bytes.length, to.size)
          await handle.datasync()
        } finally {
          await handle.close()
        }
      },
      catch: fileError("Audit", "record")
    })
    to.head = head
    to.size += bytes.length
  })

  const queue = yield* Queue.make<Pending>({ capacity: 4_096 })
  const write = (batch: ReadonlyArray<Pending>) =>
    Effect.gen(function*() {
      const result = yield* Effect.exit(append(batch))
      if (Exit.isFailure(result) && batch.some(({ written }) => written === undefined)) {
        yield* Effect.logError("allowed requests are missing from the audit", result.cause)
      }
      for (const { written } of batch) if (written !== undefined) yield* Deferred.done(written, result)
    })
  // What was taken is written: an end cannot come between the two.
  const loop = yield* Effect.forkScoped(
    unending(
      "writing the audit ended in a defect; it goes on",
      0,
      Effect.uninterruptibleMask((restore) => Effect.flatMap(restore(Queue.takeAll(queue)), write))
    )
  )

  let keptHead: ChainHead | undefined
  const keepHead = Effect.suspend(() => {
    const head = own?.head
    if (head === undefined || head === keptHead || head.length === 0) return Effect.void
    return Effect.tap(store.putHead(head), () => Effect.sync(() => keptHead = head))
  }).pipe(Effect.catch((error) => Effect.logError("the end of the audit could not be written down", error.message)))
  yield* Effect.forkScoped(
    unending("noting the end of the audit ended in a defect; it goes on", 0, Effect.delay(keepHead, headEvery))
  )

  // What is still in the queue is written, and where the chain ends is noted, before the lock is given back.
  yield* Effect.addFinalizer(() =>
    Fiber.interrupt(loop).pipe(
      Effect.andThen(Queue.clear(queue)),
      Effect.flatMap((rest) => rest.length === 0 ? Effect.void : write(rest)),
      Effect.andThen(keepHead)
    )
  )

  const offer = (entry: AuditRecord, written: Deferred.Deferred<void, StoreError> | undefined) =>
    Effect.flatMap(Clock.currentTimeMillis, (at) => Queue.offer(queue, { at, entry, written }))

  return Audit.of({
    record: Effect.fn("Audit.record")(function*(entry) {
      const written = yield* Deferred.make<void, StoreError>()
      yield* offer(entry, written)
      yield* Deferred.await(written)
    }),
    note: (entry) => Effect.asVoid(offer(entry, undefined)),
    chains: Effect.try({
      try: () =>
        fs.existsSync(directory)
          ? fs.readdirSync(directory).flatMap((name) => {
            const chain = name.slice(0, -suffix.length)
            return name.endsWith(suffix) && isChain(chain) ? [chain] : []
          }).toSorted()
          : [],
      catch: fileError("Audit", "chains")
    }),
    lines: (chain, count) => Stream.drop(linesFrom(fileOf(chain)), count),
    appended: Effect.callback<void>((resume) => {
      const done = () => resume(Effect.void)
      // Without a watcher the next look comes by itself.
      if (!fs.existsSync(directory)) return
      const watcher = fs.watch(directory, { persistent: false }, done)
      watcher.on("error", done)
      return Effect.sync(() => watcher.close())
    }).pipe(Effect.timeoutOrElse({ duration: lookAgain, orElse: () => Effect.void }))
  })
})

/** Makes and locks nothing before something is recorded. */
export const layer = (root: string, writer: AuditWriter): Layer.Layer<Audit, never, InstallStore> =>
  Layer.effect(Audit, make(root, writer))
