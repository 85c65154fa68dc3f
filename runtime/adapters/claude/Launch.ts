/**
 * How the CLI is called: its arguments and its whole environment, built from nothing so that no variable of the
 * runtime (a token, `NOTIFY_SOCKET`, a proxy's password) can reach the agent. Pure.
 */
import * as Option from "effect/Option"
import type { AgentRun, TerminalRun } from "../../ports/Agent.ts"
import { markerVariable } from "./ProcessTree.ts"

/** What the profile decides about every run of a sandbox. */
export interface LaunchPolicy {
  readonly permissions: "bypass" | "ask" | "default"
  /** A model name the CLI knows; `default` leaves the choice to the CLI. */
  readonly model: string
  readonly trustRepoSettings: boolean
}

/** How long the CLI may try for itself. The runtime has its own wall clock beside these. */
export interface LaunchLimits {
  /** Retries after a failed API request; 4 take about 9 s of waiting (measured: 0.6, 1.2, 2.3, 4.6 s). */
  readonly maxRetries: number
  /** Bounds one API request that gets no answer; the CLI's own default is 600 s. */
  readonly apiTimeoutMillis: number
  /** Bounds the silence in the middle of a stream; the CLI cuts after about twice this (measured). */
  readonly streamIdleMillis: number
}

export const defaultLimits: LaunchLimits = { maxRetries: 4, apiTimeoutMillis: 180_000, streamIdleMillis: 90_000 }

/** Whose settings count, what may be done and with which model. */
const policyArguments = (policy: LaunchPolicy, settingsFile: string): ReadonlyArray<string> => [
  "--settings",
  settingsFile,
  // The user's own settings live in the agent's home, where the agent can write: never a source.
  "--setting-sources",
  policy.trustRepoSettings ? "project,local" : "",
  ...(policy.permissions === "bypass"
    ? ["--dangerously-skip-permissions"]
    : ["--permission-mode", "default"]),
  ...(policy.model === "default" ? [] : ["--model", policy.model])
]

const sessionArguments = ({ mode, session }: Pick<AgentRun, "mode" | "session">): ReadonlyArray<string> => [
  mode === "fresh" ? "--session-id" : "--resume",
  session
]

/** The arguments after the program's name. Nothing here is secret or comes from a person. */
export const argumentsOf = (
  run: Pick<AgentRun, "mode" | "session">,
  policy: LaunchPolicy,
  settingsFile: string
): ReadonlyArray<string> => [
  "-p",
  "--input-format",
  "stream-json",
  "--output-format",
  "stream-json",
  "--verbose",
  ...policyArguments(policy, settingsFile),
  // In a terminal the CLI asks whoever sits there.
  ...(policy.permissions === "ask" ? ["--permission-prompt-tool", "stdio"] : []),
  ...sessionArguments(run)
]

/**
 * The same for a session that a person works in. There is no message of ours in which it could be told of the sandbox, so
 * that stands behind the CLI's own instructions; a session that is continued is told as it is then.
 */
export const terminalArguments = (
  run: Pick<TerminalRun, "mode" | "session" | "told">,
  policy: LaunchPolicy,
  settingsFile: string
): ReadonlyArray<string> => [
  ...policyArguments(policy, settingsFile),
  ...(run.told.length === 0 ? [] : ["--append-system-prompt", run.told.join("\n")]),
  ...sessionArguments(run)
]

/** Names that a run may add to the environment: ours alone, so that none can change how a program is loaded. */
const allowedName = /^KM_[A-Z0-9_]{1,60}$/

/** What the CLI needs to behave, also passed as the `env` block of the settings, which nothing can override. */
export const pinnedEnvironment = (
  door: { readonly url: string; readonly key: string },
  limits: LaunchLimits
): Readonly<Record<string, string>> => ({
  ANTHROPIC_API_KEY: door.key,
  ANTHROPIC_BASE_URL: door.url,
  // Without it the CLI also contacts api.anthropic.com.
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
  DISABLE_TELEMETRY: "1",
  DISABLE_AUTOUPDATER: "1",
  // Background tasks make one run end several times.
  CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: "1",
  CLAUDE_CODE_MAX_RETRIES: String(limits.maxRetries),
  API_TIMEOUT_MS: String(limits.apiTimeoutMillis),
  CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS: String(limits.streamIdleMillis),
  // Or loopback hooks would go to a proxy, and fail silently.
  NO_PROXY: "127.0.0.1,localhost",
  no_proxy: "127.0.0.1,localhost"
})

const systemPath = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]

/** The agent's whole environment. */
export const environmentOf = (input: {
  readonly run: Pick<AgentRun, "env">
  readonly pinned: Readonly<Record<string, string>>
  readonly home: string
  readonly path: ReadonlyArray<string>
  readonly marker: string
  /** What plugins add, such as a proxy's address. */
  readonly extra: Readonly<Record<string, string>>
  /** Without a jail: a temporary directory of the sandbox's own, which goes with the sandbox. */
  readonly temporary: Option.Option<string>
  readonly isRoot: boolean
  /** The kind of terminal; none is a dumb one. */
  readonly terminal?: string
}): Readonly<Record<string, string>> => ({
  ...input.extra,
  ...Object.fromEntries(
    Object.entries(input.run.env).filter(([name, value]) => allowedName.test(name) && !value.includes("\0"))
  ),
  PATH: [...input.path, ...systemPath].join(":"),
  HOME: input.home,
  USER: "agent",
  LOGNAME: "agent",
  SHELL: "/bin/bash",
  LANG: "C.UTF-8",
  TERM: input.terminal ?? "dumb",
  ...Option.match(input.temporary, { onNone: () => ({}), onSome: (path) => ({ TMPDIR: path }) }),
  ...input.pinned,
  [markerVariable]: input.marker,
  // The CLI refuses to skip permissions as root otherwise.
  ...(input.isRoot ? { IS_SANDBOX: "1" } : {})
})

const asking = (permissions: unknown): Readonly<Record<string, unknown>> => ({
  ...(typeof permissions === "object" ? permissions : {}),
  ask: ["*"]
})

/**
 * The settings of a run: what the composition root built (hooks), our pinned environment, and hooks that no other
 * settings file can switch off. With `ask` every call is put to us, also those that the CLI holds for harmless: what is, is
 * for the profile's rules to say (measured with 2.1.330: `*` in `ask` asks for each tool, and what is in `deny` stays denied).
 */
export const sealSettings = (
  settings: Readonly<Record<string, unknown>>,
  pinned: Readonly<Record<string, string>>,
  permissions: LaunchPolicy["permissions"]
): Readonly<Record<string, unknown>> => ({
  ...settings,
  ...(permissions === "ask" ? { permissions: asking(settings["permissions"]) } : {}),
  disableAllHooks: false,
  env: { ...(typeof settings["env"] === "object" ? settings["env"] : {}), ...pinned }
})
