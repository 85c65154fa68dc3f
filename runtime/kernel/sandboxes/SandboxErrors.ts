/** What can keep a sandbox from being made or unmade, with the codes that `docs/errors.md` lists. */
import * as Schema from "effect/Schema"
import { grantCodes } from "../../domain/github/GithubErrors.ts"

/** For `docs/errors.md`. */
export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> = [
  {
    code: "KM-CLI-101",
    what: "The id or alias is taken by another sandbox, or is the operator's.",
    remedy: "Choose another one, or destroy that sandbox."
  },
  {
    code: "KM-CLI-102",
    what: "A sandbox of this id exists with another profile or is being destroyed.",
    remedy: "Use another id, or wait until it is gone (`km status` with the id shows it)."
  },
  {
    code: "KM-CLI-103",
    what: "A step of create failed; what it had made was undone.",
    remedy: "Follow the reason, then run the same command again."
  },
  {
    code: "KM-CLI-104",
    what: "The sandbox did not become ready in time; what was made was undone.",
    remedy: "See `km doctor` and `km logs`, then run the same command again."
  },
  {
    code: "KM-CLI-105",
    what: "Create failed and undoing it failed too; the rest is still listed.",
    remedy: "Run `km destroy` with the id; it continues where it stopped."
  },
  {
    code: "KM-CLI-106",
    what: "This install has no certifier key, so no sandbox can get an identity.",
    remedy: "Put `secrets/certifier` back, which the first `km up` made."
  },
  {
    code: "KM-CLI-107",
    what: "A step of destroy could not be done now; the rest is still listed.",
    remedy: "Follow the reason, then run `km destroy` with the id again; it continues where it stopped."
  },
  {
    code: "KM-TRN-020",
    what: "A message was accepted, but its sandbox was destroyed before the message's turn came.",
    remedy: "Ask again in another sandbox's channel."
  },
  {
    code: "KM-TRN-021",
    what: "A message was given to the runtime five times and no attempt got as far as starting its turn.",
    remedy: "See `km logs`, then `km replay` with the turn's key."
  }
]

/** `code` is one of the table above; `reason` and `remedy` are sentences for a person. */
export class SandboxRefused extends Schema.TaggedError<SandboxRefused>()("SandboxRefused", {
  code: Schema.Literals([
    "KM-CLI-101",
    "KM-CLI-102",
    "KM-CLI-103",
    "KM-CLI-104",
    "KM-CLI-105",
    "KM-CLI-106",
    "KM-CLI-107",
    ...grantCodes
  ]),
  sandbox: Schema.String,
  /** The step that failed, in one word; empty before the first. */
  step: Schema.String,
  reason: Schema.String,
  remedy: Schema.String
}) {
  override get message(): string {
    return `${this.code}: ${this.sandbox}: ${this.reason}; ${this.remedy}`
  }
}
