/**
 * Which Slack app and workspace this install belongs to. Told by its configuration, or pinned for good from the first
 * valid event: a second app that shares the signing secret by mistake is refused.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { TeamId } from "../../runtime/domain/sandbox/Ids.ts"
import { Idempotency } from "../../runtime/ports/Idempotency.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"
import { EventRefused } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"

/** Ten years: a pin does not age. */
const pinMillis = 10 * 365 * 24 * 3_600_000
/** A bridge that dies while pinning lets the next one pin after this. */
const pinLeaseMillis = 1_000

const notStored = (error: StoreError) =>
  new EventRefused({ reason: "not_stored", detail: `${error.port}.${error.operation}: ${error.reason}` })

const foreign = (detail: string) => new EventRefused({ reason: "foreign", detail })

export class Installation extends Context.Service<Installation, {
  readonly check: (team: TeamId, appId: string | undefined) => Effect.Effect<void, EventRefused>
}>()("km/bridge/events/Installation") {
  static readonly layer = Layer.effect(
    Installation,
    Effect.gen(function*() {
      const settings = yield* BridgeSettings
      const idempotency = yield* Idempotency
      let pin = settings.team !== undefined && settings.appId !== undefined
        ? `${settings.team}/${settings.appId}`
        : undefined

      const pinned = Effect.fnUntraced(function*(wanted: string) {
        if (pin !== undefined) return pin
        const scope = `${settings.install}/bridge`
        const begun = yield* idempotency.begin(scope, "installation", "", pinLeaseMillis)
        if (begun._tag === "Done") pin = begun.result
        else if (begun._tag !== "Pending") {
          yield* idempotency.complete(scope, "installation", begun.token, wanted, pinMillis)
          pin = wanted
        }
        // While another request pins, this one is judged by what is configured alone.
        return pin ?? wanted
      })

      const check = Effect.fnUntraced(function*(team: TeamId, appId: string | undefined) {
        if (settings.team !== undefined && settings.team !== team) return yield* foreign(`workspace ${team}`)
        if (settings.appId !== undefined && settings.appId !== appId) return yield* foreign(`app ${appId ?? "unknown"}`)
        if (appId === undefined) return yield* foreign("no app id")
        const wanted = `${team}/${appId}`
        const held = pin ?? (yield* Effect.mapError(pinned(wanted), notStored))
        if (held !== wanted) return yield* foreign(wanted)
      })
      return Installation.of({ check })
    })
  )
}
