/** The bridge as the control plane uses it: bounded in time, and Slack's final word told apart from a passing fault. */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { type BridgeAction, type BridgeResult, undeliverableBridgeCodes } from "../../domain/slack/BridgeProtocol.ts"
import type { Bridge } from "../../ports/Bridge.ts"

/** A create, a destroy or a notice waits this long for the bridge; the bridge itself waits for Slack's rate limits. */
const patience = Duration.seconds(45)

/** What came of an operator's request. */
export type OperatorAnswer = Data.TaggedEnum<{
  Done: { readonly result: BridgeResult }
  /** Slack itself refuses for good: the channel is archived or gone, the token revoked. */
  Undeliverable: { readonly reason: string }
  /** The bridge is down, busy, or does not know our key: worth another try later. */
  NotNow: { readonly reason: string }
}>
export const OperatorAnswer = Data.taggedEnum<OperatorAnswer>()

/** Never fails and never waits longer than 45 s. The same `key` is the same request, however often it is asked. */
export const ask = (bridge: Bridge["Service"], key: string, action: BridgeAction): Effect.Effect<OperatorAnswer> =>
  bridge.call({ key, action }).pipe(
    Effect.map((result): OperatorAnswer => OperatorAnswer.Done({ result })),
    Effect.catch((refused) => {
      const reason = `the bridge refused ${action.action}: ${refused.detail} (${refused.code})`
      return Effect.succeed<OperatorAnswer>(
        undeliverableBridgeCodes.has(refused.code)
          ? OperatorAnswer.Undeliverable({ reason })
          : OperatorAnswer.NotNow({ reason })
      )
    }),
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () =>
        Effect.succeed<OperatorAnswer>(OperatorAnswer.NotNow({
          reason: `the bridge did not answer ${action.action} within ${Duration.toSeconds(patience)} s; ` +
            "is `km up` running?"
        }))
    })
  )
