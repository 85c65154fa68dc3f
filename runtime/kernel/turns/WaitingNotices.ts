/** What people are told of messages that waited when their sandbox was destroyed: in their threads, or all in one place. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import type { BridgeAction } from "../../domain/slack/BridgeProtocol.ts"
import { sha256Hex } from "../../domain/text/Digest.ts"
import { type SlackOrigin, TurnRequest } from "../../domain/turn/Turn.ts"
import type { QueuedEntry, QueueEntry } from "../../ports/TurnQueue.ts"

/**
 * Notes in as many threads take some 16 s: Slack takes one message a second in a channel after four at once. More than
 * these are named in one message of the channel instead.
 */
export const maxThreadNotes = 20
/** Messages named in one post of a summary: about 12,000 characters. */
const namesPerPost = 80
/** Characters of a message that a summary shows. */
const maxQuoted = 60

interface Told {
  /** The effect's key: the same on every attempt. */
  readonly key: string
  readonly action: BridgeAction
}

export interface WaitingNotices {
  /** A note, and ❌ under each message that it is about. */
  readonly groups: ReadonlyArray<{ readonly post: Told; readonly marks: ReadonlyArray<Told> }>
  /** One summary instead of a note in each thread. */
  readonly summed: boolean
}

/** Dead ones, which are in neither state, wait no less. */
type LeftEntry = QueueEntry & Partial<Pick<QueuedEntry, "state">>

interface Asked {
  readonly entry: LeftEntry
  readonly origin: SlackOrigin
  readonly text: string
}

const decodeRequest = Schema.decodeUnknownOption(Schema.fromJsonString(TurnRequest))

const notRun = "Ask again in another sandbox's channel. (KM-TRN-020)"

/** Words of a person, so that they are no markup in ours. */
const quoted = (text: string): string => {
  const words = text.replace(/[^\p{L}\p{N} .,:;?!/'-]+/gu, " ").replace(/\s+/g, " ").trim()
  const begin = Array.from(words).slice(0, maxQuoted).join("")
  return begin === words ? begin : `${begin}…`
}

/** Only chat is told here: who asked in another way sees that no answer came. */
export const waitingNotices = (row: SandboxRow, entries: ReadonlyArray<LeftEntry>): WaitingNotices => {
  const asked = entries.flatMap((entry): ReadonlyArray<Asked> => {
    const request = Option.getOrUndefined(decodeRequest(entry.body))
    return request?.origin.kind === "slack" ? [{ entry, origin: request.origin, text: request.text }] : []
  })
  const threads = Map.groupBy(asked, ({ origin }) => `${origin.channel}:${origin.threadTs}`)
  if (threads.size <= maxThreadNotes) {
    const groups = [...threads.values()].flatMap((thread) => {
      const [first] = thread
      if (first === undefined) return []
      const { channel, threadTs } = first.origin
      const which = thread.length === 1 ? "this message's turn" : `the turn of these ${thread.length} messages`
      const post: Told = {
        key: `${first.entry.key}/teardown/0`,
        action: {
          action: "post",
          channel,
          threadTs,
          // A run that was cut off may have done something: nobody is told that it has not.
          markdown: thread.some(inFlight)
            ? `**Not finished.** The sandbox was destroyed before ${which} had ended. ${notRun}`
            : `**Not run.** The sandbox was destroyed before ${which} came. ${notRun}`
        }
      }
      return [{ post, marks: thread.map(markOf) }]
    })
    return { groups, summed: false }
  }
  const groups: Array<WaitingNotices["groups"][number]> = []
  for (const [channel, those] of Map.groupBy(asked, ({ origin }) => origin.channel)) {
    for (let from = 0; from < those.length; from += namesPerPost) {
      const some = those.slice(from, from + namesPerPost)
      const head = from === 0
        ? those.some(inFlight)
          ? `**Not finished.** ${those.length} messages waited or were worked on when the sandbox was destroyed; none of ` +
            `them has ended. ${notRun}`
          : `**Not run.** ${those.length} messages waited when the sandbox was destroyed; none of them was run. ${notRun}`
        : "**Continued:**"
      const post: Told = {
        key: `end/${row.id}/${row.createdAt}/waiting/${sha256Hex(some.map(({ entry }) => entry.key).join(" "))}`,
        action: { action: "post", channel, markdown: `${head}\n\n${some.map(nameOf).join("\n")}` }
      }
      groups.push({ post, marks: some.map(markOf) })
    }
  }
  return { groups, summed: true }
}

const inFlight = ({ entry }: Asked): boolean => entry.state === "in-flight"

const markOf = ({ entry, origin }: Asked): Told => ({
  key: `${entry.key}/teardown/1`,
  action: { action: "react", channel: origin.channel, ts: origin.ts, emoji: "x" }
})

const nameOf = ({ origin, text }: Asked): string =>
  `- ${quoted(origin.userName)}, ${
    new Date(Number(origin.ts) * 1000).toISOString().slice(0, 16).replace("T", " ")
  } UTC: ${quoted(text) || "(no words)"}`
