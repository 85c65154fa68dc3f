/**
 * Whether an update of an existing ref is forced cannot be told from a push: the new commits are still in the pack. So it
 * passes straight only where GitHub itself forbids the force, and otherwise takes the way over a ref of our own.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Denied, PinnedRepository, PushCommand, PushVerdict } from "../../../runtime/domain/github/GitHubPolicy.ts"
import { changeOf } from "../../../runtime/domain/github/JudgeRefs.ts"
import type { PushPrelude } from "../../../runtime/domain/github/ReceivePack.ts"
import type { RepositoryTokenRefused } from "../../../runtime/ports/RepositoryTokens.ts"
import type { ProxyContext } from "./Context.ts"

export type FastForward =
  /** Every update is forced by nobody: by GitHub's own rule, or because there is none. */
  | { readonly _tag: "Straight" }
  /** Indices of the commands whose refs are moved by the API, with `force: false`. */
  | { readonly _tag: "Staged"; readonly staged: ReadonlySet<number> }
  | { readonly _tag: "Refused"; readonly denied: Denied }

/** Source: GitHub's REST description, "Get rules for a branch". */
const decodeRules = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Array(Schema.Struct({ type: Schema.String })))
)

/** Rules are looked up for so many branches of one push; above that, updates are staged or refused. */
const maxLooked = 20

const atomicNeedsRule = (ref: string): Denied => ({
  _tag: "Denied",
  rule: "ref.force",
  message:
    `whether ${ref} is forced cannot be told of an atomic push of several refs, and no rule of the repository forbids it`,
  allow: "push the refs one by one, or have a ruleset of the repository block force pushes to them"
})

const cannotReport: Denied = {
  _tag: "Denied",
  rule: "ref.force",
  message: "whether the push is forced cannot be told of a client that asks for no report",
  allow: "push with a client that asks for report-status, such as git"
}

/** Whether the repository's own rules forbid that this branch is forced. */
const isRuled = Effect.fnUntraced(function*(
  { ask, github }: ProxyContext,
  { id, name, owner }: PinnedRepository,
  ref: string
): Effect.fn.Return<boolean, RepositoryTokenRefused> {
  if (!ref.startsWith("refs/heads/")) return false
  const branch = ref.slice("refs/heads/".length).split("/").map(encodeURIComponent).join("%2F")
  const answer = yield* ask({
    method: "GET",
    target: `/repos/${owner}/${name}/rules/branches/${branch}?per_page=100`,
    access: "read",
    repository: { host: github, id }
  })
  const rules = answer.status === 200 ? decodeRules(answer.body.toString("utf8")) : Option.none()
  return Option.isSome(rules) && rules.value.some(({ type }) => type === "non_fast_forward")
})

const decodeComparison = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ status: Schema.String })))

/** Which updates of a push that is over were forced, where GitHub can still tell. Source: "Compare two commits". */
export const forcedOf = Effect.fnUntraced(function*(
  { ask, github }: ProxyContext,
  { id, name, owner }: PinnedRepository,
  commands: ReadonlyArray<PushCommand>
): Effect.fn.Return<ReadonlyArray<string>> {
  const updates = commands.filter((command) => changeOf(command) === "update").slice(0, maxLooked)
  const found = yield* Effect.forEach(updates, ({ new: next, old, ref }) =>
    ask({
      method: "GET",
      target: `/repos/${owner}/${name}/compare/${old}...${next}?per_page=1`,
      access: "read",
      repository: { host: github, id }
    }).pipe(
      Effect.map(({ body, status }) => status === 200 ? decodeComparison(body.toString("utf8")) : Option.none()),
      Effect.catch(() => Effect.succeedNone),
      Effect.map((answer) => Option.isSome(answer) && /^(?:behind|diverged)$/u.test(answer.value.status) ? [ref] : [])
    ), { concurrency: 4 })
  return found.flat()
})

export const fastForward = Effect.fnUntraced(function*(
  context: ProxyContext,
  { prelude, repository, verdict }: {
    readonly prelude: PushPrelude
    readonly verdict: PushVerdict
    readonly repository: PinnedRepository
  }
): Effect.fn.Return<FastForward, RepositoryTokenRefused> {
  const asked = verdict.mustFastForward
  if (asked.length === 0) return { _tag: "Straight" }
  const looked = asked.slice(0, maxLooked)
  const ruled = yield* Effect.forEach(
    looked,
    (index) => isRuled(context, repository, prelude.commands[index]?.ref ?? ""),
    { concurrency: 4 }
  )
  const open = [...looked.filter((_, position) => ruled[position] !== true), ...asked.slice(maxLooked)]
  const [first] = open
  if (first === undefined) return { _tag: "Straight" }
  if (prelude.capabilities.has("atomic") && prelude.commands.length > 1) {
    return { _tag: "Refused", denied: atomicNeedsRule(prelude.commands[first]?.ref ?? "") }
  }
  return prelude.capabilities.has("report-status") || prelude.capabilities.has("report-status-v2")
    ? { _tag: "Staged", staged: new Set(open) }
    : { _tag: "Refused", denied: cannotReport }
})
