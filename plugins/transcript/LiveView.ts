/** A live model and the message that shows it, kept together: whatever is told appears, redacted, within a second. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ChannelId, MessageTs, RequestId, SessionId } from "../../runtime/domain/sandbox/Ids.ts"
import type { Bridge } from "../../runtime/ports/Bridge.ts"
import type { Redaction } from "../../runtime/ports/Redaction.ts"
import { SessionFileSkipped, type Sessions } from "../../runtime/ports/Sessions.ts"
import { squash } from "./LiveEntries.ts"
import { fromFile, type LiveInput } from "./LiveInput.ts"
import { emptyModel, endsWith, fold, type LiveModel, reconcile } from "./LiveModel.ts"
import { type LivePoster, makeLivePoster } from "./LivePoster.ts"
import { isCut, liveText } from "./LiveText.ts"

export interface LiveView {
  readonly tell: (inputs: ReadonlyArray<LiveInput>) => void
  readonly change: (f: (model: LiveModel) => LiveModel) => void
  /** Folds what the file says, all of it from the turn's first line on. */
  readonly reconcile: (inputs: ReadonlyArray<LiveInput>) => void
  /** Makes sure that the texts end with this one. Already redacted. */
  readonly ensure: (answer: string) => void
  readonly isEmpty: () => boolean
  /** There is nothing to show. */
  readonly isBlank: () => boolean
  readonly endsWith: (text: string) => boolean
  /** The live message, as it is set, ends with all of this. Already redacted; white space aside. */
  readonly showsAtEnd: (answer: string) => boolean
  readonly flush: LivePoster["flush"]
}

export const makeLiveView = Effect.fnUntraced(function*(options: {
  readonly bridge: Bridge["Service"]
  readonly redaction: Redaction["Service"]
  readonly channel: ChannelId
  readonly thread: Effect.Effect<MessageTs | undefined>
  readonly live: RequestId
  readonly key: string
  /** Markdown above the turn; redacted. */
  readonly head: () => string
}): Effect.fn.Return<LiveView, never, Scope.Scope> {
  const { redact } = options.redaction
  let model = emptyModel
  const poster = yield* makeLivePoster({ ...options, text: () => liveText(model, redact, options.head()) })
  const change = (f: (model: LiveModel) => LiveModel): void => {
    const next = f(model)
    if (next === model) return
    model = next
    poster.changed()
  }
  return {
    change,
    tell: (inputs) => change((before) => inputs.reduce(fold, before)),
    reconcile: (inputs) => change((before) => reconcile(before, inputs)),
    ensure: (answer) =>
      change((before) =>
        endsWith(before, answer, redact) ? before : fold(before, { _tag: "Text", by: "file", text: answer })
      ),
    isEmpty: () => model.entries.length === 0,
    isBlank: () => liveText(model, redact, options.head()) === "",
    endsWith: (text) => endsWith(model, text, (shown) => shown),
    showsAtEnd: (answer) => {
      const text = liveText(model, redact, options.head())
      return isCut(text) ? squash(text).endsWith(squash(answer.toWellFormed())) : endsWith(model, answer, redact)
    },
    flush: poster.flush
  }
})

/** What a session's file says from byte `from` on; only of one prompt, when one is given. */
export const toldByFile = (sessions: Sessions["Service"], input: {
  readonly session: SessionId
  readonly from: number
  readonly promptId: string | undefined
}): Effect.Effect<ReadonlyArray<LiveInput>, SessionFileSkipped> =>
  Effect.scoped(Effect.gen(function*() {
    const file = yield* sessions.open(input.session)
    const read = async () => {
      const told: Array<LiveInput> = []
      let within = input.promptId === undefined
      for await (const line of file.lines(Math.min(input.from, file.size))) {
        const one = sessions.toldBy(line)
        if (one._tag === "None") continue
        if (input.promptId !== undefined && one.value.promptId !== undefined) {
          within = one.value.promptId === input.promptId
        }
        if (within) { for (const said of one.value.said) told.push(fromFile(said)) }
      }
      return told
    }
    return yield* Effect.tryPromise({
      try: read,
      catch: (cause) => new SessionFileSkipped({ session: input.session, reason: "Unreadable", cause })
    })
  }))

/** Bytes of the session's file now; 0 when there is none to read. */
export const sizeOfFile = ({ open }: Sessions["Service"], session: SessionId): Effect.Effect<number> =>
  Effect.scoped(open(session)).pipe(
    Effect.map((file) => file.size),
    Effect.orElseSucceed(() => 0)
  )
