/** `km chat`: writes to a sandbox as a person of the local workspace; the thread to stderr, the answer to stdout. */
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Install } from "../../runtime/domain/install/Install.ts"
import { durationMillis } from "../../runtime/domain/profile/Profile.ts"
import { MessageTs, slackTurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { readSpoken } from "../../runtime/domain/slack/ChatWords.ts"
import { withoutHidden } from "../../runtime/domain/text/HiddenText.ts"
import { isEngaged } from "../../runtime/kernel/turns/EngagedThread.ts"
import { Seen } from "../../runtime/ports/Seen.ts"
import { Threads } from "../../runtime/ports/Threads.ts"
import type { Backend } from "../Backend.ts"
import { say } from "../demo/Conversation.ts"
import { unescaped } from "../demo/Timeline.ts"
import { kmError } from "../KmError.ts"
import { readCredentials } from "../local/workspace/Credentials.ts"
import { opened } from "../Opened.ts"
import { data, OneTerminal, talk } from "../Output.ts"
import { resolve } from "../Reference.ts"
import { recordSoon } from "../TurnOutcome.ts"
import * as UpFile from "../up/UpFile.ts"

export interface ChatInput {
  readonly reference: string
  readonly text: string
  readonly thread: Option.Option<string>
  readonly noWait: boolean
}

export const chat = Effect.fn("km.chat")(function*(input: ChatInput) {
  const seen = withoutHidden(input.text)
  if (seen.trim() === "") return yield* kmError("KM-CLI-001", "the message is empty", "", "km chat --help")
  const { backend } = yield* opened
  const install = yield* backend.install
  const row = yield* Effect.provide(resolve(input.reference), backend.ports("short"))
  const { channel } = row
  if (channel === undefined) {
    return yield* kmError("KM-CLI-018", `${row.id} has no channel`, "its profile has notifySlackEnabled: false")
  }
  if (!install.local) {
    return yield* kmError("KM-CLI-028", "this install's workspace is Slack itself", "", `write in ${channel} in Slack`)
  }
  const up = yield* UpFile.running(backend.paths.run)
  const file = Option.flatMap(up, ({ credentialsFile }) => Option.fromNullishOr(credentialsFile))
  if (Option.isNone(file)) return yield* kmError("KM-CLI-007", "the local workspace is not running", "")
  const credentials = yield* readCredentials(file.value)
  const { cli, agent } = row.profile.spec
  const spoken = readSpoken(seen)
  const stops = spoken._tag === "Word" && spoken.word === "stop"
  const word = spoken._tag === "Hint" || (spoken._tag === "Word" && !stops)
  const watched = !input.noWait && cli.notifySlackInboundEnabled && spoken._tag !== "Aside"
  if (watched && spoken._tag === "Message" && cli.notifySlackInboundMentionOnly) {
    yield* Effect.provide(refuseUnheard(input, row, install, credentials.botUserId), backend.ports("short"))
  }
  const said = yield* say(credentials, {
    channel,
    text: input.text,
    threadTs: Option.getOrUndefined(input.thread),
    transcript: cli.notifySlackTranscriptEnabled,
    watch: watched,
    word
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
  const outcome = observed.end === undefined ? undefined : yield* outcomeOf(backend, install, row, ts, observed.end)
  const done = outcome === "answered" || (word && answer !== "") || (stops && outcome === "cancelled")
  // On a terminal the thread has shown every line of it.
  yield* data(answer === "" || (yield* OneTerminal) ? [] : [answer], {
    ok: !watched || done,
    sandbox: row.id,
    channel,
    ts,
    threadTs,
    ...(outcome === undefined ? {} : { outcome, answer, files: observed.files })
  })
  if (!cli.notifySlackInboundEnabled) {
    yield* talk("nobody answers here: the profile has notifySlackInboundEnabled: false")
  }
  const name = row.alias ?? row.id
  yield* talk(`continue: km chat ${name} --thread ${threadTs} "…"`)
  if (!watched || done) return
  switch (outcome) {
    case undefined:
      return yield* kmError("KM-CLI-021", "the local workspace ended before the turn did", "", "km doctor")
    case "expired":
      return yield* kmError("KM-CLI-016", "the turn timed out", `it may take ${agent.turnTimeout}`, `km status ${name}`)
    case "cancelled":
      return yield* kmError("KM-CLI-023", "the turn was cancelled", "somebody stopped it", `km status ${name}`)
    case "refused":
      return yield* kmError("KM-CLI-023", "the message was refused", "the thread says why", `km status ${name}`)
    case "parked":
      return yield* kmError("KM-CLI-023", "the turn is parked", "the thread says why", `km status ${name}`)
    default:
      return yield* kmError("KM-CLI-023", "the turn failed", "the thread says why", `km status ${name}`)
  }
})

/** Where the sandbox would not listen there is nothing to wait for. */
const refuseUnheard = Effect.fnUntraced(function*(
  { reference, text, thread }: ChatInput,
  { channel }: SandboxRow,
  { teamId }: Install,
  bot: string
) {
  if (text.includes(`<@${bot}>`)) return
  const threadTs = Option.getOrUndefined(Option.flatMap(thread, decodeTs))
  const engaged = threadTs !== undefined && channel !== undefined && teamId !== undefined &&
    (yield* isEngaged({ seen: yield* Seen, threads: yield* Threads }, { channel, team: teamId, threadTs }))
  if (engaged) return
  const words = text.replaceAll("'", "'\\''")
  return yield* kmError(
    "KM-CLI-055",
    "nobody would answer",
    "its profile has notifySlackInboundMentionOnly: true, and the message mentions nobody",
    `km chat ${reference} '<@${bot}> ${words}'`
  )
})

/** What the thread shows by its mark alone, the record says in full: ❌ is a failure, a time-out or a parked turn. */
const outcomeOf = Effect.fnUntraced(function*(
  backend: Backend,
  { teamId }: Install,
  { channel, id }: SandboxRow,
  ts: string,
  mark: keyof typeof outcomes
) {
  // What is refused, and the word that stops, are no turns; a turn that was stopped has no other end.
  if (mark === "🚫" || mark === "🛑") return outcomes[mark]
  const started = decodeTs(ts)
  if (teamId === undefined || channel === undefined || Option.isNone(started)) return outcomes[mark]
  const key = slackTurnKey(teamId, channel, started.value)
  const turn = yield* recordSoon(backend, { sandbox: id, key })
  return Option.getOrUndefined(turn)?.result ?? outcomes[mark]
})

const outcomes = { "✅": "answered", "❌": "failed", "🛑": "cancelled", "🚫": "refused" } as const
const decodeTs = Schema.decodeUnknownOption(MessageTs)
