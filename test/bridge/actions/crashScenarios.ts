/** What the bridge is asked for while it dies at each step (`crashPoints.test.ts`). */
import { requestIdOf } from "../../../runtime/domain/sandbox/Ids.ts"
import { sandbox } from "../world.ts"
import { upload } from "./scene.ts"

export const channel = "C0CRASH001"
export const threadTs = "1700000000.000001"

export interface Request {
  readonly key: string
  /** May use the id of the file that was uploaded last, as a client does. */
  readonly action: object | ((file: string) => object)
  readonly operator?: boolean
}

const paragraphs = (count: number): string => "A sentence of some length. ".repeat(count)
const live = (key: string, seq: number, markdown: string): Request => ({
  key,
  action: { action: "live.set", channel, threadTs, live: "live-0000000000000001", seq, markdown }
})

/** What is asked of a bridge that dies on the way. */
export const scenarios: Readonly<Record<string, ReadonlyArray<Request>>> = {
  "an answer of one message": [{ key: "a", action: { action: "post", channel, threadTs, markdown: "the answer" } }],
  "an answer and what is said beside it, in one request with its mark": [{
    key: "b",
    action: {
      action: "batch",
      actions: [
        { id: requestIdOf("one"), action: { action: "post", channel, threadTs, markdown: "the answer" } },
        { id: requestIdOf("two"), action: { action: "post", channel, threadTs, markdown: paragraphs(600) } },
        { id: requestIdOf("three"), action: { action: "react", channel, ts: threadTs, emoji: "x" } }
      ]
    }
  }],
  "an answer of several messages": [
    { key: "a", action: { action: "post", channel, threadTs, markdown: paragraphs(1_300) } }
  ],
  "a live message that grows into two, shrinks and grows again": [
    live("a", 1, "one"),
    live("b", 2, paragraphs(200)),
    live("c", 3, "one again"),
    live("d", 4, paragraphs(210))
  ],
  "a file that replaces the one before": [
    { key: "a", action: upload(channel, threadTs) },
    { key: "b", action: (file) => upload(channel, threadTs, { title: "Session s1, again", replaces: file }) }
  ],
  "a channel": [{
    key: "a",
    operator: true,
    action: {
      action: "channel.ensure",
      sandbox,
      name: "sb-demo",
      private: false,
      topic: "a topic",
      inviteEmails: []
    }
  }]
}
