/**
 * The profile: what a sandbox may do, as a person writes it in YAML (DESIGN §3). Strict decoding, `extends` and the
 * rules that need more than one key live beside this file; the JSON Schema in `profiles/` is generated from here.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** A key that may be left out; `value` is what it then is. */
const withDefault = <S extends Schema.Top & { readonly Encoded: unknown }>(schema: S, value: S["Encoded"]) =>
  schema.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))

/** `{number}{s|m|h|d}`, such as `90s`, `30m`, `8h`, `2d`. `0` means off where a key says so. */
export const DurationText = Schema.String.check(
  Schema.isPattern(/^(0|[1-9]\d{0,8}[smhd])$/, { message: "a duration such as 30s, 15m, 8h or 2d" })
)

/** Milliseconds of a `DurationText`. */
export const durationMillis = (text: string): number => {
  const unit = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[text.slice(-1)]
  return unit === undefined ? 0 : Number(text.slice(0, -1)) * unit
}

export const AgentSpec = Schema.Struct({
  kind: withDefault(Schema.Literals(["claude"]), "claude"),
  permissions: withDefault(Schema.Literals(["bypass", "default"]), "bypass"),
  /** A model name the CLI knows, or `default`. */
  model: withDefault(Schema.String, "default"),
  /** At most 11 h: SQS holds a message 12 h at most (AWS SQS quotas). */
  turnTimeout: withDefault(DurationText, "30m"),
  /** True lets a repository's own `.claude` settings take part; they can silence hooks. */
  trustRepoSettings: withDefault(Schema.Boolean, false),
  /** US dollars a sandbox may spend on the model in its life; 0 means no limit. */
  budgetUsd: withDefault(Schema.Finite, 0)
})

export const LifecycleSpec = Schema.Struct({
  /** 0 means it lives until destroyed. */
  ttl: withDefault(DurationText, "8h"),
  /** 0 means never. */
  idleTimeout: withDefault(DurationText, "1h")
})

export const CliSpec = Schema.Struct({
  notifyEmailEnabled: withDefault(Schema.Boolean, true),
  notifySlackEnabled: withDefault(Schema.Boolean, false),
  notifySlackPerSandbox: withDefault(Schema.Boolean, false),
  notifySlackChannelOverride: withDefault(Schema.String, ""),
  notifySlackInboundEnabled: withDefault(Schema.Boolean, false),
  notifySlackTranscriptEnabled: withDefault(Schema.Boolean, false),
  slackArchiveOnDestroy: withDefault(Schema.Boolean, true),
  /** Only messages that mention the bot start a turn; replies in an engaged thread always do. */
  notifySlackInboundMentionOnly: withDefault(Schema.Boolean, false),
  /** Slack ids of outsiders who may drive the agent, beside members of our own team. */
  notifySlackInboundAllow: withDefault(Schema.Array(Schema.String), []),
  notifySlackInviteEmails: withDefault(Schema.Array(Schema.String), []),
  notifySlackPrivate: withDefault(Schema.Boolean, false),
  notifyOnPermission: withDefault(Schema.Boolean, false),
  /** Threads whose turns run at the same time, 1 to 16. */
  slackMaxConcurrentThreads: withDefault(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 16 })), 2),
  /** What happens to a message that arrives while its thread's turn runs. */
  slackBusyPolicy: withDefault(Schema.Literals(["queue"]), "queue")
})

export const SourceAccessSpec = Schema.Struct({
  mode: withDefault(Schema.Literals(["allowlist", "audit", "none"]), "none"),
  github: withDefault(
    Schema.Struct({
      allowedRepos: withDefault(Schema.Array(Schema.String), []),
      allowedRefs: withDefault(Schema.Array(Schema.String), [])
    }),
    {}
  )
})

export const EmailSpec = Schema.Struct({
  signing: withDefault(Schema.Literals(["required", "optional", "off"]), "required"),
  verifyInbound: withDefault(Schema.Literals(["required", "optional", "off"]), "required"),
  encryption: withDefault(Schema.Literals(["required", "optional", "off"]), "optional"),
  allowedSenders: withDefault(Schema.Array(Schema.String), ["install"]),
  onReceive: withDefault(Schema.Literals(["notify", "turn"]), "notify")
})

export const ProfileSpec = Schema.Struct({
  agent: withDefault(AgentSpec, {}),
  lifecycle: withDefault(LifecycleSpec, {}),
  cli: withDefault(CliSpec, {}),
  sourceAccess: withDefault(SourceAccessSpec, {}),
  email: withDefault(EmailSpec, {})
})

export const Profile = Schema.Struct({
  apiVersion: Schema.Literal("klankermaker.ai/v1"),
  kind: Schema.Literal("SandboxProfile"),
  metadata: Schema.Struct({
    name: Schema.String.check(Schema.isPattern(/^[a-z][a-z0-9-]{0,39}$/)),
    /** Start of the sandbox ids made from it. */
    prefix: withDefault(Schema.String.check(Schema.isPattern(/^[a-z][a-z0-9]{0,11}$/)), "sb"),
    description: withDefault(Schema.String, "")
  }),
  /** Paths of parent profiles, relative to this file, applied in order; resolved before decoding. */
  spec: withDefault(ProfileSpec, {})
})
export type Profile = typeof Profile.Type
