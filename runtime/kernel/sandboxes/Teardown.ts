/**
 * The one way a sandbox ends, whoever ends it: destroy, time to live, idleness, or a create that failed. It follows the
 * inventory that create recorded, every step may be repeated, and what is done is struck off, so that a crash at any
 * point is continued by running it again.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { parseGrantRef } from "../../domain/github/Grant.ts"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import { endAnnouncement, endSentence, noticePrefix } from "../../domain/sandbox/Notice.ts"
import type { InventoryItem, SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import type { BridgeAction } from "../../domain/slack/BridgeProtocol.ts"
import { Bridge } from "../../ports/Bridge.ts"
import { Controls } from "../../ports/Controls.ts"
import { Facts } from "../../ports/Facts.ts"
import { Identities } from "../../ports/Identities.ts"
import { Leases } from "../../ports/Leases.ts"
import { Mailbox } from "../../ports/Mail.ts"
import { Objects } from "../../ports/Objects.ts"
import { Reports } from "../../ports/Reports.ts"
import { Sandboxes } from "../../ports/Sandboxes.ts"
import { type HostFailed, SandboxHost } from "../../ports/SandboxHost.ts"
import { Scheduler } from "../../ports/Scheduler.ts"
import { Secrets } from "../../ports/Secrets.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import { Threads } from "../../ports/Threads.ts"
import { TurnQueue } from "../../ports/TurnQueue.ts"
import { TurnRecords } from "../../ports/TurnRecords.ts"
import { makeSandboxTokens } from "../github/SandboxTokens.ts"
import { endSchedulesOf } from "../schedules/ScheduleTargets.ts"
import { endWaitingRunsOf } from "../schedules/WaitingRuns.ts"
import { waitingNotices } from "../turns/WaitingNotices.ts"
import { channelPlanOf } from "./ChannelPlan.ts"
import { writeNotice } from "./Notices.ts"
import { ask } from "./OperatorBridge.ts"
import { SandboxRefused } from "./SandboxErrors.ts"

/** Why it ends, as the last message in its channel says it. */
export type EndReason = NonNullable<SandboxRow["endReason"]>

/** Told of each kind of thing as it is gone. */
export type TeardownProgress = (item: InventoryItem["kind"] | "row") => Effect.Effect<void>

/** The runtime first, so that nothing acts any more; the channel while the queue's messages can still be answered. */
const order: ReadonlyArray<InventoryItem["kind"]> = [
  "runtime",
  "directory",
  "github",
  "channel",
  "queue",
  "threads",
  "mailbox",
  "objects",
  "identity",
  "secret",
  "alias"
]

export class Teardown extends Context.Service<Teardown, {
  /**
   * Ends and removes the sandbox; at once when there is none. When a step cannot be done now, everything before it is
   * gone, the rest is still in the inventory, and the same call continues.
   */
  readonly run: (
    id: SandboxId,
    reason: EndReason,
    progress?: TeardownProgress
  ) => Effect.Effect<void, SandboxRefused>
  /** Removes what this row's inventory names, for a create that was overtaken by a destroy. Says nothing in a channel. */
  readonly removeItems: (row: SandboxRow) => Effect.Effect<void, SandboxRefused>
}>()("km/runtime/kernel/sandboxes/Teardown") {
  static readonly layer = Layer.effect(Teardown, Effect.suspend(() => make))
}

/** For all marks under messages that never ran. Slack takes 50 a minute in the whole workspace. */
const markMillis = 10_000

/** Milliseconds that are left for marks in one run: its queue is looked at more than once. */
interface MarkTime {
  left: number
}

const refuse = (id: SandboxId, step: string, reason: string) =>
  new SandboxRefused({
    code: "KM-CLI-107",
    sandbox: id,
    step,
    reason,
    remedy: `then run "km destroy ${id} --yes"; it continues where it stopped`
  })

/** Every failure of a port as ours. */
const translated = <A, R>(effect: Effect.Effect<A, SandboxRefused | StoreError | HostFailed, R>, id: SandboxId) =>
  effect.pipe(
    Effect.catchTags({
      StoreError: (error) => Effect.fail(refuse(id, error.port, error.message)),
      HostFailed: (error) => Effect.fail(refuse(id, "runtime", error.message))
    }),
    Effect.annotateLogs({ sandbox: id })
  )

const make = Effect.gen(function*() {
  const bridge = yield* Bridge
  const controls = yield* Controls
  const facts = yield* Facts
  const host = yield* SandboxHost
  const identities = yield* Identities
  const leases = yield* Leases
  const mailbox = yield* Mailbox
  const objects = yield* Objects
  const queue = yield* TurnQueue
  const records = yield* TurnRecords
  const sandboxes = yield* Sandboxes
  const reports = yield* Reports
  const scheduler = yield* Scheduler
  const secrets = yield* Secrets
  const threads = yield* Threads
  const tokens = yield* makeSandboxTokens

  /** Slack's final word is no obstacle to going on: what it will not take is not there any more. */
  const tell = Effect.fnUntraced(function*(id: SandboxId, key: string, action: BridgeAction) {
    const answer = yield* ask(bridge, key, action)
    if (answer._tag === "NotNow") return yield* refuse(id, "channel", answer.reason)
    if (answer._tag === "Undeliverable") {
      yield* Effect.logInfo("slack will not take a last word").pipe(Effect.annotateLogs({ reason: answer.reason }))
    }
    return answer
  })

  /** Promise 2: a message that was accepted and never ran is answered before its queue goes. */
  const answerQueue = Effect.fnUntraced(function*(row: SandboxRow, time: MarkTime) {
    const dead = (yield* queue.deadLetters(row.id)).filter((entry) => !entry.noticed)
    // In flight without a runtime: its receipt was lost with it, and whatever its turn did, nobody goes on with it.
    const keys = yield* queue.keys(row.id)
    const queued = (yield* Effect.forEach(keys, ({ key }) => queue.get(row.id, key))).flatMap(Option.toArray)
    const told = waitingNotices(row, [...queued, ...dead])
    for (const { marks, post } of told.groups) {
      yield* tell(row.id, post.key, post.action)
      // The words say it; marks beyond what Slack takes in this time are left out.
      if (time.left <= 0) continue
      const before = yield* Clock.currentTimeMillis
      yield* Effect.forEach(marks, ({ action, key }) => ask(bridge, key, action), { concurrency: 4, discard: true })
        .pipe(Effect.timeoutOption(time.left))
      time.left -= (yield* Clock.currentTimeMillis) - before
    }
    // One summary names them all: they go with the queue, at once, so that a crash here tells nobody twice.
    if (told.summed) return
    // The first of a thread goes last: the note has its key, so that a crash in between tells nobody twice. What is in
    // flight stays; it goes with the queue, and is told of under the same key until then.
    for (const entry of dead.toReversed()) yield* queue.markNoticed(row.id, entry.key)
    for (const entry of queued.toReversed()) yield* queue.withdraw(row.id, entry.key)
  })

  /** A channel that was planned but not recorded is asked for again under the same key: the bridge knows its id. */
  const channelOf = Effect.fnUntraced(function*(row: SandboxRow) {
    if (row.channel !== undefined) return Option.some(row.channel)
    const plan = channelPlanOf(row)
    if (plan === undefined || plan.mode !== "perSandbox") return Option.none()
    const answer = yield* tell(row.id, plan.key, plan.action)
    return Option.fromNullishOr(answer._tag === "Done" ? answer.result.channel?.id : undefined)
  })

  const endChannel = Effect.fnUntraced(function*(row: SandboxRow, reason: EndReason) {
    const channel = yield* channelOf(row)
    if (Option.isNone(channel)) return
    const own = (row.channelMode ?? channelPlanOf(row)?.mode) === "perSandbox"
    yield* tell(row.id, `end/${row.id}/${row.createdAt}/post`, {
      action: "post",
      channel: channel.value,
      markdown: endSentence(row, reason)
    })
    // A create that failed leaves a channel that an earlier sandbox had used as it found it.
    const reused = reason === "create-failed" && row.channelReused === true
    if (own && !reused && row.profile.spec.cli.slackArchiveOnDestroy) {
      yield* tell(row.id, `end/${row.id}/${row.createdAt}/archive`, { action: "archive", channel: channel.value })
    }
  })

  const remove = (row: SandboxRow, item: InventoryItem, reason: EndReason, time: MarkTime) => {
    switch (item.kind) {
      case "runtime":
      case "directory":
        return host.destroy(row.id)
      case "channel":
        return Effect.andThen(answerQueue(row, time), endChannel(row, reason))
      case "queue":
        return Effect.andThen(answerQueue(row, time), queue.destroy(row.id))
      case "threads":
        return threads.removeAll(row.id)
      case "mailbox":
        return mailbox.removeAll(row.id)
      case "objects":
        return objects.deleteAll(row.id)
      case "identity":
        return identities.retire(row.id)
      case "github":
        return tokens.withdraw(row.id, parseGrantRef(item.ref))
      case "secret":
        return secrets.delete(item.ref)
      // The guard row goes with the row.
      case "alias":
        return Effect.void
    }
  }

  const run = Effect.fn("Teardown.run")(
    function*(id: SandboxId, reason: EndReason, progress: TeardownProgress = () => Effect.void) {
      const found = yield* sandboxes.get(id)
      if (Option.isNone(found)) return
      // The first reason stays: a destroy that continues a time-to-live teardown says what ended it.
      const why = found.value.endReason ?? reason
      // From here on nothing is added to its inventory and no message is taken for it.
      yield* sandboxes.update(id, { desired: "destroyed", status: "destroying", endReason: why })
      yield* Effect.provideService(writeNotice(found.value, endAnnouncement(found.value, why)), Facts, facts)
      const time: MarkTime = { left: markMillis }
      for (const kind of order) {
        for (;;) {
          const row = yield* sandboxes.get(id)
          if (Option.isNone(row)) return
          const item = row.value.inventory.find((candidate) => candidate.kind === kind)
          if (item === undefined) break
          yield* remove(row.value, item, why, time)
          yield* sandboxes.removeItem(id, item)
          yield* progress(kind)
        }
      }
      if (found.value.profile.spec.cli.notifySlackEnabled) {
        yield* tell(id, `end/${id}/${found.value.createdAt}/purge`, { action: "purge", sandbox: id })
      }
      // Notices outlive it until they are told.
      for (const { key } of yield* facts.list("", id)) if (!key.startsWith(noticePrefix)) yield* facts.remove(id, key)
      yield* controls.clear(id)
      yield* reports.remove(id)
      yield* leases.remove(id)
      yield* secrets.deleteUnder(`sandbox/${id}`)
      // Its turns are settled, or never will be: who waits for one goes on before the records are gone.
      yield* endWaitingRunsOf(scheduler, records, id)
      yield* records.removeAll(id)
      yield* endSchedulesOf(scheduler, id, found.value.alias, why)
      yield* sandboxes.remove(id)
      yield* progress("row")
      yield* Effect.logInfo("sandbox destroyed").pipe(Effect.annotateLogs({ reason: why }))
    },
    translated
  )

  const removeItems = Effect.fn("Teardown.removeItems")(
    function*(row: SandboxRow) {
      const time: MarkTime = { left: markMillis }
      for (const kind of order) {
        for (const item of row.inventory.filter((candidate) => candidate.kind === kind)) {
          yield* remove(row, item, "create-failed", time)
        }
      }
      yield* leases.remove(row.id)
      yield* reports.remove(row.id)
    },
    (effect, row) => translated(effect, row.id)
  )

  return Teardown.of({ run, removeItems })
})
