/**
 * What a request says beside its target, checked before anything is judged. Node's parser has refused by then: both
 * lengths at once, a length twice, folded or malformed fields, bare line feeds, versions other than 1.x.
 */
import * as Result from "effect/Result"
import type { IncomingMessage } from "node:http"
import { parseDestination } from "../../../runtime/domain/profile/HostPatterns.ts"

/** What of a request goes on, in the form that the proxy writes. Everything else stays: credentials, cookies, overrides. */
const passes: ReadonlySet<string> = new Set([
  "accept",
  "accept-encoding",
  "accept-language",
  "cache-control",
  "content-encoding",
  "content-type",
  "git-protocol",
  "graphql-features",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "pragma",
  "range",
  "time-zone",
  "user-agent",
  "x-github-api-version",
  "x-github-next-global-id"
])

/** Fields that a client may repeat; joined, as HTTP has it. Of every other a repetition is refused. */
const lists: ReadonlySet<string> = new Set(["accept", "accept-encoding", "accept-language", "cache-control", "pragma"])

export interface Head {
  /** To forward, names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** Media type of the body, lower case and without parameters. */
  readonly contentType: string | undefined
  readonly contentEncoding: "identity" | "gzip"
  /** Of the body as it comes; undefined where it comes in chunks, 0 where there is none. */
  readonly contentLength: number | undefined
}

const visibleValue = /^[\t\x20-\x7e]*$/

/** The head of a request for `host` and `port`, or what is wrong with it. */
export const readHead = (
  request: Pick<IncomingMessage, "httpVersion" | "method" | "rawHeaders">,
  host: string,
  port: number
): Result.Result<Head, string> => {
  if (request.httpVersion !== "1.1") return Result.fail("it is not HTTP/1.1")
  const fields = new Map<string, string>()
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    const name = (request.rawHeaders[index] ?? "").toLowerCase()
    const value = request.rawHeaders[index + 1] ?? ""
    const before = fields.get(name)
    if (before !== undefined && !lists.has(name) && (passes.has(name) || refusesTwice.has(name))) {
      return Result.fail(`it has ${name} twice`)
    }
    if (passes.has(name) && !visibleValue.test(value)) return Result.fail(`its ${name} holds characters beyond ASCII`)
    fields.set(name, before === undefined ? value : `${before}, ${value}`)
  }
  const named = parseDestination(fields.get("host") ?? "", port)
  if (named === undefined || named.host !== host || named.port !== port) {
    return Result.fail(`its Host is not ${host}, which the connection is for`)
  }
  if (fields.has("upgrade") || /(?:^|,)\s*upgrade\s*(?:,|$)/i.test(fields.get("connection") ?? "")) {
    return Result.fail("it asks for another protocol")
  }
  const coding = fields.get("transfer-encoding")
  if (coding !== undefined && coding.toLowerCase() !== "chunked") {
    return Result.fail("its transfer coding is not chunked")
  }
  const content = (fields.get("content-encoding") ?? "identity").toLowerCase()
  if (content !== "identity" && content !== "gzip" && content !== "x-gzip") {
    return Result.fail("its content coding is neither identity nor gzip")
  }
  const contentLength = coding === undefined ? Number(fields.get("content-length") ?? 0) : undefined
  if (contentLength !== 0 && /^(?:GET|HEAD)$/.test(request.method ?? "")) {
    return Result.fail(`a ${request.method} has no body`)
  }
  return Result.succeed({
    headers: Object.fromEntries([...fields].filter(([name]) => passes.has(name))),
    contentType: fields.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase(),
    contentEncoding: content === "identity" ? "identity" : "gzip",
    contentLength
  })
}

/** Beside those that pass: what decides where a request goes or where it ends. */
const refusesTwice: ReadonlySet<string> = new Set(["host", "content-length", "transfer-encoding", "upgrade", "expect"])
