/**
 * The questions of one turn as its sandbox keeps them, on its own disk: which call each is about, what came of it, and
 * whether the agent has taken it. Pure.
 */
import * as Schema from "effect/Schema"

/** `open`: nobody has decided. `closed`: taken back, or never shown. */
export const BookEntry = Schema.Struct({
  n: Schema.Int,
  callSha256: Schema.String,
  state: Schema.Literals(["open", "approved", "denied", "closed"]),
  /** Which of its options, from 0. */
  chosen: Schema.optionalKey(Schema.Int),
  /** Who decided, as shown to people. */
  by: Schema.optionalKey(Schema.String),
  /** A decision is good for one call: it was handed to the agent, or is about to be. */
  used: Schema.Boolean,
  /** Unix milliseconds, as it was first asked for. */
  deadline: Schema.Int
})
export type BookEntry = typeof BookEntry.Type

export const QuestionBook = Schema.Struct({ entries: Schema.Array(BookEntry) })
export type QuestionBook = typeof QuestionBook.Type

export const emptyBook: QuestionBook = { entries: [] }

/**
 * What a call comes to: a question of an earlier attempt about the very same call, decided or not, that nobody waits for
 * now; else a question of its own. `claimed` are the numbers that calls of this process wait for.
 */
export const entryFor = (
  book: QuestionBook,
  call: { readonly callSha256: string; readonly deadline: number },
  claimed: ReadonlySet<number>
): { readonly book: QuestionBook; readonly entry: BookEntry } => {
  const known = book.entries.find((entry) =>
    entry.callSha256 === call.callSha256 && entry.state !== "closed" && !entry.used && !claimed.has(entry.n)
  )
  if (known !== undefined) return { book, entry: known }
  const entry: BookEntry = {
    n: book.entries.length + 1,
    callSha256: call.callSha256,
    state: "open",
    used: false,
    deadline: call.deadline
  }
  return { book: { entries: [...book.entries, entry] }, entry }
}

const replace = (book: QuestionBook, n: number, to: (entry: BookEntry) => BookEntry): QuestionBook => ({
  entries: book.entries.map((entry) => entry.n === n ? to(entry) : entry)
})

/** The first decision counts; on what is decided or closed another one has no effect. */
export const decided = (
  book: QuestionBook,
  n: number,
  decision: { readonly verdict: "approved" | "denied"; readonly by: string; readonly chosen?: number }
): QuestionBook =>
  replace(book, n, (entry) =>
    entry.state === "open" ?
      {
        ...entry,
        state: decision.verdict,
        by: decision.by,
        ...(decision.chosen === undefined ? {} : { chosen: decision.chosen })
      } :
      entry)

/** From now on the decision is good for nothing else. */
export const used = (book: QuestionBook, n: number): QuestionBook =>
  replace(book, n, (entry) => ({ ...entry, used: true }))

export const closed = (book: QuestionBook, n: number): QuestionBook =>
  replace(book, n, (entry) => entry.state === "open" ? { ...entry, state: "closed" } : entry)

export const openEntries = (book: QuestionBook): ReadonlyArray<BookEntry> =>
  book.entries.filter(({ state }) => state === "open")
