/** The outcome of a mail's turn is in the channel once: as what was shown live, or as a post of its own. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import type { MailAccount } from "../../../plugins/email/MailAccount.ts"
import { makeMailOrigin, RunningMail } from "../../../plugins/email/MailOrigin.ts"
import { turnOriginOf } from "../../../plugins/email/MailTurns.ts"
import { MessageTs } from "../../../runtime/domain/sandbox/Ids.ts"
import { sha256Hex } from "../../../runtime/domain/text/Digest.ts"
import { outcomeText, visibleOutcome } from "../../../runtime/domain/turn/OutcomeText.ts"
import { AgentOutcome, type ShownPart, type TurnResult } from "../../../runtime/domain/turn/Turn.ts"
import { Bridge } from "../../../runtime/ports/Bridge.ts"
import { Mailbox } from "../../../runtime/ports/Mail.ts"
import { Redaction } from "../../../runtime/ports/Redaction.ts"
import { TurnQueue } from "../../../runtime/ports/TurnQueue.ts"
import { recordingBridge } from "../../support/RecordingBridge.ts"
import { channel, sandbox, slackRequest, turnRow } from "../../support/turnRows.ts"

/** It is not mailed back, so that only the channel is looked at. */
const origin = turnOriginOf({
  messageId: "<a@km.invalid>",
  delivery: "delivery-1",
  sender: sandbox,
  address: "sb-00000001@km.invalid",
  subject: "job",
  date: null,
  references: [],
  hop: 0,
  encrypted: false,
  answered: false,
  cut: false
})

const results: Record<AgentOutcome["_tag"], TurnResult> = {
  Answered: "answered",
  Failed: "failed",
  Cancelled: "cancelled",
  TimedOut: "failed",
  Crashed: "failed",
  SessionLost: "failed"
}

const redact = (text: string): string => Effect.runSync(Effect.provide(Redaction, Redaction.layer)).redact(text)

/** What a settled turn left in the channel below the line that announced its mail, and what it calls shown. */
const settle = (outcome: AgentOutcome, earlier: ReadonlyArray<string>, withOutcome: boolean) => {
  const bridge = recordingBridge()
  const row = turnRow({ ...slackRequest(1), origin }, { state: "answered", outcome, result: results[outcome._tag] })
  const live = [...earlier, ...(withOutcome ? [visibleOutcome(row, redact)] : [])].map((text, index): ShownPart => ({
    ts: MessageTs.make(`1700000001.00000${index}`),
    sha256: sha256Hex(text)
  }))
  return Effect.gen(function*() {
    const handler = makeMailOrigin({
      owner: sandbox,
      account: new Proxy({} as MailAccount, { get: () => assert.fail("nothing is mailed") }),
      mailbox: yield* Mailbox,
      queue: yield* TurnQueue,
      bridge: yield* Bridge,
      redaction: yield* Redaction,
      channel,
      transcript: true,
      announced: () => ({ key: "announced", markdown: "Mail from" })
    }, new RunningMail())
    const shown = yield* handler.settle(row, live)
    const posts = bridge.calls.flatMap(({ action, key }) =>
      action.action === "post" && key !== "announced" ? [action.markdown] : []
    )
    return { live, posts, shown, outcome: redact(outcomeText(row)) }
  }).pipe(
    Effect.provide(Layer.mergeAll(bridge.layer, Redaction.layer, Layer.mock(Mailbox, {}), Layer.mock(TurnQueue, {})))
  )
}

const Earlier = Schema.Array(Schema.String.check(Schema.isMaxLength(20))).check(Schema.isMaxLength(3))

describe("outcomes of mail's turns in the channel", () => {
  it.effect.prop(
    "what the last live message says word for word is not posted again, whatever became of the turn",
    [AgentOutcome, Earlier],
    ([outcome, earlier]) =>
      Effect.gen(function*() {
        const { live, posts, shown } = yield* settle(outcome, earlier, true)
        assert.deepStrictEqual(posts, [])
        assert.deepStrictEqual(shown, live)
      })
  )

  it.effect.prop(
    "what became of a turn that was not answered is posted once below other words",
    [AgentOutcome, Earlier],
    ([outcome, earlier]) =>
      Effect.gen(function*() {
        const { live, outcome: text, posts, shown } = yield* settle(outcome, earlier, false)
        if (outcome._tag === "Answered" && earlier.length > 0) {
          // The words are the answer.
          assert.deepStrictEqual(posts, [])
          assert.deepStrictEqual(shown, live)
          return
        }
        assert.lengthOf(posts, 1)
        assert.isNotEmpty(posts[0]?.trim())
        assert.include(posts[0], text.trim().slice(0, 200_000).toWellFormed())
        assert.deepStrictEqual(shown.map(({ sha256 }) => sha256), [sha256Hex(posts[0] ?? "")])
      })
  )
})
