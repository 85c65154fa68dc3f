/**
 * How a sandbox comes to be: a saga over ports. Each thing is written into the inventory before it is made, so that a
 * crash leaves a name to look for; a step that fails undoes what there is; the same create again continues.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import { hasMail } from "../../domain/identity/MailIdentity.ts"
import { durationMillis, Profile } from "../../domain/profile/Profile.ts"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import { isEnding, type SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { Bridge } from "../../ports/Bridge.ts"
import { Sandboxes } from "../../ports/Sandboxes.ts"
import { SandboxHost } from "../../ports/SandboxHost.ts"
import { TurnQueue } from "../../ports/TurnQueue.ts"
import { channelPlanOf } from "./ChannelPlan.ts"
import { conflict, type CreateProgress, type CreateRequest, failed } from "./CreateRequest.ts"
import { ask } from "./OperatorBridge.ts"
import { aliveAs, makePlannedItems, Overtaken } from "./PlannedItems.ts"
import { SandboxRefused } from "./SandboxErrors.ts"
import { makeSandboxGrants } from "./SandboxGrants.ts"
import { makeSandboxIdentity } from "./SandboxIdentity.ts"
import { Teardown } from "./Teardown.ts"

/** Chat comes by the queue, and a replay of what mail started. */
const takesTurns = ({ spec: { cli, email } }: Profile): boolean =>
  cli.notifySlackInboundEnabled || (cli.notifyEmailEnabled && email.onReceive === "turn")

export class Provisioning extends Context.Service<Provisioning, {
  /**
   * Returns the row of a running sandbox. After a typed failure nothing of it is left (`KM-CLI-105` says when that could
   * not be done); after an interruption or a crash the row stays, and the same request continues.
   */
  readonly create: (
    request: CreateRequest,
    progress?: CreateProgress
  ) => Effect.Effect<SandboxRow, SandboxRefused>
  /** Certifies the sandbox's key anew when its newest certificate ends within 10 days. True when it did. */
  readonly renewCertificate: (row: SandboxRow) => Effect.Effect<boolean, SandboxRefused>
}>()("km/runtime/kernel/sandboxes/Provisioning") {
  static readonly layer = Layer.effect(Provisioning, Effect.suspend(() => make))
}

const sameProfile = Schema.toEquivalence(Profile)

/** Looks every half second. */
const looks = Schedule.spaced("500 millis")

const make = Effect.gen(function*() {
  const bridge = yield* Bridge
  const host = yield* SandboxHost
  const queue = yield* TurnQueue
  const sandboxes = yield* Sandboxes
  const teardown = yield* Teardown
  const items = yield* makePlannedItems
  const identity = yield* makeSandboxIdentity(items)
  const grants = yield* makeSandboxGrants(items)

  /** The row to go on with: a new one, or that of an interrupted create with the same profile. */
  const beginRow = Effect.fnUntraced(function*(request: CreateRequest) {
    const { alias, id, install, profile, unconfined } = request
    const found = yield* sandboxes.get(id)
    if (Option.isSome(found)) {
      const row = found.value
      if (row.status === "destroying") {
        return yield* conflict(id, "it is being destroyed", `look at "km status ${id}" and wait until it is gone`)
      }
      if (row.status === "stopped" || row.status === "failed") {
        return yield* conflict(id, `it exists and is ${row.status}`, `look at "km status ${id}"; use another id`)
      }
      if (!sameProfile(row.profile, profile) || row.alias !== alias) {
        return yield* conflict(id, "it exists with another profile or alias", "use another id, or destroy it first")
      }
      return row
    }
    if (alias === "operator") {
      return yield* new SandboxRefused({
        code: "KM-CLI-101",
        sandbox: id,
        step: "row",
        reason: `"operator" is the operator's own name, also as a mail address`,
        remedy: "choose another alias"
      })
    }
    const createdAt = yield* Clock.currentTimeMillis
    const ttl = durationMillis(profile.spec.lifecycle.ttl)
    const row: SandboxRow = {
      id,
      install,
      ...(alias === undefined ? {} : { alias }),
      profile,
      desired: "stopped",
      status: "creating",
      unconfined,
      ...(ttl === 0 ? {} : { expiresAt: createdAt + ttl }),
      createdAt,
      generation: randomUUID(),
      // What comes to be while it runs is named from the start.
      inventory: [
        ...(alias === undefined ? [] : [{ kind: "alias", ref: alias, state: "made" } as const]),
        { kind: "threads", ref: id, state: "planned" },
        { kind: "objects", ref: id, state: "planned" },
        ...(hasMail(profile) ? [{ kind: "mailbox", ref: id, state: "planned" } as const] : [])
      ]
    }
    yield* sandboxes.insert(row)
    return row
  })

  const makeChannel = Effect.fnUntraced(function*(row: SandboxRow) {
    const previous = row.alias === undefined ? Option.none() : yield* sandboxes.channelOfAlias(row.alias)
    const plan = channelPlanOf(row, Option.getOrUndefined(previous))
    if (plan === undefined) return row
    if (plan.mode === "override") {
      return yield* items.add(
        row,
        "channel",
        plan.channel,
        Effect.succeed({ channel: plan.channel, channelMode: plan.mode })
      )
    }
    return yield* items.add(
      row,
      "channel",
      plan.name,
      Effect.gen(function*() {
        const answer = yield* ask(bridge, plan.key, plan.action)
        if (answer._tag !== "Done") return yield* failed(row.id, "channel", answer.reason)
        const channel = answer.result.channel
        if (channel === undefined) return yield* failed(row.id, "channel", "the bridge named no channel")
        for (const warning of channel.warnings) yield* Effect.logWarning("channel", warning)
        if (row.alias !== undefined && plan.mode === "perSandbox") {
          yield* sandboxes.rememberChannel(row.alias, channel.id)
        }
        return {
          channel: channel.id,
          channelName: channel.name,
          channelMode: plan.mode,
          channelReused: !channel.created
        }
      })
    )
  })

  /** The same life of the id, and its end has not begun. */
  const isAlive = (row: SandboxRow) =>
    Effect.map(
      sandboxes.get(row.id),
      Option.exists((now) => now.generation === row.generation && !isEnding(now))
    )

  const awaitReady = Effect.fnUntraced(function*(row: SandboxRow, within: Duration.Duration) {
    const state = Effect.gen(function*() {
      if (yield* host.ready(row.id)) return "ready" as const
      return (yield* isAlive(row)) ? yield* Effect.fail("pending" as const) : "overtaken" as const
    }).pipe(
      Effect.retry({ schedule: looks, while: (error) => error === "pending" }),
      Effect.catchIf((error) => error === "pending", (error) => Effect.succeed(error)),
      Effect.timeoutOrElse({ duration: within, orElse: () => Effect.succeed("pending" as const) })
    )
    const came = yield* state
    if (came === "ready") return
    if (came === "overtaken") return yield* new Overtaken()
    return yield* new SandboxRefused({
      code: "KM-CLI-104",
      sandbox: row.id,
      step: "ready",
      reason: `its runtime was not ready within ${Duration.format(within)}`,
      remedy: `see "km doctor" and "km logs"; is "km up" running?`
    })
  })

  const steps = Effect.fnUntraced(function*(request: CreateRequest, begun: SandboxRow, progress: CreateProgress) {
    const { id } = request
    let row = yield* identity.makeBridge(begun, progress("key", ""))
    row = yield* identity.makeMail(request, row)
    yield* progress("identity", "")
    row = yield* grants.make(row)
    if (row.github !== undefined) yield* progress("github", row.github.map(({ account }) => account).join(", "))
    if (takesTurns(row.profile)) {
      row = yield* items.add(row, "queue", id, Effect.as(queue.create(id), {}))
      yield* progress("queue", "")
    }
    row = yield* makeChannel(row)
    if (row.channel !== undefined) yield* progress("channel", row.channelName ?? row.channel)
    // Named before the row asks for them: a host acts on the row alone.
    row = yield* items.add(row, "directory", id, Effect.succeed({}))
    row = yield* items.add(row, "runtime", id, Effect.succeed({}))
    if (!(yield* sandboxes.update(id, { desired: "running", status: "starting" }, aliveAs(row)))) {
      return yield* new Overtaken()
    }
    yield* host.start(id)
    yield* progress("start", "")
    yield* awaitReady(row, request.readyWithin)
    if (!(yield* sandboxes.update(id, { status: "running" }, aliveAs(row)))) return yield* new Overtaken()
    yield* progress("ready", "")
    const now = yield* sandboxes.get(id)
    return Option.getOrElse(now, (): SandboxRow => ({ ...row, status: "running" }))
  })

  /** Undoing is teardown; what cannot be undone now stays listed and is said. */
  const undo = Effect.fnUntraced(function*(id: SandboxId, cause: SandboxRefused) {
    return yield* teardown.run(id, "create-failed").pipe(
      Effect.mapError((error) =>
        new SandboxRefused({
          code: "KM-CLI-105",
          sandbox: id,
          step: cause.step,
          reason: `${cause.reason}; undoing it stopped too: ${error.reason}`,
          remedy: `run "km destroy ${id} --yes"; it continues where it stopped`
        })
      ),
      Effect.andThen(Effect.fail(cause))
    )
  })

  /**
   * A destroy came between. It removed what it found named; what was made or named since is removed here, unless another
   * life of the id has it by now.
   */
  const undoOwn = Effect.fnUntraced(function*(begun: SandboxRow) {
    const row = items.latest(begun)
    const now = yield* sandboxes.get(row.id)
    if (Option.isNone(now) || now.value.generation === row.generation) {
      yield* teardown.removeItems(row).pipe(
        Effect.mapError((error) =>
          new SandboxRefused({
            code: "KM-CLI-105",
            sandbox: row.id,
            step: "row",
            reason: `it was destroyed while it was being made; undoing it stopped: ${error.reason}`,
            remedy: `run "km destroy ${row.id} --yes" again, or look at "km doctor"`
          })
        )
      )
    }
    return yield* conflict(
      row.id,
      "it was destroyed while it was being made",
      "run the same command again for a new one"
    )
  })

  const create = Effect.fn("Provisioning.create")(
    function*(request: CreateRequest, progress: CreateProgress = () => Effect.void) {
      const row = yield* beginRow(request)
      yield* progress("row", row.alias ?? "")
      // Made long ago: whatever is wrong with it now is no reason to undo it.
      if (row.status === "running") return row
      return yield* steps(request, row, progress).pipe(
        Effect.catchTags({
          StoreError: (error) => Effect.fail(failed(request.id, "start", error.message)),
          HostFailed: (error) => Effect.fail(failed(request.id, "start", error.message))
        }),
        Effect.catchTags({
          // What a destroy took away under a step is no fault of the step.
          SandboxRefused: (error) =>
            Effect.flatMap(isAlive(row), (alive) => alive ? undo(request.id, error) : undoOwn(row)),
          Overtaken: () => undoOwn(row)
        }),
        Effect.ensuring(Effect.sync(() => items.forget(row)))
      )
    },
    (effect, request) =>
      effect.pipe(
        Effect.catchTags({
          StoreError: (error) => Effect.fail(failed(request.id, "row", error.message)),
          SandboxConflict: (error) =>
            Effect.fail(
              new SandboxRefused({
                code: "KM-CLI-101",
                sandbox: request.id,
                step: "row",
                reason: `the ${error.what} ${error.value} is taken by another sandbox`,
                remedy: "choose another one, or destroy that sandbox"
              })
            )
        }),
        Effect.annotateLogs({ sandbox: request.id })
      )
  )

  return Provisioning.of({ create, renewCertificate: identity.renew })
})
