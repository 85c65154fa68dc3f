/** What a room has filed, opened with the room's own key, and what it remembers of the messages that it sent. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SenderId } from "../../runtime/domain/Ids.ts"
import { type Judged, unsealed } from "../../runtime/domain/JudgedMail.ts"
import { type FiledMail, Mailbox } from "../../runtime/ports/Mail.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { referencesAfter } from "./MailTurns.ts"
import { postRefused } from "./PostCodes.ts"
import type { RoomDirectory } from "./RoomDirectory.ts"
import { decodeSent, sentNote } from "./SentMail.ts"

/** Messages with one id that are looked at: their number is the writers' choice. */
const sameId = 20
/** Replies to one message that are looked at: five for each of its recipients at most. */
const manyReplies = 500

export const makeRoomArchive = Effect.fnUntraced(function*(owner: SenderId, { keys }: RoomDirectory) {
  const mailbox = yield* Mailbox
  const sandboxes = yield* Sandboxes

  /** What is remembered of a message that this room sent. */
  const sentBy = (messageId: string) =>
    Effect.map(
      mailbox.noted(owner, sentNote(messageId)),
      (note) => Option.getOrUndefined(Option.map(note, decodeSent))
    )

  const filed = (seal: Uint8Array, page: Parameters<typeof mailbox.list>[2], folder: "inbox" | "quarantine") =>
    Effect.map(
      mailbox.list(owner, folder, page),
      (rows) => rows.map((row) => ({ row, judged: unsealed(seal, owner, row) }))
    )

  /** Messages of the inbox with this delivery or id; ids are their writers' choice, so there may be several. */
  const byId = Effect.fnUntraced(function*(seal: Uint8Array, wanted: string) {
    const row = Option.getOrUndefined(yield* mailbox.get(owner, wanted))
    return row === undefined || row.folder !== "inbox"
      ? yield* filed(seal, { limit: sameId, keys: { messageId: wanted } }, "inbox")
      : [{ row, judged: unsealed(seal, owner, row) }]
  })

  /** What a reply to this message refers to: of several, the one with the highest hop counts; hop 0 when unknown. */
  const threadOf = Effect.fnUntraced(function*(seal: Uint8Array, wanted: string) {
    const found = (yield* byId(seal, wanted)).map(({ judged }) => judged)
    const [parent] = found.filter(({ id }) => id !== null).toSorted((a, b) => b.hop - a.hop)
    return parent === undefined || parent.id === null
      ? { inReplyTo: wanted, references: [wanted], hop: 0 }
      : { inReplyTo: parent.id, references: referencesAfter(parent.references, parent.id), hop: parent.hop + 1 }
  })

  return {
    sentBy,
    threadOf,

    /** Newest first. */
    list: Effect.fn("MailRoom.list")(function*(
      folder: "inbox" | "quarantine",
      page: Parameters<typeof mailbox.list>[2]
    ) {
      const { seal } = yield* keys
      return yield* filed(seal, page, folder)
    }),

    byId: Effect.fn("MailRoom.byId")(function*(wanted: string) {
      return yield* byId((yield* keys).seal, wanted)
    }),

    /** The first verified reply of each recipient of a message of this room, who has not answered, and who never will. */
    replies: Effect.fn("MailRoom.replies")(function*(messageId: string) {
      const owners = (yield* sentBy(messageId))?.owners
      if (owners === undefined) return yield* postRefused("KM-EML-106", JSON.stringify(messageId.slice(0, 254)))
      const { seal } = yield* keys
      const answered = new Map<string, { readonly row: FiledMail; readonly judged: Judged }>()
      let before = Number.MAX_SAFE_INTEGER
      for (let left = manyReplies; left > 0;) {
        const rows = yield* filed(seal, { limit: left, before, keys: { inReplyTo: messageId } }, "inbox")
        const last = rows.at(-1)
        if (last === undefined) break
        // Newest first, so the first one of each is what stays.
        for (const entry of rows) if (entry.judged.status === "verified") answered.set(entry.judged.sender, entry)
        before = last.row.seq
        left -= rows.length
      }
      const missing = owners.filter((peer) => !answered.has(peer))
      const living = missing.length === 0 ? [] : yield* sandboxes.list
      const lives = (peer: SenderId) =>
        peer === "operator" || living.some(({ id, status }) => id === peer && status !== "destroying")
      return {
        found: owners.flatMap((peer) => answered.get(peer) ?? []).toSorted((x, y) => x.row.seq - y.row.seq),
        missing,
        gone: missing.filter((peer) => !lives(peer))
      }
    }),

    get: Effect.fn("MailRoom.get")(function*(delivery: string) {
      const { seal } = yield* keys
      const row = yield* mailbox.get(owner, delivery)
      if (Option.isNone(row)) return yield* postRefused("KM-EML-106", JSON.stringify(delivery.slice(0, 254)))
      return { row: row.value, judged: unsealed(seal, owner, row.value) }
    }),

    raw: Effect.fn("MailRoom.raw")(function*(delivery: string) {
      const raw = yield* mailbox.raw(owner, delivery)
      return Option.isSome(raw) ? raw.value : yield* postRefused("KM-EML-106", JSON.stringify(delivery.slice(0, 254)))
    })
  }
})
export type RoomArchive = Effect.Success<ReturnType<typeof makeRoomArchive>>
