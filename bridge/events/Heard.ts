/** When Slack was heard last, and what was refused last: what `km slack init` waits for and `km slack status` judges. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { HeardState } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { Idempotency } from "../../runtime/ports/Idempotency.ts"
import { BridgeSettings } from "../BridgeSettings.ts"

/** Ten years: that an address was proven does not age. */
const keptMillis = 10 * 365 * 24 * 3_600_000
const leaseMillis = 1_000

const FirstHeard = Schema.fromJsonString(Schema.Struct({ at: Schema.Int }))
const decode = Schema.decodeUnknownOption(FirstHeard)

export class Heard extends Context.Service<Heard, {
  /** What is proved to be Slack's, by its signature or by the socket it came over: a challenge, or an event. */
  readonly signed: (what: "challenge" | "event") => Effect.Effect<void>
  /** A request or an envelope that was refused, by its code. */
  readonly refused: (code: string, detail: string) => Effect.Effect<void>
  readonly state: Effect.Effect<HeardState>
}>()("km/bridge/events/Heard") {
  static readonly layer = Layer.effect(
    Heard,
    Effect.gen(function*() {
      const { install } = yield* BridgeSettings
      const idempotency = yield* Idempotency
      const startedAt = yield* Clock.currentTimeMillis
      let state: HeardState = { startedAt }
      let first: number | undefined

      /** Durable, because a bridge that was restarted hears of an old Events URL only when somebody writes. */
      const firstHeard = Effect.fnUntraced(function*(now: number | undefined) {
        if (first !== undefined) return first
        const begun = yield* idempotency.begin(`${install}/bridge`, "slack-heard", "", leaseMillis)
        if (begun._tag === "Done") first = Option.getOrUndefined(decode(begun.result))?.at
        else if (begun._tag !== "Pending" && now !== undefined) {
          const result = JSON.stringify({ at: now })
          yield* idempotency.complete(`${install}/bridge`, "slack-heard", begun.token, result, keptMillis)
          first = now
        } else if (begun._tag !== "Pending") {
          yield* idempotency.abandon(`${install}/bridge`, "slack-heard", begun.token)
        }
        return first
      }, Effect.orElseSucceed(() => first))

      return Heard.of({
        signed: Effect.fnUntraced(function*(what) {
          const now = yield* Clock.currentTimeMillis
          state = { ...state, ...(what === "challenge" ? { challengeAt: now } : { eventAt: now }) }
          if (first === undefined) yield* firstHeard(now)
        }),
        refused: (code, detail) =>
          Effect.map(Clock.currentTimeMillis, (at) => {
            state = { ...state, refused: { at, code, detail: detail.slice(0, 200) } }
          }),
        // What came while another look held the record is written down now: a challenge comes once.
        state: Effect.suspend(() => firstHeard(state.challengeAt ?? state.eventAt)).pipe(
          Effect.map((at) => ({ ...state, ...(at === undefined ? {} : { firstAt: at }) }))
        )
      })
    })
  )
}
