/** Where a sender may act: its own channel, what it posted itself; operators anywhere. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { ChannelId, MessageTs, SandboxId, SenderId } from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { Posts } from "../../runtime/ports/Posts.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"

const forbidden = (detail: string) => new BridgeRefusal({ code: "forbidden", detail })

export class Ownership extends Context.Service<Ownership, {
  /** The id that Slack has now for a channel that the sender may still know by an earlier one. */
  readonly present: (sender: SenderId, channel: ChannelId) => Effect.Effect<ChannelId, BridgeRefusal>
  readonly rowOf: (sender: SandboxId) => Effect.Effect<SandboxRow, BridgeRefusal>
  /** The channel is the sender's own. */
  readonly channel: (sender: SenderId, channel: ChannelId) => Effect.Effect<void, BridgeRefusal>
  /** The channel is the sender's own; where it is shared, the thread was also started by the sender. */
  readonly thread: (
    sender: SenderId,
    channel: ChannelId,
    threadTs: MessageTs | undefined
  ) => Effect.Effect<void, BridgeRefusal>
  /** The sender posted this very message. */
  readonly message: (sender: SenderId, channel: ChannelId, ts: MessageTs) => Effect.Effect<void, BridgeRefusal>
}>()("km/bridge/actions/Ownership") {
  static readonly layer = Layer.effect(
    Ownership,
    Effect.gen(function*() {
      const sandboxes = yield* Sandboxes
      const posts = yield* Posts

      const rowOf = Effect.fnUntraced(function*(sender: SandboxId) {
        const row = yield* Effect.mapError(sandboxes.get(sender), refusalOfStore)
        return Option.isSome(row) ? row.value : yield* forbidden(`there is no sandbox ${sender}`)
      })
      const own = Effect.fnUntraced(function*(sender: SandboxId, channel: ChannelId) {
        const row = yield* rowOf(sender)
        if (row.channel !== channel) return yield* forbidden(`${channel} is not the channel of ${sender}`)
        return row
      })
      const present = Effect.fnUntraced(function*(sender: SenderId, channel: ChannelId) {
        if (sender === "operator") return channel
        const row = yield* Effect.mapError(sandboxes.get(sender), refusalOfStore)
        if (Option.isNone(row) || row.value.channel === undefined) return channel
        return row.value.formerChannels?.includes(channel) === true ? row.value.channel : channel
      })
      const posted = Effect.fnUntraced(function*(sender: SenderId, channel: ChannelId, ts: MessageTs) {
        const former = sender === "operator" ? [] : (yield* rowOf(sender)).formerChannels ?? []
        for (const id of [channel, ...former]) {
          const owner = yield* Effect.mapError(posts.owner(id, ts), refusalOfStore)
          if (Option.isSome(owner)) return owner.value === sender
        }
        return false
      })
      return Ownership.of({
        present,
        rowOf,
        channel: (sender, channel) => sender === "operator" ? Effect.void : Effect.asVoid(own(sender, channel)),
        thread: Effect.fnUntraced(function*(sender, channel, threadTs) {
          if (sender === "operator") return
          const row = yield* own(sender, channel)
          if ((row.channelMode ?? "perSandbox") === "perSandbox" || threadTs === undefined) return
          if (!(yield* posted(sender, channel, threadTs))) {
            return yield* forbidden(`in a shared channel ${sender} acts only in threads it started`)
          }
        }),
        message: Effect.fnUntraced(function*(sender, channel, ts) {
          if (sender === "operator") return
          yield* own(sender, channel)
          if (!(yield* posted(sender, channel, ts))) return yield* forbidden(`${sender} did not post ${ts}`)
        })
      })
    })
  )
}
