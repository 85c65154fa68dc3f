/**
 * Who of other workspaces may drive a sandbox's agent, beside those that its profile names: kept as facts, changed in one
 * step. Who was invited into a channel of no sandbox is kept as the operator's, and drives nothing.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type SandboxId, type SenderId, UserId } from "../../domain/sandbox/Ids.ts"
import { Guest, unknownGuest } from "../../domain/slack/Guest.ts"
import { Audit } from "../../ports/Audit.ts"
import { changeFact, Facts } from "../../ports/Facts.ts"

const prefix = "guest/"
const GuestJson = Schema.fromJsonString(Guest)
const decodeGuest = Schema.decodeUnknownOption(GuestJson)
const encodeGuest = Schema.encodeSync(GuestJson)
const decodeUser = Schema.decodeUnknownOption(UserId)

/** A fact that cannot be read says nothing for anybody. */
const guestOf = (value: string | undefined): Guest =>
  value === undefined ? unknownGuest : Option.getOrElse(decodeGuest(value), () => unknownGuest)

/** What is known of somebody. */
export const guest = Effect.fn("Guests.get")(function*(sandbox: SenderId, user: UserId) {
  return guestOf(Option.getOrUndefined(yield* (yield* Facts).get(sandbox, `${prefix}${user}`)))
})

/** Everybody of whom something is known. */
export const guests = Effect.fn("Guests.list")(function*(sandbox: SenderId) {
  const facts = yield* (yield* Facts).list(prefix, sandbox)
  return facts.flatMap(({ key, value }) => {
    const user = Option.getOrUndefined(decodeUser(key.slice(prefix.length)))
    return user === undefined ? [] : [{ user, ...guestOf(value) }]
  })
})

/** Changes what is known of somebody; `undefined` leaves it. Gives what is known then. */
export const changeGuest = Effect.fn("Guests.change")(function*(
  sandbox: SenderId,
  user: UserId,
  change: (was: Guest) => Guest | undefined
) {
  const facts = yield* Facts
  yield* changeFact(facts, sandbox, `${prefix}${user}`, (was) => {
    const changed = change(guestOf(was))
    return changed === undefined ? undefined : encodeGuest(changed)
  })
  return yield* guest(sandbox, user)
})

const judgement = (invite: string): string => `invite/${invite}`

/** What an admin of either side said of an invitation of ours; undefined while nobody did. */
export const judgementOf = Effect.fn("Guests.judgement")(function*(sandbox: SenderId, invite: string) {
  const said = Option.getOrUndefined(yield* (yield* Facts).get(sandbox, judgement(invite)))
  return said === "approved" || said === "declined" ? said : undefined
})
export const judge = Effect.fn("Guests.judge")(function*(sandbox: SenderId, invite: string, approved: boolean) {
  yield* (yield* Facts).put(sandbox, judgement(invite), approved ? "approved" : "declined")
})

/** Nobody is known any more: the sandbox's channel is gone. */
export const forgetGuests = Effect.fn("Guests.forget")(function*(sandbox: SandboxId) {
  const facts = yield* Facts
  for (const { key } of yield* facts.list(prefix, sandbox)) yield* facts.remove(sandbox, key)
})

/**
 * An operator vouches for somebody, or takes it back. In the journal before it holds: what cannot be written down there is
 * not granted.
 */
const confirm = (confirmed: boolean) =>
  Effect.fn("Guests.confirm")(function*(sandbox: SandboxId, user: UserId) {
    const audit = yield* Audit
    const act = {
      actor: "operator",
      action: confirmed ? "slack.allow" : "slack.disallow",
      subject: sandbox,
      detail: user
    }
    yield* audit.record({ ...act, verdict: "allowed" })
    return yield* changeGuest(sandbox, user, (was) => ({ ...was, confirmed }))
  })

/** From now on the person may drive this sandbox's agent, whatever Slack knows of an invitation. */
export const allow = confirm(true)
/** What an operator said of the person counts no more; an invitation that was approved still does. */
export const disallow = confirm(false)
