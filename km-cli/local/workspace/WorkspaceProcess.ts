/**
 * A workspace as a process of its own, for `km up` and `km demo`: options come in as JSON (never on the command line,
 * they hold secrets), one line goes out when it is ready, tokens go into a file that only the owner reads.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { credentialsOf, writeCredentials } from "./Credentials.ts"
import { start } from "./Workspace.ts"
import { WorkspaceError } from "./WorkspaceError.ts"
import { WorkspaceOptions } from "./WorkspaceOptions.ts"

/**
 * `optionsFile` is a path; without it the first line of standard input is read. `credentialsFile` is where the
 * tokens go (0600, removed at the end). With `endWithStdin` the workspace ends when standard input does, so that it
 * never outlives a parent that was killed; without, on SIGTERM or SIGINT only.
 */
export interface ProcessOptions {
  readonly optionsFile?: string
  readonly credentialsFile: string
  readonly endWithStdin: boolean
}

/** Options are a few hundred bytes; more than this is a mistake. */
const maxOptionCharacters = 1_000_000

const decode = Schema.decodeEffect(Schema.fromJsonString(WorkspaceOptions))

const unreadable = (detail: string) =>
  new WorkspaceError({
    reason: "options",
    detail: `the options of the workspace process cannot be read: ${detail}.`,
    remedy: "Give one line of JSON on standard input, or a file with --options."
  })

/**
 * Runs until the process is told to end; the scope of the caller closes the workspace. Standard output gets exactly
 * one line, `{"url":…,"apiUrl":…,"teamId":…,"appId":…,"botUserId":…,"credentialsFile":…}`, once it is ready.
 */
export const runWorkspaceProcess = Effect.fn("WorkspaceProcess.run")(function*(options: ProcessOptions) {
  const stdio = yield* Stdio.Stdio
  const fs = yield* FileSystem.FileSystem
  const scope = yield* Scope.Scope
  const ended = yield* Deferred.make<void>()
  const firstLine = yield* Deferred.make<string, WorkspaceError>()
  if (options.optionsFile === undefined || options.endWithStdin) {
    let text = ""
    yield* stdio.stdin.pipe(
      Stream.decodeText,
      Stream.runForEach((part) => {
        text += part
        const end = text.indexOf("\n")
        if (end >= 0) return Effect.asVoid(Deferred.succeed(firstLine, text.slice(0, end)))
        return text.length > maxOptionCharacters
          ? Effect.asVoid(Deferred.fail(firstLine, unreadable("they are longer than 1 MB")))
          : Effect.void
      }),
      Effect.catch((error) => Deferred.fail(firstLine, unreadable(error.message))),
      // Options without a line end are complete when the input ends.
      Effect.andThen(Effect.suspend(() => Deferred.succeed(firstLine, text))),
      Effect.andThen(Deferred.succeed(ended, undefined)),
      Effect.forkIn(scope)
    )
  }
  const text = options.optionsFile === undefined
    ? yield* Deferred.await(firstLine)
    : yield* fs.readFileString(options.optionsFile).pipe(Effect.mapError((error) => unreadable(error.message)))
  const decoded = yield* decode(text).pipe(Effect.mapError((error) => unreadable(error.message)))
  const workspace = yield* start(decoded)
  yield* writeCredentials(options.credentialsFile, credentialsOf(workspace))
  const line = JSON.stringify({
    url: workspace.url,
    apiUrl: workspace.apiUrl,
    teamId: workspace.teamId,
    appId: workspace.appId,
    botUserId: workspace.botUserId,
    credentialsFile: options.credentialsFile
  })
  yield* Stream.make(`${line}\n`).pipe(
    Stream.run(stdio.stdout({ endOnDone: false })),
    Effect.mapError((error) => unreadable(error.message))
  )
  return yield* options.endWithStdin ? Deferred.await(ended) : Effect.never
}, Effect.scoped)
