/** `km pause`, `km resume` and `km extend`: what schedules can do with a living sandbox, done now. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { durationMillis, DurationText } from "../../runtime/domain/profile/Profile.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { durationAdvice } from "../../runtime/domain/text/DurationHint.ts"
import * as SandboxLife from "../../runtime/kernel/sandboxes/SandboxLife.ts"
import { SandboxHost } from "../../runtime/ports/SandboxHost.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { data, span, talk } from "../Output.ts"
import { recorded } from "../Recorded.ts"
import { labelOf, resolve } from "../Reference.ts"
import * as UpFile from "../up/UpFile.ts"

export interface LifeInput {
  readonly reference: string
  readonly dryRun: boolean
}

const nameOf = (row: SandboxRow): string => row.alias ?? row.id

/** A state that does not allow it is a conflict; the store and the host tell their own troubles. */
const telling = <A, E, R>(row: SandboxRow, effect: Effect.Effect<A, E, R>) =>
  Effect.mapError(effect, (error) =>
    error instanceof SandboxLife.LifeRefused
      ? kmError("KM-CLI-020", error.reason, "", `km status ${nameOf(row)}`)
      : error)

export const pause = Effect.fn("km.pause")(function*({ dryRun, reference }: LifeInput) {
  const { backend } = yield* opened
  yield* backend.install
  return yield* Effect.gen(function*() {
    const row = yield* resolve(reference)
    const json = { ok: true, dryRun, id: row.id }
    const change = yield* telling(row, Effect.fromResult(SandboxLife.lifeChange(row, "paused")))
    if (change === "nothing") return yield* data([`${nameOf(row)} is paused already`], { ...json, changed: false })
    if (dryRun) return yield* data([`would pause ${labelOf(row)}`], { ...json, changed: false })
    yield* recorded("sandbox.pause", row.id)
    yield* talk(`pausing ${labelOf(row)}; the turn in hand is finished first`)
    yield* telling(row, SandboxLife.pause(row))
    const { notifySlackInboundEnabled, slackWakeOnMessage } = row.profile.spec.cli
    const until = notifySlackInboundEnabled && slackWakeOnMessage
      ? `a message or km resume ${nameOf(row)} wakes it`
      : `messages wait until km resume ${nameOf(row)}`
    yield* data([`${nameOf(row)} is paused; ${until}`], { ...json, changed: true })
    if (row.expiresAt !== undefined) {
      yield* talk(`it still ends in ${span(row.expiresAt - (yield* Clock.currentTimeMillis))}`)
    }
  }).pipe(Effect.provide(backend.ports("short")))
})

/** Looks every half second whether the runtime is there. */
const looks = Schedule.spaced("500 millis")

export const resume = Effect.fn("km.resume")(function*({ dryRun, reference }: LifeInput) {
  const { backend, config } = yield* opened
  const install = yield* backend.install
  return yield* Effect.gen(function*() {
    const row = yield* resolve(reference)
    const json = { ok: true, dryRun, id: row.id }
    const change = yield* telling(row, Effect.fromResult(SandboxLife.lifeChange(row, "running")))
    if (change === "nothing") return yield* data([`${nameOf(row)} runs already`], { ...json, changed: false })
    if (dryRun) return yield* data([`would resume ${labelOf(row)}`], { ...json, changed: false })
    yield* recorded("sandbox.resume", row.id)
    yield* telling(row, SandboxLife.resume(row))
    if (install.local && Option.isNone(yield* UpFile.running(backend.paths.run))) {
      yield* talk("km up is not running; the sandbox starts with it")
      return yield* data([`${nameOf(row)} is resumed`], { ...json, changed: true, ready: false })
    }
    const host = yield* SandboxHost
    const ready = yield* host.ready(row.id).pipe(
      Effect.repeat({ schedule: looks, until: (so) => so }),
      Effect.timeoutOrElse({ duration: config.readyWithinMillis, orElse: () => Effect.succeed(false) })
    )
    if (!ready) {
      return yield* kmError(
        "KM-CLI-009",
        `${labelOf(row)} is resumed and did not start in time`,
        "",
        `km status ${nameOf(row)}`
      )
    }
    return yield* data([`${nameOf(row)} is resumed`], { ...json, changed: true, ready: true })
  }).pipe(Effect.provide(backend.ports("short")))
})

export interface ExtendInput extends LifeInput {
  /** The same as `--by`, as a schedule has it. */
  readonly duration: Option.Option<string>
  readonly by: Option.Option<string>
  readonly ttl: Option.Option<string>
}

const decodeDuration = Schema.decodeUnknownOption(DurationText)

const millisOf = Effect.fnUntraced(function*(text: string) {
  const found = Option.map(decodeDuration(text), durationMillis)
  if (Option.isSome(found) && found.value > 0) return found.value
  return yield* kmError(
    "KM-CLI-001",
    `${JSON.stringify(text)} is no duration such as 30m, 8h or 2d${durationAdvice(text, 1, Infinity)}`,
    "",
    "km extend --help"
  )
})

export const extend = Effect.fn("km.extend")(function*(input: ExtendInput) {
  const given = [input.duration, input.by, input.ttl].flatMap(Option.toArray)
  const [text] = given
  if (text === undefined || given.length > 1) {
    const what = text === undefined ? "says not how far" : "says it twice"
    return yield* kmError("KM-CLI-001", `km extend ${what}: give --by or --ttl`, "", "km extend --help")
  }
  const millis = yield* millisOf(text)
  const extension = Option.isSome(input.ttl) ? { ttl: millis } : { by: millis }
  const { backend } = yield* opened
  yield* backend.install
  return yield* Effect.gen(function*() {
    const row = yield* resolve(input.reference)
    const now = yield* Clock.currentTimeMillis
    const planned = yield* telling(row, Effect.fromResult(SandboxLife.extendedUntil(row, extension, now)))
    if (!input.dryRun) yield* recorded("sandbox.extend", row.id, `until ${new Date(planned).toISOString()}`)
    const until = input.dryRun ? planned : yield* telling(row, SandboxLife.extend(row, extension))
    const expiresAt = new Date(until).toISOString()
    yield* data(
      [`${nameOf(row)} ${input.dryRun ? "would live" : "lives"} until ${expiresAt}, ${span(until - now)} from now`],
      { ok: true, dryRun: input.dryRun, id: row.id, expiresAt }
    )
  }).pipe(Effect.provide(backend.ports("short")))
})
