/** Who our bot is and who the people are: ids and names from Slack, cached for an hour, never blocking an event long. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { isUserId, type UserId } from "../../runtime/domain/sandbox/Ids.ts"
import { withoutHidden } from "../../runtime/domain/text/HiddenText.ts"
import { Errands } from "../../runtime/ports/Errands.ts"
import { callAs, SlackApi } from "./SlackApi.ts"
import type { SlackFailure } from "./SlackErrors.ts"

/** Names and ids older than this are asked for again. */
const maxAgeMillis = 3_600_000
/** After a failure nobody asks again before this, so that a hanging Slack delays one event, not all. */
const failureAgeMillis = 60_000
const maxUsers = 5_000

export interface Bot {
  readonly user: string
  readonly bot: string
  readonly team: string
}
export interface Person {
  readonly name: string
  readonly team?: string
}

const AuthTest = Schema.Struct({
  user_id: Schema.String,
  bot_id: Schema.optionalKey(Schema.String),
  team_id: Schema.String
})
const UserInfo = Schema.Struct({
  user: Schema.Struct({
    name: Schema.optionalKey(Schema.String),
    real_name: Schema.optionalKey(Schema.String),
    team_id: Schema.optionalKey(Schema.String),
    profile: Schema.optionalKey(Schema.Struct({
      display_name: Schema.optionalKey(Schema.String),
      real_name: Schema.optionalKey(Schema.String)
    }))
  })
})

const awaited = (asked: ReadonlyArray<Deferred.Deferred<void>>, withinMillis: number) =>
  Effect.asVoid(
    Effect.forEach(asked, Deferred.await, { discard: true }).pipe(Effect.timeoutOption(withinMillis))
  )

export class BotIdentity extends Context.Service<BotIdentity, {
  /** From `auth.test`. */
  readonly bot: Effect.Effect<Bot, SlackFailure>
  /** Asks who the bot is, unless that is known or failed lately, and waits at most `withinMillis`. */
  readonly learnBot: (withinMillis: number) => Effect.Effect<void>
  /** What is known of the bot without asking. */
  readonly known: () => Bot | undefined
  readonly person: (user: UserId) => Effect.Effect<Person, SlackFailure>
  /** Asks for those not known yet and waits at most `withinMillis`; the answers are kept whenever they come. */
  readonly learn: (users: ReadonlyArray<string>, withinMillis: number) => Effect.Effect<void>
  /** What is known of the person without asking. */
  readonly knownName: (user: string) => string | undefined
}>()("km/bridge/slack/BotIdentity") {
  static readonly layer = Layer.effect(
    BotIdentity,
    Effect.gen(function*() {
      const call = callAs(yield* SlackApi, AuthTest)
      const callUser = callAs(yield* SlackApi, UserInfo)
      let bot: { readonly value: Bot; readonly at: number } | undefined
      const people = new Map<string, { readonly value: Person; readonly at: number }>()
      const failures = new Map<string, { readonly failure: SlackFailure; readonly at: number }>()

      const remembering = Effect.fnUntraced(function*<A>(key: string, ask: Effect.Effect<A, SlackFailure>) {
        const now = yield* Clock.currentTimeMillis
        const failed = failures.get(key)
        if (failed !== undefined && now - failed.at < failureAgeMillis) return yield* failed.failure
        return yield* Effect.tapError(ask, (failure) =>
          Effect.sync(() => {
            if (failures.size >= maxUsers) failures.clear()
            failures.set(key, { failure, at: now })
          }))
      })

      const askBot = Effect.fnUntraced(function*() {
        const now = yield* Clock.currentTimeMillis
        if (bot !== undefined && now - bot.at < maxAgeMillis) return bot.value
        const stale = bot
        const fresh = remembering("bot", call("auth.test", {})).pipe(
          Effect.map((answer) => ({ user: answer.user_id, bot: answer.bot_id ?? "", team: answer.team_id }))
        )
        const value = yield* (stale === undefined ? fresh : fresh.pipe(Effect.orElseSucceed(() => stale.value)))
        bot = { value, at: now }
        return value
      })

      const askPerson = Effect.fnUntraced(function*(user: UserId) {
        const now = yield* Clock.currentTimeMillis
        const found = people.get(user)
        if (found !== undefined && now - found.at < maxAgeMillis) return found.value
        const answer = yield* remembering(user, callUser("users.info", { user }))
        const { name, profile, real_name: realName, team_id: team } = answer.user
        const shown = [profile?.display_name, realName, profile?.real_name, name].find((it) => it?.trim())
        const value: Person = {
          name: withoutHidden(shown ?? user).replace(/\s+/g, " ").trim().slice(0, 80),
          ...(team === undefined ? {} : { team })
        }
        if (people.size >= maxUsers) people.clear()
        people.set(user, { value, at: now })
        return value
      })

      const errands = yield* Errands
      const asking = new Map<string, Deferred.Deferred<void>>()
      const answered = (who: UserId | "bot"): void => {
        const asked = asking.get(who)
        asking.delete(who)
        if (asked !== undefined) Deferred.doneUnsafe(asked, Effect.void)
      }
      yield* errands.handle("LookUp", {
        run: ({ who }) =>
          Effect.ensuring(
            Effect.ignore(who === "bot" ? askBot() : askPerson(who)),
            Effect.sync(() => answered(who))
          ),
        dropped: ({ who }) => answered(who)
      })
      /** Asked once at a time; the errand goes on when nobody waits for it any more. */
      const ask = (who: UserId | "bot") =>
        Effect.sync(() => {
          const running = asking.get(who)
          if (running !== undefined) return running
          const asked = Deferred.makeUnsafe<void>()
          asking.set(who, asked)
          errands.give({ _tag: "LookUp", who })
          return asked
        })
      const learn = Effect.fnUntraced(function*(users: ReadonlyArray<string>, withinMillis: number) {
        const now = yield* Clock.currentTimeMillis
        const asked: Array<Deferred.Deferred<void>> = []
        for (const user of users) {
          const found = people.get(user)
          if (!isUserId(user) || (found !== undefined && now - found.at < maxAgeMillis)) continue
          const question = yield* ask(user)
          // An old name is good enough to go on with.
          if (found === undefined) asked.push(question)
        }
        if (asked.length > 0) yield* awaited(asked, withinMillis)
      })
      const learnBot = Effect.fnUntraced(function*(withinMillis: number) {
        yield* awaited([yield* ask("bot")], withinMillis)
      })

      return BotIdentity.of({
        learn,
        learnBot,
        bot: Effect.suspend(askBot),
        known: () => bot?.value,
        person: askPerson,
        knownName: (user) => people.get(user)?.value.name
      })
    })
  )
}
