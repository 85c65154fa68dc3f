/** The manifest of our Slack app, and the page that makes an app of it. Source: docs.slack.dev/reference/app-manifest. */
import { agentEvents, agentScope, botEvents, privateScopes, requiredScopes } from "./SlackNeeds.ts"

export interface ManifestOptions {
  /** Of the app and its bot; 1 to 35 characters. */
  readonly name: string
  /** Where the bridge is reached from outside, without a trailing slash; absent: Socket Mode. */
  readonly publicUrl?: string
  /** Declares the app an agent. It cannot be undone. */
  readonly agent: boolean
  /** Private channels are wanted: their scopes may not be left out at the installation. */
  readonly privateChannels: boolean
}

/** Characters. Source: docs.slack.dev/reference/app-manifest (display_information.name). */
export const maxAppName = 35

/** A bot's name has lower-case letters, digits, `-`, `_` and `.` only. */
const botNameOf = (name: string): string => {
  const plain = name.toLowerCase().replaceAll(/[^a-z0-9._-]+/g, "-").replaceAll(/^-+|-+$/g, "")
  return plain === "" ? "km" : plain
}

const description = "Agents in sandboxes that your team owns: write in a channel, watch the work grow in the thread."

/** As Slack takes it; the forms for Socket Mode and HTTP differ in `socket_mode_enabled` and the two request URLs only. */
export const manifestOf = ({ agent, name, privateChannels, publicUrl }: ManifestOptions) => {
  const url = (path: string) => publicUrl === undefined ? {} : { request_url: `${publicUrl}${path}` }
  return {
    _metadata: { major_version: 1 },
    display_information: { name, description },
    features: {
      bot_user: { display_name: botNameOf(name), always_online: false },
      ...(agent ? { agent_view: { agent_description: description } } : {})
    },
    oauth_config: {
      scopes: {
        bot: [...requiredScopes, ...privateScopes, ...(agent ? [agentScope] : [])].toSorted(),
        ...(privateChannels ? {} : { bot_optional: privateScopes })
      }
    },
    settings: {
      event_subscriptions: { ...url("/events"), bot_events: [...botEvents, ...(agent ? agentEvents : [])] },
      interactivity: { is_enabled: true, ...url("/interactive") },
      org_deploy_enabled: false,
      socket_mode_enabled: publicUrl === undefined,
      token_rotation_enabled: false
    }
  }
}
export type SlackManifest = ReturnType<typeof manifestOf>

const newApp = "https://api.slack.com/apps?new_app=1"

/** Bytes; how much Slack's page takes is not documented, browsers and proxies take this. */
const maxLink = 8_000

/** The page that creates an app from this manifest, filled in; without it where the link would be too long. */
export const creationLink = (manifest: SlackManifest): { readonly url: string; readonly filled: boolean } => {
  const url = `${newApp}&manifest_json=${encodeURIComponent(JSON.stringify(manifest))}`
  return url.length <= maxLink ? { url, filled: true } : { url: newApp, filled: false }
}

/** What declaring the app an agent costs. Source: docs.slack.dev/ai/developing-agents ("Members only"), agent-sessions. */
export const agentPrice =
  "An agent app cannot be used by guests, turns every direct message into a thread, and cannot be made an ordinary app again."
