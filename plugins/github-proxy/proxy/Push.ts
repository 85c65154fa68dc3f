/**
 * A push: judged from the commands before the pack, which then streams through untouched. What is refused is refused in
 * git's own words, per ref, after the client has sent everything: it would take an early end for a broken connection.
 */
import * as Effect from "effect/Effect"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Readable } from "node:stream"
import type { Denied, GitHubPolicy, PinnedRepository } from "../../../runtime/domain/github/GitHubPolicy.ts"
import { type MalformedPush, type PushPrelude, pushReader } from "../../../runtime/domain/github/ReceivePack.ts"
import { refusedPush } from "../../../runtime/domain/github/ReportStatus.ts"
import { malformedAnswer, sendAnswer, sentenceOf } from "../request/Answers.ts"
import { decoded, drained, readBody } from "../request/Body.ts"
import type { Head } from "../request/readHead.ts"
import type { ProxyContext, RunIdentity } from "./Context.ts"
import { fastForward, forcedOf } from "./FastForward.ts"
import { forward, type Forwarded, tokenFor } from "./Forwarding.ts"
import { pushStaged } from "./Staging.ts"

/** git sends what is smaller in one piece (`http.postBuffer`); it is kept, so that it can be sent again. */
const keptBytes = 1_048_576

export interface PushRequest {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly head: Head
  readonly repository: PinnedRepository
  readonly policy: GitHubPolicy
  readonly run: RunIdentity | undefined
  readonly since: number
  /** Where it goes, without body and token. */
  readonly forwarded: Forwarded
}

interface Begun {
  readonly prelude: PushPrelude
  /** The whole body, its prelude included. */
  readonly body: Readable | Buffer
}

/** Reads until the pack begins; nothing more than that is held. */
const begin = ({ head, request }: PushRequest): Effect.Effect<Begun | MalformedPush, { readonly detail: string }> => {
  const reader = pushReader()
  if (head.contentLength !== undefined && head.contentLength <= keptBytes && head.contentEncoding === "identity") {
    return Effect.map(readBody(request, "identity", keptBytes), (body) => {
      const reading = reader.feed(body)
      if (reading._tag === "Prelude") return { prelude: reading.prelude, body }
      return reading._tag === "More" ? reader.end() : reading
    })
  }
  return Effect.callback((resume) => {
    const source = decoded(request, head.contentEncoding)
    let whole: Begun | undefined
    const settle = (result: Effect.Effect<Begun | MalformedPush, { readonly detail: string }>) => {
      source.off("data", onData).off("end", onEnd).off("close", onClose).off("error", onError)
      // From here on the answer says what is wrong.
      source.on("error", () => undefined)
      resume(result)
    }
    const onData = (chunk: Buffer) => {
      if (chunk.length === 0) return
      const reading = reader.feed(chunk)
      if (reading._tag === "More") return
      if (reading._tag === "Prelude" && !reading.prelude.pack) {
        // Whole only when the body is over: not one byte may follow, in whatever piece it comes.
        whole = { prelude: reading.prelude, body: Buffer.from(reading.bytes) }
        return
      }
      source.pause()
      if (reading._tag === "Malformed") return settle(Effect.succeed(reading))
      source.unshift(Buffer.concat([reading.bytes, reading.rest]))
      settle(Effect.succeed({ prelude: reading.prelude, body: source }))
    }
    const onEnd = () => settle(Effect.succeed(whole ?? reader.end()))
    const onError = (error: Error) => settle(Effect.fail({ detail: error.message }))
    const onClose = () => settle(Effect.fail({ detail: "the push was cut off" }))
    source.on("data", onData).once("end", onEnd).once("close", onClose).once("error", onError)
  })
}

const reasonOf = ({ message, rule }: Pick<Denied, "message" | "rule">): string => `${message} (${rule})`

/** The lines before git's own: each way to allow it, once. */
const linesOf = (denials: ReadonlyArray<Denied>): ReadonlyArray<string> =>
  [...new Set(denials.map(({ allow }) => allow))].filter((allow) => allow !== "").map((allow) =>
    `km: to allow it: ${allow}`
  )

const subjectOf = ({ name, owner }: PinnedRepository): string => `${owner}/${name}`

/** `refs/heads/main create 0123456789ab`, for the journal. */
const told = (prelude: Pick<PushPrelude, "commands">): string =>
  prelude.commands.slice(0, 20).map(({ new: next, old, ref }) => `${ref} ${old.slice(0, 12)}..${next.slice(0, 12)}`)
    .join(
      ", "
    )

/** Handles the POST of a push to a repository that may be written. */
export const push = Effect.fnUntraced(function*(context: ProxyContext, what: PushRequest) {
  const { forwarded, policy, repository, request, response, run, since } = what
  const subject = subjectOf(repository)
  const journal = (rule: string, detail: string) =>
    context.journal({ run, subject, rule, verdict: "allowed", detail, since })
  const journalRefused = (rule: string, detail: string, lines: ReadonlyArray<string>) =>
    context.journal({ run, subject, rule, verdict: "refused", detail, told: sentenceOf({ lines }), since })

  const refuse = (
    begun: Pick<PushPrelude, "capabilities" | "commands">,
    reasons: ReadonlyArray<string>,
    rule: string,
    lines: ReadonlyArray<string>
  ) =>
    Effect.gen(function*() {
      yield* journalRefused(rule, told(begun), [...new Set([...reasons, ...lines])])
      yield* drained(request)
      const answer = refusedPush(begun.commands, reasons, begun.capabilities, lines)
      response.writeHead(answer.status, {
        "content-type": answer.contentType,
        "content-length": String(answer.body.length),
        "cache-control": "no-cache"
      })
      response.end(answer.body)
    })

  const begun = yield* begin(what)
  if ("_tag" in begun) {
    const reasons = begun.commands.map(() => reasonOf({ message: begun.why, rule: begun.rule }))
    if (begun.commands.length > 0) {
      return yield* refuse(begun, reasons, begun.rule, [`km: refused: ${begun.why} (${begun.rule})`])
    }
    const answer = malformedAnswer(`${begun.why} (${begun.rule})`)
    yield* journalRefused(begun.rule, begun.why, answer.lines)
    yield* drained(request)
    return sendAnswer(response, answer, "git")
  }

  const { body, prelude } = begun
  const verdict = context.judgePush(prelude.commands, policy)
  const denials = verdict.refused.filter((denied) => denied !== undefined)
  const firstDenial = denials.find(({ rule }) => rule !== "ref.together") ?? denials[0]
  if (firstDenial !== undefined) {
    const reasons = verdict.refused.map((denied) => denied === undefined ? "refused" : reasonOf(denied))
    return yield* refuse(prelude, reasons, firstDenial.rule, linesOf(denials))
  }

  for (const { message, rule } of verdict.audited) yield* journal(rule, `only reported: ${message}`)

  const how = yield* fastForward(context, { prelude, verdict, repository })
  if (how._tag === "Refused") {
    return yield* refuse(
      prelude,
      prelude.commands.map(() => reasonOf(how.denied)),
      how.denied.rule,
      linesOf([how.denied])
    )
  }

  yield* journal(
    prelude.commands.length === 0 ? "push.probe" : `push.${how._tag.toLowerCase()}`,
    told(prelude)
  )
  const token = yield* tokenFor(context.tokens, "write", context.github, repository)
  // A body that was unpacked, or is of unknown length, goes on in chunks.
  const length = Buffer.isBuffer(body) || what.head.contentEncoding === "identity" ? what.head.contentLength : undefined
  const { "content-encoding": _, ...headers } = forwarded.headers
  const sent: Forwarded = {
    ...forwarded,
    headers: { ...headers, ...(length === undefined ? {} : { "content-length": String(length) }) },
    body,
    token
  }
  if (how._tag === "Straight") {
    const end = yield* forward(context.upstream, context.tokens, sent, response)
    if (policy.mode === "audit" && !policy.allowForce && end === "passed") {
      const forced = yield* forcedOf(context, repository, prelude.commands)
      for (const ref of forced) {
        yield* journal("ref.force", `only reported: ${ref} was moved to where it does not fast-forward`)
      }
    }
    return end
  }
  return yield* pushStaged(context, {
    prelude,
    moves: how.staged,
    repository,
    sent,
    response,
    // Nothing moved, so nothing waits for the journal.
    forced: (ref) =>
      journalRefused("ref.force", ref, [
        `${ref} may not be forced (ref.force)`,
        "to allow it: set spec.sourceAccess.github.allowForce"
      ]).pipe(Effect.catch((error) => Effect.logWarning("a refused force was not written down", error.message)))
  })
})
