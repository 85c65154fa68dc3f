/**
 * The profile: what a sandbox may do, as a person writes it in YAML (docs/architecture.md). Strict decoding, `extends` and the
 * rules that need more than one key live beside this file; the JSON Schema in `profiles/` is generated from here.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { Capability } from "../github/GitHubPolicy.ts"
import { PermissionRule } from "./PermissionRules.ts"

/** A key that may be left out; `value` is what it then is. `description` is what an editor shows. */
const key = <S extends Schema.Top>(schema: S, value: S["Rebuild"]["Encoded"], description: string) =>
  schema.annotate({ description, default: value }).pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))

/** A group of keys, each of which has a default. */
const group = <S extends Schema.Top>(schema: S, description: string) =>
  schema.annotate({ description }).pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))

const durationText = "a duration such as 30s, 15m, 8h or 2d"

/**
 * `{number}{s|m|h|d}`, such as `90s`, `30m`, `8h`, `2d`; `0`, with or without quotes, means off where a key says so.
 * Six digits keep every duration within what a JavaScript date can add (999,999 days).
 */
export const DurationText = Schema.Union([
  Schema.String.check(Schema.isPattern(/^(0|[1-9][0-9]{0,5}[smhd])$/u, { expected: durationText })),
  Schema.Literal(0)
]).annotate({ expected: durationText })
export type DurationText = typeof DurationText.Type

/** Milliseconds of a `DurationText`; 0 for `0`. */
export const durationMillis = (duration: DurationText): number => {
  const text = String(duration)
  const unit = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[text.slice(-1)]
  return unit === undefined ? 0 : Number(text.slice(0, -1)) * unit
}

/** The durations of a profile with what each key takes, milliseconds. */
export const durationBounds: ReadonlyMap<string, { readonly min: number; readonly max: number }> = new Map([
  ["spec.agent.turnTimeout", { min: 1_000, max: 11 * 3_600_000 }],
  ["spec.agent.askTimeout", { min: 1_000, max: 11 * 3_600_000 }],
  ["spec.lifecycle.ttl", { min: 0, max: Infinity }],
  ["spec.lifecycle.idleTimeout", { min: 0, max: Infinity }]
])

/** Slack's own channel ids; direct messages (`D…`) carry no sandbox. */
export const channelIdPattern = /^[CG][A-Z0-9]{2,20}$/u

const EmailAddress = Schema.String.check(
  Schema.isPattern(/^[^@\s]+@[^@\s]+\.[^@\s]+$/u, { expected: "an email address" })
)
const SlackUser = Schema.String.check(
  Schema.isPattern(/^[UW][A-Z0-9]{2,20}$/u, { expected: "a Slack user id such as U012AB3CD" })
)

/** A name of an agent; which ones there are is known to whoever judges a profile (`profileFor`). */
const AgentName = Schema.String.check(
  Schema.isPattern(/^[a-z][a-z0-9-]{0,39}$/u, { expected: "the name of an agent" })
)

const agentKeys = {
  permissions: key(
    Schema.Literals(["bypass", "ask", "default"]),
    "bypass",
    "bypass: the agent may use every tool; the jail is what confines it. ask: a person decides in Slack about each " +
      "tool call that permissionRules do not settle. default: what would need consent is denied."
  ),
  permissionRules: key(
    Schema.Array(PermissionRule).check(Schema.isMaxLength(200)),
    [],
    "With permissions: ask, which tool calls are allowed, asked about or denied; deny wins, then ask."
  ),
  askTimeout: key(
    DurationText,
    "30m",
    "A question that nobody has answered after this time is denied; it ends before the sandbox's ttl."
  ),
  model: key(Schema.String, "default", "A model name that the agent's CLI knows, or default."),
  turnTimeout: key(
    DurationText,
    "30m",
    "A turn that runs longer is ended. At most 11h: SQS holds a message 12 hours at most."
  ),
  trustRepoSettings: key(
    Schema.Boolean,
    false,
    "true lets a repository's own .claude settings take part; they can silence hooks."
  ),
  budgetUsd: key(
    Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)),
    0,
    "US dollars the sandbox may spend on the model in its life; 0 means no limit."
  ),
  nestedSandboxes: key(
    Schema.Boolean,
    false,
    "true lets the agent's programs make user namespaces, as browsers do for their own sandbox; more of the kernel is then within the agent's reach."
  )
}

const agentSpec = (kind: Schema.Codec<string>) =>
  Schema.Struct({ kind: key(kind, "claude", "Which coding agent runs."), ...agentKeys })

export const LifecycleSpec = Schema.Struct({
  ttl: key(DurationText, "8h", "The sandbox is destroyed after this time; 0 means it lives until destroyed."),
  idleTimeout: key(DurationText, "1h", "The sandbox is destroyed after this time without a turn; 0 means never.")
})

export const CliSpec = Schema.Struct({
  notifyEmailEnabled: key(Schema.Boolean, true, "Email path; alone or beside Slack."),
  notifySlackEnabled: key(Schema.Boolean, false, "Master switch for Slack delivery."),
  notifySlackPerSandbox: key(
    Schema.Boolean,
    false,
    "A channel #sb-{alias or id} of its own; archived at destroy unless slackArchiveOnDestroy is false."
  ),
  notifySlackChannelOverride: key(
    Schema.String,
    "",
    "Pin to a channel id (C… or G…); excludes notifySlackPerSandbox."
  ),
  notifySlackInboundEnabled: key(Schema.Boolean, false, "Chat messages become agent turns."),
  notifySlackTranscriptEnabled: key(Schema.Boolean, false, "Turns are shown live and the session is attached."),
  slackArchiveOnDestroy: key(Schema.Boolean, true, "Archive the sandbox's own channel when it is destroyed."),
  notifySlackInboundMentionOnly: key(
    Schema.Boolean,
    false,
    "Only messages that mention the bot start a turn; replies in an engaged thread always do."
  ),
  notifySlackInboundAllow: key(
    Schema.Array(SlackUser),
    [],
    "Slack ids of outsiders who may drive the agent, beside members of our own team."
  ),
  notifySlackInviteEmails: key(Schema.Array(EmailAddress), [], "Invited to the sandbox's channel at create."),
  notifySlackPrivate: key(Schema.Boolean, false, "Make the sandbox's own channel private."),
  notifyOnPermission: key(Schema.Boolean, false, "Tell the channel when the agent waits for a permission."),
  slackMaxConcurrentThreads: key(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 16 })),
    2,
    "Threads whose turns run at the same time, 1 to 16."
  ),
  slackWakeOnMessage: key(
    Schema.Boolean,
    true,
    "A message to a paused sandbox lets it run again; false leaves that to km resume."
  ),
  slackMaxFileMegabytes: key(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 })),
    100,
    "Largest file that passes between a thread and the agent, either way, in MiB; 1 to 100."
  ),
  slackBusyPolicy: key(
    Schema.Literals(["queue", "interrupt"]),
    "queue",
    "What a message does while its thread is busy: queue waits for its turn, interrupt stops what runs and waits before it."
  )
})

export const SourceAccessSpec = Schema.Struct({
  mode: key(Schema.Literals(["allowlist", "audit", "none"]), "none", "How GitHub access is decided."),
  github: group(
    Schema.Struct({
      allowedRepos: key(
        Schema.Array(Schema.String),
        [],
        "owner/repo or owner/*, behind host/ for GitHub Enterprise; never a bare *."
      ),
      allowedRefs: key(Schema.Array(Schema.String), [], "Refs that may be pushed; none means read-only."),
      allowDelete: key(Schema.Boolean, false, "Refs that may be pushed may be deleted too."),
      allowForce: key(Schema.Boolean, false, "Refs that may be pushed may be moved to where they do not fast-forward."),
      publicRead: key(
        Schema.Array(Schema.String),
        [],
        "Repositories that may be read as anybody can, without a token: owner/repo or owner/*."
      ),
      capabilities: key(Schema.Array(Capability), [], "What else may be changed, such as pulls or issues.")
    }),
    "What the agent may reach on GitHub."
  )
})

export const NetworkMode = Schema.Literals(["none", "proxy", "shared"])
export type NetworkMode = typeof NetworkMode.Type

const networkKeys = {
  allowedHosts: key(
    Schema.Array(Schema.NonEmptyString),
    [],
    "Hosts that the proxy lets through: registry.npmjs.org, *.pypi.org, either with :port. Only with mode: proxy."
  )
}

/** As a file has it: the default of `mode` takes the whole profile (`networkModeOf`). */
export const NetworkSpec = Schema.Struct({
  mode: Schema.optionalKey(NetworkMode).annotate({
    description: "none: only the runtime's own doors can be reached. proxy: besides, GitHub by sourceAccess and " +
      "allowedHosts. shared: the machine's network. Default: proxy where sourceAccess or allowedHosts opens something, " +
      "none otherwise."
  }),
  ...networkKeys
})

/** Where a file may say one word instead of a map, and the key that the word is then the value of. */
export const shorthands: ReadonlyArray<{ readonly path: readonly [string, string]; readonly key: string }> = [
  { path: ["spec", "network"], key: "mode" }
]

const onReceive = key(
  Schema.Literals(["notify", "turn"]),
  "notify",
  "What accepted mail does: notify tells the sandbox's channel, turn also gives it to the agent."
)
const emailKeys = {
  signing: key(
    Schema.Literals(["required", "optional", "off"]),
    "required",
    "Outgoing mail is always signed; optional and off are accepted, warned of, and change nothing."
  ),
  verifyInbound: key(Schema.Literals(["required", "optional", "off"]), "required", "Verify incoming mail."),
  encryption: key(Schema.Literals(["required", "optional", "off"]), "optional", "Encrypt mail between sandboxes.")
}
const Senders = Schema.Array(Schema.String)

/** Who may write when the profile names nobody: everyone of the install, but nobody where mail starts work. */
export const defaultAllowedSenders = (received: "notify" | "turn"): ReadonlyArray<string> =>
  received === "turn" ? [] : ["install"]

export const EmailSpec = Schema.Struct({
  ...emailKeys,
  allowedSenders: Schema.optionalKey(Senders).annotate({
    description: "Ids, aliases, globs, *@domain, self, or install (every verified sandbox of the install). " +
      "Default: install; nobody with onReceive: turn."
  }),
  onReceive
}).annotate({ description: "Mail between agents." }).pipe(Schema.decodeTo(
  Schema.toType(Schema.Struct({ ...emailKeys, allowedSenders: Senders, onReceive })),
  SchemaTransformation.transform({
    decode: (given) => ({ ...given, allowedSenders: given.allowedSenders ?? defaultAllowedSenders(given.onReceive) }),
    encode: (spec) => spec
  })
))

/**
 * What the agent is connected to where the profile does not say: a proxy where there is something to reach through it, else
 * nothing. The machine's own network is never given unasked. `audit` lets every repository be read that anybody can read.
 */
export const networkModeOf = (
  { network, sourceAccess: { github, mode } }: {
    readonly network: typeof NetworkSpec.Type
    readonly sourceAccess: typeof SourceAccessSpec.Type
  }
): NetworkMode =>
  network.mode ??
    (mode === "audit" || [...github.allowedRepos, ...github.publicRead, ...network.allowedHosts].length > 0
      ? "proxy"
      : "none")

const otherGroups = {
  lifecycle: group(LifecycleSpec, "How long the sandbox lives."),
  cli: group(CliSpec, "Notifications and chat."),
  sourceAccess: group(SourceAccessSpec, "Access to source code."),
  network: group(NetworkSpec, "What the agent can reach; a bare word is short for the mode."),
  email: group(EmailSpec, "Mail between agents.")
}

/** Encoded with the mode that was found, so that a stored sandbox keeps its network when the default changes. */
const profileSpec = (kind: Schema.Codec<string>) => {
  const groups = { agent: group(agentSpec(kind), "The coding agent."), ...otherGroups }
  return Schema.Struct(groups).annotate({ description: "What the sandbox may do." }).pipe(
    Schema.decodeTo(
      Schema.toType(Schema.Struct({ ...groups, network: Schema.Struct({ mode: NetworkMode, ...networkKeys }) })),
      SchemaTransformation.transform({
        decode: (given) => ({ ...given, network: { ...given.network, mode: networkModeOf(given) } }),
        encode: (spec) => spec
      })
    )
  )
}

const profileOf = (kind: Schema.Codec<string>) =>
  Schema.Struct({
    apiVersion: Schema.Literal("klankermaker.ai/v1"),
    kind: Schema.Literal("SandboxProfile"),
    metadata: Schema.Struct({
      name: Schema.String.check(
        Schema.isPattern(/^[a-z][a-z0-9-]{0,39}$/u, {
          expected: "a name of a-z, 0-9 and -, starting with a letter, at most 40 characters"
        })
      ),
      prefix: key(
        Schema.String.check(
          Schema.isPattern(/^[a-z][a-z0-9]{0,11}$/u, {
            expected: "a prefix of a-z and 0-9, starting with a letter, at most 12 characters"
          })
        ),
        "sb",
        "Start of the sandbox ids made from this profile."
      ),
      description: key(Schema.String, "", "For people.")
    }),
    spec: group(profileSpec(kind), "What the sandbox may do.")
  })

/** Of any build: what a stored sandbox was made from. */
export const Profile = profileOf(AgentName)
/** As a person may write it for a build that has these agents. */
export const profileFor = (agents: ReadonlyArray<string>) => profileOf(Schema.Literals(agents))
export type Profile = typeof Profile.Type
