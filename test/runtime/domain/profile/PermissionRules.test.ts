import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { isLike, judgeCall, PermissionRule } from "../../../../runtime/domain/profile/PermissionRules.ts"
import { UserId } from "../../../../runtime/domain/sandbox/Ids.ts"

const rule = (
  tool: string,
  verdict: PermissionRule["verdict"],
  more: Partial<PermissionRule> = {}
): PermissionRule => ({
  tool,
  verdict,
  ...more
})
const bash = (command: string) => ({ tool: "Bash", input: { command, description: "x" } })
const verdictOf = (rules: ReadonlyArray<PermissionRule>, command: string) => judgeCall(rules, bash(command)).verdict

const ada = UserId.make("U0ADA0001")
const grace = UserId.make("U0GRACE01")

/** Few names and commands, so that rules and calls meet. */
const Tool = Schema.Literals(["Bash", "Read", "mcp__a__b", "*", "mcp__*", "B*h"])
const Command = Schema.Literals(["git *", "git push *", "rm *", "*", "git status", "*; rm *", "ls"])
const SomeRule = Schema.Struct({
  tool: Tool,
  command: Schema.optionalKey(Command),
  verdict: Schema.Literals(["allow", "ask", "deny"]),
  quorum: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 })))
})
const SomeRules = Schema.Array(SomeRule).check(Schema.isMaxLength(6))
const SomeCall = Schema.Union([
  Schema.Struct({
    tool: Schema.Literal("Bash"),
    input: Schema.Struct({
      command: Schema.Literals([
        "git status",
        "git push origin main",
        "ls",
        "git status; rm -rf /",
        "git log $(rm -rf /)",
        "git log | rm x",
        "rm -rf /",
        "echo `rm x`",
        "git status\nrm x"
      ])
    })
  }),
  Schema.Struct({ tool: Schema.Literals(["Read", "mcp__a__b"]), input: Schema.Struct({ path: Schema.String }) })
])

const strictness = { allow: 0, ask: 1, deny: 2 }

describe("patterns", () => {
  it("stand for the whole text, and * for any characters", () => {
    for (
      const [pattern, text, like] of [
        ["git *", "git status", true],
        ["git *", "git", false],
        ["*", "", true],
        ["a*b*c", "a-b-b-c", true],
        ["a*b", "ab", true],
        ["ab*ba", "aba", false],
        ["a.c", "abc", false],
        ["ls", "ls -l", false],
        ["*x*", "y", false]
      ] as const
    ) assert.strictEqual(isLike(pattern, text), like, `${pattern} ${text}`)
  })

  it("of many stars cost no more than their text", () => {
    assert.isFalse(isLike("*a".repeat(400), `${"a".repeat(20_000)}b`))
    assert.isTrue(isLike("*a".repeat(400), "a".repeat(20_000)))
  })
})

describe("rules", () => {
  it("nothing that fits asks, of one person", () => {
    assert.deepStrictEqual(judgeCall([rule("Read", "allow")], bash("ls")), {
      verdict: "ask",
      quorum: 1,
      deciders: undefined
    })
  })

  it("an allowed command is one command: no sign of a shell may hide in what * stands for", () => {
    const rules = [rule("Bash", "allow", { command: "git *" })]
    assert.strictEqual(verdictOf(rules, "git status"), "allow")
    for (
      const command of [
        "git status; rm -rf /",
        "git status && rm x",
        "git log | sh",
        "git log $(id)",
        "git log `id`",
        "git log > /etc/x",
        "git log < x",
        "git log\nid",
        "git log & id",
        "git log \\\nid"
      ]
    ) assert.strictEqual(verdictOf(rules, command), "ask", command)
    assert.strictEqual(verdictOf([rule("Bash", "allow", { command: "a | b" })], "a | b"), "allow", "written out")
  })

  it("a denied command is found wherever it stands in the line", () => {
    const rules = [rule("Bash", "allow"), rule("Bash", "deny", { command: "rm *" })]
    for (
      const command of ["rm x", "ls; rm x", "ls && rm  -rf /", "echo $(rm x)", "(rm x)", "a\nrm x", "sh -c 'rm x'"]
    ) {
      assert.strictEqual(verdictOf(rules, command), "deny", command)
    }
    assert.strictEqual(verdictOf(rules, "ls"), "allow")
  })

  it("of several that ask, the most people, and only whom all of them name", () => {
    const judged = judgeCall([
      rule("Bash", "allow"),
      rule("Bash", "ask", { quorum: 2, deciders: [ada, grace] }),
      rule("B*", "ask", { quorum: 3, deciders: [grace] })
    ], bash("ls"))
    assert.deepStrictEqual(judged, { verdict: "ask", quorum: 3, deciders: [grace] })
  })

  it.prop("their order never matters", [SomeRules, SomeCall], ([rules, call]) => {
    const { verdict } = judgeCall(rules, call)
    assert.strictEqual(judgeCall(rules.toReversed(), call).verdict, verdict)
  })

  it.prop(
    "one more rule that denies or asks never lets more through",
    [SomeRules, SomeRule, SomeCall],
    ([rules, more, call]) => {
      if (more.verdict === "allow") return
      const before = judgeCall(rules, call).verdict
      const after = judgeCall([...rules, more], call).verdict
      assert.isAtLeast(strictness[after], strictness[before])
    }
  )

  it.prop(
    "one more rule that allows never overrules one that denies or asks",
    [SomeRules, SomeRule, SomeCall],
    ([rules, more, call]) => {
      if (more.verdict !== "allow") return
      const strict = rules.filter(({ verdict }) => verdict !== "allow")
      const without = judgeCall(strict, call)
      const spoken = strict.length > 0 && judgeCall([...strict, rule("*", "allow")], call).verdict !== "allow"
      if (spoken) assert.strictEqual(judgeCall([...rules, more], call).verdict, without.verdict)
    }
  )

  it.prop("a shell's sign is never let through by a pattern", [SomeRules, SomeCall], ([rules, call]) => {
    const patterned = rules.filter(({ command, verdict }) => verdict === "allow" && command !== undefined)
    const command = "command" in call.input ? call.input.command : ""
    if (/[;|$`\n]/.test(command)) assert.notStrictEqual(judgeCall(patterned, call).verdict, "allow")
  })

  it("read strictly from a profile", () => {
    const read = Schema.decodeUnknownOption(PermissionRule)
    for (
      const bad of [{}, { tool: "Bash" }, { tool: "a b", verdict: "ask" }, { tool: "B", verdict: "ask", quorum: 0 }]
    ) {
      assert.strictEqual(read(bad)._tag, "None", JSON.stringify(bad))
    }
  })
})
