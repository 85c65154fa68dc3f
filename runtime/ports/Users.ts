/** Slack user id → name, through the bridge, cached for an hour. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { UserId } from "../domain/Ids.ts"

export class Users extends Context.Service<Users, {
  /** The id itself where the name cannot be had. Untrusted text. */
  readonly name: (user: UserId) => Effect.Effect<string>
}>()("km/runtime/ports/Users") {}
