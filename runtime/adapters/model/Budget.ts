/**
 * What one sandbox has spent on the model in its life. Two counts are kept and the larger one decides: what passed
 * through the door, and the cumulative figure that the CLI reports for each session.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Fs from "node:fs"

export interface Budget {
  /** US dollars; 0 means no limit. */
  readonly limitUsd: number
  readonly spentUsd: Effect.Effect<number>
  /** True when there is a limit and it is reached. */
  readonly exhausted: Effect.Effect<boolean>
  /** One more answer passed the door. */
  readonly charge: (usd: number) => Effect.Effect<void>
  /** The CLI's own total of a session, over all its processes. Never lowers what is known; returns what is new, in USD. */
  readonly report: (session: string, totalUsd: number) => Effect.Effect<number>
}

const Amount = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))
const Stored = Schema.fromJsonString(Schema.Struct({ doorUsd: Amount, sessions: Schema.Record(Schema.String, Amount) }))
const decodeStored = Schema.decodeUnknownOption(Stored)
const encodeStored = Schema.encodeSync(Stored)

const make = (
  limitUsd: number,
  initial: { readonly doorUsd: number; readonly sessions: Readonly<Record<string, number>> },
  save: (text: string) => Effect.Effect<void>
): Budget => {
  let doorUsd = initial.doorUsd
  const sessions = new Map(Object.entries(initial.sessions))
  const spent = () => Math.max(doorUsd, Array.from(sessions.values()).reduce((sum, usd) => sum + usd, 0))
  const store = Effect.suspend(() => save(encodeStored({ doorUsd, sessions: Object.fromEntries(sessions) })))
  return {
    limitUsd,
    spentUsd: Effect.sync(spent),
    exhausted: Effect.sync(() => limitUsd > 0 && spent() >= limitUsd),
    charge: (usd) =>
      usd <= 0 ? Effect.void : Effect.suspend(() => {
        doorUsd += usd
        return store
      }),
    report: (session, totalUsd) =>
      Effect.suspend(() => {
        const before = sessions.get(session) ?? 0
        if (totalUsd <= before) return Effect.succeed(0)
        sessions.set(session, totalUsd)
        return Effect.as(store, totalUsd - before)
      })
  }
}

/** Kept in memory only. */
export const memory = (limitUsd: number): Budget => make(limitUsd, { doorUsd: 0, sessions: {} }, () => Effect.void)

/**
 * Kept in a file (0600), replaced whole on each change and not synced: a power loss may forget the last amounts. A
 * file that cannot be read counts as nothing spent and is said in the log; one that cannot be written, too.
 */
export const file = Effect.fn("Budget.file")(function*(path: string, limitUsd: number) {
  const text = yield* Effect.sync(() => {
    try {
      return Option.some(Fs.readFileSync(path, "utf8"))
    } catch {
      // No file yet: nothing was spent.
      return Option.none()
    }
  })
  const stored = Option.flatMap(text, decodeStored)
  if (Option.isSome(text) && Option.isNone(stored)) {
    yield* Effect.logWarning("the record of what was spent cannot be read and starts at 0").pipe(
      Effect.annotateLogs({ path })
    )
  }
  return make(
    limitUsd,
    Option.getOrElse(stored, () => ({ doorUsd: 0, sessions: {} })),
    (content) =>
      Effect.try(() => {
        Fs.writeFileSync(`${path}.new`, content, { mode: 0o600 })
        Fs.renameSync(`${path}.new`, path)
      }).pipe(
        Effect.catch((error) =>
          Effect.logWarning("what was spent could not be written down").pipe(
            Effect.annotateLogs({ path, cause: String(error.cause) })
          )
        )
      )
  )
})
