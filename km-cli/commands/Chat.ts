/** `km chat`: writes to a sandbox as a person of the local workspace; the thread to stderr, the answer to stdout. */
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Option from "effect/Option"
import { durationMillis } from "../../runtime/domain/Profile.ts"
import { say } from "../demo/Conversation.ts"
import { unescaped } from "../demo/Timeline.ts"
import { kmError } from "../KmError.ts"
import { readCredentials } from "../local/workspace/Credentials.ts"
import { opened } from "../Opened.ts"
import { data, talk } from "../Output.ts"
import { resolve } from "../Reference.ts"
import * as UpFile from "../up/UpFile.ts"

export interface ChatInput {
  readonly reference: string
  readonly text: string
  readonly thread: Option.Option<string>
  readonly noWait: boolean
}

export const chat = Effect.fn("km.chat")(function*(input: ChatInput) {
  if (input.text.trim() === "") return yield* kmError("KM-CLI-001", "the message is empty", "", "km chat --help")
  const { backend } = yield* opened
  const install = yield* backend.install
  const row = yield* Effect.provide(resolve(input.reference), backend.ports("short"))
  const { channel } = row
  if (channel === undefined) {
    return yield* kmError("KM-CLI-018", `${row.id} has no channel`, "its profile has notifySlackEnabled: false")
  }
  if (!install.local) {
    return yield* kmError("KM-CLI-020", "this install's workspace is Slack itself", "", `write in ${channel} in Slack`)
  }
  const up = yield* UpFile.running(backend.paths.run)
  const file = Option.flatMap(up, ({ credentialsFile }) => Option.fromNullishOr(credentialsFile))
  if (Option.isNone(file)) return yield* kmError("KM-CLI-007", "the local workspace is not running", "")
  const credentials = yield* readCredentials(file.value)
  const { cli, agent } = row.profile.spec
  const said = yield* say(credentials, {
    channel,
    text: input.text,
    threadTs: Option.getOrUndefined(input.thread),
    transcript: cli.notifySlackTranscriptEnabled,
    watch: !input.noWait && cli.notifySlackInboundEnabled
  }, talk).pipe(
    Effect.provide(FetchHttpClient.layer),
    Effect.timeoutOrElse({
      // The turn's own limit, and a minute for what comes around it.
      duration: durationMillis(agent.turnTimeout) + 60_000,
      orElse: () => Effect.fail(kmError("KM-CLI-016", "no outcome yet", `${agent.turnTimeout} have passed`))
    })
  )
  const { observed, threadTs, ts } = said
  const answer = unescaped([...observed.texts.values()].join("\n\n"))
  yield* data(answer === "" ? [] : [answer], {
    ok: observed.end !== "❌",
    sandbox: row.id,
    channel,
    ts,
    threadTs,
    ...(observed.end === undefined ? {} : { outcome: outcomes[observed.end], answer, files: observed.files })
  })
  if (!cli.notifySlackInboundEnabled) {
    yield* talk("nobody answers here: the profile has notifySlackInboundEnabled: false")
  }
  yield* talk(`continue: km chat ${row.alias ?? row.id} --thread ${threadTs} "…"`)
  if (observed.end === "❌") {
    return yield* kmError("KM-CLI-023", "the turn failed", "the thread says why", `km status ${row.alias ?? row.id}`)
  }
})

const outcomes = { "✅": "answered", "❌": "failed", "🛑": "cancelled" } as const
