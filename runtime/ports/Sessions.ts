/**
 * The agent's conversations as it keeps them itself, where it can change them: read with care, and believed no more than
 * anything else that it says. Each agent has a form of its own.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { SessionId } from "../domain/sandbox/Ids.ts"

/** Why there is no transcript to read; never a reason to fail a turn. */
export class SessionFileSkipped extends Schema.TaggedError<SessionFileSkipped>()("SessionFileSkipped", {
  session: Schema.String,
  reason: Schema.Literals(["Missing", "NotRegular", "Linked", "TooLarge", "Unreadable"]),
  cause: Schema.Defect()
}) {
  override get message(): string {
    const why = {
      Missing: "there is none",
      NotRegular: "something else than a regular file is in its place",
      Linked: "a link is in its place",
      TooLarge: "it is larger than 256 MiB",
      Unreadable: "it cannot be read"
    }[this.reason]
    return `KM-AGT-091: the transcript of session ${this.session} was left out: ${why}`
  }
}

export interface SessionFile {
  /** Bytes when it was opened; what comes later is not read. */
  readonly size: number
  /** Complete lines of `[from, size)`, without their newlines, in order. Too long ones are left out. */
  readonly lines: (from: number) => AsyncGenerator<string, void, void>
}

/** What a line says of a turn, in the words of the agent's events. */
export type Said =
  | { readonly _tag: "Text"; readonly text: string }
  | { readonly _tag: "ToolUsed"; readonly id: string; readonly name: string; readonly input: unknown }
  | { readonly _tag: "ToolFinished"; readonly id: string; readonly isError: boolean }

export interface ToldLine {
  /** The prompt that a person's line began or a tool's result belongs to; the agent's own lines do not say. */
  readonly promptId: string | undefined
  readonly said: ReadonlyArray<Said>
}

export class Sessions extends Context.Service<Sessions, {
  /** Closed with the scope. */
  readonly open: (session: SessionId) => Effect.Effect<SessionFile, SessionFileSkipped, Scope.Scope>
  /** What a line of such a file says; none for lines of which nothing is shown. */
  readonly toldBy: (line: string) => Option.Option<ToldLine>
}>()("km/runtime/ports/Sessions") {
  /** Of an agent that keeps none that can be read: nothing is attached, and turns are shown by what it says meanwhile. */
  static readonly layerNone: Layer.Layer<Sessions> = Layer.succeed(
    Sessions,
    Sessions.of({
      open: (session) =>
        Effect.fail(new SessionFileSkipped({ session, reason: "Missing", cause: "this agent keeps no sessions" })),
      toldBy: () => Option.none()
    })
  )
}
