/**
 * A person of another workspace in a sandbox's channel, by Slack Connect: what is known of how they came in, and whether
 * they may drive the agent. That an invitation was accepted admits nobody: Slack may still have to approve it, and whoever
 * holds the link may accept it (docs.slack.dev/apis/slack-connect/using-slack-connect-api-methods).
 */
import * as Schema from "effect/Schema"
import { asciiLowerCase } from "../text/Ascii.ts"

/** Slack's id of an invitation. */
export const InviteId = Schema.String.check(Schema.isPattern(/^[A-Z0-9]{2,40}$/))
const Address = Schema.String.check(Schema.isMaxLength(320))

export const Guest = Schema.Struct({
  /** The invitation of ours by which they came, and the address it was sent to. */
  invite: Schema.optionalKey(InviteId),
  invited: Schema.optionalKey(Address),
  /** Their own address, as Slack has it. */
  address: Schema.optionalKey(Address),
  /** `pending` while an admin of either side has to approve. */
  approval: Schema.Literals(["none", "pending", "complete", "declined"]),
  /** Seen in the channel. */
  member: Schema.Boolean,
  /** An operator has vouched for them, whatever Slack knows. */
  confirmed: Schema.Boolean
})
export type Guest = typeof Guest.Type

export const unknownGuest: Guest = { approval: "none", member: false, confirmed: false }

/** Why somebody may not drive the agent yet: Slack will say more, or only an operator can. */
export type Admission =
  | "admitted"
  | "not-invited"
  | "waits-for-approval"
  | "waits-for-member"
  | "other-address"
  | "declined"

/** `invitees` are the addresses that the profile invites. */
export const admissionOf = (guest: Guest, invitees: ReadonlyArray<string>): Admission => {
  if (guest.confirmed) return "admitted"
  const invited = guest.invited === undefined ? undefined : asciiLowerCase(guest.invited)
  if (invited === undefined || !invitees.some((email) => asciiLowerCase(email) === invited)) return "not-invited"
  if (guest.approval === "declined") return "declined"
  if (guest.address === undefined || asciiLowerCase(guest.address) !== invited) return "other-address"
  if (guest.approval !== "complete") return "waits-for-approval"
  return guest.member ? "admitted" : "waits-for-member"
}

/** What became of an invitation by Slack Connect. */
export type InvitationState = "sent" | "expired" | "waits-for-approval" | "other-address" | "declined" | "accepted"

/** Source: docs.slack.dev/reference/methods/conversations.inviteShared ("valid for 14 days"). */
export const invitationMillis = 14 * 24 * 3_600_000

/** `guest` came by this invitation, if anybody did; `judgement` is an admin's. Times in Unix milliseconds. */
export const invitationState = (
  { email, sentAt }: { readonly email: string; readonly sentAt: number },
  guest: Guest | undefined,
  judgement: "approved" | "declined" | undefined,
  now: number
): InvitationState => {
  if (judgement === "declined" || guest?.approval === "declined") return "declined"
  if (guest === undefined) return now - sentAt > invitationMillis ? "expired" : "sent"
  if (guest.address === undefined || asciiLowerCase(guest.address) !== asciiLowerCase(email)) return "other-address"
  return guest.approval === "complete" ? "accepted" : "waits-for-approval"
}
