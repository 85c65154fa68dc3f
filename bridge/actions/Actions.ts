/** Which rule and which part of the bridge each action of the protocol belongs to. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { BridgeAction, BridgeResult } from "../../runtime/domain/slack/BridgeProtocol.ts"
import type { BridgeRefusal } from "../BridgeErrors.ts"
import { Heard } from "../events/Heard.ts"
import type { Caller } from "./Authenticator.ts"
import { Channels } from "./Channels.ts"
import { LiveMessages } from "./LiveMessages.ts"
import { Lookups } from "./Lookups.ts"
import { Messages } from "./Messages.ts"
import { Ownership } from "./Ownership.ts"
import { PullHolds } from "./PullHolds.ts"
import { SelfTest } from "./SelfTest.ts"
import { TokenRequests } from "./TokenRequests.ts"
import { Uploads } from "./Uploads.ts"

export class Actions extends Context.Service<Actions, {
  /** The ownership rules; nothing has been done or stored before. */
  readonly permit: (caller: Caller, action: BridgeAction) => Effect.Effect<void, BridgeRefusal>
  readonly act: (
    caller: Caller,
    action: BridgeAction,
    uncertainSince: number | undefined
  ) => Effect.Effect<BridgeResult, BridgeRefusal>
}>()("km/bridge/actions/Actions") {
  static readonly layer = Layer.effect(
    Actions,
    Effect.gen(function*() {
      const ownership = yield* Ownership
      const messages = yield* Messages
      const lives = yield* LiveMessages
      const uploads = yield* Uploads
      const lookups = yield* Lookups
      const channels = yield* Channels
      const tokens = yield* TokenRequests
      const pulls = yield* PullHolds
      const selfTest = yield* SelfTest
      const heard = yield* Heard

      /** The action where Slack has its channel now: a turn that began before goes on. */
      const inPresentChannel = ({ sender }: Caller, action: BridgeAction): Effect.Effect<BridgeAction, BridgeRefusal> =>
        "channel" in action && action.channel !== undefined
          ? Effect.map(ownership.present(sender, action.channel), (channel) => ({ ...action, channel }))
          : Effect.succeed(action)

      const permitHere = ({ sender }: Caller, action: BridgeAction): Effect.Effect<void, BridgeRefusal> => {
        switch (action.action) {
          case "post":
          case "live.set":
          case "upload":
            return ownership.thread(sender, action.channel, action.threadTs)
          case "thread.put":
            return ownership.thread(sender, action.channel, action.threadTs)
          case "update":
            return ownership.message(sender, action.channel, action.ts)
          case "react":
          case "unreact":
          case "permalink":
            return ownership.thread(sender, action.channel, action.ts)
          case "thread.lookup":
          case "user.lookup":
          case "activity":
          case "repository.refresh":
          case "pull.hold":
          case "pull.release":
          case "channel.ensure":
          case "archive":
          case "test":
          case "state":
          case "purge":
            return Effect.void
        }
      }

      const actHere = (
        caller: Caller,
        action: BridgeAction,
        uncertainSince: number | undefined
      ): Effect.Effect<BridgeResult, BridgeRefusal> => {
        switch (action.action) {
          case "post":
            return messages.post(caller, action, uncertainSince)
          case "update":
            return messages.update(action)
          case "react":
          case "unreact":
            return messages.mark(action)
          case "live.set":
            return lives.set(caller, action)
          case "upload":
            return uploads.upload(caller, action, uncertainSince)
          case "permalink":
            return lookups.permalink(action)
          case "thread.put":
            return lookups.threadPut(caller, action)
          case "thread.lookup":
            return lookups.threadLookup(caller, action)
          case "user.lookup":
            return lookups.user(action)
          case "activity":
            return lookups.activity(caller, action)
          case "repository.refresh":
            return tokens.refresh(caller)
          case "pull.hold":
            return pulls.hold(caller, action)
          case "pull.release":
            return pulls.release(caller, action)
          case "channel.ensure":
            return channels.ensure(action, uncertainSince)
          case "archive":
            return channels.archive(action)
          case "purge":
            return channels.purge(action)
          case "test":
            return selfTest.run(action)
          case "state":
            return Effect.map(heard.state, (state) => ({ ok: true as const, heard: state }))
        }
      }
      return Actions.of({
        permit: (caller, action) =>
          Effect.flatMap(inPresentChannel(caller, action), (present) => permitHere(caller, present)),
        act: (caller, action, uncertainSince) =>
          Effect.flatMap(inPresentChannel(caller, action), (present) => actHere(caller, present, uncertainSince))
      })
    })
  )
}
