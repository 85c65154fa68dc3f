/** Every way in which connecting a Slack workspace, or keeping it connected, goes wrong: code, exit status, and the remedy. */
import { type ExitCode, KmError } from "../KmError.ts"

/** Exit statuses as in `KmError.ts`. The remedy is what is told unless a better one is known where it happens. */
const table = {
  "KM-SLK-101": [
    2,
    "This is no bot token.",
    "Copy the token that begins with xoxb- from the app's page: OAuth & Permissions."
  ],
  "KM-SLK-102": [
    2,
    "This is no app-level token.",
    "Generate one with connections:write on the app's page (Basic Information); it begins with xapp-."
  ],
  "KM-SLK-103": [
    2,
    "This is no signing secret.",
    "Copy the 32 digits from the app's page: Basic Information, App Credentials."
  ],
  "KM-SLK-104": [
    4,
    "Slack does not take the bot token: it was revoked, or is not one.",
    "Install the app again on its page, then `km slack rotate-token`."
  ],
  "KM-SLK-105": [
    5,
    "The token belongs to another workspace than this install.",
    "Use a token of this install's workspace, or another install: `km slack init --install team`."
  ],
  "KM-SLK-106": [
    5,
    "The token belongs to another Slack app.",
    "Copy both tokens from the page of this install's app, then `km slack rotate-token`."
  ],
  "KM-SLK-107": [
    1,
    "The bot token lacks scopes.",
    "Put the manifest of `km slack manifest` into the app, install it again, then `km slack rotate-token`."
  ],
  "KM-SLK-108": [
    7,
    "Slack's API cannot be reached.",
    "Check the network and the proxy of this machine, then `km slack status`."
  ],
  "KM-SLK-109": [
    1,
    "What answers is not Slack's API.",
    "Look for a proxy that answers in Slack's place, or changes what passes; then `km slack status`."
  ],
  "KM-SLK-110": [
    1,
    "The clock of this machine and Slack's differ.",
    "Synchronise the clock (NTP), then `km slack status`; at 300 s nothing is taken."
  ],
  "KM-SLK-111": [
    1,
    "Socket Mode is switched off for this app.",
    "Switch it on on the app's page (Socket Mode), then `km slack status`; or set bridge.publicUrl for HTTPS."
  ],
  "KM-SLK-112": [
    4,
    "Slack does not take the app-level token.",
    "Generate one with connections:write (Basic Information), then `km slack rotate-token --app`."
  ],
  "KM-SLK-113": [
    1,
    "More connections are open for this app than Slack allows.",
    "End the other installs that use this app, one app for one install; then `km slack status`."
  ],
  "KM-SLK-114": [
    1,
    "The connection to Slack is not alive: nothing came over it.",
    "`km logs --part bridge` shows why; `km down`, then `km up --detach`, connects anew."
  ],
  "KM-SLK-115": [
    1,
    "The Events URL answers something else than the bridge.",
    "Forward /events to the bridge, unchanged: docs/slack-notifications.md has Caddy and nginx; then `km slack status`."
  ],
  "KM-SLK-116": [
    1,
    "Events arrive with a signature that does not hold.",
    "`km slack rotate-signing-secret` stores the secret of the app's page; a proxy must leave bodies as they are."
  ],
  "KM-SLK-117": [
    5,
    "The channel's name is taken by a channel that the bot cannot join.",
    "Invite the bot into that channel, or `km slack init --shared-channel` with another name."
  ],
  "KM-SLK-118": [2, "This is no mail address.", "Give one address: `km slack init --invite-email ops@example.com`."],
  "KM-SLK-119": [
    5,
    "The address is invited or connected already.",
    "Nothing to do; `km slack status` shows whether the invitation is still open."
  ],
  "KM-SLK-121": [
    5,
    "The install works with its local workspace and has sandboxes there.",
    "Connect a new install: `km slack init --install team`."
  ],
  "KM-SLK-122": [
    2,
    "A secret is missing and there is nobody to ask.",
    "Give it by its flag, by a file, on standard input, or in the environment; `km slack init --help` shows how."
  ],
  "KM-SLK-123": [
    2,
    "The secret cannot be read.",
    "Name a file that this user can read and that holds the secret alone."
  ],
  "KM-SLK-124": [
    1,
    "The bot is not in a channel that it works in.",
    "Invite it there (/invite), or `km slack adopt` with the channel's id."
  ],
  "KM-SLK-125": [
    1,
    "An invitation by Slack Connect is still open.",
    "The invited person accepts it from the mail; `km slack invite` sends it again, `km slack allow` admits somebody else."
  ],
  "KM-SLK-126": [
    1,
    "Messages could not be worked on and were put aside.",
    "`km status` with the sandbox names them; `km replay` runs one again."
  ],
  "KM-SLK-127": [
    1,
    "What the bot writes beside its messages cannot be read back.",
    "The app needs channels:history: put the manifest of `km slack manifest` into it and install it again."
  ],
  "KM-SLK-128": [
    5,
    "This install is not connected to a Slack workspace.",
    "`km slack init` connects it; the local workspace needs none of this."
  ],
  "KM-SLK-129": [
    1,
    "The bridge does not answer.",
    "`km up --detach` starts the install, `km logs --part bridge` shows why it ended."
  ],
  "KM-SLK-130": [
    7,
    "Slack has not asked the Events URL for its challenge yet.",
    "Paste the Events URL into the app's page (Event Subscriptions); `km slack status` shows when it was answered."
  ],
  "KM-SLK-131": [
    6,
    "Slack does not let this app invite by Slack Connect.",
    "It needs a paid plan and the right to invite; else invite the person as a guest and `km slack allow` them."
  ],
  "KM-SLK-132": [
    6,
    "Members may not create channels in this workspace.",
    "Have one created and the bot invited, then name it with --shared-channel."
  ],
  "KM-SLK-133": [
    1,
    "Slack refused.",
    "Follow the reason; docs.slack.dev/reference/methods explains Slack's own words; then `km slack status`."
  ],
  "KM-SLK-134": [
    3,
    "There is no such channel, or the bot cannot see it.",
    "Invite the bot into it (/invite), then repeat."
  ],
  "KM-SLK-135": [
    1,
    "A secret of Slack is missing in this install.",
    "`km slack init` stores it."
  ],
  "KM-SLK-136": [
    5,
    "The install is running with the workspace that it would leave.",
    "`km down`, then repeat."
  ],
  "KM-SLK-137": [
    7,
    "The connection to Slack was not open in time.",
    "`km slack status` says what is wrong with it; `km logs --part bridge` has its history."
  ],
  "KM-SLK-138": [
    3,
    "There is no such person in the workspace.",
    "Copy the member's id (U…) from their profile in Slack."
  ],
  "KM-SLK-139": [
    5,
    "With Socket Mode there is no signing secret.",
    "`km slack rotate-token --app` replaces the app-level token."
  ],
  "KM-SLK-140": [
    1,
    "An invitation by Slack Connect was declined.",
    "Ask the person or their admin, then `km slack invite` sends it again."
  ],
  "KM-SLK-141": [
    1,
    "An invitation by Slack Connect was accepted by somebody with another address.",
    "If they are who you mean, `km slack allow` admits them to a sandbox."
  ],
  "KM-SLK-142": [
    1,
    "An accepted invitation by Slack Connect is not complete.",
    "An admin of either workspace approves it in Slack; `km slack status` says when it is done."
  ],
  "KM-SLK-143": [
    1,
    "A channel that km works in was archived.",
    "A person unarchives it in Slack, since a bot cannot; then `km slack status`. A sandbox made anew gets a new one."
  ],
  "KM-SLK-144": [
    1,
    "The app is an agent, and Slack shows no Stop button in its threads.",
    "Give the app the manifest of `km slack manifest --agent` again: it subscribes to the button's event."
  ]
} as const satisfies Record<string, readonly [ExitCode, string, string]>

export type SlackCode = keyof typeof table

/** For `docs/errors.md`. */
export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> =
  Object.entries(table).map(([code, [, what, remedy]]) => ({ code, what, remedy }))

/** `next` defaults to the table's remedy. */
export const slackError = (code: SlackCode, what: string, why: string, next?: string): KmError =>
  new KmError({ code, exit: table[code][0], what, why, next: next ?? table[code][2] })

/** What is wrong and what to do, for a check that does not end the command. */
export const remedyOf = (code: SlackCode): string => table[code][2]
