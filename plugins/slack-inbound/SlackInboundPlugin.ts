/** Chat into the sandbox: receives what the bridge has queued, runs it as turns, and settles them in their threads. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import { Controls } from "../../runtime/ports/Controls.ts"
import { Ledger } from "../../runtime/ports/Ledger.ts"
import type { Plugin } from "../../runtime/ports/Plugin.ts"
import { PluginError, PluginId } from "../../runtime/ports/Plugin.ts"
import { Redaction } from "../../runtime/ports/Redaction.ts"
import { RuntimeStatus } from "../../runtime/ports/RuntimeStatus.ts"
import { SandboxInfo } from "../../runtime/ports/SandboxInfo.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { TurnRecords } from "../../runtime/ports/TurnRecords.ts"
import { Turns } from "../../runtime/ports/Turns.ts"
import { unending } from "../../runtime/ports/Unending.ts"
import { joinBurst } from "./Bursts.ts"
import { makeOwedMarks } from "./OwedMarks.ts"
import { runReceiveLoop } from "./ReceiveLoop.ts"
import { makeSlackOrigin } from "./SlackOrigin.ts"
import { makeStopRequests } from "./StopRequests.ts"

/** Nothing to set: the limit of concurrent threads is the pipeline's. */
export const SlackInboundConfig = Schema.Struct({})
export type SlackInboundConfig = typeof SlackInboundConfig.Type

/** The ports that the plugin needs. */
export type SlackInboundPorts =
  | Bridge
  | Controls
  | Ledger
  | Redaction
  | RuntimeStatus
  | SandboxInfo
  | TurnQueue
  | TurnRecords
  | Turns

const id = PluginId.make("slack-inbound")

/** How often the pipeline's health is looked at for the notice about a full disk. */
const healthEvery = "10 seconds"

/**
 * How often what Slack did not take is tried, besides at the start and at the channel's next message: so soon is it there
 * after the bot was invited again. One call for each closed channel, and none while nothing is owed.
 */
const owedEvery = "30 seconds"

/** At most one notice for a spell of one trouble: the key of the post carries when it began. */
const makeNotices = ({ background, bridge, info }: {
  readonly bridge: Bridge["Service"]
  readonly info: SandboxInfo["Service"]
  readonly background: (effect: Effect.Effect<void>) => Effect.Effect<void>
}) => {
  let noticedUntil = Number.NEGATIVE_INFINITY
  return {
    /** `detail` is a sentence with its remedy and code. */
    trouble: (kind: string, since: number, detail: string): Effect.Effect<void> =>
      Effect.suspend(() => {
        // Reports of one spell by two observers (queue and ledger fill up together) are one notice.
        const again = since <= noticedUntil + 60_000
        noticedUntil = Math.max(noticedUntil, since)
        if (again || info.channel === undefined) return Effect.void
        return background(
          bridge.call({
            key: `${info.id}/${kind}/${since}`,
            action: { action: "post", channel: info.channel, markdown: detail }
          }).pipe(Effect.asVoid, Effect.catch((error) => Effect.logWarning("notice was refused", error.message)))
        )
      })
  }
}

const fullNotice = "**The disk of this sandbox is full.** Messages are kept, but none is started. Free some space on " +
  "its machine; what waits goes on by itself. (KM-SLK-303)"

export const SlackInboundPlugin: Plugin<SlackInboundConfig, SlackInboundPorts> = {
  id,
  after: [PluginId.make("lifecycle"), PluginId.make("transcript")],
  essential: true,
  enabled: ({ spec: { cli } }) => cli.notifySlackEnabled && cli.notifySlackInboundEnabled,
  config: SlackInboundConfig,
  configure: () => ({}),
  start: Effect.fn("SlackInboundPlugin.start")(function*() {
    const info = yield* SandboxInfo
    const scope = yield* Effect.scope
    const turns = yield* Turns
    const queue = yield* TurnQueue
    const bridge = yield* Bridge
    const controls = yield* Controls
    const ledger = yield* Ledger
    const redaction = yield* Redaction
    const status = yield* RuntimeStatus
    const background = (effect: Effect.Effect<void>) =>
      Effect.asVoid(Effect.forkIn(effect, scope, { startImmediately: true }))
    // Not ready before the first poll, also in a later life.
    yield* status.pollFailed
    const records = yield* TurnRecords
    const marks = makeOwedMarks({ sandbox: info.id, bridge, ledger, records, redaction })
    yield* Effect.forkScoped(unending(
      "bringing marks in line ended in a defect; it is tried again",
      owedEvery,
      Effect.andThen(marks.settle(), Effect.sleep(owedEvery))
    ))

    const run = Effect.gen(function*() {
      const notices = makeNotices({ bridge, info, background })
      const stops = makeStopRequests({ sandbox: info.id, controls, turns, queue, ledger, bridge, background })
      const open = yield* ledger.open.pipe(
        Effect.mapError((error) =>
          new PluginError({ plugin: id, operation: "run", reason: "Unavailable", detail: error.message })
        )
      )
      yield* Effect.forkScoped(stops.run)
      yield* Effect.forkScoped(unending(
        "looking at the ledger's health ended in a defect",
        healthEvery,
        turns.health.pipe(
          Effect.tap(({ detail, since, state }) =>
            state === "full" || state === "corrupt" ? notices.trouble(state, since, detail) : Effect.void
          ),
          Effect.andThen(Effect.sleep(healthEvery))
        )
      ))
      return yield* runReceiveLoop(
        {
          sandbox: info.id,
          queue,
          turns,
          bridge,
          status,
          stops,
          full: (since) => notices.trouble("full", since, fullNotice)
        },
        open.flatMap(({ key, receipt, request }) =>
          receipt === undefined || request.origin.kind !== "slack" ? [] : [{ key, receipt }]
        )
      )
    })

    return {
      run,
      origin: makeSlackOrigin({
        sandbox: info.id,
        marks,
        bridge,
        queue,
        redaction,
        background,
        settled: turns.settled,
        ...(info.profile.spec.cli.slackBusyPolicy === "debounce"
          ? { joining: joinBurst({ sandbox: info.id, queue, turns }) }
          : {})
      }),
      detail: Effect.map(
        turns.health,
        ({ detail, open, running, state }) =>
          state === "ok" ? `${running} running, ${open} open` : `${state}: ${detail}`
      )
    }
  })
}
