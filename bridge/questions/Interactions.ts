/**
 * Takes what people did with our buttons, whichever way it came: the checks in their order, one conditional write, and a
 * visible answer to whoever clicked.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { type MessageTs, slackTurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import { isEnding } from "../../runtime/domain/sandbox/Sandbox.ts"
import { type ClickRefusal, parseButtonValue } from "../../runtime/domain/slack/Question.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"
import { EventRefused } from "../BridgeErrors.ts"
import { Installation } from "../events/Installation.ts"
import { Refusals } from "../events/Refusals.ts"
import { textFault } from "../RawBody.ts"
import { Deciders } from "./Deciders.ts"
import { Questions } from "./Questions.ts"
import { readClick } from "./readClick.ts"
import { Whispers } from "./Whispers.ts"

/** What who clicked is told where the message itself does not say it. */
export const clickAnswers: Readonly<Record<ClickRefusal, string>> = {
  unknown: "This question is not known any more. Nothing was decided by your click.",
  gone: "The sandbox that asked this is gone. Nothing was decided by your click.",
  elsewhere: "This button does not belong to this message. Nothing was decided by your click.",
  unready: "This question is only just being asked. Click once more in a moment.",
  expired: "The time for this question is over, and it was denied. Nothing was decided by your click.",
  withdrawn: "The agent does not wait for this question any more. Nothing was decided by your click.",
  decided: "This question was decided before your click. The message says by whom.",
  not_yours: "This question is not yours to decide. The message says who may; operators always may.",
  again: "You have approved this already. It waits for others."
}

const notStored = (error: StoreError) =>
  new EventRefused({ reason: "not_stored", detail: `${error.port}.${error.operation}: ${error.reason}` })

export class Interactions extends Context.Service<Interactions, {
  /**
   * `source` is the JSON that `payload` was parsed from. Says what became of it; when it returns, Slack may be told that it
   * was taken. Its origin is proved; nothing else of it is believed yet.
   */
  readonly take: (source: string, payload: unknown) => Effect.Effect<string, EventRefused>
}>()("km/bridge/questions/Interactions") {
  static readonly layer = Layer.effect(
    Interactions,
    Effect.gen(function*() {
      const deciders = yield* Deciders
      const installation = yield* Installation
      const questions = yield* Questions
      const refusals = yield* Refusals
      const sandboxes = yield* Sandboxes
      const whispers = yield* Whispers

      const take = Effect.fn("Interactions.take")(function*(source: string, payload: unknown) {
        const fault = textFault(source, payload, { controls: false })
        if (fault !== undefined) return yield* new EventRefused({ reason: "bad_text", detail: fault })
        const read = readClick(payload)
        if (read === undefined) {
          return yield* new EventRefused({ reason: "bad_event", detail: "an unknown interaction" })
        }
        if (read._tag === "Ignored") return read.why
        const { actionTs, appId, click, threadTs, userTeam } = read
        yield* installation.check(click.team, appId)

        const answered = (why: ClickRefusal) =>
          Effect.as(
            whispers.tell({
              key: `${click.channel}/${click.message}/${click.user}/${actionTs}`,
              channel: click.channel,
              ...(threadTs === undefined ? {} : { threadTs }),
              user: click.user,
              text: clickAnswers[why]
            }),
            why
          )

        const names = Option.getOrUndefined(parseButtonValue(click.value))
        if (names === undefined) return yield* answered("unknown")
        const row = Option.getOrUndefined(yield* Effect.mapError(sandboxes.get(names.sandbox), notStored))
        if (row === undefined || isEnding(row)) return yield* answered("gone")
        const standing = yield* deciders.standing(row, { team: click.team, user: click.user, userTeam })
        const verdict = yield* Effect.mapError(
          questions.click(names, click, (record) => ({
            ...standing,
            generation: row.generation,
            sameChannel: click.channel === record.channel ||
              (click.channel === row.channel && row.formerChannels?.includes(record.channel) === true)
          })),
          notStored
        )
        if (verdict._tag === "Counted") return verdict.record.verdict ?? "counted"
        if (verdict.why === "not_yours") {
          const thread: MessageTs = threadTs ?? click.message
          yield* refusals.record({
            person: click.user,
            reason: "not_allowed",
            channel: click.channel,
            threadTs: thread,
            turn: slackTurnKey(click.team, click.channel, click.message),
            sandbox: row.id
          })
        }
        return yield* answered(verdict.why)
      })
      return Interactions.of({ take })
    })
  )
}
