/** One request in a line, and the judgement in a word: what tables of requests are made of. */
import type { CanonicalRequest, Facts, GitHubPolicy, Judgement } from "../../runtime/domain/github/GitHubPolicy.ts"
import { lookupKey, noFacts } from "../../runtime/domain/github/GitHubPolicy.ts"
import { judgeRequest } from "../../runtime/domain/github/JudgeRequest.ts"
import { gitHubPolicy } from "./gitHubPolicy.ts"

export interface Asked extends Omit<Partial<CanonicalRequest>, "body" | "query"> {
  readonly body?: unknown
  readonly facts?: Facts
}

/** `PATCH /repos/o/r?x=y` as the transport would have it; the body is JSON unless it is text. */
export const canonical = (line: string, given: Asked = {}): CanonicalRequest => {
  const [method = "", target = ""] = line.split(" ")
  const [path = "", query = ""] = target.split("?")
  return {
    service: given.service ?? "api",
    method,
    path: path.split("/").filter((segment) => segment !== "").map(decodeURIComponent),
    query: [...new URLSearchParams(query)],
    contentType: given.contentType ?? "application/json",
    body: typeof given.body === "string" ? given.body : given.body === undefined ? "" : JSON.stringify(given.body)
  }
}

export const judged = (line: string, policy: Partial<GitHubPolicy> = {}, given: Asked = {}): Judgement =>
  judgeRequest(canonical(line, given), gitHubPolicy(policy), given.facts ?? noFacts)

/** The credential, the rule of a denial, or `needs …`. */
export const word = (judgement: Judgement): string => {
  switch (judgement._tag) {
    case "Allowed":
      return judgement.credential
    case "Denied":
      return judgement.rule
    case "Needs":
      return `needs ${judgement.lookups.map(lookupKey).join(", ")}`
    case "NeedsBody":
      return "body"
    case "NeedsCommands":
      return "commands"
  }
}

export const judgedWord = (line: string, policy: Partial<GitHubPolicy> = {}, given: Asked = {}): string =>
  word(judged(line, policy, given))
