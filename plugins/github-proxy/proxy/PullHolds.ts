/**
 * One request at a time merges a pull request or moves one of its ends, over the install: a base that was changed between
 * the look and the merge would let in by one sandbox's rules what another one's refuse. The bridge keeps the turns.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import type { HeldPull } from "../../../runtime/domain/github/GitHubPolicy.ts"
import { pullHoldMillis } from "../../../runtime/domain/slack/BridgeProtocol.ts"
import type { Bridge, BridgeRefused } from "../../../runtime/ports/Bridge.ts"

/** A turn is waited for so long; who asks later asks again. */
export const holdWaitMillis = 20_000

/** Between two looks whether it is our turn. */
const lookMillis = 500

/** Everything under a hold is over by then, so that no request of ours is on its way when another one's turn comes. */
const workMillis = pullHoldMillis - 20_000

/** What was cut off may reach GitHub, or be done there, for so long. */
const restMillis = 15_000

/** There was no turn: nothing was sent. */
export class PullNotHeld extends Data.TaggedError("PullNotHeld")<{
  readonly detail: string
  readonly retryAfterMillis: number
}> {
  override get message(): string {
    return this.detail
  }
}

export interface PullHolds {
  /**
   * Does the work in its turn. It says whether it knows what came of what it sent; where it does not, or is interrupted, the
   * next turn comes later.
   */
  readonly during: <E>(
    pull: HeldPull,
    work: Effect.Effect<"known" | "unknown", E>
  ) => Effect.Effect<void, E | PullNotHeld>
}

const named = ({ number, repository: { name, owner } }: HeldPull): string => `${owner}/${name}#${number}`

const notAsked = (pull: HeldPull, { code }: BridgeRefused): PullNotHeld =>
  new PullNotHeld({
    detail: code === "forbidden"
      ? `this sandbox may no longer write to ${pull.repository.owner}/${pull.repository.name}`
      : `whether ${named(pull)} is being changed elsewhere cannot be found out: the bridge does not answer; try again`,
    retryAfterMillis: 10_000
  })

export const pullHolds = (
  bridge: Bridge["Service"],
  { host, now, sandbox }: { readonly host: string; readonly sandbox: string; readonly now: () => number }
): PullHolds => {
  const bodyOf = ({ number, repository }: HeldPull) => ({ host, repository: repository.id, pull: number })

  const ask = (pull: HeldPull) =>
    bridge.call({
      key: `pull.hold/${sandbox}/${randomUUID()}`,
      action: { action: "pull.hold", ...bodyOf(pull) },
      patience: "besteffort"
    }).pipe(
      Effect.map(({ hold }) => hold),
      Effect.catch((error) => error.code === "in_progress" ? Effect.undefined : Effect.fail(notAsked(pull, error)))
    )

  const take = Effect.fnUntraced(function*(pull: HeldPull) {
    const until = now() + holdWaitMillis
    while (true) {
      // Measured from before it begins: ours is over first, whatever the way took.
      const begun = now()
      const token = yield* ask(pull)
      if (token !== undefined) return { token, begun }
      if (now() >= until) {
        return yield* new PullNotHeld({
          detail: `${named(pull)} is being merged or changed by another request of this install; try again`,
          retryAfterMillis: 5_000
        })
      }
      yield* Effect.sleep(lookMillis)
    }
  })

  const release = (pull: HeldPull, token: string, rest: number) =>
    bridge.call({
      key: `pull.release/${sandbox}/${token}`,
      action: { action: "pull.release", ...bodyOf(pull), token, restMillis: rest },
      patience: "besteffort"
    }).pipe(
      // It ends by itself.
      Effect.catch((error) => Effect.logWarning(`${named(pull)} is held for two more minutes`, error.message)),
      Effect.asVoid
    )

  return {
    during: (pull, work) => {
      const inTime = (begun: number) =>
        Effect.timeoutOrElse(work, {
          duration: Math.max(0, begun + workMillis - now()),
          orElse: () =>
            new PullNotHeld({
              detail: `GitHub took too long over ${named(pull)}; look what came of it`,
              retryAfterMillis: restMillis
            })
        })
      return Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore(take(pull)), ({ begun, token }) =>
          restore(inTime(begun)).pipe(
            Effect.onExit((exit) =>
              release(pull, token, exit._tag === "Success" && exit.value === "known" ? 0 : restMillis)
            ),
            Effect.asVoid
          ))
      )
    }
  }
}
