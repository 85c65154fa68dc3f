/**
 * What the control plane does about certificates that end: with the certifier's key it certifies the operator anew, without it it
 * says which command a person has to run, and when.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Install } from "../../domain/install/Install.ts"
import { unending } from "../../ports/Unending.ts"
import { certifyOperatorAnew } from "../mail/OperatorMail.ts"
import { dueKeys, keysOfAll } from "./IdentityKeys.ts"

/** Every day, long before the certificate of 30 days ends; a failure is tried again the next day. */
export const renewOperator = (install: Install) =>
  unending(
    "certifying the operator anew ended in a defect",
    0,
    certifyOperatorAnew(install).pipe(
      Effect.catch((error) => Effect.logWarning("the operator was not certified anew", error.message)),
      Effect.delay("1 day")
    )
  )

const lookEvery = "1 hour"

/**
 * Looks at the start and every hour, and warns once of what has ended or ends within 7 days, in one line for each command
 * that helps; again only after that was renewed. Never fails.
 */
export const warnOfEnds = Effect.fnUntraced(function*(install: Install) {
  let told: ReadonlySet<string> = new Set()
  const look = Effect.gen(function*() {
    const { keys } = yield* keysOfAll(install)
    const due = Map.groupBy(dueKeys(keys, yield* Clock.currentTimeMillis), ({ command }) => command)
    for (const [command, ending] of due) {
      if (told.has(command)) continue
      yield* Effect.logWarning(
        `${
          ending.map(({ detail }) => detail).join("; ")
        }; nothing is renewed by itself (unattendedCertifier is false): ` +
          `run \`${command}\``
      )
    }
    told = new Set(due.keys())
  }).pipe(
    Effect.catch((error) => Effect.logWarning("the ends of certificates are not known", error.message))
  )
  return yield* unending(
    "looking for the ends of certificates ended in a defect",
    lookEvery,
    Effect.andThen(look, Effect.sleep(lookEvery))
  )
})
