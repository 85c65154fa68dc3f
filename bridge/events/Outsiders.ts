/**
 * People of other workspaces whom the profile itself invites (`notifySlackInviteEmails`) by Slack Connect. They may drive the
 * agent once Slack's approval is complete, their own address is the invited one and they are in the channel; whoever misses
 * one of these for good needs an operator's word.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { ChannelId, SenderId, UserId } from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { admissionOf, type Guest } from "../../runtime/domain/slack/Guest.ts"
import { changeGuest, guest, guests, judge, judgementOf } from "../../runtime/kernel/sandboxes/Guests.ts"
import { Audit } from "../../runtime/ports/Audit.ts"
import { Facts } from "../../runtime/ports/Facts.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"
import { EventRefused } from "../BridgeErrors.ts"
import { callAs, SlackApi } from "../slack/SlackApi.ts"
import type { SlackFailure } from "../slack/SlackErrors.ts"
import type { Incoming } from "./Incoming.ts"
import { Notes } from "./Notes.ts"

type Of<Tag extends Incoming["_tag"]> = Extract<Incoming, { readonly _tag: Tag }>

const Person = Schema.Struct({
  user: Schema.Struct({
    profile: Schema.optionalKey(Schema.Struct({ email: Schema.optionalKey(Schema.NullOr(Schema.String)) }))
  })
})
const Members = Schema.Struct({
  members: Schema.Array(Schema.String),
  response_metadata: Schema.optionalKey(Schema.Struct({ next_cursor: Schema.optionalKey(Schema.String) }))
})
/** Pages of 1,000 members that are read; a sandbox's channel has a handful. */
const maxPages = 5

const inviteesOf = (row: SandboxRow | undefined) => row?.profile.spec.cli.notifySlackInviteEmails ?? []
/** Of a channel that is no sandbox's, such as the shared one, the operator keeps what is known. */
const keeperOf = (row: SandboxRow | undefined): SenderId => row?.id ?? "operator"

const notStored = (error: StoreError) =>
  new EventRefused({ reason: "not_stored", detail: `${error.port}.${error.operation}: ${error.reason}` })

export class Outsiders extends Context.Service<Outsiders, {
  /**
   * Each gives what became of it, for the log. Repeated or out of order, the events come to the same. Without a row the
   * channel is no sandbox's: it is noted for `km slack status` and admits nobody.
   */
  readonly accepted: (row: SandboxRow | undefined, event: Of<"InviteAccepted">) => Effect.Effect<string, EventRefused>
  readonly judged: (row: SandboxRow | undefined, event: Of<"InviteJudged">) => Effect.Effect<string, EventRefused>
  readonly member: (row: SandboxRow, event: Of<"Member">) => Effect.Effect<string, EventRefused>
  /** Whether this person of another workspace may drive the agent. */
  readonly mayDrive: (row: SandboxRow, user: UserId) => Effect.Effect<boolean, StoreError>
}>()("km/bridge/events/Outsiders") {
  static readonly layer = Layer.effect(
    Outsiders,
    Effect.gen(function*() {
      const facts = yield* Facts
      const audit = yield* Audit
      const notes = yield* Notes
      const slack = yield* SlackApi
      const callPerson = callAs(slack, Person)
      const callMembers = callAs(slack, Members)
      const over = Effect.provideService(Facts, facts)

      const addressOf = (user: UserId) =>
        callPerson("users.info", { user }).pipe(
          Effect.map(({ user: { profile } }) => profile?.email ?? undefined),
          Effect.orElseSucceed(() => undefined)
        )

      const isMember = Effect.fnUntraced(function*(channel: ChannelId, user: UserId) {
        let cursor: string | undefined
        for (let page = 0; page < maxPages; page++) {
          const answer: typeof Members.Type = yield* callMembers("conversations.members", {
            channel,
            limit: 1_000,
            ...(cursor === undefined ? {} : { cursor })
          })
          if (answer.members.includes(user)) return true
          cursor = answer.response_metadata?.next_cursor
          if (cursor === undefined || cursor === "") break
        }
        return false
      }, (effect: Effect.Effect<boolean, SlackFailure>) => Effect.orElseSucceed(effect, () => false))

      /** The journal has an admission before it holds; where it cannot be written, Slack sends the event again. */
      const changed = Effect.fnUntraced(function*(
        row: SandboxRow | undefined,
        user: UserId,
        change: (was: Guest) => Guest
      ) {
        const was = yield* over(guest(keeperOf(row), user))
        const admits = (known: Guest) => admissionOf(known, inviteesOf(row)) === "admitted"
        if (row !== undefined && !admits(was) && admits(change(was))) {
          yield* audit.record({
            actor: "bridge",
            action: "slack.admit",
            subject: row.id,
            verdict: "allowed",
            detail: user
          })
        }
        return yield* over(changeGuest(keeperOf(row), user, change))
      }, Effect.mapError(notStored))

      /** Looks again at somebody of whom something has become known. */
      const look = Effect.fnUntraced(function*(row: SandboxRow, channel: ChannelId, user: UserId, known: Guest) {
        const waits = admissionOf(known, inviteesOf(row)) === "waits-for-member"
        const now = waits && (yield* isMember(channel, user))
          ? yield* changed(row, user, (was) => ({ ...was, member: true }))
          : known
        const admission = admissionOf(now, inviteesOf(row))
        if (admission === "other-address") {
          yield* notes.put(
            `guest/${channel}/${user}/${now.invite ?? ""}`,
            { channel },
            `🚪 <@${user}> came by an invitation that was sent to another address than Slack has for them, so they may ` +
              `not drive the agent. An operator may admit \`${user}\` to \`${row.id}\`: \`km slack --help\` says how.`
          )
        }
        yield* Effect.logInfo("a person of another workspace").pipe(
          Effect.annotateLogs({ sandbox: row.id, user, admission })
        )
        return admission
      })

      return Outsiders.of({
        accepted: Effect.fn("Outsiders.accepted")(function*(row, event) {
          const address = event.address ?? (yield* addressOf(event.user))
          const judgement = yield* Effect.mapError(over(judgementOf(keeperOf(row), event.invite)), notStored)
          const known = yield* changed(row, event.user, (was) => ({
            ...was,
            invite: event.invite,
            invited: event.invited,
            ...(address === undefined ? {} : { address }),
            approval: judgement === "declined"
              ? "declined"
              : judgement === "approved" || !event.approvalRequired ||
                  (was.invite === event.invite && was.approval === "complete")
              ? "complete"
              : "pending"
          }))
          return row === undefined ? "noted" : yield* look(row, event.channel, event.user, known)
        }),
        judged: Effect.fn("Outsiders.judged")(function*(row, event) {
          const { approved, channel, invite } = event
          yield* Effect.mapError(over(judge(keeperOf(row), invite, approved)), notStored)
          const known = yield* Effect.mapError(over(guests(keeperOf(row))), notStored)
          const person = known.find((one) => one.invite === invite)
          if (person === undefined) return "nobody has accepted it yet"
          const now = yield* changed(
            row,
            person.user,
            (was) =>
              was.invite === invite ? { ...was, approval: approved ? "complete" as const : "declined" as const } : was
          )
          return row === undefined ? "noted" : yield* look(row, channel, person.user, now)
        }),
        member: Effect.fn("Outsiders.member")(function*(row, { channel, present, user }) {
          const known = yield* Effect.mapError(over(guest(row.id, user)), notStored)
          if (known.invite === undefined) return "not an invited outsider"
          return yield* look(row, channel, user, yield* changed(row, user, (was) => ({ ...was, member: present })))
        }),
        mayDrive: (row, user) =>
          Effect.map(over(guest(row.id, user)), (known) => admissionOf(known, inviteesOf(row)) === "admitted")
      })
    })
  )
}
