/**
 * People of other workspaces whom the profile itself invites (`notifySlackInviteEmails`) by Slack Connect: once Slack
 * says that the invitation to that address was accepted, and by whom, that person may drive the agent.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { asciiLowerCase } from "../../runtime/domain/text/Ascii.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { EventRefused } from "../BridgeErrors.ts"
import { Acceptance } from "./Acceptance.ts"
import type { Incoming } from "./classifyEvent.ts"

export class Outsiders extends Context.Service<Outsiders, {
  /** Adds the person to the sandbox's own allow-list, where `km status` shows it. Idempotent. */
  readonly joined: (
    event: Extract<Incoming, { readonly _tag: "Joined" }>
  ) => Effect.Effect<string, EventRefused>
}>()("km/bridge/events/Outsiders") {
  static readonly layer = Layer.effect(
    Outsiders,
    Effect.gen(function*() {
      const acceptance = yield* Acceptance
      const sandboxes = yield* Sandboxes
      return Outsiders.of({
        joined: Effect.fn("Outsiders.joined")(function*(event) {
          const found = yield* acceptance.sandboxOf(event.channel)
          if (Option.isNone(found)) return "no sandbox"
          const { id, profile } = found.value
          const { cli } = profile.spec
          const invited = cli.notifySlackInviteEmails.some((email) =>
            asciiLowerCase(email) === asciiLowerCase(event.email)
          )
          if (!invited) return "not invited by the profile"
          if (cli.notifySlackInboundAllow.includes(event.user)) return "known"
          const allow = [...cli.notifySlackInboundAllow, event.user]
          const changed = { ...profile, spec: { ...profile.spec, cli: { ...cli, notifySlackInboundAllow: allow } } }
          yield* Effect.mapError(
            sandboxes.update(id, { profile: changed }),
            (error) =>
              new EventRefused({ reason: "not_stored", detail: `${error.port}.${error.operation}: ${error.reason}` })
          )
          yield* Effect.logInfo("an invited outsider may drive the agent").pipe(
            Effect.annotateLogs({ sandbox: id, user: event.user })
          )
          return "allowed"
        })
      })
    })
  )
}
