/**
 * `POST /v2`: the checks in the order of docs/bridge-protocol.md, then the action or those of a batch, then an answer that every
 * client can act on.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { actionTraits } from "../../runtime/domain/slack/ActionTraits.ts"
import { type BatchAnswer, BatchRequest } from "../../runtime/domain/slack/BridgeBatch.ts"
import {
  BridgeAction,
  type BridgeAnswer,
  type BridgeResult,
  maxBridgeBodyBytes,
  retryableBridgeCodes,
  workingEmoji
} from "../../runtime/domain/slack/BridgeProtocol.ts"
import { sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { bridgeErrors, BridgeRefusal, failureOf } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { jsonOf, readBody, textFault, textOf } from "../RawBody.ts"
import { maxMessageCharacters } from "../render/splitMarkdown.ts"
import { Actions } from "./Actions.ts"
import { Authenticator, type Caller } from "./Authenticator.ts"
import { channelLeaseMillis, leaseMillis, Once, uploadLeaseMillis } from "./Once.ts"

/** ⏳ comes and goes with nothing to find again: it is answered before it is set, and nobody repeats it for long. */
const isPassing = (action: BridgeAction): boolean =>
  (action.action === "react" || action.action === "unreact") && action.emoji === workingEmoji

const decodeBatch = Schema.decodeUnknownEffect(BatchRequest)
const decodeAction = Schema.decodeUnknownEffect(BridgeAction)
const decodeName = Schema.decodeUnknownOption(Schema.Struct({ action: Schema.String }))
const actionNames: ReadonlySet<string> = new Set(BridgeAction.members.map((member) => member.fields.action.literal))

/** What an action that stands behind one that failed in passing is answered: nothing of it was done. */
const behind = (failed: BridgeRefusal): BridgeRefusal =>
  new BridgeRefusal({
    code: "in_progress",
    detail: "one before it in its batch has to be asked for again",
    ...(failed.retryAfterMillis === undefined ? {} : { retryAfterMillis: failed.retryAfterMillis })
  })

const logged = (refusal: BridgeRefusal): Effect.Effect<void> =>
  Effect.logInfo("request refused").pipe(
    Effect.annotateLogs({ code: bridgeErrors[refusal.code].code, detail: refusal.detail })
  )

const bad = (detail: string) => new BridgeRefusal({ code: "bad_request", detail })

export class V2Handler extends Context.Service<V2Handler, {
  readonly handle: (request: HttpServerRequest) => Effect.Effect<HttpServerResponse.HttpServerResponse>
}>()("km/bridge/actions/V2Handler") {
  static readonly layer = Layer.effect(
    V2Handler,
    Effect.gen(function*() {
      const authenticator = yield* Authenticator
      const actions = yield* Actions
      const once = yield* Once
      const settings = yield* BridgeSettings
      const scope = yield* Effect.scope

      const decoded = Effect.fnUntraced(function*(body: Uint8Array) {
        const text = textOf(body)
        if (Option.isNone(text)) return yield* bad("the body is not UTF-8")
        const json = jsonOf(text.value)
        if (Option.isNone(json)) return yield* bad("the body is not JSON")
        // Control characters in a text are taken out when it is rendered; half characters cannot be repaired.
        const fault = textFault(text.value, json.value, { controls: false })
        if (fault !== undefined) return yield* bad(fault)
        return json.value
      })

      const actionOf = Effect.fnUntraced(function*(json: unknown) {
        const name = Option.getOrUndefined(decodeName(json))?.action
        if (name !== undefined && !actionNames.has(name)) {
          return yield* new BridgeRefusal({ code: "unknown_action", detail: name.slice(0, 60) })
        }
        return yield* Effect.mapError(decodeAction(json), (error) => bad(error.message.slice(0, 400)))
      })

      /** One action of a caller whose signature holds. `bodyHash` is of what would be its own request's body. */
      const carryOutOne = Effect.fnUntraced(function*(caller: Caller, json: unknown, bodyHash: string) {
        const action = yield* actionOf(json)
        yield* Effect.annotateCurrentSpan({ "km.sender": caller.sender, "km.action": action.action })
        const { asks, repeats } = actionTraits[action.action]
        if (asks === "operator" && caller.sender !== "operator") {
          return yield* new BridgeRefusal({ code: "forbidden", detail: `${action.action} is for operators` })
        }
        yield* actions.permit(caller, action)
        const act = (uncertainSince: number | undefined): Effect.Effect<BridgeResult, BridgeRefusal> =>
          actions.act(caller, action, uncertainSince)
        if (repeats === "again" || isPassing(action)) return yield* act(undefined)
        return yield* once.run(
          {
            scope: `${settings.install}/${caller.sender}`,
            key: caller.id,
            bodyHash,
            leaseMillis: leaseOf(action)
          },
          act
        )
      })

      /** In their order; what is behind an action that is to be asked for again is not begun, or it could overtake it. */
      const carryOutBatch = Effect.fnUntraced(function*(caller: Caller, json: unknown) {
        const { actions: asked } = yield* Effect.mapError(
          decodeBatch(json),
          (error) => bad(error.message.slice(0, 400))
        )
        yield* Effect.annotateCurrentSpan({ "km.sender": caller.sender, "km.action": "batch" })
        const answers: Array<BridgeAnswer> = []
        let failed: BridgeRefusal | undefined
        for (const { action, id } of asked) {
          const answer = failed !== undefined
            ? failureOf(behind(failed))
            : yield* carryOutOne({ ...caller, id }, action, sha256Hex(JSON.stringify(action))).pipe(
              Effect.withSpan("V2Handler.ofBatch"),
              Effect.catchTag("BridgeRefusal", (refusal) => {
                if (retryableBridgeCodes.has(refusal.code)) failed = refusal
                return Effect.as(logged(refusal), failureOf(refusal))
              })
            )
          answers.push(answer)
        }
        const whole: BatchAnswer = { ok: true, answers }
        return whole
      })

      const carryOut = Effect.fn("V2Handler.carryOut")(function*(request: HttpServerRequest) {
        const body = yield* Effect.mapError(
          readBody(request, maxBridgeBodyBytes),
          (fault) => fault === "too_large" ? new BridgeRefusal({ code: "too_large", detail: "" }) : bad("cut short")
        )
        const caller = yield* authenticator.check({
          method: request.method,
          path: pathOf(request.url),
          headers: request.headers,
          body
        })
        const json = yield* decoded(body)
        return Option.getOrUndefined(decodeName(json))?.action === "batch"
          ? yield* carryOutBatch(caller, json)
          : yield* carryOutOne(caller, json, sha256Hex(body))
      })

      const handle = Effect.fn("V2Handler.handle")(
        function*(request: HttpServerRequest) {
          // A client that hangs up must not cut an action in two: it runs in the bridge's own scope to its end.
          const fiber = yield* Effect.forkIn(carryOut(request), scope, { startImmediately: true })
          const result = yield* Fiber.join(fiber)
          return HttpServerResponse.jsonUnsafe(
            result,
            "replayed" in result && result.replayed === true ? { headers: { "km-replayed": "true" } } : {}
          )
        },
        Effect.catchTag("BridgeRefusal", (refusal) =>
          Effect.as(
            logged(refusal),
            HttpServerResponse.jsonUnsafe(failureOf(refusal), {
              status: bridgeErrors[refusal.code].status,
              ...(refusal.retryAfterMillis === undefined
                ? {}
                : { headers: { "retry-after": String(Math.max(1, Math.ceil(refusal.retryAfterMillis / 1000))) } })
            })
          ))
      )
      return V2Handler.of({ handle })
    })
  )
}

/** A long text becomes messages at one a second. */
const leaseOf = (action: BridgeAction): number =>
  actionTraits[action.action].movesFile
    ? uploadLeaseMillis
    : action.action === "channel.ensure"
    ? channelLeaseMillis
    : action.action === "post"
    ? leaseMillis + Math.floor(action.markdown.length / maxMessageCharacters) * 2_000
    : leaseMillis

const pathOf = (url: string): string => url.split("?")[0] ?? url
