/**
 * Which secrets each process of an install is given, by prefix of their paths: what a process cannot name it cannot lose.
 * Mail from strangers is taken in by a process that is given none at all.
 */
import { githubSecretsPrefix } from "../github/AppSettings.ts"
import { bridgePinPath } from "../identity/Revocations.ts"
import { relayPasswordPath } from "../mail/SmtpSettings.ts"
import type { SandboxId } from "../sandbox/Ids.ts"
import { linkKeyPath } from "../slack/FileLinks.ts"

/**
 * Prefixes are whole segments of paths: `slack`, `sandbox/sb-1a2b3c4d`; a segment `*` stands for any one. Everything that is
 * not named is denied.
 */
export interface SecretsScope {
  readonly read: ReadonlyArray<string>
  /** May be written and deleted too; lies below `read`. */
  readonly write?: ReadonlyArray<string>
  /** May be deleted without being read. */
  readonly delete?: ReadonlyArray<string>
  /** Denied although it lies below one of the others. */
  readonly except?: ReadonlyArray<string>
  /** The certifier's key is within reach; else it is denied even where a prefix says otherwise. */
  readonly certifier?: boolean
}

const operator = "sandbox/operator"

/** Slack's, the number below which no list of revocations is believed, and what links to files are signed with. */
export const bridgeSecrets: SecretsScope = { read: ["slack", bridgePinPath, linkKeyPath] }

/** The keys of the GitHub Apps, and each sandbox's tokens made with them: what the refresher needs, a part of the control plane. */
const githubTokens = "sandbox/*/github"

/**
 * The operator's own keys, the end of every sandbox's, and all of GitHub's. Where the install says `unattendedCertifier`,
 * all that creating a sandbox and renewing its certificate need.
 */
export const controlSecrets = (unattendedCertifier: boolean): SecretsScope =>
  unattendedCertifier
    ? { read: ["certifier", "sandbox", bridgePinPath, githubSecretsPrefix], write: ["sandbox"], certifier: true }
    : {
      read: [operator, bridgePinPath, githubSecretsPrefix, githubTokens],
      write: [githubTokens],
      delete: ["sandbox"]
    }

/** Of the sandbox that it serves, or of all, and the model's key; never the operator's. */
export const runtimeSecrets = (only: SandboxId | undefined): SecretsScope => ({
  read: [only === undefined ? "sandbox" : `sandbox/${only}`, "model"],
  except: [operator]
})

/** The relay's password. */
export const relaySecrets: SecretsScope = { read: [relayPasswordPath] }

/** What a person stores who changes it, by a command of the same program. */
export const relayPasswordSecrets: SecretsScope = { ...relaySecrets, write: [relayPasswordPath] }
