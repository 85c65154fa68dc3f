/**
 * What the bridge still has to do when it has answered: a mark on a message, a sentence in a thread, a look at what was
 * missed. An errand is data, not a closure, so that an engine may carry it to another process: on a server fibers of this
 * one do it, on AWS a work queue and a second function.
 *
 * Nothing that was promised rests on an errand: an errand that is dropped, or lost with its process, is made good by the
 * catch-up, which comes past the message again.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import { ChannelId, MessageTs, SandboxId, UserId } from "../domain/sandbox/Ids.ts"
import { QuestionId } from "../domain/slack/Question.ts"
import { unending } from "./Unending.ts"

/** An SQS message's; counted in bytes of the errand as JSON. */
export const maxErrandBytes = 256 * 1024

/** How many errands wait in one process at most; with a mark's 200 bytes some megabytes. */
export const maxWaitingErrands = 10_000

/** Ends before `km up` kills a process that it stops, which is 5 s after it asked. */
export const errandsGrace = Duration.seconds(3)

export const Errand = Schema.TaggedUnion({
  /** Sets a reaction. `traceparent`: of who asks, so that 👀 is in the trace of its message. */
  Mark: {
    channel: ChannelId,
    ts: MessageTs,
    emoji: Schema.Literals(["eyes", "no_entry_sign", "octagonal_sign", "shushing_face"]),
    traceparent: Schema.optionalKey(Schema.String)
  },
  /** Posts a sentence of the bridge's own; the same key is the same note. */
  Note: {
    key: Schema.String,
    channel: ChannelId,
    threadTs: Schema.optionalKey(MessageTs),
    markdown: Schema.String
  },
  /** Tells one person something that the others do not see. */
  Whisper: {
    key: Schema.String,
    channel: ChannelId,
    threadTs: Schema.optionalKey(MessageTs),
    user: UserId,
    text: Schema.String
  },
  /** Carries on with a question to people: its decision, and what its message shows. */
  Question: { sandbox: SandboxId, question: QuestionId },
  /** Tells Slack whether an agent works in a thread; `proved`: Slack itself has spoken of the thread's session. */
  SessionStatus: {
    channel: ChannelId,
    threadTs: MessageTs,
    status: Schema.Literals(["processing", "active"]),
    proved: Schema.Boolean
  },
  /** Asks Slack who a person is, or who the bot is, for the events that follow. */
  LookUp: { who: Schema.Union([UserId, Schema.Literal("bot")]) },
  /** Fetches what was missed. */
  CatchUp: {}
})
export type Errand = typeof Errand.Type
export type ErrandKind = Errand["_tag"]
export type ErrandOf<K extends ErrandKind> = Extract<Errand, { readonly _tag: K }>

const ErrandText = Schema.fromJsonString(Errand)
const decodeErrand = Schema.decodeUnknownEffect(ErrandText)

/** Whoever can do errands of one kind. Neither fails; a defect ends its own errand only. */
export interface ErrandHandler<K extends ErrandKind> {
  /** Done or given up, with its own retries. May be called twice for one errand. */
  readonly run: (errand: ErrandOf<K>) => Effect.Effect<void>
  /** Was not begun and will not be: sees to it that somebody makes it good. */
  readonly dropped: (errand: ErrandOf<K>) => void
}

/** Done at the same time, per kind: none waits for another kind's. */
const workers: { readonly [K in ErrandKind]: number } = {
  Mark: 4,
  Note: 4,
  Whisper: 4,
  Question: 8,
  // In their order: the last status that was asked for is the last that is set.
  SessionStatus: 1,
  LookUp: 32,
  CatchUp: 1
}

/** At the bound the first of these go first. A catch-up makes the others good, and there is never more than one of it. */
const dropOrder: ReadonlyArray<ErrandKind> = ["LookUp", "SessionStatus", "Note", "Mark", "Whisper", "Question"]

export class Errands extends Context.Service<Errands, {
  /** Returns at once. What cannot be taken is dropped, and its handler told. */
  readonly give: (errand: Errand) => void
  /** Before an answer leaves: what was given until now is in the engine's hands. */
  readonly handedOver: Effect.Effect<void>
  /** Once per kind, when the layers are built; of what was given before, nothing is done until then. */
  readonly handle: <K extends ErrandKind>(kind: K, handler: ErrandHandler<K>) => Effect.Effect<void>
  /** Waits until everything of these kinds that was given before is done, given up or dropped. */
  readonly drain: (...kinds: ReadonlyArray<ErrandKind>) => Effect.Effect<void>
  /** Drains for `errandsGrace` at most; from its beginning on nothing more is taken. For the end of a process. */
  readonly close: Effect.Effect<void>
}>()("km/runtime/ports/Errands") {
  /** Fibers of this process. */
  static readonly layerMemory = Layer.effect(
    Errands,
    Effect.gen(function*() {
      const scope = yield* Effect.scope
      /** As they would travel. A set keeps its order, and a member can be taken from its middle. */
      const waiting = new Map<ErrandKind, Set<{ readonly text: string; readonly errand: Errand }>>()
      const handlers = new Map<ErrandKind, ErrandHandler<ErrandKind>>()
      const wakes = new Map<ErrandKind, Queue.Queue<void>>()
      const running = new Map<ErrandKind, number>()
      const listeners = new Set<() => void>()
      let total = 0
      let closing = false

      const laneOf = (kind: ErrandKind) => {
        const lane = waiting.get(kind) ?? new Set()
        waiting.set(kind, lane)
        return lane
      }
      const isIdle = (kinds: ReadonlyArray<ErrandKind>): boolean =>
        kinds.every((kind) => laneOf(kind).size === 0 && (running.get(kind) ?? 0) === 0)
      const changed = (): void => {
        for (const listener of listeners) listener()
      }
      const drop = (errand: Errand): void => handlers.get(errand._tag)?.dropped(errand)

      /** Makes room for an errand of this kind by dropping the oldest of the least worth; false where it is that itself. */
      const makeRoom = (kind: ErrandKind): boolean => {
        for (const least of dropOrder) {
          if (least === kind) return false
          const [oldest] = laneOf(least)
          if (oldest === undefined) continue
          laneOf(least).delete(oldest)
          total -= 1
          drop(oldest.errand)
          changed()
          return true
        }
        return false
      }

      const give = (errand: Errand): void => {
        // As the schema would write it: nothing in an errand is encoded. Whoever does it decodes it.
        const text = JSON.stringify(errand)
        if (closing || Buffer.byteLength(text) > maxErrandBytes) return drop(errand)
        const lane = laneOf(errand._tag)
        // What was missed by then is fetched by the one that waits.
        if (errand._tag === "CatchUp" && lane.size > 0) return
        if (total >= maxWaitingErrands && errand._tag !== "CatchUp" && !makeRoom(errand._tag)) return drop(errand)
        lane.add({ text, errand })
        total += 1
        const wake = wakes.get(errand._tag)
        if (wake !== undefined) Queue.offerUnsafe(wake, undefined)
      }

      const work = Effect.fnUntraced(function*<K extends ErrandKind>(kind: K, handler: ErrandHandler<K>) {
        const lane = laneOf(kind)
        const [first] = lane
        if (first === undefined) return
        lane.delete(first)
        total -= 1
        running.set(kind, (running.get(kind) ?? 0) + 1)
        const isOfKind = (errand: Errand): errand is ErrandOf<K> => errand._tag === kind
        yield* decodeErrand(first.text).pipe(
          Effect.orDie,
          Effect.flatMap((errand) => isOfKind(errand) ? handler.run(errand) : Effect.void),
          // Not made good: the catch-up would bring the same defect back every time.
          Effect.catchDefect((defect) =>
            Effect.logError("an errand ended in a defect; the others go on", defect).pipe(
              Effect.annotateLogs({ errand: kind })
            )
          ),
          Effect.ensuring(Effect.sync(() => {
            running.set(kind, (running.get(kind) ?? 1) - 1)
            changed()
          }))
        )
      })

      const handle = Effect.fnUntraced(function*<K extends ErrandKind>(kind: K, handler: ErrandHandler<K>) {
        const wake = yield* Queue.unbounded<void>()
        for (const _ of laneOf(kind)) Queue.offerUnsafe(wake, undefined)
        wakes.set(kind, wake)
        const isOfKind = (errand: Errand): errand is ErrandOf<K> => errand._tag === kind
        handlers.set(kind, {
          run: (errand) => isOfKind(errand) ? handler.run(errand) : Effect.void,
          dropped: (errand) => isOfKind(errand) && handler.dropped(errand)
        })
        const worker = unending(
          "what is around an errand ended in a defect; the others go on",
          0,
          Effect.andThen(Queue.take(wake), work(kind, handler))
        )
        for (let n = 0; n < workers[kind]; n++) yield* Effect.forkIn(worker, scope)
      })

      const drain = (...kinds: ReadonlyArray<ErrandKind>) =>
        Effect.callback<void>((resume) => {
          const look = (): void => {
            if (!isIdle(kinds)) return
            listeners.delete(look)
            resume(Effect.void)
          }
          listeners.add(look)
          look()
          return Effect.sync(() => void listeners.delete(look))
        })

      const close = Effect.gen(function*() {
        closing = true
        const kinds: ReadonlyArray<ErrandKind> = ["Mark", "Note", "Whisper", "Question", "SessionStatus"]
        const left = yield* Effect.timeoutOption(drain(...kinds), errandsGrace)
        if (left._tag === "None") {
          yield* Effect.logWarning("errands are left undone; the catch-up of the next start makes them good").pipe(
            Effect.annotateLogs(Object.fromEntries(kinds.map((kind) => [kind, laneOf(kind).size])))
          )
        }
      })

      return Errands.of({ give, handedOver: Effect.void, handle, drain, close })
    })
  )
}
