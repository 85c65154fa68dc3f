/** What a schedule does when its time comes, as data: the actions, what follows each, and how each may be repeated. */
import * as Schema from "effect/Schema"
import { durationMillis, DurationText } from "../profile/Profile.ts"
import { Alias } from "../sandbox/Ids.ts"

/** An id, an alias, or a prefix that fits only one sandbox: looked up when the action begins, not when it is planned. */
export const TargetReference = Schema.String.check(
  Schema.isPattern(/^[a-z][a-z0-9-]{0,59}$/, { message: "an id, an alias, or the beginning of one" })
)

/** Characters of a prompt or mail body in a schedule: well below the queue's 256 KiB a message, in any script. */
export const maxScheduledText = 50_000

const LongText = Schema.NonEmptyString.check(Schema.isMaxLength(maxScheduledText))
/** One line without control characters, so that it can stand in a header or a table. */
const OneLine = Schema.NonEmptyString.check(
  Schema.isMaxLength(500),
  Schema.isPattern(/^[^\p{Cc}]+$/u, { message: "one line" })
)
const MailAddressee = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9._%+@-]{1,254}$/, { message: "an id, an alias or an address" })
)

/** One word or a few that an answer ends with, without the marks by which agents stress things. */
const Expected = Schema.String.check(
  Schema.isPattern(/^[\p{L}\p{N}](?:[\p{L}\p{N} .,:!_-]{0,58}[\p{L}\p{N}.!])?$/u, {
    message: "at most 60 letters, digits, spaces and . , : ! _ -"
  })
)

export const ScheduledAction = Schema.TaggedUnion({
  /** A new sandbox each time, with an id of its own; `profile` is an absolute path, read when the action begins. */
  Create: { profile: Schema.NonEmptyString, alias: Schema.optionalKey(Alias), unconfined: Schema.Boolean },
  Destroy: { target: TargetReference },
  /** A pause: ends the runtime after the turn in hand; everything on disk stays. */
  Stop: { target: TargetReference },
  Resume: { target: TargetReference },
  /** Moves the end of the time to live, counted from where it is then. */
  Extend: {
    target: TargetReference,
    by: DurationText.check(
      Schema.makeFilter((by: DurationText) => durationMillis(by) > 0 ? undefined : "a duration of more than 0")
    )
  },
  /**
   * A prompt as a turn in a new thread of the sandbox's channel. Succeeds when the turn is answered and, with `expect`,
   * the answer's last line is exactly that.
   */
  AgentRun: { target: TargetReference, prompt: LongText, expect: Schema.optionalKey(Expected) },
  /** The operator writes and signs. After another action the body goes on with what became of that. */
  EmailSend: {
    to: Schema.NonEmptyArray(MailAddressee),
    cc: Schema.Array(MailAddressee),
    bcc: Schema.Array(MailAddressee),
    subject: OneLine,
    body: LongText,
    encrypt: Schema.Boolean
  }
})
export type ScheduledAction = typeof ScheduledAction.Type

/** As the journal has them: what a person's command of the same effect is called. */
export const auditedAs: Readonly<Record<ScheduledAction["_tag"], string>> = {
  Create: "sandbox.create",
  Destroy: "sandbox.destroy",
  Stop: "sandbox.pause",
  Resume: "sandbox.resume",
  Extend: "sandbox.extend",
  AgentRun: "agent.run",
  EmailSend: "mail.send"
}
export type ActionKind = ScheduledAction["_tag"]

/** What the control plane can do by itself; every other kind needs a runner of its own. */
export const sandboxActionKinds: ReadonlyArray<ActionKind> = [
  "Create",
  "Destroy",
  "Stop",
  "Resume",
  "Extend",
  "AgentRun"
]

/**
 * `idempotent`: the same run asked for again changes nothing more, so a crash in the middle and a failure that may pass
 * are tried again. `at-most-once`: never tried again; a crash in the middle ends as `unknown`.
 */
export type RetryClass = "idempotent" | "at-most-once"

/**
 * Why each is what it is: a create carries an id made from the run; destroy, stop and resume name a state to reach; an
 * agent run's turn key and a mail's id are made from the run, and queue, ledger and mailer keep them once. Extending
 * adds to what it finds, so that a second time would add twice.
 */
export const retryClass: { readonly [Kind in ActionKind]: RetryClass } = {
  Create: "idempotent",
  Destroy: "idempotent",
  Stop: "idempotent",
  Resume: "idempotent",
  Extend: "at-most-once",
  AgentRun: "idempotent",
  EmailSend: "idempotent"
}

/** The sandbox that an action is about; a create and a mail have none. */
export const targetOf = (action: ScheduledAction): string | undefined =>
  action._tag === "Create" || action._tag === "EmailSend" ? undefined : action.target

/** Every sandbox that an action names, as it was named: its target, or who a mail is written to. */
export const referencesOf = (action: ScheduledAction): ReadonlyArray<string> => {
  if (action._tag === "EmailSend") return [...action.to, ...action.cc, ...action.bcc]
  const target = targetOf(action)
  return target === undefined ? [] : [target]
}

/** The action with each of its references put differently. */
export const renamed = (action: ScheduledAction, name: (reference: string) => string): ScheduledAction => {
  if (action._tag === "Create") return action
  if (action._tag !== "EmailSend") return { ...action, target: name(action.target) }
  const [first, ...others] = action.to
  return {
    ...action,
    to: [name(first), ...others.map(name)],
    cc: action.cc.map(name),
    bcc: action.bcc.map(name)
  }
}

/** An action and what follows its end. Each step runs at most once per firing. */
export interface ScheduleStep {
  readonly action: ScheduledAction
  readonly onSuccess?: ScheduleStep
  /** Also after an end that is not known. */
  readonly onFailure?: ScheduleStep
}

export const ScheduleStep: Schema.Codec<ScheduleStep, unknown> = Schema.Struct({
  action: ScheduledAction,
  onSuccess: Schema.optionalKey(Schema.suspend((): Schema.Codec<ScheduleStep, unknown> => ScheduleStep)),
  onFailure: Schema.optionalKey(Schema.suspend((): Schema.Codec<ScheduleStep, unknown> => ScheduleStep))
})

/** Steps that may follow each other in one schedule, the first included: bounds rows and the length of a pipeline. */
export const maxSteps = 16

/** The step and all that may follow it. */
export const stepsOf = (step: ScheduleStep): ReadonlyArray<ScheduleStep> => [
  step,
  ...(step.onSuccess === undefined ? [] : stepsOf(step.onSuccess)),
  ...(step.onFailure === undefined ? [] : stepsOf(step.onFailure))
]

const kinds: { readonly [Kind in ActionKind]: string } = {
  Create: "create",
  Destroy: "destroy",
  Stop: "pause",
  Resume: "resume",
  Extend: "extend",
  AgentRun: "agent run",
  EmailSend: "email send"
}

/** As it is typed: `agent run`. */
export const kindText = (action: ScheduledAction): string => kinds[action._tag]

const shortened = (text: string): string => {
  const line = text.replaceAll(/\s+/g, " ").trim()
  return line.length <= 60 ? line : `${line.slice(0, 59)}…`
}

/** One line for tables and notices; long texts are shortened. */
export const actionText = (action: ScheduledAction): string => {
  switch (action._tag) {
    case "Create":
      return `create ${action.profile}${action.alias === undefined ? "" : ` --alias ${action.alias}`}`
    case "Extend":
      return `extend ${action.target} by ${action.by}`
    case "AgentRun":
      return `agent run ${action.target} ${JSON.stringify(shortened(action.prompt))}${
        action.expect === undefined ? "" : ` --expect ${JSON.stringify(action.expect)}`
      }`
    case "EmailSend":
      return `email send to ${action.to.join(", ")} ${JSON.stringify(shortened(action.subject))}`
    default:
      return `${kinds[action._tag]} ${action.target}`
  }
}
