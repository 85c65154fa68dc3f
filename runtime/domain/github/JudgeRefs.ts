/** What the profile says of moving refs: the same answer for a push, a REST route and a mutation. */
import { denied, listed, readonlyPolicy, shown } from "./Denials.ts"
import type { Denied, GitHubPolicy, JudgePush, PushCommand, RefMove } from "./GitHubPolicy.ts"
import { isZero } from "./ReceivePack.ts"
import { isRefName } from "./RefNames.ts"
import { refRules, type RefStanding } from "./RefPatterns.ts"

export type RefChange = RefMove["change"]

export interface RefJudge {
  /** Why this ref may not be changed so; undefined where it may, as far as the name tells. */
  readonly judge: (ref: string, change: RefChange, force: boolean) => Denied | undefined
}

/** `refs/heads/x` as people write it. */
const pattern = (ref: string): string => shown(ref.startsWith("refs/heads/") ? ref.slice(11) : ref)

const ofStanding = (ref: string, standing: RefStanding, policy: GitHubPolicy): Denied | undefined => {
  switch (standing._tag) {
    case "allowed":
      return undefined
    case "denied":
      return denied(
        "ref.denied",
        `${shown(ref)} may not be moved: ${standing.by} denies it`,
        standing.by.startsWith("!refs/km/") ? "" : `take ${standing.by} out of spec.sourceAccess.github.allowedRefs`
      )
    case "unlisted":
      return policy.allowedRefs.length === 0
        ? readonlyPolicy
        : denied(
          "ref.unlisted",
          `${shown(ref)} may not be moved; allowed are: ${listed(policy.allowedRefs)}`,
          `add ${pattern(ref)} to spec.sourceAccess.github.allowedRefs`
        )
  }
}

/** The policy's ref rules, made ready for many refs. */
export const refJudge = (policy: GitHubPolicy): RefJudge => {
  const rules = refRules(policy.allowedRefs)
  return {
    judge: (ref, change, force) => {
      if (!isRefName(ref)) {
        return denied("ref.malformed", `${shown(ref)} is not a name that git takes for a ref`)
      }
      const refused = ofStanding(ref, rules(ref), policy)
      if (refused !== undefined) return refused
      if (change === "delete" && !policy.allowDelete) {
        return denied(
          "ref.delete",
          `${shown(ref)} may not be deleted: spec.sourceAccess.github.allowDelete is off`,
          "set spec.sourceAccess.github.allowDelete: true"
        )
      }
      if (force && !policy.allowForce) {
        return denied(
          "ref.force",
          `${shown(ref)} may not be forced: spec.sourceAccess.github.allowForce is off`,
          "set spec.sourceAccess.github.allowForce: true"
        )
      }
      return undefined
    }
  }
}

/** Deleting a ref that is not there sends two zero ids; it is a delete, and the server's answer an ordinary `ng`. */
export const changeOf = (command: PushCommand): "create" | "update" | "delete" =>
  isZero(command.new) ? "delete" : isZero(command.old) ? "create" : "update"

const together: Denied = denied(
  "ref.together",
  "refused because another ref of this push is, and a push passes whole or not at all",
  "push this ref alone"
)

/**
 * One refused ref refuses the push: a pack cannot be divided. `mode: audit` lets refs, deletes and force pass and says what it
 * let pass, except into what is km's own and names that are none.
 */
export const judgePush: JudgePush = (commands, policy) => {
  const { judge } = refJudge(policy)
  const found = commands.map((command) => judge(command.ref, changeOf(command), false))
  const lenient = policy.mode === "audit"
  const hard = found.map((verdict) => verdict !== undefined && (!lenient || !isAudited(verdict)) ? verdict : undefined)
  const audited = lenient
    ? found.filter((verdict): verdict is Denied => verdict !== undefined && isAudited(verdict))
    : []
  return {
    refused: hard.some((verdict) => verdict !== undefined) ? hard.map((verdict) => verdict ?? together) : hard,
    mustFastForward: lenient || policy.allowForce
      ? []
      : commands.flatMap((command, index) => changeOf(command) === "update" ? [index] : []),
    audited
  }
}

/** Whether `mode: audit` reports a refusal instead of making it. */
export const isAudited = (verdict: Denied): boolean =>
  verdict.rule === "ref.unlisted" || verdict.rule === "ref.delete" || verdict.rule === "ref.force" ||
  verdict.rule === "repository.readonly" || (verdict.rule === "ref.denied" && verdict.allow !== "")
