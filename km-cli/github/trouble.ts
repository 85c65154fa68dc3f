/** Failures of GitHub as a person sees them. */
import * as Effect from "effect/Effect"
import { Audit } from "../../runtime/ports/Audit.ts"
import type { GithubFailed } from "../../runtime/ports/GithubApps.ts"
import type { InstallMissing } from "../../runtime/ports/InstallStore.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"
import { KmError, kmError } from "../KmError.ts"

/** `exit` as `KmError` says. */
export const githubError = (code: string, exit: KmError["exit"], what: string, why: string, next: string): KmError =>
  new KmError({ code, exit, what, why, next })

const nexts: Readonly<Record<GithubFailed["reason"], string>> = {
  NoKey: "km github",
  BadKey: "make a new key in the App's settings on GitHub, then km github key FILE",
  Missing: "km configure github --discover",
  Suspended: "the account's owner ends that in its settings on GitHub",
  NotGranted: "the account's owner accepts the App's permissions in its settings on GitHub",
  RateLimited: "wait a minute and run it again",
  Unreachable: "check the network to the host and run it again",
  Refused: "look at the App's settings on GitHub"
}

/** KM-GHA-001 with what GitHub said. */
export const githubTrouble = (error: GithubFailed): KmError =>
  githubError(
    "KM-GHA-001",
    error.reason === "BadKey" || error.reason === "NoKey" ? 4 : 1,
    `${error.host} does not do it`,
    error.detail,
    nexts[error.reason]
  )

/** The command has opened the install before, so that it goes missing only between the two. */
export const installTrouble = (error: StoreError | InstallMissing): StoreError | KmError =>
  error._tag === "StoreError" ? error : kmError("KM-CLI-010", "there is no install", error.message)

/** Written into the journal before it begins, and when it is over; what cannot be written down does not begin. */
export const audited =
  (action: string, subject: string) => <A, E extends { readonly message: string }, R>(act: Effect.Effect<A, E, R>) =>
    Effect.gen(function*() {
      const audit = yield* Audit
      const entry = { actor: "operator", action, subject }
      yield* audit.record({ ...entry, verdict: "allowed" })
      return yield* act.pipe(
        Effect.tap(() => Effect.ignore(audit.record({ ...entry, verdict: "done" }))),
        Effect.tapError(({ message }) => Effect.ignore(audit.record({ ...entry, verdict: "failed", detail: message })))
      )
    })
