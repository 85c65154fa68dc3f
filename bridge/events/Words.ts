/** Answers the words of people in the thread, once each, without the agent; wakes a sandbox that sleeps. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { type GroupId, slackTurnKey, type TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { type ChatWordName, helpText, hintOf, type Spoken } from "../../runtime/domain/slack/ChatWords.ts"
import { Audit } from "../../runtime/ports/Audit.ts"
import { Controls } from "../../runtime/ports/Controls.ts"
import { Reports } from "../../runtime/ports/Reports.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"
import { Threads } from "../../runtime/ports/Threads.ts"
import { type QueueAhead, TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { BotIdentity } from "../slack/BotIdentity.ts"
import type { IncomingMessage } from "./Incoming.ts"
import { Notes } from "./Notes.ts"
import { loadOf, modelText, positionText, statusText } from "./wordAnswers.ts"

type Answered = Exclude<ChatWordName, "aside" | "stop">

/** A message that is in the queue now, and what its store knew of those before it. */
interface StoredTurn {
  readonly key: TurnKey
  readonly group: GroupId
  readonly ahead?: QueueAhead | undefined
}

/**
 * Between two notes of a place in one thread, or of other threads in one channel. Slack takes one message a second in a
 * channel, and whoever writes thirty at once must not keep answers and refusals waiting for as long.
 */
const placeEveryMillis = 10_000
/** Threads of which is remembered what was told to stop, and when people were told of a place. */
const maxTold = 1_000

export class Words extends Context.Service<Words, {
  /** Does what the word says and tells the thread. Asked twice for a message, it tells once. */
  readonly answer: (
    message: IncomingMessage,
    row: SandboxRow,
    word: Answered,
    group: GroupId
  ) => Effect.Effect<void, StoreError>
  readonly hint: (message: IncomingMessage, spoken: Extract<Spoken, { readonly _tag: "Hint" }>) => Effect.Effect<void>
  /** Once in a thread: that the agent does not see such messages. */
  readonly aside: (message: IncomingMessage) => Effect.Effect<void>
  /**
   * A message was stored that may have to wait: for others before it, which it stops where the profile says so, or for a
   * sandbox that sleeps. Asked again, it changes nothing that was done. Never fails.
   */
  readonly stored: (
    message: IncomingMessage,
    row: SandboxRow,
    turn: StoredTurn
  ) => Effect.Effect<void>
}>()("km/bridge/events/Words") {
  static readonly layer = Layer.effect(
    Words,
    Effect.gen(function*() {
      const audit = yield* Audit
      const controls = yield* Controls
      const identity = yield* BotIdentity
      const notes = yield* Notes
      const queue = yield* TurnQueue
      const reports = yield* Reports
      const sandboxes = yield* Sandboxes
      const threads = yield* Threads

      /** When people were last told of a place, by thread, or of other threads, by channel. */
      const toldAt = new Map<string, number>()
      const isTime = (where: string) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          if (now - (toldAt.get(where) ?? Number.NEGATIVE_INFINITY) < placeEveryMillis) return false
          if (toldAt.size >= maxTold) toldAt.clear()
          toldAt.set(where, now)
          return true
        })

      const say = (message: IncomingMessage, what: string, markdown: string) =>
        notes.put(
          `word/${slackTurnKey(message.team, message.channel, message.ts)}/${what}`,
          { channel: message.channel, threadTs: message.threadTs ?? message.ts },
          markdown
        )

      const fresh = Effect.fnUntraced(function*(message: IncomingMessage, row: SandboxRow, group: GroupId) {
        if (message.threadTs === undefined) return "Every message outside a thread begins a fresh session anyway."
        const { running, waiting } = loadOf(yield* queue.keys(row.id, group))
        if (running + waiting > 0) {
          return "The agent is not done in this thread yet. Write `!new` again when it has answered, or `!stop` before it."
        }
        yield* threads.forget(message.channel, message.threadTs)
        return "The next message in this thread begins a fresh session: the agent will not remember what was said before."
      })

      const textOf = Effect.fnUntraced(function*(
        message: IncomingMessage,
        row: SandboxRow,
        word: Answered,
        group: GroupId
      ) {
        switch (word) {
          case "help":
            return helpText()
          case "model":
            return modelText(row)
          case "new":
            return yield* fresh(message, row, group)
          case "status":
            return statusText({
              row,
              report: yield* reports.get(row.id),
              depth: yield* queue.depth(row.id),
              here: message.threadTs === undefined ? undefined : loadOf(yield* queue.keys(row.id, group)),
              now: yield* Clock.currentTimeMillis
            })
        }
      })

      /** Durable in the journal before it is so. False when somebody else was quicker, or its end began. */
      const woken = Effect.fnUntraced(function*(message: IncomingMessage, row: SandboxRow) {
        yield* audit.record({
          actor: message.user,
          action: "sandbox.wake",
          subject: row.id,
          verdict: "allowed",
          detail: `${message.channel}:${message.ts}`
        })
        return yield* sandboxes.update(
          row.id,
          { desired: "running", status: "running", resumedAt: yield* Clock.currentTimeMillis },
          { generation: row.generation, ending: false }
        )
      })

      const asleep = Effect.fnUntraced(function*(message: IncomingMessage, row: SandboxRow) {
        if (!row.profile.spec.cli.slackWakeOnMessage) {
          return yield* say(
            message,
            "asleep",
            "😴 This sandbox is paused. Your message is kept and runs when an operator lets it: " +
              `\`km resume ${row.alias ?? row.id}\`.`
          )
        }
        if (!(yield* woken(message, row))) return
        yield* say(
          message,
          "asleep",
          "😴 This sandbox was paused. It wakes up now, and your message runs as soon as it is ready; `!status` says how far it is."
        )
      })

      /** Of each thread the turns that were told to stop and were still there: so that many messages cost one request each. */
      const told = new Map<GroupId, ReadonlySet<TurnKey>>()

      /** Each by its own name: what is written after this message is not concerned. The queue keeps the order. */
      const interrupt = Effect.fnUntraced(function*(
        message: IncomingMessage,
        row: SandboxRow,
        { ahead, group, key }: StoredTurn
      ) {
        if (ahead?.inGroup === 0) return
        const keys = yield* queue.keys(row.id, group)
        const older = keys.slice(0, Math.max(0, keys.findIndex((entry) => entry.key === key))).map((entry) => entry.key)
        const before = told.get(group)
        const by = `a newer message of ${identity.knownName(message.user) ?? message.user}`
        for (const turn of older) {
          // Once for all newer messages: the runtime keeps it for as long as the turn may come.
          if (before?.has(turn) !== true) yield* controls.send(row.id, { kind: "stop", id: `newer-${turn}`, turn, by })
        }
        if (told.size >= maxTold) told.clear()
        told.set(group, new Set(older))
      })

      const stored = Effect.fnUntraced(
        function*(message: IncomingMessage, row: SandboxRow, turn: StoredTurn) {
          const { slackBusyPolicy: policy, slackMaxConcurrentThreads: most } = row.profile.spec.cli
          if (policy === "interrupt") yield* interrupt(message, row, turn)
          if (row.desired === "stopped") return yield* asleep(message, row)
          if (policy === "interrupt") return
          const ahead = turn.ahead ?? Option.getOrUndefined(yield* queue.ahead(row.id, turn))
          // It may become part of what is before it.
          if (ahead === undefined || (policy === "debounce" && ahead.inGroup > 0)) return
          const text = positionText(ahead, most)
          const where = ahead.inGroup > 0 ? `${message.channel} ${message.threadTs}` : message.channel
          if (text !== undefined && (yield* isTime(where))) yield* say(message, "position", text)
        },
        // The message is stored, and that is what was promised.
        Effect.catch((error) => Effect.logWarning("whoever waits was not told for what", error.message))
      )

      return Words.of({
        answer: Effect.fn("Words.answer")(function*(message, row, word, group) {
          yield* say(message, word, yield* textOf(message, row, word, group))
        }),
        hint: (message, { word }) => say(message, "hint", hintOf(word)),
        aside: ({ channel, threadTs, ts }) =>
          notes.put(
            `aside/${channel}/${threadTs ?? ts}`,
            { channel, threadTs: threadTs ?? ts },
            "🤫 The agent does not see messages that begin with `!aside`."
          ),
        stored
      })
    })
  )
}
