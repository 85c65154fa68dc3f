/** What one Slack event can ask for. */
import type { ChannelId, MessageTs, TeamId, UserId } from "../../runtime/domain/sandbox/Ids.ts"
import type { TurnFile } from "../../runtime/domain/turn/Turn.ts"

/** A message that may start a turn. `text` is still in Slack's encoding. */
export interface IncomingMessage {
  readonly team: TeamId
  readonly channel: ChannelId
  readonly ts: MessageTs
  /** Present for a reply, also one that is shown in the channel. */
  readonly threadTs?: MessageTs
  readonly user: UserId
  /** The author's workspace where Slack says it. */
  readonly userTeam?: string
  readonly text: string
  readonly files: ReadonlyArray<TurnFile>
  /** It mentions our bot, or came as `app_mention`. */
  readonly mention: boolean
  /** False when Slack says that nobody from outside is in the channel. */
  readonly externalPossible: boolean
  /** Further keys under which the same gesture can arrive. */
  readonly gestures: ReadonlyArray<string>
}

export type Incoming =
  | { readonly _tag: "Ignored"; readonly why: string }
  | { readonly _tag: "Message"; readonly message: IncomingMessage }
  | {
    readonly _tag: "Edited"
    readonly team: TeamId
    readonly channel: ChannelId
    readonly ts: MessageTs
    readonly threadTs?: MessageTs
    readonly user: UserId
    readonly text: string
    readonly eventId: string
  }
  | {
    readonly _tag: "Deleted"
    readonly team: TeamId
    readonly channel: ChannelId
    readonly ts: MessageTs
    readonly threadTs?: MessageTs
    readonly user?: UserId
    readonly eventId: string
  }
  | {
    /** Somebody accepted an invitation of our bot's by Slack Connect. */
    readonly _tag: "InviteAccepted"
    readonly channel: ChannelId
    readonly invite: string
    readonly user: UserId
    /** The address our bot had invited. */
    readonly invited: string
    /** The accepting person's own, where Slack says it. */
    readonly address?: string
    /** An admin of either side has to approve first. */
    readonly approvalRequired: boolean
  }
  | {
    /** What became of such an invitation when somebody had to approve it. */
    readonly _tag: "InviteJudged"
    readonly channel: ChannelId
    readonly invite: string
    readonly approved: boolean
  }
  | {
    /** Somebody else than our bot came into a channel or left it. */
    readonly _tag: "Member"
    readonly channel: ChannelId
    readonly user: UserId
    readonly present: boolean
  }
  | {
    /** Our bot was invited into the channel, or the channel was taken up, perhaps again: it heard nothing in between. */
    readonly _tag: "Returned"
    readonly channel: ChannelId
  }
  | {
    /** Slack has given a channel another id, as when a private one is shared. */
    readonly _tag: "ChannelMoved"
    readonly from: ChannelId
    readonly to: ChannelId
  }
  | {
    /** Somebody else than our bot archived the channel. */
    readonly _tag: "Archived"
    readonly channel: ChannelId
    readonly by?: UserId
    readonly eventId: string
  }
  | {
    /** Slack's own Stop button of an agent's session. */
    readonly _tag: "SessionStopped"
    readonly channel: ChannelId
    readonly threadTs: MessageTs
    readonly by: UserId
    readonly eventId: string
  }
  | {
    readonly _tag: "StopMark"
    readonly team: TeamId
    readonly channel: ChannelId
    readonly ts: MessageTs
    readonly by: UserId
    readonly author?: string
    readonly eventId: string
  }
