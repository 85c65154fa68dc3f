/** What the bridge is told about its install when it starts; secrets are not among it, they are read when needed. */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type { InstallName, TeamId, UserId } from "../runtime/domain/sandbox/Ids.ts"

export interface BridgeSettingsShape {
  readonly install: InstallName
  /** What `{host}` in a signed request must be; the `Host` header is not trusted for it. */
  readonly host: string
  /** Base of the links that the bridge serves itself, without a trailing slash. */
  readonly publicUrl: string
  /** 32 raw bytes; pinned at start. */
  readonly certifierPublicKey: Uint8Array
  /** Ends with a slash: `https://slack.com/api/`, or the local workspace's. */
  readonly slackApiUrl: string
  /** How events come: to our address (unless told), or over connections that we open; then `/events` is closed. */
  readonly transport?: "http" | "socket"
  /** Pinned from the first valid event where absent. */
  readonly team?: TeamId
  /** Pinned from the first valid event where absent. */
  readonly appId?: string
  /** Slack ids of the people who operate the install: they may stop any turn. */
  readonly operators: ReadonlySet<UserId>
  /** Multiplies Slack's documented calls per minute; 1 everywhere but in measurements. */
  readonly rateScale: number
}

export class BridgeSettings extends Context.Service<BridgeSettings, BridgeSettingsShape>()(
  "km/bridge/BridgeSettings"
) {
  static readonly layer = (settings: BridgeSettingsShape): Layer.Layer<BridgeSettings> =>
    Layer.succeed(BridgeSettings, BridgeSettings.of(settings))
}
