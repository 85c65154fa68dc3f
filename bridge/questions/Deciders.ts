/** Who may decide about what an agent asks: the people who may drive it, and the operators of the install. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { TeamId, UserId } from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { EventRefused } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { Outsiders } from "../events/Outsiders.ts"
import { BotIdentity } from "../slack/BotIdentity.ts"

/** A name is waited for no longer than this; the id stands in for one that comes later. */
const nameMillis = 250

export interface Standing {
  /** As shown to others; untrusted words. */
  readonly name: string
  readonly mayDrive: boolean
  readonly isOperator: boolean
}

export class Deciders extends Context.Service<Deciders, {
  /** `userTeam` is the clicker's workspace where Slack says it; where it does not, Slack is asked, or nobody is let in. */
  readonly standing: (
    row: SandboxRow,
    who: { readonly user: UserId; readonly userTeam: string | undefined; readonly team: TeamId }
  ) => Effect.Effect<Standing, EventRefused>
}>()("km/bridge/questions/Deciders") {
  static readonly layer = Layer.effect(
    Deciders,
    Effect.gen(function*() {
      const identity = yield* BotIdentity
      const outsiders = yield* Outsiders
      const settings = yield* BridgeSettings

      const teamOf = (user: UserId) =>
        Effect.mapError(
          Effect.map(identity.person(user), ({ team }) => team),
          (failure) => new EventRefused({ reason: "not_stored", detail: `whose workspace it is: ${failure.error}` })
        )

      const mayDrive = Effect.fnUntraced(
        function*(row: SandboxRow, user: UserId, userTeam: string | undefined, team: TeamId) {
          if (row.profile.spec.cli.notifySlackInboundAllow.some((one) => one.toUpperCase() === user)) return true
          if ((userTeam ?? (yield* teamOf(user))) === team) return true
          return yield* Effect.mapError(
            outsiders.mayDrive(row, user),
            (error) => new EventRefused({ reason: "not_stored", detail: `${error.port}.${error.operation}` })
          )
        }
      )

      return Deciders.of({
        standing: Effect.fn("Deciders.standing")(function*(row, { team, user, userTeam }) {
          const isOperator = settings.operators.has(user)
          yield* identity.learn([user], nameMillis)
          return {
            name: identity.knownName(user) ?? user,
            isOperator,
            mayDrive: isOperator || (yield* mayDrive(row, user, userTeam, team))
          }
        })
      })
    })
  )
}
