/** The front of the judges: one canonical request in, one judgement out; nothing passes because nobody knew it. */
import { denied } from "./Denials.ts"
import type { CanonicalRequest, Denied, JudgeRequest } from "./GitHubPolicy.ts"
import { judgeGit } from "./JudgeGit.ts"
import { judgeGraphql } from "./JudgeGraphql.ts"
import { judgeRest } from "./JudgeRest.ts"

/** Characters of a whole path, and of a whole query; GitHub answers longer ones with 414. */
const maxPath = 4_096
const maxQuery = 8_192
const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])

/** Control characters, a backslash, an escape that was escaped, half a character. */
const oddText = /[\p{Cc}\p{Cs}\\]|%[0-9a-f]{2}/iu

const isOdd = (segment: string, mayHaveSlash: boolean): boolean =>
  oddText.test(segment) ||
  (mayHaveSlash
    ? segment.split("/").some((part) => part === "" || part === "." || part === "..")
    : segment === "" || segment === "." || segment === ".." || segment.includes("/"))

const wrong = (what: string): Denied => denied("request.malformed", `${what}, which no client of GitHub writes`)

/** What the transport should not have let through; asked again here, since everything else relies on it. */
const malformed = ({ method, path, query, service }: CanonicalRequest): Denied | undefined => {
  if (!methods.has(method)) return denied("request.malformed", "the method is none of GitHub's")
  if (path.reduce((sum, segment) => sum + segment.length + 1, 0) > maxPath) return wrong("the path is too long")
  if (path.some((segment, index) => isOdd(segment, service === "api" && index > 2))) {
    return wrong("the path has a part that is empty, goes up, or holds control characters, backslashes or escapes")
  }
  if (query.reduce((sum, [name, value]) => sum + name.length + value.length + 2, 0) > maxQuery) {
    return wrong("the query is too long")
  }
  return query.some(([name, value]) => /[\p{Cc}\p{Cs}]/u.test(name) || /[\0\p{Cs}]/u.test(value))
    ? wrong("the query holds control characters")
    : undefined
}

export const judgeRequest: JudgeRequest = (request, policy, facts) => {
  const refused = malformed(request)
  if (refused !== undefined) return refused
  switch (request.service) {
    case "api":
      return request.path[0] === "graphql" ? judgeGraphql(request, policy, facts) : judgeRest(request, policy, facts)
    case "uploads":
      return judgeRest(request, policy, facts)
    case "git":
    case "codeload":
    case "raw":
    case "media":
      return judgeGit(request, policy, facts)
  }
}
