/**
 * Turns that the pipeline runs, shown live in the thread of the message that started them. Standard output and hooks
 * are folded as they come, the file when every process is gone; then the live message holds the whole answer and *is*
 * the answer.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  type ChannelId,
  type MessageTs,
  requestIdOf,
  type SessionId,
  type TurnKey
} from "../../runtime/domain/sandbox/Ids.ts"
import { isBlank } from "../../runtime/domain/text/Blank.ts"
import { sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { visibleOutcome } from "../../runtime/domain/turn/OutcomeText.ts"
import type { ShownPart, TurnRow } from "../../runtime/domain/turn/Turn.ts"
import type { Bridge } from "../../runtime/ports/Bridge.ts"
import type { ReceivedHook } from "../../runtime/ports/HookEvents.ts"
import type { Ledger } from "../../runtime/ports/Ledger.ts"
import type { TurnObserver } from "../../runtime/ports/Plugin.ts"
import type { Redaction } from "../../runtime/ports/Redaction.ts"
import type { Sessions } from "../../runtime/ports/Sessions.ts"
import { fromAgent, fromHook } from "./LiveInput.ts"
import { beginRun } from "./LiveModel.ts"
import { type LiveView, makeLiveView, sizeOfFile, toldByFile } from "./LiveView.ts"
import type { UploadQueue } from "./UploadQueue.ts"

/** How long the agent's output may lag behind its end. */
const outputGrace = "5 seconds"
/** Turns held in memory at once; the oldest goes first (one that never reaches `posted` would stay for ever). */
const maxTurns = 256

interface Turn {
  readonly view: LiveView
  readonly scope: Scope.Closeable
  session: SessionId | undefined
  output: Fiber.Fiber<unknown, unknown> | undefined
  /** Text came by hook, by standard output. */
  heard: { hook: boolean; stdout: boolean }
}

export interface DispatchedParts {
  readonly bridge: Bridge["Service"]
  readonly ledger: Ledger["Service"]
  readonly redaction: Redaction["Service"]
  readonly channel: ChannelId
  readonly sessions: Sessions["Service"]
  /** For turns that no Slack message started. */
  readonly threadOf: (session: SessionId, header: string) => Effect.Effect<MessageTs | undefined>
  /** Waits until every hook that arrived before has been told. */
  readonly drained: Effect.Effect<void>
  /** The session is to be attached; returns once that is written down. */
  readonly due: UploadQueue["due"]
}

export interface DispatchedTurns {
  readonly observer: TurnObserver
  /** A hook of a dispatched run. */
  readonly hook: (received: ReceivedHook) => void
  readonly live: () => number
  /** The last turn's text came, but by no hook. */
  readonly hooksAreOff: () => boolean
}

const headerOf = ({ request: { origin, title } }: TurnRow): string =>
  title ?? (origin.kind === "operator" ? "⏱️ Turn started by an operator" : "⏱️ Turn started")

export const makeDispatchedTurns = Effect.fnUntraced(function*(
  parts: DispatchedParts
): Effect.fn.Return<DispatchedTurns, never, Scope.Scope> {
  const { bridge, ledger, redaction } = parts
  const plugin = yield* Effect.scope
  const turns = new Map<TurnKey, Turn>()
  const bySession = new Map<SessionId, Turn>()
  let hooksOff = false

  const place = (row: TurnRow) => {
    const { origin } = row.request
    const channel = origin.kind === "slack" ? origin.channel : parts.channel
    const thread = origin.kind === "slack"
      ? Effect.succeed(origin.threadTs)
      : row.session === undefined
      ? Effect.undefined
      : parts.threadOf(row.session, redaction.redact(headerOf(row)))
    return { channel, thread }
  }

  const forget = Effect.fnUntraced(function*(key: TurnKey) {
    const turn = turns.get(key)
    if (turn === undefined) return
    turns.delete(key)
    if (turn.session !== undefined && bySession.get(turn.session) === turn) bySession.delete(turn.session)
    yield* Scope.close(turn.scope, Exit.void)
  })

  const turnOf = Effect.fnUntraced(function*(row: TurnRow) {
    const known = turns.get(row.key)
    if (known !== undefined) return known
    for (const key of [...turns.keys()].slice(0, Math.max(0, turns.size - maxTurns + 1))) yield* forget(key)
    const scope = yield* Scope.fork(plugin)
    const view = yield* makeLiveView({
      bridge,
      redaction,
      ...place(row),
      live: requestIdOf(row.key),
      key: row.key,
      head: () => ""
    }).pipe(Scope.provide(scope))
    const turn: Turn = { view, scope, session: undefined, output: undefined, heard: { hook: false, stdout: false } }
    turns.set(row.key, turn)
    return turn
  })

  /** Where in the session's file the turn begins: found before its first run, remembered for later ones. */
  const beginning = Effect.fnUntraced(
    function*(row: TurnRow, session: SessionId) {
      const fact = `transcript/begin/${row.key}/${session}`
      const kept = yield* ledger.recall(fact)
      if (Option.isSome(kept)) return { from: Number.parseInt(kept.value, 10) || 0, known: true }
      const from = row.resumed ? yield* sizeOfFile(parts.sessions, session) : 0
      yield* ledger.remember(fact, String(from))
      return { from, known: false }
    },
    Effect.catch((error) =>
      Effect.as(Effect.logWarning("where the turn began is not known", error.message), { from: 0, known: false })
    )
  )

  /** Takes from the file what it says of the turn, once all its processes are gone. */
  const readFile = Effect.fnUntraced(function*(row: TurnRow, session: SessionId, turn: Turn, from: number) {
    yield* toldByFile(parts.sessions, { session, from, promptId: undefined }).pipe(
      Effect.match({
        onSuccess: (told) => turn.view.reconcile(told),
        onFailure: (skipped) => skipped
      }),
      Effect.flatMap((skipped) =>
        skipped === undefined ? Effect.void : Effect.logWarning("a transcript was left out", skipped.message)
      ),
      Effect.annotateLogs({ turn: row.key })
    )
  })

  const observer: TurnObserver = {
    starting: Effect.fn("Transcript.starting")(function*(row) {
      const { session } = row
      if (session === undefined) return
      const turn = yield* turnOf(row)
      const { from, known } = yield* beginning(row, session)
      // An earlier run that this runtime did not see.
      if (known && turn.view.isEmpty()) yield* readFile(row, session, turn, from)
      turn.view.change((model) => beginRun(model, turn.session !== undefined && turn.session !== session))
      if (turn.session !== undefined) bySession.delete(turn.session)
      turn.session = session
      turn.heard = { hook: false, stdout: false }
      bySession.set(session, turn)
    }),
    started: Effect.fn("Transcript.started")(function*(row, process) {
      const turn = yield* turnOf(row)
      turn.output = yield* process.events.pipe(
        Stream.runForEach((event) =>
          Effect.sync(() => {
            if (event._tag === "Text") turn.heard.stdout = true
            turn.view.tell(fromAgent(event))
          })
        ),
        Effect.forkScoped
      )
    }),
    exited: Effect.fn("Transcript.exited")(function*(row): Effect.fn.Return<ReadonlyArray<ShownPart>> {
      const turn = yield* turnOf(row)
      if (turn.output !== undefined) yield* Effect.timeoutOption(Fiber.await(turn.output), outputGrace)
      yield* parts.drained
      if (turn.heard.stdout || turn.heard.hook) hooksOff = !turn.heard.hook
      if (row.session !== undefined) {
        yield* readFile(row, row.session, turn, (yield* beginning(row, row.session)).from)
      }
      if (row.outcome?._tag === "Failed") turn.view.tell([{ _tag: "Retract", text: row.outcome.reason }])
      const answer = row.outcome?._tag === "Answered" ? row.outcome.text : ""
      if (!isBlank(answer)) turn.view.ensure(answer)
      turn.view.tell([{ _tag: "Status", text: undefined }])
      // One note for a turn that said nothing: what became of it takes the place of what stood there meanwhile.
      const outcome = visibleOutcome(row, redaction.redact)
      const shown = yield* turn.view.flush(outcome).pipe(
        Effect.catch((error) => Effect.as(Effect.logWarning("a turn cannot be shown live", error.message), []))
      )
      const last = shown.at(-1)
      // What is not shown to its last character is posted by the origin.
      if (last === undefined || row.request.origin.kind === "operator") return []
      if (turn.view.isBlank()) return [{ ts: last.ts, sha256: sha256Hex(outcome) }]
      return isBlank(answer) || !turn.view.showsAtEnd(answer) ? [] : [{ ts: last.ts, sha256: sha256Hex(answer) }]
    }, (effect, row) => Effect.annotateLogs(effect, { turn: row.key })),
    posted: Effect.fn("Transcript.posted")(function*(row) {
      yield* forget(row.key)
      if (row.session === undefined) return
      const { origin } = row.request
      yield* parts.due({
        session: row.session,
        key: row.key,
        ...(origin.kind === "slack"
          ? { channel: origin.channel, threadTs: origin.threadTs, header: "" }
          : { channel: parts.channel, header: redaction.redact(headerOf(row)) })
      })
    }, (effect, row) => Effect.annotateLogs(effect, { turn: row.key }))
  }

  return {
    observer,
    hook: ({ event }) => {
      const turn = bySession.get(event.session_id)
      if (turn === undefined) return
      if (event.hook_event_name === "MessageDisplay" && event.agent_id === undefined) turn.heard.hook = true
      turn.view.tell(
        event.hook_event_name === "StopFailure"
          ? [{ _tag: "Retract", text: event.last_assistant_message ?? "" }]
          : fromHook(event)
      )
    },
    live: () => turns.size,
    hooksAreOff: () => hooksOff
  }
})
