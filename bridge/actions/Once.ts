/** Carries an effect out once for an id, whatever is asked again: the pending record, the lease and the recorded result. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { BridgeResult, retryableBridgeCodes } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { Idempotency } from "../../runtime/ports/Idempotency.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"

/**
 * Milliseconds a request holds its id, again and again for as long as it works or waits for its turn at Slack. After a
 * crash nobody acts on the id before this has passed.
 */
export const leaseMillis = 20_000
/** A request whose lease could not be renewed gives up and leaves its record pending this long before the lease ends. */
const marginMillis = 2_000
/** No request works longer than this: calls and uploads have ends of their own. */
export const holdMillis = 600_000
/**
 * After an attempt that ended in doubt the id rests this long before somebody looks: a call that was given up may still
 * be on its way for `slackTimeoutMillis`, and Slack shows what it took a moment later.
 */
export const doubtMillis = 10_000
/** Uploads move up to 100 MiB. */
export const uploadLeaseMillis = 180_000
/** Creating a channel and inviting people takes up to a hundred calls of slow tiers. */
export const channelLeaseMillis = 60_000
/** Results are kept 15 days (docs/architecture.md): longer than any outbox retries. */
export const recordMillis = 15 * 24 * 3_600_000

const ResultJson = Schema.fromJsonString(BridgeResult)
const encodeResult = Schema.encodeSync(ResultJson)
const decodeResult = Schema.decodeUnknownOption(ResultJson)

export interface OnceRequest {
  readonly scope: string
  readonly key: string
  readonly bodyHash: string
  readonly leaseMillis?: number
}

export class Once extends Context.Service<Once, {
  /**
   * `act` gets the time (Unix milliseconds) since when an earlier attempt may have acted, or undefined. A refusal of
   * it frees the id at once; an `uncertain` one leaves the doubt to the next attempt, after `doubtMillis`. What an earlier
   * attempt may have done stays in doubt until there is a result or a final refusal. An interruption leaves the id
   * pending until its lease ends.
   */
  readonly run: (
    request: OnceRequest,
    act: (uncertainSince: number | undefined) => Effect.Effect<BridgeResult, BridgeRefusal>
  ) => Effect.Effect<BridgeResult, BridgeRefusal>
}>()("km/bridge/actions/Once") {
  static readonly layer = Layer.effect(
    Once,
    Effect.gen(function*() {
      const idempotency = yield* Idempotency

      /** Renews the lease; fails before it ends where that is not possible, since then somebody else may act. */
      const holding = Effect.fnUntraced(function*({ key, scope }: OnceRequest, token: string, lease: number) {
        const begunAt = yield* Clock.currentTimeMillis
        for (let now = begunAt, until = begunAt + lease - marginMillis; now < Math.min(until, begunAt + holdMillis);) {
          yield* Effect.sleep(Math.min(lease / 2, until - now))
          const askedAt = yield* Clock.currentTimeMillis
          if (askedAt >= until) break
          const renewed = yield* idempotency.extend(scope, key, token, lease).pipe(
            Effect.timeoutOrElse({ duration: until - askedAt, orElse: () => Effect.succeed(false) }),
            Effect.orElseSucceed(() => false)
          )
          if (renewed) until = askedAt + lease - marginMillis
          // A store that does not answer takes time, too.
          now = yield* Clock.currentTimeMillis
        }
        return yield* new BridgeRefusal({
          code: "unavailable",
          detail: "it took too long",
          retryAfterMillis: 2_000,
          uncertain: true
        })
      })
      const run = Effect.fn("Once.run")(function*(
        request: OnceRequest,
        act: (uncertainSince: number | undefined) => Effect.Effect<BridgeResult, BridgeRefusal>
      ) {
        const { bodyHash, key, scope } = request
        const lease = request.leaseMillis ?? leaseMillis
        const begun = yield* Effect.mapError(idempotency.begin(scope, key, bodyHash, lease), refusalOfStore)
        if (begun._tag === "Pending") {
          return yield* new BridgeRefusal({
            code: "in_progress",
            detail: "",
            retryAfterMillis: Math.min(Math.max(begun.retryAfterMillis, 250), lease)
          })
        }
        if (begun._tag === "Done") {
          const recorded = Option.getOrElse(decodeResult(begun.result), (): BridgeResult => ({ ok: true }))
          if (begun.bodyHash === bodyHash) return { ...recorded, replayed: true }
          return yield* new BridgeRefusal({ code: "already_done", detail: "", recorded })
        }
        const since = begun._tag === "Uncertain" ? begun.startedAt : undefined
        const result = yield* Effect.raceFirst(act(since), holding(request, begun.token, lease)).pipe(
          Effect.tapError((refusal) =>
            // A record that cannot be freed is pending until its lease ends: late, never wrong.
            Effect.ignore(
              refusal.uncertain === true
                ? idempotency.release(scope, key, begun.token, doubtMillis)
                : since !== undefined && retryableBridgeCodes.has(refusal.code)
                ? idempotency.release(scope, key, begun.token, 0)
                : idempotency.abandon(scope, key, begun.token)
            )
          )
        )
        yield* Effect.mapError(
          idempotency.complete(scope, key, begun.token, encodeResult(result), recordMillis),
          refusalOfStore
        )
        return result
      })
      return Once.of({ run })
    })
  )
}
