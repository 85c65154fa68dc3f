/**
 * What our app asks of Slack, each entry with the method or event that needs it and why. One list: the manifest, the
 * self-test, `km slack status` and docs/slack-notifications.md are made from it, and a test derives it from the sources.
 */

/** A method that we call or an event that we read. `none` where a bot token alone is enough. */
export interface Need {
  readonly kind: "method" | "event"
  /** A method's name, or an event's as a manifest subscribes to it (`message.groups`). */
  readonly name: string
  /** The bot's scope; where public and private channels differ, that for public ones. */
  readonly scope: string | undefined
  /** The scope for private channels, where it is another one. */
  readonly privateScope?: string
  readonly why: string
}

const method = (name: string, scope: string | undefined, why: string, privateScope?: string): Need => ({
  kind: "method",
  name,
  scope,
  why,
  ...(privateScope === undefined ? {} : { privateScope })
})

const event = (name: string, scope: string | undefined, why: string, privateScope?: string): Need => ({
  ...method(name, scope, why, privateScope),
  kind: "event"
})

/**
 * Everything. Source: docs.slack.dev/reference/methods and docs.slack.dev/reference/events, read 2026-11.
 */
export const needs: ReadonlyArray<Need> = [
  method("auth.test", undefined, "who the bot is, in which workspace, and which scopes it has"),
  method("bots.info", "users:read", "which app the bot token belongs to"),
  method("chat.postMessage", "chat:write", "answers, notices, the first text of a turn"),
  method("chat.update", "chat:write", "live text: one message that grows"),
  method("chat.postEphemeral", "chat:write", "what one person alone is told who clicked on a button"),
  method("chat.delete", "chat:write", "parts of an answer that are no longer needed, and the self-test's message"),
  method("chat.getPermalink", undefined, "links from one thread to another"),
  method("conversations.create", "channels:manage", "a channel of its own for each sandbox", "groups:write"),
  method("conversations.archive", "channels:manage", "that channel, when its sandbox is destroyed", "groups:write"),
  method("conversations.setTopic", "channels:manage", "whose channel it is", "groups:write"),
  method("conversations.invite", "channels:manage", "the operator, into a sandbox's channel", "groups:write"),
  method("conversations.inviteShared", "conversations.connect:write", "an operator of another workspace"),
  method("conversations.join", "channels:join", "a channel that exists already, also after a new installation"),
  method("conversations.info", "channels:read", "whether a channel is still usable, and shared", "groups:read"),
  method("conversations.list", "channels:read", "the channel that has a name", "groups:read"),
  method("conversations.members", "channels:read", "whether an invited person is in", "groups:read"),
  method("conversations.history", "channels:history", "what was written while nobody listened", "groups:history"),
  method("conversations.replies", "channels:history", "whether a post of ours arrived", "groups:history"),
  method("users.info", "users:read", "names of who writes"),
  method("users.lookupByEmail", "users:read.email", "the person behind an address that a profile invites"),
  method("reactions.add", "reactions:write", "👀, ⏳ and how a turn ended"),
  method("reactions.remove", "reactions:write", "⏳, once it is over"),
  method("files.getUploadURLExternal", "files:write", "the transcript, and files of the agent"),
  method("files.completeUploadExternal", "files:write", "the same, shown in the thread"),
  method("files.delete", "files:write", "the transcript that a newer one replaces"),
  method("files.info", "files:read", "whether an upload arrived, and files that people attach"),
  event("message.channels", "channels:history", "a person writes, edits or deletes"),
  event("message.groups", undefined, "the same in a private channel", "groups:history"),
  event("app_mention", "app_mentions:read", "sandboxes that answer only when they are mentioned"),
  event("reaction_added", "reactions:read", "🛑 stops a turn"),
  event(
    "member_joined_channel",
    "channels:read",
    "the bot is back in a channel and reads what it missed",
    "groups:read"
  ),
  event("member_left_channel", "channels:read", "the bot, or somebody who was let in, is out", "groups:read"),
  event("channel_id_changed", "channels:read", "a sandbox's channel has another id from now on", "groups:read"),
  event("channel_archive", "channels:read", "a sandbox's channel was archived by hand"),
  event("group_archive", undefined, "the same of a private one", "groups:read"),
  event("channel_unarchive", "channels:read", "it is back, and what was missed is read"),
  event("group_unarchive", undefined, "the same of a private one", "groups:read"),
  event("shared_channel_invite_accepted", "conversations.connect:write", "the invited operator is in"),
  // Not documented for these two: they may need conversations.connect:manage, which `make slack-check` tells.
  event("shared_channel_invite_approved", "conversations.connect:write", "Slack's approval is complete"),
  event(
    "shared_channel_invite_declined",
    "conversations.connect:write",
    "nobody waits for the invited operator any longer"
  )
]

/** What an app-level token (`xapp-…`) is for: Socket Mode, and nothing else. */
export const appNeeds: ReadonlyArray<Need> = [
  method("apps.connections.open", "connections:write", "a connection for events, without a public address")
]

/** Asked for beside the rest only by an app that is declared an agent. */
export const agentScope = "assistant:write"

/** Asked for only by an app that is declared an agent. */
export const agentNeeds: ReadonlyArray<Need> = [
  method(
    "agents.sessions.setStatus",
    "chat:write",
    "a thread whose turn runs looks busy and has Slack's Stop button; one that is over or stopped does not"
  ),
  event("agent_session_stopped", undefined, "that button was pressed; without this event it is not shown")
]

/** Names of those events. */
export const agentEvents: ReadonlyArray<string> = agentNeeds.flatMap(({ kind, name }) => kind === "event" ? [name] : [])

const unique = (scopes: ReadonlyArray<string | undefined>): ReadonlyArray<string> =>
  [...new Set(scopes)].filter((scope) => scope !== undefined).toSorted()

/** Without these nothing works. */
export const requiredScopes: ReadonlyArray<string> = unique(needs.map(({ scope }) => scope))
/** For private channels: granted all together, or not at all. */
export const privateScopes: ReadonlyArray<string> = unique(needs.map(({ privateScope }) => privateScope))

/** Names of the events, as a manifest has them. */
export const botEvents: ReadonlyArray<string> = needs.flatMap(({ kind, name }) => kind === "event" ? [name] : [])

export interface ScopeVerdict {
  /** What something will fail for; sorted. */
  readonly missing: ReadonlyArray<string>
  /** Granted, and needed by nothing of ours. */
  readonly superfluous: ReadonlyArray<string>
  /** Whether sandboxes may have private channels. */
  readonly privateChannels: boolean
}

/** A token's scopes against the list; the scope of agents counts as known. */
export const judgeScopes = (granted: ReadonlyArray<string>): ScopeVerdict => {
  const has = new Set(granted)
  const wantsPrivate = privateScopes.some((scope) => has.has(scope))
  const wanted = [...requiredScopes, ...(wantsPrivate ? privateScopes : [])]
  const known = new Set([...requiredScopes, ...privateScopes, agentScope])
  return {
    missing: wanted.filter((scope) => !has.has(scope)).toSorted(),
    superfluous: unique(granted).filter((scope) => scope !== "" && !known.has(scope)),
    privateChannels: wantsPrivate && privateScopes.every((scope) => has.has(scope))
  }
}
