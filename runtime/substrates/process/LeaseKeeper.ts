/**
 * One runtime for each sandbox: runs a body only while this process holds the sandbox's lease, ends it the moment the
 * lease is lost, and tries again. Two keepers of one sandbox take turns; never do both run.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { SandboxId } from "../../domain/sandbox/Ids.ts"
import { type Lease, Leases } from "../../ports/Leases.ts"

/**
 * A lease that cannot be renewed is given up this long before it ends, so that what runs under it has stopped when
 * another runtime may begin. In milliseconds.
 */
export const marginMillis = 5_000

/** Between two looks at a lease that another runtime holds, and before a body that ended runs again. */
const tryEvery = "5 seconds"

/** What a body knows of its lease. */
export interface HeldLease {
  readonly epoch: number
  /** False from the moment it is lost: what still runs ends without draining. */
  readonly held: () => boolean
  /** Looks at once whether the lease is still ours, for whoever heard otherwise. */
  readonly doubt: Effect.Effect<void>
}

/** What the keeper is doing, for status. */
export type LeaseState = "waiting" | "held"

export interface LeaseKeeperOptions<E> {
  readonly sandbox: SandboxId
  /** Unique for each start of a process. */
  readonly holder: string
  /**
   * A lock between processes of this machine, held as long as the keeper works; it fails while another one has it.
   * Returns what names this very lock, and none of another machine or disk. Whoever held the lease under the same lock
   * is dead, so that its lease need not be waited for.
   */
  readonly lock: Effect.Effect<string, E, Scope.Scope>
  readonly onState: (state: LeaseState) => Effect.Effect<void>
}

/**
 * Runs `body` for as long as the lease is held, again and again, until interrupted or until `body` succeeds. A body
 * that fails is logged and run again after 5 s. The lease is renewed until the body's scope has closed, also while it
 * closes slowly (draining), and given back then.
 */
export const whileHeld = Effect.fnUntraced(function*<E, E2, R>(
  options: LeaseKeeperOptions<E>,
  body: (lease: HeldLease) => Effect.Effect<void, E2, R | Scope.Scope>
) {
  const leases = yield* Leases
  const { renewEveryMillis } = leases.timing
  const { holder, onState, sandbox } = options
  let waitingTold = false

  /** Completes when the lease is lost; renews it until then. */
  const keep = Effect.fnUntraced(function*(first: Lease, bell: { ring: Deferred.Deferred<void> }) {
    let lease = first
    while (true) {
      yield* Effect.timeoutOption(Deferred.await(bell.ring), renewEveryMillis)
      bell.ring = Deferred.makeUnsafe()
      const renewed = yield* Effect.result(leases.renew(lease))
      if (renewed._tag === "Success") {
        if (Option.isNone(renewed.success)) return "another runtime has taken the lease"
        lease = renewed.success.value
        continue
      }
      yield* Effect.logWarning("the lease cannot be renewed yet", renewed.failure.message)
      const left = lease.expiresAt - marginMillis - (yield* Clock.currentTimeMillis)
      // Less than one more round: tried at its end once more, then given up.
      if (left <= 0) return "the lease could not be renewed before its end"
      if (left < renewEveryMillis) {
        yield* Effect.sleep(left)
        const last = yield* Effect.option(leases.renew(lease))
        const kept = Option.flatten(last)
        if (Option.isNone(kept)) return "the lease could not be renewed before its end"
        lease = kept.value
      }
    }
  })

  const underLease = Effect.fnUntraced(function*(lease: Lease) {
    yield* onState("held")
    yield* Effect.logInfo("lease acquired").pipe(Effect.annotateLogs({ epoch: lease.epoch }))
    const bell = { ring: Deferred.makeUnsafe<void>() }
    const keeper = yield* Effect.forkScoped(keep(lease, bell))
    let isHeld = true
    const held: HeldLease = {
      epoch: lease.epoch,
      held: () => isHeld,
      doubt: Effect.suspend(() => Effect.asVoid(Deferred.succeed(bell.ring, undefined)))
    }
    const lost = Effect.flatMap(
      Fiber.join(keeper),
      (why) => {
        isHeld = false
        return Effect.as(Effect.logError("lease lost", why), "lost" as const)
      }
    )
    // The keeper belongs to the outer scope: draining happens under the lease.
    return yield* Effect.raceFirst(Effect.as(Effect.scoped(body(held)), "done" as const), lost)
  })

  /** The lease of a process that was killed while it held our lock. */
  const endStale = Effect.fnUntraced(function*(lock: string) {
    const found = yield* leases.current(sandbox)
    if (Option.isNone(found) || !found.value.holder.startsWith(`${lock}/`)) return
    if (found.value.expiresAt <= (yield* Clock.currentTimeMillis)) return
    yield* Effect.logInfo("ends the lease of a runtime that was killed")
    yield* leases.release(found.value)
  })

  /** Gives the lease back when the scope closes. */
  const acquire = (lock: string) =>
    Effect.acquireRelease(
      leases.acquire(sandbox, `${lock}/${holder}`),
      (lease) =>
        Option.isNone(lease)
          ? Effect.void
          : Effect.andThen(Effect.ignore(leases.release(lease.value)), onState("waiting"))
    )

  const once = Effect.scoped(Effect.gen(function*() {
    const locked = yield* Effect.exit(options.lock)
    if (Exit.isSuccess(locked)) yield* endStale(locked.value)
    const acquired = Exit.isFailure(locked) ? Option.none<Lease>() : yield* acquire(locked.value)
    if (Option.isSome(acquired)) {
      waitingTold = false
      return yield* underLease(acquired.value)
    }
    if (!waitingTold) {
      yield* Effect.logInfo("waits: another runtime serves this sandbox").pipe(
        Effect.annotateLogs(Exit.isFailure(locked) ? { lock: String(Cause.squash(locked.cause)) } : {})
      )
    }
    waitingTold = true
    return "waiting" as const
  })).pipe(
    Effect.catchDefect((defect) =>
      Effect.as(Effect.logError("the sandbox's runtime crashed", defect), "crashed" as const)
    )
  )

  while (true) {
    const outcome = yield* Effect.result(once)
    if (outcome._tag === "Failure") {
      yield* Effect.logError("the sandbox's runtime ended and is started again", outcome.failure)
    } else if (outcome.success === "done") return
    yield* Effect.sleep(tryEvery)
  }
})
