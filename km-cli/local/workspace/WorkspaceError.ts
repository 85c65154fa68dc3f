/**
 * What can go wrong inside the local workspace: it does not start, it refuses a call as Slack would, or the
 * emulator behind it fails.
 */
import * as Schema from "effect/Schema"

/** The workspace could not be started or driven. `detail` says what happened, `remedy` what to do next. */
export class WorkspaceError extends Schema.TaggedError<WorkspaceError>()("WorkspaceError", {
  reason: Schema.Literals([
    "emulator-failed",
    "port",
    "options",
    "events-url",
    "credentials",
    "control"
  ]),
  detail: Schema.String,
  remedy: Schema.String
}) {
  override get message(): string {
    return `local workspace: ${this.detail} ${this.remedy}`
  }
}

/**
 * A Web API call answered with `ok: false`. `code` is Slack's own error string; `extra` holds further members of
 * the answer, such as `needed` and `provided` for `missing_scope`.
 */
export class SlackRefusal extends Schema.TaggedError<SlackRefusal>()("SlackRefusal", {
  code: Schema.String,
  extra: Schema.Record(Schema.String, Schema.Unknown)
}) {
  override get message(): string {
    return `Slack refused: ${this.code}`
  }
}

/** A refusal with Slack's error code and, where Slack adds them, further members. */
export const refusal = (code: string, extra: Record<string, unknown> = {}): SlackRefusal =>
  new SlackRefusal({ code, extra })

/** A refusal whose `response_metadata.messages` explain it, in the form Slack uses for blocks and arguments. */
export const explained = (code: string, messages: ReadonlyArray<string>): SlackRefusal =>
  refusal(code, { response_metadata: { messages: messages.map((message) => `[ERROR] ${message}`) } })

/** The emulator behind the front did not answer, or not with JSON. Answered to the caller as a 500. */
export class EmulatorFailure extends Schema.TaggedError<EmulatorFailure>()("EmulatorFailure", {
  operation: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `the emulator failed in ${this.operation}: ${this.detail}; start the workspace again`
  }
}
