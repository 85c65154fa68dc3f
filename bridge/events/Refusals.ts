/** Writes down in the audit whom the bridge refused, before the person is told: once per person, thread and reason. */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { ChannelId, MessageTs, SandboxId, TurnKey, UserId } from "../../runtime/domain/sandbox/Ids.ts"
import { Audit } from "../../runtime/ports/Audit.ts"
import { Seen } from "../../runtime/ports/Seen.ts"
import { type EventError, eventErrors } from "../BridgeErrors.ts"

export interface PersonRefusal {
  readonly person: UserId
  readonly reason: EventError
  readonly channel: ChannelId
  readonly threadTs: MessageTs
  /** The message that was refused. */
  readonly turn: TurnKey
  /** Absent where it is unknown: the channel is the entry's subject then. */
  readonly sandbox?: SandboxId
}

export class Refusals extends Context.Service<Refusals, {
  /**
   * Durable when it returns. What cannot be written is logged, and the person is refused all the same: a full disk must
   * not let anybody in. The next refusal tries again.
   */
  readonly record: (refusal: PersonRefusal) => Effect.Effect<void>
}>()("km/bridge/events/Refusals") {
  static readonly layer = Layer.effect(
    Refusals,
    Effect.gen(function*() {
      const audit = yield* Audit
      const seen = yield* Seen

      const write = Effect.fnUntraced(
        function*(key: string, { channel, person, reason, sandbox, threadTs, turn }: PersonRefusal) {
          // Written twice rather than not at all.
          const known = yield* seen.find([key]).pipe(Effect.catch(() => Effect.succeedNone))
          if (Option.isSome(known)) return
          yield* audit.record({
            actor: person,
            action: "person.refuse",
            subject: sandbox ?? channel,
            rule: eventErrors[reason].code,
            verdict: "refused",
            detail: `${channel}:${threadTs}`
          })
          yield* seen.mark([key], turn)
        },
        Effect.catchCause((cause) => Effect.logError("the refusal of a person is missing from the audit", cause)),
        (effect, _key, { channel, person, reason }) =>
          Effect.annotateLogs(effect, { channel, person, code: eventErrors[reason].code })
      )

      /** Those being written now: a second message waits for the first one's entry. */
      const writing = new Map<string, Deferred.Deferred<void>>()
      const record = (refusal: PersonRefusal) =>
        Effect.suspend(() => {
          const { channel, person, reason, threadTs } = refusal
          const key = `refused:${channel}/${threadTs}/${person}/${reason}`
          const first = writing.get(key)
          if (first !== undefined) return Deferred.await(first)
          const done = Deferred.makeUnsafe<void>()
          writing.set(key, done)
          return Effect.ensuring(
            write(key, refusal),
            Effect.sync(() => {
              writing.delete(key)
              Deferred.doneUnsafe(done, Exit.void)
            })
          )
        })
      return Refusals.of({ record })
    })
  )
}
