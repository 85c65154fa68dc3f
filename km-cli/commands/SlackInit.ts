/** `km slack init`: connects this install to a real workspace, starts it, and waits until Slack has reached it. */
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type { Install } from "../../runtime/domain/install/Install.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import type { Backend } from "../Backend.ts"
import type { KmSettings } from "../Configuration.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { data, talk } from "../Output.ts"
import { type Connection, isAddress, isChannelName } from "../slack/Channels.ts"
import { type SecretKind, secretPaths } from "../slack/Credentials.ts"
import { askedSecret, givenSecrets, type SecretAnswers, type SecretFlags } from "../slack/SecretInput.ts"
import {
  done,
  inviteOperator,
  kept,
  proveMetadata,
  shareChannel,
  type StepReport,
  store,
  verify
} from "../slack/Setup.ts"
import { slackError } from "../slack/SlackCodes.ts"
import { untilConnected, untilState } from "../slack/Waiting.ts"
import { startDetached } from "../up/Detached.ts"
import * as UpFile from "../up/UpFile.ts"
import { ensureInstall } from "./Init.ts"

export interface SlackInitInput {
  readonly secrets: Readonly<Record<SecretKind, SecretFlags>>
  readonly inviteEmail: Option.Option<string>
  readonly sharedChannel: string
  readonly force: boolean
  readonly noStart: boolean
}

/** A person has to find the page and paste. Without a terminal nobody is looking for long. */
const challengeWithin = (atTerminal: boolean) => atTerminal ? "10 minutes" : "3 minutes"
/** A connection takes a second; the network may be slow. */
const socketWithin = "1 minute"

const liveSandboxes = (backend: Backend) =>
  Effect.flatMap(Sandboxes, (sandboxes) => sandboxes.list).pipe(
    Effect.map((rows) => rows.filter(({ desired }) => desired !== "destroyed").length),
    Effect.provide(backend.ports("short"))
  )

/** What is stored already of those that were not given. */
const storedSecrets = (backend: Backend, given: SecretAnswers, kinds: ReadonlyArray<SecretKind>) =>
  Effect.gen(function*() {
    const secrets = yield* Secrets
    const found: { [Kind in SecretKind]?: Redacted.Redacted<string> } = { ...given }
    for (const kind of kinds) {
      if (found[kind] !== undefined) continue
      const held = yield* secrets.get(secretPaths[kind])
      if (Option.isSome(held)) found[kind] = held.value
    }
    return found satisfies SecretAnswers
  }).pipe(Effect.provide(backend.ports("short")))

/** Before anything else: whether this install may be connected at all. */
const mayConnect = Effect.fnUntraced(function*(backend: Backend, install: Install) {
  if (!install.local) return
  const sandboxes = yield* liveSandboxes(backend)
  if (sandboxes > 0) {
    return yield* slackError(
      "KM-SLK-121",
      "this install works with its local workspace",
      `${sandboxes} sandboxes have their channels there; destroy them, or connect a new install`
    )
  }
  if (Option.isSome(yield* UpFile.running(backend.paths.run))) {
    return yield* slackError("KM-SLK-136", "km up is running with the local workspace", "it would go on with it")
  }
})

/** By which way events come: what was given decides, then what the settings and the install say. */
const transportOf = (given: SecretAnswers, config: KmSettings, install: Install): "http" | "socket" => {
  if (given["app-token"] !== undefined && given["signing-secret"] !== undefined) {
    return (config.bridge.publicUrl ?? install.bridge?.publicUrl) === undefined ? "socket" : "http"
  }
  if (given["app-token"] !== undefined) return "socket"
  if (given["signing-secret"] !== undefined) return "http"
  if (install.slackTransport !== undefined && !install.local) return install.slackTransport
  return (config.bridge.publicUrl ?? install.bridge?.publicUrl) === undefined ? "socket" : "http"
}

const eventsUrlOf = (install: Install): string => `${install.bridge?.publicUrl ?? install.bridgeUrl}/events`

/** Slack cannot call this machine's own address; a stand-in on this machine can. */
const outOfReach = (install: Install): boolean =>
  install.bridge?.publicUrl === undefined && !install.slackApiUrl.startsWith("http://")

const started = Effect.fnUntraced(function*(backend: Backend, config: KmSettings, install: Install) {
  yield* talk("starting the install in the background")
  const { file, started: now } = yield* startDetached(
    backend,
    config.configFile === undefined ? [] : ["--config", config.configFile]
  )
  const report = now
    ? yield* done("start", `process ${file.supervisor.pid}; km down ends it`)
    : yield* kept("start", `km up is running (process ${file.supervisor.pid})`)
  return { report, install: { ...install, ...(yield* backend.install) } }
})

/** The Events URL is printed before it is waited for: a person pastes it meanwhile. */
const awaitSlack = Effect.fnUntraced(function*(backend: Backend, install: Install) {
  if (install.slackTransport === "socket") {
    if (!(yield* untilConnected(install, socketWithin))) {
      return yield* slackError("KM-SLK-137", "the connection to Slack is not open", `not within ${socketWithin}`)
    }
    return yield* done("events", "by Socket Mode: nothing to paste")
  }
  const url = eventsUrlOf(install)
  yield* talk(`Events URL: ${url}`)
  yield* talk("paste it into the app's page (Event Subscriptions, Request URL) and save; waiting for Slack's challenge")
  if (outOfReach(install)) {
    yield* talk("note: Slack cannot reach this address; set bridge.publicUrl to the one of your reverse proxy")
  }
  const { canPrompt } = yield* TerminalCapabilities.TerminalCapabilities
  const heard = yield* untilState(
    backend,
    install,
    (state) => state.firstAt !== undefined,
    challengeWithin(canPrompt)
  )
  if (!heard) return yield* slackError("KM-SLK-130", "the Events URL was not asked for its challenge", url)
  return yield* done("events", `Slack has reached ${url}`)
})

export const slackInit = Effect.fn("km.slack.init")(function*(input: SlackInitInput) {
  const { backend, config } = yield* opened
  const email = Option.map(input.inviteEmail, (text) => text.trim())
  if (Option.isSome(email) && !isAddress(email.value)) {
    return yield* slackError("KM-SLK-118", "--invite-email cannot be used", JSON.stringify(email.value))
  }
  const channel = input.sharedChannel.replace(/^#/, "")
  if (!isChannelName(channel) && !/^[CG][A-Z0-9]{2,20}$/.test(channel)) {
    return yield* kmError(
      "KM-CLI-001",
      "--shared-channel cannot be used",
      "a name has up to 80 lower-case letters, digits, - and _; or give a channel's id (C…)"
    )
  }
  // What was given is judged before the install is touched: a token in the wrong place changes nothing.
  const given = yield* givenSecrets(input.secrets)
  const { install: before, made } = yield* ensureInstall(backend, config)
  yield* mayConnect(backend, before)
  const transport = transportOf(given, config, before)
  const needed = ["bot-token", transport === "socket" ? "app-token" : "signing-secret"] as const
  const found = input.force || before.local ? given : yield* storedSecrets(backend, given, needed)
  const answers: { [Kind in SecretKind]?: Redacted.Redacted<string> } = { ...found }
  for (const kind of needed) answers[kind] ??= yield* askedSecret(kind)
  const botToken = answers["bot-token"] ?? (yield* askedSecret("bot-token"))

  const steps: Array<StepReport> = [
    made ? yield* done("install", `${before.install} in ${backend.paths.root}`) : yield* kept("install", before.install)
  ]
  const api = before.local || input.force ? config.slackApiUrl : before.slackApiUrl
  const moving = input.force && !before.local && (yield* liveSandboxes(backend)) === 0
  const verified = yield* verify({
    api,
    secrets: { ...answers, "bot-token": botToken },
    transport,
    pinned: before.local || moving ? {} : {
      ...(before.teamId === undefined ? {} : { teamId: before.teamId }),
      ...(before.appId === undefined ? {} : { appId: before.appId })
    }
  })
  let install = yield* store(backend, before, answers, verified, api)
  steps.push(yield* done("stored", "the secrets, readable by this user alone, and the workspace"))

  const connection: Connection = { api, token: botToken, botUserId: verified.bot.botUserId }
  const shared = yield* shareChannel(backend, install, connection, channel)
  install = shared.install
  steps.push(shared.report)
  if (Option.isSome(email)) {
    const invited = yield* inviteOperator(backend, install, connection, email.value)
    install = invited.install
    steps.push(invited.report)
  }
  steps.push(yield* proveMetadata(install, connection))
  if (!input.noStart) {
    const up = yield* started(backend, config, install)
    install = up.install
    steps.push(up.report, yield* awaitSlack(backend, install))
  } else {
    yield* talk("not started, as told; next: km up --detach")
  }
  const eventsUrl = transport === "http" ? eventsUrlOf(install) : undefined
  const soft = steps.filter(({ outcome }) => outcome === "failed")
  yield* data(
    [
      `connected ${install.install} to ${verified.bot.team} (${verified.bot.teamId}) as app ${verified.appId}`,
      eventsUrl === undefined ? "events come by Socket Mode: nothing to paste" : `Events URL: ${eventsUrl}`,
      ...soft.map(({ code, detail, next }) => `still to do: ${detail} (${code}); ${next}`),
      input.noStart ? "next: km up --detach" : "next: km slack test"
    ],
    {
      ok: true,
      install: install.install,
      team: verified.bot.teamId,
      app: verified.appId,
      transport,
      eventsUrl: eventsUrl ?? null,
      sharedChannel: install.slack?.sharedChannel ?? null,
      steps
    }
  )
})
