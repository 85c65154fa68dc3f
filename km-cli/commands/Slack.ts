/** `km slack status` and `km slack test`: where Slack is, and a real call that proves it works. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ChannelId } from "../../runtime/domain/sandbox/Ids.ts"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { kmError } from "../KmError.ts"
import { bridgeAnswers, needBridge, opened } from "../Opened.ts"
import { columns, data } from "../Output.ts"

export const slackStatus = Effect.fn("km.slack.status")(function*() {
  const { backend } = yield* opened
  const install = yield* backend.install
  const healthy = yield* bridgeAnswers(install)
  const paths = yield* Effect.flatMap(Secrets, (secrets) => secrets.under("slack")).pipe(
    Effect.provide(backend.ports("short"))
  )
  const has = (name: string) => paths.some(({ path }) => path === `slack/${name}`)
  yield* data(
    columns([
      ["workspace", install.local ? "local (km up)" : "slack.com"],
      ["api", install.slackApiUrl],
      ["team", install.teamId ?? "not known yet"],
      ["app", install.appId ?? "not known yet"],
      ["bot token", has("bot-token") ? "stored" : "missing"],
      ["signing secret", has("signing-secret") ? "stored" : "missing"],
      ["bridge", `${install.bridgeUrl} ${healthy ? "healthy" : "does not answer"}`]
    ]),
    {
      ok: true,
      local: install.local,
      api: install.slackApiUrl,
      team: install.teamId ?? null,
      app: install.appId ?? null,
      botToken: has("bot-token"),
      signingSecret: has("signing-secret"),
      bridge: { url: install.bridgeUrl, healthy }
    }
  )
})

export const slackTest = Effect.fn("km.slack.test")(function*(input: { readonly channel: Option.Option<string> }) {
  const { backend } = yield* opened
  const install = yield* backend.install
  const channel = Option.map(input.channel, (text) => Schema.decodeOption(ChannelId)(text))
  if (Option.isSome(channel) && Option.isNone(channel.value)) {
    return yield* kmError("KM-CLI-001", "--channel takes a channel id (C…)", "")
  }
  yield* needBridge(backend, install)
  const now = yield* Clock.currentTimeMillis
  const result = yield* Effect.flatMap(Bridge, (bridge) =>
    bridge.call({
      key: `slack-test/${now}`,
      patience: "besteffort",
      action: {
        action: "test",
        ...Option.match(Option.flatten(channel), { onNone: () => ({}), onSome: (id) => ({ channel: id }) })
      }
    })).pipe(
      Effect.provide(backend.bridge(install).pipe(Layer.provide(backend.ports("short"))))
    )
  const checks = result.checks ?? []
  const ok = checks.length > 0 && checks.every((check) => check.ok)
  yield* data(
    columns(checks.map((check) => [check.ok ? "ok" : "FAILED", check.name, check.detail])),
    { ok, checks }
  )
  if (!ok) return yield* kmError("KM-CLI-013", "Slack did not pass", "", "follow the failed check above")
})
