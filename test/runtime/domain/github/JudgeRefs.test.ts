import { assert, describe, it } from "@effect/vitest"
import type { GitHubPolicy, PushCommand } from "../../../../runtime/domain/github/GitHubPolicy.ts"
import { judgePush } from "../../../../runtime/domain/github/JudgeRefs.ts"
import { gitHubPolicy } from "../../../support/gitHubPolicy.ts"
import { zeroId } from "../../../support/PushInputs.ts"

const a = "a".repeat(40)
const b = "b".repeat(40)
const update = (name: string): PushCommand => ({ old: a, new: b, ref: `refs/heads/${name}` })
const remove = (name: string): PushCommand => ({ old: a, new: zeroId, ref: `refs/heads/${name}` })
const create = (name: string): PushCommand => ({ old: zeroId, new: b, ref: `refs/heads/${name}` })

const rules = (commands: ReadonlyArray<PushCommand>, policy: Partial<GitHubPolicy> = {}) =>
  judgePush(commands, gitHubPolicy({ allowedRefs: ["main", "feature/*", "!feature/secret"], ...policy })).refused
    .map((verdict) => verdict?.rule)

describe("a push", () => {
  it("passes where every ref may be moved so", () => {
    assert.deepStrictEqual(rules([update("main"), create("feature/x")]), [undefined, undefined])
  })

  it("is refused whole for one ref, and says of the others why", () => {
    assert.deepStrictEqual(rules([update("main"), update("other"), update("feature/secret")]), [
      "ref.together",
      "ref.unlisted",
      "ref.denied"
    ])
  })

  it("may delete only where that is switched on, and a delete of what is not there is a delete", () => {
    assert.deepStrictEqual(rules([remove("main")]), ["ref.delete"])
    assert.deepStrictEqual(rules([{ old: zeroId, new: zeroId, ref: "refs/heads/main" }]), ["ref.delete"])
    assert.deepStrictEqual(rules([remove("main")], { allowDelete: true }), [undefined])
    assert.deepStrictEqual(rules([remove("other")], { allowDelete: true }), ["ref.unlisted"])
  })

  it("must fast-forward in each update of what is there, unless force is switched on", () => {
    const commands = [create("feature/x"), update("main"), remove("feature/y")]
    const policy = gitHubPolicy({ allowedRefs: ["**"], allowDelete: true })
    assert.deepStrictEqual(judgePush(commands, policy).mustFastForward, [1])
    assert.deepStrictEqual(judgePush(commands, { ...policy, allowForce: true }).mustFastForward, [])
  })

  it("to nothing but what a read-only profile has names the setting", () => {
    const [verdict] = judgePush([update("main")], gitHubPolicy({ allowedRefs: [] })).refused
    assert.strictEqual(verdict?.rule, "repository.readonly")
    assert.match(verdict?.allow ?? "", /allowedRefs/u)
  })

  it("names what is allowed, and what to add", () => {
    const [verdict] = judgePush([update("other")], gitHubPolicy({ allowedRefs: ["main", "feature/*"] })).refused
    assert.strictEqual(verdict?.message, "refs/heads/other may not be moved; allowed are: main, feature/*")
    assert.strictEqual(verdict?.allow, "add other to spec.sourceAccess.github.allowedRefs")
  })

  it("in audit mode passes and is told of, but never into km's own refs", () => {
    const audit = gitHubPolicy({ allowedRefs: ["main"], mode: "audit" })
    const { audited, mustFastForward, refused } = judgePush([update("other"), remove("main")], audit)
    assert.deepStrictEqual(refused, [undefined, undefined])
    assert.deepStrictEqual(mustFastForward, [])
    assert.deepStrictEqual(audited.map(({ rule }) => rule), ["ref.unlisted", "ref.delete"])
    assert.deepStrictEqual(
      judgePush([update("x"), { old: zeroId, new: a, ref: "refs/km/a/1" }], audit).refused.map((verdict) =>
        verdict?.rule
      ),
      ["ref.together", "ref.denied"]
    )
  })
})
