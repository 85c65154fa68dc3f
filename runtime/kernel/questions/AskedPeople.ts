/**
 * The `Permissions` of a sandbox: rules first, then people by way of the bridge. A question is on disk before it is shown;
 * its answer comes as a control, is on disk before it is used, and is good for one call.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { judgeCall, type PermissionRule } from "../../domain/profile/PermissionRules.ts"
import { durationMillis } from "../../domain/profile/Profile.ts"
import type { ChannelId, MessageTs, TurnKey, UserId } from "../../domain/sandbox/Ids.ts"
import type { BridgeResult } from "../../domain/slack/BridgeProtocol.ts"
import { foreignLine } from "../../domain/text/ForeignText.ts"
import type { TurnRow } from "../../domain/turn/Turn.ts"
import type { Consent } from "../../ports/Agent.ts"
import { Bridge } from "../../ports/Bridge.ts"
import { type AnswerRequest, Controls, isAnswerRequest } from "../../ports/Controls.ts"
import { Ledger } from "../../ports/Ledger.ts"
import { type ConsentRequest, Permissions } from "../../ports/Permissions.ts"
import { Redaction } from "../../ports/Redaction.ts"
import { SandboxInfo } from "../../ports/SandboxInfo.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import { unending } from "../../ports/Unending.ts"
import {
  type BookEntry,
  closed,
  decided,
  emptyBook,
  entryFor,
  openEntries,
  QuestionBook,
  used
} from "./QuestionBook.ts"
import { callHash, shownCall } from "./ShownCall.ts"

const BookJson = Schema.fromJsonString(QuestionBook)
const decodeBook = Schema.decodeUnknownOption(BookJson)
const encodeBook = Schema.encodeSync(BookJson)

/** Of one turn, among the facts of the sandbox's ledger. */
const bookFact = (turn: TurnKey): string => `questions:${turn}`

/** Controls that cannot be read are tried again after this. */
const lookAgain = Duration.seconds(5)
/** The bridge decides what came in time; this much later it is asked, so that a click of the last moment counts. */
const lateMillis = 1_000
/** A bridge that does not say by then how a question ended leaves it denied. */
const closeLimit = Duration.seconds(20)

const given: Consent = { _tag: "Given" }
const denied = (reason: string): Consent => ({ _tag: "Denied", reason })

const ruleText = ({ command, tool }: PermissionRule): string => command === undefined ? tool : `${tool} (${command})`

/** Where the question is shown: the thread of the turn, else the sandbox's channel. */
const placeOf = (
  row: TurnRow,
  channel: ChannelId | undefined
): { readonly channel: ChannelId; readonly threadTs?: MessageTs } | undefined => {
  const { origin } = row.request
  if (origin.kind === "slack") return { channel: origin.channel, threadTs: origin.threadTs }
  return channel === undefined ? undefined : { channel }
}

const make = Effect.gen(function*() {
  const bridge = yield* Bridge
  const controls = yield* Controls
  const info = yield* SandboxInfo
  const ledger = yield* Ledger
  const { redact } = yield* Redaction
  const scope = yield* Effect.scope
  const { askTimeout, permissionRules } = info.profile.spec.agent
  const patienceMillis = durationMillis(askTimeout)

  const lock = yield* Semaphore.make(1)
  /** Questions that calls of this process wait for, by turn and number. */
  const waiters = new Map<TurnKey, Map<number, Deferred.Deferred<void>>>()
  const waitersOf = (turn: TurnKey): Map<number, Deferred.Deferred<void>> => {
    const known = waiters.get(turn) ?? new Map<number, Deferred.Deferred<void>>()
    waiters.set(turn, known)
    return known
  }

  const read = (turn: TurnKey) =>
    Effect.map(
      ledger.recall(bookFact(turn)),
      (fact) => Option.getOrElse(Option.flatMap(fact, decodeBook), () => emptyBook)
    )

  /** Changes a turn's book in one step; durable when it returns. */
  const change = <A>(
    turn: TurnKey,
    to: (book: QuestionBook) => { readonly book: QuestionBook; readonly value: A }
  ): Effect.Effect<A, StoreError> =>
    Semaphore.withPermit(
      lock,
      Effect.gen(function*() {
        const book = yield* read(turn)
        const next = to(book)
        if (next.book !== book) yield* ledger.remember(bookFact(turn), encodeBook(next.book))
        return next.value
      })
    )
  const changed = (turn: TurnKey, to: (book: QuestionBook) => QuestionBook) =>
    change(turn, (book) => ({ book: to(book), value: undefined }))

  const entryOf = (turn: TurnKey, n: number) =>
    Effect.map(read(turn), (book) => book.entries.find((entry) => entry.n === n))

  /** Hands a decision to the agent: from here on it is spent. */
  const spend = (turn: TurnKey, n: number): Effect.Effect<Consent, StoreError> =>
    change(turn, (book) => {
      const entry = book.entries.find((one) => one.n === n)
      if (entry === undefined || entry.used || (entry.state !== "approved" && entry.state !== "denied")) {
        return { book, value: denied("Nobody has allowed this.") }
      }
      return {
        book: used(book, n),
        value: entry.state === "approved"
          ? entry.chosen === undefined ? given : { _tag: "Given", chosen: entry.chosen }
          : denied(`${foreignLine(entry.by ?? "Somebody", 80)} denied this.`)
      }
    })

  const takeBack = (row: TurnRow, n: number, why: "expired" | "stopped" | "over") =>
    bridge.call({ key: `${row.key}/ask/${n}/close`, action: { action: "ask.close", turn: row.key, n, why } })

  /** As the bridge says, where it knows of a decision that has not come as a control yet. */
  const adopt = (turn: TurnKey, n: number, result: BridgeResult) => {
    const { by, chosen, state } = result.question ?? { state: "open" as const, chosen: undefined }
    return state === "approved" || state === "denied"
      ? changed(turn, (book) =>
        decided(book, n, {
          verdict: state,
          by: by ?? "Somebody",
          ...(chosen === undefined ? {} : { chosen })
        }))
      : Effect.void
  }

  /** Nobody decided in time: the bridge has the last word on that. */
  const expire = Effect.fnUntraced(function*(row: TurnRow, n: number) {
    const last = yield* Effect.option(takeBack(row, n, "expired").pipe(Effect.timeoutOption(closeLimit)))
    const result = Option.getOrUndefined(Option.flatten(last))
    if (result !== undefined) yield* adopt(row.key, n, result)
    yield* changed(row.key, (book) => closed(book, n))
    const entry = yield* entryOf(row.key, n)
    return entry?.state === "closed"
      ? denied(`Nobody decided about this within ${askTimeout}, so it is denied.`)
      : yield* spend(row.key, n)
  })

  /** Shows the question, unless that is done, and waits for its decision or its deadline. */
  const answered = Effect.fnUntraced(function*(
    request: ConsentRequest,
    entry: BookEntry,
    ask: { readonly quorum: number; readonly deciders: ReadonlyArray<UserId> | undefined },
    place: NonNullable<ReturnType<typeof placeOf>>,
    decision: Deferred.Deferred<void>
  ) {
    const { call, row } = request
    const { n } = entry
    const shown = bridge.call({
      key: `${row.key}/ask/${n}`,
      action: {
        action: "ask",
        ...place,
        question: {
          turn: row.key,
          n,
          session: row.session ?? missingSession(row),
          tool: call.tool.slice(0, 200),
          callSha256: entry.callSha256,
          ...shownCall(call, redact),
          quorum: ask.quorum,
          ...(ask.deciders === undefined ? {} : { deciders: ask.deciders }),
          deadline: entry.deadline
        }
      }
    })
    const asked = yield* Effect.result(Effect.raceFirst(
      shown,
      Effect.raceFirst(
        Effect.as(Deferred.await(decision), undefined),
        Effect.as(Effect.flatMap(left(entry.deadline), Effect.sleep), undefined)
      )
    ))
    if (asked._tag === "Failure") {
      yield* changed(row.key, (book) => closed(book, n))
      return denied(`Nobody could be asked about this, so it is denied: ${asked.failure.code}.`)
    }
    const question = asked.success?.question
    if (asked.success !== undefined) yield* adopt(row.key, n, asked.success)
    const open = (yield* entryOf(row.key, n))?.state === "open"
    if (!open) return yield* spend(row.key, n)
    if (question?.state !== "withdrawn") {
      const until = yield* left(Math.min(entry.deadline, question?.deadline ?? entry.deadline))
      const came = yield* Effect.timeoutOption(Deferred.await(decision), until)
      if (Option.isSome(came)) return yield* spend(row.key, n)
    }
    return yield* expire(row, n)
  })

  const consent = Effect.fn("Permissions.consent")(function*(request: ConsentRequest) {
    const { call, row } = request
    const verdict = judgeCall(permissionRules, call)
    // An answer of the user's is nothing that a rule could give.
    if (verdict.verdict === "allow" && call.choice === undefined) return given
    if (verdict.verdict === "deny") {
      return denied(
        `The rule ${ruleText(verdict.rule)} of this sandbox's profile denies this. Do not try it in other words.`
      )
    }
    const place = placeOf(row, info.channel)
    if (place === undefined) return denied("Nobody can be asked: this sandbox has no channel in Slack.")
    const now = yield* Clock.currentTimeMillis
    const callSha256 = callHash(call.tool, call.input)
    const claimed = waitersOf(row.key)
    const ask = verdict.verdict === "allow" || call.choice !== undefined
      ? { quorum: 1, deciders: verdict.verdict === "allow" ? undefined : verdict.deciders }
      : { quorum: verdict.quorum, deciders: verdict.deciders }
    return yield* Effect.acquireUseRelease(
      // Claimed in the same step in which it is found, so that no two calls wait for one question.
      change(row.key, (book) => {
        const next = entryFor(book, { callSha256, deadline: now + patienceMillis }, new Set(claimed.keys()))
        const decision = Deferred.makeUnsafe<void>()
        claimed.set(next.entry.n, decision)
        return { book: next.book, value: { entry: next.entry, decision } }
      }),
      ({ decision, entry }) =>
        entry.state === "open"
          ? request.waiting(answered(request, entry, ask, place, decision))
          : spend(row.key, entry.n),
      ({ entry }) => Effect.sync(() => void claimed.delete(entry.n))
    )
  }, (effect, { row }) =>
    effect.pipe(
      Effect.catchTag("StoreError", (error) =>
        Effect.as(
          Effect.logError("a question could not be kept", error.message),
          denied("Nobody could be asked about this, so it is denied.")
        )),
      Effect.catchDefect((defect) =>
        Effect.as(
          Effect.logError("asking people ended in a defect", defect),
          denied("Nobody could be asked about this.")
        )
      ),
      Effect.annotateLogs({ turn: row.key })
    ))

  const serve = Effect.fnUntraced(function*(answer: AnswerRequest) {
    yield* changed(answer.turn, (book) => decided(book, answer.n, answer))
    const waiter = waiters.get(answer.turn)?.get(answer.n)
    if (waiter !== undefined) yield* Deferred.succeed(waiter, undefined)
    yield* Effect.logInfo("a question was decided").pipe(
      Effect.annotateLogs({ turn: answer.turn, n: answer.n, verdict: answer.verdict })
    )
    yield* controls.acknowledge(info.id, answer.id)
  })

  yield* Effect.forkScoped(unending(
    "serving an answer ended in a defect; it is tried again",
    lookAgain,
    controls.watch(info.id).pipe(
      Stream.filter(isAnswerRequest),
      Stream.runForEach(serve),
      Effect.catch((error) => Effect.logWarning("answers of people cannot be read yet", error.message)),
      Effect.andThen(Effect.sleep(lookAgain))
    )
  ))

  const settled = Effect.fn("Permissions.settled")(function*(row: TurnRow) {
    waiters.delete(row.key)
    const open = openEntries(yield* read(row.key))
    const why = row.result === "cancelled" ? "stopped" : "over"
    for (const { n } of open) {
      // Not waited for: the next turn of the thread may begin. What a death takes away ends at its deadline.
      yield* takeBack(row, n, why).pipe(
        Effect.andThen(changed(row.key, (book) => closed(book, n))),
        Effect.ignore,
        Effect.forkIn(scope, { startImmediately: true })
      )
    }
  }, Effect.catch((error) => Effect.logWarning("open questions of a turn are left to their deadline", error.message)))

  return { consent, settled }
})

/** Milliseconds until nobody's click can count any more. */
const left = (deadline: number) =>
  Effect.map(Clock.currentTimeMillis, (now) => Math.max(0, deadline + lateMillis - now))

/** An agent runs for the turn, so its session is known. */
const missingSession = (row: TurnRow): never => {
  throw new Error(`turn ${row.key} has an agent and no session`)
}

export const layer = Layer.effect(Permissions, make)
