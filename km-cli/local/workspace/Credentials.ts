/**
 * How another process finds a workspace and gets in: a file that only its owner can read, because it holds every
 * token of the workspace.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import type { WorkspaceHandle } from "./Workspace.ts"
import { WorkspaceError } from "./WorkspaceError.ts"

/** What the file holds. `people` is by name; a person's token posts as if that person typed. */
export const Credentials = Schema.Struct({
  url: Schema.String,
  apiUrl: Schema.String,
  botToken: Schema.String,
  appToken: Schema.String,
  signingSecret: Schema.String,
  controlToken: Schema.String,
  teamId: Schema.String,
  appId: Schema.String,
  botUserId: Schema.String,
  botId: Schema.String,
  people: Schema.Record(Schema.String, Schema.Struct({ userId: Schema.String, token: Schema.String }))
})
export type Credentials = typeof Credentials.Type

const CredentialsJson = Schema.fromJsonString(Credentials)
const decode = Schema.decodeEffect(CredentialsJson)
const encode = Schema.encodeEffect(CredentialsJson)

const unreadable = (path: string, why: string) =>
  new WorkspaceError({
    reason: "credentials",
    detail: `the credentials file ${path} cannot be used: ${why}.`,
    remedy: "Start the workspace again; it writes the file anew."
  })

/** The credentials of a running workspace. */
export const credentialsOf = (workspace: WorkspaceHandle): Credentials => ({
  url: workspace.url,
  apiUrl: workspace.apiUrl,
  botToken: workspace.botToken,
  appToken: workspace.appToken,
  signingSecret: workspace.signingSecret,
  controlToken: workspace.controlToken,
  teamId: workspace.teamId,
  appId: workspace.appId,
  botUserId: workspace.botUserId,
  botId: workspace.botId,
  people: Object.fromEntries(workspace.people)
})

/** Writes the file whole or not at all, mode 0600; it goes away with the scope, because its tokens do. */
export const writeCredentials = Effect.fn("Credentials.write")(function*(path: string, credentials: Credentials) {
  const fs = yield* FileSystem.FileSystem
  const failed = (error: { readonly message: string }) => unreadable(path, error.message)
  const text = yield* encode(credentials).pipe(Effect.mapError(failed))
  const draft = `${path}.new`
  yield* Effect.gen(function*() {
    yield* fs.remove(draft, { force: true })
    yield* fs.writeFileString(draft, text, { flag: "wx", mode: 0o600 })
    yield* fs.rename(draft, path)
  }).pipe(Effect.mapError(failed))
  yield* Effect.addFinalizer(() => Effect.ignore(fs.remove(path, { force: true })))
})

/** Reads what `writeCredentials` wrote. */
export const readCredentials = Effect.fn("Credentials.read")(function*(path: string) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* fs.readFileString(path).pipe(Effect.mapError((error) => unreadable(path, error.message)))
  return yield* decode(text).pipe(Effect.mapError((error) => unreadable(path, error.message)))
})
