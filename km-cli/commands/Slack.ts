/** `km slack status` and `km slack test`: what is wrong with the connection to Slack, and a real call that proves it. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Install } from "../../runtime/domain/install/Install.ts"
import { ChannelId } from "../../runtime/domain/sandbox/Ids.ts"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import type { Backend } from "../Backend.ts"
import { kmError } from "../KmError.ts"
import { bridgeAnswers, needBridge, opened } from "../Opened.ts"
import { columns, data } from "../Output.ts"
import { slackHealth } from "../slack/Health.ts"
import { slackError } from "../slack/SlackCodes.ts"

/** The workspace of `km up` needs no set-up, so there is nothing of it to judge. */
const localStatus = Effect.fnUntraced(function*(backend: Backend, install: Install) {
  const healthy = yield* bridgeAnswers(install)
  const paths = yield* Effect.flatMap(Secrets, (secrets) => secrets.under("slack")).pipe(
    Effect.provide(backend.ports("short"))
  )
  const has = (name: string) => paths.some(({ path }) => path === `slack/${name}`)
  yield* data(
    columns([
      ["workspace", "local (km up)"],
      ["api", install.slackApiUrl],
      ["team", install.teamId ?? "not known yet"],
      ["app", install.appId ?? "not known yet"],
      ["bot token", has("bot-token") ? "stored" : "missing"],
      ["signing secret", has("signing-secret") ? "stored" : "missing"],
      ["bridge", `${install.bridgeUrl} ${healthy ? "healthy" : "does not answer"}`],
      ["next", "km slack init"]
    ]),
    {
      ok: true,
      local: true,
      api: install.slackApiUrl,
      team: install.teamId ?? null,
      app: install.appId ?? null,
      botToken: has("bot-token"),
      signingSecret: has("signing-secret"),
      bridge: { url: install.bridgeUrl, healthy },
      checks: []
    }
  )
})

export const slackStatus = Effect.fn("km.slack.status")(function*() {
  const { backend } = yield* opened
  const install = yield* backend.install
  if (install.local) return yield* localStatus(backend, install)
  const checks = yield* slackHealth(backend, install)
  const marks = { ok: "ok", warn: "warn", error: "WRONG", skip: "-" }
  const isOk = checks.every(({ status }) => status !== "error")
  const paths = yield* Effect.flatMap(Secrets, (secrets) => secrets.under("slack")).pipe(
    Effect.provide(backend.ports("short"))
  )
  const has = (name: string) => paths.some(({ path }) => path === `slack/${name}`)
  yield* data(
    [
      ...columns(checks.map((check) => [marks[check.status], check.name, check.code ?? "", check.detail])),
      ...checks.flatMap(({ code, next }) => code === undefined || next === undefined ? [] : [`${code}: ${next}`])
    ],
    {
      ok: isOk,
      local: false,
      api: install.slackApiUrl,
      team: install.teamId ?? null,
      app: install.appId ?? null,
      botToken: has("bot-token"),
      signingSecret: has("signing-secret"),
      appToken: has("app-token"),
      transport: install.slackTransport ?? null,
      bridge: {
        url: install.bridgeUrl,
        healthy: checks.some(({ name, status }) => name === "bridge" && status === "ok")
      },
      checks
    }
  )
  const first = checks.find(({ status }) => status === "error")
  if (first?.code !== undefined) return yield* slackError(first.code, first.name, first.detail, first.next)
})

export const slackTest = Effect.fn("km.slack.test")(function*(input: { readonly channel: Option.Option<string> }) {
  const { backend } = yield* opened
  const install = yield* backend.install
  const channel = Option.map(input.channel, (text) => Schema.decodeOption(ChannelId)(text))
  if (Option.isSome(channel) && Option.isNone(channel.value)) {
    return yield* kmError("KM-CLI-001", "--channel takes a channel id (C…)", "")
  }
  yield* needBridge(backend, install)
  const where = Option.getOrUndefined(Option.flatten(channel)) ?? install.slack?.sharedChannel?.id
  const now = yield* Clock.currentTimeMillis
  const result = yield* Effect.flatMap(Bridge, (bridge) =>
    bridge.call({
      key: `slack-test/${now}`,
      patience: "besteffort",
      action: {
        action: "test",
        ...(where === undefined ? {} : { channel: where })
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
