/**
 * What schedules can do with mail: the operator writes. The message is named after the run, so that one that is taken up
 * again after a crash finds its message delivered.
 */
import * as Effect from "effect/Effect"
import type { RunBefore } from "../../domain/schedule/Schedule.ts"
import { ActionFailed, type ActionRequest, type ActionRunner } from "../../ports/ActionRunner.ts"

/** Between the operator's text and what became of the step before. */
const separator = "-".repeat(8)

/**
 * The body as it is sent. What an agent said is quoted line by line, because the operator's signature is over it and its
 * author is not the operator.
 */
export const mailBody = (body: string, after: RunBefore | undefined): string => {
  if (after === undefined) return body
  const end = after.outcome === "succeeded" ? "succeeded" : `ended ${after.outcome} (${after.code ?? "without a code"})`
  // Every line end that a reader might show as one: a line that escapes the marks would pass for the operator's.
  const quoted = (after.detail ?? "").split(/\r\n|[\n\r\v\f\u0085\u2028\u2029]/).map((line) => `> ${line}`.trimEnd())
  return [
    body.trimEnd(),
    "",
    separator,
    `After: ${after.action}`,
    `Run: ${after.id}, which ${end}. It said, and this is not the operator's text:`,
    ...quoted
  ].join("\n")
}

/** Trouble of the store passes; so does a recipient that was written to too often. */
const passing = new Set(["KM-EML-103", "KM-EML-104", "KM-CLI-015"])

const resume = () =>
  Effect.fail(new ActionFailed({ code: "KM-SCH-020", reason: "mail waits for no turn", passing: false }))

/** A letter as a schedule has it; `key` names it for good: a recipient gets one under it, however often it is sent. */
export interface ScheduledLetter {
  readonly to: ReadonlyArray<string>
  readonly cc: ReadonlyArray<string>
  readonly bcc: ReadonlyArray<string>
  readonly subject: string
  readonly body: string
  readonly encrypt: boolean
  readonly attachments: readonly []
  readonly key: string
}

/** Why a letter was not sent, with the code that a person looks up. */
export interface LetterRefused {
  readonly code: string
  readonly what: string
  readonly why: string
}

/** The operator's own mail, as far as a schedule uses it. The codec is a plugin's, so a composition root hands it in. */
export interface OperatorDesk {
  /** All recipients or none. */
  readonly send: (letter: ScheduledLetter) => Effect.Effect<
    { readonly id: string; readonly recipients: ReadonlyArray<string>; readonly encrypted: boolean },
    LetterRefused
  >
}

export const makeMailActions = Effect.fnUntraced(
  /** `desk` is opened for each letter, with the keys as they are then. */
  function*<R>(desk: Effect.Effect<OperatorDesk, LetterRefused, R>) {
    const ports = yield* Effect.context<R>()

    const send = Effect.fnUntraced(
      function*({ action, after, id }: ActionRequest) {
        if (action._tag !== "EmailSend") {
          return yield* new ActionFailed({ code: "KM-SCH-020", reason: "this runner sends mail only", passing: false })
        }
        const { bcc, cc, encrypt, subject, to } = action
        const body = mailBody(action.body, after)
        const operator = yield* desk
        const sent = yield* operator.send({ to, cc, bcc, subject, body, encrypt, attachments: [], key: `at/${id}` })
        return {
          _tag: "Done" as const,
          detail: `sent to ${sent.recipients.join(", ")} as ${sent.id}${sent.encrypted ? ", encrypted" : ""}`
        }
      },
      (effect) =>
        effect.pipe(
          Effect.mapError((error) => {
            if (error instanceof ActionFailed) return error
            const { code, what, why } = error
            return new ActionFailed({ code, reason: why === "" ? what : `${what}: ${why}`, passing: passing.has(code) })
          }),
          Effect.provideContext(ports)
        )
    )
    return { kinds: ["EmailSend"], start: send, resume } satisfies ActionRunner
  }
)
