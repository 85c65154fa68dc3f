/** Port `Users` through the bridge: a sandbox knows people by name without knowing a token. */
import * as Cache from "effect/Cache"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { UserId } from "../../domain/Ids.ts"
import { Bridge } from "../../ports/Bridge.ts"
import { SandboxInfo } from "../../ports/SandboxInfo.ts"
import { Users } from "../../ports/Users.ts"

/** Names are asked for again after an hour. */
const keepFor = "1 hour"
/** More people than this are not remembered at once. */
const capacity = 1_000

export const layer: Layer.Layer<Users, never, Bridge | SandboxInfo> = Layer.effect(
  Users,
  Effect.gen(function*() {
    const bridge = yield* Bridge
    const info = yield* SandboxInfo
    const names = yield* Cache.make({
      capacity,
      timeToLive: keepFor,
      lookup: Effect.fnUntraced(function*(user: UserId) {
        const now = yield* Clock.currentTimeMillis
        const found = yield* bridge.call({
          key: `${info.id}/user/${user}/${now}`,
          patience: "besteffort",
          action: { action: "user.lookup", user }
        })
        return found.user?.name ?? user
      })
    })
    return Users.of({
      // A failure is not remembered: the next one who asks may have more luck.
      name: (user) => Cache.get(names, user).pipe(Effect.catch(() => Effect.as(Cache.invalidate(names, user), user)))
    })
  })
)
