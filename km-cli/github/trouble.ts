/** Failures of GitHub as a person sees them. */
import type { GithubFailed } from "../../runtime/ports/GithubApps.ts"
import { KmError } from "../KmError.ts"

/** `exit` as `KmError` says. */
export const githubError = (code: string, exit: KmError["exit"], what: string, why: string, next: string): KmError =>
  new KmError({ code, exit, what, why, next })

const nexts: Readonly<Record<GithubFailed["reason"], string>> = {
  NoKey: "km github",
  BadKey: "make a new key in the App's settings on GitHub, or a new App with km github --force",
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
