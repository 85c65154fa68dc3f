/**
 * A sandbox asks for fresh tokens: written into its row, which wakes the refresher. The bridge neither holds a key of GitHub
 * nor sees a token.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { isEnding } from "../../runtime/domain/sandbox/Sandbox.ts"
import type { BridgeResult } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"
import type { Caller } from "./Authenticator.ts"

/** Milliseconds between two requests of a sandbox; each costs several calls of GitHub. */
export const refreshEveryMillis = 60_000

export class TokenRequests extends Context.Service<TokenRequests, {
  /** For the caller's own sandbox; `rate_limited` within a minute of the last one. */
  readonly refresh: (caller: Caller) => Effect.Effect<BridgeResult, BridgeRefusal>
}>()("km/bridge/actions/TokenRequests") {
  static readonly layer = Layer.effect(
    TokenRequests,
    Effect.gen(function*() {
      const sandboxes = yield* Sandboxes
      return TokenRequests.of({
        refresh: Effect.fn("TokenRequests.refresh")(function*({ sender }) {
          if (sender === "operator") {
            return yield* new BridgeRefusal({ code: "forbidden", detail: "this action is for sandboxes" })
          }
          const row = Option.getOrUndefined(yield* Effect.mapError(sandboxes.get(sender), refusalOfStore))
          if (row === undefined || isEnding(row) || row.github === undefined) {
            return yield* new BridgeRefusal({ code: "forbidden", detail: "this sandbox has no repositories" })
          }
          const now = yield* Clock.currentTimeMillis
          const left = (row.tokensWantedAt ?? 0) + refreshEveryMillis - now
          if (left > 0) {
            return yield* new BridgeRefusal({
              code: "rate_limited",
              detail: "tokens were asked for less than a minute ago",
              retryAfterMillis: Math.min(left, refreshEveryMillis)
            })
          }
          yield* Effect.mapError(
            sandboxes.update(sender, { tokensWantedAt: now }, { generation: row.generation, ending: false }),
            refusalOfStore
          )
          return { ok: true as const }
        })
      })
    })
  )
}
