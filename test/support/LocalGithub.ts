/** A local GitHub with two accounts, for the life of the scope. */
import * as Effect from "effect/Effect"
import type { GithubOptions } from "../../km-cli/local/github/GithubOptions.ts"
import { startGithub } from "../../km-cli/local/github/LocalGithub.ts"
import { temporaryDirectory } from "./temporaryDirectory.ts"

/** `org` has api and web, which are private, and open, which is public; `octocat` has notes, and is who is signed in. */
export const localGithub = (options: Partial<GithubOptions> = {}) =>
  Effect.gen(function*() {
    return yield* startGithub({
      directory: yield* temporaryDirectory,
      accounts: [
        { login: "octocat", kind: "User", repositories: [{ name: "notes", private: true }] },
        {
          login: "org",
          kind: "Organization",
          repositories: [{ name: "api", private: true }, { name: "web", private: true }, { name: "open" }]
        }
      ],
      ...options
    })
  })
