/**
 * Files of people for agents: fetched with our token, streamed into an object of the sender's, and given away only where
 * the file stands in the sender's own channel. What Slack or its sender says of a file (type, size, name) is a claim.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { ChannelId, SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import type { BridgeResult, FileGetAction } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { type FetchedFile, FileRefusal } from "../../runtime/domain/slack/FetchedFile.ts"
import { Objects } from "../../runtime/ports/Objects.ts"
import { StoreError } from "../../runtime/ports/StoreError.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"
import { FileDownload } from "../slack/FileDownload.ts"
import { callAs, SlackApi } from "../slack/SlackApi.ts"
import { refusalOfSlack, type SlackFailure } from "../slack/SlackErrors.ts"
import type { Caller } from "./Authenticator.ts"
import { uploadLeaseMillis } from "./Once.ts"
import { Ownership } from "./Ownership.ts"

/** Transfers at the same time. */
const maxTransfers = 3
/** For one file, waiting for a place included; below the client's patience, so that it hears of it. */
const fetchMillis = uploadLeaseMillis - 70_000
/** Pauses between looks for where a file stands: Slack shares it a moment after it tells of it (bolt-js#2115). */
const looks = [0, 500, 1_000, 2_000, 4_000] as const

const optional = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))
const Names = optional(Schema.Record(Schema.String, Schema.Unknown))
/** Source: docs.slack.dev/reference/objects/file-object, read 2026-11. */
const Described = Schema.Struct({
  id: Schema.String,
  name: optional(Schema.String),
  title: optional(Schema.String),
  mimetype: optional(Schema.String),
  filetype: optional(Schema.String),
  mode: optional(Schema.String),
  is_external: optional(Schema.Boolean),
  file_access: optional(Schema.String),
  url_private: optional(Schema.String),
  url_private_download: optional(Schema.String),
  channels: optional(Schema.Array(Schema.String)),
  groups: optional(Schema.Array(Schema.String)),
  shares: optional(Schema.Struct({ public: Names, private: Names }))
})
type Described = typeof Described.Type
const Info = Schema.Struct({ file: Described })
const Page = Schema.Struct({
  messages: Schema.optionalKey(Schema.Array(Schema.Struct({
    ts: Schema.optionalKey(Schema.String),
    files: optional(Schema.Array(Schema.Unknown))
  })))
})
const decodeDescribed = Schema.decodeUnknownOption(Described)

/** Modes without bytes: what people edit in Slack itself. */
const withoutBytes: ReadonlySet<string> = new Set(["quip", "canvas", "list", "space", "docs"])

const standsIn = (file: Described, channel: ChannelId): boolean =>
  (file.channels ?? []).includes(channel) || (file.groups ?? []).includes(channel) ||
  Object.hasOwn(file.shares?.public ?? {}, channel) || Object.hasOwn(file.shares?.private ?? {}, channel)

const isPage = (type: string): boolean => type === "text/html" || type === "application/xhtml+xml"

/** A page is what the person meant only where the file is one by its own account. */
const meansPage = (file: Described): boolean => isPage(file.mimetype ?? "") || file.filetype === "html"

const nameOf = (file: Described): string => (file.name || file.title || "file").slice(0, 255)

class Refused extends Schema.TaggedError<Refused>()("FileNotFetched", { why: FileRefusal }) {}

/** Nothing was changed by asking, so asking again leaves no doubt. */
const passing = (failure: SlackFailure) => new BridgeRefusal({ ...refusalOfSlack(failure), uncertain: false })

const done = (fetched: FetchedFile): BridgeResult => ({ ok: true, fetched })

export class FetchedFiles extends Context.Service<FetchedFiles, {
  readonly get: (caller: Caller, action: typeof FileGetAction.Type) => Effect.Effect<BridgeResult, BridgeRefusal>
}>()("km/bridge/actions/FetchedFiles") {
  static readonly layer = Layer.effect(
    FetchedFiles,
    Effect.gen(function*() {
      const slack = yield* SlackApi
      const download = yield* FileDownload
      const objects = yield* Objects
      const ownership = yield* Ownership
      const transfers = yield* Semaphore.make(maxTransfers)
      const callInfo = callAs(slack, Info)
      const callPage = callAs(slack, Page)

      /** The file as Slack knows it, or why not. */
      const described = Effect.fnUntraced(function*(file: string) {
        const answer = yield* Effect.result(callInfo("files.info", { file }))
        if (answer._tag === "Success") return answer.success.file
        const failure = answer.failure
        if (failure.kind !== "Refused") return yield* passing(failure)
        return failure.error === "file_not_found" || failure.error === "file_deleted"
          ? "gone" as const
          : "no_access" as const
      })

      /** Messages have whole files, also where the file itself does not say yet where it stands. */
      const inMessage = Effect.fnUntraced(function*({ channel, file, ts }: typeof FileGetAction.Type) {
        const page = yield* callPage("conversations.replies", { channel, ts, latest: ts, inclusive: true, limit: 1 })
          .pipe(
            Effect.catchIf((failure) => failure.kind === "Refused", () => Effect.succeed<typeof Page.Type>({})),
            Effect.mapError(passing)
          )
        return (page.messages ?? []).filter((message) => message.ts === ts)
          .flatMap(({ files }) => files ?? [])
          .flatMap((one) => Option.toArray(decodeDescribed(one)))
          .find(({ id }) => id === file)
      })

      /** The file, once it is known to stand in the sender's channel. */
      const located = Effect.fnUntraced(function*(action: typeof FileGetAction.Type) {
        for (const pause of looks) {
          yield* Effect.sleep(pause)
          const file = yield* described(action.file)
          if (typeof file === "string" || standsIn(file, action.channel)) return file
        }
        return (yield* inMessage(action)) ?? "not_here" as const
      })

      const stored = Effect.fnUntraced(
        function*(owner: SandboxId, ts: string, file: Described, address: string, maxBytes: number) {
          const answer = yield* Effect.mapError(download.open(address), passing)
          if (answer._tag === "Foreign") return yield* new Refused({ why: "foreign_address" })
          if (answer._tag === "Refused") {
            return yield* new Refused({ why: answer.status === 404 || answer.status === 410 ? "gone" : "no_access" })
          }
          const { bytes, length, redirected, type } = answer
          if (isPage(type) && (redirected || !meansPage(file))) return yield* new Refused({ why: "sign_in" })
          if (length !== undefined && length > maxBytes) return yield* new Refused({ why: "too_large" })
          const object = `inbox/${ts}/${file.id}`
          let size = 0
          // `put` speaks of its store alone: what ends the bytes early is told beside it.
          let ended: Refused | SlackFailure | undefined
          const cut = (why: Refused | SlackFailure) => {
            ended = why
            return new StoreError({
              port: "Objects",
              operation: "put",
              reason: "Unavailable",
              detail: "the file ended early",
              cause: why
            })
          }
          const content = bytes.pipe(
            Stream.mapError(cut),
            Stream.mapEffect((chunk) => {
              size += chunk.length
              return size > maxBytes ? Effect.fail(cut(new Refused({ why: "too_large" }))) : Effect.succeed(chunk)
            })
          )
          const put = yield* Effect.result(objects.put(owner, object, content))
          if (put._tag === "Success") {
            return {
              state: "stored" as const,
              name: nameOf(file),
              mimeType: (file.mimetype ?? "application/octet-stream").slice(0, 100),
              object,
              ...put.success
            }
          }
          if (ended !== undefined) return yield* ended._tag === "SlackFailure" ? passing(ended) : ended
          if (put.failure.reason === "Full") return yield* new Refused({ why: "disk_full" })
          return yield* refusalOfStore(put.failure)
        },
        Effect.scoped,
        transfers.withPermits(1),
        Effect.timeoutOrElse({
          duration: fetchMillis,
          orElse: () =>
            Effect.fail(
              new BridgeRefusal({ code: "unavailable", detail: "the file took too long", retryAfterMillis: 2_000 })
            )
        })
      )

      const get = Effect.fn("FetchedFiles.get")(function*(caller: Caller, action: typeof FileGetAction.Type) {
        if (caller.sender === "operator") {
          return yield* new BridgeRefusal({ code: "forbidden", detail: "files are for sandboxes" })
        }
        const owner = caller.sender
        const refused = (name: string, why: FileRefusal) => done({ state: "refused", name, why })
        const row = yield* ownership.rowOf(owner)
        const file = yield* located(action)
        if (typeof file === "string") return refused("file", file)
        const name = nameOf(file)
        const mode = file.mode ?? "hosted"
        if (mode === "tombstone") return refused(name, "gone")
        if (mode === "hidden_by_limit") return refused(name, "hidden")
        if (file.is_external === true || mode === "external") {
          const url = URL.parse(file.url_private ?? "")
          return url !== null && /^https?:$/.test(url.protocol)
            ? done({ state: "elsewhere", name, url: url.href.slice(0, 800) })
            : refused(name, "no_bytes")
        }
        if (mode === "file_access" || (file.file_access ?? "visible") !== "visible") return refused(name, "no_access")
        const address = file.url_private_download ?? file.url_private
        if (withoutBytes.has(mode) || address === undefined || address === null) return refused(name, "no_bytes")
        const maxBytes = row.profile.spec.cli.slackMaxFileMegabytes * 1024 * 1024
        return yield* stored(owner, action.ts, file, address, maxBytes).pipe(
          Effect.map(done),
          Effect.catchTag("FileNotFetched", ({ why }) => Effect.succeed(refused(name, why)))
        )
      })
      return FetchedFiles.of({ get })
    })
  )
}
