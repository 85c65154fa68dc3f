/**
 * One at a time for a pull request, over all sandboxes of the install: who merges it or moves one of its ends holds it
 * meanwhile. A sandbox's own runtime could not promise that to the others.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { isEnding } from "../../runtime/domain/sandbox/Sandbox.ts"
import {
  type BridgeResult,
  type PullHoldAction,
  pullHoldMillis,
  type PullReleaseAction
} from "../../runtime/domain/slack/BridgeProtocol.ts"
import { sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { Idempotency } from "../../runtime/ports/Idempotency.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import type { Caller } from "./Authenticator.ts"

type Held = Pick<typeof PullHoldAction.Type, "host" | "pull" | "repository">

const keyOf = ({ host, pull, repository }: Held): string => `${host}/${repository}/${pull}`

export class PullHolds extends Context.Service<PullHolds, {
  /** `in_progress` while somebody else holds it. */
  readonly hold: (caller: Caller, action: typeof PullHoldAction.Type) => Effect.Effect<BridgeResult, BridgeRefusal>
  /** Nothing happens where the token holds it no longer. */
  readonly release: (
    caller: Caller,
    action: typeof PullReleaseAction.Type
  ) => Effect.Effect<BridgeResult, BridgeRefusal>
}>()("km/bridge/actions/PullHolds") {
  static readonly layer = Layer.effect(
    PullHolds,
    Effect.gen(function*() {
      const idempotency = yield* Idempotency
      const sandboxes = yield* Sandboxes
      const settings = yield* BridgeSettings
      const scope = `${settings.install}/pulls`

      /** Of a repository that the sandbox has a token for: nobody keeps others from what it cannot reach itself. */
      const own = Effect.fnUntraced(function*({ sender }: Caller, { host, repository }: Held) {
        const row = sender === "operator"
          ? undefined
          : Option.getOrUndefined(yield* Effect.mapError(sandboxes.get(sender), refusalOfStore))
        const reaches = row?.github?.some((grant) =>
          grant.host === host && grant.writes && grant.repositories.some(({ id }) => id === repository)
        )
        if (row === undefined || isEnding(row) || reaches !== true) {
          return yield* new BridgeRefusal({
            code: "forbidden",
            detail: "the repository is not one this sandbox may write"
          })
        }
      })
      return PullHolds.of({
        hold: Effect.fn("PullHolds.hold")(function*(caller, action) {
          yield* own(caller, action)
          const begun = yield* Effect.mapError(
            idempotency.begin(scope, keyOf(action), sha256Hex(caller.sender), pullHoldMillis),
            refusalOfStore
          )
          // There are no results. Whoever's hold ran out may have acted, so the next one looks anew, as every one does.
          return begun._tag === "Fresh" || begun._tag === "Uncertain"
            ? { ok: true as const, hold: begun.token }
            : yield* new BridgeRefusal({
              code: "in_progress",
              detail: "another request holds the pull request",
              retryAfterMillis: begun._tag === "Pending" ? Math.min(begun.retryAfterMillis, pullHoldMillis) : 1_000
            })
        }),
        release: Effect.fn("PullHolds.release")(function*(caller, action) {
          yield* own(caller, action)
          const { restMillis, token } = action
          yield* Effect.mapError(
            restMillis === 0
              ? idempotency.abandon(scope, keyOf(action), token)
              : idempotency.release(scope, keyOf(action), token, restMillis),
            refusalOfStore
          )
          return { ok: true as const }
        })
      })
    })
  )
}
