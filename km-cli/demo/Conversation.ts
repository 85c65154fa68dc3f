/** Speaking in the local workspace as one of its people, and watching what comes of it. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { kmError } from "../KmError.ts"
import type { Credentials } from "../local/workspace/Credentials.ts"
import { connect } from "../local/workspace/WorkspaceClient.ts"
import { type Followed, isOver, newLines, nothingObserved, observe, type Observed } from "./Timeline.ts"

const Posted = Schema.Struct({ ts: Schema.String })
const decodePosted = Schema.decodeUnknownEffect(Posted)

export interface Said {
  readonly channel: string
  readonly text: string
  /** A thread to continue. */
  readonly threadTs: string | undefined
  /** True where the sandbox attaches its session. */
  readonly transcript: boolean
  readonly watch: boolean
  /** A word for us in place of a message for the agent: it is over with the first thing that is said to it. */
  readonly word?: boolean
}

/** The first person of the workspace: who the operator speaks as. */
export const speakerOf = Effect.fnUntraced(function*(credentials: Credentials) {
  const [entry] = Object.entries(credentials.people)
  if (entry === undefined) return yield* kmError("KM-CLI-021", "nobody lives in the local workspace", "")
  return { name: entry[0], ...entry[1] }
})

/**
 * Posts as the speaker and, if asked, follows the turn until it has its mark; `onLine` hears each new line of the thread.
 * `postedAt` is Unix milliseconds of this machine's clock just before the post.
 */
export const say = Effect.fn("Conversation.say")(function*(
  credentials: Credentials,
  said: Said,
  onLine: (line: string) => Effect.Effect<void>
) {
  const client = yield* connect(credentials)
  const speaker = yield* speakerOf(credentials)
  // Public channels are joined as a person would; in a private one the profile's invitation has to do.
  yield* client.slack(speaker.token, "conversations.join", { channel: said.channel }).pipe(
    Effect.catchTag("SlackRefusal", () => Effect.void)
  )
  const { lastChange } = yield* client.state
  const postedAt = Date.now()
  const answer = yield* client.slack(speaker.token, "chat.postMessage", {
    channel: said.channel,
    text: said.text,
    ...(said.threadTs === undefined ? {} : { thread_ts: said.threadTs })
  })
  const { ts } = yield* decodePosted(answer).pipe(
    Effect.mapError((error) => kmError("KM-CLI-021", "the local workspace's answer is odd", error.message))
  )
  const threadTs = said.threadTs ?? ts
  if (!said.watch) return { ts, threadTs, postedAt, observed: nothingObserved }
  const followed: Followed = { channel: said.channel, ts, threadTs, botUserId: credentials.botUserId }
  // The session is attached before the mark is set; one that is missing then is waited for a little, not for ever.
  const late = yield* Deferred.make<void>()
  const givesUp = Effect.andThen(Effect.sleep("10 seconds"), Deferred.succeed(late, undefined))
  const scope = yield* Effect.scope
  const seen = yield* client.watch({
    kinds: ["message", "message_changed", "reaction_added", "delivery"],
    after: lastChange
  }).pipe(
    Stream.mapAccumEffect(() => nothingObserved, (before: Observed, change) => {
      const after = observe(before, followed, change)
      const ending = before.end === undefined && after.end !== undefined
      return Effect.forEach(newLines(before, after), onLine, { discard: true }).pipe(
        Effect.andThen(ending ? Effect.asVoid(Effect.forkIn(givesUp, scope)) : Effect.void),
        Effect.as([after, [after]] as const)
      )
    }),
    Stream.interruptWhen(Deferred.await(late)),
    Stream.takeUntil((observed) =>
      said.word === true ? observed.texts.size > 0 || observed.end !== undefined : isOver(observed, said.transcript)
    ),
    Stream.runLast
  )
  return { ts, threadTs, postedAt, observed: Option.getOrElse(seen, () => nothingObserved) }
}, Effect.scoped)
