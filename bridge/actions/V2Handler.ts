/** `POST /v2`: the checks in the order of docs/bridge-protocol.md, then the action, then an answer that every client can act on. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { actionTraits } from "../../runtime/domain/slack/ActionTraits.ts"
import { BridgeAction, type BridgeResult, maxBridgeBodyBytes } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { bridgeErrors, BridgeRefusal, failureOf } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { jsonOf, readBody, textFault, textOf } from "../RawBody.ts"
import { maxMessageCharacters } from "../render/splitMarkdown.ts"
import { Actions } from "./Actions.ts"
import { Authenticator } from "./Authenticator.ts"
import { channelLeaseMillis, leaseMillis, Once, uploadLeaseMillis } from "./Once.ts"

const decodeAction = Schema.decodeUnknownEffect(BridgeAction)
const decodeName = Schema.decodeUnknownOption(Schema.Struct({ action: Schema.String }))
const actionNames: ReadonlySet<string> = new Set(BridgeAction.members.map((member) => member.fields.action.literal))

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
        const name = Option.getOrUndefined(decodeName(json.value))?.action
        if (name !== undefined && !actionNames.has(name)) {
          return yield* new BridgeRefusal({ code: "unknown_action", detail: name.slice(0, 60) })
        }
        return yield* Effect.mapError(decodeAction(json.value), (error) => bad(error.message.slice(0, 400)))
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
        const action = yield* decoded(body)
        yield* Effect.annotateCurrentSpan({ "km.sender": caller.sender, "km.action": action.action })
        const { asks, repeats } = actionTraits[action.action]
        if (asks === "operator" && caller.sender !== "operator") {
          return yield* new BridgeRefusal({ code: "forbidden", detail: `${action.action} is for operators` })
        }
        yield* actions.permit(caller, action)
        const act = (uncertainSince: number | undefined): Effect.Effect<BridgeResult, BridgeRefusal> =>
          actions.act(caller, action, uncertainSince)
        if (repeats === "again") return yield* act(undefined)
        return yield* once.run(
          {
            scope: `${settings.install}/${caller.sender}`,
            key: caller.id,
            bodyHash: sha256Hex(body),
            leaseMillis: leaseOf(action)
          },
          act
        )
      })

      const handle = Effect.fn("V2Handler.handle")(
        function*(request: HttpServerRequest) {
          // A client that hangs up must not cut an action in two: it runs in the bridge's own scope to its end.
          const fiber = yield* Effect.forkIn(carryOut(request), scope, { startImmediately: true })
          const result = yield* Fiber.join(fiber)
          return HttpServerResponse.jsonUnsafe(
            result,
            result.replayed === true ? { headers: { "km-replayed": "true" } } : {}
          )
        },
        Effect.catchTag("BridgeRefusal", (refusal) =>
          Effect.as(
            Effect.logInfo("request refused").pipe(
              Effect.annotateLogs({ code: bridgeErrors[refusal.code].code, detail: refusal.detail })
            ),
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
