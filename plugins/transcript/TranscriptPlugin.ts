/** Shows every turn live in its thread and attaches the session: turns of the pipeline and sessions a person started. */
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Schema from "effect/Schema"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import { HookEvents } from "../../runtime/ports/HookEvents.ts"
import { Ledger } from "../../runtime/ports/Ledger.ts"
import { Objects } from "../../runtime/ports/Objects.ts"
import type { Plugin } from "../../runtime/ports/Plugin.ts"
import { PluginError, PluginId } from "../../runtime/ports/Plugin.ts"
import { Redaction } from "../../runtime/ports/Redaction.ts"
import { SandboxInfo } from "../../runtime/ports/SandboxInfo.ts"
import { Sessions } from "../../runtime/ports/Sessions.ts"
import { unending } from "../../runtime/ports/Unending.ts"
import { makeDispatchedTurns } from "./DispatchedTurns.ts"
import { errorCodes } from "./ErrorCodes.ts"
import { makeInteractiveSessions } from "./InteractiveSessions.ts"
import { makeSessionThreads } from "./SessionThreads.ts"
import { makeSessionUpload } from "./SessionUpload.ts"
import { makeUploadQueue } from "./UploadQueue.ts"

export const TranscriptConfig = Schema.Struct({
  /** Post a line when an interactive session asks for permission. */
  notifyOnPermission: Schema.Boolean
})
export type TranscriptConfig = typeof TranscriptConfig.Type

export type TranscriptPorts = Bridge | HookEvents | Ledger | Objects | Redaction | SandboxInfo | Sessions

const id = PluginId.make("transcript")
const sentence = (code: string): string => {
  const found = errorCodes.find((error) => error.code === code)
  return `${code}: ${found?.what ?? ""}; ${found?.remedy ?? ""}`
}

export const TranscriptPlugin: Plugin<TranscriptConfig, TranscriptPorts> = {
  id,
  after: [],
  essential: false,
  enabled: ({ spec: { cli } }) => cli.notifySlackEnabled && cli.notifySlackTranscriptEnabled,
  config: TranscriptConfig,
  configure: ({ spec: { cli } }) => ({ notifyOnPermission: cli.notifyOnPermission }),
  start: Effect.fn("TranscriptPlugin.start")(function*(config) {
    const bridge = yield* Bridge
    const hooks = yield* HookEvents
    const info = yield* SandboxInfo
    const ledger = yield* Ledger
    const objects = yield* Objects
    const redaction = yield* Redaction
    const sessions = yield* Sessions
    const { channel } = info
    if (channel === undefined) {
      return yield* new PluginError({
        plugin: id,
        operation: "start",
        reason: "BadConfig",
        detail: sentence("KM-AGT-092")
      })
    }

    const threadOf = yield* makeSessionThreads({ bridge, ledger, channel })
    const upload = yield* makeSessionUpload({ bridge, ledger, objects, redaction, sandbox: info.id, sessions })
    const { due } = yield* makeUploadQueue({ ledger, upload, threadOf })
    const subscription = yield* hooks.subscribe
    /** The hooks are told by another fiber; a few turns of the loop are enough for what has arrived. */
    const drained = Effect.gen(function*() {
      for (let turn = 0; turn < 1_000 && (yield* PubSub.remaining(subscription)) > 0; turn++) yield* Effect.yieldNow
    })
    const dispatched = yield* makeDispatchedTurns({
      bridge,
      ledger,
      redaction,
      channel,
      sessions,
      threadOf,
      drained,
      due
    })
    const interactive = yield* makeInteractiveSessions({
      bridge,
      redaction,
      channel,
      label: info.label,
      sessions,
      notifyOnPermission: config.notifyOnPermission,
      threadOf,
      due
    })

    yield* Effect.forkScoped(unending(
      "a hook event could not be shown",
      0,
      Effect.flatMap(
        PubSub.take(subscription),
        (received) => received.dispatched ? Effect.sync(() => dispatched.hook(received)) : interactive.hook(received)
      )
    ))

    return {
      observers: [dispatched.observer],
      detail: Effect.sync(() =>
        dispatched.hooksAreOff()
          ? sentence("KM-AGT-093")
          : `${dispatched.live()} turns live, ${interactive.live()} interactive sessions`
      )
    }
  })
}
