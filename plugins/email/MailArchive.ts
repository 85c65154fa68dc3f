/** What an account has filed, opened with the account's own key, and what it remembers of the messages that it sent. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { sealedRelease, summaryOf, unsealed, unsealedSummary } from "../../runtime/domain/mail/JudgedMail.ts"
import type { SenderId } from "../../runtime/domain/sandbox/Ids.ts"
import { type FiledMail, Mailbox, type MailFolder, wholeOf } from "../../runtime/ports/Mail.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import type { AccountDirectory } from "./AccountDirectory.ts"
import { referencesAfter } from "./MailTurns.ts"
import { postRefused } from "./PostCodes.ts"
import { decodeSent, releaseNote, rememberedSeconds, sentNote } from "./SentMail.ts"

/** Messages with one id that are looked at: their number is the writers' choice. */
const sameId = 20
/** Replies to one message that are looked at: five for each of its recipients at most. */
const manyReplies = 500

/** Bytes of contents that are opened at a time: texts may have 40 MB each, and are in memory several times. */
const maxPageBytes = 16 * 1024 * 1024

const notInQuarantine = (delivery: string) => postRefused("KM-EML-115", JSON.stringify(delivery.slice(0, 254)))

export const makeMailArchive = Effect.fnUntraced(function*(owner: SenderId, { keys }: AccountDirectory) {
  const mailbox = yield* Mailbox
  const sandboxes = yield* Sandboxes

  /** What is remembered of a message that this account sent. */
  const sentBy = (messageId: string) =>
    Effect.map(
      mailbox.noted(owner, sentNote(messageId)),
      (note) => Option.getOrUndefined(Option.map(note, decodeSent))
    )

  const contentOf = Effect.fnUntraced(function*(delivery: string) {
    const content = yield* mailbox.content(owner, delivery)
    if (Option.isNone(content)) return yield* postRefused("KM-EML-106", JSON.stringify(delivery.slice(0, 254)))
    return (yield* wholeOf(content.value)).toString("utf8")
  })

  const openedWith = (seal: Uint8Array) =>
    Effect.fnUntraced(function*(row: FiledMail) {
      const { folder, id } = row
      return { row, judged: unsealed(seal, owner, { folder, id, content: yield* contentOf(id) }) }
    })

  /** What an earlier version filed has no summary of its own. */
  const listedWith = (seal: Uint8Array) =>
    Effect.fnUntraced(function*(row: FiledMail) {
      return row.summary === ""
        ? { row, judged: summaryOf((yield* openedWith(seal)(row)).judged) }
        : { row, judged: unsealedSummary(seal, owner, row) }
    })

  const filed = Effect.fnUntraced(
    function*(seal: Uint8Array, page: Parameters<typeof mailbox.list>[2], folder: MailFolder) {
      return yield* Effect.forEach(yield* mailbox.list(owner, folder, page), listedWith(seal))
    }
  )

  /** Messages of the inbox with this delivery or id; ids are their writers' choice, so there may be several. */
  const byId = Effect.fnUntraced(function*(seal: Uint8Array, wanted: string) {
    const row = Option.getOrUndefined(yield* mailbox.get(owner, wanted))
    return row === undefined || row.folder !== "inbox"
      ? yield* filed(seal, { limit: sameId, keys: { messageId: wanted } }, "inbox")
      : [yield* listedWith(seal)(row)]
  })

  /** What a reply to this message refers to: of several, the one with the highest hop counts; hop 0 when unknown. */
  const threadOf = Effect.fnUntraced(function*(seal: Uint8Array, wanted: string) {
    const found = (yield* byId(seal, wanted)).filter(({ judged }) => judged.id !== null)
    const [listed] = found.toSorted((a, b) => b.judged.hop - a.judged.hop)
    const parent = listed === undefined ? undefined : (yield* openedWith(seal)(listed.row)).judged
    return parent === undefined || parent.id === null
      ? { inReplyTo: wanted, references: [wanted], hop: 0 }
      : { inReplyTo: parent.id, references: referencesAfter(parent.references, parent.id), hop: parent.hop + 1 }
  })

  return {
    sentBy,
    threadOf,

    /** Newest first. */
    list: Effect.fn("MailAccount.list")(function*(folder: MailFolder, page: Parameters<typeof mailbox.list>[2]) {
      const { seal } = yield* keys
      return yield* filed(seal, page, folder)
    }),

    byId: Effect.fn("MailAccount.byId")(function*(wanted: string) {
      return yield* byId((yield* keys).seal, wanted)
    }),

    /** With their texts: the first of these that fit in memory together, one at least. */
    opened: Effect.fn("MailAccount.opened")(function*(rows: ReadonlyArray<FiledMail>) {
      const { seal } = yield* keys
      let bytes = 0
      const fitting = rows.filter(({ contentSize }, n) => (bytes += contentSize) <= maxPageBytes || n === 0)
      return yield* Effect.forEach(rows.slice(0, fitting.length), openedWith(seal))
    }),

    /** The first verified reply of each recipient of a message of this account, who has not answered, and who never will. */
    replies: Effect.fn("MailAccount.replies")(function*(messageId: string) {
      const owners = (yield* sentBy(messageId))?.owners
      if (owners === undefined) return yield* postRefused("KM-EML-106", JSON.stringify(messageId.slice(0, 254)))
      const { seal } = yield* keys
      const answered = new Map<string, FiledMail>()
      let before = Number.MAX_SAFE_INTEGER
      for (let left = manyReplies; left > 0;) {
        const rows = yield* filed(seal, { limit: left, before, keys: { inReplyTo: messageId } }, "inbox")
        const last = rows.at(-1)
        if (last === undefined) break
        // Newest first, so the first one of each is what stays.
        for (const { judged, row } of rows) if (judged.status === "verified") answered.set(judged.sender, row)
        before = last.row.seq
        left -= rows.length
      }
      const missing = owners.filter((peer) => !answered.has(peer))
      const gone = yield* Effect.filter(missing, (peer) =>
        peer === "operator"
          ? Effect.succeed(false)
          : Effect.map(sandboxes.get(peer), (row) => Option.isNone(row) || row.value.status === "destroying"))
      const rows = owners.flatMap((peer) => answered.get(peer) ?? []).toSorted((x, y) => x.seq - y.seq)
      return { found: yield* Effect.forEach(rows, openedWith(seal)), missing, gone }
    }),

    get: Effect.fn("MailAccount.get")(function*(delivery: string) {
      const { seal } = yield* keys
      const row = yield* mailbox.get(owner, delivery)
      if (Option.isNone(row)) return yield* postRefused("KM-EML-106", JSON.stringify(delivery.slice(0, 254)))
      return yield* openedWith(seal)(row.value)
    }),

    /**
     * Lets a message of quarantine into the inbox: it is judged anew, and what spoke against it is only said. In two steps,
     * of which the first changes nothing by itself.
     */
    release: Effect.fn("MailAccount.release")(function*(delivery: string) {
      const { seal } = yield* keys
      const row = yield* mailbox.get(owner, delivery)
      if (Option.isNone(row)) return yield* postRefused("KM-EML-106", JSON.stringify(delivery.slice(0, 254)))
      if (row.value.folder !== "quarantine") return yield* notInQuarantine(delivery)
      const now = yield* Clock.currentTimeMillis
      yield* mailbox.note({
        owner,
        key: releaseNote(delivery),
        value: sealedRelease(seal, owner, delivery, (yield* openedWith(seal)(row.value)).judged),
        keepUntilSeconds: Math.ceil(now / 1_000) + rememberedSeconds
      })
      if (!(yield* mailbox.reopen(owner, delivery))) return yield* notInQuarantine(delivery)
    }),

    raw: Effect.fn("MailAccount.raw")(function*(delivery: string) {
      const raw = yield* mailbox.raw(owner, delivery)
      return Option.isSome(raw)
        ? yield* wholeOf(raw.value)
        : yield* postRefused("KM-EML-106", JSON.stringify(delivery.slice(0, 254)))
    })
  }
})
export type MailArchive = Effect.Success<ReturnType<typeof makeMailArchive>>
