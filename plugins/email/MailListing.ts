/** What waits in a sandbox's inbox, as its agent asks for it: the newest, or one after the other as it comes. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SenderId } from "../../runtime/domain/sandbox/Ids.ts"
import type { Mailbox } from "../../runtime/ports/Mail.ts"
import type { MailAccount } from "./MailAccount.ts"
import type { List } from "./MailRequests.ts"

/** Pages looked through for a filter. */
const maxPages = 40
/** Messages of one page of those that are looked through. */
const pageRows = 500

type Entry = Effect.Success<ReturnType<MailAccount["list"]>>[number]
type Opened = Effect.Success<ReturnType<MailAccount["opened"]>>[number]

const fits = (request: typeof List.Type, { judged, row }: Entry | Opened) => {
  const { after = 0, from, id, inReplyTo, subject } = request
  return row.seq > after
    && (id === undefined || judged.id === id || row.id === id)
    && (from === undefined || judged.from === from || judged.sender === from)
    && (subject === undefined || judged.subject.includes(subject))
    && (inReplyTo === undefined || judged.inReplyTo === inReplyTo)
}

/** As programs see it (docs/multi-agent-email.md). */
export const shown = ({ judged, row }: Opened) => ({
  delivery: row.id,
  seq: row.seq,
  receivedAt: new Date(row.receivedAt).toISOString(),
  read: row.read,
  ...judged
})

/** `list` looks once or waits for a first one; `watch` is asked again and again and leaves nothing out. */
export const makeListing = (
  owner: SenderId,
  account: Pick<MailAccount, "byId" | "list" | "opened">,
  mailbox: Mailbox["Service"]
) => {
  /** Asks again at each arrival and filing until there is an answer, or until the time is over. */
  const waiting = Effect.fnUntraced(function*<A, E, R>(
    waitSeconds: number,
    look: Effect.Effect<A, E, R>,
    enough: (found: A) => boolean
  ) {
    const until = (yield* Clock.currentTimeMillis) + waitSeconds * 1_000
    while (true) {
      const than = yield* mailbox.revision(owner)
      const found = yield* look
      const left = until - (yield* Clock.currentTimeMillis)
      if (enough(found) || left <= 0) return found
      yield* mailbox.revision(owner, { than, wait: Duration.millis(Math.min(left, 5_000)) })
    }
  })

  /** Those that fit. A summary whose texts were cut does not say, so the message itself does. */
  const fitting = (request: typeof List.Type, entries: ReadonlyArray<Entry>) =>
    Effect.filter(entries, (entry) =>
      entry.judged.cut
        ? Effect.map(account.opened([entry.row]), (found) => found.some((whole) => fits(request, whole)))
        : Effect.succeed(fits(request, entry)))

  const matching = Effect.fnUntraced(function*(request: typeof List.Type) {
    const { from, id, inReplyTo, limit, subject } = request
    if (id !== undefined) {
      return (yield* fitting(request, yield* account.byId(id))).slice(0, limit)
    }
    const found: Array<Entry> = []
    const keys = inReplyTo === undefined ? {} : { inReplyTo }
    let before = Number.MAX_SAFE_INTEGER
    for (let page = 0; page < maxPages && found.length < limit; page++) {
      const size = from === undefined && subject === undefined ? limit : pageRows
      const rows = yield* account.list("inbox", { limit: size, before, unreadOnly: true, keys })
      found.push(...(yield* fitting(request, rows)).slice(0, limit - found.length))
      const last = rows.at(-1)
      if (last === undefined) break
      before = last.row.seq
    }
    return found
  })

  /** What fits after `after`, oldest first, at most a page of it, and how far the mailbox was looked through. */
  const following = Effect.fnUntraced(function*(request: typeof List.Type, after: number) {
    const { inReplyTo, limit } = request
    const keys = inReplyTo === undefined ? {} : { inReplyTo }
    let upTo = after
    while (true) {
      const page = { limit: pageRows, after: upTo, settledOnly: true, unreadOnly: true, keys }
      const rows = yield* account.list("inbox", page)
      const fit = (yield* fitting(request, rows)).slice(0, limit)
      const found = yield* account.opened(fit.map(({ row }) => row))
      // What was not opened any more is the next page's.
      const whole = fit.length < limit && found.length === fit.length
      const last = whole ? rows.at(-1) : found.at(-1)
      if (last === undefined) return { found, upTo }
      upTo = last.row.seq
      if (found.length > 0) return { found, upTo }
    }
  })

  /** Where a watch begins: the newest ones that fit, oldest first. */
  const beginning = Effect.fnUntraced(function*(request: typeof List.Type) {
    const [newest] = yield* account.list("inbox", { limit: 1, settledOnly: true })
    const upTo = newest?.row.seq ?? 0
    const fit = (yield* matching(request)).map(({ row }) => row).filter(({ seq }) => seq <= upTo)
    return { found: (yield* account.opened(fit)).toReversed(), upTo }
  })

  const list = (request: typeof List.Type) =>
    waiting(request.waitSeconds, matching(request), (found) => found.length > 0).pipe(
      Effect.flatMap((found) => account.opened(found.map(({ row }) => row))),
      Effect.map((found) => ({ messages: found.map(shown) }))
    )

  const watch = (request: typeof List.Type) =>
    Effect.suspend(() => {
      let { after } = request
      // Goes on from where it looked last: what came between two looks may be more than a page.
      const look = Effect.tap(
        Effect.suspend(() => after === undefined ? beginning(request) : following(request, after)),
        ({ upTo }) =>
          Effect.sync(() => {
            after = upTo
          })
      )
      return Effect.map(
        waiting(request.waitSeconds, look, ({ found }) => found.length > 0),
        ({ found, upTo }) => ({ messages: found.map(shown), upTo })
      )
    })

  return { list, watch, waiting }
}
