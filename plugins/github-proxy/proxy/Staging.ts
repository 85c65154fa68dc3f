/**
 * A push whose updates must not be forced: the pack goes to refs of our own, and each branch is then moved by the API with
 * `force: false`, which GitHub refuses where it would not fast-forward. Our refs are deleted in every case.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { randomBytes } from "node:crypto"
import type { ServerResponse } from "node:http"
import { Readable } from "node:stream"
import type { PinnedRepository, PushCommand } from "../../../runtime/domain/github/GitHubPolicy.ts"
import { flushPacket, joined, packet, packetLength, textPacket } from "../../../runtime/domain/github/PktLine.ts"
import type { PushPrelude } from "../../../runtime/domain/github/ReceivePack.ts"
import { receivePackResult } from "../../../runtime/domain/github/ReportStatus.ts"
import { tokenRefused } from "../../../runtime/ports/RepositoryTokens.ts"
import { outsideFailed } from "../outside/Outside.ts"
import { troubleOf } from "../outside/Upstream.ts"
import { sendAnswer, troubleAnswer } from "../request/Answers.ts"
import type { ProxyContext } from "./Context.ts"
import type { Forwarded } from "./Forwarding.ts"
import { type Removal, type StagedRef, sweepStaged } from "./StagedRefs.ts"

/** The refs of one sandbox; agents may push to none of them (`!refs/km/**` stands in every policy). */
export const stagingPrefix = (sandbox: string): string => `refs/km/${sandbox}/`

/** What git prints of a branch that was to be moved to where it does not fast-forward. */
const notForwards = "km: non-fast-forward, and spec.sourceAccess.github.allowForce is off (ref.force)"

export interface StagedPush {
  /** GitHub did not move the branch, because it would have been forced. */
  readonly forced: (ref: string) => Effect.Effect<void>
  readonly prelude: PushPrelude
  /** Indices of the commands that are staged; the others go with the pack as they are. */
  readonly moves: ReadonlySet<number>
  readonly repository: PinnedRepository
  /** With its body, which begins with the prelude as the client wrote it, and its token. */
  readonly sent: Forwarded
  readonly response: ServerResponse
}

const zero = (like: string): string => "0".repeat(like.length)

/** The prelude with other commands, in git's own form; the capabilities stand on the first. */
const writePrelude = (prelude: PushPrelude, commands: ReadonlyArray<PushCommand>): Buffer => {
  const capabilities = [...prelude.capabilities].filter(([name]) => name !== "atomic")
    .map(([name, value]) => value === "" ? name : `${name}=${value}`).join(" ")
  return Buffer.from(joined([
    ...prelude.shallow.map((id) => textPacket(`shallow ${id}`)),
    ...commands.map(({ new: next, old, ref }, index) =>
      textPacket(`${old} ${next} ${ref}${index === 0 ? `\0 ${capabilities}` : ""}`)
    ),
    flushPacket,
    ...(prelude.capabilities.has("push-options") ? [...prelude.options.map((one) => textPacket(one)), flushPacket] : [])
  ]))
}

/** The body behind its first `consumed` bytes. */
// oxlint-disable-next-line func-style
async function* behind(body: Readable, consumed: number, first: Buffer): AsyncGenerator<Buffer> {
  yield first
  let skip = consumed
  for await (const chunk of body) {
    const bytes: Buffer = chunk
    if (bytes.length <= skip) skip -= bytes.length
    else {
      yield skip === 0 ? bytes : bytes.subarray(skip)
      skip = 0
    }
  }
}

const restage = (body: Forwarded["body"], consumed: number, first: Buffer): Readable | Buffer =>
  Buffer.isBuffer(body)
    ? Buffer.concat([first, body.subarray(consumed)])
    : Readable.from(behind(body ?? Readable.from([]), consumed, first))

/** What a server said of a push: the words beside it, and `ok` or the reason for each ref. */
interface Report {
  readonly words: Buffer
  readonly unpack: string
  readonly refs: ReadonlyMap<string, string>
}

const packets = (bytes: Buffer): ReadonlyArray<Buffer> => {
  const found: Array<Buffer> = []
  for (let at = 0; at < bytes.length;) {
    const length = packetLength(bytes, at, bytes.length)
    if (length === undefined || length === "malformed") break
    if (length > 0) found.push(bytes.subarray(at + 4, at + length))
    at += Math.max(length, 4)
  }
  return found
}

/** Of an answer with or without bands; lines may be cut anywhere between packets of the first band. */
export const readReport = (body: Buffer, banded: boolean): Report => {
  const all = packets(body)
  const onBand = (band: number) => Buffer.concat(all.filter((one) => one[0] === band).map((one) => one.subarray(1)))
  const lines = (banded ? packets(onBand(1)) : all).map((line) => line.toString("utf8").replace(/\n$/, ""))
  const refs = new Map<string, string>()
  let unpack = ""
  for (const line of lines) {
    if (line.startsWith("unpack ")) unpack = line.slice("unpack ".length)
    const [, word, ref, reason] = /^(ok|ng) (\S+)(?: (.*))?$/.exec(line) ?? []
    if (ref !== undefined) refs.set(ref, word === "ok" ? "ok" : reason ?? "refused")
  }
  return { words: banded ? onBand(2) : Buffer.alloc(0), unpack, refs }
}

/** Payload of a packet on a band. */
const bandBytes = 65_515

const onBand = (band: number, bytes: Uint8Array): ReadonlyArray<Uint8Array> => {
  const found: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length; at += bandBytes) {
    found.push(packet(joined([Uint8Array.of(band), bytes.subarray(at, at + bandBytes)])))
  }
  return found
}

const writeReport = (prelude: PushPrelude, unpack: string, results: ReadonlyArray<string>, words: Buffer): Buffer => {
  const report = joined([
    textPacket(`unpack ${unpack}\n`),
    ...prelude.commands.map(({ ref }, index) =>
      textPacket(results[index] === "ok" ? `ok ${ref}\n` : `ng ${ref} ${results[index] ?? "refused"}\n`)
    ),
    flushPacket
  ])
  return Buffer.from(
    prelude.capabilities.has("side-band-64k")
      ? joined([...onBand(2, words), ...onBand(1, report), flushPacket])
      : report
  )
}

const decodeMessage = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ message: Schema.String })))

/** `heads/a%2Fb` of a full name; the API takes slashes in refs as they are. */
const inPath = (ref: string): string => ref.slice("refs/".length).split("/").map(encodeURIComponent).join("/")

const api = (context: ProxyContext, { id, name, owner }: PinnedRepository) => {
  const call = (method: string, ref: string, body?: object) =>
    context.ask({
      method,
      target: `/repos/${owner}/${name}/git/refs/${inPath(ref)}`,
      access: "write",
      repository: { host: context.github, id },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
  return {
    /** `ok`, or why not. */
    move: (ref: string, sha: string): Effect.Effect<string> =>
      call("PATCH", ref, { sha, force: false }).pipe(
        Effect.map(({ body, status }) =>
          status === 200
            ? "ok"
            : status === 422
            ? notForwards
            : `km: GitHub refused to move it: ${
              Option.match(decodeMessage(body.toString("utf8")), { onNone: () => status, onSome: (one) => one.message })
            }`
        ),
        Effect.catch((error) => Effect.succeed(`km: ${error.detail}`))
      ),
    remove: (ref: string): Effect.Effect<Removal> =>
      call("DELETE", ref).pipe(
        Effect.map(({ status }) =>
          status === 204
            ? "deleted" as const
            : status === 404 || status === 422
            ? "absent" as const
            : "refused" as const
        ),
        Effect.catch((error) =>
          Effect.as(Effect.logDebug("a ref of ours could not be deleted yet", error.message), "refused" as const)
        )
      )
  }
}

/** Pushes to our refs, moves the branches, deletes our refs, and reports all of it as one push. */
export const pushStaged = Effect.fnUntraced(function*(
  context: ProxyContext,
  { forced, moves, prelude, repository, response, sent }: StagedPush
): Effect.fn.Return<"passed" | "replaced" | "broken"> {
  const prefix = stagingPrefix(context.sandbox)
  const names = prelude.commands.map(() => randomBytes(8).toString("hex"))
  const staged = prelude.commands.map((command, index): PushCommand =>
    moves.has(index) ? { old: zero(command.old), new: command.new, ref: `${prefix}${names[index]}` } : command
  )
  const first = writePrelude(prelude, staged)
  const { move, remove } = api(context, repository)
  const ours = names.filter((_, index) => moves.has(index)).map((name): StagedRef => ({
    repository: repository.id,
    name
  }))
  let isKnown = false
  const { "content-length": _, ...headers } = sent.headers
  const work = Effect.gen(function*() {
    const answer = yield* Effect.tryPromise({
      try: () =>
        context.upstream.ask({
          host: sent.host,
          port: sent.port,
          method: sent.method,
          target: sent.target,
          headers: {
            "user-agent": "km-github-proxy",
            ...headers,
            ...(sent.token === undefined ? {} : {
              authorization: `Basic ${
                Buffer.from(`x-access-token:${Redacted.value(sent.token.token)}`).toString("base64")
              }`
            })
          },
          body: restage(sent.body, prelude.consumed, first),
          headersMillis: 600_000
        }),
      catch: outsideFailed
    })
    isKnown = answer.status < 500
    if (answer.status !== 200) return Option.none<Buffer>()
    const report = readReport(answer.body, prelude.capabilities.has("side-band-64k"))
    const results = yield* Effect.forEach(prelude.commands, (command, index) => {
      const said = report.refs.get(staged[index]?.ref ?? "") ?? "km: GitHub did not report on it"
      return moves.has(index) && said === "ok"
        ? Effect.tap(
          move(command.ref, command.new),
          (moved) => moved === notForwards ? forced(command.ref) : Effect.void
        )
        : Effect.succeed(said)
    })
    return Option.some(writeReport(prelude, report.unpack === "" ? "ok" : report.unpack, results, report.words))
  })
  yield* Effect.sync(() => ours.forEach(context.staged.begin))
  return yield* work.pipe(
    // A ref of ours is on GitHub from some moment of the push on, whatever comes of it; it is gone before the client hears.
    Effect.ensuring(Effect.forEach(
      ours,
      (one) => Effect.map(remove(`${prefix}${one.name}`), (removal) => context.staged.end(one, removal, isKnown)),
      { concurrency: 4, discard: true }
    )),
    Effect.match({
      onFailure: (error) => {
        sendAnswer(response, troubleAnswer(`${troubleOf(error)}; try again`))
        return "broken" as const
      },
      onSuccess: Option.match({
        onNone: () => {
          sendAnswer(response, troubleAnswer(`GitHub did not take the push of ${sent.subject}; try again`))
          return "replaced" as const
        },
        onSome: (body) => {
          response.writeHead(200, {
            "content-type": receivePackResult,
            "content-length": String(body.length),
            "cache-control": "no-cache"
          })
          response.end(body)
          return "passed" as const
        }
      })
    })
  )
})

const MatchingRefs = Schema.fromJsonString(Schema.Array(Schema.Struct({ ref: Schema.String })))
const decodeMatching = Schema.decodeUnknownOption(MatchingRefs)

/** Notes what a proxy of this sandbox left in a repository, wherever the notes of that went. */
const look = Effect.fnUntraced(function*(context: ProxyContext, repository: PinnedRepository) {
  const { id, name, owner } = repository
  const prefix = stagingPrefix(context.sandbox)
  const answer = yield* context.ask({
    method: "GET",
    target: `/repos/${owner}/${name}/git/matching-refs/${inPath(prefix)}`,
    access: "read",
    repository: { host: context.github, id }
  })
  const found = answer.status === 404 ? Option.some([]) : decodeMatching(answer.body.toString("utf8"))
  if (Option.isNone(found)) return yield* tokenRefused("Unavailable", `GitHub did not list refs (${answer.status})`)
  for (const { ref } of found.value) {
    const own = ref.startsWith(prefix) ? ref.slice(prefix.length) : ""
    if (/^[0-9a-f]{16}$/u.test(own)) context.staged.note({ repository: id, name: own })
  }
})

/** Deletes what is left of pushes of this sandbox, as long as it runs. */
export const sweep = (context: ProxyContext): Effect.Effect<never> =>
  sweepStaged({
    staged: context.staged,
    now: context.now,
    // Where nothing may be pushed nothing was staged.
    look: Effect.flatMap(context.policy, ({ allowedRefs, repositories }) =>
      allowedRefs.length === 0
        ? Effect.void
        : Effect.forEach(repositories, (one) => look(context, one), { discard: true })),
    repository: (id) => Effect.map(context.policy, ({ repositories }) => repositories.find((one) => one.id === id)),
    remove: (repository, name) => api(context, repository).remove(`${stagingPrefix(context.sandbox)}${name}`)
  })
