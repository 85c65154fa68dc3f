/**
 * `km replay` in a sandbox without inbound chat: a parked turn of mail comes again by the sandbox's queue. Mail itself
 * does not: it is taken from the mailbox.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { TurnRequest } from "../../runtime/domain/turn/Turn.ts"
import type { ReceivedEntry, TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import type { Turns } from "../../runtime/ports/Turns.ts"
import { unending } from "../../runtime/ports/Unending.ts"

/** As for chat (docs/architecture.md). */
const visibility = Duration.seconds(120)
const renewEvery = Duration.seconds(30)
const pollWait = Duration.seconds(20)

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(TurnRequest))

/** Takes replays until it is interrupted. Until a replay is settled its message stays hidden. */
export const takeReplays = Effect.fnUntraced(function*(
  sandbox: SandboxId,
  { queue, turns }: { readonly queue: TurnQueue["Service"]; readonly turns: Turns["Service"] }
) {
  const drop = (receipt: string) =>
    queue.delete(sandbox, receipt).pipe(
      Effect.catch((error) => Effect.logInfo("delivery is left to expire", error.message))
    )

  const handle = Effect.fnUntraced(function*({ body, key, receipt }: ReceivedEntry) {
    const request = decode(body)
    if (Option.isNone(request)) {
      yield* Effect.logError("a replay does not decode and is taken out of the queue")
      return yield* drop(receipt)
    }
    const taken = yield* turns.submit(request.value, receipt)
    yield* Effect.logInfo("a turn is replayed").pipe(Effect.annotateLogs({ turn: key, taken }))
    if (taken === "settled") return yield* drop(receipt)
    const renewed = unending(
      "keeping a replay ended in a defect; it goes on",
      0,
      Effect.delay(queue.extend(sandbox, receipt, visibility), renewEvery)
    )
    // A receipt that ended comes again with the next delivery.
    yield* Effect.forkScoped(Effect.raceFirst(Effect.ignore(renewed), turns.settled(key)))
  })

  return yield* unending(
    "a replay ended in a defect; the others go on",
    "1 second",
    queue.receive(sandbox, { wait: pollWait, visibility }).pipe(
      Effect.flatMap((received) => Option.isSome(received) ? handle(received.value) : Effect.void),
      Effect.catch((error) =>
        Effect.andThen(Effect.logWarning("replays cannot be taken now", error.message), Effect.sleep(visibility))
      )
    )
  )
})
