/** A question of the sandbox's agent, in the thread of Ada's message, over a bridge and a workspace that deliver clicks. */
import { Effect, Option, Stream } from "effect"
import { slackSignature } from "../../../bridge/slack/slackSignature.ts"
import type { WorkspaceHandle } from "../../../km-cli/local/workspace/Workspace.ts"
import { SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import {
  approveAction,
  decodeQuestion,
  questionFacts,
  type QuestionRecord
} from "../../../runtime/domain/slack/Question.ts"
import { type AnswerRequest, Controls, isAnswerRequest } from "../../../runtime/ports/Controls.ts"
import { Facts } from "../../../runtime/ports/Facts.ts"
import { untilReal } from "../../support/untilReal.ts"
import { userIdOf } from "../../support/Workspace.ts"
import { type Answer, callV2, type Room, sandbox, send } from "../world.ts"

export const session = "0b0e6a40-1111-4222-8333-444444444444"

/** What a runtime asks, as its body. */
export const askAction = (made: Pick<Room, "channel">, threadTs: string, n: number, changes: object = {}) => ({
  action: "ask",
  channel: made.channel,
  threadTs,
  question: {
    turn: `T0TEST001:${made.channel}:${threadTs}`,
    n,
    session,
    tool: "Bash",
    callSha256: "c".repeat(64),
    shown: "command: git push *<!channel>* <@U0ADA0001>",
    quorum: 1,
    deadline: Date.now() + 600_000,
    ...changes
  }
})

export const ask = (made: Pick<Room, "channel">, threadTs: string, n: number, changes: object = {}) =>
  callV2(`${threadTs}/ask/${n}`, askAction(made, threadTs, n, changes))

export const tsOf = (answer: Answer): string => {
  const parts = answer.json["parts"]
  return Array.isArray(parts) ? String(Object(parts[0])["ts"]) : ""
}

/** All questions as they are kept. */
export const kept = Effect.gen(function*() {
  const facts = yield* (yield* Facts).list(questionFacts)
  return facts.flatMap(({ value }) => Option.toArray(decodeQuestion(value)))
})

/** The one with this number. */
export const question = (n: number): Effect.Effect<QuestionRecord, never, Facts> =>
  Effect.flatMap(Effect.orDie(kept), (all) => {
    const found = all.find(({ subject }) => subject.n === n)
    return found === undefined ? Effect.die(new Error(`no question ${n}`)) : Effect.succeed(found)
  })

/** The answers that wait for the runtime now. */
export const answers: Effect.Effect<ReadonlyArray<AnswerRequest>, never, Controls> = Effect.gen(function*() {
  const found = yield* Effect.timeoutOption(
    Stream.runCollect((yield* Controls).watch(sandbox).pipe(Stream.filter(isAnswerRequest), Stream.take(1))),
    50
  )
  return Option.isSome(found) ? found.value : []
}).pipe(Effect.orDie)

/** The message of a question as people see it. */
export const messageOf = (workspace: WorkspaceHandle, channel: string, threadTs: string, ts: string) =>
  Effect.map(
    Effect.orDie(workspace.thread(channel, threadTs)),
    (thread) => JSON.stringify(thread?.replies.find((reply) => reply.ts === ts)?.message["blocks"] ?? [])
  )

export const untilShown = (workspace: WorkspaceHandle, channel: string, threadTs: string, ts: string, text: string) =>
  untilReal(
    `the question shows ${text}`,
    Effect.map(messageOf(workspace, channel, threadTs, ts), (blocks) => blocks.includes(text) ? blocks : undefined)
  )

/** A payload of Ada's right click, to be made wrong. */
export const payloadOf = (workspace: WorkspaceHandle, channel: string, record: QuestionRecord) => ({
  type: "block_actions",
  team: { id: workspace.teamId, domain: "lab" },
  user: { id: userIdOf(workspace, "ada"), username: "ada", team_id: workspace.teamId },
  api_app_id: workspace.appId,
  container: { type: "message", message_ts: record.ts, channel_id: channel, thread_ts: record.threadTs },
  channel: { id: channel, name: "sb-demo" },
  actions: [{
    type: "button",
    action_id: approveAction,
    block_id: "b",
    value: `${record.sandbox}/${record.id}`,
    action_ts: "1800000002.000001"
  }]
})

/** Sends a form to `/interactive`, signed as Slack does unless told otherwise. */
export const sendForm = (
  secret: string,
  body: string | Uint8Array,
  options: { readonly timestamp?: number; readonly signature?: string | null; readonly method?: string } = {}
) => {
  const timestamp = String(options.timestamp ?? Math.floor(Date.now() / 1000))
  const signature = options.signature === undefined ? slackSignature(secret, timestamp, body) : options.signature
  return send(options.method ?? "POST", "/interactive", {
    "content-type": "application/x-www-form-urlencoded",
    "x-slack-request-timestamp": timestamp,
    ...(signature === null ? {} : { "x-slack-signature": signature })
  }, options.method === "GET" ? undefined : body)
}

export const formOf = (payload: unknown): string => new URLSearchParams({ payload: JSON.stringify(payload) }).toString()

export const stranger = SandboxId.make("sb-0000beef")
