/**
 * The plugins of this build, as plain values. To add one: write its folder, add it here. The host starts those that a
 * sandbox's profile enables, in the order of their `after`.
 */
import type { AnyPlugin } from "../runtime/ports/Plugin.ts"
import { EmailPlugin, type EmailPorts } from "./email/EmailPlugin.ts"
import { LifecyclePlugin, type LifecyclePorts } from "./lifecycle/LifecyclePlugin.ts"
import { SlackInboundPlugin, type SlackInboundPorts } from "./slack-inbound/SlackInboundPlugin.ts"
import { TranscriptPlugin, type TranscriptPorts } from "./transcript/TranscriptPlugin.ts"

/** Every port that some plugin needs; the composition root does not compile until each is provided. */
export type PluginPorts = EmailPorts | LifecyclePorts | SlackInboundPorts | TranscriptPorts

export const builtInPlugins: ReadonlyArray<AnyPlugin<PluginPorts>> = [
  LifecyclePlugin,
  TranscriptPlugin,
  SlackInboundPlugin,
  EmailPlugin
]
