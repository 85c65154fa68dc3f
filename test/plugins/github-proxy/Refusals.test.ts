/** What people are told of refusals: each once, with its rule and the way out, and no more than a few lines. */
import { assert, describe, it } from "@effect/vitest"
import { Refusals } from "../../../plugins/github-proxy/Refusals.ts"

const push =
  "refs/heads/main may not be moved (ref.unlisted); to allow it: add main to spec.sourceAccess.github.allowedRefs"

describe("Refusals", () => {
  it("tells each kind once, with how often, until it is forgotten", () => {
    const refusals = new Refusals()
    refusals.add("turn-1", push)
    refusals.add("turn-1", "evil.example.com:443 is not in spec.network.allowedHosts (host.unlisted)")
    refusals.add("turn-1", push)
    refusals.add("turn-2", "another turn's")
    assert.deepStrictEqual(refusals.lines("turn-1"), [
      `🚫 \`${push}\` (2 times)`,
      "🚫 `evil.example.com:443 is not in spec.network.allowedHosts (host.unlisted)`"
    ])
    assert.deepStrictEqual(refusals.lines("turn-1").length, 2, "asking forgets nothing: a settle may be tried again")
    refusals.forget("turn-1")
    assert.deepStrictEqual(refusals.lines("turn-1"), [])
    assert.lengthOf(refusals.lines("turn-2"), 1)
  })

  it("folds what is many, and counts all of it", () => {
    const refusals = new Refusals()
    for (let host = 0; host < 1_000; host++) refusals.add("turn-1", `host-${host}.example.com is refused`)
    refusals.add("turn-1", "host-0.example.com is refused")
    const lines = refusals.lines("turn-1")
    assert.lengthOf(lines, 6)
    assert.strictEqual(lines[0], "🚫 `host-0.example.com is refused` (2 times)")
    assert.strictEqual(lines[5], "and 995 more; `km audit` shows each")
  })

  it("shows names that an agent chose as one short piece of code", () => {
    const refusals = new Refusals()
    refusals.add("turn-1", "evil`<!channel>`\n# shouted\u001b[31m\u202e is refused")
    refusals.add("turn-1", "x".repeat(10_000))
    const [first = "", second = ""] = refusals.lines("turn-1")
    assert.match(first, /^🚫 `[^`\n]*<!channel>[^`\n]*`$/u)
    for (const hidden of ["\u001b", "\u202e"]) assert.notInclude(first, hidden)
    assert.isBelow(second.length, 410)
  })

  it("keeps 200 turns", () => {
    const refusals = new Refusals()
    for (let turn = 0; turn <= 200; turn++) refusals.add(`turn-${turn}`, "refused")
    assert.deepStrictEqual(refusals.lines("turn-0"), [])
    assert.lengthOf(refusals.lines("turn-1"), 1)
  })
})
