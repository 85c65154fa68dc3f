/**
 * Tells the channel and the operator of a sandbox's life, each notice once: written down as a fact when it is due, sent under
 * a key that bridge and mail know a repetition by, and struck off each way by itself.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SandboxId, SenderId } from "../../domain/sandbox/Ids.ts"
import {
  type Announcement,
  announcementsOf,
  decodeNotice,
  encodeNotice,
  type Notice,
  noticeKey,
  noticeOf,
  noticePrefix
} from "../../domain/sandbox/Notice.ts"
import type { ReportedSandbox, SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { Bridge } from "../../ports/Bridge.ts"
import { changeFact, type Fact, Facts } from "../../ports/Facts.ts"
import { Sandboxes } from "../../ports/Sandboxes.ts"
import { unending } from "../../ports/Unending.ts"
import { NoticeMail } from "../mail/NoticeMail.ts"
import { ask } from "./OperatorBridge.ts"

/** A notice is due from now on. Written down once, whoever does it again. */
export const writeNotice = Effect.fn("Notices.write")(function*(row: SandboxRow, what: Announcement) {
  const facts = yield* Facts
  const notice = noticeOf(row, what, yield* Clock.currentTimeMillis)
  yield* facts.put(row.id, noticeKey(row, what.id), encodeNotice(notice), { was: undefined })
})

/** Keys of notices that are known to be written down, by sandbox: what is asked in each round is asked of memory. */
export type KnownNotices = Map<SandboxId, ReadonlySet<string>>

/** Everything that is due of this sandbox and not written down yet. */
export const writeNotices = Effect.fn("Notices.writeAll")(function*(
  row: ReportedSandbox,
  now: number,
  known: KnownNotices
) {
  const facts = yield* Facts
  for (const what of announcementsOf(row, now)) {
    const key = noticeKey(row, what.id)
    const before = known.get(row.id) ?? new Set()
    if (before.has(key)) continue
    if (Option.isNone(yield* facts.get(row.id, key))) yield* writeNotice(row, what)
    known.set(row.id, new Set([...before, key]))
  }
})

/** Plain text of the few marks that notices have. */
const plain = (markdown: string): string => markdown.replaceAll(/[`*]/g, "")

/** Between two looks at what is due. */
const sendEvery = Duration.seconds(10)

/** Sends what is due. What cannot be sent now stays due; what nobody will ever take is struck off with a line in the log. */
export const sendNotices = Effect.gen(function*() {
  const bridge = yield* Bridge
  const facts = yield* Facts
  const mail = yield* NoticeMail
  const sandboxes = yield* Sandboxes

  const done = ({ key, sandbox }: Fact, way: "slack" | "mail") =>
    changeFact(facts, sandbox, key, (was) => {
      const notice = was === undefined ? undefined : decodeNotice(was)
      return notice === undefined ? undefined : encodeNotice({ ...notice, [way]: "done" })
    })

  const toSlack = Effect.fnUntraced(function*(fact: Fact, notice: Notice) {
    if (notice.slack !== "due" || notice.channel === undefined) return true
    const { channel, text: markdown } = notice
    const answer = yield* ask(bridge, `${fact.sandbox}/${fact.key}`, { action: "post", channel, markdown })
    if (answer._tag === "NotNow") return false
    if (answer._tag === "Undeliverable") yield* Effect.logInfo("slack will not take a notice", answer.reason)
    yield* done(fact, "slack")
    return true
  })

  const byMail = Effect.fnUntraced(function*(fact: Fact, notice: Notice) {
    if (notice.mail !== "due") return true
    const letter = { key: `${fact.sandbox}/${fact.key}`, subject: notice.subject, body: plain(notice.text) }
    const sent = yield* Effect.result(mail.send(letter))
    if (sent._tag === "Failure") {
      yield* Effect.logDebug("a notice is not mailed yet").pipe(
        Effect.annotateLogs({ code: sent.failure.code, why: sent.failure.why })
      )
      return false
    }
    yield* done(fact, "mail")
    return true
  })

  const all = (yield* facts.list(noticePrefix))
    .map((fact) => ({ fact, at: decodeNotice(fact.value)?.at ?? 0 }))
    .toSorted((a, b) => a.at - b.at)
  /** Of every sandbox that notices are kept of. A new one's come after its row. */
  const living = new Set<SenderId>(all.length === 0 ? [] : (yield* sandboxes.list).map(({ id }) => id))

  const handle = Effect.fnUntraced(function*(fact: Fact) {
    const notice = decodeNotice(fact.value)
    if (notice === undefined) {
      yield* Effect.logError("a notice cannot be read and is left out").pipe(Effect.annotateLogs({ key: fact.key }))
      return yield* facts.remove(fact.sandbox, fact.key)
    }
    const told = [yield* toSlack(fact, notice), yield* byMail(fact, notice)].every((way) => way)
    // A sandbox whose row is gone has no more notices: those that were told are forgotten.
    const gone = fact.sandbox !== "operator" && !living.has(fact.sandbox)
    if (told && gone) yield* facts.remove(fact.sandbox, fact.key)
  })

  for (const { fact } of all) yield* Effect.annotateLogs(handle(fact), { sandbox: fact.sandbox })
}).pipe(
  Effect.catch((error) => Effect.logWarning("notices wait for the next round", error.message)),
  Effect.withSpan("Notices.send")
)

/** Sends for as long as it runs; one per install, as the control plane is. */
export const notices = unending(
  "sending notices ended in a defect; they are sent in the next round",
  sendEvery,
  Effect.andThen(sendNotices, Effect.sleep(sendEvery))
)
