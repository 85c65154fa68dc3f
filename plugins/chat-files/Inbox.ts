/**
 * People's files on the sandbox's disk: `inbox/{message}/{name}` beside home and workspace, where the agent reads and
 * cannot write, so nothing that we write there can be led elsewhere. A file is there whole or not at all.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import * as path from "node:path"

/** Where the jail shows the inbox. */
export const inboxInJail = "/run/km/inbox"

export class InboxFailed extends Schema.TaggedError<InboxFailed>()("InboxFailed", {
  reason: Schema.Literals(["full", "other"]),
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
  /** Synced to disk when it returns; nothing is left of one that fails. */
  readonly put: <E>(
    message: string,
    name: string,
    bytes: Stream.Stream<Uint8Array, E>
  ) => Effect.Effect<void, E | InboxFailed>
}

/** `state` is the sandbox's own directory. What a crash left half written is taken away. */
export const openInbox = Effect.fnUntraced(function*(state: string) {
  const directory = path.join(state, "inbox")
  const partial = path.join(state, "inbox-partial")
  yield* tried(() => {
    fs.rmSync(partial, { recursive: true, force: true })
    for (const one of [directory, partial]) fs.mkdirSync(one, { recursive: true, mode: 0o700 })
  })
  let count = 0
  const put = <E>(message: string, name: string, bytes: Stream.Stream<Uint8Array, E>) =>
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
    put
  }
  return inbox
})
