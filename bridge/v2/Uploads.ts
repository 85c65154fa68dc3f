/**
 * Files: an object of the sender's, checked against its announced size and digest while it streams to Slack, shared by
 * Slack's third step only when both hold. The new file comes first, then the one it replaces is deleted.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import type { BridgeResult, UploadAction } from "../../runtime/domain/BridgeProtocol.ts"
import { sha256Base64Url } from "../../runtime/domain/Digest.ts"
import type { ChannelId, SandboxId } from "../../runtime/domain/Ids.ts"
import { Objects } from "../../runtime/ports/Objects.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { BotIdentity } from "../slack/BotIdentity.ts"
import { FileTransfer } from "../slack/FileTransfer.ts"
import { callAs, SlackApi } from "../slack/SlackApi.ts"
import { refusalOfSlack, type SlackFailure } from "../slack/SlackErrors.ts"
import type { Caller } from "./Authenticator.ts"
import { ExpiringLinks } from "./ExpiringLinks.ts"
import { Messages } from "./Messages.ts"

/** Transfers at the same time: each may move 100 MiB. */
const maxTransfers = 3
/** Clocks of Slack and ours may differ by this much. */
const skewMillis = 60_000

const Ticket = Schema.Struct({ upload_url: Schema.String, file_id: Schema.String })
const Completed = Schema.Struct({
  files: Schema.Array(Schema.Struct({ id: Schema.String, permalink: Schema.optionalKey(Schema.String) }))
})
const FileInfo = Schema.Struct({
  file: Schema.Struct({
    id: Schema.String,
    user: Schema.optionalKey(Schema.String),
    channels: Schema.optionalKey(Schema.Array(Schema.String)),
    groups: Schema.optionalKey(Schema.Array(Schema.String)),
    permalink: Schema.optionalKey(Schema.String)
  })
})
const ChannelInfo = Schema.Struct({
  channel: Schema.Struct({ is_ext_shared: Schema.optionalKey(Schema.Boolean) })
})
const Page = Schema.Struct({
  messages: Schema.optionalKey(Schema.Array(Schema.Struct({
    user: Schema.optionalKey(Schema.String),
    bot_id: Schema.optionalKey(Schema.NullOr(Schema.String)),
    files: Schema.optionalKey(Schema.Array(Schema.Struct({
      id: Schema.String,
      name: Schema.optionalKey(Schema.NullOr(Schema.String)),
      title: Schema.optionalKey(Schema.NullOr(Schema.String)),
      permalink: Schema.optionalKey(Schema.String)
    })))
  })))
})

/** Where files are not allowed Slack says so … */
const refusesFiles = (failure: SlackFailure): boolean =>
  ["file_sharing_disabled", "not_allowed", "restricted_action", "channel_type_not_supported"].includes(failure.error)
/** … except in Slack Connect channels, where it answers with `internal_error`, as it does when something is broken. */
const mayRefuseFiles = (failure: SlackFailure): boolean => failure.error === "internal_error"

interface SharedFile {
  readonly id: string
  readonly permalink?: string
}

const badObject = (detail: string) => new BridgeRefusal({ code: "bad_object", detail })

export class Uploads extends Context.Service<Uploads, {
  readonly upload: (
    caller: Caller,
    action: typeof UploadAction.Type,
    uncertainSince: number | undefined
  ) => Effect.Effect<BridgeResult, BridgeRefusal>
}>()("km/bridge/v2/Uploads") {
  static readonly layer = Layer.effect(
    Uploads,
    Effect.gen(function*() {
      const slack = yield* SlackApi
      const objects = yield* Objects
      const transfer = yield* FileTransfer
      const identity = yield* BotIdentity
      const links = yield* ExpiringLinks
      const messages = yield* Messages
      const settings = yield* BridgeSettings
      const transfers = yield* Semaphore.make(maxTransfers)
      const callTicket = callAs(slack, Ticket)
      const callComplete = callAs(slack, Completed)
      const callInfo = callAs(slack, FileInfo)
      const callPage = callAs(slack, Page)
      const callChannel = callAs(slack, ChannelInfo)

      /** The object's bytes, ending in `bad_object` unless they are exactly what was announced. */
      const checkedBytes = (owner: SandboxId, action: typeof UploadAction.Type) => {
        const hash = createHash("sha256")
        let size = 0
        const tooMuch = badObject("the object is larger than announced")
        const source = objects.get(owner, action.object).pipe(
          Stream.mapError((error): BridgeRefusal | StoreError =>
            error._tag === "ObjectMissing" ? badObject(error.message) : error
          ),
          Stream.mapEffect((chunk) => {
            size += chunk.length
            if (size > action.size) return Effect.fail(tooMuch)
            hash.update(chunk)
            return Effect.succeed(chunk)
          })
        )
        const verdict = Stream.fromEffect(Effect.suspend(() =>
          size !== action.size
            ? Effect.fail(badObject(`the object has ${size} bytes, not ${action.size}`))
            : hash.digest("hex") !== action.sha256
            ? Effect.fail(badObject("the object's digest is another"))
            : Effect.succeed(new Uint8Array(0))
        ))
        return Stream.concat(source, verdict)
      }

      const sent = Effect.fnUntraced(function*(owner: SandboxId, action: typeof UploadAction.Type) {
        const ticket = yield* Effect.mapError(
          callTicket("files.getUploadURLExternal", { filename: action.filename, length: action.size }),
          refusalOfSlack
        )
        yield* transfer.send(ticket.upload_url, action.size, checkedBytes(owner, action)).pipe(
          Effect.mapError((error) =>
            error._tag === "SlackFailure"
              // Nothing is visible before the third step: sending again doubles nothing.
              ? new BridgeRefusal({ code: "unavailable", detail: error.error, retryAfterMillis: 2_000 })
              : error._tag === "StoreError"
              ? refusalOfStore(error)
              : error
          )
        )
        return ticket.file_id
      })

      /** A file of ours with this name and title in the place it belongs to. */
      const shared = Effect.fnUntraced(function*(action: typeof UploadAction.Type, since: number) {
        const bot = yield* identity.bot
        const place = action.threadTs === undefined
          ? { method: "conversations.history", args: {} }
          : { method: "conversations.replies", args: { ts: action.threadTs } }
        const page = yield* callPage(place.method, {
          channel: action.channel,
          ...place.args,
          oldest: ((since - skewMillis) / 1000).toFixed(6),
          limit: 200
        })
        return Option.fromNullishOr(
          (page.messages ?? [])
            .filter((message) => message.user === bot.user || (bot.bot !== "" && message.bot_id === bot.bot))
            .flatMap((
              message
            ): ReadonlyArray<SharedFile & { readonly name?: string | null; readonly title?: string | null }> =>
              message.files ?? []
            )
            .find((file) => file.name === action.filename && file.title === action.title)
        )
      })

      const completed = Effect.fnUntraced(function*(action: typeof UploadAction.Type, fileId: string) {
        const answer = yield* callComplete("files.completeUploadExternal", {
          files: [{ id: fileId, title: action.title }],
          channel_id: action.channel,
          ...(action.threadTs === undefined ? {} : { thread_ts: action.threadTs })
        })
        const [file] = answer.files
        return { id: file?.id ?? fileId, ...(file?.permalink === undefined ? {} : { permalink: file.permalink }) }
      })

      /** Only a file of our bot that is nowhere but in the sender's channel is the sender's to replace. */
      const removed = Effect.fnUntraced(function*(channel: ChannelId, file: string) {
        const { file: info } = yield* callInfo("files.info", { file })
        const bot = yield* identity.bot
        const places = [...info.channels ?? [], ...info.groups ?? []]
        if (info.user !== bot.user || places.some((place) => place !== channel)) return
        yield* slack.call("files.delete", { file })
      })

      const isConnected = (channel: ChannelId) =>
        callChannel("conversations.info", { channel }).pipe(
          Effect.map((answer) => answer.channel.is_ext_shared === true),
          Effect.orElseSucceed(() => false)
        )

      const linked = Effect.fnUntraced(function*(
        caller: Caller,
        owner: SandboxId,
        action: typeof UploadAction.Type,
        since: number | undefined
      ) {
        const link = yield* links.make({ owner, object: action.object, filename: action.filename, size: action.size })
        yield* messages.put(caller.sender, {
          key: sha256Base64Url(`${settings.install}/${caller.sender}/${caller.id}/link`),
          channel: action.channel,
          ...(action.threadTs === undefined ? {} : { threadTs: action.threadTs }),
          markdown: `This channel takes no files. [${action.filename}](${link}) can be fetched for seven days.`,
          uncertainSince: since
        })
        return { ok: true as const, file: { id: "link", link } }
      })

      const upload = Effect.fn("Uploads.upload")(function*(
        caller: Caller,
        action: typeof UploadAction.Type,
        uncertainSince: number | undefined
      ) {
        if (caller.sender === "operator") {
          return yield* new BridgeRefusal({ code: "forbidden", detail: "objects belong to sandboxes" })
        }
        const owner = caller.sender
        const earlier = uncertainSince === undefined
          ? Option.none<SharedFile>()
          : yield* Effect.mapError(
            shared(action, uncertainSince),
            (failure) => new BridgeRefusal({ ...refusalOfSlack(failure), uncertain: true })
          )
        let file = Option.getOrUndefined(earlier)
        if (file === undefined) {
          const fileId = yield* transfers.withPermits(1)(sent(owner, action))
          const done = yield* Effect.result(completed(action, fileId))
          if (done._tag === "Failure") {
            const connected = mayRefuseFiles(done.failure) && (yield* isConnected(action.channel))
            if (connected || refusesFiles(done.failure)) return yield* linked(caller, owner, action, uncertainSince)
            return yield* refusalOfSlack(done.failure)
          }
          file = done.success
        }
        if (action.replaces !== undefined && action.replaces !== file.id) {
          yield* removed(action.channel, action.replaces).pipe(
            Effect.catch((failure) =>
              Effect.logInfo("the replaced file was not deleted").pipe(
                Effect.annotateLogs({ file: action.replaces, error: failure.error })
              )
            )
          )
        }
        return {
          ok: true as const,
          file: { id: file.id, ...(file.permalink === undefined ? {} : { permalink: file.permalink }) }
        }
      })
      return Uploads.of({ upload })
    })
  )
}
