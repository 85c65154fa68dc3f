/**
 * Files: an object of the sender's, checked against its announced size and digest while it streams to Slack, shared by
 * Slack's third step only when both hold. The new file comes first, then the one it replaces goes with the message that
 * showed it; the request is not answered before that, so that its sender's outbox sees to it however often it fails.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import type { ChannelId, SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import type { BridgeResult, UploadAction } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { sessionOfTranscript } from "../../runtime/domain/slack/FileLinks.ts"
import { sha256Base64Url } from "../../runtime/domain/text/Digest.ts"
import { Facts } from "../../runtime/ports/Facts.ts"
import { Objects } from "../../runtime/ports/Objects.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { BotIdentity } from "../slack/BotIdentity.ts"
import { FileTransfer } from "../slack/FileTransfer.ts"
import { callAs, SlackApi } from "../slack/SlackApi.ts"
import { isThreadGone, refusalOfSlack, type SlackFailure } from "../slack/SlackErrors.ts"
import type { Caller } from "./Authenticator.ts"
import { ExpiringLinks } from "./ExpiringLinks.ts"
import { type FileForm, formsFrom, rememberedForm, rememberForm, unpacked, unpackedName } from "./FileForms.ts"
import { Messages } from "./Messages.ts"
import { uploadLeaseMillis } from "./Once.ts"
import {
  ChannelInfo,
  Completed,
  FileInfo,
  mayRefuseFiles,
  Page,
  placesIn,
  refusesFiles,
  refusesForm,
  type Share,
  type SharedFile,
  Ticket
} from "./UploadAnswers.ts"

/** Transfers at the same time: each may move 100 MiB. */
const maxTransfers = 3
/**
 * Milliseconds for the two steps before anything is visible, waiting for a place included. What is left of the lease is
 * for the step that shows the file and for looking whether it did.
 */
const sendMillis = uploadLeaseMillis - 60_000
/** Pauses between looks for a file that Slack has taken and does not show yet: it scans first (bolt-js#2115). */
const looks = [0, 500, 1_000, 2_000, 4_000] as const
/** Clocks of Slack and ours may differ by this much. */
const skewMillis = 60_000

/** Slack's refusals of these names mean that there is nothing left to do. */
const unless =
  (...errors: ReadonlyArray<string>) =>
  <A>(effect: Effect.Effect<A, SlackFailure>): Effect.Effect<void, SlackFailure> =>
    Effect.asVoid(effect).pipe(
      Effect.catchIf(
        (failure) => failure.kind === "Refused" && errors.includes(failure.error),
        () => Effect.void
      )
    )

/** Decimal, as people read sizes. */
const sizeOf = (bytes: number): string =>
  bytes < 1_000_000 ? `${Math.ceil(bytes / 1_000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`

/** Where nobody can open a link: what it is, and the operator's command where there is one for it. */
const fetchedByCommand = (owner: SandboxId, { filename, object, size }: typeof UploadAction.Type): string => {
  const session = sessionOfTranscript(object)
  return `This channel takes no files. \`${filename}\` (${sizeOf(size)}) is kept.` +
    (session === undefined
      ? ""
      : ` An operator fetches it with \`km transcript ${owner} ${session} > ${session}.jsonl\``)
}

const refusalOfContent = (error: StoreError | BridgeRefusal): BridgeRefusal =>
  error._tag === "StoreError" ? refusalOfStore(error) : error

const badObject = (detail: string) => new BridgeRefusal({ code: "bad_object", detail })

export class Uploads extends Context.Service<Uploads, {
  readonly upload: (
    caller: Caller,
    action: typeof UploadAction.Type,
    uncertainSince: number | undefined
  ) => Effect.Effect<BridgeResult, BridgeRefusal>
}>()("km/bridge/actions/Uploads") {
  static readonly layer = Layer.effect(
    Uploads,
    Effect.gen(function*() {
      const slack = yield* SlackApi
      const objects = yield* Objects
      const transfer = yield* FileTransfer
      const identity = yield* BotIdentity
      const links = yield* ExpiringLinks
      const messages = yield* Messages
      const facts = yield* Facts
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

      const sent = Effect.fnUntraced(
        function*(owner: SandboxId, action: typeof UploadAction.Type, form: FileForm) {
          const packed = checkedBytes(owner, action)
          const bytes = form === "unpacked" ? yield* Effect.mapError(unpacked(packed), refusalOfContent) : undefined
          const filename = bytes === undefined ? action.filename : unpackedName(action.filename) ?? action.filename
          const length = bytes?.length ?? action.size
          const ticket = yield* Effect.mapError(
            callTicket("files.getUploadURLExternal", { filename, length }),
            // An address that nobody uses shows nothing to anybody, whether or not Slack made one.
            (failure) => new BridgeRefusal({ ...refusalOfSlack(failure), uncertain: false })
          )
          yield* transfer.send(ticket.upload_url, length, bytes === undefined ? packed : Stream.make(bytes)).pipe(
            Effect.mapError((error) =>
              error._tag === "SlackFailure"
                // Nothing is visible before the third step: sending again doubles nothing.
                ? new BridgeRefusal({ code: "unavailable", detail: error.error, retryAfterMillis: 2_000 })
                : refusalOfContent(error)
            )
          )
          return ticket.file_id
        },
        transfers.withPermits(1),
        Effect.timeoutOrElse({
          duration: sendMillis,
          orElse: () =>
            Effect.fail(
              new BridgeRefusal({ code: "unavailable", detail: "the file took too long", retryAfterMillis: 2_000 })
            )
        })
      )

      /** A file of ours with this name and title in the place it belongs to; not the one that is to go. */
      const shared = Effect.fnUntraced(function*(action: typeof UploadAction.Type, since: number) {
        const bot = yield* identity.bot
        const window = {
          channel: action.channel,
          oldest: ((since - skewMillis) / 1000).toFixed(6),
          limit: 200
        }
        const inChannel = callPage("conversations.history", window)
        const page = yield* action.threadTs === undefined
          ? inChannel
          : callPage("conversations.replies", { ...window, ts: action.threadTs }).pipe(
            // The thread is gone; if Slack has the file, it stands beside it.
            Effect.catchIf(isThreadGone, () => inChannel)
          )
        return Option.fromNullishOr(
          (page.messages ?? [])
            .filter((message) => message.user === bot.user || (bot.bot !== "" && message.bot_id === bot.bot))
            .flatMap((
              message
            ): ReadonlyArray<SharedFile & { readonly name?: string | null; readonly title?: string | null }> =>
              message.files ?? []
            )
            .find((file) =>
              (file.name === action.filename || file.name === unpackedName(action.filename)) &&
              file.title === action.title && file.id !== action.replaces
            )
        )
      })

      const completed = Effect.fnUntraced(function*(action: typeof UploadAction.Type, fileId: string) {
        const answer = yield* callComplete("files.completeUploadExternal", {
          files: [{ id: fileId, title: action.title }],
          channel_id: action.channel,
          ...(action.threadTs === undefined ? {} : { thread_ts: action.threadTs })
        })
        const [file] = answer.files
        return {
          id: file?.id ?? fileId,
          ...(file?.permalink === undefined ? {} : { permalink: file.permalink }),
          places: placesIn(file?.shares, action.channel)
        }
      })

      /** The file in its place, looked for until Slack shows it; none when it does not, or cannot say. */
      const placed = Effect.fnUntraced(function*(channel: ChannelId, file: string) {
        for (const pause of looks) {
          yield* Effect.sleep(pause)
          const { permalink, shares } = (yield* Effect.option(callInfo("files.info", { file }))).pipe(
            Option.match({
              onNone: () => ({ permalink: undefined, shares: undefined }),
              onSome: (answer) => answer.file
            })
          )
          const places = placesIn(shares, channel)
          if (places.length > 0) {
            return Option.some({ id: file, ...(permalink === undefined ? {} : { permalink }), places })
          }
        }
        return Option.none()
      })

      /**
       * Only a file of our bot that is nowhere but in the sender's channel is the sender's to replace. Its messages go
       * first: a file that is deleted leaves "This file was deleted." behind (github.com/sgratzl/slack-cleaner/issues/56),
       * and says no more where. What a person shared again is that person's.
       */
      const removed = Effect.fnUntraced(function*(channel: ChannelId, file: string) {
        const { file: info } = yield* callInfo("files.info", { file })
        const bot = yield* identity.bot
        const places = [...info.channels ?? [], ...info.groups ?? []]
        if (info.user !== bot.user || places.some((place) => place !== channel)) return
        for (const { ts } of placesIn(info.shares, channel)) {
          yield* slack.call("chat.delete", { channel, ts }).pipe(unless("message_not_found", "cant_delete_message"))
        }
        yield* slack.call("files.delete", { file })
      }, unless("file_not_found", "file_deleted"))

      /** Until it is gone, or Slack refuses for good. */
      const replaced = (channel: ChannelId, file: string) =>
        removed(channel, file).pipe(
          Effect.catchIf((failure) => failure.kind === "Refused", (failure) =>
            Effect.logWarning("a replaced file stays: Slack refuses to delete it").pipe(
              Effect.annotateLogs({ file, error: failure.error })
            )),
          // The new file stands: whoever asks again must find it, not send it once more.
          Effect.mapError((failure) =>
            new BridgeRefusal({ ...refusalOfSlack(failure), uncertain: true })
          )
        )

      /** What came beside its thread is taken back: Slack posts to the channel when the thread's first message is gone. */
      const inThread = Effect.fnUntraced(function*(
        action: typeof UploadAction.Type,
        file: string,
        places: ReadonlyArray<typeof Share.Type>
      ) {
        if (action.threadTs === undefined || places.every((place) => (place.thread_ts ?? "") !== "")) return
        yield* replaced(action.channel, file)
        return yield* new BridgeRefusal({ code: "thread_gone", detail: "the file came beside its thread" })
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
        const link = Option.getOrUndefined(
          yield* links.make({ owner, object: action.object, filename: action.filename, size: action.size })
        )
        yield* messages.put(caller.sender, {
          key: sha256Base64Url(`${settings.install}/${caller.sender}/${caller.id}/link`),
          channel: action.channel,
          ...(action.threadTs === undefined ? {} : { threadTs: action.threadTs }),
          markdown: link === undefined
            ? fetchedByCommand(owner, action)
            : `This channel takes no files. [${action.filename}](${link}) can be fetched for seven days.`,
          uncertainSince: since
        })
        return { ok: true as const, file: { id: "link", ...(link === undefined ? {} : { link }) } }
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
            // As long as we cannot look, we must not send.
            (failure) => new BridgeRefusal({ ...refusalOfSlack(failure), uncertain: failure.kind !== "Refused" })
          )
        let file = Option.getOrUndefined(earlier)
        if (file !== undefined) {
          const seen = yield* placed(action.channel, file.id)
          yield* inThread(action, file.id, Option.isSome(seen) ? seen.value.places : [])
        }
        const known = yield* rememberedForm(facts, owner, action.channel)
        for (const form of file === undefined ? formsFrom(action.filename, known) : []) {
          if (form === "link") {
            yield* rememberForm(facts, owner, action.channel, form)
            return yield* linked(caller, owner, action, uncertainSince)
          }
          const sending = yield* Effect.result(sent(owner, action, form))
          // What cannot be unpacked can still be linked.
          if (sending._tag === "Failure" && form === "unpacked" && sending.failure.code === "bad_object") continue
          const fileId = yield* Effect.fromResult(sending)
          const done = yield* Effect.result(completed(action, fileId))
          if (done._tag === "Failure") {
            if (refusesFiles(done.failure)) {
              yield* rememberForm(facts, owner, action.channel, "link")
              return yield* linked(caller, owner, action, uncertainSince)
            }
            const connected = mayRefuseFiles(done.failure) && (yield* isConnected(action.channel))
            if (connected || refusesForm(done.failure)) continue
          }
          const refused = done._tag === "Failure" && done.failure.kind !== "Uncertain"
          const placedAtOnce = done._tag === "Success" && done.success.places.length > 0
          const seen = refused || placedAtOnce ? Option.none() : yield* placed(action.channel, fileId)
          const found = Option.isSome(seen)
            ? seen.value
            : yield* Effect.mapError(Effect.fromResult(done), refusalOfSlack)
          const { places, ...taken } = found
          yield* inThread(action, fileId, places)
          file = taken
          if (form !== known) yield* rememberForm(facts, owner, action.channel, form)
          break
        }
        if (file === undefined) return yield* linked(caller, owner, action, uncertainSince)
        if (action.replaces !== undefined && action.replaces !== file.id) {
          yield* replaced(action.channel, action.replaces)
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
