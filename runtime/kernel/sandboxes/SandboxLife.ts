/**
 * Pausing, resuming and extending a sandbox: the same for a person's command and for a schedule. Which of them a row
 * allows, and what its time to live then is, is decided here.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { isEnding, type SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { Sandboxes } from "../../ports/Sandboxes.ts"
import { SandboxHost } from "../../ports/SandboxHost.ts"

/** The sandbox is in a state that does not allow it; nothing was changed. `reason` is a sentence for a person. */
export class LifeRefused extends Schema.TaggedError<LifeRefused>()("LifeRefused", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

const refused = (reason: string) => new LifeRefused({ reason })

/** How the end moves: `by` is counted from where it is, `ttl` from now. Milliseconds, more than 0. */
export type Extension = { readonly by: number } | { readonly ttl: number }

/** The latest end: what a date of JavaScript can hold. */
const lastInstant = 8_640_000_000_000_000

/** The end that an extension gives, Unix milliseconds; refused where it would not be later than the present one. */
export const extendedUntil = (
  { expiresAt, id, status }: Pick<SandboxRow, "id" | "status" | "expiresAt">,
  extension: Extension,
  now: number
): Result.Result<number, LifeRefused> => {
  if (status === "destroying") return Result.fail(refused(`${id} is being destroyed`))
  if (expiresAt === undefined) return Result.fail(refused(`${id} has no time to live that could be extended`))
  const until = "by" in extension ? Math.max(now, expiresAt) + extension.by : now + extension.ttl
  if (until > lastInstant) return Result.fail(refused(`${id} would live beyond the calendar`))
  return until > expiresAt
    ? Result.succeed(until)
    : Result.fail(refused(`${id} lives until ${new Date(expiresAt).toISOString()} already, which is not earlier`))
}

/** What a pause or a resume would do now: nothing where it is so already. */
export const lifeChange = (
  { desired, id, status }: Pick<SandboxRow, "id" | "desired" | "status">,
  wanted: "paused" | "running"
): Result.Result<"change" | "nothing", LifeRefused> => {
  if (status === "destroying" || desired === "destroyed") return Result.fail(refused(`${id} is being destroyed`))
  if (status === "creating" || status === "starting") {
    return Result.fail(refused(`${id} is not made yet; its km create goes on or is run again`))
  }
  const so = wanted === "paused"
    ? desired === "stopped" && status === "stopped"
    : desired === "running" && status === "running"
  return Result.succeed(so ? "nothing" : "change")
}

/** Moves the end of a sandbox's time to live; returns it, Unix milliseconds. Of two at once, both count. */
export const extend = Effect.fn("SandboxLife.extend")(function*(row: SandboxRow, extension: Extension) {
  const sandboxes = yield* Sandboxes
  const { generation, id } = row
  for (let known = row;;) {
    const until = yield* Effect.fromResult(extendedUntil(known, extension, yield* Clock.currentTimeMillis))
    const { expiresAt } = known
    const asKnown = { generation, ending: false as const, ...(expiresAt === undefined ? {} : { expiresAt }) }
    if (yield* sandboxes.update(id, { expiresAt: until }, asKnown)) return until
    const now = Option.getOrUndefined(yield* sandboxes.get(id))
    if (now === undefined || now.generation !== generation || isEnding(now)) {
      return yield* refused(`${id} is being destroyed`)
    }
    known = now
  }
})

/** Ends the runtime after the turn in hand; everything on disk stays, and messages are kept. False when it was so already. */
export const pause = Effect.fn("SandboxLife.pause")(function*(row: SandboxRow) {
  if ((yield* Effect.fromResult(lifeChange(row, "paused"))) === "nothing") return false
  yield* (yield* SandboxHost).stop(row.id)
  // Without a runtime nobody else would say so.
  yield* updateIf(row, "stopped", { status: "stopped" })
  return true
})

/** Asks for the runtime again. False when it was so already. */
export const resume = Effect.fn("SandboxLife.resume")(function*(row: SandboxRow) {
  if ((yield* Effect.fromResult(lifeChange(row, "running"))) === "nothing") return false
  yield* (yield* SandboxHost).start(row.id)
  // The pause is no idleness: a sandbox that slept longer than its idle timeout would be destroyed as it wakes.
  yield* updateIf(row, "running", { status: "running", resumedAt: yield* Clock.currentTimeMillis })
  return true
})

/** Somebody may have wished otherwise meanwhile. */
const updateIf = Effect.fnUntraced(function*(
  { generation, id }: Pick<SandboxRow, "generation" | "id">,
  desired: SandboxRow["desired"],
  changes: Partial<SandboxRow>
) {
  const sandboxes = yield* Sandboxes
  const now = yield* sandboxes.get(id)
  if (Option.isSome(now) && now.value.desired === desired) {
    yield* sandboxes.update(id, changes, { generation, ending: false })
  }
})
