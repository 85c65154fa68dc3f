/** The sandbox's one redactor: everything that is posted or uploaded goes through it. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Redactor } from "../domain/text/Redactor.ts"
import { makeRedactor } from "../domain/text/Redactor.ts"

export class Redaction extends Context.Service<Redaction, {
  /** For text of any kind: posts, notices, titles. Never fails, never returns a known secret. */
  readonly redact: (text: string) => string
  /** The redactor with the secrets known now; for JSONL use its `jsonLine`. */
  readonly current: () => Redactor
  /** A secret that was handed out: from now on no text shows it. Values under 8 characters have no effect. */
  readonly add: (secret: Redacted.Redacted<string>) => Effect.Effect<void>
}>()("km/runtime/ports/Redaction") {
  /** Knows the shapes of tokens, and the values given to `add`. */
  static readonly layer = Layer.effect(
    Redaction,
    Effect.sync(() => {
      const secrets = new Set<string>()
      let redactor = makeRedactor(secrets)
      return Redaction.of({
        redact: (text) => redactor.text(text),
        current: () => redactor,
        add: (secret) =>
          Effect.sync(() => {
            const value = Redacted.value(secret)
            if (secrets.has(value)) return
            secrets.add(value)
            redactor = makeRedactor(secrets)
          })
      })
    })
  )
}
