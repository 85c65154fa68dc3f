/**
 * The plugins of this build, as plain values. To add one: write its folder, name it here. To leave one out: take its lines
 * away, and the folder with them. The host starts those that a sandbox's profile enables, in the order of their `after`.
 */
import type { MakeMailDesk } from "../runtime/ports/MailDesk.ts"
import type { AnyPlugin, PortsOf } from "../runtime/ports/Plugin.ts"
import { ChatFilesPlugin } from "./chat-files/ChatFilesPlugin.ts"
import { EmailPlugin } from "./email/EmailPlugin.ts"
import { GithubProxyPlugin } from "./github-proxy/GithubProxyPlugin.ts"
import { LifecyclePlugin } from "./lifecycle/LifecyclePlugin.ts"
import { SlackInboundPlugin } from "./slack-inbound/SlackInboundPlugin.ts"
import { TranscriptPlugin } from "./transcript/TranscriptPlugin.ts"

const plugins = [
  LifecyclePlugin,
  TranscriptPlugin,
  SlackInboundPlugin,
  ChatFilesPlugin,
  EmailPlugin,
  GithubProxyPlugin
] as const

/** Every port that some plugin needs; the composition root does not compile until each is provided. */
export type PluginPorts = PortsOf<typeof plugins[number]>

export const builtInPlugins: ReadonlyArray<AnyPlugin<PluginPorts>> = plugins

/** What writes and reads mail for commands and schedules, read when it is asked for: one, or none in a build without mail. */
export const mailDesks: ReadonlyArray<() => Promise<MakeMailDesk>> = [
  () => import("./email/MailDesk.ts").then(({ makeMailDesk }) => makeMailDesk)
]
