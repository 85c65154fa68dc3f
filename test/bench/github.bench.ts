/** How long a decision about GitHub takes: a push of 1,000 refs, and single requests of the API. No network. */
import { noFacts } from "../../runtime/domain/github/GitHubPolicy.ts"
import { judgePush } from "../../runtime/domain/github/JudgeRefs.ts"
import { judgeRequest } from "../../runtime/domain/github/JudgeRequest.ts"
import { flushPacket, joined, textPacket } from "../../runtime/domain/github/PktLine.ts"
import { pushReader } from "../../runtime/domain/github/ReceivePack.ts"
import { gitHubPolicy } from "../support/gitHubPolicy.ts"
import { canonical } from "../support/judged.ts"
import { emptyPack } from "../support/PushInputs.ts"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"

const refs = 1_000
const rounds = 400
/** Bytes of one piece as a socket gives it. */
const piece = 16_384

const samplesOf = (decide: () => boolean): ReadonlyArray<number> =>
  Array.from({ length: rounds }, () => {
    const begun = performance.now()
    if (!decide()) throw new Error("the request was not allowed")
    return performance.now() - begun
  })

const row = (name: string, target: string, samples: ReadonlyArray<number>): BenchRow => {
  const value = percentile(samples, 50)
  return {
    area: "github",
    name,
    unit: "ms",
    value,
    p50: value,
    p99: percentile(samples, 99),
    target,
    ok: meets(value, target)
  }
}

/** As a socket gives it: pieces, the commands first, the pack behind them. */
const pushOf = (count: number): ReadonlyArray<Uint8Array> => {
  const capabilities = "\0 report-status side-band-64k object-format=sha1 agent=git/2.39.5"
  const commands = Array.from(
    { length: count },
    (_, index) =>
      textPacket(
        `${"a".repeat(40)} ${"b".repeat(40)} refs/heads/feature/task-${index}${index === 0 ? capabilities : ""}`
      )
  )
  const body = joined([...commands, flushPacket, emptyPack])
  return Array.from(
    { length: Math.ceil(body.length / piece) },
    (_, index) => body.subarray(index * piece, (index + 1) * piece)
  )
}

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const policy = gitHubPolicy({
    allowedRefs: ["main", "feature/**", "!feature/secret/*"],
    capabilities: ["pulls", "issues"]
  })
  const pieces = pushOf(refs)
  const push = () => {
    const reader = pushReader()
    for (const bytes of pieces) {
      const reading = reader.feed(bytes)
      if (reading._tag !== "Prelude") continue
      return judgePush(reading.prelude.commands, policy).refused.every((verdict) => verdict === undefined)
    }
    return false
  }
  const read = canonical("GET /repos/my-org/api/pulls?state=open")
  const query = canonical("POST /graphql", {
    body: {
      query:
        "query Q($o:String!,$n:String!){repository(owner:$o,name:$n){pullRequests(first:30){nodes{number title headRefName author{login}}}}}",
      variables: { o: "my-org", n: "api" }
    }
  })
  const allowed = (request: typeof read) => () => judgeRequest(request, policy, noFacts)._tag === "Allowed"
  for (const decide of [push, allowed(read), allowed(query)]) samplesOf(decide)
  return [
    row("decision on a push of 1,000 refs, 3 patterns", "<= 3", samplesOf(push)),
    row("decision on a request of the REST API", "", samplesOf(allowed(read))),
    row("decision on a GraphQL query", "", samplesOf(allowed(query)))
  ]
}
