/**
 * The routes of the REST API that move refs, on the repositories that Git serves, since the emulator has refs of its own.
 * Source: docs.github.com, "REST API endpoints for Git references" and "Get rules for a branch".
 */
import * as Effect from "effect/Effect"
import { isJson, parseJson, textOf } from "../workspace/Json.ts"
import { type Answer, json, notFound, problem } from "./Answer.ts"
import type { Repository } from "./AppTable.ts"
import { askGit, type GitFailed } from "./GitRepositories.ts"

/** As Git takes it, and nothing that it would read as an option or a search. */
const refPattern = /^refs\/[A-Za-z0-9][A-Za-z0-9._/-]{0,250}$/u
const shaPattern = /^[0-9a-f]{40}$/u

export interface RefRequest {
  readonly method: string
  /** Percent-decoded, behind `/repos/{owner}/{repo}`. */
  readonly path: string
  readonly body: string
  /** Of the token: `read` or `write`; undefined for none. */
  readonly contents: string | undefined
}

const shown = (ref: string, sha: string) => ({ ref, object: { type: "commit", sha } })

/** What a repository's directory is asked: Git's own output, trimmed; undefined where Git says no. */
type Ask = (...args: ReadonlyArray<string>) => Effect.Effect<string | undefined, GitFailed>

const move = Effect.fnUntraced(function*(ask: Ask, ref: string, text: string) {
  const body = parseJson(text)
  const sha = isJson(body) ? textOf(body, "sha") ?? "" : ""
  if (!isJson(body) || !shaPattern.test(sha)) return problem(422, "Object does not exist")
  const before = yield* ask("rev-parse", "--verify", "--quiet", ref)
  if (before === undefined) return problem(422, "Reference does not exist")
  if ((yield* ask("cat-file", "-e", sha)) === undefined) return problem(422, "Object does not exist")
  const forwards = (yield* ask("merge-base", "--is-ancestor", before, sha)) !== undefined
  if (!forwards && body["force"] !== true) return problem(422, "Update is not a fast forward")
  // Only from what was looked at: a push may have come between.
  if ((yield* ask("update-ref", ref, sha, before)) === undefined) return problem(409, "Conflict")
  return json(200, shown(ref, sha))
})

/** The answer, or undefined where the route is not one of these. */
export const refRoutes = Effect.fnUntraced(function*(
  directory: string,
  repository: Repository,
  { body, contents, method, path }: RefRequest
): Effect.fn.Return<Answer | undefined, GitFailed> {
  const [, what, rest = ""] = /^\/(rules\/branches|git\/matching-refs|git\/refs)\/(.+)$/u.exec(path) ?? []
  if (what === undefined) return undefined
  if (what === "rules/branches") {
    const source = `${repository.account.login}/${repository.name}`
    return method !== "GET" ? notFound : json(
      200,
      (repository.rules.get(rest) ?? []).map((type) => ({
        type,
        ruleset_id: 1,
        ruleset_source_type: "Repository",
        ruleset_source: source
      }))
    )
  }
  const ref = `refs/${rest}`
  if (!refPattern.test(ref) || ref.includes("..")) return notFound
  const ask: Ask = (...args) => askGit(directory, repository, args)
  if (what === "git/matching-refs") {
    if (method !== "GET") return notFound
    // Git matches whole parts of a name, GitHub any beginning.
    const all = (yield* ask("for-each-ref", "--format=%(objectname) %(refname)")) ?? ""
    const found = all.split("\n").map((line) => line.split(" "))
    return json(200, found.flatMap(([sha = "", name = ""]) => name.startsWith(ref) ? [shown(name, sha)] : []))
  }
  if (method !== "PATCH" && method !== "DELETE") return undefined
  if (contents !== "write") return problem(403, "Resource not accessible by integration")
  if (method === "PATCH") return yield* move(ask, ref, body)
  const before = yield* ask("rev-parse", "--verify", "--quiet", ref)
  if (before === undefined) return problem(422, "Reference does not exist")
  return (yield* ask("update-ref", "-d", ref, before)) === undefined ? problem(409, "Conflict") : { status: 204 }
})
