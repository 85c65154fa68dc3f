/**
 * Sessions that a person started in the sandbox: one thread each, one live message a prompt, the session attached at its
 * stops and its end. They are known by hooks alone; the file makes them right once it holds what the Stop hook said.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import { type ChannelId, type MessageTs, requestIdOf, type SessionId } from "../../runtime/domain/sandbox/Ids.ts"
import type { HookEvent } from "../../runtime/domain/turn/HookEvent.ts"
import type { Bridge } from "../../runtime/ports/Bridge.ts"
import type { ReceivedHook } from "../../runtime/ports/HookEvents.ts"
import type { Redaction } from "../../runtime/ports/Redaction.ts"
import type { Sessions } from "../../runtime/ports/Sessions.ts"
import { unending } from "../../runtime/ports/Unending.ts"
import { squash } from "./LiveEntries.ts"
import { fromHook, type LiveInput } from "./LiveInput.ts"
import { nothingSaid } from "./LivePoster.ts"
import { quoted } from "./LiveText.ts"
import { type LiveView, makeLiveView, sizeOfFile, toldByFile } from "./LiveView.ts"
import type { UploadQueue } from "./UploadQueue.ts"

/** Sessions watched at once; the one that was silent longest goes first. */
const maxSessions = 50
/** Prompts of a session whose late events (background tasks) still find their message. */
const maxPrompts = 4
/** Pauses between looks into the file after a Stop: 5 s in all (docs/architecture.md). The CLI writes about every 100 ms. */
const looks = [100, 200, 300, 400, 500, 500, 1_000, 1_000, 1_000] as const

/** A prompt's first line is looked for this far before the end that the file had when its hook arrived. */
const searchBackBytes = 1024 * 1024

interface Prompt {
  readonly id: string
  readonly view: LiveView
  readonly scope: Scope.Closeable
  /** What the person wrote, steered messages included; raw. */
  readonly said: Array<string>
  /** Where in the file to look for the prompt. */
  readonly from: number
  /** The hooks' prompt id; absent when this CLI sends none. */
  readonly promptId: string | undefined
  open: boolean
}

type Job =
  | { readonly kind: "stop"; readonly prompt: Prompt; readonly text: string | undefined }
  | { readonly kind: "end" }
  | { readonly kind: "permission"; readonly text: string; readonly at: number }

interface Session {
  readonly id: SessionId
  readonly scope: Scope.Closeable
  readonly prompts: Map<string, Prompt>
  readonly jobs: Queue.Queue<Job>
  latest: Prompt | undefined
}

export interface InteractiveParts {
  readonly bridge: Bridge["Service"]
  readonly redaction: Redaction["Service"]
  readonly channel: ChannelId
  /** The sandbox as a person knows it. */
  readonly label: string
  readonly sessions: Sessions["Service"]
  readonly notifyOnPermission: boolean
  readonly threadOf: (session: SessionId, header: string) => Effect.Effect<MessageTs | undefined>
  /** The session is to be attached; returns once that is written down. */
  readonly due: UploadQueue["due"]
}

export interface InteractiveSessions {
  /** A hook with the sandbox's own token. Quick: what takes time is done by the session's own fiber. */
  readonly hook: (received: ReceivedHook) => Effect.Effect<void>
  readonly live: () => number
}

export const makeInteractiveSessions = Effect.fnUntraced(function*(
  parts: InteractiveParts
): Effect.fn.Return<InteractiveSessions, never, Scope.Scope> {
  const { bridge, channel, redaction } = parts
  const plugin = yield* Effect.scope
  const sessions = new Map<SessionId, Session>()

  const headerOf = (session: SessionId): string =>
    `🖥️ Interactive session \`${session.slice(0, 8)}\` in ${redaction.redact(parts.label)}`
  const threadOf = (session: SessionId) => parts.threadOf(session, headerOf(session))

  const told = (session: SessionId, prompt: Prompt) =>
    toldByFile(parts.sessions, { session, from: prompt.from, promptId: prompt.promptId }).pipe(
      Effect.catch((skipped): Effect.Effect<ReadonlyArray<LiveInput>> =>
        Effect.as(Effect.logDebug("no transcript to look into yet", skipped.message), [])
      )
    )

  /** Folds the file once it holds the text that the Stop hook carried; after five seconds that text itself. */
  const makeRight = Effect.fnUntraced(function*(session: SessionId, prompt: Prompt, text: string | undefined) {
    for (const pause of looks) {
      const inputs = yield* told(session, prompt)
      if (inputs.length > 0) prompt.view.reconcile(inputs)
      if (text === undefined || (inputs.length > 0 && prompt.view.endsWith(text) && mentions(inputs, text))) return
      yield* Effect.sleep(pause)
    }
    if (text !== undefined && text.trim() !== "" && !prompt.view.endsWith(text)) {
      prompt.view.tell([{ _tag: "Text", by: "file", text }])
    }
  })

  const finish = Effect.fnUntraced(function*(session: Session, prompt: Prompt, text: string | undefined) {
    prompt.open = false
    yield* makeRight(session.id, prompt, text)
    prompt.view.tell([{ _tag: "Status", text: undefined }])
    yield* Effect.ignore(prompt.view.flush(nothingSaid))
    const header = headerOf(session.id)
    yield* parts.due({ session: session.id, channel, header, key: `session/${session.id}/${prompt.id}` })
  })

  const closeSession = Effect.fnUntraced(function*(session: Session) {
    if (sessions.get(session.id) === session) sessions.delete(session.id)
    // Not from inside: this may run in a fiber of that very scope.
    yield* Effect.forkIn(Scope.close(session.scope, Exit.void), plugin)
  })

  const work = (session: Session, job: Job): Effect.Effect<void> => {
    switch (job.kind) {
      case "stop":
        return finish(session, job.prompt, job.text)
      case "end":
        return Effect.forEach(
          [...session.prompts.values()].filter((prompt) => prompt.open),
          (prompt) => finish(session, prompt, undefined),
          { discard: true }
        ).pipe(Effect.andThen(closeSession(session)))
      case "permission":
        return Effect.gen(function*() {
          const threadTs = yield* threadOf(session.id)
          if (threadTs === undefined) return
          yield* bridge.call({
            key: `session/${session.id}/permission/${job.at}`,
            action: { action: "post", channel, threadTs, markdown: job.text }
          }).pipe(Effect.catch((error) => Effect.logWarning("a permission request was not posted", error.message)))
        })
    }
  }

  const sessionOf = Effect.fnUntraced(function*(id: SessionId) {
    const known = sessions.get(id)
    if (known !== undefined) {
      // The newest stands last.
      sessions.delete(id)
      sessions.set(id, known)
      return known
    }
    for (const oldest of [...sessions.values()].slice(0, Math.max(0, sessions.size - maxSessions + 1))) {
      yield* closeSession(oldest)
    }
    const scope = yield* Scope.fork(plugin)
    const jobs = yield* Queue.sliding<Job>(64)
    const session: Session = { id, scope, prompts: new Map(), jobs, latest: undefined }
    yield* unending(
      "work for an interactive session crashed",
      0,
      Effect.flatMap(Queue.take(jobs), (job) => work(session, job))
    ).pipe(Effect.annotateLogs({ session: id }), Effect.forkIn(scope))
    sessions.set(id, session)
    return session
  })

  const promptOf = Effect.fnUntraced(function*(session: Session, promptId: string | undefined, isNew: boolean) {
    const id = promptId ?? (isNew || session.latest === undefined ? `at-${session.prompts.size}` : session.latest.id)
    const known = session.prompts.get(id)
    if (known !== undefined) return known
    for (const old of [...session.prompts.values()].slice(0, Math.max(0, session.prompts.size - maxPrompts + 1))) {
      session.prompts.delete(old.id)
      yield* Scope.close(old.scope, Exit.void)
    }
    const scope = yield* Scope.fork(session.scope)
    const said: Array<string> = []
    const view = yield* makeLiveView({
      bridge,
      redaction,
      channel,
      thread: threadOf(session.id),
      live: requestIdOf(`session:${session.id}:${id}`),
      key: `session/${session.id}/${id}`,
      head: () => said.map((prompt) => quoted(prompt, redaction.redact)).filter((text) => text !== "").join("\n\n")
    }).pipe(Scope.provide(scope))
    // The CLI may write before we look, so the search for the prompt's id begins somewhat earlier; after a restart the
    // prompt is anywhere in the file.
    const size = isNew || promptId === undefined ? yield* sizeOfFile(parts.sessions, session.id) : 0
    const from = promptId === undefined ? size : Math.max(0, size - searchBackBytes)
    const prompt: Prompt = { id, view, scope, said, from, promptId, open: true }
    session.prompts.set(id, prompt)
    session.latest = prompt
    return prompt
  })

  const hook = Effect.fnUntraced(function*({ at, event }: ReceivedHook) {
    // A subagent's events belong to its session's prompt, and never open a thread of their own.
    const starts = event.agent_id === undefined && opening.has(event.hook_event_name)
    if (!starts && !sessions.has(event.session_id)) return
    const session = yield* sessionOf(event.session_id)
    switch (event.hook_event_name) {
      case "SessionStart":
        return
      case "UserPromptSubmit": {
        const prompt = yield* promptOf(session, event.prompt_id, true)
        prompt.open = true
        if (event.prompt !== undefined) prompt.said.push(event.prompt)
        // So that the quote is there before the first word of the answer.
        return prompt.view.tell([{ _tag: "Status", text: "working" }])
      }
      case "Stop":
      case "StopFailure": {
        const prompt = yield* promptOf(session, event.prompt_id, false)
        return Queue.offerUnsafe(session.jobs, { kind: "stop", prompt, text: event.last_assistant_message })
      }
      case "SessionEnd":
        return Queue.offerUnsafe(session.jobs, { kind: "end" })
      case "Notification": {
        if (event.notification_type !== "permission_prompt" || !parts.notifyOnPermission) return
        const text = `🔐 ${redaction.redact(event.message ?? "Claude Code asks for permission").slice(0, 500)}`
          .toWellFormed()
        return Queue.offerUnsafe(session.jobs, { kind: "permission", text, at })
      }
      default: {
        const inputs = fromHook(event)
        if (inputs.length > 0) (yield* promptOf(session, event.prompt_id, false)).view.tell(inputs)
      }
    }
  }, Effect.asVoid)

  return { hook, live: () => sessions.size }
})

/** Events from which a session is known; others of an unknown session say nothing worth a thread. */
const opening: ReadonlySet<HookEvent["hook_event_name"]> = new Set([
  "SessionStart",
  "UserPromptSubmit",
  "MessageDisplay",
  "PostToolUse",
  "PostToolUseFailure",
  "Stop",
  "Notification"
])

/** The file's texts end with this one. */
const mentions = (inputs: ReadonlyArray<LiveInput>, text: string): boolean =>
  squash(inputs.flatMap((input) => input._tag === "Text" ? [input.text] : []).join("")).endsWith(squash(text))
