/** Who of other workspaces was invited, and what became of it: a part of `km slack status`. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Install } from "../../runtime/domain/install/Install.ts"
import type { SenderId, UserId } from "../../runtime/domain/sandbox/Ids.ts"
import { admissionOf, type Guest, invitationState } from "../../runtime/domain/slack/Guest.ts"
import { guests, judgementOf } from "../../runtime/kernel/sandboxes/Guests.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { ok, type SlackCheck, warning, wrong } from "./Judgement.ts"

interface Known extends Guest {
  readonly user: UserId
}

/** An invitation that km sent, as a check. */
const invitation = (
  { channel, email, sentAt }: { readonly channel: string; readonly email: string; readonly sentAt: number },
  guest: Known | undefined,
  judgement: "approved" | "declined" | undefined,
  context: { readonly now: number; readonly alone: boolean }
): SlackCheck => {
  const name = `invitation ${email}`
  const again = `km slack invite ${email} --channel ${channel}`
  const state = invitationState({ email, sentAt }, guest, judgement, context.now)
  switch (state) {
    case "accepted":
      return ok(name, `accepted by ${guest?.user}`)
    case "declined":
      return wrong(name, "KM-SLK-140", "declined", again)
    case "other-address":
      return warning(
        name,
        "KM-SLK-141",
        `accepted by ${guest?.user}, for whom Slack has ${guest?.address ?? "no address"}`
      )
    case "waits-for-approval":
      return warning(name, "KM-SLK-142", `accepted by ${guest?.user}; an admin has still to approve it`)
    case "sent":
    case "expired":
      // What the bridge did not hear, the channel may show: somebody is in, and only one was invited.
      if (context.alone) return ok(name, `accepted: ${channel} is shared with another workspace`)
      return state === "expired"
        ? wrong(name, "KM-SLK-125", "it ended after 14 days", again)
        : warning(name, "KM-SLK-125", `sent ${new Date(sentAt).toISOString()}, not accepted yet`)
  }
}

/** Somebody in a sandbox's channel who may not drive its agent, or not yet. */
const waiting = (known: Known, label: string, invitees: ReadonlyArray<string>): ReadonlyArray<SlackCheck> => {
  const name = `guest ${known.user} of ${label}`
  const next = `km slack allow ${label} ${known.user}`
  switch (admissionOf(known, invitees)) {
    case "admitted":
      return [ok(name, known.confirmed ? "admitted by an operator" : "admitted: invited, approved and in the channel")]
    case "other-address":
      return [warning(name, "KM-SLK-141", `waits for you: Slack has ${known.address ?? "no address"} for them`, next)]
    case "declined":
      return [warning(name, "KM-SLK-140", "their invitation was declined", next)]
    case "waits-for-approval":
      return [warning(name, "KM-SLK-142", "an admin has still to approve their invitation", next)]
    case "waits-for-member":
      return [warning(name, "KM-SLK-142", "approved, and not in the channel yet", next)]
    case "not-invited":
      // Only who came by an invitation of ours: of anybody else nothing is waited for.
      return known.invite === undefined
        ? []
        : [warning(name, "KM-SLK-141", "waits for you: the profile does not invite their address", next)]
  }
}

/** `connected`: channels that Slack says are shared with another workspace; undefined where it was not asked. */
export const people = Effect.fn("Slack.people")(function*(
  install: Install,
  connected: ReadonlySet<string> | undefined
) {
  const now = yield* Clock.currentTimeMillis
  const rows = yield* Effect.flatMap(Sandboxes, (sandboxes) => sandboxes.list)
  const keepers: ReadonlyArray<SenderId> = ["operator", ...rows.map(({ id }) => id)]
  const known = yield* Effect.forEach(keepers, (keeper) => Effect.map(guests(keeper), (all) => ({ keeper, all })))
  const everybody = known.flatMap(({ all }) => all)
  const sent = install.slack?.invitations ?? []
  const checks: Array<SlackCheck> = []
  for (const one of sent) {
    const guest = one.id === "" ? undefined : everybody.find(({ invite }) => invite === one.id)
    const said = one.id === ""
      ? []
      : yield* Effect.forEach(keepers, (keeper) => judgementOf(keeper, one.id))
    const alone = connected?.has(one.channel) === true &&
      sent.filter(({ channel }) => channel === one.channel).length === 1
    checks.push(invitation(one, guest, said.find((verdict) => verdict !== undefined), { now, alone }))
  }
  for (const row of rows) {
    if (row.desired === "destroyed") continue
    const all = known.find(({ keeper }) => keeper === row.id)?.all ?? []
    const invitees = row.profile.spec.cli.notifySlackInviteEmails
    checks.push(...all.flatMap((one) => waiting(one, row.alias ?? row.id, invitees)))
  }
  return checks
})
