/**
 * People's files on the sandbox's disk: `inbox/{message}/{name}` beside home and workspace, where the agent reads and
 * cannot write, so nothing that we write there can be led elsewhere. A file is there whole or not at all, for as long as the
 * conversation that it was sent in.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import * as path from "node:path"

/** Where the jail shows the inbox. */
export const inboxInJail = "/run/km/inbox"

/** Bytes of all files: twenty of the largest that a thread takes (`slackMaxFileMegabytes`). */
export const maxInboxBytes = 20 * 100 * 1024 * 1024

/** `full`: the disk; `cap`: what an inbox may hold. */
export class InboxFailed extends Schema.TaggedError<InboxFailed>()("InboxFailed", {
  reason: Schema.Literals(["full", "cap", "other"]),
  detail: Schema.String
}) {
  override get message(): string {
    return `a file could not be written into the inbox: ${this.detail}`
  }
}

const failed = (cause: unknown) => {
  const code = String(Object(cause)["code"] ?? "")
  return new InboxFailed({
    reason: code === "ENOSPC" || code === "EDQUOT" ? "full" : "other",
    detail: code === "" ? String(cause) : code
  })
}

const tried = <A>(act: () => A) => Effect.try({ try: act, catch: failed })
const promised = <A>(act: () => Promise<A>) => Effect.tryPromise({ try: act, catch: failed })

export interface Inbox {
  readonly directory: string
  /** Size of a file that is there. */
  readonly sizeOf: (message: string, name: string) => Effect.Effect<number | undefined, InboxFailed>
  /** Synced to disk when it returns; nothing is left of one that fails. `size` is what it takes of `maxInboxBytes`. */
  readonly put: <E>(
    message: string,
    name: string,
    bytes: Stream.Stream<Uint8Array, E>,
    size: number
  ) => Effect.Effect<void, E | InboxFailed>
  /** The files of a message belong to this conversation; those of the same thread's earlier ones go. */
  readonly belongs: (message: string, to: { readonly thread: string; readonly session: string }) => Effect.Effect<
    void,
    InboxFailed
  >
}

const sizeBelow = (directory: string): number =>
  fs.readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { name, parentPath }) => sum + (fs.statSync(path.join(parentPath, name)).size), 0)

const readOwner = (file: string): string => {
  try {
    return fs.readFileSync(file, "utf8")
  } catch {
    // Removed meanwhile, or never written whole: nobody's.
    return ""
  }
}

/** `state` is the sandbox's own directory. What a crash left half written is taken away. */
export const openInbox = Effect.fnUntraced(function*(state: string, maxBytes = maxInboxBytes) {
  const directory = path.join(state, "inbox")
  const partial = path.join(state, "inbox-partial")
  /** For each message, its thread and the session that its files were given to; the agent does not see it. */
  const owners = path.join(state, "inbox-owners")
  let used = yield* tried(() => {
    fs.rmSync(partial, { recursive: true, force: true })
    for (const one of [directory, partial, owners]) fs.mkdirSync(one, { recursive: true, mode: 0o700 })
    return sizeBelow(directory)
  })
  let count = 0

  const belongs: Inbox["belongs"] = (message, { session, thread }) =>
    tried(() => {
      fs.writeFileSync(path.join(owners, message), `${thread} ${session}`, { mode: 0o600 })
      for (const other of fs.readdirSync(owners)) {
        const owner = readOwner(path.join(owners, other))
        if (!owner.startsWith(`${thread} `) || owner === `${thread} ${session}`) continue
        const place = path.join(directory, other)
        if (fs.existsSync(place)) {
          const bytes = sizeBelow(place)
          fs.rmSync(place, { recursive: true, force: true })
          used -= bytes
        }
        fs.rmSync(path.join(owners, other), { force: true })
      }
    })

  const put = <E>(message: string, name: string, bytes: Stream.Stream<Uint8Array, E>, size: number) =>
    Effect.suspend(() => {
      if (used + size > maxBytes) {
        return Effect.fail(new InboxFailed({ reason: "cap", detail: `it holds ${used} of ${maxBytes} bytes` }))
      }
      used += size
      return Effect.onError(written(message, name, bytes), () =>
        Effect.sync(() => {
          used -= size
        }))
    })

  const written = <E>(message: string, name: string, bytes: Stream.Stream<Uint8Array, E>) =>
    Effect.suspend(() => {
      const temporary = path.join(partial, String(++count))
      return Effect.acquireUseRelease(
        promised(() => fs.promises.open(temporary, "wx", 0o600)),
        (handle) =>
          Stream.runForEach(bytes, (chunk) => promised(() => handle.writeFile(chunk))).pipe(
            Effect.andThen(promised(async () => {
              await handle.sync()
              const place = path.join(directory, message)
              await fs.promises.mkdir(place, { recursive: true, mode: 0o700 })
              await fs.promises.rename(temporary, path.join(place, name))
            }))
          ),
        (handle) =>
          Effect.ignore(promised(async () => {
            await handle.close()
            await fs.promises.rm(temporary, { force: true })
          }))
      )
    })
  const inbox: Inbox = {
    directory,
    sizeOf: (message, name) =>
      tried(() => fs.statSync(path.join(directory, message, name), { throwIfNoEntry: false })?.size),
    put,
    belongs
  }
  return inbox
})
