/**
 * The CLI's questions whether a tool may be used (`--permission-prompt-tool stdio`): read from its standard output,
 * answered on its standard input, which stays open for as long as the run may ask. An input that ends denies what waits.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Consent, ToolCall } from "../../ports/Agent.ts"
import { answeredInput, choiceOf, notOnButtons } from "./UserQuestion.ts"

const CanUseTool = Schema.Struct({
  type: Schema.Literal("control_request"),
  request_id: Schema.String,
  request: Schema.Struct({
    subtype: Schema.Literal("can_use_tool"),
    tool_name: Schema.String,
    input: Schema.Unknown,
    tool_use_id: Schema.optionalKey(Schema.NullOr(Schema.String))
  })
})
/** Whatever else the CLI may come to ask of who drives it. */
const OtherRequest = Schema.Struct({ type: Schema.Literal("control_request"), request_id: Schema.String })
const Cancel = Schema.Struct({ type: Schema.Literal("control_cancel_request"), request_id: Schema.String })
const Result = Schema.Struct({ type: Schema.Literal("result") })

const decode = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Union([CanUseTool, OtherRequest, Cancel, Result]))
)

/** Only lines of these kinds hold such a word near their beginning; others are not parsed twice. */
const mayConcern = (line: string): boolean =>
  /"(?:control_request|control_cancel_request|result)"/.test(line.slice(0, 4_096))

const answerLine = (id: string, response: Readonly<Record<string, unknown>>): string =>
  `${JSON.stringify({ type: "control_response", response: { request_id: id, ...response } })}\n`

const consentLine = (id: string, { choice, input }: ToolCall, consent: Consent): string =>
  answerLine(id, {
    subtype: "success",
    response: consent._tag === "Given" && (choice === undefined || consent.chosen !== undefined)
      // The very input that was asked about, whatever the CLI holds by then.
      ? {
        behavior: "allow",
        updatedInput: choice === undefined || consent.chosen === undefined
          ? input
          : answeredInput(input, choice, consent.chosen)
      }
      : { behavior: "deny", message: consent._tag === "Denied" ? consent.reason : "Nobody has answered." }
  })

/** What the lines of a run are answered on. Neither method throws; what nobody reads any more is dropped. */
export interface AgentInput {
  readonly write: (line: string) => void
  readonly end: () => void
}

export interface ConsentLines {
  readonly onLine: (line: string) => void
  /** The agent is ended: nobody waits for an answer any more. */
  readonly stop: Effect.Effect<void>
}

/** Answers the questions of one run; `fork` runs an effect for as long as the run lives. */
export const consentLines = (options: {
  readonly consent: (call: ToolCall) => Effect.Effect<Consent>
  readonly input: AgentInput
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
}): ConsentLines => {
  const { consent, fork, input } = options
  const waiting = new Map<string, Fiber.Fiber<void>>()

  const ask = (id: string, call: ToolCall): void => {
    if (waiting.has(id)) return
    waiting.set(
      id,
      fork(
        consent(call).pipe(
          Effect.catchDefect((defect) =>
            Effect.as(
              Effect.logError("a question about a tool ended in a defect", defect),
              { _tag: "Denied", reason: "Nobody could be asked about this." } satisfies Consent
            )
          ),
          Effect.flatMap((answer) => Effect.sync(() => input.write(consentLine(id, call, answer)))),
          Effect.ensuring(Effect.sync(() => void waiting.delete(id)))
        )
      )
    )
  }

  return {
    onLine: (line) => {
      if (!mayConcern(line)) return
      const read = Option.getOrUndefined(decode(line))
      if (read === undefined) return
      if (read.type === "result") return input.end()
      if (read.type === "control_cancel_request") {
        const fiber = waiting.get(read.request_id)
        if (fiber !== undefined) fork(Fiber.interrupt(fiber))
        return
      }
      if ("request" in read) {
        const { input: asked, tool_name: tool, tool_use_id: use } = read.request
        const call = { id: use ?? read.request_id, tool, input: asked }
        const choice = choiceOf(tool, asked)
        return choice === "unfit"
          ? input.write(consentLine(read.request_id, call, { _tag: "Denied", reason: notOnButtons }))
          : ask(read.request_id, choice === undefined ? call : { ...call, choice })
      }
      input.write(answerLine(read.request_id, { subtype: "error", error: "not supported" }))
    },
    stop: Effect.suspend(() => Effect.asVoid(Fiber.interruptAll([...waiting.values()])))
  }
}
