/** The proxy's own answers, in the form that the program at the other end shows to whoever runs it. */
import type { ServerResponse } from "node:http"
import type { Denied, GitHubService } from "../../../runtime/domain/github/GitHubPolicy.ts"

export interface Answer {
  readonly status: number
  /** Sentences, one a line: git prints each after `remote: `. */
  readonly lines: ReadonlyArray<string>
  readonly retryAfterSeconds?: number
}

/** What a refusal by policy says: what, why, and how to allow it. */
export const deniedAnswer = ({ allow, message, rule }: Denied): Answer => ({
  status: 403,
  lines: [`km: refused: ${message} (${rule})`, ...(allow === "" ? [] : [`km: to allow it: ${allow}`])]
})

/** Something that passes by itself, or that an operator must see to. */
export const troubleAnswer = (message: string, retryAfterMillis?: number): Answer => ({
  status: 503,
  lines: [`km: ${message}`],
  ...(retryAfterMillis === undefined ? {} : { retryAfterSeconds: Math.max(1, Math.ceil(retryAfterMillis / 1_000)) })
})

export const malformedAnswer = (what: string): Answer => ({
  status: 400,
  lines: [`km: the request is refused: ${what}`]
})

/** The lines as one sentence for a person, who need not be told who speaks. */
export const sentenceOf = ({ lines }: Pick<Answer, "lines">): string =>
  lines.map((line) => line.replace(/^km: /u, "")).join("; ")

/** How a program wants to be told: git-lfs shows nothing but its own form's message. */
const formOf = (response: ServerResponse, service: GitHubService | undefined): string | undefined => {
  if (service === "api" || service === "uploads") return "application/json; charset=utf-8"
  return service === "git" && response.req.url?.includes("/info/lfs/") === true
    ? "application/vnd.git-lfs+json"
    : undefined
}

/** JSON where gh, git-lfs and GitHub's client libraries read it; text where git, curl and people do. */
export const sendAnswer = (response: ServerResponse, answer: Answer, service?: GitHubService): void => {
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return
  }
  const json = formOf(response, service)
  const body = Buffer.from(
    json !== undefined ? JSON.stringify({ message: answer.lines.join("; ") }) : `${answer.lines.join("\n")}\n`
  )
  response.writeHead(answer.status, {
    "content-type": json ?? "text/plain; charset=utf-8",
    "content-length": String(body.length),
    "cache-control": "no-store",
    ...(answer.retryAfterSeconds === undefined ? {} : { "retry-after": String(answer.retryAfterSeconds) })
  })
  response.end(body)
}
