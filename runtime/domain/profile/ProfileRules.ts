/** The rules of a profile that need more than one key (docs/architecture.md): one verdict for `validate` and `create` alike. */
import * as Result from "effect/Result"
import { parseHostedPattern } from "../github/Repository.ts"
import { gitHubFindings } from "./GitHubRules.ts"
import { parseHostPattern } from "./HostPatterns.ts"
import { channelIdPattern, durationMillis, type Profile } from "./Profile.ts"
import type { ProfileCode, ProfileFinding } from "./ProfileErrors.ts"

/** Milliseconds of 11 h: SQS holds a message 12 h at most (AWS SQS quotas), less an hour to settle. */
export const maxTurnTimeoutMillis = 11 * 3_600_000

/** What the rules know beside the profile itself. */
export interface RuleContext {
  /** Whether the author wrote the key, at a dotted path such as `spec.cli.slackArchiveOnDestroy`. */
  readonly given: (path: string) => boolean
  /** Which sandbox owns a channel, where an install is at hand. */
  readonly ownerOfChannel: (channel: string) => string | undefined
}

/** Nothing was given explicitly and no other sandbox exists. */
export const bareContext: RuleContext = { given: () => false, ownerOfChannel: () => undefined }

const at = (severity: "error" | "warning", path: string, code: ProfileCode, message: string): ProfileFinding => ({
  severity,
  code,
  path: path.split("."),
  message
})
const error = (path: string, code: ProfileCode, message: string) => at("error", path, code, message)
const warning = (path: string, code: ProfileCode, message: string) => at("warning", path, code, message)

/** A feature that needs Slack, a channel of the sandbox's own, and no pinned channel. */
const needsOwnChannel = (
  cli: Profile["spec"]["cli"],
  key: "notifySlackInboundEnabled" | "notifySlackTranscriptEnabled",
  codes: readonly [ProfileCode, ProfileCode, ProfileCode]
): ReadonlyArray<ProfileFinding> => {
  if (!cli[key]) return []
  const path = `spec.cli.${key}`
  return [
    ...(cli.notifySlackEnabled
      ? []
      : [error(path, codes[0], `${key} needs Slack; set spec.cli.notifySlackEnabled: true or turn it off`)]),
    ...(cli.notifySlackPerSandbox
      ? []
      : [
        error(
          path,
          codes[1],
          `${key} needs a channel of the sandbox's own; set spec.cli.notifySlackPerSandbox: true or turn it off`
        )
      ]),
    ...(cli.notifySlackChannelOverride === ""
      ? []
      : [
        error(
          path,
          codes[2],
          `${key} cannot be used with a pinned channel; remove spec.cli.notifySlackChannelOverride or turn it off`
        )
      ])
  ]
}

const overrideFindings = (cli: Profile["spec"]["cli"], context: RuleContext): ReadonlyArray<ProfileFinding> => {
  const override = cli.notifySlackChannelOverride
  const path = "spec.cli.notifySlackChannelOverride"
  if (override === "") return []
  const owner = context.ownerOfChannel(override)
  return [
    ...(cli.notifySlackPerSandbox
      ? [
        error(
          path,
          "KM-PRO-010",
          "a pinned channel excludes a channel of its own; keep notifySlackChannelOverride or notifySlackPerSandbox, not both"
        )
      ]
      : []),
    ...(channelIdPattern.test(override)
      ? []
      : [
        error(
          path,
          "KM-PRO-017",
          `${JSON.stringify(override)} is no channel id; give the C… or G… id from the channel's details in Slack`
        )
      ]),
    ...(owner === undefined
      ? []
      : [
        error(
          path,
          "KM-PRO-018",
          `${override} is the own channel of sandbox ${owner}; choose a channel no sandbox owns`
        )
      ])
  ]
}

const warnings = (cli: Profile["spec"]["cli"], context: RuleContext): ReadonlyArray<ProfileFinding> => [
  ...(cli.notifySlackPerSandbox && !cli.notifySlackEnabled
    ? [
      warning(
        "spec.cli.notifySlackPerSandbox",
        "KM-PRO-101",
        "has no effect while Slack is off; set spec.cli.notifySlackEnabled: true or leave it out"
      )
    ]
    : []),
  ...(context.given("spec.cli.slackArchiveOnDestroy") && !cli.notifySlackPerSandbox
    ? [
      warning(
        "spec.cli.slackArchiveOnDestroy",
        "KM-PRO-102",
        "has no effect without notifySlackPerSandbox; only a sandbox's own channel is archived"
      )
    ]
    : []),
  ...(cli.notifySlackInboundAllow.length > 0 && !cli.notifySlackInboundEnabled
    ? [
      warning(
        "spec.cli.notifySlackInboundAllow",
        "KM-PRO-103",
        "has no effect without notifySlackInboundEnabled; nobody can start a turn from chat"
      )
    ]
    : []),
  ...(!cli.notifyEmailEnabled && !cli.notifySlackEnabled
    ? [
      warning(
        "spec.cli",
        "KM-PRO-104",
        "no notification channel at all: nobody hears of this sandbox; enable notifyEmailEnabled or notifySlackEnabled"
      )
    ]
    : [])
]

const mailWarnings = ({ cli, email }: Profile["spec"]): ReadonlyArray<ProfileFinding> => [
  ...(email.onReceive === "turn" && email.allowedSenders.length === 0
    ? [
      warning(
        "spec.email.onReceive",
        "KM-PRO-105",
        "nobody may start a turn, or write at all: name senders in spec.email.allowedSenders, such as an id or install"
      )
    ]
    : []),
  ...(email.onReceive === "turn" && !cli.notifyEmailEnabled
    ? [
      warning(
        "spec.email.onReceive",
        "KM-PRO-106",
        "has no effect while mail is off; set spec.cli.notifyEmailEnabled: true or leave it out"
      )
    ]
    : []),
  ...(email.signing === "required"
    ? []
    : [
      warning(
        "spec.email.signing",
        "KM-PRO-107",
        `${email.signing} has no effect: what a sandbox sends is always signed, and unsigned mail in its name is refused; ` +
          "leave it out"
      )
    ])
]

/** A list that promises less than is open is an error; one that promises more than there is only has no effect. */
const networkFindings = (
  { network: { allowedHosts, mode }, sourceAccess: { github } }: Profile["spec"]
): Readonly<Record<"errors" | "warnings", ReadonlyArray<ProfileFinding>>> => {
  const path = "spec.network.mode"
  const listed = "spec.network.allowedHosts"
  const repositories = github.allowedRepos.length + github.publicRead.length > 0
  return {
    errors: [
      ...(mode === "shared" && allowedHosts.length > 0
        ? [
          error(
            listed,
            "KM-PRO-021",
            "would limit nothing: with mode shared every host can be reached; remove the list"
          )
        ]
        : []),
      ...allowedHosts.flatMap((text) =>
        Result.match(parseHostPattern(text), {
          onSuccess: () => [],
          onFailure: (why) => [error(listed, "KM-PRO-020", `${JSON.stringify(text)} is no host: ${why}`)]
        })
      )
    ],
    warnings: [
      ...(mode === "none" && allowedHosts.length > 0
        ? [warning(listed, "KM-PRO-108", "has no effect: with mode none no host can be reached; leave it out")]
        : []),
      ...(mode === "shared"
        ? [
          warning(
            path,
            "KM-PRO-111",
            `network shared: the agent reaches what this machine reaches${
              repositories ? ", and nothing judges what it asks of GitHub" : ""
            }; leave spec.network out unless that is meant`
          )
        ]
        : []),
      ...(mode === "none" && repositories
        ? [warning(path, "KM-PRO-112", "no repository can be reached with mode none; leave it out, or set it to proxy")]
        : [])
    ]
  }
}

/** A list that opens nothing would be found out by the first clone that fails. */
const repositoryErrors = ({ github, mode }: Profile["spec"]["sourceAccess"]): ReadonlyArray<ProfileFinding> => {
  const path = "spec.sourceAccess.github.allowedRepos"
  const wrong = github.allowedRepos.flatMap((text) =>
    Result.match(parseHostedPattern(text), {
      onSuccess: () => [],
      onFailure: (why) => [error(path, "KM-PRO-040", why)]
    })
  )
  return mode === "none" && github.allowedRepos.length > 0
    ? [
      ...wrong,
      error(
        "spec.sourceAccess.mode",
        "KM-PRO-041",
        "none opens no repository, but some are listed; set spec.sourceAccess.mode: allowlist or remove the list"
      )
    ]
    : wrong
}

/** Errors first, each group in the order of the keys. Empty for a profile without fault. */
export const profileFindings = (profile: Profile, context: RuleContext): ReadonlyArray<ProfileFinding> => {
  const { agent, cli } = profile.spec
  const network = networkFindings(profile.spec)
  const gitHub = gitHubFindings(profile.spec.sourceAccess)
  const timeout = durationMillis(agent.turnTimeout)
  return [
    ...(timeout > 0 && timeout <= maxTurnTimeoutMillis
      ? []
      : [
        error(
          "spec.agent.turnTimeout",
          "KM-PRO-019",
          `${agent.turnTimeout} is not between 1s and 11h; SQS holds a message 12 hours at most`
        )
      ]),
    ...overrideFindings(cli, context),
    ...needsOwnChannel(cli, "notifySlackInboundEnabled", ["KM-PRO-011", "KM-PRO-012", "KM-PRO-013"]),
    ...needsOwnChannel(cli, "notifySlackTranscriptEnabled", ["KM-PRO-014", "KM-PRO-015", "KM-PRO-016"]),
    ...network.errors,
    ...repositoryErrors(profile.spec.sourceAccess),
    ...gitHub.errors,
    ...warnings(cli, context),
    ...network.warnings,
    ...gitHub.warnings,
    ...mailWarnings(profile.spec)
  ]
}
