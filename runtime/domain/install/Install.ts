/** What every process of one install agrees on: who vouches for its keys, where its bridge and its Slack are. */
import * as Schema from "effect/Schema"
import { GithubAppSettings } from "../github/AppSettings.ts"
import { SmtpSettings } from "../mail/SmtpSettings.ts"
import { ChannelId, InstallName, SenderId, TeamId, UserId } from "../sandbox/Ids.ts"
import { AwsPlace } from "./AwsPlace.ts"
import { isIpAddress, isLoopback, parseListen } from "./BridgeListen.ts"

const HttpUrl = Schema.String.check(
  Schema.isPattern(/^https?:\/\/[^\s/]+(\/[^\s]*)?$/, { message: "an http or https URL" }),
  Schema.makeFilter((text: string) => URL.canParse(text) ? undefined : "an http or https URL")
)

/** Somebody who signs mail in the older form (v1) and has no certificates: the operator vouches for the key. */
export const OlderSender = Schema.Struct({
  sender: SenderId,
  /** Base64 of the 32 raw bytes of its Ed25519 key. */
  publicKey: Schema.String.check(
    Schema.isPattern(/^[A-Za-z0-9+/]{43}=$/, { message: "the base64 of a 32-byte Ed25519 public key" })
  ),
  /** What it may write from. */
  addresses: Schema.Array(Schema.String)
})
export type OlderSender = typeof OlderSender.Type

/** How the bridge is reached from outside. */
export const BridgeAddress = Schema.Struct({
  /** Where Slack and people reach it, without a trailing slash: Events URL, links to files. Absent: not from outside. */
  publicUrl: Schema.optionalKey(HttpUrl),
  /** `127.0.0.1:8787`, `[::1]:8787`; the host of `bridgeUrl` unless given. Not loopback: needs `trustedProxy`. */
  listen: Schema.optionalKey(Schema.String.check(
    Schema.makeFilter((text: string) => parseListen(text) === undefined ? "an IP address and a port" : undefined)
  )),
  /** The one address, beside this machine's own, whose connections are answered; and only what is public. */
  trustedProxy: Schema.optionalKey(Schema.String.check(
    Schema.makeFilter((text: string) => isIpAddress(text) ? undefined : "an IP address")
  ))
}).check(
  Schema.makeFilter(({ listen, trustedProxy }) => {
    const address = listen === undefined ? undefined : parseListen(listen)
    return address === undefined || isLoopback(address.host) || trustedProxy !== undefined
      ? undefined
      : "a bridge that listens beyond this machine needs a trustedProxy"
  })
)
export type BridgeAddress = typeof BridgeAddress.Type

/** An invitation by Slack Connect that was sent. */
export const SentInvitation = Schema.Struct({
  id: Schema.String,
  email: Schema.String,
  channel: ChannelId,
  /** Unix milliseconds. */
  sentAt: Schema.Int
})
export type SentInvitation = typeof SentInvitation.Type

/** What `km slack init` found out and made. */
export const SlackSetup = Schema.Struct({
  /** The channel for notices that belong to no sandbox. */
  sharedChannel: Schema.optionalKey(Schema.Struct({ id: ChannelId, name: Schema.String })),
  /** By channel and address, the last one of each. */
  invitations: Schema.optionalKey(Schema.Array(SentInvitation))
})
export type SlackSetup = typeof SlackSetup.Type

/** Stored as `install.json` in the state directory (embedded engine); no secret is in it. */
export const Install = Schema.Struct({
  version: Schema.Literal(1),
  install: InstallName,
  /** Where queues, tables, objects and secrets live; absent: `embedded`. */
  engine: Schema.optionalKey(Schema.Literals(["embedded", "aws"])),
  /** Where, for the engine `aws`. */
  aws: Schema.optionalKey(AwsPlace),
  /** Base64 of 32 raw bytes; pinned by every reader of certificates. */
  certifierPublicKey: Schema.String.check(
    Schema.isPattern(/^[A-Za-z0-9+/]{43}=$/, { message: "the base64 of a 32-byte Ed25519 public key" })
  ),
  /** Where the runtimes reach the bridge, without a trailing slash or path. */
  bridgeUrl: HttpUrl,
  /** The host name under every bridge signature; a request signed for another one is refused. */
  bridgeHost: Schema.NonEmptyString,
  /** `https://slack.com/api/`, or the local workspace's; with a trailing slash. */
  slackApiUrl: HttpUrl,
  /** The workspace the app is installed in, once known. */
  teamId: Schema.optionalKey(TeamId),
  /** The app's `A…` id, pinned from the first valid event. */
  appId: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^A[A-Z0-9]{2,20}$/))),
  /** The bot's own user and bot ids, as `auth.test` says. */
  botUserId: Schema.optionalKey(Schema.String),
  botId: Schema.optionalKey(Schema.String),
  /** Domain of the sandboxes' mail addresses. Default `{install}.invalid`, which only this install knows. */
  mailDomain: Schema.optionalKey(Schema.String.check(
    Schema.isPattern(/^(?=.{1,189}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/, {
      message: "a domain name in lower case"
    })
  )),
  /** Whose mail of the older form is believed as `verified-v1`; an id or address of this install's own counts for nothing. */
  v1Senders: Schema.optionalKey(Schema.Array(OlderSender)),
  /** Real mail programs may take part; absent: none. */
  smtp: Schema.optionalKey(SmtpSettings),
  /** People of the workspace who may stop any turn by 🛑, beside its author. */
  operators: Schema.optionalKey(Schema.Array(UserId)),
  /** GitHub Apps of this install, on any host; absent: none. */
  github: Schema.optionalKey(Schema.Array(GithubAppSettings)),
  /** How the bridge is reached from outside; absent: from this machine only. */
  bridge: Schema.optionalKey(BridgeAddress),
  /**
   * How events come: `http` to the bridge's address, `socket` over connections that the bridge opens. Absent: `socket`
   * where an app-level token is stored.
   */
  slackTransport: Schema.optionalKey(Schema.Literals(["http", "socket"])),
  /** Of a real workspace, once `km slack init` has connected it. */
  slack: Schema.optionalKey(SlackSetup),
  /** True when the workspace is the local one that `km up` starts. */
  local: Schema.Boolean
})
export type Install = typeof Install.Type
