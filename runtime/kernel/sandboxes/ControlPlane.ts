/**
 * What nobody asks for and somebody must do: end sandboxes whose time is over, continue teardowns that stopped, tell
 * threads of messages that died in the queue and everybody of what happens to sandboxes, renew certificates where that is allowed, and replace channels that are gone.
 * One round looks at every row; `km up` runs rounds for as long as it lives.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { durationMillis } from "../../domain/profile/Profile.ts"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import type { ReportedSandbox, SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { TurnRequest } from "../../domain/turn/Turn.ts"
import { Bridge } from "../../ports/Bridge.ts"
import { Facts } from "../../ports/Facts.ts"
import { reported, Reports } from "../../ports/Reports.ts"
import { Sandboxes } from "../../ports/Sandboxes.ts"
import { type DeadEntry, type QueueDepth, TurnQueue } from "../../ports/TurnQueue.ts"
import { unending } from "../../ports/Unending.ts"
import { channelPlanOf } from "./ChannelPlan.ts"
import { type KnownNotices, writeNotices } from "./Notices.ts"
import { ask } from "./OperatorBridge.ts"
import { Provisioning } from "./Provisioning.ts"
import { type EndReason, Teardown } from "./Teardown.ts"

/** Between two rounds; the longest a time to live is overrun while the control plane runs. */
export const roundEvery = Duration.seconds(10)

/** An activity report older than this says nothing about idleness; the runtime reports about every 30 s. */
export const freshMillis = 120_000

export class ControlPlane extends Context.Service<ControlPlane, {
  /** Looks at every sandbox once. What fails for one is logged and tried again in the next round. */
  readonly round: Effect.Effect<void>
  /** Rounds every 10 s until interrupted. */
  readonly run: Effect.Effect<never>
  /**
   * Gives sandboxes whose channel is gone or archived a new one; every other keeps the one it has. `generation` names the
   * start, so that a repeated repair is one; returns the sandboxes that were given one.
   */
  readonly repairChannels: (generation: string) => Effect.Effect<ReadonlyArray<SandboxRow>>
}>()("km/runtime/kernel/sandboxes/ControlPlane") {
  static readonly layer = Layer.effect(ControlPlane, Effect.suspend(() => make(true)))
  /** Renews no certificate: the certifier's key is out of its reach. */
  static readonly layerWithoutRenewal = Layer.effect(ControlPlane, Effect.suspend(() => make(false)))
}

const noDepth: QueueDepth = { waiting: 0, inFlight: 0, dead: 0 }

const decodeRequest = Schema.decodeUnknownOption(Schema.fromJsonString(TurnRequest))

/**
 * Why a sandbox's time is over, if it is. Fails safe: a sandbox whose runtime has not reported lately, or whose queue
 * holds anything, is not idle.
 */
export const endOf = (
  row: ReportedSandbox,
  now: number,
  queued: number
): EndReason | undefined => {
  if (row.expiresAt !== undefined && row.expiresAt <= now) return "ttl"
  const idle = durationMillis(row.profile.spec.lifecycle.idleTimeout)
  if (idle === 0 || row.status !== "running" || queued > 0) return undefined
  if (row.lastSeenAt === undefined || now - row.lastSeenAt > freshMillis) return undefined
  return now - Math.max(row.createdAt, row.resumedAt ?? 0, row.lastActiveAt ?? 0) >= idle ? "idle" : undefined
}

/** One sandbox's trouble is its own: the others are looked at all the same. */
const contained = <E extends { readonly message: string }>(row: SandboxRow, effect: Effect.Effect<void, E>) =>
  effect.pipe(
    Effect.catch((error) => Effect.logWarning("control round left a sandbox for the next", error.message)),
    Effect.catchDefect((defect) => Effect.logError("control round crashed on a sandbox", defect)),
    Effect.annotateLogs({ sandbox: row.id })
  )

const make = Effect.fnUntraced(function*(renews: boolean) {
  const bridge = yield* Bridge
  const facts = yield* Facts
  const provisioning = yield* Provisioning
  const queue = yield* TurnQueue
  const reports = yield* Reports
  const sandboxes = yield* Sandboxes
  const reportedBy = (rows: ReadonlyArray<SandboxRow>) => Effect.provideService(reported(rows), Reports, reports)
  const teardown = yield* Teardown
  /** Teardowns seen unfinished in the last round: whoever runs one has until the next to finish it. */
  let unfinished: ReadonlySet<SandboxId> = new Set()
  const known: KnownNotices = new Map()

  const queuedOf = Effect.fnUntraced(function*(row: SandboxRow) {
    if (!row.inventory.some(({ kind }) => kind === "queue")) return 0
    const depth = yield* queue.depth(row.id)
    return depth.waiting + depth.inFlight
  })

  const noticeDead = Effect.fnUntraced(function*(row: SandboxRow, entry: DeadEntry) {
    // One that died again after a redrive is another death to tell of.
    const death = entry.generation === 1 ? `${entry.key}/dead` : `${entry.key}/dead/${entry.generation}`
    const request = decodeRequest(entry.body)
    if (Option.isSome(request) && request.value.origin.kind === "slack") {
      const { channel, threadTs, ts } = request.value.origin
      const posted = yield* ask(bridge, `${death}/0`, {
        action: "post",
        channel,
        threadTs,
        markdown: `**Parked.** This message was given to the runtime ${entry.receiveCount} times and its turn never ` +
          `started. Run \`km replay ${entry.key}\` to try again. (KM-TRN-021)`
      })
      if (posted._tag === "NotNow") return yield* Effect.logWarning("dead letter not announced yet", posted.reason)
      yield* ask(bridge, `${death}/1`, { action: "react", channel, ts, emoji: "x" })
    }
    yield* queue.markNoticed(row.id, entry.key)
    yield* Effect.logError("a message died in the queue").pipe(Effect.annotateLogs({ turn: entry.key }))
  })

  const lookAt = Effect.fnUntraced(function*(row: ReportedSandbox, now: number, depth: QueueDepth) {
    if (row.status === "destroying") {
      if (unfinished.has(row.id)) yield* teardown.run(row.id, row.endReason ?? "destroyed")
      return
    }
    const end = endOf(row, now, depth.waiting + depth.inFlight)
    // The round may have lasted: what came meanwhile keeps the sandbox.
    const ends = end === "idle" ? endOf(row, now, yield* queuedOf(row)) : end
    if (ends !== undefined) return yield* teardown.run(row.id, ends)
    yield* Effect.provideService(writeNotices(row, now, known), Facts, facts)
    if (row.status === "creating" || row.status === "starting") return
    if (depth.dead > 0) {
      for (const entry of yield* queue.deadLetters(row.id)) if (!entry.noticed) yield* noticeDead(row, entry)
    }
    if (renews && (yield* provisioning.renewCertificate(row))) yield* Effect.logInfo("certificate renewed")
  })

  const round = Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const rows = yield* reportedBy(yield* sandboxes.list)
    const depths = yield* queue.occupied
    yield* Effect.forEach(rows, (row) => contained(row, lookAt(row, now, depths.get(row.id) ?? noDepth)), {
      concurrency: 4,
      discard: true
    })
    const here = new Set(rows.map(({ id }) => id))
    for (const id of known.keys()) if (!here.has(id)) known.delete(id)
    unfinished = new Set(rows.filter(({ status }) => status === "destroying").map(({ id }) => id))
  }).pipe(Effect.catch((error) => Effect.logWarning("control round could not list sandboxes or queues", error.message)))

  const repair = Effect.fnUntraced(function*(row: SandboxRow, generation: string) {
    const plan = channelPlanOf(row, row.channel)
    if (row.channel === undefined || plan === undefined || plan.mode === "override") return false
    const key = `repair/${row.id}/${generation}`
    const made = yield* ask(bridge, `${key}/channel`, plan.action)
    const channel = made._tag === "Done" ? made.result.channel : undefined
    if (channel === undefined) {
      yield* Effect.logWarning("channel not repaired", made._tag === "Done" ? "no channel named" : made.reason)
      return false
    }
    if (channel.id === row.channel) {
      // People rename channels.
      if (channel.name !== row.channelName) yield* sandboxes.update(row.id, { channelName: channel.name })
      return false
    }
    yield* sandboxes.update(row.id, { channel: channel.id, channelName: channel.name })
    if (row.alias !== undefined && plan.mode === "perSandbox") yield* sandboxes.rememberChannel(row.alias, channel.id)
    yield* ask(bridge, `${key}/notice`, {
      action: "post",
      channel: channel.id,
      markdown: `The channel before is gone or archived: this is the new channel of \`${row.alias ?? row.id}\`. ` +
        `Earlier threads do not go on; the agent's files are as they were.`
    })
    return true
  })

  const repairChannels = Effect.fn("ControlPlane.repairChannels")(function*(generation: string) {
    const rows = yield* sandboxes.list.pipe(
      Effect.catch((error) => Effect.as(Effect.logWarning("channels not repaired", error.message), []))
    )
    const repaired: Array<SandboxRow> = []
    for (const row of rows) {
      if (row.status === "destroying" || row.status === "creating") continue
      const done = yield* repair(row, generation).pipe(
        Effect.catch((error) => Effect.as(Effect.logWarning("channel not repaired", error.message), false))
      )
      if (done) repaired.push(row)
    }
    return repaired
  })

  return ControlPlane.of({
    round,
    run: unending("a control round ended in a defect", roundEvery, Effect.andThen(round, Effect.sleep(roundEvery))),
    repairChannels
  })
})
