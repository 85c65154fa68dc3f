/**
 * What is not mutated, because nobody should be made to test it:
 *
 * - types, imports, names of properties: no behaviour, or checked by the compiler;
 * - what only goes to the log, with the condition on which it goes there, and the names of spans and of services: read by
 *   people who look for a fault; a test of its wording would only repeat it;
 * - prose, that is texts of three words or more: wording for people, changed freely. That the right message appears is
 *   decided by its code, which is a short text and mutated;
 * - what a defect says (`Effect.die`, `new Error`): only ever seen in the log;
 * - what describes a schema (`description`, `identifier`, `title`, …);
 * - `{ discard: true }` and `Effect.asVoid`: the same at run time wherever the value is not read, which is where it stands.
 */
import type { ESTree } from "vite"

export type Node = ESTree.Node

export const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && "type" in value && typeof value.type === "string" && "start" in value

const expressionsOfTypes = new Set([
  "TSAsExpression",
  "TSSatisfiesExpression",
  "TSNonNullExpression",
  "TSTypeAssertion",
  "TSInstantiationExpression"
])

/** A part of the file that is there for the compiler only. */
export const isStructural = (node: Node): boolean =>
  node.type === "ImportDeclaration" || node.type === "ExportAllDeclaration" || node.type === "ImportExpression"
  || (node.type === "ExportNamedDeclaration" && node.source !== null)
  || (node.type.startsWith("TS") && !expressionsOfTypes.has(node.type))

/** `{ discard: true }` of `Effect.forEach`: its value is not read, with or without. */
export const isDiscard = (node: Node): boolean =>
  node.type === "ObjectExpression" && node.properties.length === 1 && node.properties[0]?.type === "Property"
  && node.properties[0].key.type === "Identifier" && node.properties[0].key.name === "discard"

export const isProse = (text: string): boolean => text.trim().split(/\s+/).length >= 3

/** `Effect.fn` for `Effect.fn("x")`; empty where a callee is no plain name. */
export const calleeOf = (node: ESTree.CallExpression | ESTree.NewExpression): string => {
  const { callee } = node
  if (callee.type === "Identifier") return callee.name
  if (callee.type === "CallExpression") return calleeOf(callee)
  if (callee.type !== "MemberExpression" || callee.property.type !== "Identifier") return ""
  const owner = callee.object.type === "Identifier" ? `${callee.object.name}.` : "."
  return owner + callee.property.name
}

const logs = /^(Effect\.(log\w*|annotateLogs|annotateCurrentSpan|annotateSpans|withSpan|withLogSpan)|console\.\w+)$/

/** Steps that run something on the side and keep the value. */
const taps = /^Effect\.(tap\w*)$/

/** That it is asked changes nothing: no `yield*`, no assignment, and no call but those of a module, such as `Exit.isSuccess`. */
const onlyAsks = (node: Node): boolean => {
  switch (node.type) {
    case "Identifier":
    case "Literal":
      return true
    case "ParenthesizedExpression":
      return onlyAsks(node.expression)
    case "ChainExpression":
      return onlyAsks(node.expression)
    case "MemberExpression":
      return onlyAsks(node.object) && (!node.computed || onlyAsks(node.property))
    case "UnaryExpression":
      return node.operator !== "delete" && onlyAsks(node.argument)
    case "BinaryExpression":
    case "LogicalExpression":
      return onlyAsks(node.left) && onlyAsks(node.right)
    case "CallExpression":
      return /^[A-Z]\w*\.is[A-Z]\w*$/.test(calleeOf(node)) && node.arguments.every(onlyAsks)
    default:
      return false
  }
}

/** Does nothing, as the other branch of a condition on which something is logged. */
const isNothing = (node: Node): boolean =>
  node.type === "MemberExpression" && node.object.type === "Identifier" && node.object.name === "Effect"
  && node.property.type === "Identifier" && node.property.name === "void"

/** Whether all that an expression does is to write to the log or to a trace. */
export const isLogging = (node: Node): boolean => {
  switch (node.type) {
    case "ExpressionStatement":
    case "ParenthesizedExpression":
      return isLogging(node.expression)
    case "YieldExpression":
      return node.argument !== null && isLogging(node.argument)
    case "ArrowFunctionExpression":
      return node.expression && isLogging(node.body)
    case "BlockStatement":
      return node.body.length > 0 && node.body.every(isLogging)
    case "IfStatement":
      return onlyAsks(node.test) && isLogging(node.consequent)
        && (node.alternate === null || isLogging(node.alternate))
    case "ConditionalExpression": {
      const branches = [node.consequent, node.alternate]
      return onlyAsks(node.test) && branches.some(isLogging)
        && branches.every((branch) => isLogging(branch) || isNothing(branch))
    }
    case "CallExpression": {
      const callee = calleeOf(node)
      if (logs.test(callee)) {
        // `annotateLogs(effect, …)` has the effect in it; as a step of a pipe it has not.
        return !(/annotateLogs|withSpan|withLogSpan|annotateSpans/.test(callee)
          && node.arguments[0]?.type === "CallExpression" && !isLogging(node.arguments[0]))
      }
      if (taps.test(callee)) return node.arguments.every(isLogging)
      const target = node.callee
      return target.type === "MemberExpression" && target.property.type === "Identifier"
        && target.property.name === "pipe" && isLogging(target.object)
    }
    default:
      return false
  }
}

const naming =
  /^(Effect\.fn|Effect\.fnUntraced|Context\.\w+|Schema\.(TaggedStruct|TaggedErrorClass|TaggedClass|Class|ErrorClass|brand|TaggedError)|Data\.TaggedError|Data\.Error|Data\.TaggedClass|(Effect|Cause)\.die|\w*Error|Config\.\w+|.*\.annotate|.*\.annotations|.*\.annotateKey)$/

/** An argument that only names or describes: the name of a service, the tag of a class, a schema's annotations. */
export const namesOnly = (node: Node, callee = ""): boolean => {
  if (node.type === "CallExpression") {
    const own = calleeOf(node)
    return own === "Effect.asVoid" || logs.test(own) && isLogging(node)
      || isLogging(node)
  }
  if (node.type === "MemberExpression") {
    return node.object.type === "Identifier" && node.object.name === "Effect" && node.property.type === "Identifier"
      && node.property.name === "asVoid"
  }
  if (!naming.test(callee)) return false
  if (callee.includes("annotat")) return node.type === "ObjectExpression"
  return node.type === "Literal" && typeof node.value === "string"
}
