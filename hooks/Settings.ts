/**
 * The settings that make Claude Code tell the runtime what it does: http hooks to the listener, `km-hook` for the one
 * event that takes no http, and an environment that no repository can change. Pure; the composition root hands the
 * result to the Agent adapter.
 */
import { type HookEventName, hookPath } from "../runtime/domain/turn/HookEvent.ts"

/** Names of the variables through which hooks find the listener. */
export const hookUrlVariable = "KM_HOOK_URL"
export const hookTokenVariable = "KM_HOOK_TOKEN"

/** Told by the agent's standard output as well, earlier and at no cost to the agent; whoever reads that sets no hook for them. */
type ToolEventName = "PostToolUse" | "PostToolUseFailure"

/**
 * The events sent by http, with the seconds that Claude Code waits for our answer, which comes within milliseconds.
 * Short, because the CLI awaits each of these hooks: a hanging listener may delay a turn but not stop it. `SessionEnd`
 * needs an own timeout, otherwise 1.5 s are shared by all its hooks (measured on 2.1.330).
 */
const httpEvents = {
  UserPromptSubmit: 5,
  MessageDisplay: 2,
  PostToolUse: 2,
  PostToolUseFailure: 2,
  SubagentStart: 2,
  SubagentStop: 2,
  Notification: 2,
  PermissionDenied: 2,
  Stop: 5,
  StopFailure: 5,
  SessionEnd: 2
} satisfies Record<Exclude<HookEventName, "SessionStart">, number>

/** Seconds for the command hook: Node's own start is most of it. */
const sessionStartSeconds = 5

export interface HttpHook {
  readonly type: "http"
  readonly url: string
  /** Seconds, not milliseconds. */
  readonly timeout: number
  readonly headers: Readonly<Record<string, string>>
  /** Variables that the headers may name; others become empty. */
  readonly allowedEnvVars: ReadonlyArray<string>
}

export interface CommandHook {
  readonly type: "command"
  readonly command: string
  /** Seconds. */
  readonly timeout: number
}

export interface HookEntry {
  readonly hooks: ReadonlyArray<HttpHook | CommandHook>
}

/** What `--settings` takes, as far as we use it. Encode with `JSON.stringify`. */
export interface AgentSettings {
  /** Wins over `true` in a repository's or the user's settings (measured). */
  readonly disableAllHooks: false
  readonly hooks:
    & Readonly<Record<Exclude<HookEventName, ToolEventName>, ReadonlyArray<HookEntry>>>
    & { readonly [Name in ToolEventName]?: ReadonlyArray<HookEntry> }
  /** Wins over the process's environment and over `env` in a repository's settings. */
  readonly env: Readonly<Record<string, string>>
  readonly permissions?: { readonly deny: ReadonlyArray<string> }
}

/** Read from a place that the agent cannot write; holds for interactive sessions as well. */
export interface ManagedSettings extends AgentSettings {
  readonly allowManagedHooksOnly: true
}

export interface SettingsInput {
  /** Where the agent sees the listener: an origin on loopback such as `http://127.0.0.1:4070`. */
  readonly listener: string
  /**
   * The token of the run, or the sandbox's own for interactive sessions. It ends up in the file's `env` block, so the
   * file is 0600 and never passed as text on a command line. The agent can read it: it keeps strangers out, not the agent.
   */
  readonly token: string
  /** The `km-hook` program and its arguments, as the agent sees them; quoted for the shell here. */
  readonly hookCommand: ReadonlyArray<string>
  /**
   * Also a hook for each tool call, which the agent waits for (test/bench/RESULTS.md): for sessions whose standard output
   * is a person's. A dispatched turn's tool calls are read from its output, a subagent's and failed ones included.
   */
  readonly toolHooks: boolean
  /** Merged over our own: the model door's URL, the proxy's. Never secrets. */
  readonly env?: Readonly<Record<string, string>>
  /** Absolute paths that the agent's own file tools and `@path` mentions must not read. */
  readonly unreadable?: ReadonlyArray<string>
}

/** One word for a POSIX shell. */
export const shellWord = (text: string): string =>
  /^[A-Za-z0-9_./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`

/** Characters that are patterns in a permission rule stand for themselves. */
const rulePath = (path: string): string => path.replace(/[\\*?[\]{}()!]/g, "\\$&")

/** `//` begins an absolute path in a rule; a directory's contents need a pattern of their own. */
const denyRules = (paths: ReadonlyArray<string>): ReadonlyArray<string> =>
  paths.flatMap((path) => {
    const rule = rulePath(path.replace(/\/+$/, "").replace(/^\/*/, "//"))
    return [`Read(${rule})`, `Read(${rule}/**)`, `Edit(${rule}/**)`]
  })

const hooksOf = (input: SettingsInput): AgentSettings["hooks"] => {
  const http = (timeout: number): ReadonlyArray<HookEntry> => [{
    hooks: [{
      type: "http",
      url: input.listener.replace(/\/+$/, "") + hookPath,
      timeout,
      headers: { Authorization: `Bearer $${hookTokenVariable}` },
      allowedEnvVars: [hookTokenVariable]
    }]
  }]
  return {
    UserPromptSubmit: http(httpEvents.UserPromptSubmit),
    MessageDisplay: http(httpEvents.MessageDisplay),
    ...(input.toolHooks
      ? {
        PostToolUse: http(httpEvents.PostToolUse),
        PostToolUseFailure: http(httpEvents.PostToolUseFailure)
      }
      : {}),
    SubagentStart: http(httpEvents.SubagentStart),
    SubagentStop: http(httpEvents.SubagentStop),
    Notification: http(httpEvents.Notification),
    PermissionDenied: http(httpEvents.PermissionDenied),
    Stop: http(httpEvents.Stop),
    StopFailure: http(httpEvents.StopFailure),
    SessionEnd: http(httpEvents.SessionEnd),
    // Refuses http without a word (measured); `km-hook` forwards it.
    SessionStart: [{
      hooks: [{
        type: "command",
        command: input.hookCommand.map(shellWord).join(" "),
        timeout: sessionStartSeconds
      }]
    }]
  }
}

/** The settings of one agent process. */
export const agentSettings = (input: SettingsInput): AgentSettings => ({
  disableAllHooks: false,
  hooks: hooksOf(input),
  env: {
    // Hooks to loopback obey HTTP_PROXY unless this covers the host, and then fail silently.
    NO_PROXY: "127.0.0.1,localhost",
    no_proxy: "127.0.0.1,localhost",
    ...input.env,
    [hookUrlVariable]: input.listener.replace(/\/+$/, "") + hookPath,
    [hookTokenVariable]: input.token
  },
  ...(input.unreadable === undefined || input.unreadable.length === 0
    ? {}
    : { permissions: { deny: denyRules(input.unreadable) } })
})

/**
 * For `/etc/claude-code/managed-settings.json`, mounted read-only: hooks of repositories and users do not run beside
 * ours, and nobody inside can switch ours off. Claude Code refuses to start when that file is broken JSON: write it
 * whole, then rename it into place.
 */
export const managedSettings = (input: SettingsInput): ManagedSettings => ({
  ...agentSettings(input),
  allowManagedHooksOnly: true
})
