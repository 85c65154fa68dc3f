/** Slack's secrets as the bridge uses them: read from the store, kept at most 30 s, never printed. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"

export const appTokenPath = "slack/app-token"

/** How long a rotated or revoked secret may still be used. */
export const secretMaxAgeMillis = 30_000

/** A signature that does not hold may be of a secret that was just stored; strangers can make the store read no oftener. */
const anewMillis = 1_000
const signingPaths = ["slack/signing-secret", "slack/signing-secret-previous"] as const

const lines = (value: Option.Option<Redacted.Redacted<string>>) =>
  Option.isNone(value)
    ? []
    : Redacted.value(value.value).split(/\s+/).filter((line) => line !== "").map((line) => Redacted.make(line))

export class SlackSecrets extends Context.Service<SlackSecrets, {
  readonly botToken: Effect.Effect<Option.Option<Redacted.Redacted<string>>, StoreError>
  /** The app-level token (`xapp-…`), which opens the connections of Socket Mode and nothing else. */
  readonly appToken: Effect.Effect<Option.Option<Redacted.Redacted<string>>, StoreError>
  /**
   * Those that may have signed an event: the lines of `slack/signing-secret` (two while one is being rotated) and,
   * where it exists, `slack/signing-secret-previous`.
   */
  readonly signingSecrets: Effect.Effect<ReadonlyArray<Redacted.Redacted<string>>, StoreError>
  /** The same, read anew where the last time was a second ago or more: right after a rotation they differ. */
  readonly signingSecretsAnew: Effect.Effect<ReadonlyArray<Redacted.Redacted<string>>, StoreError>
  /** The next read goes to the store: Slack has just refused what we have. */
  readonly forget: Effect.Effect<void>
}>()("km/bridge/slack/SlackSecrets") {
  static readonly layer = Layer.effect(
    SlackSecrets,
    Effect.gen(function*() {
      const secrets = yield* Secrets
      const held = new Map<string, { readonly value: Option.Option<Redacted.Redacted<string>>; readonly at: number }>()
      const read = Effect.fnUntraced(function*(path: string) {
        const now = yield* Clock.currentTimeMillis
        const known = held.get(path)
        if (known !== undefined && now - known.at < secretMaxAgeMillis) return known.value
        const value = yield* secrets.get(path)
        held.set(path, { value, at: now })
        return value
      })
      const token = (path: string) =>
        Effect.map(read(path), Option.map((value) => Redacted.make(Redacted.value(value).trim())))
      /** Of both paths together, as old as the older one: every event asks for them. */
      let signing: { readonly values: ReadonlyArray<Redacted.Redacted<string>>; readonly at: number } | undefined
      const signingSecrets = Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        if (signing !== undefined && now - signing.at < secretMaxAgeMillis) return signing.values
        const values = (yield* Effect.forEach(signingPaths, read)).flatMap(lines)
        signing = { values, at: Math.min(...signingPaths.map((path) => held.get(path)?.at ?? now)) }
        return values
      })
      let anewAt = Number.NEGATIVE_INFINITY
      return SlackSecrets.of({
        botToken: token("slack/bot-token"),
        appToken: token(appTokenPath),
        signingSecrets,
        signingSecretsAnew: Effect.gen(function*() {
          const now = yield* Clock.currentTimeMillis
          if (now - anewAt >= anewMillis) {
            anewAt = now
            for (const path of signingPaths) held.delete(path)
            signing = undefined
          }
          return yield* signingSecrets
        }),
        forget: Effect.sync(() => {
          held.clear()
          signing = undefined
        })
      })
    })
  )
}
