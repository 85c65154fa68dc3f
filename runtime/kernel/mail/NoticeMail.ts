/** How the operator gets notices by mail. The codec is a plugin's, so a composition root hands the desk in. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { LetterRefused, OperatorDesk } from "./MailActions.ts"

export interface NoticeLetter {
  /** Names it for good: sent twice under one key, it arrives once. */
  readonly key: string
  readonly subject: string
  readonly body: string
}

export class NoticeMail extends Context.Service<NoticeMail, {
  readonly send: (letter: NoticeLetter) => Effect.Effect<void, LetterRefused>
}>()("km/runtime/kernel/mail/NoticeMail") {
  /** From the operator to themselves: whoever runs the control plane holds that key, and reads that mailbox. */
  static readonly layer = <R>(desk: Effect.Effect<OperatorDesk, LetterRefused, R>) =>
    Layer.effect(
      NoticeMail,
      Effect.map(Effect.context<R>(), (ports) =>
        NoticeMail.of({
          send: ({ body, key, subject }) =>
            Effect.flatMap(
              desk,
              ({ send }) =>
                send({ to: ["operator"], cc: [], bcc: [], subject, body, encrypt: false, attachments: [], key })
            ).pipe(
              Effect.asVoid,
              Effect.provideContext(ports)
            )
        }))
    )
}
