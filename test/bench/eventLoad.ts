/**
 * Slack's side of `POST /events`: signed requests as bytes that are made before the clock runs, written to plain sockets,
 * so that whoever asks costs little beside whoever answers.
 */
import * as net from "node:net"
import { slackSignature } from "../../bridge/slack/slackSignature.ts"

export const secret = "bench-signing-secret"
export const team = "T0BENCH001"
export const app = "A0BENCH001"
export const user = "U0BENCH001"

export const wait = (millis: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, millis))

/** A message's `ts` by its number. */
export const tsOf = (n: number): string =>
  `${1_700_000_000 + Math.floor(n / 1_000)}.${String(n % 1_000).padStart(6, "0")}`

/** A person's message as Slack sends it to an app. */
export const eventBody = (channel: string, ts: string, text: string): string =>
  JSON.stringify({
    token: "unused",
    team_id: team,
    api_app_id: app,
    type: "event_callback",
    event_id: `Ev${channel}${ts}`,
    event_time: Number(ts.split(".")[0]),
    authorizations: [{ team_id: team, user_id: "U0BENCHBOT", is_bot: true }],
    is_ext_shared_channel: false,
    event: {
      type: "message",
      channel,
      channel_type: "channel",
      user,
      team,
      text,
      ts,
      event_ts: ts,
      client_msg_id: `c-${ts}`,
      blocks: [{ type: "rich_text", elements: [{ type: "rich_text_section", elements: [{ type: "text", text }] }] }]
    }
  })

/** A request signed now, good for five minutes. */
export const signedRequest = (body: string, connection: "keep-alive" | "close" = "keep-alive"): Buffer => {
  const timestamp = String(Math.floor(Date.now() / 1000))
  return Buffer.from(
    [
      "POST /events HTTP/1.1",
      "host: 127.0.0.1",
      "accept: */*",
      "user-agent: Slackbot 1.0 (+https://api.slack.com/robots)",
      "content-type: application/json",
      `content-length: ${Buffer.byteLength(body)}`,
      `x-slack-request-timestamp: ${timestamp}`,
      `x-slack-signature: ${slackSignature(secret, timestamp, body)}`,
      `connection: ${connection}`,
      "",
      body
    ].join("\r\n")
  )
}

/** Whether `text` holds a whole answer; Node's servers say its length or send it in chunks. */
const isWhole = (text: string): boolean => {
  const head = text.indexOf("\r\n\r\n")
  if (head < 0) return false
  const length = /\r\ncontent-length: (\d+)/i.exec(text.slice(0, head))
  return length === null ? text.endsWith("0\r\n\r\n") : Buffer.byteLength(text) >= head + 4 + Number(length[1])
}

/** One connection, one request at a time: who asks meanwhile waits for its turn, and its time counts from then on. */
export class Asker {
  private readonly socket: net.Socket
  private got = ""
  private answered: { readonly resolve: () => void; readonly reject: (why: Error) => void } | undefined
  private before: Promise<unknown> = Promise.resolve()

  constructor(port: number) {
    this.socket = net.connect({ port, host: "127.0.0.1", noDelay: true })
    this.socket.setEncoding("latin1")
    this.socket.on("data", (chunk: string) => {
      this.got += chunk
      if (!isWhole(this.got)) return
      const status = this.got.slice(9, 12)
      this.got = ""
      if (status === "200") this.answered?.resolve()
      else this.answered?.reject(new Error(`/events answered ${status}`))
    })
    this.socket.on("error", (error) => this.answered?.reject(error))
    this.socket.on("close", () => this.answered?.reject(new Error("the connection was closed without an answer")))
  }

  /** Milliseconds from the request (with the connection, where it is not there yet) to the end of its 200. */
  async ask(request: Buffer): Promise<number> {
    const started = performance.now()
    const answer = this.before.then(() =>
      new Promise<void>((resolve, reject) => {
        this.answered = { resolve, reject }
        this.socket.write(request)
      })
    )
    this.before = answer
    await answer
    return performance.now() - started
  }

  close(): void {
    this.socket.destroy()
  }
}

/** How the requests of a load come: over connections that are kept, or each on one of its own. */
export type Coming = "kept" | "new"

/** What a saturating load came to. */
export interface Saturated {
  readonly perSecond: number
  readonly latencies: ReadonlyArray<number>
}

/** `lanes` at a time, each with its next request as soon as it has the answer. */
export const saturate = async (
  port: number,
  requests: ReadonlyArray<Buffer>,
  lanes: number,
  coming: Coming
): Promise<Saturated> => {
  const latencies: Array<number> = []
  let next = 0
  const started = performance.now()
  await Promise.all(Array.from({ length: lanes }, async () => {
    let asker = new Asker(port)
    for (let fresh = true; next < requests.length; fresh = false) {
      if (coming === "new" && !fresh) asker = new Asker(port)
      latencies.push(await asker.ask(requests[next++] ?? Buffer.alloc(0)))
      if (coming === "new") asker.close()
    }
    asker.close()
  }))
  return { perSecond: requests.length / ((performance.now() - started) / 1_000), latencies }
}

/** Each on a connection of its own, all opened at the same moment: milliseconds until each was answered. */
export const atOnce = async (port: number, requests: ReadonlyArray<Buffer>): Promise<ReadonlyArray<number>> => {
  const started = performance.now()
  return Promise.all(requests.map(async (request) => {
    const asker = new Asker(port)
    await asker.ask(request)
    asker.close()
    return performance.now() - started
  }))
}

/** At an even pace, whatever the answers take. */
export const paced = async <A>(
  count: number,
  perSecond: number,
  send: (n: number) => Promise<A>
): Promise<ReadonlyArray<A>> => {
  const started = performance.now()
  const answers: Array<Promise<A>> = []
  for (let n = 0; n < count; n++) {
    const due = started + n * 1_000 / perSecond
    if (due > performance.now()) await wait(due - performance.now())
    answers.push(send(n))
  }
  return Promise.all(answers)
}
