/** `km slack test`: proves that the token works, that the scopes are there and that our metadata can be read back. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { ChannelId } from "../../runtime/domain/sandbox/Ids.ts"
import type { BridgeResult, TestAction } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { judgeScopes, requiredScopes } from "../../runtime/domain/slack/SlackNeeds.ts"
import { sha256Base64Url } from "../../runtime/domain/text/Digest.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { type BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"
import { Poster } from "../slack/Poster.ts"
import { callAs, SlackApi } from "../slack/SlackApi.ts"
import type { SlackFailure } from "../slack/SlackErrors.ts"

const Auth = Schema.Struct({
  user_id: Schema.String,
  team: Schema.optionalKey(Schema.String),
  response_metadata: Schema.optionalKey(Schema.Struct({ scopes: Schema.optionalKey(Schema.Array(Schema.String)) }))
})

interface Check {
  readonly name: string
  readonly ok: boolean
  readonly detail: string
}

const scopesCheck = (granted: ReadonlyArray<string>): Check => {
  const { missing, privateChannels } = judgeScopes(granted)
  return missing.length > 0
    ? {
      name: "scopes",
      ok: false,
      detail: `missing: ${missing.join(", ")}; install the app again with the manifest of \`km slack manifest\``
    }
    : {
      name: "scopes",
      ok: true,
      detail: privateChannels
        ? "all are granted"
        : `all ${requiredScopes.length} are granted; private channels are not wanted`
    }
}

const checked = (name: string, effect: Effect.Effect<string, SlackFailure>): Effect.Effect<Check> =>
  Effect.match(effect, {
    onSuccess: (detail) => ({ name, ok: true, detail }),
    onFailure: (failure) => ({ name, ok: false, detail: failure.message })
  })

export class SelfTest extends Context.Service<SelfTest, {
  /** Posts one message, reads it back and deletes it; without a channel it uses that of any sandbox. */
  readonly run: (action: typeof TestAction.Type) => Effect.Effect<BridgeResult, BridgeRefusal>
}>()("km/bridge/actions/SelfTest") {
  static readonly layer = Layer.effect(
    SelfTest,
    Effect.gen(function*() {
      const slack = yield* SlackApi
      const callAuth = callAs(slack, Auth)
      const poster = yield* Poster
      const sandboxes = yield* Sandboxes

      const someChannel = Effect.map(
        Effect.mapError(sandboxes.list, refusalOfStore),
        (rows) => rows.find((row) => row.channel !== undefined && row.desired !== "destroyed")?.channel
      )

      /** The message is deleted whatever the reading came to. */
      const readBack = Effect.fnUntraced(function*(channel: ChannelId) {
        const since = yield* Clock.currentTimeMillis
        const key = sha256Base64Url(`test/${channel}/${since}`)
        const ts = yield* poster.post({
          key,
          channel,
          markdown: "km checks that it can read its own marks. It deletes this."
        })
        const found = yield* Effect.ensuring(
          poster.find({ channel, key, since }),
          slack.call("chat.delete", { channel, ts }).pipe(
            Effect.catch((failure) =>
              Effect.logWarning("the test message could not be deleted").pipe(
                Effect.annotateLogs({ channel, ts, error: failure.error })
              )
            )
          )
        )
        return Option.isSome(found)
      })

      const run = Effect.fn("SelfTest.run")(function*(action: typeof TestAction.Type) {
        const auth = yield* Effect.result(callAuth("auth.test", {}))
        if (auth._tag === "Failure") {
          return { ok: true as const, checks: [{ name: "token", ok: false, detail: auth.failure.message }] }
        }
        const { response_metadata: metadata, team, user_id: user } = auth.success
        const checks: Array<Check> = [{ name: "token", ok: true, detail: `${user} in ${team ?? "the workspace"}` }]
        checks.push(
          metadata?.scopes === undefined
            ? { name: "scopes", ok: false, detail: "Slack did not say which scopes the token has" }
            : scopesCheck(metadata.scopes)
        )
        const channel = action.channel ?? (yield* someChannel)
        if (channel === undefined) {
          checks.push({ name: "metadata", ok: false, detail: "no channel to try it in; name one with --channel" })
        } else {
          const check = yield* checked("metadata", Effect.map(readBack(channel), (found) => found ? "read back" : ""))
          checks.push(
            check.ok && check.detail === ""
              ? {
                name: "metadata",
                ok: false,
                detail: "our own metadata is not readable; the app needs channels:history"
              }
              : check
          )
        }
        return { ok: true as const, checks }
      })
      return SelfTest.of({ run })
    })
  )
}
