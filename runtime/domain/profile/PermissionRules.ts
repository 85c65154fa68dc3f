/**
 * What a profile says of the agent's tool calls where its permissions are `ask`: which are let through, which are
 * refused, and which are put to a person. Pure; the order of the rules never matters.
 */
import * as Schema from "effect/Schema"
import { UserId } from "../sandbox/Ids.ts"

const optional = Schema.optionalKey

/** At most this many people must agree to one call. */
export const maxQuorum = 5

/** One rule. `*` in a pattern stands for any characters, also for none. */
export const PermissionRule = Schema.Struct({
  tool: Schema.String.check(
    Schema.isPattern(/^[A-Za-z0-9_*.:-]{1,100}$/u, { expected: "a tool's name such as Bash or mcp__server__*" })
  ).annotate({ description: "The tool's name; * stands for any characters." }),
  command: optional(
    Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(1_000))
  ).annotate({
    description: "What the Bash command is like; * stands for any characters. A convenience, no boundary."
  }),
  verdict: Schema.Literals(["allow", "ask", "deny"]).annotate({
    description: "deny wins over ask, ask over allow; a call that no rule fits is asked about."
  }),
  quorum: optional(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxQuorum }))).annotate({
    description: "With ask: how many people must approve; one who denies is enough to deny. 1 unless given."
  }),
  deciders: optional(Schema.Array(UserId).check(Schema.isMinLength(1), Schema.isMaxLength(20))).annotate({
    description: "With ask: Slack ids of the only people who may decide; otherwise whoever may drive the agent."
  })
})
export type PermissionRule = typeof PermissionRule.Type

/** A call as rules see it. */
export interface JudgedCall {
  readonly tool: string
  readonly input: unknown
}

export type RuleVerdict =
  | { readonly verdict: "allow" }
  | { readonly verdict: "deny"; readonly rule: PermissionRule }
  | {
    readonly verdict: "ask"
    readonly quorum: number
    /** Undefined: whoever may drive the agent. Empty: rules name different people, so nobody may. */
    readonly deciders: ReadonlyArray<UserId> | undefined
  }

/** Whether the whole text is like the pattern. Linear in the text for each `*`. */
export const isLike = (pattern: string, text: string): boolean => {
  const pieces = pattern.split("*")
  const first = pieces[0] ?? ""
  const last = pieces.at(-1) ?? ""
  if (pieces.length === 1) return text === pattern
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false
  let at = first.length
  const end = text.length - last.length
  for (const piece of pieces.slice(1, -1)) {
    const found = text.indexOf(piece, at)
    if (found < 0 || found + piece.length > end) return false
    at = found + piece.length
  }
  return true
}

/** What lets one command of a shell become several, or write and read elsewhere. */
const shellSigns = /[;&|<>$`(){}\n\r\\]/

/** The simple commands of a line as far as signs tell them apart, without what stands around them. */
const commandsIn = (command: string): ReadonlyArray<string> =>
  command.split(/[;&|<>$`(){}\n\r"']+/).map((part) => part.trim().replaceAll(/\s+/g, " ")).filter((part) => part !== "")

const decodeCommand = Schema.decodeUnknownOption(Schema.Struct({ command: Schema.String }))

const commandOf = (input: unknown): string | undefined => {
  const decoded = decodeCommand(input)
  return decoded._tag === "Some" ? decoded.value.command : undefined
}

/**
 * A rule that allows speaks of one simple command: what `*` stands for may hold no sign by which a shell would run
 * another one. Rules that deny or ask fit when any command of the line is like their pattern.
 */
const fitsCommand = (rule: PermissionRule, command: string): boolean => {
  const pattern = rule.command ?? "*"
  if (rule.verdict !== "allow") {
    return isLike(pattern, command) || commandsIn(command).some((part) => isLike(pattern, part))
  }
  return isLike(pattern, command) && (command === pattern || !shellSigns.test(command))
}

const fits = (rule: PermissionRule, call: JudgedCall): boolean => {
  if (!isLike(rule.tool, call.tool)) return false
  if (rule.command === undefined) return true
  const command = commandOf(call.input)
  return command !== undefined && fitsCommand(rule, command)
}

/** The verdict of all rules together: deny wins over ask, ask over allow; what nothing fits is asked about. */
export const judgeCall = (rules: ReadonlyArray<PermissionRule>, call: JudgedCall): RuleVerdict => {
  const fitting = rules.filter((rule) => fits(rule, call))
  const denied = fitting.find(({ verdict }) => verdict === "deny")
  if (denied !== undefined) return { verdict: "deny", rule: denied }
  const asking = fitting.filter(({ verdict }) => verdict === "ask")
  if (asking.length === 0 && fitting.length > 0) return { verdict: "allow" }
  const named = asking.flatMap(({ deciders }) => deciders === undefined ? [] : [deciders])
  return {
    verdict: "ask",
    quorum: Math.max(1, ...asking.map(({ quorum }) => quorum ?? 1)),
    deciders: named.length === 0
      ? undefined
      : [...new Set(named[0])].filter((user) => named.every((people) => people.includes(user)))
  }
}
