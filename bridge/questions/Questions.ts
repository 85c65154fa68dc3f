/**
 * Questions to people: shown with buttons, decided exactly once by a conditional write, in the journal before the agent
 * hears of it. Whatever a crash leaves undone of a decided question is carried on at the next start or click.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { type MessageTs, type SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { isEnding, type SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import type { AskAction, AskCloseAction, BridgeResult } from "../../runtime/domain/slack/BridgeProtocol.ts"
import {
  type Click,
  type ClickContext,
  type ClickVerdict,
  deciderOf,
  decodeQuestion,
  encodeQuestion,
  judgeClick,
  questionFact,
  questionFacts,
  QuestionId,
  type QuestionRecord,
  type QuestionSubject,
  withdraw
} from "../../runtime/domain/slack/Question.ts"
import { sha256Base64Url } from "../../runtime/domain/text/Digest.ts"
import { Audit } from "../../runtime/ports/Audit.ts"
import { backoffSchedule } from "../../runtime/ports/Backoff.ts"
import { Controls } from "../../runtime/ports/Controls.ts"
import { Errands } from "../../runtime/ports/Errands.ts"
import { Facts } from "../../runtime/ports/Facts.ts"
import { StoreError } from "../../runtime/ports/StoreError.ts"
import { unending } from "../../runtime/ports/Unending.ts"
import type { Caller } from "../actions/Authenticator.ts"
import { Messages } from "../actions/Messages.ts"
import { Ownership } from "../actions/Ownership.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { questionMessage } from "../render/questionBlocks.ts"
import { Poster } from "../slack/Poster.ts"
import type { SlackFailure } from "../slack/SlackErrors.ts"

/** A question ends this long before its sandbox does, so that the agent hears of it. */
export const beforeEndMillis = 60_000
/** Its runtime takes back a question at its deadline; where none does by then, the bridge does. */
const deadRuntimeMillis = 30_000
/** Between two looks at which questions are over; nothing is read unless one is. */
const endEvery = "5 seconds"
/** What is over is forgotten this long after its deadline; who clicks on it then is told that it is not known. */
export const keptMillis = 7 * 24 * 3_600_000

/** 0.5 s apart and doubling up to 30 s, some ten minutes in all; then the next start or click carries on. */
const patience = backoffSchedule({ firstMillis: 500, longestMillis: 30_000 }).pipe(Schedule.upTo({ times: 25 }))

/** Slack wants its answer within three seconds. */
const locateMillis = 1_500
/** Under which the message of a question is found again. */
const messageKey = (id: QuestionId): string => sha256Base64Url(`question/${id}`)

/** A record as it is kept: its text is what a change must still find. */
interface Kept {
  readonly record: QuestionRecord
  readonly stored: string
}

export class Questions extends Context.Service<Questions, {
  readonly ask: (
    caller: Caller,
    action: typeof AskAction.Type,
    uncertainSince: number | undefined
  ) => Effect.Effect<BridgeResult, BridgeRefusal>
  readonly close: (caller: Caller, action: typeof AskCloseAction.Type) => Effect.Effect<BridgeResult, BridgeRefusal>
  readonly find: (sandbox: SandboxId, id: QuestionId) => Effect.Effect<Option.Option<QuestionRecord>, StoreError>
  /** Judges and counts a click. `context` is asked for once, before the first look. */
  readonly click: (
    question: { readonly sandbox: SandboxId; readonly id: QuestionId },
    click: Click,
    context: (record: QuestionRecord) => Omit<ClickContext, "now">
  ) => Effect.Effect<ClickVerdict, StoreError>
}>()("km/bridge/questions/Questions") {
  static readonly layer = Layer.effect(
    Questions,
    Effect.gen(function*() {
      const facts = yield* Facts
      const audit = yield* Audit
      const controls = yield* Controls
      const errands = yield* Errands
      const messages = yield* Messages
      const ownership = yield* Ownership
      const poster = yield* Poster
      const { install } = yield* BridgeSettings

      const load = (sandbox: SandboxId, id: QuestionId) =>
        Effect.map(
          facts.get(sandbox, questionFact(id)),
          (stored) =>
            Option.flatMap(stored, (text) =>
              Option.map(decodeQuestion(text), (record): Kept => ({ record, stored: text })))
        )

      /** False: it is no longer what `was` says, and nothing changed. */
      const put = (record: QuestionRecord, was: string | undefined) =>
        facts.put(record.sandbox, questionFact(record.id), encodeQuestion(record), { was })

      /** Changes a question in one step, whoever else does; what it then is. */
      const change = Effect.fnUntraced(function*(
        sandbox: SandboxId,
        id: QuestionId,
        to: (record: QuestionRecord) => QuestionRecord
      ) {
        for (;;) {
          const kept = Option.getOrUndefined(yield* load(sandbox, id))
          if (kept === undefined) return undefined
          const next = to(kept.record)
          if (next === kept.record || (yield* put(next, kept.stored))) return next
        }
      })

      const carryOn = ({ id, sandbox }: Pick<QuestionRecord, "id" | "sandbox">) =>
        Effect.sync(() => errands.give({ _tag: "Question", sandbox, question: id }))

      /** Into the journal, then to the agent; both may happen twice after a crash, and mean the same. */
      const pass = Effect.fnUntraced(function*(record: QuestionRecord) {
        const { verdict } = record
        const decider = deciderOf(record)
        if (record.state !== "deciding" || verdict === undefined || decider === undefined) return
        const { callSha256, n, quorum, tool, turn } = record.subject
        for (const voice of verdict === "approved" ? record.approvals : [decider]) {
          yield* audit.record({
            actor: voice.user,
            action: verdict === "approved" ? "question.approve" : "question.deny",
            subject: record.sandbox,
            rule: `quorum ${quorum}`,
            verdict: verdict === "approved" ? "allowed" : "refused",
            detail: `${turn}/ask/${n} ${tool} ${callSha256}${record.chosen === undefined ? "" : ` ${record.chosen}`}`
          })
        }
        yield* controls.send(record.sandbox, {
          kind: "answer",
          id: `answer-${record.id}`,
          question: record.id,
          turn,
          n,
          verdict,
          ...(record.chosen === undefined ? {} : { chosen: record.chosen }),
          by: decider.name
        })
        yield* change(record.sandbox, record.id, (now) => now.state === "deciding" ? { ...now, state: "decided" } : now)
      })

      /** Until Slack shows what is kept, whoever else shows it meanwhile. */
      const show = Effect.fnUntraced(function*(sandbox: SandboxId, id: QuestionId) {
        for (let last = -1;;) {
          const kept = Option.getOrUndefined(yield* load(sandbox, id))
          if (kept === undefined) return
          const { channel, revision, shownRevision, ts } = kept.record
          if (ts === undefined || revision === last || (last < 0 && shownRevision >= revision)) return
          yield* poster.rebuild(channel, ts, questionMessage(kept.record), "question").pipe(
            // The message is gone, or the channel: nobody sees buttons there.
            Effect.catchIf(
              (failure: SlackFailure) => failure.kind === "Refused",
              (failure) =>
                Effect.logWarning("a question's message cannot be changed").pipe(
                  Effect.annotateLogs({ sandbox, error: failure.error })
                )
            )
          )
          yield* change(sandbox, id, (now) => now.shownRevision < revision ? { ...now, shownRevision: revision } : now)
          last = revision
        }
      })

      yield* errands.handle("Question", {
        run: ({ question, sandbox }) =>
          Effect.gen(function*() {
            const kept = Option.getOrUndefined(yield* load(sandbox, question))
            if (kept !== undefined) yield* pass(kept.record)
            yield* show(sandbox, question)
          }).pipe(
            Effect.retry(patience),
            Effect.catch((error) =>
              Effect.logError("a question waits for the next start of the bridge", error.message).pipe(
                Effect.annotateLogs({ sandbox })
              )
            )
          ),
        // The next start of the bridge carries on.
        dropped: () => undefined
      })

      /** Questions that may still be open, and when the bridge takes them back, Unix milliseconds. The facts have them too. */
      const open = new Map<QuestionId, { readonly sandbox: SandboxId; readonly endsAt: number }>()
      /** No question keeps its buttons for longer than it can be decided, whatever became of who asked. */
      const endLater = ({ id, sandbox, subject }: QuestionRecord): void =>
        void open.set(id, { sandbox, endsAt: subject.deadline + deadRuntimeMillis })
      const endDue = Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        for (const [id, { endsAt, sandbox }] of open) {
          if (endsAt > now) continue
          const record = yield* change(sandbox, id, (kept) => withdraw(kept, "expired"))
          open.delete(id)
          if (record !== undefined && record.shownRevision < record.revision) yield* carryOn(record)
        }
      }).pipe(Effect.catch((error) => Effect.logWarning("a question keeps its buttons for now", error.message)))
      yield* Effect.forkScoped(
        unending("taking questions back ended in a defect; it goes on", 0, Effect.delay(endDue, endEvery))
      )

      /** What an earlier process of the bridge has left. */
      const resume = Effect.gen(function*() {
        for (const { sandbox, value } of yield* facts.list(questionFacts)) {
          const record = Option.getOrUndefined(decodeQuestion(value))
          if (sandbox === "operator" || record === undefined) continue
          if (record.state === "deciding" || record.shownRevision < record.revision) yield* carryOn(record)
          if (record.state === "open") endLater(record)
        }
      })
      yield* Effect.forkScoped(
        resume.pipe(
          Effect.retry(patience),
          Effect.catch((error) => Effect.logError("questions left by an earlier bridge cannot be read", error.message))
        )
      )

      const prune = Effect.fnUntraced(function*(sandbox: SandboxId, now: number) {
        for (const { key, value } of yield* facts.list(questionFacts, sandbox)) {
          const record = Option.getOrUndefined(decodeQuestion(value))
          if (record === undefined || record.subject.deadline + keptMillis < now) yield* facts.remove(sandbox, key)
        }
      })

      const idOf = (row: SandboxRow, { n, turn }: Pick<QuestionSubject, "n" | "turn">): QuestionId =>
        QuestionId.make(sha256Base64Url(`question/${install}/${row.id}/${row.generation}/${turn}/${n}`))

      const own = Effect.fnUntraced(function*({ sender }: Caller) {
        if (sender === "operator") {
          return yield* new BridgeRefusal({ code: "forbidden", detail: "this action is for sandboxes" })
        }
        return yield* ownership.rowOf(sender)
      })

      /**
       * Where the bridge that posted a question died before it wrote down where: our own message with its key. A person may
       * be quicker than the runtime, which asks again only once the id's lease is over.
       */
      const locate = Effect.fnUntraced(function*(record: QuestionRecord) {
        const { askedAt, channel, id, sandbox, threadTs } = record
        const place = { channel, ...(threadTs === undefined ? {} : { threadTs }) }
        const found = yield* poster.find({ ...place, key: messageKey(id), since: askedAt }).pipe(
          Effect.timeoutOption(locateMillis),
          Effect.map(Option.flatten),
          Effect.orElseSucceed(() => Option.none<MessageTs>())
        )
        if (Option.isNone(found)) return false
        yield* change(sandbox, id, (now) => now.ts === undefined ? { ...now, ts: found.value } : now)
        return true
      })

      const posted = Effect.fnUntraced(function*(
        record: QuestionRecord,
        key: string,
        uncertainSince: number | undefined
      ) {
        const ts: MessageTs = yield* messages.put(record.sandbox, {
          key,
          channel: record.channel,
          ...(record.threadTs === undefined ? {} : { threadTs: record.threadTs }),
          markdown: "",
          built: questionMessage(record),
          purpose: "question",
          uncertainSince
        })
        const now = yield* change(record.sandbox, record.id, (kept) => kept.ts === undefined ? { ...kept, ts } : kept)
        // Taken back while it was being posted.
        if (now !== undefined && now.shownRevision < now.revision) yield* carryOn(now)
        return now ?? record
      })

      return Questions.of({
        ask: Effect.fn("Questions.ask")(function*(caller, action, uncertainSince) {
          const row = yield* own(caller)
          if (isEnding(row)) return yield* new BridgeRefusal({ code: "forbidden", detail: "the sandbox is ending" })
          const { question: subject } = action
          const id = idOf(row, subject)
          const end = row.expiresAt === undefined ? Infinity : row.expiresAt - beforeEndMillis
          const now = yield* Clock.currentTimeMillis
          const fresh: QuestionRecord = {
            id,
            sandbox: row.id,
            generation: row.generation,
            subject: { ...subject, deadline: Math.min(subject.deadline, end) },
            channel: action.channel,
            ...(action.threadTs === undefined ? {} : { threadTs: action.threadTs }),
            askedAt: now,
            // It waited for a bridge that was down longer than people were given.
            ...(Math.min(subject.deadline, end) > now
              ? { state: "open" as const }
              : { state: "withdrawn" as const, why: "expired" as const }),
            approvals: [],
            revision: 0,
            shownRevision: 0
          }
          const kept = yield* Effect.gen(function*() {
            yield* prune(row.id, now)
            // Durable before anybody can click on it.
            if (yield* put(fresh, undefined)) {
              if (fresh.state === "open") endLater(fresh)
              return fresh
            }
            return Option.getOrUndefined(yield* load(row.id, id))?.record ?? fresh
          }).pipe(Effect.mapError(refusalOfStore))
          if (kept.ts !== undefined || kept.state !== "open") return resultOf(kept)
          const shown = yield* posted(kept, messageKey(id), uncertainSince).pipe(
            Effect.mapError((error) => error instanceof StoreError ? refusalOfStore(error) : error)
          )
          return resultOf(shown)
        }),
        close: Effect.fn("Questions.close")(function*(caller, action) {
          const row = yield* own(caller)
          return yield* Effect.gen(function*() {
            const id = idOf(row, action)
            const before = Option.getOrUndefined(yield* load(row.id, id))
            // Decided, and its process died before it was in the journal: that comes first.
            if (before?.record.state === "deciding") yield* pass(before.record)
            const record = yield* change(row.id, id, (kept) => withdraw(kept, action.why))
            if (record === undefined) {
              return yield* new BridgeRefusal({ code: "bad_request", detail: "no such question" })
            }
            if (record.shownRevision < record.revision) yield* carryOn(record)
            return resultOf(record)
          }).pipe(Effect.mapError((error) => error instanceof StoreError ? refusalOfStore(error) : error))
        }),
        find: (sandbox, id) => Effect.map(load(sandbox, id), Option.map(({ record }) => record)),
        click: Effect.fn("Questions.click")(function*({ id, sandbox }, click, context) {
          for (;;) {
            const kept = Option.getOrUndefined(yield* load(sandbox, id))
            if (kept === undefined) return { _tag: "Refused" as const, why: "unknown" as const }
            const now = yield* Clock.currentTimeMillis
            const verdict = judgeClick(kept.record, click, { ...context(kept.record), now })
            if (verdict._tag === "Refused") {
              if (verdict.why === "unready" && (yield* locate(kept.record))) continue
              // Nobody took it back: its runtime is gone, or has not come to it.
              if (verdict.why === "expired" && kept.record.state === "open") {
                const late = yield* change(sandbox, id, (record) => withdraw(record, "expired"))
                if (late !== undefined) yield* carryOn(late)
              }
              if (kept.record.state === "deciding") yield* carryOn(kept.record)
              return verdict
            }
            if (!(yield* put(verdict.record, kept.stored))) continue
            yield* pass(verdict.record).pipe(
              Effect.catch((error) => Effect.logError("a decision is not passed on yet", error.message))
            )
            yield* carryOn(verdict.record)
            return verdict
          }
        })
      })
    })
  )
}

const resultOf = (record: QuestionRecord): BridgeResult => {
  const decided = record.state === "decided" && record.verdict !== undefined
  const by = deciderOf(record)?.name
  return {
    ok: true,
    question: {
      id: record.id,
      deadline: record.subject.deadline,
      // Until it is in the journal, a decision is nobody's.
      state: decided ? record.verdict : record.state === "withdrawn" ? "withdrawn" : "open",
      ...(decided && by !== undefined ? { by } : {}),
      ...(decided && record.chosen !== undefined ? { chosen: record.chosen } : {})
    },
    ...(record.ts === undefined ? {} : { parts: [{ ts: record.ts }] })
  }
}
