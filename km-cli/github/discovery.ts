/** What GitHub shows of an App's installations against what the install holds: pure, so that it is judged before anything is written. */
import type { GithubAppSettings, KnownInstallation } from "../../runtime/domain/github/AppSettings.ts"
import { drift, type Permissions } from "../../runtime/domain/github/Permissions.ts"
import type { FoundInstallation } from "../../runtime/ports/GithubApps.ts"

export interface Seen {
  readonly account: string
  readonly id: number
  /**
   * `known`: as it was. `added`: new and taken over. `moved`: the account has another installation than it had. `gone`: no
   * longer there. `stranger`: of an account nobody has named, which a public App can have.
   */
  readonly state: "known" | "added" | "moved" | "gone" | "stranger"
  readonly suspended: boolean
  readonly selection: "all" | "selected" | undefined
  /** What the App asks for and the account has not accepted. */
  readonly lacking: ReadonlyArray<string>
}

export interface Discovery {
  readonly app: GithubAppSettings
  readonly seen: ReadonlyArray<Seen>
  /** What the App's installations are with `force`, and without it where nothing contradicts. */
  readonly installations: ReadonlyArray<KnownInstallation>
  /** Known ones that moved or went: only taken over on demand. */
  readonly contradictions: ReadonlyArray<Seen>
}

/** `trusted`: accounts that the operator names for a public App; in lower case. */
export const discovered = (
  app: GithubAppSettings,
  asked: Permissions,
  found: ReadonlyArray<FoundInstallation>,
  trusted: ReadonlyArray<string>
): Discovery => {
  const known = new Map(app.installations.map(({ account, id }) => [account, id]))
  const present = found.map((one): Seen => {
    const before = known.get(one.account)
    const isTrusted = !app.public || one.account === app.owner || trusted.includes(one.account)
    const state = before === one.id ? "known" : before !== undefined ? "moved" : isTrusted ? "added" : "stranger"
    return {
      account: one.account,
      id: one.id,
      state,
      suspended: one.suspended,
      selection: one.selection,
      lacking: drift(asked, one.permissions)
    }
  })
  const gone = app.installations.filter(({ account }) => !found.some((one) => one.account === account)).map(
    ({ account, id }): Seen => ({ account, id, state: "gone", suspended: false, selection: undefined, lacking: [] })
  )
  const seen = [...present, ...gone].toSorted((a, b) => a.account < b.account ? -1 : 1)
  return {
    app,
    seen,
    installations: seen.filter(({ state }) => state !== "gone" && state !== "stranger").map(({ account, id }) => ({
      account,
      id
    })),
    contradictions: seen.filter(({ state }) => state === "moved" || state === "gone")
  }
}

/** For people: what is so of one installation, worst first. */
export const seenText = ({ lacking, state, suspended }: Seen): string =>
  [
    ...(state === "gone" ? ["not installed any more"] : []),
    ...(state === "moved" ? ["another installation than before"] : []),
    ...(state === "stranger" ? ["not taken over: name it with --account"] : []),
    ...(state === "added" ? ["new"] : []),
    ...(suspended ? ["SUSPENDED"] : []),
    ...(lacking.length > 0 ? [`has not accepted ${lacking.join(", ")}`] : [])
  ].join("; ") || "fine"
