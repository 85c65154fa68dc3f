/** What can be wrong with a schedule or keep its action from happening, with the codes that `docs/errors.md` lists. */
import * as Schema from "effect/Schema"

const table = {
  "KM-SCH-001": ["A time was not understood as a whole.", "Say it in one of the forms of `km at --help`."],
  "KM-SCH-002": ["A time lies in the past, or no future time fits.", "Give a time that is still to come."],
  "KM-SCH-003": [
    "A time can be read in more than one way or says no time of day.",
    "Write the date as 2026-05-03 and name a time of day."
  ],
  "KM-SCH-004": ["A time zone is not known.", "Use an IANA name such as Europe/Berlin."],
  "KM-SCH-005": [
    "A local time does not exist on that day: clocks are put forward over it.",
    "Choose a time before or after the gap."
  ],
  "KM-SCH-006": ["A cron or rate expression is not right.", "Follow the reason; `km at --help` names the fields."],
  "KM-SCH-010": ["An action was not understood.", "See the actions in `km at --help`."],
  "KM-SCH-011": ["A schedule of this name exists.", "Choose another --name, or cancel that one."],
  "KM-SCH-012": ["No schedule has this name or prefix, or several have it.", "`km at list --all` shows them all."],
  "KM-SCH-013": [
    "The schedule is in a state that does not allow this.",
    "`km at show` with its name says which and why."
  ],
  "KM-SCH-020": ["This install cannot do the action.", "Leave the action out, or set up the part that does it."],
  "KM-SCH-021": [
    "The sandbox that the action names was not there when its time came.",
    "`km list` shows what there is; cancel the schedule or name another sandbox."
  ],
  "KM-SCH-022": ["The action failed when its time came.", "Follow the reason in `km at history` with its name."],
  "KM-SCH-023": [
    "The control plane ended in the middle of an action that must not be repeated: it may or may not have happened.",
    "Look at the sandbox; then `km at run-now` with the schedule's name if it is to happen."
  ],
  "KM-SCH-024": [
    "An earlier run of the schedule was not over.",
    "Fire less often, or choose --overlap queue or allow."
  ],
  "KM-SCH-027": [
    "Schedules create no sandboxes here: that needs the certifier's key, which nothing that runs unattended may read.",
    "Run `km create` yourself, or set unattendedCertifier: true (KM_UNATTENDED_CERTIFIER) and start `km up` again."
  ],
  "KM-SCH-026": [
    "The last line of the agent's answer was not what --expect asks for.",
    "`km at history` with its name and --json has the answer; the thread shows all of it."
  ],
  "KM-SCH-025": [
    "The scheduled agent turn did not end in an answer.",
    "Its thread says why; `km status` with the sandbox lists its turns."
  ],
  "KM-SCH-028": [
    "The sandbox was destroyed before the scheduled agent turn ended.",
    "Run the schedule later than such an end, or `km at run-now` it on a sandbox that lives."
  ]
} as const satisfies Record<string, readonly [string, string]>

export type ScheduleErrorCode = keyof typeof table
const codes = Object.keys(table) as ReadonlyArray<ScheduleErrorCode>

/** For `docs/errors.md`. */
export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> =
  Object.entries(table).map(([code, [what, remedy]]) => ({ code, what, remedy }))

/** Nothing was stored or done. `reason` is a sentence for a person. */
export class ScheduleRefused extends Schema.TaggedError<ScheduleRefused>()("ScheduleRefused", {
  code: Schema.Literals(codes),
  reason: Schema.String,
  remedy: Schema.String
}) {
  override get message(): string {
    return `${this.code}: ${this.reason}; ${this.remedy}`
  }
}

/** How scheduled creates are allowed; a run's reason has no remedy of its own. */
export const creationRemedy: string = table["KM-SCH-027"][1]

/** `remedy` defaults to the table's. */
export const refusal = (code: ScheduleErrorCode, reason: string, remedy?: string): ScheduleRefused =>
  new ScheduleRefused({ code, reason, remedy: remedy ?? table[code][1] })
