/** `km slack rotate-token` and `rotate-signing-secret`: a new secret beside the old one, proven before it is stored. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { ChannelId } from "../../runtime/domain/sandbox/Ids.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import type { Backend } from "../Backend.ts"
import { opened } from "../Opened.ts"
import { data } from "../Output.ts"
import { joined } from "../slack/Channels.ts"
import { type SecretKind, secretPaths } from "../slack/Credentials.ts"
import { askedSecret, givenSecrets, type SecretFlags } from "../slack/SecretInput.ts"
import { verify } from "../slack/Setup.ts"
import { slackError } from "../slack/SlackCodes.ts"
import { verifySocket } from "../slack/Verify.ts"

/** The bridge keeps a secret this long. */
const usedWithinSeconds = 30
const previousPath = `${secretPaths["signing-secret"]}-previous`

/** An install that is connected to a real workspace; KM-SLK-128. */
export const connectedInstall = Effect.fnUntraced(function*() {
  const { backend } = yield* opened
  const install = yield* backend.install
  if (install.local) return yield* slackError("KM-SLK-128", "there is no workspace to speak to", "this one is local")
  return { backend, install }
})

const withSecrets = <A, E, R>(backend: Backend, effect: Effect.Effect<A, E, R>) =>
  Effect.provide(effect, backend.ports("short"))

/** The stored one; KM-SLK-135 where there is none. */
export const storedSecret = Effect.fnUntraced(function*(backend: Backend, kind: SecretKind) {
  const found = yield* withSecrets(backend, Effect.flatMap(Secrets, (secrets) => secrets.get(secretPaths[kind])))
  return Option.isSome(found)
    ? found.value
    : yield* slackError("KM-SLK-135", `the ${kind.replace("-", " ")} is missing`, "nothing is stored")
})

const newSecret = Effect.fnUntraced(function*(kind: SecretKind, flags: SecretFlags) {
  const given = yield* givenSecrets({ [kind]: flags })
  return given[kind] ?? (yield* askedSecret(kind))
})

const isChannel = (id: string): id is ChannelId => /^[CG][A-Z0-9]{2,20}$/.test(id)

/** After an installation the bot is out of its channels: it goes back into those it can enter by itself. */
const rejoined = Effect.fnUntraced(
  function*(backend: Backend, connection: Parameters<typeof joined>[0], shared: ReadonlyArray<string>) {
    const rows = yield* withSecrets(backend, Effect.flatMap(Sandboxes, (sandboxes) => sandboxes.list))
    const channels = new Set([
      ...shared,
      ...rows.flatMap((row) => row.channel === undefined || row.desired === "destroyed" ? [] : [row.channel])
    ])
    const out: Array<string> = []
    for (const id of [...channels].filter(isChannel)) {
      const entered = yield* Effect.result(joined(connection, { id, name: id }))
      if (entered._tag === "Failure") out.push(id)
    }
    return { channels: channels.size, out }
  }
)

export const rotateToken = Effect.fn("km.slack.rotate-token")(function*(input: {
  readonly bot: SecretFlags
  readonly app: boolean
  readonly appToken: SecretFlags
}) {
  const { backend, install } = yield* connectedInstall()
  const kind = input.app || Option.isSome(input.appToken.text) || Option.isSome(input.appToken.file)
    ? "app-token" as const
    : "bot-token" as const
  const fresh = yield* newSecret(kind, kind === "app-token" ? input.appToken : input.bot)
  const pinned = {
    ...(install.teamId === undefined ? {} : { teamId: install.teamId }),
    ...(install.appId === undefined ? {} : { appId: install.appId })
  }
  const api = install.slackApiUrl
  if (kind === "app-token") yield* verifySocket(api, fresh, install.appId ?? "")
  else yield* verify({ api, secrets: { "bot-token": fresh }, transport: "http", pinned })
  yield* withSecrets(backend, Effect.flatMap(Secrets, (secrets) => secrets.put(secretPaths[kind], fresh)))
  const shared = install.slack?.sharedChannel?.id
  const { channels, out } = kind === "app-token"
    ? { channels: 0, out: [] }
    : yield* rejoined(
      backend,
      { api, token: fresh, botUserId: install.botUserId ?? "" },
      shared === undefined ? [] : [shared]
    )
  yield* data(
    [
      `the new ${
        kind.replace("-", " ")
      } is stored; the bridge uses it within ${usedWithinSeconds} s, nothing is restarted`,
      ...(kind === "app-token" ? [] : [`the bot is in ${channels - out.length} of its ${channels} channels`]),
      ...out.map((id) => `invite the bot into ${id}, which it cannot enter by itself`),
      "next: km slack status"
    ],
    { ok: true, rotated: kind, channels, out }
  )
})

export const rotateSigningSecret = Effect.fn("km.slack.rotate-signing-secret")(function*(input: {
  readonly signing: SecretFlags
  readonly finish: boolean
}) {
  const { backend, install } = yield* connectedInstall()
  if (install.slackTransport === "socket") {
    return yield* slackError("KM-SLK-139", "there is no signing secret to rotate", "events come by Socket Mode")
  }
  if (input.finish) {
    yield* withSecrets(backend, Effect.flatMap(Secrets, (secrets) => secrets.delete(previousPath)))
    return yield* data(
      [`the earlier signing secret counts for nothing within ${usedWithinSeconds} s`],
      { ok: true, finished: true }
    )
  }
  const fresh = yield* newSecret("signing-secret", input.signing)
  const current = yield* storedSecret(backend, "signing-secret")
  const changed = Redacted.value(current).trim() !== Redacted.value(fresh)
  if (changed) {
    yield* withSecrets(
      backend,
      Effect.gen(function*() {
        const secrets = yield* Secrets
        // The old one first: at no moment is it refused while Slack may still sign with it.
        yield* secrets.put(previousPath, current)
        yield* secrets.put(secretPaths["signing-secret"], fresh)
      })
    )
  }
  yield* data(
    changed
      ? [
        `both signing secrets count within ${usedWithinSeconds} s; nothing is restarted`,
        "regenerate it on the app's page if you have not yet; then, once events arrive: km slack rotate-signing-secret --finish"
      ]
      : ["this signing secret is stored already; nothing was changed"],
    { ok: true, finished: false, changed }
  )
})
