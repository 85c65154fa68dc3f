/** The operator's own mail desk, with its keys as they should be, and what is said of who would not take its mail. */
import * as Effect from "effect/Effect"
import type { Install } from "../runtime/domain/install/Install.ts"
import type { SandboxId } from "../runtime/domain/sandbox/Ids.ts"
import { ensureOperator, operatorOwner } from "../runtime/kernel/mail/OperatorMail.ts"
import type { Backend } from "./Backend.ts"
import { KmError } from "./KmError.ts"

/** The operator's mail identity, made or renewed where that is due; a refusal to certify as commands tell it. */
export const ensureOperatorKeys = (backend: Pick<Backend, "makingKeys">, install: Install) =>
  ensureOperator(install, backend.makingKeys).pipe(
    Effect.catchTag("IdentityRefused", ({ code, reason, remedy }) =>
      Effect.fail(
        new KmError({ code, exit: 1, what: "the operator's keys cannot be certified", why: reason, next: remedy })
      ))
  )

/** The operator's own. */
export const operatorDesk = Effect.fn("OperatorDesk.open")(
  function*(backend: Pick<Backend, "mail" | "makingKeys">, install: Install) {
    yield* ensureOperatorKeys(backend, install)
    return yield* backend.mail(install, operatorOwner)
  }
)

/** For people, before or after something is sent to those who will not take it. */
export const refusalNotes = (refusing: ReadonlyArray<SandboxId>): ReadonlyArray<string> =>
  refusing.map((id) =>
    `warning: ${id} takes no mail from the operator, so it goes to quarantine there; see allowedSenders of its profile`
  )
