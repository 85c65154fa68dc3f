/** The command tree of `km slack`: names, flags and help. What a command does is imported when it runs. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import { linesFlag } from "../Output.ts"
import type { SecretKind } from "../slack/Credentials.ts"

const lazy = <Input, A, E, R>(load: () => Promise<(input: Input) => Effect.Effect<A, E, R>>) => (input: Input) =>
  Effect.flatMap(Effect.promise(load), (run) => run(input))

const manifest = Command.make(
  "manifest",
  {
    socket: Flag.Boolean("socket").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Events by Socket Mode: no public address is needed (default without bridge.publicUrl)")
    ),
    http: Flag.String("http").pipe(
      Flag.optional,
      Flag.withMetavar("URL"),
      Flag.withDescription("Events by HTTPS, to this address of the bridge (default bridge.publicUrl)")
    ),
    agent: Flag.Boolean("agent").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Declare the app an agent; no guests, direct messages as threads, no way back")
    ),
    private: Flag.Boolean("private").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Private channels are wanted: their scopes may not be left out")
    ),
    name: Flag.String("name").pipe(Flag.optional, Flag.withDescription("The app's name; the install's unless given"))
  },
  lazy(() => import("./SlackManifest.ts").then((module) => module.slackManifest))
).pipe(
  Command.withShortDescription("Print the manifest of the Slack app"),
  Command.withDescription(
    "Prints the app's manifest as JSON, as Slack takes it; on a terminal also the page that creates the app from it. " +
      "docs/slack-notifications.md has the reason for each scope and event."
  )
)

const secretFlags = (name: SecretKind, what: string) => ({
  text: Flag.String(name).pipe(Flag.optional, Flag.withDescription(`${what}; other users can see arguments`)),
  file: Flag.String(`${name}-file`).pipe(
    Flag.optional,
    Flag.withMetavar("FILE"),
    Flag.withDescription("The same from a file, or with - from standard input")
  )
})

const init = Command.make(
  "init",
  {
    secrets: {
      "bot-token": secretFlags("bot-token", "The xoxb- token (KM_SLACK_BOT_TOKEN)"),
      "app-token": secretFlags("app-token", "The xapp- token, for Socket Mode (KM_SLACK_APP_TOKEN)"),
      "signing-secret": secretFlags("signing-secret", "The signing secret, for HTTPS (KM_SLACK_SIGNING_SECRET)")
    },
    inviteEmail: Flag.String("invite-email").pipe(
      Flag.optional,
      Flag.withDescription("The operator, invited into the shared channel; by Slack Connect if from outside")
    ),
    sharedChannel: Flag.String("shared-channel").pipe(
      Flag.withDefault("km-notifications"),
      Flag.withDescription("The channel for notices, by name or id; made or taken. Default km-notifications")
    ),
    force: Flag.Boolean("force").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Ask for every secret again; without sandboxes also another app or workspace")
    ),
    noStart: Flag.Boolean("no-start").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Store everything and start nothing")
    )
  },
  lazy(() => import("./SlackInit.ts").then((module) => module.slackInit))
).pipe(
  Command.withShortDescription("Connect this install to a Slack workspace"),
  Command.withDescription(
    "Checks the tokens with Slack, stores them, makes the shared channel, invites, starts the install and waits until " +
      "Slack has reached it. Asks on a terminal, unseen, for secrets that are not given. Run again, it continues where it " +
      "stopped. With Socket Mode there is no signing secret and nothing to paste."
  )
)

const status = Command.make(
  "status",
  {},
  lazy(() => import("./Slack.ts").then((module) => module.slackStatus))
).pipe(
  Command.withShortDescription("Where Slack is and whether the bridge answers"),
  Command.withDescription("Shows the install's Slack and asks the bridge for its health; changes nothing.")
)

const test = Command.make(
  "test",
  { channel: Flag.String("channel").pipe(Flag.optional, Flag.withDescription("Try it in this channel (C…)")) },
  lazy(() => import("./Slack.ts").then((module) => module.slackTest))
).pipe(
  Command.withShortDescription("Prove token, scopes and metadata with a real call"),
  Command.withDescription("Posts one message through the bridge, reads it back and deletes it.")
)

const rotateToken = Command.make(
  "rotate-token",
  {
    bot: secretFlags("bot-token", "The new xoxb- token (KM_SLACK_BOT_TOKEN)"),
    app: Flag.Boolean("app").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Replace the app-level token of Socket Mode instead")
    ),
    appToken: secretFlags("app-token", "The new xapp- token (KM_SLACK_APP_TOKEN)")
  },
  lazy(() => import("./SlackRotate.ts").then((module) => module.rotateToken))
).pipe(
  Command.withShortDescription("Replace the bot token, or the app-level token"),
  Command.withDescription(
    "Proves the new token, which must be of the same app and workspace, and stores it. The bridge takes it up by itself; " +
      "the bot goes back into its channels."
  )
)

const rotateSigningSecret = Command.make(
  "rotate-signing-secret",
  {
    signing: secretFlags("signing-secret", "The new signing secret (KM_SLACK_SIGNING_SECRET)"),
    finish: Flag.Boolean("finish").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Forget the earlier secret; until then both count")
    )
  },
  lazy(() => import("./SlackRotate.ts").then((module) => module.rotateSigningSecret))
).pipe(
  Command.withShortDescription("Replace the signing secret, without a gap"),
  Command.withDescription("Stores the new secret beside the earlier one. Both count until --finish.")
)

const invite = Command.make(
  "invite",
  {
    email: Argument.String("email").pipe(Argument.withDescription("Whom")),
    channel: Flag.String("channel").pipe(
      Flag.optional,
      Flag.withDescription("Into this channel (C…), not the shared one")
    )
  },
  lazy(() => import("./SlackPeople.ts").then((module) => module.slackInvite))
).pipe(
  Command.withShortDescription("Invite a person into a channel"),
  Command.withDescription("A member of the workspace joins at once; anybody else is invited by Slack Connect.")
)

const allow = Command.make(
  "allow",
  {
    reference: Argument.String("sandbox").pipe(Argument.withDescription("Id, alias, or a prefix that fits only one")),
    user: Argument.String("user").pipe(Argument.withDescription("The person's member id (U…)"))
  },
  lazy(() => import("./SlackPeople.ts").then((module) => module.slackAllow))
).pipe(
  Command.withShortDescription("Let a person of another workspace drive a sandbox"),
  Command.withDescription(
    "Vouches for the person at this sandbox, whatever Slack knows of an invitation; it is in the audit. Members of the " +
      "workspace need none of this."
  )
)

const adopt = Command.make(
  "adopt",
  {
    channel: Argument.String("channel").pipe(Argument.withDescription("A channel's id (C…)")),
    alias: Flag.String("alias").pipe(
      Flag.optional,
      Flag.withDescription("The next sandbox of this alias works in the channel")
    )
  },
  lazy(() => import("./SlackPeople.ts").then((module) => module.slackAdopt))
).pipe(
  Command.withShortDescription("Take a channel that exists already"),
  Command.withDescription("The bot joins the channel; with --alias the next sandbox of that name works in it.")
)

const threads = Command.make(
  "threads",
  {
    reference: Argument.String("sandbox").pipe(Argument.withDescription("Id, alias, or a prefix that fits only one")),
    lines: linesFlag(50)
  },
  lazy(() => import("./SlackPeople.ts").then((module) => module.slackThreads))
).pipe(
  Command.withShortDescription("Show a sandbox's threads and their sessions"),
  Command.withDescription("Which agent session each Slack thread continues, newest first.")
)

const commands = [
  manifest,
  init,
  test,
  status,
  rotateToken,
  rotateSigningSecret,
  invite,
  allow,
  adopt,
  threads
] as const

export const slack = Command.make("slack").pipe(
  Command.withShortDescription("Slack: connect a workspace, look after it"),
  Command.withDescription("Slack: connect a workspace, look after it"),
  Command.withSubcommands(commands)
)
