/** The stable codes of everything a profile can have wrong; `docs/errors.md` lists the same. */
import * as Schema from "effect/Schema"

/** `KM-PRO-0nn` refuses the profile, `KM-PRO-1nn` is a warning and stops nothing. */
export const ProfileCode = Schema.Literals([
  "KM-PRO-001",
  "KM-PRO-002",
  "KM-PRO-003",
  "KM-PRO-004",
  "KM-PRO-005",
  "KM-PRO-006",
  "KM-PRO-007",
  "KM-PRO-008",
  "KM-PRO-010",
  "KM-PRO-011",
  "KM-PRO-012",
  "KM-PRO-013",
  "KM-PRO-014",
  "KM-PRO-015",
  "KM-PRO-016",
  "KM-PRO-017",
  "KM-PRO-018",
  "KM-PRO-019",
  "KM-PRO-020",
  "KM-PRO-021",
  "KM-PRO-040",
  "KM-PRO-041",
  "KM-PRO-042",
  "KM-PRO-043",
  "KM-PRO-101",
  "KM-PRO-102",
  "KM-PRO-103",
  "KM-PRO-104",
  "KM-PRO-105",
  "KM-PRO-106",
  "KM-PRO-107",
  "KM-PRO-108",
  "KM-PRO-109",
  "KM-PRO-110",
  "KM-PRO-111",
  "KM-PRO-112"
])
export type ProfileCode = typeof ProfileCode.Type

/** One thing to say about a profile. `path` leads from the top of the file, list positions as numbers. */
export const ProfileFinding = Schema.Struct({
  severity: Schema.Literals(["error", "warning"]),
  code: ProfileCode,
  path: Schema.Array(Schema.Union([Schema.String, Schema.Int])),
  /** What is wrong and what to do, one sentence. */
  message: Schema.String
})
export type ProfileFinding = typeof ProfileFinding.Type

/** For `docs/errors.md`. */
export const errorCodes: ReadonlyArray<{
  readonly code: ProfileCode
  readonly what: string
  readonly remedy: string
}> = [
  { code: "KM-PRO-001", what: "A profile file cannot be read.", remedy: "Check the path and its permissions." },
  { code: "KM-PRO-002", what: "A profile is not YAML, or is too large.", remedy: "Correct the line that is named." },
  {
    code: "KM-PRO-003",
    what: "A profile has a key that does not exist.",
    remedy: "Use the key that the message proposes; keys are case-sensitive."
  },
  { code: "KM-PRO-004", what: "A required key is missing.", remedy: "Add it at the path that is named." },
  { code: "KM-PRO-005", what: "A value has the wrong type or range.", remedy: "Give what the message expects." },
  {
    code: "KM-PRO-006",
    what: "A profile named by extends cannot be read.",
    remedy: "Paths in extends are relative to the file that names them."
  },
  { code: "KM-PRO-007", what: "Profiles extend each other in a circle.", remedy: "Remove one extends of the circle." },
  { code: "KM-PRO-008", what: "More than 10 profiles extend each other.", remedy: "Merge some of them." },
  {
    code: "KM-PRO-010",
    what: "A channel of its own and a pinned channel are both asked for.",
    remedy: "Keep notifySlackPerSandbox or notifySlackChannelOverride, not both."
  },
  {
    code: "KM-PRO-011",
    what: "Inbound chat is on while Slack is off.",
    remedy: "Set spec.cli.notifySlackEnabled: true."
  },
  {
    code: "KM-PRO-012",
    what: "Inbound chat is on without a channel of its own.",
    remedy: "Set spec.cli.notifySlackPerSandbox: true."
  },
  {
    code: "KM-PRO-013",
    what: "Inbound chat is on with a pinned channel.",
    remedy: "Remove spec.cli.notifySlackChannelOverride."
  },
  {
    code: "KM-PRO-014",
    what: "The transcript is on while Slack is off.",
    remedy: "Set spec.cli.notifySlackEnabled: true."
  },
  {
    code: "KM-PRO-015",
    what: "The transcript is on without a channel of its own.",
    remedy: "Set spec.cli.notifySlackPerSandbox: true."
  },
  {
    code: "KM-PRO-016",
    what: "The transcript is on with a pinned channel.",
    remedy: "Remove spec.cli.notifySlackChannelOverride."
  },
  {
    code: "KM-PRO-017",
    what: "The pinned channel is no channel id.",
    remedy: "Give the id (C… or G…) from the channel's details in Slack, not its name."
  },
  {
    code: "KM-PRO-018",
    what: "The pinned channel is another sandbox's own channel.",
    remedy: "Choose a channel that no sandbox owns."
  },
  {
    code: "KM-PRO-019",
    what: "The turn timeout is 0 or longer than 11 hours.",
    remedy: "Give a duration from 1s to 11h; SQS holds a message 12 hours at most."
  },
  {
    code: "KM-PRO-020",
    what: "An allowed host is no host name.",
    remedy: "Write a name such as registry.npmjs.org, or *.pypi.org for all below it; no address, scheme or path."
  },
  {
    code: "KM-PRO-021",
    what: "Hosts are listed as allowed while the agent may reach every host.",
    remedy: "Remove spec.network.allowedHosts, or set spec.network.mode: proxy."
  },
  {
    code: "KM-PRO-040",
    what: "An allowed repository is no owner/repo and no owner/*.",
    remedy: "Correct the entry that is named; a bare * is never taken."
  },
  {
    code: "KM-PRO-041",
    what: "Repositories are listed while the access to source code is off.",
    remedy: "Set spec.sourceAccess.mode: allowlist, or remove the list."
  },
  {
    code: "KM-PRO-042",
    what: "A pattern of refs is not one, or could match nothing.",
    remedy: "Correct spec.sourceAccess.github.allowedRefs: a bare name is a branch, refs/tags/v* are tags."
  },
  {
    code: "KM-PRO-043",
    what: "A repository that may be read without a token is not named as owner/repo or owner/*.",
    remedy: "Correct spec.sourceAccess.github.publicRead."
  },
  {
    code: "KM-PRO-101",
    what: "A channel of its own is asked for while Slack is off.",
    remedy: "Set spec.cli.notifySlackEnabled: true, or leave notifySlackPerSandbox out."
  },
  {
    code: "KM-PRO-102",
    what: "slackArchiveOnDestroy is set without a channel of its own.",
    remedy: "Leave it out, or set notifySlackPerSandbox: true."
  },
  {
    code: "KM-PRO-103",
    what: "notifySlackInboundAllow is set without inbound chat.",
    remedy: "Leave it out, or set notifySlackInboundEnabled: true."
  },
  {
    code: "KM-PRO-104",
    what: "No notification channel at all.",
    remedy: "Set spec.cli.notifyEmailEnabled or spec.cli.notifySlackEnabled to true."
  },
  {
    code: "KM-PRO-105",
    what: "Mail is to start turns, but nobody is allowed to write.",
    remedy: "Name the sandboxes in spec.email.allowedSenders."
  },
  {
    code: "KM-PRO-106",
    what: "Mail is to start turns, but mail is off.",
    remedy: "Set spec.cli.notifyEmailEnabled to true."
  },
  {
    code: "KM-PRO-107",
    what: "Mail is to go unsigned, but a sandbox's mail is always signed.",
    remedy: "Leave spec.email.signing out, or set it to required."
  },
  {
    code: "KM-PRO-108",
    what: "Hosts are listed as allowed, but without a network none can be reached.",
    remedy: "Leave spec.network.allowedHosts out."
  },
  {
    code: "KM-PRO-109",
    what: "Deleting or forcing refs is allowed, but no ref may be pushed.",
    remedy: "Name refs in spec.sourceAccess.github.allowedRefs, or leave allowDelete and allowForce out."
  },
  {
    code: "KM-PRO-110",
    what: "A pattern of refs begins with heads/ or tags/, which makes it a branch of that name.",
    remedy: "Write refs/tags/… for tags, and branches without heads/."
  },
  {
    code: "KM-PRO-111",
    what: "The agent gets the machine's network, its loopback included, and nothing judges what it asks of GitHub.",
    remedy: "Leave spec.network out, or set it to none or proxy, unless it is meant."
  },
  {
    code: "KM-PRO-112",
    what: "Repositories are listed, but without a network none can be reached.",
    remedy: "Leave spec.network out, or set it to proxy; or remove the lists."
  }
]
