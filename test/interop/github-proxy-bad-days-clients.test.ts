/**
 * Each bad day as git, gh and curl meet it: a sentence that says what is so, no question for a name or a password, no bare
 * number; and when it is over the same command succeeds, without anybody having done anything.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { tokenRefused } from "../../runtime/ports/RepositoryTokens.ts"
import type { GitHubDouble } from "../plugins/github-proxy/gitHub.ts"
import { type ProxyWorld, proxyWorld } from "../plugins/github-proxy/proxyWorld.ts"

const gh = { GH_TOKEN: "held-by-the-proxy", GH_PROMPT_DISABLED: "1", GH_NO_UPDATE_NOTIFIER: "1" }

const clients = {
  git: ["git", "ls-remote", "https://github.com/my-org/api.git"],
  gh: ["gh", "api", "repos/my-org/api"],
  curl: ["curl", "-sS", "--fail-with-body", "https://api.github.com/repos/my-org/api"]
} as const

type Client = keyof typeof clients

interface BadDay {
  readonly begins: (world: ProxyWorld) => void
  readonly ends: (world: ProxyWorld) => void
  readonly says: Readonly<Record<Client, string>>
  readonly patience?: number
}

const all = (says: string): BadDay["says"] => ({ git: says, gh: says, curl: says })

const answering = (says: BadDay["says"], intercept: GitHubDouble["intercept"], patience?: number): BadDay => ({
  begins: ({ gitHub }) => {
    gitHub.intercept = intercept
  },
  ends: ({ gitHub }) => {
    gitHub.intercept = () => false
  },
  says,
  ...(patience === undefined ? {} : { patience })
})

const status =
  (code: number, message: string, headers: Readonly<Record<string, string>> = {}): GitHubDouble["intercept"] =>
  (seen, request, response) => {
    request.resume()
    const body = seen.host === "github.com" ? `${message}\n` : JSON.stringify({ message })
    response.writeHead(code, {
      ...headers,
      "content-type": seen.host === "github.com" ? "text/plain" : "application/json",
      "www-authenticate": "Basic realm=\"GitHub\""
    }).end(body)
    return true
  }

const troubled = (reason: Parameters<typeof tokenRefused>[0], detail: string, code: string): BadDay => ({
  begins: ({ tokens }) => {
    tokens.trouble = tokenRefused(reason, detail)
  },
  ends: ({ tokens }) => {
    tokens.trouble = undefined
  },
  says: all(`km: ${code}: ${detail}`)
})

const days: Readonly<Record<string, BadDay>> = {
  "the token service is down": troubled("Unavailable", "there is no fresh token for my-org now", "KM-GHA-025"),
  "the App is uninstalled": troubled("NotInstalled", "my-org has uninstalled the GitHub App", "KM-GHA-022"),
  "the installation is suspended": troubled("Suspended", "my-org has suspended the GitHub App", "KM-GHA-023"),
  "a permission was taken away": troubled("NotPermitted", "my-org does not grant contents: read", "KM-GHA-024"),
  "GitHub takes no token": {
    begins: ({ gitHub }) => gitHub.tokens.clear(),
    ends: ({ gitHub, tokens }) => {
      for (const access of ["read", "write"]) {
        for (let turn = 1; turn <= tokens.generation + 2; turn++) gitHub.tokens.add(`ghs_memory_${access}_${turn}`)
      }
    },
    says: all("km: GitHub no longer takes this sandbox's token for my-org/api; a new one is being made, try again")
  },
  "GitHub limits": answering(
    {
      git: "km: GitHub's rate limit is reached; try again later",
      gh: "You have exceeded a secondary rate limit",
      curl: "You have exceeded a secondary rate limit"
    },
    status(403, "You have exceeded a secondary rate limit", { "retry-after": "60" })
  ),
  "GitHub does not show the repository": answering(
    { git: "km: GitHub does not show my-org/api to this sandbox", gh: "Not Found", curl: "Not Found" },
    status(404, "Not Found")
  ),
  "GitHub refuses": answering(
    {
      git: "km: GitHub refuses this sandbox my-org/api: the App's installation may lack a permission",
      gh: "Resource not accessible by integration",
      curl: "Resource not accessible by integration"
    },
    status(403, "Resource not accessible by integration")
  ),
  ...Object.fromEntries([500, 502, 503, 504].map((code) => [
    `GitHub answers ${code}`,
    answering(all(`km: GitHub has trouble (${code}); try again`), status(code, "<html>Unicorn</html>"))
  ])),
  "GitHub hangs": answering(all("km: GitHub does not answer; try again"), (_, request) => {
    request.resume()
    return true
  }, 500),
  "GitHub closes the connection": answering(all("km: GitHub closed the connection; try again"), (_, request) => {
    request.socket.destroy()
    return true
  }),
  "GitHub is not there": {
    begins: ({ gitHub }) => {
      gitHub.addresses.set("github.com", [])
      gitHub.addresses.set("api.github.com", [])
    },
    ends: ({ gitHub }) => gitHub.addresses.clear(),
    says: {
      git: "km: github.com does not answer: it has no address; try again",
      gh: "km: api.github.com does not answer: it has no address; try again",
      curl: "km: api.github.com does not answer: it has no address; try again"
    }
  }
}

describe("a bad day", () => {
  for (const [name, { begins, ends, patience, says }] of Object.entries(days)) {
    it.live(`${name}: git, gh and curl are told, and go on when it is over`, () =>
      Effect.gen(function*() {
        const world = yield* proxyWorld(patience === undefined ? {} : { patience })
        world.gitHub.repository("my-org/api")
        const run = (client: Client) => world.run(clients[client], { env: gh })
        begins(world)
        for (const client of ["git", "gh", "curl"] as const) {
          const { code, stderr, stdout } = yield* run(client)
          const said = stdout + stderr
          assert.notStrictEqual(code, 0, client)
          assert.include(said, says[client], client)
          for (const word of ["Username", "Password", "could not read", "gh auth login", "401", "Unicorn", "unicorn"]) {
            assert.notInclude(said, word, client)
          }
        }
        ends(world)
        for (const client of ["git", "gh", "curl"] as const) {
          const { code, stderr } = yield* run(client)
          assert.strictEqual(code, 0, `${client}: ${stderr}`)
        }
      }))
  }

  it.live("in the middle of an answer of the API: nobody takes half of it for whole", () =>
    Effect.gen(function*() {
      const world = yield* proxyWorld()
      world.gitHub.intercept = (_, request, response) => {
        request.resume()
        response.writeHead(200, { "content-type": "application/json", "content-length": "1000" })
        response.write("{\"full_name\":\"my-org")
        setImmediate(() => request.socket.destroy())
        return true
      }
      for (const client of ["gh", "curl"] as const) {
        assert.notStrictEqual((yield* world.run(clients[client], { env: gh })).code, 0, client)
      }
      world.gitHub.intercept = () => false
      assert.strictEqual((yield* world.run(clients.gh, { env: gh })).code, 0)
    }))
})
