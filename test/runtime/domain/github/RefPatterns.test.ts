import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { branchRef, isRefName, tagRef } from "../../../../runtime/domain/github/RefNames.ts"
import { matchesRef, parseRefPattern, RefPatternText, refRules } from "../../../../runtime/domain/github/RefPatterns.ts"

const matches = (pattern: string, ref: string): boolean =>
  Result.match(parseRefPattern(pattern), { onFailure: () => false, onSuccess: (parsed) => matchesRef(parsed, ref) })

/** The same meaning, said by a regular expression; too slow for hostile names, which these are not. */
const oracle = (pattern: string): RegExp => {
  const full = pattern.startsWith("refs/") ? pattern : `refs/heads/${pattern}`
  const source = full.replaceAll(
    /(?<=\/)\*\*\/|\*\*|\*|[^*]+/gu,
    (part) =>
      part === "**/"
        ? "(?:[^\\n]*/)?"
        : part === "**"
        ? "[^\\n]*"
        : part === "*"
        ? "[^/\\n]*"
        : part.replaceAll(/[.+]/gu, "\\$&")
  )
  return new RegExp(`^${source}$`, "u")
}

describe("a ref pattern", () => {
  const table: ReadonlyArray<readonly [pattern: string, yes: ReadonlyArray<string>, no: ReadonlyArray<string>]> = [
    ["main", ["refs/heads/main"], ["refs/heads/main2", "refs/heads/x/main", "refs/tags/main", "refs/heads/Main"]],
    ["feature/*", ["refs/heads/feature/x"], ["refs/heads/feature/x/y", "refs/heads/feature", "refs/heads/features/x"]],
    ["feature/**", ["refs/heads/feature/x", "refs/heads/feature/x/y"], [
      "refs/heads/feature",
      "refs/heads/a/feature/x"
    ]],
    ["**", ["refs/heads/a", "refs/heads/a/b"], ["refs/tags/a", "refs/heads"]],
    ["a/**/b", ["refs/heads/a/b", "refs/heads/a/x/b", "refs/heads/a/x/y/b"], ["refs/heads/a/xb", "refs/heads/ab"]],
    ["refs/tags/v*", ["refs/tags/v1", "refs/tags/v"], ["refs/tags/v1/x", "refs/heads/v1"]],
    ["*-fix-*", ["refs/heads/a-fix-b", "refs/heads/-fix-fix-"], ["refs/heads/a/b-fix-c/d", "refs/heads/a-fix"]],
    ["release-**", ["refs/heads/release-1", "refs/heads/release-1/2"], ["refs/heads/release"]],
    ["refs/**", ["refs/notes/commits", "refs/heads/main"], []]
  ]
  for (const [pattern, yes, no] of table) {
    it(`${pattern} names what it says, and no more`, () => {
      assert.deepStrictEqual(yes.filter((ref) => !matches(pattern, ref)), [])
      assert.deepStrictEqual(no.filter((ref) => matches(pattern, ref)), [])
    })
  }

  const piece = Schema.Literals(["a", "b", "ab", "/", "*", "**", "/**/"])
  const letter = Schema.Literals(["a", "b", "/"])
  it.prop(
    "means what the regular expression means",
    [Schema.Array(piece), Schema.Array(letter)],
    ([pieces, letters]) => {
      const pattern = pieces.join("")
      const ref = `refs/heads/${letters.join("")}`
      if (Result.isFailure(parseRefPattern(pattern)) || !isRefName(ref)) return
      assert.strictEqual(matches(pattern, ref), oracle(pattern).test(ref), `${pattern} ${ref}`)
    },
    { arbitrary: { runs: 3_000 } }
  )

  it("is refused with a sentence where it could match nothing or too much is meant", () => {
    const refused = [
      "",
      "!",
      "a b",
      "a..b",
      "a?",
      "[ab]",
      "a\\b",
      "a:b",
      "a~1",
      "/main",
      "main/",
      "a//b",
      ".hidden",
      "x.lock",
      "a\nb",
      "***",
      "a/***",
      "refs/",
      "refs/heads",
      "refs/heads/",
      "refs/*",
      "refs/km/x",
      "refs/km/**",
      "a@{1}",
      "*/".repeat(17) + "x",
      "a\u202Eb"
    ]
    assert.deepStrictEqual(refused.filter((text) => Result.isSuccess(parseRefPattern(text))), [])
    assert.isTrue(Schema.is(RefPatternText)("feature/*"))
    assert.isFalse(Schema.is(RefPatternText)("a b"))
  })

  it("takes no time over a hostile name", () => {
    const ref = `refs/heads/${"a".repeat(240)}`
    assert.isFalse(matches(`${"*a".repeat(8)}*b`, ref))
    assert.isFalse(matches(`${"**a".repeat(7)}**b`, ref))
  })
})

describe("a list of patterns", () => {
  const rules = refRules(["!release/**", "**", "!main", "!refs/tags/**", "refs/tags/ci"])
  it("denies what a pattern with ! names, wherever it stands", () => {
    assert.deepStrictEqual(
      ["main", "release/1/x", "feature", "km"].map((name) => rules(`refs/heads/${name}`)._tag),
      ["denied", "denied", "allowed", "allowed"]
    )
    assert.deepStrictEqual(rules("refs/tags/ci"), { _tag: "denied", by: "!refs/tags/**" })
    assert.strictEqual(rules("refs/notes/x")._tag, "unlisted")
  })

  it("that is empty, or holds only denials, allows nothing", () => {
    assert.strictEqual(refRules([])("refs/heads/main")._tag, "unlisted")
    assert.strictEqual(refRules(["!main"])("refs/heads/x")._tag, "unlisted")
  })

  it("never opens what is km's own, and a denial that cannot be read denies everything", () => {
    assert.strictEqual(refRules(["refs/**"])("refs/km/x/1")._tag, "denied")
    assert.strictEqual(refRules(["**", "!a b"])("refs/heads/x")._tag, "denied")
    assert.strictEqual(refRules(["a b"])("refs/heads/a b")._tag, "unlisted")
  })
})

describe("a ref's name", () => {
  it("is one that git takes, of three parts at least", () => {
    const good = [
      "refs/heads/main",
      "refs/heads/a/b.c",
      "refs/tags/v1.0",
      "refs/heads/ä",
      "refs/notes/commits",
      "refs/heads/@"
    ]
    const bad = [
      "HEAD",
      "refs",
      "refs/",
      "refs/x",
      "refs/heads/",
      "refs/heads/.a",
      "refs/heads/a/.b",
      "refs/heads/a.",
      "refs/heads/a.lock",
      "refs/heads/a.lock/b",
      "refs/heads/a..b",
      "refs/heads/a b",
      "refs/heads/a\u007f",
      "refs/heads/a~b",
      "refs/heads/a^b",
      "refs/heads/a:b",
      "refs/heads/a?b",
      "refs/heads/a*b",
      "refs/heads/a[b",
      "refs/heads/a\\b",
      "refs/heads/a@{b",
      "refs/heads//a",
      "refs//a/b",
      "/refs/heads/a",
      "refs/heads/a/",
      "refs/.heads/a",
      "refs/heads.lock/a",
      "Refs/heads/a",
      `refs/heads/${"x".repeat(250)}`,
      "refs/heads/a\u200bb",
      "refs/heads/\ud800",
      "refs/refs/heads/main"
    ]
    assert.deepStrictEqual(good.filter((ref) => !isRefName(ref)), [])
    assert.deepStrictEqual(bad.filter((ref) => isRefName(ref)), [])
  })

  it("is made of a branch or tag only where that is no other name", () => {
    assert.strictEqual(branchRef("feature/x"), "refs/heads/feature/x")
    assert.strictEqual(tagRef("v1"), "refs/tags/v1")
    const none = [
      "",
      "HEAD",
      "head",
      "@",
      "refs/heads/main",
      "heads/main",
      "Tags/v1",
      "remotes/origin/main",
      "a".repeat(40),
      "0".repeat(64),
      "-x",
      "a..b",
      "a b"
    ]
    assert.deepStrictEqual(none.filter((name) => branchRef(name) !== undefined || tagRef(name) !== undefined), [])
  })
})
