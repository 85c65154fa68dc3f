/** Every way in which a command of `km` can end badly, with its code, its exit status and the next thing to do. */
import * as Schema from "effect/Schema"

/** 0 done, 1 failed, 2 usage, 3 not found, 4 not authenticated, 5 conflict, 6 refused by policy, 7 timed out. */
export const ExitCode = Schema.Literals([0, 1, 2, 3, 4, 5, 6, 7])
export type ExitCode = typeof ExitCode.Type

const table = {
  "KM-CLI-001": [2, "The command line is not right.", "`km --help` shows every command, `km create --help` one."],
  "KM-CLI-002": [3, "No sandbox has this id, alias or prefix.", "`km list` shows them all."],
  "KM-CLI-003": [5, "The prefix fits several sandboxes.", "Give more of the id, or the alias."],
  "KM-CLI-005": [2, "It needs a yes, and there is no terminal to ask.", "Add --yes."],
  "KM-CLI-006": [1, "The profile has errors.", "Correct the lines that are named, and run `km validate` again."],
  "KM-CLI-007": [1, "`km up` is not running.", "Run `km up` in another terminal."],
  "KM-CLI-008": [5, "`km up` is running already for this state directory.", "Use it, or end it with `km down`."],
  "KM-CLI-009": [7, "A part of the stack did not become healthy in time.", "See `km logs` and `km doctor`."],
  "KM-CLI-010": [2, "The configuration is not right.", "`km config explain` says where each value comes from."],
  "KM-CLI-011": [3, "No turn has this key.", "`km status` with the sandbox lists its turns."],
  "KM-CLI-012": [
    1,
    "A stage of the demo was not observed.",
    "See the log that is named; `km doctor` checks the parts."
  ],
  "KM-CLI-013": [1, "Slack did not pass the test.", "Follow the failed check."],
  "KM-CLI-014": [1, "The doctor found an error.", "Follow the remedy of each failed check."],
  "KM-CLI-015": [1, "The engine's store refused.", "Follow the reason; `km doctor` checks the store."],
  "KM-CLI-016": [7, "The agent did not answer in time.", "`km status` shows its turn; the thread shows the rest."],
  "KM-CLI-017": [
    6,
    "The agent may not run without the jail that its profile asks for.",
    "Install bubblewrap, or accept the risk with --unconfined."
  ],
  "KM-CLI-018": [1, "The sandbox has no channel to write in.", "Use a profile with notifySlackEnabled."],
  "KM-CLI-019": [
    5,
    "The turn is neither parked nor undeliverable, so there is nothing to run or show again.",
    "Only parked turns are run again, and only undeliverable ones shown."
  ],
  "KM-CLI-020": [5, "The sandbox is in a state that does not allow this.", "`km status` with its name shows it."],
  "KM-CLI-021": [1, "The local workspace refused.", "Follow the reason; `km up` starts it."],
  "KM-CLI-022": [
    2,
    "A path or user cannot stand in a unit file.",
    "Install km, and keep its state, below plain paths."
  ],
  "KM-CLI-023": [
    1,
    "The turn that was waited for failed, was cancelled, or is parked, or its message was refused.",
    "The thread says why; `km status` with the sandbox shows its turns."
  ],
  "KM-CLI-024": [1, "Standard output cannot be written.", "Make room there, or send the output elsewhere."],
  "KM-CLI-025": [
    4,
    "The operator's key is missing.",
    "`km up` makes it where the certifier's key is; else restore the secrets from a backup."
  ],
  "KM-CLI-026": [
    1,
    "The bridge does not answer.",
    "`km status` shows what runs; `km up --detach` starts it on this machine."
  ],
  "KM-CLI-028": [5, "This is only for installs whose workspace is the local one.", "Use Slack itself instead."],
  "KM-CLI-029": [1, "The bridge refused.", "Follow the reason; `km slack test` tries the connection to Slack."],
  "KM-CLI-030": [1, "The host of sandboxes failed.", "Follow the reason; `km doctor` checks this machine."],
  "KM-CLI-031": [5, "The sandbox takes no messages.", "`km list` shows those that do; `km create` makes one."],
  "KM-CLI-033": [7, "`km up` did not end in time.", "`km logs` shows what it waits for; run `km down` again."],
  "KM-CLI-034": [1, "A secret cannot be used.", "Restore the secrets from a backup."],
  "KM-CLI-035": [5, "This build has no mail.", "Use one whose `plugins/index.ts` names a plugin for it."],
  "KM-CLI-040": [
    1,
    "The audit is not whole: a link is missing, was changed, or was put in.",
    "Keep the files below `audit/` as they are and compare them with a backup; `km audit verify` names the first link."
  ],
  "KM-CLI-041": [
    1,
    "A program that sandboxes run is missing, or is not the one that was installed.",
    "Install km again (`make install`); `km init --sidecars` looks again."
  ],
  "KM-CLI-042": [
    5,
    "The directory holds another install.",
    "Leave --install away to work with the one that is there, or give the new one a directory by --state."
  ],
  "KM-CLI-047": [
    3,
    "There is no transcript of this session.",
    "`km list` shows the sandboxes; transcripts go with theirs."
  ],
  "KM-CLI-050": [
    6,
    "The push or the request would be refused.",
    "Change the profile as the verdict says, and create the sandbox anew."
  ],
  "KM-CLI-051": [
    1,
    "The sandbox's runtime does not answer on this machine.",
    "`km status` with its name shows it; `km up --detach` starts it."
  ],
  "KM-CLI-052": [5, "The interactive session was not begun.", "Follow the reason; `km doctor` checks agent and jail."],
  "KM-CLI-053": [
    1,
    "The interactive session ended with its runtime.",
    "Continue it with the command that is named, once `km status` shows the sandbox ready."
  ],
  "KM-CLI-054": [1, "The program in the sandbox failed.", "Follow what it said; `km shell` starts it again."],
  "KM-CLI-055": [
    1,
    "The sandbox answers only who mentions its bot.",
    "Write again with the mention that is named, or with --no-wait; in a thread that it was mentioned in it listens to all."
  ],
  "KM-CLI-099": [1, "A defect of km itself.", "Run again with --log-level debug and report it."]
} as const satisfies Record<string, readonly [ExitCode, string, string]>

export type KmErrorCode = keyof typeof table

/** For `docs/errors.md`. */
export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> =
  Object.entries(table).map(([code, [, what, remedy]]) => ({ code, what, remedy }))

/** What failed, why, and the next command. `code` may be another room's; `exit` then says how the process ends. */
export class KmError extends Schema.TaggedError<KmError>()("KmError", {
  code: Schema.String,
  exit: ExitCode,
  what: Schema.String,
  why: Schema.String,
  next: Schema.String
}) {
  override get message(): string {
    return `${this.code}: ${this.what}: ${this.why}; ${this.next}`
  }
}

const known = (code: string): code is KmErrorCode => Object.hasOwn(table, code)

/** With the exit status of the table; `next` defaults to the table's remedy. */
export const kmError = (code: KmErrorCode, what: string, why: string, next?: string): KmError =>
  new KmError({ code, exit: table[code][0], what, why, next: next ?? table[code][2] })

/** Exit statuses of the kernel's codes (`SandboxErrors.ts`) and ours; 1 for every other. */
export const exitOf = (code: string): ExitCode => {
  if (known(code)) return table[code][0]
  const kernel: Record<string, ExitCode> = { "KM-CLI-101": 5, "KM-CLI-102": 5, "KM-CLI-104": 7, "KM-ENG-006": 3 }
  return kernel[code] ?? 1
}
