/** Which threads a sandbox listens to that answers only who mentions it: those in which somebody has. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type ChannelId, type MessageTs, slackTurnKey, type TeamId } from "../../domain/sandbox/Ids.ts"
import type { Seen } from "../../ports/Seen.ts"
import type { Threads } from "../../ports/Threads.ts"

/** The thread has a session, or its first message was taken as a turn and has none yet. */
export const isEngaged = Effect.fnUntraced(function*(
  { seen, threads }: { readonly seen: Seen["Service"]; readonly threads: Threads["Service"] },
  { channel, team, threadTs }: { readonly channel: ChannelId; readonly team: TeamId; readonly threadTs: MessageTs }
) {
  if (Option.isSome(yield* threads.get(channel, threadTs))) return true
  return Option.isSome(yield* seen.find([`turn:${slackTurnKey(team, channel, threadTs)}`]))
})
