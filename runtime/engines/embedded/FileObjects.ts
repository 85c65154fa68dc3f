/** Objects as files below their owner's directory. Names are encoded, so none of them can lead out of it. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import {
  errorCode,
  fileEffect,
  fileError,
  makeDirectory,
  privateFileMode,
  pruneEmpty,
  syncDirectory,
  temporaryBeside
} from "../../adapters/disk/PrivateFiles.ts"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import { ObjectMissing, Objects, objectSegments } from "../../ports/Objects.ts"
import { StoreError } from "../../ports/StoreError.ts"

/** A stored name never begins with a dot, so temporary files cannot collide with it. */
const encodeSegment = (segment: string): string => encodeURIComponent(segment).replace(/^\./, "%2E")

/** Ends a directory's name, so that `a` and `a/b` can both be objects; encoded, no segment holds it. */
const directoryMark = "="

const relativePath = (segments: ReadonlyArray<string>): string =>
  path.join(...segments.map((segment, n) => encodeSegment(segment) + (n < segments.length - 1 ? directoryMark : "")))

const chunkBytes = 64 * 1024

const promised = <A>(operation: string, act: () => Promise<A>): Effect.Effect<A, StoreError> =>
  Effect.tryPromise({ try: act, catch: fileError("Objects", operation) })

const fileNames = (directory: string, prefix: ReadonlyArray<string>): ReadonlyArray<string> => {
  let entries: ReadonlyArray<fs.Dirent>
  try {
    entries = fs.readdirSync(path.join(directory, ...prefix), { withFileTypes: true })
  } catch (cause) {
    if (errorCode(cause) === "ENOENT") return []
    throw cause
  }
  return entries.filter(({ name }) => !name.startsWith(".")).flatMap((entry) =>
    entry.isDirectory()
      ? fileNames(directory, [...prefix, entry.name])
      : [[...prefix.map((name) => name.slice(0, -directoryMark.length)), entry.name].map(decodeURIComponent).join("/")]
  )
}

/** A link in the place of an object is refused, whoever put it there. */
const readFlags = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW

async function* chunksOf(file: string): AsyncGenerator<Uint8Array> {
  const handle = await fs.promises.open(file, readFlags)
  try {
    for (;;) {
      const { buffer, bytesRead } = await handle.read(new Uint8Array(chunkBytes), 0, chunkBytes)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}

const readFile = (file: string, name: string): Stream.Stream<Uint8Array, StoreError | ObjectMissing> =>
  Stream.suspend(() =>
    Stream.fromAsyncIterable(
      chunksOf(file),
      (cause) => errorCode(cause) === "ENOENT" ? new ObjectMissing({ name }) : fileError("Objects", "get")(cause)
    )
  )

const write = (file: string, bytes: Stream.Stream<Uint8Array, StoreError>) => {
  const temporary = temporaryBeside(file)
  return Effect.acquireUseRelease(
    promised("put", () => {
      makeDirectory(path.dirname(file))
      return fs.promises.open(temporary, "wx", privateFileMode)
    }),
    Effect.fnUntraced(function*(handle) {
      const hash = createHash("sha256")
      let size = 0
      yield* Stream.runForEach(bytes, (chunk) =>
        promised("put", async () => {
          hash.update(chunk)
          size += chunk.length
          await handle.writeFile(chunk)
        }))
      yield* promised("put", async () => {
        await handle.sync()
        await fs.promises.rename(temporary, file)
        syncDirectory(path.dirname(file))
      })
      return { size, sha256: hash.digest("hex") }
    }),
    // After the rename there is nothing left to remove.
    (handle) =>
      Effect.ignore(promised("put", async () => {
        await handle.close()
        await fs.promises.rm(temporary, { force: true })
      }))
  )
}

const make = (root: string): Objects["Service"] => {
  const directoryOf = (owner: SandboxId) => path.join(root, owner)
  const located = (operation: string, owner: SandboxId, name: string) =>
    Effect.map(
      objectSegments(operation, name),
      (segments) => path.join(directoryOf(owner), relativePath(segments))
    )

  return Objects.of({
    put: Effect.fn("Objects.put")(function*(owner, name, bytes) {
      return yield* write(yield* located("put", owner, name), bytes)
    }),
    get: (owner, name) => Stream.unwrap(Effect.map(located("get", owner, name), (file) => readFile(file, name))),
    // Files of this machine have no address of their own.
    link: (_, name) => Effect.as(objectSegments("link", name), Option.none()),
    list: (owner) => fileEffect("Objects", "list", () => fileNames(directoryOf(owner), []).toSorted()),
    delete: Effect.fnUntraced(function*(owner, name) {
      const file = yield* located("delete", owner, name)
      yield* fileEffect("Objects", "delete", () => {
        fs.rmSync(file, { force: true })
        pruneEmpty(path.dirname(file), directoryOf(owner))
      })
    }),
    deleteAll: (owner) =>
      fileEffect("Objects", "deleteAll", () => fs.rmSync(directoryOf(owner), { recursive: true, force: true }))
  })
}

/** `directory` is the state directory's `objects/`. An object is synced to disk once `put` succeeds. */
export const layer = (directory: string): Layer.Layer<Objects> => Layer.sync(Objects, () => make(directory))
