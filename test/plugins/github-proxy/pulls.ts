/**
 * Pull requests of the GitHub behind the proxy: numbers, ends, and the requests that move them, by REST and by the few
 * mutations. What happened is written down, and each request can be kept waiting before it does anything.
 */
import { Effect } from "effect"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { GitHubDouble, SeenRequest } from "./gitHub.ts"

export interface Pull {
  base: string
  head: string
  sha: string
  merged: boolean
}

export interface Pulls {
  readonly known: Map<number, Pull>
  /** `merge 1 into feature/x`, `base 1 main`, `update 1`: what was done, in order. */
  readonly done: Array<string>
  /** Awaited before a request that changes something does it; the text is that of `done`, as asked for. */
  gate: (what: string) => Promise<void>
  /** Instead of the answer to what was done. */
  after: (what: string, request: IncomingMessage, response: ServerResponse) => boolean
}

const repository = { id: 7, full_name: "my-org/api" }

const shown = (number: number, { base, head, sha }: Pull) => ({
  number,
  base: { ref: base, sha: "b".repeat(40), repo: repository },
  head: { ref: head, sha, repo: repository }
})

const shownNode = (number: number, { base, head, sha }: Pull) => ({
  __typename: "PullRequest",
  number,
  repository: { databaseId: 7 },
  baseRefName: base,
  headRefName: head,
  headRefOid: sha,
  baseRepository: { databaseId: 7 },
  headRepository: { databaseId: 7 }
})

interface Asked {
  readonly what: string
  readonly number: number
  readonly sha?: string | undefined
  readonly base?: string | undefined
}

/** What a request would change, in the words of `done` but for the base, which is only known when it is done. */
const asked = (url: string, method: string, body: Record<string, unknown>): Asked | undefined => {
  const [, number = "", rest = ""] = /^\/repos\/my-org\/api\/pulls\/(\d+)(.*)$/.exec(url) ?? []
  const text = (name: string) => typeof body[name] === "string" ? String(body[name]) : undefined
  if (method === "PUT" && rest === "/merge") return { what: "merge", number: Number(number), sha: text("sha") }
  if (method === "PUT" && rest === "/update-branch") {
    return { what: "update", number: Number(number), sha: text("expected_head_sha") }
  }
  if (method === "PATCH" && rest === "") return { what: "base", number: Number(number), base: text("base") }
  const query = String(body["query"] ?? "")
  const given = (name: string) => new RegExp(`${name}: ?"([^"]*)"`).exec(query)?.[1]
  const id = Number(/PR_(\d+)/.exec(query)?.[1] ?? 0)
  if (query.includes("mergePullRequest")) return { what: "merge", number: id, sha: given("expectedHeadOid") }
  if (query.includes("updatePullRequestBranch")) return { what: "update", number: id, sha: given("expectedHeadOid") }
  return query.includes("updatePullRequest") ? { what: "base", number: id, base: given("baseRefName") } : undefined
}

const bodyOf = (request: IncomingMessage): Promise<Record<string, unknown>> =>
  new Promise((resolve) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString()
      resolve(text === "" ? {} : JSON.parse(text))
    })
  })

/** Has the GitHub answer for pull requests; everything else it answers as before. */
export const withPulls = (gitHub: GitHubDouble, known: Readonly<Record<number, Partial<Pull>>>): Pulls => {
  const pulls: Pulls = {
    known: new Map(
      Object.entries(known).map(([number, pull]) => [
        Number(number),
        { base: "feature/x", head: "feature/y", sha: "a".repeat(40), merged: false, ...pull }
      ])
    ),
    done: [],
    gate: () => Promise.resolve(),
    after: () => false
  }
  const act = ({ base, number, sha, what }: Asked): readonly [number, unknown] => {
    const pull = pulls.known.get(number)
    if (pull === undefined) return [404, { message: "Not Found" }]
    if (what === "base") {
      if (base !== undefined) {
        pull.base = base
        pulls.done.push(`base ${number} ${base}`)
      }
      return [200, shown(number, pull)]
    }
    if (sha === undefined || sha !== pull.sha) {
      return [409, { message: "Head branch was modified. Review and try the merge again." }]
    }
    pulls.done.push(what === "merge" ? `merge ${number} into ${pull.base}` : `update ${number}`)
    if (what === "merge") pull.merged = true
    return [200, { merged: true, sha: "e".repeat(40) }]
  }
  const handle = async (seen: SeenRequest, request: IncomingMessage, response: ServerResponse) => {
    const body = await bodyOf(request)
    const answer = (status: number, value: unknown) =>
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value))
    const [, shownNumber] = /^\/repositories\/7\/pulls\/(\d+)$/.exec(seen.url) ?? []
    if (shownNumber !== undefined) {
      const pull = pulls.known.get(Number(shownNumber))
      return pull === undefined ? answer(404, {}) : answer(200, shown(Number(shownNumber), pull))
    }
    const change = asked(seen.url, seen.method, body)
    if (change === undefined) {
      const id = Number(String((body["variables"] as { id?: string } | undefined)?.id ?? "").replace("PR_", ""))
      const pull = pulls.known.get(id)
      return answer(200, { data: { node: pull === undefined ? null : shownNode(id, pull) } })
    }
    await pulls.gate(`${change.what} ${change.number}`)
    const [status, value] = act(change)
    if (pulls.after(change.what, request, response)) return
    answer(status, seen.url === "/graphql" ? { data: {}, ...(status === 200 ? {} : { errors: [value] }) } : value)
  }
  gitHub.intercept = (seen, request, response) => {
    const isPulls = seen.host === "api.github.com" &&
      (seen.url === "/graphql" || /^\/(?:repositories\/7|repos\/my-org\/api)\/pulls\//.test(seen.url))
    if (isPulls) void handle(seen, request, response)
    return isPulls
  }
  return pulls
}

/** A gate for one kind of change: `reached` when one waits there, `open` lets it and all later ones pass. */
export const gateOn = (pulls: Pulls, kind: string) => {
  const reached = Promise.withResolvers<void>()
  const opened = Promise.withResolvers<void>()
  pulls.gate = (what) => {
    if (!what.startsWith(kind)) return Promise.resolve()
    reached.resolve()
    return opened.promise
  }
  return { reached: Effect.promise(() => reached.promise), open: Effect.sync(() => opened.resolve()) }
}
