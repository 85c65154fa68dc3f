/**
 * Reports that the sandbox is alive, ready and when it was last used, and greets its channel once. What follows from
 * it (time to live, idleness, destroy) is the control plane's.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { encodeNotice, noticeOf, noticePrefix, stopAnnouncement } from "../../runtime/domain/sandbox/Notice.ts"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import { Facts } from "../../runtime/ports/Facts.ts"
import { HookEvents, type ReceivedHook } from "../../runtime/ports/HookEvents.ts"
import { Ledger } from "../../runtime/ports/Ledger.ts"
import type { Plugin } from "../../runtime/ports/Plugin.ts"
import { PluginId } from "../../runtime/ports/Plugin.ts"
import { Redaction } from "../../runtime/ports/Redaction.ts"
import { type RuntimeReport, RuntimeStatus } from "../../runtime/ports/RuntimeStatus.ts"
import { SandboxInfo } from "../../runtime/ports/SandboxInfo.ts"
import { Turns } from "../../runtime/ports/Turns.ts"
import { unending } from "../../runtime/ports/Unending.ts"

/** True when the sandbox has a channel to say things in. */
export const LifecycleConfig = Schema.Struct({ slack: Schema.Boolean })
export type LifecycleConfig = typeof LifecycleConfig.Type

export type LifecyclePorts = Bridge | Facts | HookEvents | Ledger | Redaction | RuntimeStatus | SandboxInfo | Turns

/** Without a change, a report goes out this often (docs/architecture.md: every 30–60 s). */
const reportEvery = "45 seconds"
/** Changes within this time make one report: several plugins change state together at a start. */
const gatherFor = "1 second"
/** After a report that did not get through. */
const retryAfter = "10 seconds"

const greeting = ({ label, profile }: SandboxInfo["Service"], report: RuntimeReport): string => {
  const { mode } = profile.spec.network
  if (!report.confined) {
    return `**Sandbox ${label} is ready, unconfined.** Its agent runs without a jail (${report.confinement}) and can read ` +
      `what this machine's user can${mode === "proxy" ? "; nothing forces its traffic through the proxy" : ""}. ` +
      "Write here to give it work."
  }
  return mode === "shared"
    ? `**Sandbox ${label} is ready, network shared.** Its agent reaches what its machine reaches. Write here to give it ` +
      "work; every message is a turn in its own thread."
    : `**Sandbox ${label} is ready.** Write here to give its agent work; every message is a turn in its own thread.`
}

/** What the control plane has to know of at once; details and times wait for the next report. */
const essence = ({ confined, plugins, ready }: RuntimeReport): string =>
  JSON.stringify([confined, ready, plugins.map(({ id, state }) => [id, state])])

export const LifecyclePlugin: Plugin<LifecycleConfig, LifecyclePorts> = {
  id: PluginId.make("lifecycle"),
  after: [],
  essential: false,
  enabled: () => true,
  config: LifecycleConfig,
  configure: ({ spec: { cli } }) => ({ slack: cli.notifySlackEnabled }),
  start: Effect.fn("LifecyclePlugin.start")(function*({ slack }) {
    const bridge = yield* Bridge
    const facts = yield* Facts
    const info = yield* SandboxInfo
    const ledger = yield* Ledger
    const redaction = yield* Redaction
    const status = yield* RuntimeStatus
    const turns = yield* Turns
    const { subscribe } = yield* HookEvents

    const send = Effect.fnUntraced(function*(report: RuntimeReport) {
      const now = yield* Clock.currentTimeMillis
      return yield* bridge.call({
        key: `${info.id}/activity/${now}`,
        patience: "besteffort",
        action: {
          action: "activity",
          lastActiveAt: report.lastActiveAt,
          ready: report.ready,
          confined: report.confined,
          plugins: report.plugins.map(({ detail, id, state }) => ({ id, state, detail: redaction.redact(detail) }))
        }
      }).pipe(
        Effect.as(true),
        Effect.catch((error) => Effect.as(Effect.logDebug("activity report did not get through", error.message), false))
      )
    })

    /** Once for each sandbox and channel: the ledger remembers it longer than the bridge does. */
    const greet = Effect.fnUntraced(function*(report: RuntimeReport) {
      if (!slack || info.channel === undefined || !report.ready) return
      const fact = `greeted:${info.channel}`
      if (Option.isSome(yield* ledger.recall(fact))) return
      yield* bridge.call({
        key: `${info.id}/ready/${info.channel}`,
        action: { action: "post", channel: info.channel, markdown: greeting(info, report) }
      })
      yield* ledger.remember(fact, String(yield* Clock.currentTimeMillis))
    }, Effect.catch((error) => Effect.logWarning("the channel was not greeted", error.message)))

    const active = Effect.flatMap(Clock.currentTimeMillis, status.active)
    const noted = (changed: Effect.Effect<unknown>) =>
      Effect.forkScoped(
        unending("activity could not be noted because of a defect", 0, Effect.andThen(changed, active))
      )
    /** A dispatched turn ends with an answer; the agent that a person started by hand only says that it has stopped. */
    const heard = Effect.fnUntraced(function*({ dispatched, event }: ReceivedHook) {
      if (dispatched || event.hook_event_name !== "Stop") return
      const now = yield* Clock.currentTimeMillis
      const what = stopAnnouncement(info.label, event.session_id, String(now))
      const notice = noticeOf(info, what, now)
      yield* facts.put(info.id, `${noticePrefix}${what.id}`, encodeNotice(notice), { was: undefined }).pipe(
        Effect.catch((error) => Effect.logWarning("that the agent has stopped is told to nobody", error.message))
      )
    })
    // `changed` completes at the next change that the control plane has to know of at once.
    let told: string | undefined
    const changed = status.changes.pipe(
      Stream.filter((report) => essence(report) !== told),
      Stream.take(1),
      Stream.runDrain
    )
    const reportOnce = Effect.gen(function*() {
      // A turn that works for hours without a change of state is no idle sandbox.
      const { open } = yield* turns.health
      if (open > 0) yield* active
      const report = yield* status.report
      const through = yield* send(report)
      if (!through) return yield* Effect.sleep(retryAfter)
      told = essence(report)
      yield* Effect.timeoutOption(Effect.andThen(changed, Effect.sleep(gatherFor)), reportEvery)
    })

    const run = Effect.gen(function*() {
      const changes = yield* turns.changes
      const hooks = yield* subscribe
      // A turn changes its state, or a session that a person started does something.
      yield* noted(PubSub.take(changes))
      yield* noted(Effect.flatMap(PubSub.take(hooks), heard))

      yield* status.changes.pipe(
        Stream.filter((report) => report.ready),
        Stream.take(1),
        Stream.runForEach(greet),
        Effect.forkScoped
      )
      return yield* unending("reporting ended in a defect; it goes on", retryAfter, reportOnce)
    })
    return { run }
  })
}
