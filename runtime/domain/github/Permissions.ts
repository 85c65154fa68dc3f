/**
 * What tokens may do. Only what is named here is ever asked for: nothing of an organisation's, which GitHub does not narrow by
 * repository, and never workflows, administration, secrets or environments.
 */
import type { Capability } from "./GitHubPolicy.ts"

/** As GitHub names permissions and levels: `contents` → `write`. */
export type Permissions = Readonly<Record<string, string>>

/** What a reading token asks for, as far as the installation has it. */
const readable = ["contents", "pull_requests", "issues", "checks", "statuses", "actions"] as const

/** What each capability writes. Releases and merges are contents of the repository. */
const writable: Readonly<Record<Capability, ReadonlyArray<string>>> = {
  pulls: ["pull_requests"],
  issues: ["issues"],
  approve: ["pull_requests"],
  merge: ["contents", "pull_requests"],
  "merge-later": ["contents", "pull_requests"],
  releases: ["contents"],
  checks: ["checks", "statuses"],
  actions: ["actions"],
  deployments: ["deployments"]
}

/** What a sandbox may change, as far as permissions can say it: the refs it may push are judged elsewhere. */
export interface Writes {
  readonly pushes: boolean
  readonly capabilities: ReadonlyArray<Capability>
}

const written = ({ capabilities, pushes }: Writes): Permissions =>
  Object.fromEntries(
    [...pushes ? ["contents"] : [], ...capabilities.flatMap((one) => writable[one])].map((name) => [name, "write"])
  )

/** Whether there is anything to write at all, so that a writing token is made. */
export const writesAnything = ({ capabilities, pushes }: Writes): boolean => pushes || capabilities.length > 0

/** What an App asks for when it is made: everything that tokens read, and what these capabilities write. */
export const appPermissions = (capabilities: ReadonlyArray<Capability>): Permissions => ({
  metadata: "read",
  ...Object.fromEntries(readable.map((name) => [name, "read"])),
  ...written({ pushes: true, capabilities })
})

const rank = (level: string | undefined): number => ["read", "write", "admin"].indexOf(level ?? "") + 1

/** Whether what was granted is enough for this. */
export const isGranted = (granted: Permissions, name: string, level: string): boolean =>
  rank(Object.hasOwn(granted, name) ? granted[name] : undefined) >= rank(level)

/** A token's permissions, and what the profile wants and the installation has not, as `name: level`. */
export interface PermissionPlan {
  readonly permissions: Permissions
  readonly lacking: ReadonlyArray<string>
}

const plan = (wanted: Permissions, granted: Permissions): PermissionPlan => {
  const entries = Object.entries(wanted)
  const given = entries.filter(([name, level]) => isGranted(granted, name, level))
  return {
    permissions: { metadata: "read", ...Object.fromEntries(given) },
    lacking: entries.filter((entry) => !given.includes(entry)).map(([name, level]) => `${name}: ${level}`)
  }
}

/** For a reading token. Without `contents: read` it would be of no use: `lacking` then begins with it. */
export const readPlan = (granted: Permissions): PermissionPlan =>
  plan(Object.fromEntries(readable.map((name) => [name, "read"])), granted)

/** For a writing token. */
export const writePlan = (writes: Writes, granted: Permissions): PermissionPlan => plan(written(writes), granted)

/** What the App asks for and the account has not accepted yet, as `name: level`. */
export const drift = (asked: Permissions, accepted: Permissions): ReadonlyArray<string> =>
  Object.entries(asked).filter(([name, level]) => !isGranted(accepted, name, level)).map(([name, level]) =>
    `${name}: ${level}`
  )
