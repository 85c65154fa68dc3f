/** From a request to its verdict: reads the body and looks up what the judge asks for, and nothing else. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import {
  type CanonicalRequest,
  type Denied,
  type GitHubPolicy,
  type Judgement,
  noFacts
} from "../../../runtime/domain/github/GitHubPolicy.ts"
import type { BodyRefused } from "../request/Body.ts"
import type { ProxyContext } from "./Context.ts"
import { lookUp } from "./Lookups.ts"

/** Rounds of look-ups for one request; who needs more is refused. */
const maxRounds = 3

const tooManyRounds: Denied = {
  _tag: "Denied",
  rule: "lookup.missing",
  message: "what the request is about could not be found out",
  allow: ""
}

/** Judges until there is a verdict: reads the body and looks up what the judge asks for. */
export const judge = Effect.fnUntraced(function*(
  context: ProxyContext,
  policy: GitHubPolicy,
  first: CanonicalRequest,
  readAll: (maxBytes: number) => Effect.Effect<Buffer, BodyRefused>
) {
  let request = first
  let facts = noFacts
  for (let rounds = 0;;) {
    const judgement: Judgement = context.judgeRequest(request, policy, facts)
    if (judgement._tag === "Needs") {
      if (rounds === maxRounds) return { request, judgement: tooManyRounds }
      rounds++
      facts = yield* lookUp(context.ask, policy)(judgement.lookups, facts)
    } else if (judgement._tag === "NeedsBody") {
      if (request.body !== undefined) return { request, judgement: tooManyRounds }
      const bytes = yield* readAll(judgement.maxBytes)
      const body = Result.try(() => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes))
      if (Result.isFailure(body)) return { request, judgement: notText }
      request = { ...request, body: body.success }
    } else return { request, judgement }
  }
})

const notText: Denied = { _tag: "Denied", rule: "body.malformed", message: "the body is not UTF-8", allow: "" }
