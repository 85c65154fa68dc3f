/** From a message's files to files in the inbox: the bridge fetches, the inbox keeps, the thread hears what did not come. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import type { FetchedFile } from "../../runtime/domain/slack/FetchedFile.ts"
import type { TurnFile, TurnRow } from "../../runtime/domain/turn/Turn.ts"
import type { Bridge } from "../../runtime/ports/Bridge.ts"
import type { Objects } from "../../runtime/ports/Objects.ts"
import { type Arrived, missing, nameIn, noRoom, noticeOf, promptOf, unexplained } from "./fileWords.ts"
import type { Inbox } from "./Inbox.ts"
import { ownNames, safeName } from "./inboxNames.ts"

/** Files of one message that are under way at the same time. */
const atOnce = 3

export interface IncomingParts {
  readonly sandbox: SandboxId
  readonly bridge: Bridge["Service"]
  readonly objects: Objects["Service"]
  readonly inbox: Inbox
  /** The inbox as the agent sees it. */
  readonly shownAt: string
  readonly background: (effect: Effect.Effect<void>) => Effect.Effect<void>
}

/** What of a message is a directory's name. */
const placeOf = (ts: string): string => ts.replace(".", "-")

/** The lines that tell a turn's agent where the files of its message lie; they lie there when it returns. */
export const makeIncoming = ({ background, bridge, inbox, objects, sandbox, shownAt }: IncomingParts) => {
  const fetch = Effect.fnUntraced(function*(row: TurnRow, file: TurnFile, again: string) {
    const { origin } = row.request
    if (origin.kind !== "slack") return undefined
    return (yield* bridge.call({
      key: `${row.key}/file/${file.id}${again}`,
      action: { action: "file.get", channel: origin.channel, ts: origin.ts, file: file.id }
    })).fetched
  })

  /** Moves the object into the inbox; `lost` when an earlier life had it and it is in neither place. */
  const keep = Effect.fnUntraced(function*(
    place: string,
    name: string,
    { object, size }: Extract<FetchedFile, { readonly state: "stored" }>
  ) {
    if ((yield* inbox.sizeOf(place, name)) !== size) {
      const kept = yield* inbox.put(place, name, objects.get(sandbox, object), size).pipe(
        Effect.as(true),
        Effect.catchTag("ObjectMissing", () => Effect.succeed(false))
      )
      if (!kept) return "lost" as const
    }
    yield* Effect.ignore(objects.delete(sandbox, object))
    return "kept" as const
  })

  const arrive = Effect.fnUntraced(
    function*(row: TurnRow, file: TurnFile, fetched: FetchedFile | undefined, name: string) {
      const { origin } = row.request
      if (origin.kind !== "slack") return unexplained(name, "it is of no message of Slack's")
      let found = fetched
      for (const again of ["/again", undefined]) {
        if (found === undefined) break
        if (found.state === "refused") return missing(name, found.why)
        if (found.state === "elsewhere") return { _tag: "Elsewhere" as const, name, url: found.url }
        const place = placeOf(origin.ts)
        const { mimeType, size } = found
        if ((yield* keep(place, name, found)) === "kept") {
          return { _tag: "There" as const, name, path: `${shownAt}/${place}/${name}`, mimeType, size }
        }
        if (again !== undefined) found = yield* fetch(row, file, again)
      }
      return unexplained(name, "it could not be fetched")
    },
    (effect, _row, _file, _fetched, name) =>
      effect.pipe(
        Effect.catchTags({
          BridgeRefused: (error) => Effect.succeed(unexplained(name, `the bridge refused it, ${error.code}`)),
          InboxFailed: (error) =>
            Effect.as(
              Effect.logWarning("a file could not be kept", error.message),
              error.reason === "full"
                ? missing(name, "disk_full")
                : error.reason === "cap"
                ? noRoom(name)
                : unexplained(name, "it could not be written")
            ),
          StoreError: (error) =>
            Effect.as(
              Effect.logWarning("a file could not be kept", error.message),
              error.reason === "Full" ? missing(name, "disk_full") : unexplained(name, "it could not be read")
            )
        })
      )
  )

  return Effect.fn("ChatFiles.gather")(function*(row: TurnRow) {
    const { files, origin } = row.request
    if (origin.kind !== "slack") return []
    // A conversation that begins anew in a thread takes nothing over.
    const inThread = origin.threadTs !== origin.ts && !row.resumed
    if (row.session !== undefined && (inThread || files.length > 0)) {
      yield* inbox.belongs(placeOf(origin.ts), { thread: origin.threadTs, session: row.session }).pipe(
        Effect.catch((error) => Effect.logWarning("files of an earlier conversation stay", error.message))
      )
    }
    if (files.length === 0) return []
    const fetched = yield* Effect.forEach(
      files,
      (file) =>
        fetch(row, file, "").pipe(
          Effect.map((result) => ({ file, result, why: "" })),
          Effect.catch((error) => Effect.succeed({ file, result: undefined, why: error.code }))
        ),
      { concurrency: atOnce }
    )
    const names = ownNames(fetched.map(({ file, result }) => nameIn(result, file.name)))
    const arrived: ReadonlyArray<Arrived> = yield* Effect.forEach(
      fetched,
      ({ file, result, why }, n) => {
        const name = names[n] ?? safeName(file.name)
        return why === ""
          ? arrive(row, file, result, name)
          : Effect.succeed(unexplained(name, `the bridge refused it, ${why}`))
      },
      { concurrency: atOnce }
    )
    const markdown = noticeOf(arrived)
    if (markdown !== undefined) {
      const { channel, threadTs } = origin
      yield* background(
        bridge.call({ key: `${row.key}/files/0`, action: { action: "post", channel, threadTs, markdown } }).pipe(
          Effect.asVoid,
          Effect.catch((error) => Effect.logWarning("the thread was not told of a file", error.message))
        )
      )
    }
    return promptOf(arrived)
  })
}

/** The turn that a thread's agent works on now. */
export const runningIn = (rows: ReadonlyArray<TurnRow>, threadTs: string): Option.Option<TurnRow> =>
  Option.fromNullishOr(
    rows.find(({ request: { origin }, state }) =>
      (state === "starting" || state === "running") && origin.kind === "slack" && origin.threadTs === threadTs
    )
  )
