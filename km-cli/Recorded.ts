/** What a person does with a command, in the journal before it has an effect: what cannot be written down is not done. */
import * as Effect from "effect/Effect"
import { Audit, type AuditRecord } from "../runtime/ports/Audit.ts"

export const recorded = Effect.fnUntraced(function*(
  action: AuditRecord["action"],
  subject: string,
  detail?: string
) {
  const audit = yield* Audit
  const more = detail === undefined ? {} : { detail }
  yield* audit.record({ actor: "operator", action, subject, verdict: "allowed", ...more })
})
