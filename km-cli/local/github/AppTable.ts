/** The Apps that exist here and where they are installed. */
import { createHash, generateKeyPair, randomBytes } from "node:crypto"
import type { Permissions } from "./GithubOptions.ts"

export interface Account {
  readonly id: number
  readonly login: string
  readonly kind: "User" | "Organization"
}

export interface Repository {
  readonly id: number
  readonly account: Account
  /** As it is now; a rename changes it and nothing else. */
  name: string
  readonly private: boolean
  /** Types of the rules for a branch, by its name without `refs/heads/`. They are shown; Git is not held to them here. */
  readonly rules: Map<string, ReadonlyArray<string>>
}

export interface App {
  readonly id: number
  readonly clientId: string
  readonly slug: string
  readonly name: string
  readonly owner: Account
  readonly public: boolean
  permissions: Permissions
  /** PEM of the private keys that are good now, the newest last. GitHub itself keeps the public halves only. */
  keys: ReadonlyArray<string>
  readonly createdAt: number
}

export interface Installation {
  readonly id: number
  readonly app: App
  readonly account: Account
  selection: "all" | "selected"
  repositories: ReadonlyArray<number>
  /** What the account has accepted: behind the App's own after those were widened. */
  permissions: Permissions
  suspendedAt: number | undefined
  readonly createdAt: number
}

/** RSA of 2048 bits in PKCS#1, as GitHub hands it out. Source: "Managing private keys for GitHub Apps". */
export const makeAppKey = (): Promise<string> =>
  new Promise((resolve, reject) =>
    generateKeyPair("rsa", {
      modulusLength: 2_048,
      privateKeyEncoding: { type: "pkcs1", format: "pem" },
      publicKeyEncoding: { type: "spki", format: "pem" }
    }, (error, _, privateKey) => error === null ? resolve(privateKey) : reject(error))
  )

const slugOf = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]+/gu, "-").replaceAll(/^-|-$/gu, "")

export class AppTable {
  readonly apps: Array<App> = []
  readonly installations: Array<Installation> = []
  readonly repositories: ReadonlyArray<Repository>
  readonly accounts: ReadonlyArray<Account>
  readonly #now: () => number

  constructor(accounts: ReadonlyArray<Account>, repositories: ReadonlyArray<Repository>, now: () => number) {
    this.accounts = accounts
    this.repositories = repositories
    this.#now = now
  }

  /** The names of Apps are one set for all of GitHub. Source: "Registering a GitHub App". */
  isTaken(name: string): boolean {
    return this.apps.some(({ slug }) => slug === slugOf(name))
  }

  account(login: string): Account | undefined {
    return this.accounts.find((one) => one.login.toLowerCase() === login.toLowerCase())
  }

  repository(owner: string, name: string): Repository | undefined {
    return this.repositories.find((one) =>
      one.account.login.toLowerCase() === owner.toLowerCase() && one.name.toLowerCase() === name.toLowerCase()
    )
  }

  async register(
    { name, owner, permissions, public: isPublic }: Pick<App, "name" | "owner" | "permissions" | "public">
  ): Promise<App> {
    const id = 100_001 + this.apps.length
    const app: App = {
      id,
      clientId: `Iv23li${createHash("sha256").update(randomBytes(16)).digest("hex").slice(0, 14)}`,
      slug: slugOf(name),
      name,
      owner,
      public: isPublic,
      // Every App may read metadata. Source: "Choosing permissions for a GitHub App".
      permissions: { metadata: "read", ...permissions },
      keys: [await makeAppKey()],
      createdAt: this.#now()
    }
    this.apps.push(app)
    return app
  }

  install(app: App, account: Account, repositories: ReadonlyArray<number> | "all"): Installation {
    const installation: Installation = {
      id: 500_001 + this.installations.length,
      app,
      account,
      selection: repositories === "all" ? "all" : "selected",
      repositories: repositories === "all" ? [] : repositories,
      permissions: app.permissions,
      suspendedAt: undefined,
      createdAt: this.#now()
    }
    this.installations.push(installation)
    return installation
  }

  uninstall(installation: Installation): void {
    const at = this.installations.indexOf(installation)
    // Its number is not used again.
    if (at >= 0) this.installations.splice(at, 1, { ...installation, id: 0 })
  }

  of(app: App): ReadonlyArray<Installation> {
    return this.installations.filter((one) => one.app === app && one.id !== 0)
  }

  find(app: App, id: number): Installation | undefined {
    return this.of(app).find((one) => one.id === id)
  }

  /** What an installation shows now. */
  seen({ account, repositories, selection }: Installation): ReadonlyArray<Repository> {
    return this.repositories.filter((one) =>
      one.account === account && (selection === "all" || repositories.includes(one.id))
    )
  }
}
